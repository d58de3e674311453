"""Optical flow against known motion; strain against its formula; what the two scalings keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from htnet.micro.clips.flow import FlowEstimator, FlowMethod, optical_strain
from htnet.micro.clips.maps import face_map, scaled, small_map
from tests.htnet.drawn_faces import face_points
from tests.htnet.micro.known_motion import (
    moved,
    photographed,
    shifted,
    stretching,
    stretching_strain,
    texture,
)

SIZE = 160
INSIDE = slice(16, -16)
# Mean end-point error in px that is allowed, with camera noise; `python -m benchmarks.flow`.
ALLOWED: dict[FlowMethod, float] = {"dis": 0.08, "tvl1": 0.12, "farneback": 0.08}
LEAST_LIKENESS: dict[FlowMethod, float] = {"dis": 0.93, "tvl1": 0.93, "farneback": 0.85}


@pytest.fixture(scope="module", params=list(ALLOWED))
def estimator(request: pytest.FixtureRequest) -> FlowEstimator:
    return FlowEstimator(request.param)


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0, 4.0])
def test_a_known_shift_comes_back(estimator: FlowEstimator, shift: float) -> None:
    picture = texture(SIZE, seed=1)
    first = photographed(picture, seed=1)
    second = photographed(shifted(picture, shift, -shift / 2), seed=2)
    flow = estimator.flow(first, second)[INSIDE, INSIDE]
    error = np.hypot(flow[..., 0] - shift, flow[..., 1] + shift / 2)
    assert error.mean() < ALLOWED[estimator.method]
    assert abs(flow[..., 0].mean() - shift) < 0.02  # no bias


def test_a_known_strain_comes_back(estimator: FlowEstimator) -> None:
    picture = texture(SIZE, seed=3)
    field = stretching(SIZE, most=2.0)
    second = photographed(moved(picture, field), seed=2)
    flow = estimator.flow(photographed(picture, seed=1), second)
    points = (face_points(SIZE) - SIZE / 2) * 100  # all of the square lies within the face
    found = face_map(flow, points)[..., 2][INSIDE, INSIDE]
    true = stretching_strain(SIZE, most=2.0)[INSIDE, INSIDE]
    assert np.sqrt(((found - true) ** 2).mean()) < 0.25 * np.sqrt((true**2).mean())
    assert np.corrcoef(found.ravel(), true.ravel())[0, 1] > LEAST_LIKENESS[estimator.method]


def test_the_formula_of_strain_on_a_field_with_known_derivatives() -> None:
    found = optical_strain(stretching(200, most=3.0).astype(np.float32))[1:-1, 1:-1]
    assert np.allclose(found, stretching_strain(200, most=3.0)[1:-1, 1:-1], atol=1e-4)


@given(
    st.floats(-0.2, 0.2), st.floats(-0.2, 0.2), st.floats(-0.2, 0.2), st.floats(-0.2, 0.2),
    st.floats(-5, 5),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_strain_of_linear_motion_is_that_of_its_matrix(
    a: float, b: float, c: float, d: float, shift: float
) -> None:
    x, y = np.meshgrid(np.arange(12.0), np.arange(9.0))
    flow = np.stack([a * x + b * y + shift, c * x + d * y - shift], axis=-1)
    expected = np.sqrt(a**2 + d**2 + 0.5 * (b + c) ** 2)
    assert np.allclose(optical_strain(flow.astype(np.float32)), expected, atol=1e-5)


def test_moving_and_turning_as_a_whole_is_no_strain() -> None:
    x, y = np.meshgrid(np.arange(20.0), np.arange(20.0))
    turning = np.stack([3.0 - 0.01 * y, -2.0 + 0.01 * x], axis=-1).astype(np.float32)
    assert optical_strain(turning).max() < 1e-6


def test_physical_maps_keep_the_order_of_magnitudes_and_published_maps_do_not() -> None:
    """The defect of stretching each map by itself: half a smile looks like a whole one."""
    picture = texture(SIZE, seed=5)
    first = photographed(picture, seed=1)
    points = face_points(SIZE)
    sizes = {"physical": [], "published": []}
    for most in (1.0, 2.0, 4.0):
        second = photographed(moved(picture, stretching(SIZE, most=most)), seed=2)
        whole = face_map(FlowEstimator("dis").flow(first, second), points)
        small = small_map(whole)
        for scaling, found in sizes.items():
            stretched = scaled(small, scaling=scaling, axes=(0, 1))
            found.append(np.ptp(stretched[..., 0]))
    half, whole, double = sizes["physical"]
    assert whole / half == pytest.approx(2.0, rel=0.15)
    assert double / whole == pytest.approx(2.0, rel=0.15)
    assert sizes["published"] == [255.0, 255.0, 255.0]


def test_units_of_a_map_are_fractions_of_the_face_and_do_not_depend_on_its_size() -> None:
    for size in (112, 224):
        flow = np.full((size, size, 2), 0.05 * size, dtype=np.float32)
        small = small_map(face_map(flow, face_points(size)))
        centre = small[14, 14]
        assert centre == pytest.approx([0.05, 0.05, 0.0], abs=1e-6)
        assert small[0, 0] == pytest.approx([0.0, 0.0, 0.0])  # background


def test_stretching_a_map_without_contrast_gives_zeros_and_no_warning() -> None:
    flat = np.full((2, 28, 28, 3), 0.3, dtype=np.float32)
    flat[1, 3, 4, 0] = 0.9
    stretched = scaled(flat, scaling="published", axes=(1, 2))
    assert stretched[0].max() == 0.0
    assert stretched[1, ..., 0].max() == 255.0
    assert np.array_equal(stretched, np.rint(stretched))


def test_an_unknown_method_is_named_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"dis, tvl1, farneback.*Did you mean"):
        FlowEstimator("tvl2")  # type: ignore[arg-type]


def test_pictures_of_two_sizes_have_no_flow() -> None:
    with pytest.raises(ValueError, match="no flow"):
        FlowEstimator().flow(np.zeros((40, 40), np.uint8), np.zeros((40, 41), np.uint8))
