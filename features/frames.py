"""Faces in frames of their own, and beside their mirror image.

Distances and features are measured on 51 of the 68 points of faces levelled by the ends of the jaw.
Clinical measures are taken in a frame whose origin lies half-way between the centres of the irises;
x runs from the patient's right eye to the left (to the right as seen), y downwards across it; so
the face's midline is x = 0 and both centres have y = 0. Lids, brows and lips are smooth curves
through their points.

Every face is the sum of a symmetric and an antisymmetric part. The antisymmetric part says which
side is displaced and where to, and changes sign when the face is mirrored: noise of single points
averages out over photographs, which magnitudes such as f0..f28 cannot. The mirror image is laid
onto the face by the points that palsy moves least, so no separate axis has to be drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from landmarks.find.iris import Irises
from landmarks.points import (
    INNER,
    LEFT_EYE_OUTER,
    MIRROR_PARTNER,
    N_POINTS,
    RIGHT_EYE_OUTER,
    SELECTION_51,
)

FloatArray = NDArray[np.float64]

JAW_ENDS = (48, 49)
"""P-indices of the line that is made horizontal: the patient's right and left end of the jaw."""

NO_LENGTH = 1e-9
"""Lengths up to this fraction of the face width A are zero but for rounding (`standard`).

Far above the rounding of float64 coordinates, far below any distance that a photograph shows.
"""

STEADY = (36, 39, 42, 45, 27, 28, 29, 30, 33)
"""Points that lay the mirror image onto the face; a set that is its own mirror image."""

PAIRED = tuple(i for i in INNER if MIRROR_PARTNER[i] > i)  # those on the patient's right
MIDLINE = tuple(i for i in INNER if MIRROR_PARTNER[i] == i)
N_PARTS = 2 * len(PAIRED) + len(MIDLINE)
"""Numbers in either part: x and y of the paired points, x (odd) or y (even) of the midline."""


@dataclass(frozen=True)
class LevelledFaces:
    """The 51 points of n faces, levelled, with the distances measured so far."""

    # `(51, n)` px; y points down; NaN throughout where a face cannot be measured
    x: FloatArray
    y: FloatArray
    # `(n,)` whether the face's 51 points are finite and its jaw ends apart
    measurable: NDArray[np.bool_]
    # `(n,)` px; a length has to be longer than this before anything is divided by it or takes its
    # direction. Minus infinity lets everything through, as older code did.
    shortest: FloatArray
    # name to `(n,)` px, filled in column order
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


FROM_IRISES, FROM_CORNERS = "irises", "eye_corners"
_CORNERS = {"right": (36, 39), "left": (42, 45)}


@dataclass(frozen=True)
class FacesInFrame:
    """n faces in their own frames."""

    points: FloatArray  # `(n, 68, 2)` px from the origin; NaN where a face has no frame
    origin: FloatArray  # `(n, 2)` px of the photograph
    axis: FloatArray  # `(n, 2)` unit vector of x in the photograph
    # `(n,)` px between the two eye centres, which lie at x = -apart/2 (right) and +apart/2
    apart: FloatArray
    # n times `irises`, `eye_corners` (fallback: one iris or both were not found), or empty
    source: tuple[str, ...]

    def eye(self, side: str) -> FloatArray:
        """Return the centre of an eye, `(n, 2)`."""
        x = self.apart / 2 if side == "left" else -self.apart / 2
        return np.stack([x, np.where(np.isfinite(x), 0.0, np.nan)], axis=-1)

    def curve_at(self, indices: Sequence[int], x: FloatArray) -> FloatArray:
        """Return the point `(n, 2)` of the curve through some of the 68 points at `x` `(n,)`."""
        nodes = self.points[:, list(indices)]
        return np.stack([x, curve_height(nodes[..., 0], nodes[..., 1], at=x)], axis=-1)

    def to_photo(self, points: FloatArray) -> FloatArray:
        """Map `(n, ..., 2)` of the frame to px of the photograph."""
        lead = (slice(None),) + (np.newaxis,) * (points.ndim - 2)
        along, down = self.axis[lead], np.stack([-self.axis[:, 1], self.axis[:, 0]], axis=-1)[lead]
        return self.origin[lead] + points[..., :1] * along + points[..., 1:] * down


def faces_in_frame(
    points: FloatArray, irises: Sequence[Irises | None] | None = None
) -> FacesInFrame:
    """Put faces into the frames of their eyes.

    `points`: `(n, 68, 2)` px.
    `irises`: one per face, or None for a face whose irises were not looked for. Where both
    centres are known they make the frame; otherwise the middles between the eye corners do, for
    both eyes, because a frame of one centre of each kind would be tilted.

    ValueError when the array has another shape or the numbers of faces differ.
    """
    if points.ndim != 3 or points.shape[1:] != (N_POINTS, 2):
        raise ValueError(f"points must be (n, {N_POINTS}, 2) but are {points.shape}")
    n = len(points)
    irises = [None] * n if irises is None else list(irises)
    if len(irises) != n:
        raise ValueError(f"{len(irises)} pairs of irises were given for {n} faces")
    points = np.where(np.isfinite(points).all(axis=(1, 2), keepdims=True), points, np.nan)
    right, left = (points[:, list(_CORNERS[side])].mean(axis=1) for side in ("right", "left"))
    found = np.array(
        [np.nan if pair is None else pair.right.x + pair.left.x for pair in irises], dtype=float
    )
    by_iris = np.isfinite(found) & np.isfinite(points).all(axis=(1, 2))
    for row in np.flatnonzero(by_iris):
        pair = irises[row]
        if pair is not None:
            right[row], left[row] = pair.right.centre, pair.left.centre
    across = left - right
    apart = np.hypot(*across.T)
    apart = np.where(apart > 0, apart, np.nan)
    axis, origin = across / apart[:, np.newaxis], (left + right) / 2
    shifted = points - origin[:, np.newaxis]
    cos, sin = axis[:, :1], axis[:, 1:]
    turned = np.stack(
        [
            shifted[..., 0] * cos + shifted[..., 1] * sin,
            shifted[..., 1] * cos - shifted[..., 0] * sin,
        ],
        axis=-1,
    )
    known = np.isfinite(apart)
    source = np.where(by_iris, FROM_IRISES, FROM_CORNERS)
    return FacesInFrame(
        points=turned,
        origin=origin,
        axis=axis,
        apart=apart,
        source=tuple(str(name) if ok else "" for name, ok in zip(source, known, strict=True)),
    )


def curve_height(x: FloatArray, y: FloatArray, *, at: FloatArray) -> FloatArray:
    """Return y of the smooth curves through points, at one x for each curve.

    A cubic between neighbours whose slopes are those of the parabola through three points: it
    passes through every point, follows a parabola exactly, and depends on near points only.

    `x`, `y`: `(n, k)` with k at least 3; need not be in order.
    `at`: `(n,)`.

    Returns `(n,)`; NaN beyond a curve's ends and where two of its points have the same x.
    """
    order = np.argsort(x, axis=1)
    x, y = np.take_along_axis(x, order, axis=1), np.take_along_axis(y, order, axis=1)
    gap = np.diff(x, axis=1)
    gap = np.where((gap > 0).all(axis=1, keepdims=True), gap, np.nan)
    rise = np.diff(y, axis=1) / gap
    inner = (gap[:, 1:] * rise[:, :-1] + gap[:, :-1] * rise[:, 1:]) / (gap[:, 1:] + gap[:, :-1])
    first, last = 2 * rise[:, :1] - inner[:, :1], 2 * rise[:, -1:] - inner[:, -1:]
    slope = np.concatenate([first, inner, last], axis=1)

    place = (x[:, 1:-1] <= at[:, np.newaxis]).sum(axis=1)[:, np.newaxis]

    def pick(values: FloatArray, shift: int = 0) -> FloatArray:
        return np.take_along_axis(values, place + shift, axis=1)[:, 0]

    step = pick(gap)
    t = (at - pick(x)) / step
    height = (
        pick(y) * (1 + 2 * t) * (1 - t) ** 2
        + pick(y, 1) * t**2 * (3 - 2 * t)
        + step * (pick(slope) * t * (1 - t) ** 2 - pick(slope, 1) * t**2 * (1 - t))
    )
    return np.where((at >= x[:, 0]) & (at <= x[:, -1]), height, np.nan)


@dataclass(frozen=True)
class MirrorParts:
    """The two parts of faces, in widths between the outer corners of the eyes."""

    # `(n, 51)`: half the difference between the face and its mirror image, x and y of each point of
    # `PAIRED`, then x of `MIDLINE`. Zero for a symmetric face; mirroring the face changes the sign.
    # x counts towards the patient's left, y downwards.
    odd: NDArray[np.float64]
    # `(n, 51)`: the mean of the face and its mirror image, seen from the middle between the eyes;
    # then y of `MIDLINE`. Mirroring the face changes nothing.
    even: NDArray[np.float64]


def mirror_parts(points: NDArray[np.float64]) -> MirrorParts:
    """Split faces into their symmetric and antisymmetric parts.

    `points`: `(n, 68, 2)` px; a face with a missing point gets NaN throughout.

    The parts are free of place, size and tilt of the face in the photograph.
    """
    face = points[..., 0] + 1j * points[..., 1]
    mirrored = -np.conj(face)[:, list(MIRROR_PARTNER)]
    steady = list(STEADY)
    centre = face[:, steady].mean(axis=1, keepdims=True)
    mirrored_centre = mirrored[:, steady].mean(axis=1, keepdims=True)
    # The turn that lays the mirror image onto the face with least squares (Procrustes).
    fit = (np.conj(mirrored[:, steady] - mirrored_centre) * (face[:, steady] - centre)).sum(axis=1)
    laid = (mirrored - mirrored_centre) * np.exp(1j * np.angle(fit))[:, None] + centre

    symmetric, difference = (face + laid) / 2, (face - laid) / 2
    across = symmetric[:, LEFT_EYE_OUTER] - symmetric[:, RIGHT_EYE_OUTER]  # along the face's own x
    middle = symmetric[:, [36, 39, 42, 45]].mean(axis=1)
    with np.errstate(invalid="ignore"):  # missing faces stay NaN
        odd = difference / across[:, None]
        even = (symmetric - middle[:, None]) / across[:, None]
    pairs, line = list(PAIRED), list(MIDLINE)
    return MirrorParts(
        odd=np.hstack([odd[:, pairs].real, odd[:, pairs].imag, odd[:, line].real]),
        even=np.hstack([even[:, pairs].real, even[:, pairs].imag, even[:, line].imag]),
    )
