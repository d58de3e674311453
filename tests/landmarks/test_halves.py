"""Mirrored halves: what a symmetric model cannot say of the whole face, it says of its halves."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import dlib
import numpy as np
import pytest
from numpy.typing import NDArray

from docs.drawing import schematic_face
from landmarks.find.detector import FaceBox
from landmarks.find.finder import LandmarkFinder
from landmarks.find.halves import (
    MIDLINE,
    SIDE,
    TURN_NONE,
    answers_of,
    halves_of,
    share_of,
    upright_map,
    weighted,
)
from landmarks.find.method import Copy, make_method
from landmarks.points import map_points, mirror_points, swap_sides, turn_of
from landmarks.predictor import find_predictor

CORNERS = [48, 54]


def face(lean: float = 0.0) -> NDArray[np.float64]:
    """A frontal face of about 200 px, in the middle of 400, made symmetric; leaning by a shear."""
    points = schematic_face()
    points = points - (points.min(axis=0) + points.max(axis=0)) / 2
    points = (points + swap_sides(points) * [-1.0, 1.0]) / 2
    points *= 100 / points[45, 0] * 0.5
    points[:, 0] += lean * points[:, 1]
    return points + 199.5


def box_around(points: NDArray[np.float64]) -> FaceBox:
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return FaceBox(left, top, right, bottom, score=1.0, detector="hog_200")


class Symmetric:
    """A model with a symmetric prior: it looks for two bright dots and puts both corners of the
    mouth at the height of their mean."""

    def __call__(self, pixels: NDArray[np.uint8], box: dlib.rectangle) -> SimpleNamespace:
        rows = np.nonzero(pixels > 128)[0]
        points = map_points(face(), upright_map(face()))
        points[CORNERS, 1] = rows.mean()
        return SimpleNamespace(parts=lambda: [SimpleNamespace(x=x, y=y) for x, y in points])


def test_a_symmetric_model_finds_the_asymmetry_of_halves() -> None:
    points = face()
    true = points.copy()
    true[48, 1] += 12.0
    picture = np.zeros((400, 400), np.uint8)
    for corner in CORNERS:
        cv2.circle(picture, tuple(true[corner].round().astype(int).tolist()), 3, 255, -1)
    upright = upright_map(points)
    whole = np.array([[p.x, p.y] for p in Symmetric()(picture, None).parts()])
    assert whole[48, 1] == whole[54, 1]

    (halves,) = answers_of(Symmetric(), picture, box_around(points), upright, copies=[Copy()])
    down = map_points(halves, upright, inverse=True)[:, 1]
    assert down[48] - down[54] == pytest.approx(12.0, abs=1.0)


@pytest.mark.parametrize("lean", [0.0, 0.1])
@pytest.mark.parametrize("angle", [0.0, 17.0])
def test_the_upright_picture_has_level_eyes_and_its_midline_in_the_middle(
    lean: float, angle: float
) -> None:
    turn = np.radians(angle)
    matrix = 1.7 * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points = face(lean) @ matrix.T + [30.0, -11.0]
    upright = upright_map(points)
    seen = map_points(points, upright)

    right, left = seen[[36, 39]].mean(axis=0), seen[[42, 45]].mean(axis=0)
    assert right[1] == pytest.approx(left[1])
    assert left[0] - right[0] == pytest.approx(154.0)
    assert seen[list(MIDLINE), 0] == pytest.approx(np.full(len(MIDLINE), (SIDE - 1) / 2))
    assert map_points(seen, upright, inverse=True) == pytest.approx(points)


def test_weights_leave_a_symmetric_face_and_treat_both_sides_alike() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.uniform(100, 500, (2, 68, 2))
    symmetric = (one + mirror_points(one, width=SIDE)) / 2
    assert weighted(symmetric, symmetric) == pytest.approx(symmetric)

    mirrored = weighted(mirror_points(one, width=SIDE), mirror_points(other, width=SIDE))
    assert mirrored == pytest.approx(mirror_points(weighted(one, other), width=SIDE))


def test_a_turned_head_keeps_the_points_of_the_whole_face() -> None:
    points = face()
    points[30, 0] += 1.01 * TURN_NONE * 100
    assert turn_of(points) > TURN_NONE
    assert share_of(points[None]) == 0.0
    assert share_of(face()[None]) == 1.0
    found = halves_of(None, np.zeros((9, 9), np.uint8), box_around(points), points[None], copies=())  # type: ignore[arg-type]
    assert found == pytest.approx(points[None])


def test_the_mirrored_photograph_gives_mirrored_points(portrait: NDArray[np.uint8]) -> None:
    finder = LandmarkFinder(find_predictor(), method=make_method(tta=6, points="halves"))
    plain, mirrored = finder.find(portrait), finder.find(portrait[:, ::-1].copy())
    back = mirror_points(mirrored.points, width=portrait.shape[1])
    across = np.linalg.norm(plain.points[45] - plain.points[36])
    assert np.linalg.norm(back - plain.points, axis=1).mean() < 0.03 * across
    assert np.isfinite(plain.spread).all()
