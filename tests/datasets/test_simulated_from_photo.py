"""Palsy imposed on a portrait: the picture follows its points, on the stated side, smoothly."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import UserError
from datasets.simulated.face import draw_patient, render_photo
from datasets.simulated.photo_warp import simulate_from_photo
from datasets.simulated.shape import MIRROR


@pytest.fixture(scope="module")
def portrait() -> tuple[np.ndarray, np.ndarray]:
    patient = draw_patient(seed=2, grade=1, side="none", kind="none")
    return render_photo(patient, "rest", width=300, height=400)


def test_grade_one_at_rest_leaves_the_portrait_as_it_is(portrait) -> None:
    photo, points = portrait
    warped, moved = simulate_from_photo(photo, points, grade=1, side="none")
    np.testing.assert_allclose(moved, points, atol=1e-9)
    np.testing.assert_array_equal(warped, photo)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_stated_side_droops_and_grows_with_the_grade(portrait, side: str) -> None:
    photo, points = portrait
    corner = 54 if side == "left" else 48
    brow = [22, 23, 24, 25, 26] if side == "left" else [17, 18, 19, 20, 21]
    corners, brows = [], []
    for grade in range(2, 7):
        _, moved = simulate_from_photo(photo, points, grade=grade, side=side)
        down = (moved - points)[:, 1]
        corners.append(down[corner])
        brows.append(down[brow].mean())
        assert down[corner] > down[MIRROR[corner]]
    assert (np.diff(corners) > 0).all() and (np.diff(brows) > 0).all()


def test_the_picture_moves_with_the_points(portrait) -> None:
    """What was seen at a landmark before is seen at its new place after."""
    photo, points = portrait
    warped, moved = simulate_from_photo(photo, points, grade=6, side="left", task="full_smile")
    assert np.linalg.norm(moved - points, axis=1).max() > 5
    for point in (48, 51, 54, 57, 24, 30):
        x0, y0 = np.round(points[point]).astype(int)
        x1, y1 = np.round(moved[point]).astype(int)
        before = photo[y0 - 2 : y0 + 3, x0 - 2 : x0 + 3].astype(float).mean((0, 1))
        after = warped[y1 - 2 : y1 + 3, x1 - 2 : x1 + 3].astype(float).mean((0, 1))
        assert np.abs(before - after).max() < 26


def test_a_smiling_portrait_loses_the_smile_on_the_weak_side_only(portrait) -> None:
    photo, points = portrait
    _, moved = simulate_from_photo(
        photo, points, grade=6, side="right", task="full_smile", photo_task="full_smile"
    )
    shift = moved - points
    assert shift[48, 0] > 2 and shift[48, 1] > 2, "the right corner comes in and down"
    assert np.linalg.norm(shift[54]) < np.linalg.norm(shift[48]) / 2


def test_the_frame_of_the_picture_stays(portrait) -> None:
    photo, points = portrait
    warped, _ = simulate_from_photo(photo, points, grade=5, side="left", task="brow_raise")
    np.testing.assert_array_equal(warped[:3], photo[:3])
    np.testing.assert_array_equal(warped[-30:], photo[-30:])
    np.testing.assert_array_equal(warped[:, :3], photo[:, :3])


def test_a_turned_portrait_gives_turned_points(portrait) -> None:
    """Leaning the head by 90 degrees leans the result by 90 degrees."""
    photo, points = portrait
    turned = np.ascontiguousarray(np.rot90(photo, -1))
    turned_points = np.column_stack([photo.shape[0] - 1 - points[:, 1], points[:, 0]])
    _, moved = simulate_from_photo(photo, points, grade=4, side="left", task="full_smile")
    _, moved_turned = simulate_from_photo(
        turned, turned_points, grade=4, side="left", task="full_smile"
    )
    expected = np.column_stack([photo.shape[0] - 1 - moved[:, 1], moved[:, 0]])
    np.testing.assert_allclose(moved_turned, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grade": 0}, "grade is 0"),
        ({"side": "none"}, 'does not go with side "none"'),
        ({"kind": "none"}, 'and kind "none"'),
        ({"task": "smile"}, 'There is no movement "smile"'),
    ],
)
def test_bad_arguments_are_refused(portrait, change: dict, message: str) -> None:
    photo, points = portrait
    options = {"grade": 4, "side": "left", **change}
    with pytest.raises(UserError, match=message):
        simulate_from_photo(photo, points, **options)


def test_bad_portraits_are_refused(portrait) -> None:
    photo, points = portrait
    with pytest.raises(UserError, match="RGB picture"):
        simulate_from_photo(photo[..., 0], points, grade=4, side="left")
    with pytest.raises(UserError, match="outside the portrait"):
        simulate_from_photo(photo, points + 200, grade=4, side="left")
    with pytest.raises(UserError, match="68 points"):
        simulate_from_photo(photo, points[:51], grade=4, side="left")
