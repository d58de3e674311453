"""Folds of the simulated face: as deep as the truth says, on the side that moves, and no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from datasets.simulated.cohort import draw_cohort, simulate
from datasets.simulated.face import Patient, draw_patient, pose_face, render_photo
from datasets.simulated.folds import FOLDS, FOLDS_TRUTH, find_creases, fold_depths
from datasets.simulated.movement import Vigour
from datasets.simulated.photo_warp import impose
from datasets.simulated.shape import mirror_points
from pipeline.commands.simulate import simulate as command

FOLDED_BY = {
    "forehead": "brow_raise", "frown": "disgust", "crows_feet": "full_eye_closure",
    "lids": "full_eye_closure", "nasolabial": "full_smile", "nose": "disgust",
    "chin": "lower_teeth", "lips": "lip_pucker",
}  # fmt: skip


def patient_of(grade: int, *, folds: bool = True, lines: float = 0.5) -> Patient:
    """The same person (a bald man, even in strength) with a palsy of any grade on the left."""
    side, kind = ("none", "none") if grade == 1 else ("left", "flaccid")
    patient = draw_patient(seed=1, grade=grade, side=side, kind=kind, folds=folds)
    return replace(patient, look=replace(patient.look, lines=lines), vigour=Vigour())


def depths_of(patient: Patient, task: str) -> dict[str, np.ndarray]:
    return fold_depths(patient.look, pose_face(patient, task))


def furrows(rgb: np.ndarray, points: np.ndarray) -> list[float]:
    """Contrast of fine light and dark on the right and left of the forehead."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    span = np.linalg.norm(points[45] - points[36]) / 90
    fine = cv2.GaussianBlur(grey, (0, 0), 0.7 * span) - cv2.GaussianBlur(grey, (0, 0), 3.5 * span)
    found = []
    for brow, near, far in ((19, 15, -12), (24, -15, 12)):  # mm towards the nose, and outwards
        x, y = points[brow]
        x0, x1 = sorted((int(x + near * span), int(x + far * span)))
        found.append(float(fine[int(y - 36 * span) : int(y - 9 * span), x0:x1].std()))
    return found


@pytest.mark.parametrize("fold", FOLDS)
def test_a_fold_falls_silent_on_the_weak_side_grade_by_grade(fold: str) -> None:
    right, left = np.transpose(
        [depths_of(patient_of(g), FOLDED_BY[fold])[fold] for g in range(1, 7)]
    )
    assert np.ptp(right) < 1e-9 and right[0] > 0.3, "the healthy side folds as ever"
    assert left[0] == pytest.approx(right[0])
    assert (np.diff(left) < 0).all() and left[-1] < 0.2 * right[0]


def test_age_deepens_the_resting_folds_of_the_side_that_has_its_tone() -> None:
    young, old = (depths_of(patient_of(6, lines=lines), "rest") for lines in (0.1, 0.9))
    for fold in ("forehead", "frown", "nasolabial"):
        assert old[fold][0] > 1.5 * young[fold][0] and old[fold][1] == young[fold][1] == 0


def test_light_and_dark_of_the_forehead_follow_the_truth() -> None:
    seen, true = [], []
    for grade in (1, 2, 3, 4, 6):
        patient = patient_of(grade)
        seen.append(furrows(*render_photo(patient, "brow_raise", width=300, height=400)))
        true.append(depths_of(patient, "brow_raise")["forehead"])
    seen_of, true_of = np.array(seen), np.array(true)
    for side in (0, 1):
        plain = furrows(*render_photo(patient_of(1), "rest", width=300, height=400))[side]
        assert seen_of[0, side] > 1.8 * plain
    assert np.corrcoef(seen_of[:, 1], true_of[:, 1])[0, 1] > 0.95, "of the weak side"
    assert (seen_of[2:, 0] > 1.2 * seen_of[2:, 1]).all(), "the healthy side is deeper"


@pytest.mark.parametrize("task", ["full_smile", "lip_pucker", "brow_raise"])
def test_a_mirrored_patient_has_mirrored_folds(task: str) -> None:
    patient = patient_of(4)
    palsy = replace(patient.palsy, side="right")
    shape = replace(patient.shape, asymmetry=mirror_points(patient.shape.asymmetry))
    mirrored = replace(patient, palsy=palsy, shape=shape)
    for name, depth in depths_of(patient, task).items():
        np.testing.assert_allclose(depths_of(mirrored, task)[name], depth[::-1], atol=1e-12)
    creases, others = (find_creases(p.look, pose_face(p, task)) for p in (patient, mirrored))
    half = len(creases) // 2
    for one, other in zip(creases, others[half:] + others[:half], strict=True):
        np.testing.assert_allclose(other.curve, one.curve * (-1, 1), atol=1e-9)
        assert (other.width, other.depth) == pytest.approx((one.width, one.depth))


def test_without_folds_everything_is_as_it_was() -> None:
    """Folds change nothing else of a person, and are drawn only where asked for."""
    folded, plain = patient_of(3), patient_of(3, folds=False)
    unfolded = replace(folded, look=replace(folded.look, folds=0.0))
    pictures = [
        render_photo(patient, "full_smile", width=160, height=214)
        for patient in (folded, unfolded, plain)
    ]
    np.testing.assert_array_equal(pictures[1][0], pictures[2][0])
    np.testing.assert_array_equal(pictures[0][1], pictures[2][1])
    assert (pictures[0][0] != pictures[2][0]).any()


def test_a_portrait_gains_the_folds_of_the_side_that_moves() -> None:
    photo, points = render_photo(patient_of(1, folds=False, lines=0.03), "rest")
    patient = patient_of(5)
    shaded, moved = impose(photo, points, palsy=patient.palsy, look=patient.look, task="brow_raise")
    plain, same = impose(photo, points, palsy=patient.palsy, task="brow_raise")
    np.testing.assert_array_equal(moved, same)
    (right, left), (bare_right, bare_left) = furrows(shaded, moved), furrows(plain, moved)
    assert right > 2 * bare_right and left == pytest.approx(bare_left, rel=0.25)
    healthy, _ = impose(photo, points, palsy=patient_of(1).palsy, look=patient.look)
    np.testing.assert_array_equal(healthy, photo)


def test_the_depths_stand_beside_the_true_points(tmp_path: Path) -> None:
    command(tmp_path / "with", patients=1, seed=4, width=160, height=214, folds=True)
    truth = pd.read_csv(tmp_path / "with" / FOLDS_TRUTH)
    points = pd.read_csv(tmp_path / "with" / "true_landmarks.csv")
    assert list(truth["image"]) == list(points["image"])
    assert list(truth)[1:] == [f"{fold}_{side}" for fold in FOLDS for side in ("right", "left")]
    (person,) = draw_cohort(1, seed=4, folds=True)
    for row, task in zip(truth.itertuples(), points["task"], strict=True):
        drawn = (row.nasolabial_right, row.nasolabial_left)
        assert drawn == pytest.approx(depths_of(person, task)["nasolabial"], abs=6e-4)
    with pytest.raises(UserError, match="--folds is for photographs"):
        command(tmp_path / "film", layout="film", folds=True)
    with pytest.raises(UserError, match="already holds other files"):
        simulate(tmp_path / "with", patients=1, seed=4, width=160, height=214)
