from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landmarks.overlay import OUTLINES
from landmarks.points import (
    INNER,
    MIRROR_PARTNER,
    N_POINTS,
    POINT_COLUMNS,
    REGIONS,
    SELECTION_51,
    mirror_points,
    side_of,
    tilt_degrees,
)

RNG = np.random.default_rng(3)


def test_regions_cover_every_point_once() -> None:
    assert [point for region in REGIONS.values() for point in region] == list(range(N_POINTS))
    assert list(INNER) == list(range(17, 68))


def test_columns_alternate_x_and_y() -> None:
    assert POINT_COLUMNS[:4] == ("x_0", "y_0", "x_1", "y_1")
    assert POINT_COLUMNS[-1] == "y_67"
    assert len(POINT_COLUMNS) == 136


def test_the_51_points_are_those_of_the_design() -> None:
    by_range = {range(10): 17, range(10, 22): 36, range(22, 28): 30, range(28, 48): 48}
    for selected, first in by_range.items():
        assert [SELECTION_51[i] for i in selected] == [first + k for k in range(len(selected))]
    assert SELECTION_51[48:] == (0, 16, 8)
    assert len(set(SELECTION_51)) == 51


def test_mirroring_twice_changes_nothing() -> None:
    assert [MIRROR_PARTNER[MIRROR_PARTNER[i]] for i in range(N_POINTS)] == list(range(N_POINTS))
    points = RNG.normal(300, 90, (4, N_POINTS, 2))
    twice = mirror_points(mirror_points(points, width=640), width=640)
    np.testing.assert_allclose(twice, points, atol=1e-9)


def test_partners_lie_in_the_region_of_the_other_side() -> None:
    region_of = {point: name for name, points in REGIONS.items() for point in points}
    for point, partner in enumerate(MIRROR_PARTNER):
        there = region_of[point].replace("right", "*").replace("left", "right").replace("*", "left")
        assert region_of[partner] == there


def test_outlines_are_mirrored_onto_outlines() -> None:
    # Lines join neighbours; a wrong partner would tear one.
    lines = {frozenset(line) for line in OUTLINES}
    assert {frozenset(MIRROR_PARTNER[p] for p in line) for line in lines} == lines


def test_sides_are_the_patients() -> None:
    assert {point for point in range(N_POINTS) if side_of(point) == "midline"} == {
        8, 27, 28, 29, 30, 33, 51, 57, 62, 66,
    }  # fmt: skip
    # DESIGN: dlib's points 0-7, 17-21, 36-41 and 48 are on the patient's right.
    for point in (*range(8), *range(17, 22), *range(36, 42), 48):
        assert side_of(point) == "right"
        assert side_of(MIRROR_PARTNER[point]) == "left"


def test_the_right_side_of_the_portrait_is_image_left(finder, portrait: np.ndarray) -> None:
    x = finder.find(portrait).points[:, 0]
    for point, partner in enumerate(MIRROR_PARTNER):
        if side_of(point) == "right":
            assert x[point] < x[partner]


@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
def test_tilt_has_the_leading_shape(leading: tuple[int, ...]) -> None:
    assert np.shape(tilt_degrees(RNG.normal(size=(*leading, N_POINTS, 2)))) == leading


@given(st.floats(-179, 179), st.floats(0.1, 1e4))
def test_tilt_is_counter_clockwise_as_seen(angle: float, width: float) -> None:
    points = np.zeros((N_POINTS, 2))
    # As seen: x to the right, y up; in the picture y points down.
    points[16] = width * np.cos(np.radians(angle)), -width * np.sin(np.radians(angle))
    assert tilt_degrees(points) == pytest.approx(angle, abs=1e-9)


def test_mirroring_turns_the_tilt_round() -> None:
    points = RNG.normal(300, 90, (N_POINTS, 2))
    points[0], points[16] = (100, 210), (400, 190)
    mirrored = mirror_points(points, width=500)
    assert tilt_degrees(points) == pytest.approx(-tilt_degrees(mirrored))
    assert tilt_degrees(points) > 0  # the patient's left ear is higher as seen
