"""What must not change a measurement, and what must: moving, turning, scaling, mirroring, palsy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from docs.drawing import WIDTH, schematic_face
from features.definitions import DEFINITIONS, STANDARD, Measured, measure, measurement
from features.registry import DISTANCE_NAMES, FEATURE_NAMES, FEATURES
from landmarks.points import SELECTION_51, mirror_points

Face = NDArray[np.float64]

# Every point of the drawn face moved by up to 4 px either way: no lips or lids close, and all
# features keep a value; degenerate faces have tests of their own.
some_faces = arrays(np.float64, (68, 2), elements=st.floats(-4, 4, width=32)).map(
    lambda moves: schematic_face() + moves
)


def measured(face: Face, definition: str = STANDARD) -> Measured:
    return measure(face[np.newaxis], definition=definition)


def features_of(face: Face, definition: str = STANDARD) -> NDArray[np.float64]:
    return measured(face, definition).features.to_numpy()[0]


def turned(face: Face, degrees: float) -> Face:
    """Turned about the image origin."""
    angle = np.radians(degrees)
    return face @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def symmetrised(face: Face) -> Face:
    """Mean of a face and its mirror image, made exact by mirroring one half once more."""
    mean = (face + mirror_points(face, width=WIDTH)) / 2
    return (mean + mirror_points(mean, width=WIDTH)) / 2


@given(
    face=some_faces,
    move=st.tuples(st.floats(-5000, 5000), st.floats(-5000, 5000)),
    scale=st.floats(0.02, 50),
    degrees=st.floats(-180, 180),
)
def test_moving_scaling_and_turning_leave_every_standard_feature(
    face: Face, move: tuple[float, float], scale: float, degrees: float
) -> None:
    changed = turned(face, degrees) * scale + move
    np.testing.assert_allclose(features_of(changed), features_of(face), rtol=1e-7, atol=1e-7)


@given(face=some_faces, scale=st.floats(0.02, 50), degrees=st.floats(-180, 180))
def test_standard_distances_scale_with_the_photograph(
    face: Face, scale: float, degrees: float
) -> None:
    got = measured(turned(face, degrees) * scale).distances
    np.testing.assert_allclose(got, measured(face).distances * scale, rtol=1e-7, atol=1e-7)


@given(face=some_faces)
def test_a_mirror_leaves_every_standard_feature(face: Face) -> None:
    mirrored = mirror_points(face, width=WIDTH)
    np.testing.assert_allclose(features_of(mirrored), features_of(face), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("definition", ["standard", "huo2022"])
def test_a_mirror_swaps_the_paired_distances(faces: Face, definition: str) -> None:
    # about the face's own upright, so that levelling about P48 moves nothing
    level = np.stack([turned(face, _tilt(face)) for face in faces])
    plain = measure(level, definition=definition).distances
    mirrored = measure(mirror_points(level, width=WIDTH), definition=definition).distances
    for name in DISTANCE_NAMES:
        partner = measurement(name, definition=definition).partner
        if partner is not None:
            np.testing.assert_allclose(mirrored[name], plain[partner], rtol=1e-9, err_msg=name)
            if partner != name:
                assert not np.allclose(mirrored[name], plain[name], rtol=1e-3), name


def _tilt(face: Face) -> float:
    across = face[16] - face[0]
    return float(np.degrees(np.arctan2(across[1], across[0])))


@settings(max_examples=50)
@given(face=some_faces)
def test_a_symmetric_face_gives_the_symmetric_value(face: Face) -> None:
    face = symmetrised(face)
    for definition in DEFINITIONS:
        got = measured(face, definition).features.iloc[0]
        for name in FEATURE_NAMES:
            expected = measurement(name, definition=definition).symmetric
            if expected is not None:
                assert got[name] == pytest.approx(expected, abs=1e-9), (definition, name)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_symmetry_does_not_fix_the_features_without_a_symmetric_value(
    drawn_face: Face, definition: str
) -> None:
    rng = np.random.default_rng(3)
    others = [symmetrised(drawn_face + rng.normal(scale=4, size=(68, 2))) for _ in range(4)]
    got = measure(np.stack(others), definition=definition).features
    for name in FEATURE_NAMES:
        fixed = measurement(name, definition=definition).symmetric is not None
        assert (np.ptp(got[name]) < 1e-9) == fixed, name


# What the older definitions get wrong, and `standard` does not.


@pytest.mark.parametrize("definition", ["huo2022", "parra2021"])
def test_older_brow_ratio_depends_on_where_the_face_lies(faces: Face, definition: str) -> None:
    lower = np.add(faces, [0.0, 400.0])
    old = measure(faces, definition=definition).features["f3"]
    assert (measure(lower, definition=definition).features["f3"] - old).abs().min() > 1e-3
    np.testing.assert_allclose(measure(lower).features["f3"], measure(faces).features["f3"])


@pytest.mark.parametrize("name", ["f11", "f12", "f13"])
def test_huo2022_eye_features_depend_on_the_size_of_the_photograph(faces: Face, name: str) -> None:
    for definition, depends in (("huo2022", True), ("standard", False)):
        small = measure(faces / 10, definition=definition).features[name]
        large = measure(faces, definition=definition).features[name]
        assert np.allclose(small, large, rtol=1e-6) != depends, definition


def test_huo2022_lean_turns_its_sign_in_a_mirror(faces: Face) -> None:
    mirrored = mirror_points(faces, width=WIDTH)
    old = [measure(points, definition="huo2022").features["f23"] for points in (faces, mirrored)]
    np.testing.assert_allclose(old[0], -old[1], atol=1e-9)
    assert (old[0].abs() > 1e-3).all()


def test_parra2021_closed_eye_looks_the_same_on_one_side_and_on_both(drawn_face: Face) -> None:
    one, both = drawn_face.copy(), drawn_face.copy()
    one[[40, 41], 1] = both[[40, 41], 1] = both[[46, 47], 1] = drawn_face[37, 1]
    assert measured(one, "parra2021").features["f11"][0] == 0
    assert measured(both, "parra2021").features["f11"][0] == 0
    assert measured(one).features["f11"][0] > 1 > measured(both).features["f11"][0] == 0


# A weak side raises the asymmetry of its region, and of no other where they share no points.

WEAK_SIDES = {
    "brow drops": ([17, 18, 19, 20, 21], (0, 8), {f"f{i}" for i in range(7)}, {"brow"}),
    "lower lid droops": ([40, 41], (0, 5), {"f11", "f12", "f13"}, {"eye"}),
    "mouth corner drops": ([48, 60], (0, 9), {"f14"}, {"mouth"}),
    "half the lip is flat": ([58, 59], (0, -6), {"f16", "f17"}, {"mouth"}),
    # the nostril is the far end of f10, an eye feature, too
    "nostril drops": ([31], (0, 4), {"f22", "f24", "f10"}, {"nose", "eye"}),
    # P37, the middle of the lower lip, is where the lines of nose and whole face end
    "mouth is pulled over": (
        [*range(48, 68)], (10, 0), {"f15", "f23", "f24"}, {"mouth", "nose", "face", "jaw"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WEAK_SIDES)
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_weak_side_raises_the_asymmetry_of_its_region(
    drawn_face: Face, case: str, side: str
) -> None:
    moved, by, rise, regions = WEAK_SIDES[case]
    palsy = drawn_face.copy()
    palsy[moved] += by
    if side == "left":
        palsy = mirror_points(palsy, width=WIDTH)
    before, after = features_of(drawn_face), features_of(palsy)
    for entry, old, new in zip(FEATURES, before, after, strict=True):
        if entry.name in rise:
            assert new > old + 1e-3, entry.name
        if entry.region not in regions:
            assert new == pytest.approx(old, abs=1e-12), entry.name


# What cannot be measured.


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_missing_point_gives_a_row_of_nan_and_leaves_the_others(
    faces: Face, definition: str, bad: float
) -> None:
    broken = faces.copy()
    broken[2, 57, 0] = bad
    got, whole = measure(broken, definition=definition), measure(faces, definition=definition)
    assert got.measurable.tolist() == [True, True, False, True, True, True]
    assert got.distances.iloc[2].isna().all() and got.features.iloc[2].isna().all()
    others = [0, 1, 3, 4, 5]
    assert got.features.iloc[others].equals(whole.features.iloc[others])


def test_points_that_are_not_measured_may_be_missing(faces: Face) -> None:
    unused = sorted(set(range(68)) - set(SELECTION_51))
    assert unused == [*range(1, 8), *range(9, 16), 27, 28, 29]
    broken = faces.copy()
    broken[:, unused] = np.nan
    assert measure(broken).features.equals(measure(faces).features)


def test_no_photographs_give_empty_tables() -> None:
    got = measure(np.empty((0, 68, 2)))
    assert got.distances.shape == (0, 34) and got.features.shape == (0, 29)


def test_a_single_face_without_its_first_axis_is_refused(drawn_face: Face) -> None:
    with pytest.raises(ValueError, match=r"must be \(n, 68, 2\)"):
        measure(drawn_face)


DEGENERATE = {
    "no lip height on one side": ({59: 49}, {"f16"}),
    "no mouth width": ({54: 48}, {"f14", "f19", "f20", "f21"}),
    "brow ends coincide": ({22: 21}, {"f2", "f6"}),
    "eyes coincide": ({45: 36}, {"f3", "f7"}),
    "an eye of no width": ({39: 36}, {"f8"}),
    "nose and lip coincide": ({57: 30}, {"f23"}),
}


@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize("degrees", [0.0, 33.0])
def test_what_coincident_points_leave_undefined_is_nan(
    drawn_face: Face, case: str, degrees: float
) -> None:
    moves, undefined = DEGENERATE[case]
    face = drawn_face.copy()
    for point, to in moves.items():
        face[point] = face[to]
    got = measured(turned(face, degrees)).features.iloc[0]
    assert set(got.index[got.isna()]) == undefined


def test_what_rounding_leaves_of_a_zero_length_is_zero(drawn_face: Face) -> None:
    drawn_face[59, 1] = drawn_face[49, 1]  # level with each other, but not in one place
    all_ways = measure(np.stack([turned(drawn_face, degrees) for degrees in range(-180, 180, 7)]))
    assert 0 < all_ways.distances["Pl"].max() < 1e-9  # rounding is at work
    undefined = all_ways.features.isna().all()
    assert set(undefined.index[undefined]) == {"f16"}
    assert all_ways.features.drop(columns="f16").notna().all(axis=None)


@pytest.mark.parametrize(("opening", "kept"), [(0.5e-4, False), (2e-4, True)])
def test_parra2021_takes_a_tiny_mean_eye_opening_for_none(
    drawn_face: Face, opening: float, kept: bool
) -> None:
    drawn_face[[40, 41], 1] = drawn_face[37, 1] + opening
    for definition in DEFINITIONS:
        got = measured(drawn_face, definition).distances["N"][0]
        expected = opening if kept or definition != "parra2021" else 0.0
        assert got == pytest.approx(expected, abs=1e-9), definition


def test_a_line_standing_upright_has_an_angle_but_no_slope(drawn_face: Face) -> None:
    drawn_face[22] = drawn_face[21] - [0.0, 10.0]
    got = measured(drawn_face).features
    assert got["f2"][0] == 90.0 and np.isnan(got["f6"][0])


def test_a_brow_below_the_eyes_has_a_negative_height_and_no_ratio(drawn_face: Face) -> None:
    drawn_face[17:22, 1] += 60.0
    got = measured(drawn_face)
    assert got.distances["L"][0] == pytest.approx(194 - 147.8 - 60)
    assert np.isnan(got.features["f3"][0])


@pytest.mark.parametrize("point", [0.0, 7.5])
def test_a_face_that_cannot_be_levelled_is_not_measured(drawn_face: Face, point: float) -> None:
    drawn_face[16] = drawn_face[0]
    one_place = np.full((68, 2), point)
    got = measure(np.stack([drawn_face, one_place]))
    assert not got.measurable.any()
    assert got.distances.isna().all(axis=None) and got.features.isna().all(axis=None)


def test_older_definitions_keep_their_infinities_without_a_warning(drawn_face: Face) -> None:
    drawn_face[59] = drawn_face[49]
    assert measured(drawn_face, "huo2022").features["f16"][0] == np.inf
    assert measured(drawn_face, "parra2021").features["f16"][0] == 0.0


@settings(max_examples=200)
@given(face=arrays(np.float64, (68, 2), elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_standard_is_never_infinite_and_never_warns(face: Face) -> None:
    got = measured(face)  # warnings are errors in this suite
    assert not np.isinf(got.features).any(axis=None)
    assert not np.isinf(got.distances).any(axis=None)


def test_the_drawn_face_is_its_own_mirror_image(drawn_face: Face) -> None:
    assert np.isfinite(drawn_face).all()
    assert np.array_equal(mirror_points(drawn_face, width=WIDTH), drawn_face)
    assert drawn_face[0, 0] < drawn_face[16, 0]  # the patient's right is image-left
