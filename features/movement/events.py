"""Blinks and movements of a film: found without cues and named by what moves, or cued.

A blink is a valley of the fissure shorter than 0.8 s in which one eye closes by a quarter or more.
A movement is a time in which something is 2 mm or more from rest for 0.3 s or more, blinks aside.
It is named by the standard movement whose direction is most alike (cosine at least 0.75) on the
side that moves more, so that a weak side does not change the name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from features.frames import FloatArray
from features.measures import SIDES
from features.movement.curves import BROW, CORNER, CORNER_OUT, CORNER_UP, LID, Curves, stretches
from features.movement.measure import GATE_MM, Course, course_of, pair_measures
from features.movement.tables import BLINK, SIGNALS, UNNAMED

UPPER, LOWER = SIGNALS.index("upper_lip_height"), SIGNALS.index("lower_lip_height")

# Directions of change in mm of a full movement, rounded: brow up, fissure, mouth corner outwards,
# corner up, upper lip up, lower lip down. Brow, lid and smile as healthy adults move (Vicon,
# Braz J ORL: 10.6, 9.1, 9.3 mm); the others by what the muscles pull at.
_DIRECTIONS: dict[str, tuple[float, ...]] = {
    "brow_raise": (9, 1, 0, 0, 0, 0),
    "gentle_eye_closure": (0, -9, 0, 0, 0, 0),
    "full_eye_closure": (-3, -9, 1, 1, 1, 0),
    "full_smile": (0, -2, 7, 6, 4, 1),
    "lip_pucker": (0, 0, -7, 0, 1, 2),
    "lower_teeth": (0, 0, 3, -3, 0, 8),
    UNNAMED: (0, 0, -1, -4, 0, 12),  # the mouth opens: the jaw's work, none of the seven
}
_CHANNELS = ((BROW, 1), (LID, 1), (CORNER_OUT, 1), (CORNER_UP, -1), (UPPER, -1), (LOWER, 1))
LEAST_LIKENESS = 0.75
BROW_LOWERED_MM = 1.2
"""An eye closure that lowers a brow by this much is a full one: the eye is squeezed."""
FULL_SMILE_MM, SMALLER_SMILE = 6.45, 0.75
"""A full smile has at least the lower bound of healthy ones (9.28 - 2.83 mm, Vicon, Braz J ORL),
and three quarters of the largest smile of the film; others are gentle."""

_MAIN: dict[str, tuple[int, int]] = {
    "brow_raise": (BROW, 1),
    "gentle_eye_closure": (LID, -1),
    "full_eye_closure": (LID, -1),
    "gentle_smile": (CORNER, 1),
    "full_smile": (CORNER, 1),
    "lip_pucker": (CORNER_OUT, -1),
    "lower_teeth": (LOWER, 1),
}
"""The signal that a movement is measured on, and its sign."""
CLOSURES = ("gentle_eye_closure", "full_eye_closure")
_EYE_JOINS_IN = ("gentle_smile", "full_smile", "lip_pucker", "lower_teeth")
_MOUTH_JOINS_IN = ("brow_raise", *CLOSURES)

BLINK_CLOSING, COMPLETE = 0.25, 0.85
"""Least closing of a blink; and from where on the lids count as closed: their points never meet."""
SHORTEST_S, BRIDGED_S, AROUND_S = 0.3, 0.25, 1.0
_CLOSED_MM = 2.0  # an eye that opens less at rest has no closing ratio


Row = dict[str, Any]


@dataclass(frozen=True)
class Cue:
    """A movement that was asked for, seconds of the film."""

    start: float
    end: float
    movement: str


def events_of(curves: Curves, cues: Sequence[Cue] | None = None) -> list[Row]:
    """Return the rows of `events.csv` of one film, by onset, without film and patient.

    With cues (an empty list counts) the movements are those of the cues; blinks are found anyway.
    """
    if not np.isfinite(curves.values[:, LID]).any():
        found = [_nothing(cue, curves, status="failed") for cue in cues or ()]
    else:
        moves = _found(curves) if cues is None else [_cued(curves, cue) for cue in cues]
        found = [*_blinks(curves), *moves]
    found.sort(key=_when)
    return [{"event": at + 1, **row, "unit": curves.unit} for at, row in enumerate(found)]


def _when(row: Row) -> float:
    """Return when an event begins, as far as it is known."""
    known = (row.get(name, np.nan) for name in ("onset_s", "hold_start_s", "cue_start_s"))
    return next((float(moment) for moment in known if np.isfinite(moment)), np.inf)


def _blinks(curves: Curves) -> list[Row]:
    """Find blinks: valleys of the fissure under the curve without them."""
    fissure, opened = curves.values[:, LID], curves.calm[:, LID]
    depth = opened - fissure
    usual = np.where(curves.at_rest[LID] > _CLOSED_MM, curves.at_rest[LID], np.inf)
    closing = np.nan_to_num(np.nanmax(np.nan_to_num(depth / usual), axis=1))
    peaks, _ = find_peaks(
        np.concatenate([[0.0], closing, [0.0]]),
        height=BLINK_CLOSING,
        prominence=0.8 * BLINK_CLOSING,
        distance=max(1, int(0.15 / curves.step)),
    )
    peaks -= 1
    borders = [0, *((peaks[1:] + peaks[:-1]) // 2).tolist(), len(closing)]
    rows = []
    for at, peak in enumerate(peaks.tolist()):
        reach = int(AROUND_S / curves.step)
        low, high = max(borders[at], peak - reach), min(borders[at + 1] + 1, peak + reach)
        shares: dict[str, float] = {}
        for column, side in enumerate(SIDES):
            before = opened[peak, column]
            if before > _CLOSED_MM:
                shares[side] = float(np.nanmax(depth[low:high, column]) / before)
        row = _row(curves, depth, low=low, high=high, kind=BLINK, main=LID)
        rows.append(row | _closing(shares))
    return [row for row in rows if np.isfinite(row["peak_s"])]


def _found(curves: Curves) -> list[Row]:
    """Find movements without cues and name them by what moves."""
    moved = _channels(curves)
    activity = np.nan_to_num(np.abs(moved).max(axis=(1, 2)))
    active = activity > GATE_MM
    gap = int(BRIDGED_S / curves.step)
    known = np.asarray(np.isfinite(moved).all(axis=(1, 2)))
    for pause in stretches(~active):
        inside = pause.start > 0 and pause.stop < len(active)
        if inside and pause.stop - pause.start <= gap and known[pause].all():
            active[pause] = True
    spans = [s for s in stretches(active) if s.stop - s.start >= SHORTEST_S / curves.step]
    names = [_name(moved[span], activity[span]) for span in spans]
    largest = max(
        (_size(curves, span) for span, name in zip(spans, names, strict=True) if "smile" in name),
        default=0.0,
    )
    reach = int(AROUND_S / curves.step)
    rows = []
    for at, (span, name) in enumerate(zip(spans, names, strict=True)):
        before = (spans[at - 1].stop + span.start) // 2 if at else 0
        after = (span.stop + spans[at + 1].start) // 2 if at + 1 < len(spans) else len(active)
        if "smile" in name:
            size = _size(curves, span)
            full = size >= FULL_SMILE_MM and size >= SMALLER_SMILE * largest
            name = "full_smile" if full else "gentle_smile"
        rows.append(
            _movement(
                curves,
                name,
                low=max(before, span.start - reach),
                high=min(after, span.stop + reach),
            )
        )
    return rows


def _cued(curves: Curves, cue: Cue) -> Row:
    """Measure the movement that was asked for, in the time of its cue."""
    low, high = (round((t - curves.start) / curves.step) for t in (cue.start, cue.end))
    low, high = max(low, 0), min(high + 1, len(curves.values))
    signal, _ = _MAIN[cue.movement]
    if low >= high or not np.isfinite(curves.values[low:high, signal]).any():
        return _nothing(cue, curves, status="failed")
    row = _movement(curves, cue.movement, low=low, high=high)
    row |= {"found_by": "cues", "cue_start_s": cue.start, "cue_end_s": cue.end}
    sizes = [row[f"amplitude_{side}"] / curves.factor for side in SIDES]
    if np.nanmax(sizes) >= GATE_MM:
        return row
    return _nothing(cue, curves, status="too_little") | {
        f"amplitude_{side}": row[f"amplitude_{side}"] for side in SIDES
    }


def _nothing(cue: Cue, curves: Curves, *, status: str) -> Row:
    gate = f"{GATE_MM * curves.factor:.3g} {curves.unit}"
    return {
        "kind": "movement",
        "movement": cue.movement,
        "found_by": "cues",
        "status": status,
        "reason": f"Neither side moved by {gate}, the least that is measured."
        if status == "too_little"
        else "No frame of this time could be measured.",
        "cue_start_s": cue.start,
        "cue_end_s": cue.end,
    }


def _movement(curves: Curves, name: str, *, low: int, high: int) -> Row:
    if name == UNNAMED:
        channels = _channels(curves)[low:high]
        most = int(np.nanmax(np.abs(channels), axis=(0, 2)).argmax())
        main, sign = _CHANNELS[most][0], 1
        sign = 1 if np.nanmax(channels[:, most]) >= -np.nanmin(channels[:, most]) else -1
        sign *= _CHANNELS[most][1]
    else:
        main, sign = _MAIN[name]
    curve = sign * (curves.calm[:, main] - curves.at_rest[main])
    row = _row(curves, curve, low=low, high=high, kind="movement", main=main)
    row["movement"] = name
    first, last = (row[key] for key in ("hold_start_s", "hold_end_s"))
    if name in CLOSURES:
        rest = dict(zip(SIDES, curves.at_rest[LID], strict=True))
        row |= _closing(
            {
                side: row[f"amplitude_{side}"] / curves.factor / rest[side]
                for side in SIDES
                if rest[side] > _CLOSED_MM
            }
        )
    if np.isfinite(first):
        a, b = (round((t - curves.start) / curves.step) for t in (first, last))
        row |= _synkinesis(curves, name, slice(a, b + 1))
    return row


def _synkinesis(curves: Curves, name: str, hold: slice) -> Row:
    """What joins in unasked while a movement is held: lids with the mouth, mouth with the eyes."""
    found: Row = {}
    for column, side in enumerate(SIDES):
        rest = curves.at_rest[:, column]
        if name in _EYE_JOINS_IN and rest[LID] > _CLOSED_MM:
            narrowed = rest[LID] - np.nanmean(curves.calm[hold, LID, column])
            found[f"eye_synkinesis_percent_{side}"] = float(100 * narrowed / rest[LID])
        if name in _MOUTH_JOINS_IN:
            corner = [CORNER_OUT, CORNER_UP]
            moved = np.nanmean(curves.calm[hold, :, column], axis=0)[corner] - rest[corner]
            found[f"mouth_synkinesis_{side}"] = float(np.hypot(*moved) * curves.factor)
    return found


def _row(curves: Curves, curve: FloatArray, *, low: int, high: int, kind: str, main: int) -> Row:
    """Measure both sides of one event: the columns that every event has."""
    courses = tuple(course_of(curve[:, side], low=low, high=high) for side in range(2))
    assert len(courses) == 2
    sizes = np.nan_to_num([course.amplitude for course in courses], nan=-np.inf)
    leader = courses[int(sizes.argmax())]
    pair, reason = pair_measures(curve, courses, step=curves.step)
    row: Row = {
        "kind": kind, "found_by": "signals", "status": "ok", "reason": reason or None,
        "signal": SIGNALS[main],
        "onset_s": float(curves.time_of(leader.onset)),
        "peak_s": float(curves.time_of(leader.peak)),
        "hold_start_s": float(curves.time_of(leader.hold_start)),
        "hold_end_s": float(curves.time_of(leader.hold_end)),
        "end_s": float(curves.time_of(leader.end)),
        "peak_frame": _frame_at(curves, leader.peak, blinking=kind == BLINK),
        **pair,
    }  # fmt: skip
    for side, course in zip(SIDES, courses, strict=True):
        row |= {f"{name}_{side}": value for name, value in _side_times(curves, course).items()}
    return row


def _side_times(curves: Curves, course: Course) -> Mapping[str, float]:
    return {
        "onset_s": float(curves.time_of(course.onset)),
        "peak_s": float(curves.time_of(course.peak)),
        "amplitude": course.amplitude * curves.factor,
        "peak_speed": course.speed * curves.factor / curves.step,
        "rise_s": (course.hold_start - course.onset) * curves.step,
        "hold_s": (course.hold_end - course.hold_start) * curves.step,
        "return_s": (course.end - course.hold_end) * curves.step,
    }


def _closing(shares: Mapping[str, float]) -> Row:
    return {f"closing_percent_{side}": 100 * share for side, share in shares.items()} | {
        f"complete_{side}": "yes" if share >= COMPLETE else "no" for side, share in shares.items()
    }


def _frame_at(curves: Curves, sample: float, *, blinking: bool) -> int | None:
    """Return the measured frame nearest to a moment; of a movement one without a blink."""
    ok = curves.status == "ok"
    if not np.isfinite(sample) or not ok.any():
        return None
    if not blinking:
        at = np.nan_to_num(np.round((curves.times - curves.start) / curves.step))
        clear = ok & ~curves.blinking[at.astype(int).clip(0, len(curves.values) - 1)]
        ok = clear if clear.any() else ok
    apart = np.where(ok, np.abs(curves.times - curves.time_of(sample)), np.inf)
    return int(curves.frames[apart.argmin()])


def _channels(curves: Curves) -> FloatArray:
    """Return how far from rest everything is, `(m, 6, 2)` nominal mm, blinks aside."""
    channels = np.empty((len(curves.values), len(_CHANNELS), 2))
    for at, (signal, sign) in enumerate(_CHANNELS):
        channels[:, at] = sign * (curves.calm[:, signal] - curves.at_rest[signal])
    return channels


def _size(curves: Curves, span: slice) -> float:
    return float(np.nanmax(curves.values[span, CORNER]))


def _name(moved: FloatArray, activity: NDArray[np.float64]) -> str:
    """Return the standard movement that is most alike; every smile as `full_smile`."""
    held = np.nanmedian(moved[activity >= 0.8 * activity.max()], axis=0)
    strong = held[:, int(np.linalg.norm(held, axis=0).argmax())]

    def likeness(name: str) -> float:
        like = np.array(_DIRECTIONS[name])
        return float(strong @ like / np.linalg.norm(strong) / np.linalg.norm(like))

    name = max(_DIRECTIONS, key=likeness)
    if likeness(name) < LEAST_LIKENESS:
        return UNNAMED
    if name in CLOSURES:
        return CLOSURES[int(held[0].min() <= -BROW_LOWERED_MM)]
    return name
