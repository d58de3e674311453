from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.photos import read_photo
from landmarks.find.finder import LandmarkFinder
from landmarks.overlay import (
    LEFT_RGB,
    MAX_SIDE,
    MIDLINE_RGB,
    RIGHT_RGB,
    draw_overlay,
    write_overlay,
)
from landmarks.points import N_POINTS, side_of

COLOUR_OF = {"right": RIGHT_RGB, "left": LEFT_RGB, "midline": MIDLINE_RGB}


def test_the_sides_have_the_colours_that_the_reports_name() -> None:
    assert RIGHT_RGB == (230, 159, 0)  # Okabe and Ito's orange
    assert LEFT_RGB == (86, 180, 233)  # their sky blue


@pytest.fixture(scope="module")
def points(finder: LandmarkFinder, portrait: np.ndarray) -> np.ndarray:
    return finder.find(portrait).points


def test_every_point_is_drawn_at_its_place_in_the_colour_of_its_side(
    portrait: np.ndarray, points: np.ndarray
) -> None:
    large = np.zeros((2048, 2048, 3), np.uint8)
    drawn = draw_overlay(large, points * 4, legend=False)
    for index in range(N_POINTS):
        x, y = np.rint(points[index] * 4).astype(int)
        assert tuple(drawn[y, x]) == COLOUR_OF[side_of(index)]


def test_the_patients_right_is_image_left(portrait: np.ndarray, points: np.ndarray) -> None:
    drawn = draw_overlay(np.zeros_like(portrait), points, legend=False)
    middle = points[27, 0]
    columns = {
        side: np.nonzero((drawn == colour).all(axis=2))[1].mean()
        for side, colour in COLOUR_OF.items()
    }
    assert columns["right"] < middle - 10
    assert columns["left"] > middle + 10


def test_the_legend_names_each_side_where_it_is(portrait: np.ndarray, points: np.ndarray) -> None:
    drawn = draw_overlay(np.zeros_like(portrait), points)[-36:]  # below every point
    for colour, left_half in ((RIGHT_RGB, True), (LEFT_RGB, False)):
        columns = np.nonzero((drawn == colour).all(axis=2))[1]
        assert columns.size > 20
        assert ((columns < 256) == left_half).all()


def test_the_photograph_itself_is_left_alone(portrait: np.ndarray, points: np.ndarray) -> None:
    before = portrait.copy()
    drawn = draw_overlay(portrait, points)
    np.testing.assert_array_equal(portrait, before)
    changed = (drawn != portrait).any(axis=2)
    assert changed.any()
    assert not changed[60:440, :100].any()  # nothing where nothing was found


def test_an_overlay_is_a_jpeg_in_the_right_colours(
    tmp_path: Path, portrait: np.ndarray, points: np.ndarray
) -> None:
    write_overlay(tmp_path / "sub" / "a.jpg", portrait, points)
    written = read_photo(tmp_path / "sub" / "a.jpg").pixels
    assert written.shape == portrait.shape
    untouched = (slice(60, 440), slice(0, 100))
    difference = written[untouched].astype(int) - portrait[untouched]
    assert np.abs(difference).mean() < 6  # red and blue exchanged would give far more


@pytest.mark.parametrize(
    ("size", "expected"),
    [((3000, 1500), (1600, 800)), ((1000, 2000), (800, 1600)), ((900, 700), (900, 700))],
)
def test_an_overlay_is_never_larger_than_its_limit(
    tmp_path: Path, points: np.ndarray, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    width, height = size
    assert MAX_SIDE == 1600
    scaled = points / 512 * [width, height]
    write_overlay(tmp_path / "a.jpg", np.zeros((height, width, 3), np.uint8), scaled)
    drawn = read_photo(tmp_path / "a.jpg").pixels
    assert drawn.shape[1::-1] == expected
    x, y = np.rint((scaled[30] + 0.5) * expected[0] / width - 0.5).astype(int)
    assert (drawn[y, x] > 200).all()  # the tip of the nose, white, moved with the photograph
    assert (drawn[5, 5] < 20).all()
