"""One event measured: when it begins, peaks and ends, how far and fast each side moves.

Onset and end are where a side passes 10 % of its amplitude, the hold is while it has 90 % or more,
the peak is the middle of the time at 99 % or more: a plateau has no highest moment. All of them lie
between samples, on straight lines. The event's own times are those of the side that moves more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from features.frames import FloatArray
from features.measures import SIDES
from features.movement.curves import stretches

GATE_MM = 2.0
"""Activation gate: below it nothing is called a movement and no index is made, nominal mm. What
observers begin to see: 2 mm at the lid, 3 at the mouth corner, 3.5 at the brow (review of 2017,
PubMed 28200081)."""
SIDE_GATE_MM = 1.5
"""A side that moves less has an amplitude, but no times, no lag and no correlation."""
EDGE, HOLD, TOP = 0.1, 0.9, 0.99


@dataclass(frozen=True)
class Course:
    """What one side does in an event: moments in samples, NaN where it hardly moves or is cut off.

    `amplitude` is in nominal mm, `speed` in nominal mm per sample.
    """

    amplitude: float
    speed: float
    onset: float
    hold_start: float
    hold_end: float
    end: float
    half: float
    peak: float


def course_of(curve: FloatArray, *, low: int, high: int) -> Course:
    """Measure one side: `curve` is the movement from rest, positive as it goes, `(m,)`.

    The largest value between the samples `low` and `high` (not included) is the amplitude; where
    the movement began before `low`, or goes on after `high`, its onset or end is not known.
    """
    part = curve[low:high]
    if not np.isfinite(part).any():
        return Course(*([np.nan] * 8))
    top = int(np.nanargmax(part))
    known = next(s for s in stretches(np.isfinite(part)) if s.start <= top < s.stop)
    part, top, low = part[known], top - known.start, low + known.start  # up to the next gap
    amplitude = float(part[top])
    if amplitude < SIDE_GATE_MM:
        return Course(amplitude, *([np.nan] * 7))
    onset = _crossing(part[: top + 1][::-1], EDGE * amplitude)
    end = _crossing(part[top:], EDGE * amplitude)
    half = _crossing(part[: top + 1][::-1], amplitude / 2)
    first = int(np.ceil(top - onset)) if np.isfinite(onset) else 0
    last = int(np.floor(top + end)) if np.isfinite(end) else len(part) - 1
    start, stop = _above(part, first, last, HOLD * amplitude)
    rising = np.diff(part[first : max(int(np.ceil(start)), first + 1) + 1])
    return Course(
        amplitude=amplitude,
        speed=float(rising.max()) if len(rising) else np.nan,
        onset=low + top - onset,
        hold_start=low + start,
        hold_end=low + stop,
        end=low + top + end,
        half=low + top - half,
        peak=low + sum(_above(part, first, last, TOP * amplitude)) / 2,
    )


def _crossing(values: FloatArray, limit: float) -> float:
    """Return how many samples after the first, a top, values fall to the limit; NaN if never."""
    below = np.flatnonzero(values <= limit)
    if not len(below):
        return float("nan")
    at = int(below[0])
    if at == 0:
        return 0.0
    return at - 1 + float((values[at - 1] - limit) / (values[at - 1] - values[at]))


def _above(part: FloatArray, first: int, last: int, limit: float) -> tuple[float, float]:
    """Return the first and the last moment between two samples at which the limit is reached."""
    held = np.flatnonzero(part[first : last + 1] >= limit) + first
    start = float(held[0]) - _share(part, held[0] - 1, held[0], limit)
    return start, float(held[-1]) + _share(part, held[-1] + 1, held[-1], limit)


def _share(part: FloatArray, outside: int, inside: int, limit: float) -> float:
    """Return the way from a sample above the limit to where the curve crosses it, 0 to 1."""
    if not 0 <= outside < len(part) or not part[outside] < limit:
        return 0.0
    return float((part[inside] - limit) / (part[inside] - part[outside]))


def pair_measures(
    curves: FloatArray, courses: tuple[Course, Course], *, step: float
) -> tuple[dict[str, Any], str]:
    """Return what both sides are beside each other, and why some of it is missing.

    The symmetry index is 100 (1 - sum |R - L| / sum (|R| + |L|)) over the event: like the index
    of OSCAR (1999) it is 100 % for equal sides, but it compares them at every moment.

    `curves`: `(m, 2)` movement from rest, positive as it goes.
    `courses`: of both sides.
    `step`: seconds per sample.
    """
    sizes = np.array([max(course.amplitude, 0.0) for course in courses])
    if not np.isfinite(sizes).all():
        return {}, "One side could not be measured."
    if sizes.max() < SIDE_GATE_MM:
        return {}, f"Neither side moved by {SIDE_GATE_MM:g} mm."
    leader = courses[int(sizes.argmax())]
    found: dict[str, Any] = {
        "amplitude_ratio": float(sizes.min() / sizes.max()),
        "weaker_side": SIDES[int(sizes.argmin())] if sizes[0] != sizes[1] else None,
    }
    first = leader.onset if np.isfinite(leader.onset) else leader.hold_start
    last = leader.end if np.isfinite(leader.end) else leader.hold_end
    both = curves[int(np.floor(first)) : int(np.ceil(last)) + 1]
    both = both[np.isfinite(both).all(axis=1)]
    apart, total = np.abs(both[:, 0] - both[:, 1]).sum(), np.abs(both).sum()
    if total > 0:
        found["symmetry_index_percent"] = float(100 * (1 - apart / total))
    if sizes.min() < SIDE_GATE_MM:
        side = SIDES[int(sizes.argmin())]
        return found, (
            f"The {side} side moved by less than {SIDE_GATE_MM:g} mm: too little for its times, "
            "lag and correlation."
        )
    if len(both) > 2 and np.ptp(both, axis=0).min() > 0:
        found["correlation"] = float(np.asarray(np.corrcoef(both.T))[0, 1])
    found["lag_s"] = float((courses[0].half - courses[1].half) * step)
    return found, ""
