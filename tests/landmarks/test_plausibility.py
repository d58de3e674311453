"""What no face shows is found and named, and no face that there is falls under it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from datasets.simulated.canvas import Canvas
from datasets.simulated.face import draw_patient, pose_face
from datasets.simulated.relief import head_relief, smoothed_for_pose
from datasets.simulated.render import Projection, depth_at
from landmarks.plausibility import implausible
from landmarks.points import MIRROR_PARTNER, POINT_COLUMNS
from landmarks.tables import LANDMARKS_FILE, failure_lines, read_landmarks

Faces = NDArray[np.float64]
CANVAS = Canvas(-98.0, -140.0, 1.0, 272, 196)


def turned_heads(yaw: float, pitch: float) -> Faces:
    """The strongest movements of the weakest faces, seen from the side, above and below."""
    faces = []
    for seed, side, kind in ((3, "left", "flaccid"), (5, "right", "synkinetic")):
        patient = draw_patient(seed=seed, grade=6, side=side, kind=kind)
        view = replace(patient.view, yaw=yaw, pitch=pitch)
        for task in ("rest", "brow_raise", "full_eye_closure", "full_smile", "lip_pucker"):
            face = pose_face(patient, task, amplitude=1.3)
            relief = smoothed_for_pose(CANVAS, head_relief(CANVAS, patient.shape, face))
            depth = depth_at(CANVAS, relief, face.points)
            faces.append(Projection.of(view, 600, 800).forward(face.points, depth))
    return np.array(faces)


def with_asymmetry(faces: Faces, times: float) -> Faces:
    """The same faces with their right and left as many times as different."""
    mirrored = faces[:, list(MIRROR_PARTNER)] * [-1, 1]
    mirrored += (faces - mirrored).mean(axis=1, keepdims=True)
    return (faces + mirrored) / 2 + times * (faces - mirrored) / 2


def tilted(faces: Faces, degrees: float) -> Faces:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return faces @ turn


@pytest.mark.parametrize("yaw", [-45, -20, 0, 30, 45])
def test_no_weak_or_turned_or_tilted_face_is_refused(yaw: float) -> None:
    for pitch in (-20, 0, 20):
        faces = turned_heads(yaw, pitch)
        jitter = np.random.default_rng(0).normal(size=faces.shape) * 1.5  # of a hand, px
        for degrees in (0, 45, 90, 180):
            assert not any(implausible(tilted(faces + jitter, degrees)))


def test_no_face_of_the_cohorts_is_refused(shared: Path) -> None:
    table = pd.read_csv(shared / "data" / "sim_meei" / "true_landmarks.csv")
    faces = table.filter(regex=r"^[xy]_?\d+$").to_numpy(dtype=np.float64).reshape(-1, 68, 2)
    for times in (1, 2, 3):
        for degrees in (0, -90, 180):
            assert not any(implausible(tilted(with_asymmetry(faces, times), degrees)))


@pytest.fixture(scope="module")
def face() -> Faces:
    return turned_heads(0, 0)[0]


def exchanged(face: Faces, *columns: str) -> Faces:
    """The face after two headers of the table were exchanged."""
    values = face.reshape(-1).copy()
    one, other = (POINT_COLUMNS.index(name) for name in columns)
    values[[one, other]] = values[[other, one]]
    return values.reshape(68, 2)


@pytest.mark.parametrize("degrees", [0, 90, 180])
@pytest.mark.parametrize("point", [0, 8, 16, 17, 26, 27, 30, 36, 41, 48, 51, 60, 67])
def test_one_point_far_off_is_named(face: Faces, point: int, degrees: float) -> None:
    slipped = tilted(face[None], degrees)
    slipped[0, point, 1] = 99999
    (reason,) = implausible(slipped)
    assert reason.startswith(f"Point {point} (") and f"check x_{point}, y_{point}" in reason


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (("x_36", "x_45"), ("45", "36")),
        (("x_3", "y_3"), ("3",)),
        (("y_19", "y_57"), ("19", "57")),
        (("x_31", "x_35"), ("31", "35")),
        (("y_50", "y_58"), ("50", "58")),
        (("x_48", "x_54"), ("48", "54")),
    ],
)
def test_two_exchanged_headers_are_named(
    face: Faces, columns: tuple[str, str], names: tuple[str, ...]
) -> None:
    (reason,) = implausible(exchanged(face, *columns)[None])
    assert any(f"x_{name}" in reason for name in names), reason


def test_whole_parts_in_the_wrong_place_are_named(face: Faces) -> None:
    mirrored = face[list(MIRROR_PARTNER)]
    swapped = face.copy()
    swapped[17:27], swapped[36:48] = face[[*range(36, 46)]], face[[*range(17, 27), 26, 26]]
    reasons = implausible(np.stack([mirrored, face * [-1, 1], swapped, face]))
    assert reasons[0] == reasons[1]
    assert reasons[0].startswith("Right and left are exchanged")
    assert reasons[2] and not reasons[3]


def test_faces_that_cannot_be_judged_are_left_to_others(face: Faces) -> None:
    missing = face.copy()
    missing[8] = np.nan
    assert implausible(np.stack([missing, np.ones((68, 2)), face])) == ["", "", ""]
    assert implausible(np.empty((0, 68, 2))) == []


def test_a_slip_fails_its_row_alone_with_a_reason(face: Faces, tmp_path: Path) -> None:
    faces = np.repeat(face[None], 4, axis=0)
    faces[1, 36, 0] = 99999
    faces[2, 8, 1] = np.nan
    faces[3] = np.nan
    table = pd.DataFrame(faces.reshape(4, -1), columns=list(POINT_COLUMNS))
    table.insert(0, "image_id", list("abcd"))
    table.insert(1, "status", ["ok", "ok", "ok", "no_face"])
    table.to_csv(tmp_path / LANDMARKS_FILE, index=False)
    read = read_landmarks(tmp_path / LANDMARKS_FILE)
    assert list(read["status"]) == ["ok", "failed", "failed", "no_face"]
    assert read.loc[0, "x_0"] == face[0, 0] and read.loc[1:, list(POINT_COLUMNS)].isna().all(
        axis=None
    )
    first, second, third = failure_lines(read)
    assert first.startswith("failed: b: Point 36 (right eye) lies ")
    assert second == "failed: c: y_8 is empty or no number: a face needs all 68 points."
    assert third == "no_face: d"
