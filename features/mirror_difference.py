"""A face and its mirror image: what of the 68 points is symmetric and what is not.

Every face is the sum of a symmetric and an antisymmetric part. The antisymmetric part has a sign:
it says which side is displaced and where to, and it changes sign when the face is mirrored. So
noise of single points averages out over photographs, which magnitudes such as f0..f28 cannot.

The mirror image is laid onto the face by the points that palsy moves least (corners of the eyes,
bridge and base of the nose), so no separate axis of symmetry has to be drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landmarks.points import INNER, LEFT_EYE_OUTER, MIRROR_PARTNER, RIGHT_EYE_OUTER

STEADY = (36, 39, 42, 45, 27, 28, 29, 30, 33)
"""Points that lay the mirror image onto the face; a set that is its own mirror image."""

PAIRED = tuple(i for i in INNER if MIRROR_PARTNER[i] > i)  # those on the patient's right
MIDLINE = tuple(i for i in INNER if MIRROR_PARTNER[i] == i)
N_PARTS = 2 * len(PAIRED) + len(MIDLINE)
"""Numbers in either part: x and y of the paired points, x (odd) or y (even) of the midline."""


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
