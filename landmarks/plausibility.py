"""Can these 68 points be a face? Finds slips of the hand in a landmark table.

A digit too many, two columns exchanged, right for left, the row of another photograph: what no
face shows, however weak its muscles and however it is turned. The rules hold for a head at any
tilt. Each limit lies well beyond the most that was met in true and predicted points of the
simulated cohorts, in the same faces with three times their asymmetry, and in heads turned by 45
and nodding by 20 degrees (`tests/landmarks/test_plausibility.py`, predicted points in
`tests/landmarks/test_extraction.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from common.words import spoken
from landmarks.points import MIRROR_PARTNER, N_POINTS, REGIONS, side_of

FloatArray = NDArray[np.float64]

# Points that follow each other, and the longest step from one to the next, in sizes of the face:
# about a third beyond the longest that was met.
_LINES: tuple[tuple[tuple[int, ...], float], ...] = (
    (tuple(range(17)), 1.2),
    (tuple(range(17, 22)), 0.65),
    (tuple(range(22, 27)), 0.65),
    (tuple(range(27, 31)), 0.5),
    (tuple(range(31, 36)), 0.4),
    ((36, 37, 38, 39, 40, 41, 36), 0.55),
    ((42, 43, 44, 45, 46, 47, 42), 0.55),
    ((*range(48, 60), 48), 0.8),
    ((*range(60, 68), 60), 1.0),
)
_STEPS = np.array([pair for line, _ in _LINES for pair in pairwise(line)])
_LONGEST = np.array([longest for line, longest in _LINES for _ in line[1:]])
_RIGHT = np.array([point for point in range(N_POINTS) if side_of(point) == "right"])
_LEFT = np.array(MIRROR_PARTNER)[_RIGHT]
_UPPER_LIP, _LOWER_LIP = np.array([50, 51, 52]), np.array([58, 57, 56])  # their outer edges
_CHIN = range(6, 11)
# What lies above what, on its side or in the middle.
_ORDER = (
    ("right_brow", "right_eye"), ("left_brow", "left_eye"), ("right_eye", "nose"),
    ("left_eye", "nose"), ("nose", "mouth"), ("mouth", "chin"),
)  # fmt: skip


@dataclass(frozen=True)
class _Frames:
    """Faces upright, whatever the tilt of the heads, from medians, which one slip cannot move."""

    # `(n, 68, 2)` towards the patient's left and towards the chin, in sizes of the face
    upright: FloatArray
    # `(n,)` px: median distance of the points from their middle, a quarter of a face's width
    sizes: FloatArray

    def height(self, part: str) -> FloatArray:
        """`(n,)` how far down the middle of a part is."""
        points = _CHIN if part == "chin" else REGIONS[part]
        return np.asarray(np.median(self.upright[:, list(points), 1], axis=1))


def implausible(points: FloatArray) -> list[str]:
    """Say of each face in one sentence why it can be none; an empty text when it can.

    `points`: `(n, 68, 2)` px. Rows with a point that is not finite, or with all points in one
    place, are not judged.
    """
    reasons = [""] * len(points)
    judged = np.flatnonzero(np.isfinite(points).all(axis=(1, 2)))
    judged = judged[_sizes(points[judged]) > 0]
    if not len(judged):
        return reasons
    faces = points[judged]
    frames = _frames(faces)
    steps = faces[:, _STEPS[:, 1]] - faces[:, _STEPS[:, 0]]
    too_long = np.linalg.norm(steps, axis=2) / (frames.sizes[:, None] * _LONGEST) - 1
    gaps = np.stack([frames.height(low) - frames.height(high) for high, low in _ORDER], axis=1)
    apart = frames.upright[:, _LEFT, 0] - frames.upright[:, _RIGHT, 0]
    lips = frames.upright[:, _LOWER_LIP, 1] - frames.upright[:, _UPPER_LIP, 1]
    broken = (too_long > 0).any(1) | (gaps <= 0).any(1) | (apart <= 0).any(1) | (lips <= 0).any(1)
    for at in np.flatnonzero(broken).tolist():
        if (apart[at] <= 0).mean() > 0.5:
            reason = "Right and left are exchanged: points 0 to 7 are on the patient's right."
        elif (too_long[at] > 0).any():
            reason = _far(faces[at], too_long[at], size=float(frames.sizes[at]))
        elif (gaps[at] <= 0).any():
            high, low = _ORDER[int(np.argmin(gaps[at]))]
            reason = f"The {spoken(high)} does not lie above the {spoken(low)}: check their points."
        elif (apart[at] <= 0).any():
            pair = int(np.argmin(apart[at]))
            reason = _exchanged(int(_RIGHT[pair]), int(_LEFT[pair]), "right and left")
        else:
            pair = int(np.argmin(lips[at]))
            reason = _exchanged(int(_UPPER_LIP[pair]), int(_LOWER_LIP[pair]), "upper and lower lip")
        reasons[judged[at]] = reason
    return reasons


def _sizes(points: FloatArray) -> FloatArray:
    middle = np.median(points, axis=1, keepdims=True)
    return np.asarray(np.median(np.linalg.norm(points - middle, axis=2), axis=1))


def _frames(points: FloatArray) -> _Frames:
    """Stand the faces upright: down is from the eyes to the mouth."""
    right, left, mouth = (
        np.median(points[:, list(REGIONS[part])], axis=1)
        for part in ("right_eye", "left_eye", "mouth")
    )
    down = mouth - (right + left) / 2
    length = np.linalg.norm(down, axis=1, keepdims=True)
    down = np.divide(down, length, out=np.zeros_like(down), where=length > 0)
    across = np.stack([down[:, 1], -down[:, 0]], axis=1)
    sizes = _sizes(points)
    axes = np.stack([across, down], axis=2) / sizes[:, None, None]
    return _Frames(upright=points @ axes, sizes=sizes)


def _far(face: FloatArray, too_long: FloatArray, *, size: float) -> str:
    """Name the point with the longest steps; of two with the same, the one far from the others."""
    lack = np.zeros(N_POINTS)
    for (start, end), excess in zip(_STEPS.tolist(), np.maximum(too_long, 0), strict=True):
        lack[[start, end]] += excess
    outlying = np.zeros(N_POINTS)
    for part in REGIONS.values():
        own = face[list(part)]
        outlying[list(part)] = np.linalg.norm(own - np.median(own, axis=0, keepdims=True), axis=1)
    worst = int(np.argmax(lack + 1e-3 * outlying / size))
    step = int(np.argmax(np.where(np.isin(_STEPS, worst).any(axis=1), too_long, -np.inf)))
    start, end = _STEPS[step].tolist()
    other = end if start == worst else start
    distance = float(np.linalg.norm(face[start] - face[end]))
    most = _LONGEST[step] * size
    return (
        f"Point {worst} ({_part(worst)}) lies {distance:.0f} px from point {other}, where this "
        f"face leaves {most:.0f} px at most: check x_{worst}, y_{worst} and their headers."
    )


def _exchanged(one: int, other: int, what: str) -> str:
    return (
        f"Points {one} and {other} ({_part(one)}, {_part(other)}) lie as if {what} were exchanged: "
        f"check x_{one}, y_{one}, x_{other}, y_{other} and their headers."
    )


def _part(point: int) -> str:
    return next(spoken(part) for part, points in REGIONS.items() if point in points)
