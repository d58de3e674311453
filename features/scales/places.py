"""Places of the face that clinical scales look at, on both sides, and how far they move from rest.

All faces lie in the frame of the eye corners, never in that of the irises: a closed eye shows none,
and rest and movement must be seen in one frame. Lengths are in eye distances (between the middles
of the two eyes, about 62 mm), so that the size of a photograph does not count.
"""

from __future__ import annotations

import numpy as np

from features.frames import FloatArray, faces_in_frame

BROW, LIDS, CORNER, LIP, ALA = range(5)
POINTS_OF_PLACE: tuple[tuple[int, ...], ...] = (
    (17, 18, 19, 20, 21), (37, 38, 40, 41), (48, 60), (58, 59, 67), (31,),
)  # fmt: skip
"""Of the patient's right; the place is their mean, and of the lids the mean gap."""
_LEFT = ((22, 23, 24, 25, 26), (43, 44, 46, 47), (54, 64), (55, 56, 65), (35,))
_GAPS = (((37, 41), (38, 40)), ((43, 47), (44, 46)))
UP, DOWN, INWARDS = (0.0, 1.0), (0.0, -1.0), (-1.0, 0.0)


def places_of(points: FloatArray) -> FloatArray:
    """Return the places of n faces.

    `points`: `(n, 68, 2)` px.

    Returns `(n, 5, 2, 2)`: place (`BROW` to `ALA`), the patient's right and left, and how far
    outwards and upwards from the middle between the eyes, in eye distances. Of `LIDS` the
    second is the height of the opening. NaN for a face without points.
    """
    faces = faces_in_frame(points)
    shared = faces.points / faces.apart[:, np.newaxis, np.newaxis]
    places = np.empty((len(points), len(POINTS_OF_PLACE), 2, 2))
    for side, (of_side, outwards) in enumerate(((POINTS_OF_PLACE, -1.0), (_LEFT, 1.0))):
        for place, indices in enumerate(of_side):
            places[:, place, side] = shared[:, list(indices)].mean(axis=1) * (outwards, -1.0)
        gaps = [shared[:, lower, 1] - shared[:, upper, 1] for upper, lower in _GAPS[side]]
        places[:, LIDS, side, 1] = np.mean(gaps, axis=0)
    return places


def moved(
    rest: FloatArray, now: FloatArray, *, place: int, towards: tuple[float, float] | None = None
) -> FloatArray:
    """Return how far a place has moved on the right and the left, `(n, 2)` eye distances.

    `rest`, `now`: `places_of` the same people.
    `towards`: direction that counts, outwards and upwards. None: the way of the side that moves
    farther, so that a side which is only dragged across counts as moving backwards.
    """
    way = now[:, place] - rest[:, place]
    unit = _farther(way) if towards is None else np.broadcast_to(towards, way[:, 0].shape)
    return np.einsum("nsk,nk->ns", way, unit)


def closed(rest: FloatArray, now: FloatArray) -> FloatArray:
    """Return which share of its opening at rest each eye has closed, `(n, 2)`; negative: wider."""
    opening = rest[:, LIDS, :, 1]
    return 1.0 - now[:, LIDS, :, 1] / np.where(opening > 0, opening, np.nan)


def dragged(rest: FloatArray, now: FloatArray, smile: FloatArray) -> FloatArray:
    """Return how far each corner of the mouth goes the way of a smile, `(n, 2)`.

    As a share of how far the better side goes in `smile`, the same people smiling.
    """
    way = smile[:, CORNER] - rest[:, CORNER]
    far = np.hypot(way[..., 0], way[..., 1]).max(axis=1)
    along = np.einsum("nsk,nk->ns", now[:, CORNER] - rest[:, CORNER], _farther(way))
    return along / np.where(far > 0, far, np.nan)[:, np.newaxis]


def _farther(way: FloatArray) -> FloatArray:
    """Direction `(n, 2)` of the side that moves farther, of ways `(n, 2, 2)`."""
    length = np.hypot(way[..., 0], way[..., 1])
    right = (length[:, 0] >= length[:, 1])[:, np.newaxis]
    longest = np.where(right, way[:, 0], way[:, 1])
    far = length.max(axis=1, keepdims=True)
    return longest / np.where(far > 0, far, np.nan)
