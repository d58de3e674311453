"""What the networks see: the right part of the map in the right quadrant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from common.errors import UserError
from htnet.micro.clips.maps import CENTRES
from htnet.micro.models.inputs import flow_clips, mosaic
from tests.htnet.micro.drawn_maps import drawn_maps


def turned_round(maps: np.ndarray) -> np.ndarray:
    """Mirror maps `(n, H, W, 3)`: motion to the right becomes motion to the left."""
    return maps[:, :, ::-1] * np.array([-1, 1, 1], dtype=np.float32)


MIRROR_ROWS = [1, 0, 2, 4, 3]  # right and left exchanged, the nose stays


def marked(points: dict[str, tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """One map with a number at each point (x, y), and the points as its centres."""
    maps = np.zeros((1, 28, 28, 3), dtype=np.float32)
    centres = np.full((1, 5, 2), 14.0, dtype=np.float32)
    for number, (name, (x, y)) in enumerate(points.items(), start=1):
        maps[0, y, x] = number
        centres[0, CENTRES.index(name)] = x, y
    return maps, centres


def test_eyes_lie_above_mouth_corners_and_the_subjects_right_on_the_images_left() -> None:
    # x and y differ at every point, so that exchanged axes would be seen.
    maps, centres = marked(
        {
            "right_eye": (8, 10),
            "left_eye": (19, 9),
            "right_mouth_corner": (9, 18),
            "left_mouth_corner": (18, 20),
        }
    )
    made = mosaic(maps, centres)[0, ..., 0]
    quadrants = {1: made[:14, :14], 2: made[:14, 14:], 3: made[14:, :14], 4: made[14:, 14:]}
    for number, quadrant in quadrants.items():
        (row,), (column,) = np.nonzero(quadrant == number)
        assert row in (6, 7) and column in (6, 7)  # a crop of 14 px has its middle between two


def test_a_crop_is_the_14_px_around_its_point() -> None:
    maps = np.random.default_rng(0).normal(size=(1, 28, 28, 3)).astype(np.float32)
    _, centres = marked({"right_eye": (8, 10)})
    np.testing.assert_array_equal(mosaic(maps, centres)[0, :14, :14], maps[0, 4:18, 2:16])


def test_a_point_at_the_border_moves_its_crop_inside() -> None:
    maps = np.random.default_rng(0).normal(size=(1, 28, 28, 3)).astype(np.float32)
    _, centres = marked({"right_eye": (0, 1), "left_mouth_corner": (27, 27)})
    made = mosaic(maps, centres)[0]
    np.testing.assert_array_equal(made[:14, :14], maps[0, :14, :14])
    np.testing.assert_array_equal(made[14:, 14:], maps[0, 14:, 14:])


def test_the_mosaic_of_a_mirrored_face_is_the_mirrored_mosaic() -> None:
    rng = np.random.default_rng(1)
    maps = rng.normal(size=(20, 28, 28, 3)).astype(np.float32)
    centres = rng.uniform(3, 24, size=(20, 5, 2)).astype(np.float32)
    turned = centres[:, MIRROR_ROWS] * [-1, 1] + [27, 0]
    of_mirrored = mosaic(turned_round(maps), turned.astype(np.float32))
    np.testing.assert_array_equal(of_mirrored, turned_round(mosaic(maps, centres)))


def test_maps_of_another_size_are_refused() -> None:
    clips = drawn_maps(subjects=3)
    small = replace(clips, maps=clips.maps[:, :14, :14])
    with pytest.raises(UserError, match=r"14 x 14 px, but the recipe's network\.image_size is 28"):
        flow_clips(small, name="whole", image_size=28)
