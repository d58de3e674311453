"""Copies are drawn from seed, photograph and number alone, and their points go back exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.errors import UserError
from landmarks.find.detector import FaceBox
from landmarks.find.method import KINDS, Augmentation, Copy, parse_augmentation
from landmarks.find.tta import FACE_PX, cut_face
from landmarks.points import compose, map_points, mirror_points, swap_sides, turn_about

CONTENT = "5" * 64
ALL_KINDS = "rotation_uniform+intensity+noise_normal+box+mirror"


def copies_of(augmentation: Augmentation, content: str = CONTENT) -> list[Copy]:
    return [augmentation.copy(i, content=content) for i in range(augmentation.copies)]


@given(
    angle=st.floats(-180, 180),
    mirrored=st.booleans(),
    centre=st.tuples(st.floats(-5e3, 5e3), st.floats(-5e3, 5e3)),
    points=st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), min_size=1, max_size=5),
)
def test_points_go_back_exactly(
    angle: float, mirrored: bool, centre: tuple[float, float], points: list[tuple[float, float]]
) -> None:
    turn = turn_about(centre, angle_deg=angle, mirrored=mirrored)
    scale = np.array([[0.37, 0.0, 11.0], [0.0, 0.37, -3.0]])
    both = compose(scale, turn)
    there = map_points(np.array(points), both)

    np.testing.assert_allclose(there, map_points(map_points(np.array(points), turn), scale))
    np.testing.assert_allclose(map_points(there, both, inverse=True), points, atol=1e-8)
    np.testing.assert_allclose(map_points(np.array(centre), turn), centre, atol=1e-8)


def test_positive_angles_turn_counter_clockwise_as_seen() -> None:
    turn = turn_about((10.0, 20.0), angle_deg=90.0)

    # What lay to the right comes to lie above: y points down.
    np.testing.assert_allclose(map_points(np.array([15.0, 20.0]), turn), [10.0, 15.0], atol=1e-12)


def picture_with_dot(at: tuple[float, float], *, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A bright, soft dot whose centre of mass is `at`."""
    h, w = size
    y, x = np.mgrid[:h, :w]
    radius = max(size) / 60
    dot = 255 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * radius**2))
    return np.rint(dot).astype(np.uint8)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [-25.0, 0.0, 7.5])
@pytest.mark.parametrize("face", [60.0, 240.0, 1000.0])
def test_a_dot_in_the_crop_maps_back_to_where_it_is(
    face: float, angle: float, mirrored: bool
) -> None:
    dot = (2.11 * face, 1.43 * face)
    pixels = picture_with_dot(dot, size=(round(3.2 * face), round(3.5 * face)))
    corner = np.array([1.4, 1.1]) * face
    box = FaceBox(*corner, *(corner + face - 1), score=1.0, detector="hog_200")
    crop = cut_face(pixels, box).turned(angle, mirrored=mirrored)
    weight = crop.pixels.astype(np.float64)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    seen = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()

    off = crop.to_photo(seen) - dot
    assert np.abs(off).max() < 0.15 * face / FACE_PX + 0.02


def test_swapping_sides_twice_changes_nothing_and_agrees_with_mirror_points() -> None:
    points = np.random.default_rng(3).uniform(0, 100, (68, 2))
    mirrored = swap_sides(points)

    np.testing.assert_array_equal(swap_sides(mirrored), points)
    np.testing.assert_allclose(mirrored[:, 0], 99 - mirror_points(points, width=100)[:, 0])


def test_the_first_copy_is_left_as_it_is() -> None:
    assert parse_augmentation(ALL_KINDS, copies=3).copy(0, content=CONTENT) == Copy()
    pixels = np.arange(75, dtype=np.uint8).reshape(5, 5, 3)
    np.testing.assert_array_equal(Copy().alter(pixels), pixels)


def test_copies_depend_on_seed_photograph_and_number_and_on_nothing_else() -> None:
    ten = copies_of(parse_augmentation(ALL_KINDS, copies=10, seed=4))
    three = copies_of(parse_augmentation(ALL_KINDS, copies=3, seed=4))
    other_seed = copies_of(parse_augmentation(ALL_KINDS, copies=10, seed=5))
    other_photo = copies_of(parse_augmentation(ALL_KINDS, copies=10, seed=4), content="6" * 64)

    assert ten[:3] == three
    assert len({copy.angle_deg for copy in [*ten[1:], *other_seed[1:], *other_photo[1:]]}) == 27


def test_a_combination_uses_the_draws_of_its_parts() -> None:
    both = copies_of(parse_augmentation("rotation_normal+box", copies=6))
    rotation = copies_of(parse_augmentation("rotation_normal", copies=6))
    box = copies_of(parse_augmentation("box", copies=6))

    assert [copy.angle_deg for copy in both] == [copy.angle_deg for copy in rotation]
    assert [copy.box_shift for copy in both] == [copy.box_shift for copy in box]
    assert not any(copy.angle_deg for copy in box)


def test_rotation_laws() -> None:
    def angles(kind: str, copies: int) -> NDArray[np.float64]:
        drawn = copies_of(parse_augmentation(kind, copies=copies))[1:]
        return np.array([copy.angle_deg for copy in drawn])

    uniform, normal = angles("rotation_uniform:12", 1000), angles("rotation_normal:6", 1000)
    assert np.abs(uniform).max() <= 12
    assert uniform.std() == pytest.approx(12 / 3**0.5, rel=0.05)
    assert normal.std() == pytest.approx(6, rel=0.08)
    assert abs(normal.mean()) < 0.6
    np.testing.assert_allclose(angles("rotation_steps:10", 6), [-10, -5, 0, 5, 10])
    np.testing.assert_allclose(angles("rotation_steps:10", 2), [10])


@pytest.mark.parametrize(
    ("kind", "deviation"),
    [("noise_normal:10", 10.0), ("noise_uniform:20", 20 / 3**0.5), ("noise_normal_rgb:10", 10.0)],
)
def test_noise_has_its_law_and_is_shared_or_per_channel(kind: str, deviation: float) -> None:
    grey = np.full((200, 200, 3), 128, dtype=np.uint8)
    copy = parse_augmentation(kind, copies=2).copy(1, content=CONTENT)
    noise = copy.alter(grey).astype(int) - 128

    assert noise.std() == pytest.approx(deviation, rel=0.02)
    assert abs(noise.mean()) < 0.2
    alike = bool((noise[..., 0] == noise[..., 1]).all())
    assert alike != kind.startswith("noise_normal_rgb")
    np.testing.assert_array_equal(copy.alter(grey).astype(int) - 128, noise)
    if "uniform" in kind:
        assert np.abs(noise).max() <= 20


def test_brightness_shifts_every_pixel_and_stops_at_black_and_white() -> None:
    pixels = np.array([[0, 100, 250]], dtype=np.uint8)

    np.testing.assert_array_equal(Copy(brighter=20.0).alter(pixels), [[20, 120, 255]])
    np.testing.assert_array_equal(Copy(brighter=-20.0).alter(pixels), [[0, 80, 230]])


def test_mirror_takes_every_second_copy() -> None:
    drawn = copies_of(parse_augmentation("mirror", copies=5))
    assert [copy.mirrored for copy in drawn] == [False, True, False, True, False]


def test_only_noise_per_channel_needs_colour_and_only_boxes_do_without_detection() -> None:
    for name in KINDS:
        augmentation = parse_augmentation(name, copies=2)
        assert augmentation.per_channel == name.endswith("_rgb")
        assert augmentation.detects == (name != "box")


@pytest.mark.parametrize(
    ("text", "copies", "part"),
    [
        ("rotation_norml", 5, 'Did you mean "rotation_normal"?'),
        ("rotation_normal+rotation_uniform", 5, "choose one"),
        ("noise_normal+noise_uniform_rgb", 5, "choose one"),
        ("box+box:0.1", 5, "twice"),
        ("box:-1", 5, "above 0"),
        ("box:wide", 5, '"wide"'),
        ("", 5, "choose from"),
        ("box", 0, "1 to 1000"),
        ("box", 1001, "1 to 1000"),
    ],
)
def test_a_wrong_kind_is_one_sentence(text: str, copies: int, part: str) -> None:
    with pytest.raises(UserError, match="--tta") as error:
        parse_augmentation(text, copies=copies)
    assert part in str(error.value)
    assert str(error.value).count("\n") == 0
