"""The 68 points: names, regions, mirror partners, the 51-point selection; and how they are moved.

Points are `(68, 2)` float64 arrays: x right, y down, in pixels of the original photograph after
EXIF rotation, pixel centres at integers. `right` and `left` are the patient's; the patient's right
is image-left in an unmirrored photograph.

Source: the 68-point mark-up of Sagonas et al. 2016 (300 Faces In-the-Wild), in dlib's order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N_POINTS = 68

REGIONS: dict[str, range] = {
    "jaw": range(17),
    "right_brow": range(17, 22),
    "left_brow": range(22, 27),
    "nose": range(27, 36),
    "right_eye": range(36, 42),
    "left_eye": range(42, 48),
    "mouth": range(48, 68),
}
INNER = range(17, 68)  # all but the jaw line
JAW_RIGHT, JAW_LEFT, CHIN = 0, 16, 8
RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 36, 45

# The 51 points of the geometric branch (P0..P50): brows, eyes, lower nose, mouth, and three of
# the jaw line (its ends, P48 and P49, and the chin, P50).
SELECTION_51: tuple[int, ...] = (
    *range(17, 27), *range(36, 48), *range(30, 36), *range(48, 68), JAW_RIGHT, JAW_LEFT, CHIN
)  # fmt: skip

X_COLUMNS = tuple(f"x_{i}" for i in range(N_POINTS))
Y_COLUMNS = tuple(f"y_{i}" for i in range(N_POINTS))
POINT_COLUMNS = tuple(name for pair in zip(X_COLUMNS, Y_COLUMNS, strict=True) for name in pair)


_PAIRS = (  # right and left point of each pair
    *((i, 16 - i) for i in range(8)), *((17 + i, 26 - i) for i in range(5)),
    (31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46),
    (48, 54), (49, 53), (50, 52), (59, 55), (58, 56), (60, 64), (61, 63), (67, 65),
)  # fmt: skip
_PARTNERS = dict(_PAIRS) | {left: right for right, left in _PAIRS}
_RIGHT = frozenset(right for right, _ in _PAIRS)

MIRROR_PARTNER: tuple[int, ...] = tuple(_PARTNERS.get(i, i) for i in range(N_POINTS))
"""`MIRROR_PARTNER[i]` is the point at the same place on the other side; midline points are own."""


def side_of(point: int) -> str:
    """Return `right` or `left` (the patient's), or `midline`, for one of the 68 points."""
    if MIRROR_PARTNER[point] == point:
        return "midline"
    return "right" if point in _RIGHT else "left"


def swap_sides(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give each of `(..., 68, 2)` points to its mirror partner, as in a mirrored photograph."""
    return np.asarray(points[..., list(MIRROR_PARTNER), :])


def mirror_points(points: NDArray[np.float64], *, width: float) -> NDArray[np.float64]:
    """Return the `(..., 68, 2)` points of the mirrored photograph, in the usual order.

    Pixel `x` of a photograph of `width` px goes to `width - 1 - x`.
    """
    mirrored = swap_sides(np.asarray(points, dtype=np.float64))
    mirrored[..., 0] = (width - 1) - mirrored[..., 0]
    return mirrored


def tilt_degrees(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Head tilt of `(..., 68, 2)` points from the jaw ends (P48 to P49), in the leading shape.

    Degrees, counter-clockwise positive as seen.
    """
    across = points[..., JAW_LEFT, :] - points[..., JAW_RIGHT, :]
    return np.degrees(np.arctan2(-across[..., 1], across[..., 0]))


def turn_of(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far the heads of `(..., 68, 2)` points are turned left or right, 0 from the front.

    The tip of the nose between the outer eye corners, and the bridge between the jaw ends, each as
    a share of that distance off its middle; the larger of the two.
    """
    across = points[..., LEFT_EYE_OUTER, :] - points[..., RIGHT_EYE_OUTER, :]
    along = (points * across[..., None, :]).sum(axis=-1)

    def off(point: int, right: int, left: int) -> NDArray[np.float64]:
        between = along[..., left] - along[..., right]
        return np.abs((along[..., point] - along[..., right]) / between - 0.5)

    return np.maximum(off(30, RIGHT_EYE_OUTER, LEFT_EYE_OUTER), off(27, JAW_RIGHT, JAW_LEFT))


def turn_about(
    centre: tuple[float, float], *, angle_deg: float, mirrored: bool = False
) -> NDArray[np.float64]:
    """Return the `(2, 3)` affine map that turns a picture about `centre`, then mirrors it there.

    Angles are counter-clockwise positive as seen; y points down.
    """
    turn = np.radians(angle_deg)
    linear = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    if mirrored:
        linear = np.diag([-1.0, 1.0]) @ linear
    at = np.asarray(centre, dtype=np.float64)
    return np.column_stack([linear, at - linear @ at])


def map_points(
    points: NDArray[np.float64], affine: NDArray[np.float64], *, inverse: bool = False
) -> NDArray[np.float64]:
    """Map `(..., 2)` x, y through a `(2, 3)` affine map, or back through its inverse."""
    linear, shift = affine[:, :2], affine[:, 2]
    if inverse:
        return np.asarray(np.linalg.solve(linear, (points - shift)[..., None])[..., 0])
    return np.asarray(points @ linear.T + shift)


def compose(second: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the `(2, 3)` map that does `first` and then `second`."""
    linear = second[:, :2] @ first[:, :2]
    return np.column_stack([linear, second[:, :2] @ first[:, 2] + second[:, 2]])
