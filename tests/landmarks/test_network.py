"""The project's own landmark network: its frames, its arithmetic, and what it answers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from common.errors import UserError
from docs.drawing import schematic_face
from landmarks.find.finder import LandmarkFinder
from landmarks.find.halves import joined_with
from landmarks.find.method import Copy, make_method
from landmarks.find.network import (
    EYE_PX,
    FACE_PX,
    NETWORK,
    LandmarkNetwork,
    View,
    eye_map,
    face_map,
    level_angle,
    normalised,
    peaks,
    picture,
)
from landmarks.points import map_points, mirror_points
from landmarks.predictor import find_predictor


def face() -> NDArray[np.float64]:
    """An asymmetric face of about 200 px in a picture of 400."""
    points = schematic_face()
    points = points - (points.min(axis=0) + points.max(axis=0)) / 2
    return points * 50 / points[45, 0] + 199.5 + np.random.default_rng(3).normal(0, 2, (68, 2))


def blurred_noise() -> NDArray[np.uint8]:
    noise = np.random.default_rng(5).integers(0, 256, (400, 400)).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 4), dtype=np.uint8)


def test_a_peak_is_found_between_cells_and_another_far_away_does_not_count() -> None:
    cells = np.arange(32)
    true = np.array([[40.3, 77.9], [64.0, 12.5]])
    at = (true + 0.5) * 32 / FACE_PX - 0.5
    spots = [-((cells - x) ** 2)[None, :] / 2 - ((cells - y) ** 2)[:, None] / 2 for x, y in at]
    heatmaps = np.stack(spots, axis=-1)[None].astype(np.float32)
    heatmaps[0, 2:5, 27:30] = -0.5  # nearly as high, of either map far from its peak
    assert peaks(heatmaps, size=FACE_PX)[0] == pytest.approx(true, abs=0.05)


def test_the_left_eye_is_seen_as_the_right_eye_of_the_mirrored_picture() -> None:
    grey, points = blurred_noise(), face()
    view = View(angle=0.1, scale=1.1, shift=(0.03, -0.02))
    other = View(angle=-0.1, scale=1.1, shift=(-0.03, -0.02))
    left = picture(grey, eye_map(points, 1, view, level=0.05), size=EYE_PX)
    mirrored = mirror_points(points, width=400)
    right = picture(
        np.ascontiguousarray(grey[:, ::-1]), eye_map(mirrored, 0, other, level=-0.05), size=EYE_PX
    )
    assert np.abs(left - right).max() < 0.02


def test_the_picture_of_a_face_is_level_and_the_same_at_any_tilt_and_size() -> None:
    points = face()
    turn = 0.4 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    seen = [
        map_points(one, face_map(one, level=level_angle(one)))
        for one in (points, points @ turn.T + [31.0, -7.0])
    ]
    assert seen[0] == pytest.approx(seen[1])
    right, left = seen[0][36:42].mean(axis=0), seen[0][42:48].mean(axis=0)
    assert right[1] == pytest.approx(left[1])
    assert seen[0][17:].mean(axis=0) == pytest.approx([(FACE_PX - 1) / 2] * 2)


def test_light_and_contrast_hardly_change_what_is_seen() -> None:
    grey = blurred_noise().astype(np.float32) * 4
    change = normalised(grey * 0.7 + 40) - normalised(grey)
    assert np.abs(change).max() < 0.2 * np.abs(normalised(grey)).max()


@pytest.fixture(scope="module")
def network() -> LandmarkNetwork:
    return LandmarkNetwork.load(NETWORK)


@pytest.mark.parametrize("points", ["own", "joined"])
def test_the_mirrored_photograph_gives_mirrored_points(
    points: str, portrait: NDArray[np.uint8]
) -> None:
    finder = LandmarkFinder(find_predictor(), method=make_method(tta=4, points=points))  # type: ignore[arg-type]
    plain, mirrored = finder.find(portrait), finder.find(portrait[:, ::-1].copy())
    back = mirror_points(mirrored.points, width=portrait.shape[1])
    across = np.linalg.norm(plain.points[45] - plain.points[36])
    assert np.linalg.norm(back - plain.points, axis=1)[17:].mean() < 0.03 * across
    assert np.isfinite(plain.spread).all()
    assert np.isfinite(plain.halves_share) == (points == "joined")


def test_a_corner_of_the_mouth_that_is_pulled_up_is_followed(
    network: LandmarkNetwork, portrait: NDArray[np.uint8]
) -> None:
    """The dlib model and this one see the same change; this one follows at least half of it."""
    plain = LandmarkFinder(find_predictor()).find(portrait)
    assert plain.box is not None
    corner, up = plain.points[48], 9.0
    y, x = np.mgrid[: portrait.shape[0], : portrait.shape[1]].astype(np.float32)
    away = np.hypot(x - corner[0], y - corner[1] + up)
    pulled = cv2.remap(
        portrait, x, y + (up * np.exp(-((away / 14) ** 2) / 2)).astype(np.float32), cv2.INTER_LINEAR
    )
    found = [
        network.points(np.asarray(one, dtype=np.uint8), plain.box, copies=[Copy()])[0]
        for one in (portrait, pulled)
    ]
    change = found[1] - found[0]
    assert -1.5 * up < change[48, 1] < -0.5 * up
    assert abs(change[54, 1]) < 0.25 * up
    assert np.linalg.norm(change[17:27], axis=1).mean() < 0.1 * up


def test_copies_of_a_colour_picture_are_those_of_its_grey(
    network: LandmarkNetwork, portrait: NDArray[np.uint8]
) -> None:
    plain = LandmarkFinder(find_predictor()).find(portrait)
    assert plain.box is not None
    grey = np.asarray(cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    copies = [Copy(angle_deg=4, mirrored=True), Copy(box_shift=(0.05, 0.02), box_scale=1.1)]
    of_grey, of_colour = (network.points(one, plain.box, copies=copies) for one in (grey, portrait))
    across = np.linalg.norm(plain.points[45] - plain.points[36])
    assert of_grey.shape == (2, 68, 2)
    assert np.linalg.norm(of_grey - of_colour, axis=2).mean() < 0.01 * across
    assert np.linalg.norm(of_grey[0] - of_grey[1], axis=1)[17:].mean() < 0.05 * across


def test_joined_keeps_what_is_symmetric_and_takes_the_mean_of_what_is_not() -> None:
    points = np.stack([face(), face() + 1.5])
    assert joined_with(points, points) == pytest.approx(points)
    other = face()
    other[48, 1] += 8
    other[54, 1] -= 8
    moved = joined_with(points, np.stack([other, other + 1.5]))[0] - points[0]
    assert moved[[48, 54], 1] == pytest.approx([4, -4], abs=0.2)
    assert np.abs(np.delete(moved, [48, 54], axis=0)).max() < 0.01


@pytest.mark.parametrize("content", ["cut", "other", "none"])
def test_a_file_that_is_no_network_is_refused_in_a_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "own.safetensors"
    if content == "cut":
        path.write_bytes(NETWORK.read_bytes()[:1000])
    elif content == "other":
        save_file({"a": np.zeros(3)}, path)
    with pytest.raises(UserError, match="no whole landmark network"):
        LandmarkNetwork.load(path)
