"""The simulated face: true points, the patient's own sides, grades that mean weakness."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from common.errors import UserError
from common.movements import MOVEMENTS
from common.tables import read_manifest
from common.truth import read_truth
from datasets.simulated.cohort import draw_cohort
from datasets.simulated.face import Patient, draw_patient, pose_face, render_photo
from datasets.simulated.movement import Expression, Palsy, Vigour, express
from datasets.simulated.render import Projection
from datasets.simulated.shape import AVERAGE_POINTS, MIRROR, mirror_points, neutral_points
from landmarks.tables import points_of, read_landmarks

if TYPE_CHECKING:
    from pipeline.example_cohort import ExampleCohort

GRADES = range(2, 7)
RIGHT_BROW, LEFT_BROW = [17, 18, 19, 20, 21], [22, 23, 24, 25, 26]


def average(task: str, palsy: Palsy) -> np.ndarray:
    return express(AVERAGE_POINTS, palsy, Vigour(), task).points


def opening(points: np.ndarray) -> tuple[float, float]:
    """Height of the lid opening on the patient's right and left."""
    height = points[[41, 40, 47, 46], 1] - points[[37, 38, 43, 44], 1]
    return float(height[:2].mean()), float(height[2:].mean())


def test_mirror_is_its_own_inverse_and_pairs_the_named_points() -> None:
    assert (MIRROR[MIRROR] == np.arange(68)).all()
    pairs = {0: 16, 17: 26, 36: 45, 37: 44, 41: 46, 31: 35, 48: 54, 60: 64, 67: 65}
    assert all(MIRROR[a] == b for a, b in pairs.items())
    assert all(MIRROR[a] == a for a in (8, 27, 30, 33, 51, 57, 62, 66))


def test_average_face_is_symmetric_with_the_patients_right_at_image_left() -> None:
    np.testing.assert_allclose(AVERAGE_POINTS, mirror_points(AVERAGE_POINTS))
    assert (AVERAGE_POINTS[[*range(8), *range(17, 22), *range(36, 42), 48], 0] < 0).all()


@pytest.mark.parametrize("kind", ["flaccid", "synkinetic"])
@pytest.mark.parametrize("task", MOVEMENTS)
def test_a_mirrored_patient_has_mirrored_points(task: str, kind: str) -> None:
    patient = draw_patient(seed=5, grade=4, side="left", kind=kind)
    mirrored = replace(
        patient,
        shape=replace(patient.shape, asymmetry=mirror_points(patient.shape.asymmetry)),
        vigour=Vigour(patient.vigour.factors[:, ::-1]),
        palsy=replace(patient.palsy, side="right"),
    )
    expected = mirror_points(pose_face(patient, task).points)
    np.testing.assert_allclose(pose_face(mirrored, task).points, expected, atol=1e-9)


def test_a_mirrored_view_sees_a_mirrored_face() -> None:
    view = draw_patient(seed=5, grade=1, side="none", kind="none").view
    depth = -0.004 * AVERAGE_POINTS[:, 0] ** 2
    seen = Projection.of(view, 600, 800).forward(AVERAGE_POINTS, depth)
    mirrored = replace(view, yaw=-view.yaw, roll=-view.roll, shift=view.shift * (-1, 1))
    other = Projection.of(mirrored, 600, 800).forward(AVERAGE_POINTS, depth)
    np.testing.assert_allclose(other[MIRROR], seen * (-1, 1) + (599, 0), atol=1e-9)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["flaccid", "synkinetic"])
@pytest.mark.parametrize(
    ("task", "right_points"),
    [("brow_raise", RIGHT_BROW), ("full_smile", [48]), ("lip_pucker", [48]), ("lower_teeth", [59])],
)
def test_the_weak_side_moves_less_and_less(
    task: str, right_points: list[int], kind: str, side: str
) -> None:
    weak = right_points if side == "right" else list(MIRROR[right_points])
    sound = list(MIRROR[weak])
    healthy = average(task, Palsy(1, "none", "none")) - AVERAGE_POINTS
    shares = []
    for grade in GRADES:
        palsy = Palsy(grade, side, kind)
        moved = average(task, palsy) - average("rest", palsy)
        done = (moved * healthy).sum(1) / (healthy**2).sum(1).clip(1e-9)
        assert done[weak].mean() < done[sound].mean()
        shares.append(done[weak].mean())
    assert shares[0] < 1
    assert (np.diff(shares) < 0).all()


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_eye_of_the_weak_side_stays_open_by_grade(side: str) -> None:
    weak = 0 if side == "right" else 1
    gentle = [
        opening(average("gentle_eye_closure", Palsy(g, side, "flaccid")))[weak] for g in GRADES
    ]
    full = [opening(average("full_eye_closure", Palsy(g, side, "flaccid")))[weak] for g in GRADES]
    assert (np.diff(gentle) > 0).all()
    assert max(full[:2]) < 0.8, "grades II and III close with effort"
    assert full[2] > 1.5, "grade IV does not"
    for grade in GRADES:
        sound = opening(average("full_eye_closure", Palsy(grade, side, "flaccid")))[1 - weak]
        assert sound < 0.8


@pytest.mark.parametrize("task", MOVEMENTS)
def test_grade_six_does_not_move_on_the_weak_side(task: str) -> None:
    palsy = Palsy(6, "left", "flaccid")
    moved = np.linalg.norm(average(task, palsy) - average("rest", palsy), axis=1)
    assert moved[LEFT_BROW].max() < 1e-9
    assert moved[[43, 44]].max() < 1.8, "the upper lid sinks a little by its own weight"
    assert moved[54] < 2.0, "only pulled by the other side and the jaw"


def test_at_rest_grade_six_sags_and_the_mouth_is_drawn_to_the_sound_side() -> None:
    palsy = Palsy(6, "left", "flaccid")
    rest, smile = average("rest", palsy), average("full_smile", palsy)
    sagging = rest - AVERAGE_POINTS
    assert sagging[LEFT_BROW, 1].min() > 2
    assert sagging[54, 1] > 4
    assert opening(rest)[1] > opening(rest)[0] + 1.5
    assert smile[[51, 57, 62, 66], 0].max() < rest[[51, 57, 62, 66], 0].min()


def test_synkinesis_narrows_the_eye_in_a_smile_and_pulls_the_mouth_in_closure() -> None:
    for grade in (3, 4, 5):
        flaccid, synkinetic = (Palsy(grade, "right", kind) for kind in ("flaccid", "synkinetic"))
        narrowed = [
            opening(average("rest", p))[0] - opening(average("full_smile", p))[0]
            for p in (flaccid, synkinetic)
        ]
        pulled = [
            average("rest", p)[48, 1] - average("full_eye_closure", p)[48, 1]
            for p in (flaccid, synkinetic)
        ]
        assert narrowed[1] > narrowed[0] + 1.5
        assert pulled[1] > pulled[0] + 1
        assert opening(average("rest", synkinetic))[0] < opening(AVERAGE_POINTS)[0]


def test_healthy_people_are_nearly_but_not_quite_symmetric() -> None:
    for seed in range(12):
        patient = draw_patient(seed=seed, grade=1, side="none", kind="none")
        points = pose_face(patient, "rest").points
        difference = np.linalg.norm(points - mirror_points(points), axis=1)[17:]
        assert 0.2 < difference.max() < 4.0
        np.testing.assert_allclose(points, neutral_points(patient.shape), atol=1e-9)


def test_the_same_person_appears_at_every_grade() -> None:
    one = draw_patient(seed=9, grade=1, side="none", kind="none")
    six = draw_patient(seed=9, grade=6, side="left", kind="flaccid")
    np.testing.assert_array_equal(neutral_points(one.shape), neutral_points(six.shape))
    assert one.look.hair_style == six.look.hair_style


def test_rendering_is_pure_and_takes_differ() -> None:
    patient = draw_patient(seed=4, grade=3, side="right", kind="flaccid")
    size = {"width": 240, "height": 320}
    first, points = render_photo(patient, "full_smile", **size)
    again, same = render_photo(patient, "full_smile", **size)
    other, moved = render_photo(patient, "full_smile", take=1, **size)
    assert first.dtype == np.uint8 and first.shape == (320, 240, 3)
    assert points.dtype == np.float64 and points.shape == (68, 2)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(points, same)
    assert np.abs(points - moved).max() > 0.2 and (first != other).any()


@pytest.mark.parametrize("seed", [1, 2, 6, 9])
def test_eyes_are_drawn_at_their_true_points(seed: int) -> None:
    """An iris painted pure green shows midway between the true corners, inside the true lids."""
    patient = draw_patient(seed=seed, grade=1, side="none", kind="none")
    view = replace(patient.view, yaw=4.0, pitch=-3.0, roll=4.0, noise=0.0)
    patient = replace(
        patient, view=view, look=replace(patient.look, iris=np.array([0.0, 0.7, 0.0]))
    )
    rgb, points = render_photo(patient, "rest")
    green = (rgb[..., 1].astype(int) - rgb[..., 0] > 60) & (
        rgb[..., 1].astype(int) - rgb[..., 2] > 60
    )
    for corners, lids in (((36, 39), slice(36, 42)), ((42, 45), slice(42, 48))):
        outer, inner = points[list(corners)]
        axis = (inner - outer) / np.linalg.norm(inner - outer)
        y, x = np.nonzero(green)
        here = np.abs(x - (outer + inner)[0] / 2) < 40
        seen = np.column_stack([x[here], y[here]])
        along = (seen - (outer + inner) / 2) @ axis
        assert abs(along.min() + along.max()) / 2 < 1.5
        outline = points[lids].astype(np.float32)
        inside = [cv2.pointPolygonTest(outline, (float(a), float(b)), True) for a, b in seen]
        assert min(inside) > -3.5, "the lids are curves through the points, a little outside them"


@pytest.mark.parametrize("task", ["rest", "full_smile", "lip_pucker"])
def test_lips_are_drawn_through_their_true_points(task: str) -> None:
    """Lips painted pure blue reach exactly as far as the true points of their outer border."""
    patient = draw_patient(seed=2, grade=5, side="left", kind="flaccid")
    grey = np.full(3, 0.5)
    look = replace(patient.look, lips=np.array([0.0, 0.0, 1.0]), wall=grey, clothes=grey)
    patient = replace(patient, look=look, view=replace(patient.view, noise=0.0))
    rgb, points = render_photo(patient, task)
    blue = rgb[..., 2].astype(int) - rgb[..., 0] > 30
    blue[: int(points[33, 1])] = blue[int(points[8, 1]) :] = False
    columns = np.nonzero(blue.any(0))[0]
    assert abs(columns.min() - points[48, 0]) < 5, "the corners are thin and dark"
    assert abs(columns.max() - points[54, 0]) < 5
    for point, reach in ((51, np.min), (57, np.max), (52, np.min), (58, np.max)):
        rows = np.nonzero(blue[:, round(points[point, 0])])[0]
        assert abs(reach(rows) - points[point, 1]) < 2.5


def test_a_bad_patient_is_refused_in_one_sentence() -> None:
    with pytest.raises(UserError, match="House-Brackmann grades are 1 to 6"):
        draw_patient(seed=0, grade=7, side="left", kind="flaccid")
    with pytest.raises(UserError, match="does not go with side"):
        draw_patient(seed=0, grade=4, side="none", kind="flaccid")
    patient = draw_patient(seed=0, grade=1, side="none", kind="none")
    with pytest.raises(UserError, match='Did you mean "full_smile"'):
        render_photo(patient, "ful_smile")


def test_of_names_the_muscles_by_side() -> None:
    face: Expression = express(AVERAGE_POINTS, Palsy(6, "right", "flaccid"), Vigour(), "full_smile")
    right, left = face.of("zygomatic")
    assert right == 0 and left == 1
    assert face.tone[0] == 0 and face.tone[1] == 1


def test_the_true_points_tell_the_grade() -> None:
    """Whole patients held out: asymmetry of place and movement recovers the grade (kappa)."""
    cohort = draw_cohort(60, seed=3)
    features = np.array([_asymmetries(patient) for patient in cohort])
    grades = np.array([patient.palsy.grade for patient in cohort])
    features = features[:, features.std(0) > 1e-9]  # nothing has moved in the rest photograph
    standard = (features - features.mean(0)) / features.std(0)
    design = np.column_stack([np.ones(len(cohort)), standard])
    predicted = np.empty(len(cohort))
    for fold in range(10):
        held_out = np.arange(len(cohort)) // 6 == fold
        known = design[~held_out]
        ridge = known.T @ known + 2.0 * np.diag([0.0] + [1.0] * standard.shape[1])
        weights = np.linalg.solve(ridge, known.T @ grades[~held_out])
        predicted[held_out] = np.clip(np.rint(design[held_out] @ weights), 1, 6)
    kappa = _quadratic_kappa(grades, predicted)
    assert kappa >= 0.9
    assert (predicted != grades).any(), "a simulation without doubtful cases would be too easy"


def _asymmetries(patient: Patient) -> list[float]:
    values: list[float] = []
    rest = pose_face(patient, "rest").points
    for task in MOVEMENTS:
        points = pose_face(patient, task).points
        place = np.linalg.norm(points - mirror_points(points), axis=1)
        moved = np.linalg.norm(points - rest, axis=1)
        uneven = np.abs(moved - moved[MIRROR])
        for region in (RIGHT_BROW, [37, 38, 40, 41], [48, 60], [49, 50, 58, 59], [51, 57]):
            values += [float(place[region].mean()), float(uneven[region].mean())]
    return values


def _quadratic_kappa(true: np.ndarray, predicted: np.ndarray) -> float:
    by_chance = ((true[:, None] - predicted[None]) ** 2).mean()
    return float(1 - ((true - predicted) ** 2).mean() / by_chance)


def test_dlib_finds_the_faces_and_agrees_with_the_true_points(
    simulated_cohort: ExampleCohort,
) -> None:
    found = read_landmarks(simulated_cohort.landmarks)
    assert (found["status"] == "ok").mean() >= 0.97
    found = found[found["status"] == "ok"]
    manifest = read_manifest(simulated_cohort.manifest).set_index("image_id")
    true = points_of(read_truth(manifest.loc[found["image_id"]].reset_index()))
    span = np.linalg.norm(true[:, 45] - true[:, 36], axis=1)
    apart = np.linalg.norm(points_of(found) - true, axis=2)[:, 17:]
    assert (apart.mean(axis=1) / span).mean() < 0.06
