"""From 68 points to the 51 that are measured, levelled: the first step of every measurement."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from landmarks.points import N_POINTS, SELECTION_51

FloatArray = NDArray[np.float64]

JAW_ENDS = (48, 49)
"""P-indices of the line that is made horizontal: the patient's right and left end of the jaw."""

NO_LENGTH = 1e-9
"""Lengths up to this fraction of the face width A are zero but for rounding (`standard`).

Far above the rounding of float64 coordinates, far below any distance that a photograph shows.
"""


@dataclass(frozen=True)
class LevelledFaces:
    """The 51 points of n faces, levelled, with the distances measured so far.

    Attributes
    ----------
    x, y
        `(51, n)` px; y points down; NaN throughout where a face cannot be measured.
    measurable
        `(n,)` whether the face's 51 points are finite and its jaw ends apart.
    shortest
        `(n,)` px; a length has to be longer than this before anything is divided by it or takes
        its direction. Minus infinity lets everything through, as older code did.
    distances
        Name to `(n,)` px, filled in column order.
    """

    x: FloatArray
    y: FloatArray
    measurable: NDArray[np.bool_]
    shortest: FloatArray
    distances: dict[str, FloatArray] = field(default_factory=dict)

    def dx(self, a: int, b: int) -> FloatArray:
        """Return x of Pb minus x of Pa, signed."""
        return np.subtract(self.x[b], self.x[a])

    def dy(self, a: int, b: int) -> FloatArray:
        """Return y of Pb minus y of Pa, signed, downwards positive."""
        return np.subtract(self.y[b], self.y[a])

    def d(self, a: int, b: int) -> FloatArray:
        """Return the Euclidean distance from Pa to Pb."""
        return np.hypot(self.dx(a, b), self.dy(a, b))

    def angle(self, a: int, b: int) -> FloatArray:
        """Return the direction from Pa to Pb: degrees, counter-clockwise positive as seen.

        NaN when the two coincide and nothing shorter than `shortest` may be used.
        """
        degrees = np.degrees(np.arctan2(-self.dy(a, b), self.dx(a, b)))
        return np.where(self.d(a, b) > self.shortest, degrees, np.nan)

    def usable(self, length: FloatArray) -> FloatArray:
        """Return `length` with NaN where it is too short to divide by."""
        return np.where(length > self.shortest, length, np.nan)


def level(points: FloatArray, *, refuse_no_length: bool) -> LevelledFaces:
    """Select the 51 of `(n, 68, 2)` points and rotate each face about P48 until P49 lies level.

    `refuse_no_length` says whether coincident points give NaN (`standard`), or what older code made
    of them. ValueError when the array has another shape.
    """
    if points.ndim != 3 or points.shape[1:] != (N_POINTS, 2):
        raise ValueError(
            f"points must be (n, {N_POINTS}, 2) but are {points.shape}: give one photograph as "
            "points[np.newaxis]."
        )
    selected = np.asarray(points, dtype=np.float64)[:, list(SELECTION_51)]
    x, y = np.ascontiguousarray(selected.transpose(2, 1, 0))
    right, left = JAW_ENDS
    x0, y0 = x[right], y[right]
    right_of, below = x - x0, y - y0  # of the pivot P48
    width = np.hypot(right_of[left], below[left])

    measurable = np.isfinite(x).all(axis=0) & np.isfinite(y).all(axis=0)
    if refuse_no_length:
        extent = np.maximum(np.abs(right_of).max(axis=0), np.abs(below).max(axis=0))
        measurable &= width > NO_LENGTH * extent
    shortest = NO_LENGTH * width if refuse_no_length else np.full_like(width, -np.inf)

    turn = np.arctan2(below[left], right_of[left])
    cos, sin = np.cos(turn), np.sin(turn)
    return LevelledFaces(
        x=np.where(measurable, x0 + right_of * cos + below * sin, np.nan),
        y=np.where(measurable, y0 + below * cos - right_of * sin, np.nan),
        measurable=measurable,
        shortest=shortest,
    )
