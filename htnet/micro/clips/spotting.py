"""Where an expression is strongest, and where it begins and ends, read off the motion of the face.

For every frame the motion relative to the onset is summed up in one number: the mean length of the
flow over the brows, or over the mouth, whichever moves more. (The eyes have no say: a blink moves
the lids further than a micro-expression moves anything.) Over time this is a hill. Smoothed, its
peak is the apex. Where the annotated onset is not known, the sub-clip that holds the hill is found
first, and the peak is sought again relative to the sub-clip's own beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from common.words import counted
from htnet.micro.clips.frames import FACE_SIZE, ClipError, MotionReader
from htnet.micro.clips.maps import box_edges

SPOTTING_REGIONS = ("eyebrows", "mouth")
LEAST_FRAMES = 3
_SMOOTHING = 0.05  # standard deviation, as a share of the frames that are looked at
_LEAST_SMOOTHING = 1.0  # frames
_EDGE = 0.2  # of the hill's height above its foot: below it, the expression has not begun


@dataclass(frozen=True)
class Spot:
    """An expression found in time, by numbers of the n frames that were looked at.

    `motion` is `(n,)`, relative to the first frame as a fraction of the face size, `smooth` the
    same smoothed. Onset and offset are found only by `spot_expression`; from `spot_apex` they are
    the first and last frame that were given.
    """

    numbers: tuple[int, ...]
    motion: NDArray[np.float64]
    smooth: NDArray[np.float64]
    onset: int
    apex: int
    offset: int


def spot_apex(motions: MotionReader, numbers: Sequence[int] | None = None) -> Spot:
    """Find the apex among the frames from onset to offset; None takes all of the clip.

    ClipError with fewer than three frames: there is nothing between onset and offset.
    """
    numbers = tuple(motions.frames.numbers if numbers is None else numbers)
    if len(numbers) < LEAST_FRAMES:
        raise ClipError(
            "missing_frames",
            f"Only {counted(len(numbers), 'frame')} from onset to offset: too few to find the "
            "apex; give three or more.",
        )
    motion = motion_curve(motions, numbers)
    smooth = smoothed(motion)
    peak = 1 + int(np.argmax(smooth[1:]))  # the onset itself is still
    return Spot(numbers, motion, smooth, numbers[0], numbers[peak], numbers[-1])


def spot_expression(motions: MotionReader) -> Spot:
    """Find onset, apex and offset of the strongest expression in a clip of which nothing is known.

    ClipError with fewer than three frames.
    """
    everything = spot_apex(motions)
    first, last = _hill(everything.smooth)
    while last - first < LEAST_FRAMES - 1:  # a hill of one frame: look at its neighbours
        first, last = max(0, first - 1), min(len(everything.numbers) - 1, last + 1)
    within = spot_apex(motions, everything.numbers[first : last + 1])
    return replace(everything, onset=within.onset, apex=within.apex, offset=within.offset)


def motion_curve(motions: MotionReader, numbers: Sequence[int]) -> NDArray[np.float64]:
    """Return how far the face has moved in each frame since the first of `numbers`.

    `(n,)`, a fraction of the face size: mean over the brows or the mouth, whichever is larger.
    """
    edges = box_edges(motions.frames.points, regions=SPOTTING_REGIONS, size=FACE_SIZE)
    curve = np.zeros(len(numbers))
    for place, number in enumerate(numbers[1:], start=1):
        flow = motions.between(numbers[0], number).flow
        length = np.hypot(flow[..., 0], flow[..., 1])
        curve[place] = max(
            float(length[top : bottom + 1, left : right + 1].mean())
            for left, top, right, bottom in edges
        )
    return curve / FACE_SIZE


def smoothed(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the curve under a Gaussian of 5 % of its length, at least one frame."""
    width = max(_LEAST_SMOOTHING, _SMOOTHING * len(curve))
    return gaussian_filter1d(curve, width, mode="nearest")


def _hill(smooth: NDArray[np.float64]) -> tuple[int, int]:
    """Return the places around the peak where the curve has come down to its foot."""
    peak = 1 + int(np.argmax(smooth[1:]))
    # The reference frame has no motion at all, not even noise: the foot is that of the others.
    foot = float(smooth[1:].min())
    low = smooth <= foot + _EDGE * (float(smooth[peak]) - foot)
    before, after = np.flatnonzero(low[:peak]), np.flatnonzero(low[peak + 1 :])
    return (
        int(before[-1]) if len(before) else 0,
        peak + 1 + int(after[0]) if len(after) else len(smooth) - 1,
    )
