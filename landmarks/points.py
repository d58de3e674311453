"""Names of the 68 points, their regions, their mirror partners, and the 51-point selection.

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


def _mirror_partners() -> tuple[int, ...]:
    partner = list(range(N_POINTS))
    swapped = [*[(i, 16 - i) for i in range(8)], *[(17 + i, 26 - i) for i in range(5)]]
    swapped += [(31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
    swapped += [(48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)]
    for a, b in swapped:
        partner[a], partner[b] = b, a
    return tuple(partner)


MIRROR_PARTNER: tuple[int, ...] = _mirror_partners()
"""`MIRROR_PARTNER[i]` is the point at the same place on the other side; midline points are own."""


_RIGHT = frozenset(
    (*range(8), *range(17, 22), 31, 32, *range(36, 42), 48, 49, 50, 58, 59, 60, 61, 67)
)


def side_of(point: int) -> str:
    """Return `right` or `left` (the patient's), or `midline`, for one of the 68 points."""
    if MIRROR_PARTNER[point] == point:
        return "midline"
    return "right" if point in _RIGHT else "left"


def mirror_points(points: NDArray[np.float64], *, width: float) -> NDArray[np.float64]:
    """Return the points of the mirrored photograph of `width` px, in the usual order.

    Parameters
    ----------
    points
        `(..., 68, 2)` px.
    width
        Width of the photograph in px; pixel `x` goes to `width - 1 - x`.
    """
    mirrored = np.asarray(points, dtype=np.float64)[..., list(MIRROR_PARTNER), :].copy()
    mirrored[..., 0] = (width - 1) - mirrored[..., 0]
    return mirrored


def tilt_degrees(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Head tilt from the jaw ends (P48 to P49): degrees, counter-clockwise positive as seen.

    Parameters
    ----------
    points
        `(..., 68, 2)` px; the result has the leading shape.
    """
    across = points[..., JAW_LEFT, :] - points[..., JAW_RIGHT, :]
    return np.degrees(np.arctan2(-across[..., 1], across[..., 0]))
