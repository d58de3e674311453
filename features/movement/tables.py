"""The tables of movement: `signals.csv`, `events.csv`, `movements.csv`, and a user's `cues.csv`.

Lengths are in the row's `unit`. Sides are the patient's own; a difference is right minus left.
"""

from __future__ import annotations

import pandera.pandas as pa

from common.movements import MOVEMENTS
from common.tables import OTHERS_AS_TEXT, STATUSES, choice, number, text
from features.measures import SIDES

SIGNALS_FILE, EVENTS_FILE, MOVEMENTS_FILE = "signals.csv", "events.csv", "movements.csv"

SIGNALS = (
    "brow_height",
    "palpebral_fissure_height",
    "commissure_displacement",
    "commissure_height",
    "half_mouth_width",
    "upper_lip_height",
    "lower_lip_height",
)
"""Measured in every frame on both sides; those that `measures.csv` has too mean the same there."""

SIGNAL_COLUMNS = tuple(
    f"{name}_{part}" for name in SIGNALS for part in (*SIDES, "right_minus_left")
)
POSE_COLUMNS = ("yaw_deg", "pitch_deg", "tilt_deg")

MM, PERCENT = "mm", "% of outer-eye distance"
UNITS = (MM, PERCENT)

BLINK, UNNAMED = "blink", "unnamed"
KINDS = (BLINK, "movement")
FOUND_BY = ("signals", "cues")
EVENT_STATUSES = ("ok", "too_little", "failed")
"""Of an event: `too_little` where a cue names a movement that stays below the activation gate,
`failed` where its frames have no points."""
MOVEMENT_STATUSES = (*EVENT_STATUSES, "not_seen")


def _of_sides(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_{side}" for name in names for side in SIDES)


EVENT_TIMES = ("onset_s", "peak_s", "hold_start_s", "hold_end_s", "end_s")
SIDE_COLUMNS = _of_sides(
    "amplitude",
    "peak_speed",
    "rise_s",
    "hold_s",
    "return_s",
    "closing_percent",
    "eye_synkinesis_percent",
    "mouth_synkinesis",
)
PAIR_COLUMNS = ("amplitude_ratio", "correlation", "lag_s", "symmetry_index_percent")

SIGNALS_TABLE = pa.DataFrameSchema(
    {
        "film": text(),
        "frame": pa.Column(int),
        "time_s": number(),
        "status": choice(STATUSES),
        "reason": text(nullable=True),
        "unit": choice(UNITS),
        **{name: number() for name in (*POSE_COLUMNS, *SIGNAL_COLUMNS)},
    },
    name="signals",
    metadata=OTHERS_AS_TEXT,
)
"""`signals.csv`: one row per frame, smoothed, the head's motion taken out; NaN unless `ok`."""

EVENTS = pa.DataFrameSchema(
    {
        "film": text(),
        "patient_id": text(nullable=True),
        "event": pa.Column(int),
        "kind": choice(KINDS),
        "movement": choice((*MOVEMENTS, UNNAMED), nullable=True),
        "found_by": choice(FOUND_BY),
        "status": choice(EVENT_STATUSES),
        "reason": text(nullable=True),
        "unit": choice(UNITS),
        "signal": choice(SIGNALS, nullable=True),
        "cue_start_s": number(),
        "cue_end_s": number(),
        "peak_frame": pa.Column("Int64", nullable=True, coerce=True),
        **{name: number() for name in EVENT_TIMES},
        **{name: number() for name in _of_sides("onset_s", "peak_s")},
        **{name: number() for name in SIDE_COLUMNS},
        **{name: choice(("yes", "no"), nullable=True) for name in _of_sides("complete")},
        "weaker_side": choice(SIDES, nullable=True),
        **{name: number() for name in PAIR_COLUMNS},
    },
    name="events",
    metadata=OTHERS_AS_TEXT,
)
"""`events.csv`: one row per blink or movement, by film in the order of their onset."""

MOVEMENTS_TABLE = pa.DataFrameSchema(
    {
        "film": text(),
        "patient_id": text(nullable=True),
        "movement": choice((*MOVEMENTS, BLINK)),
        "status": choice(MOVEMENT_STATUSES),
        "reason": text(nullable=True),
        "unit": choice(UNITS),
        "repetitions": pa.Column(int),
        "per_minute": number(),
        "signal": choice(SIGNALS, nullable=True),
        "frame": pa.Column("Int64", nullable=True, coerce=True),
        "time_s": number(),
        **{name: number() for name in SIDE_COLUMNS},
        **{name: number() for name in _of_sides("complete_percent")},
        "weaker_side": choice(SIDES, nullable=True),
        **{name: number() for name in PAIR_COLUMNS},
        **{name: number() for name in _of_sides(*SIGNALS)},
    },
    name="movements",
    metadata=OTHERS_AS_TEXT,
)
"""`movements.csv`: nine rows per film: the eight movements (rest first) and blinks, always.

Numbers are medians over the repetitions; `frame` and the signals at the end are those of the
strongest repetition at its peak, and for rest those of rest.
"""

CUES = pa.DataFrameSchema(
    {
        "film": text(),
        "start_s": pa.Column(float, coerce=True),
        "end_s": pa.Column(float, coerce=True),
        "movement": choice(MOVEMENTS),
    },
    name="cues",
    metadata=OTHERS_AS_TEXT,
)
"""`cues.csv`: which movement was asked for, and when; seconds of the film."""
