"""One film to its rows of `signals.csv`, `events.csv` and `movements.csv`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pandera.pandas as pa

from common.movements import MOVEMENTS, REST
from common.words import spoken
from features.measures import SIDES
from features.movement.curves import Curves, curves_of
from features.movement.events import Cue, Row, events_of
from features.movement.tables import (
    BLINK,
    EVENTS,
    MOVEMENTS_TABLE,
    PAIR_COLUMNS,
    POSE_COLUMNS,
    SIDE_COLUMNS,
    SIGNAL_COLUMNS,
    SIGNALS,
)

_DIGITS = 4  # of mm or %: far below what a film shows, and a third of the file


@dataclass(frozen=True)
class MeasuredFilm:
    """The three tables of one film."""

    signals: pd.DataFrame
    events: pd.DataFrame
    movements: pd.DataFrame


def measure_film(
    name: str, rows: pd.DataFrame, *, patient: str | None, cues: Sequence[Cue] | None = None
) -> MeasuredFilm:
    """Measure the frames of one film, in their order, with the columns of `landmarks.csv`.

    Cues name its movements and rest; None: they are found by what moves.
    """
    rest = [(cue.start, cue.end) for cue in cues or () if cue.movement == REST]
    curves = curves_of(rows, rest_times=rest)
    asked = None if cues is None else [cue for cue in cues if cue.movement != REST]
    found = events_of(curves, asked)
    events = pd.DataFrame([{"film": name, "patient_id": patient, **row} for row in found])
    events = _typed(events, EVENTS)
    return MeasuredFilm(
        signals=_signals(name, curves),
        events=events,
        movements=_movements(name, patient, curves, events),
    )


def _signals(name: str, curves: Curves) -> pd.DataFrame:
    values = (curves.at_frames() * curves.factor).round(_DIGITS)
    right, left = values[..., 0], values[..., 1]
    columns = np.stack([right, left, (right - left).round(_DIGITS)], axis=2)
    numbers = [*curves.pose.round(2).T, *columns.reshape(len(values), -1).T]
    head = {
        "film": name,
        "frame": curves.frames,
        "time_s": curves.times,
        "status": curves.status,
        "reason": pd.array(curves.reason, dtype="str"),
        "unit": curves.unit,
    }
    names = (*POSE_COLUMNS, *SIGNAL_COLUMNS)
    return pd.DataFrame(head | dict(zip(names, numbers, strict=True)))


def _movements(
    name: str, patient: str | None, curves: Curves, events: pd.DataFrame
) -> pd.DataFrame:
    """Return a row for rest, for each movement, and for blinks, whether they occur or not."""
    key = {"film": name, "patient_id": patient, "unit": curves.unit}
    rows = []
    for movement in (*MOVEMENTS, BLINK):
        if movement == REST:
            row = _rest(curves)
        else:
            of_it = events[
                events["kind"] == BLINK if movement == BLINK else events["movement"] == movement
            ]
            row = _summary(movement, curves, of_it)
        rows.append({**key, "movement": movement, **row})
    return _typed(pd.DataFrame(rows), MOVEMENTS_TABLE)


def _rest(curves: Curves) -> Row:
    at = _stillest_frame(curves)
    if at is None:
        return {"status": "failed", "reason": "No frame could be measured.", "repetitions": 0}
    return {
        "status": "ok",
        "repetitions": 1,
        "frame": curves.frames[at],
        "time_s": curves.times[at],
        **_of_signals(curves.at_rest * curves.factor),
    }


def _stillest_frame(curves: Curves) -> int | None:
    """Return the place of the frame that is most alike the medians at rest, head included."""
    ok = curves.status == "ok"
    if not ok.any() or not curves.rest.any():
        return None
    away = np.abs(curves.at_frames() - curves.at_rest).max(axis=(1, 2))
    turned = np.abs(curves.pose).max(axis=1) / 10  # a degree counts as a tenth of a mm
    return int(np.nanargmin(np.where(ok, away + turned, np.nan)))


def _summary(movement: str, curves: Curves, events: pd.DataFrame) -> Row:
    ok = events[events["status"] == "ok"]
    row: Row = {"repetitions": len(ok)}
    if movement == BLINK:
        minutes = float((curves.status == "ok").mean() * np.ptp(curves.times)) / 60
        row["per_minute"] = len(ok) / minutes if minutes > 0 else np.nan
    if ok.empty:
        if events.empty:
            reason = f"No {spoken(movement)} was found in this film."
            return {**row, "status": "not_seen", "reason": reason}
        first = events.iloc[0]
        return {**row, "status": first["status"], "reason": first["reason"]}
    sizes = ok[[f"amplitude_{side}" for side in SIDES]].max(axis=1)
    strongest = ok.iloc[int(sizes.to_numpy().argmax())]
    middle = ok[[*SIDE_COLUMNS, *PAIR_COLUMNS]].median()
    frame = strongest["peak_frame"]
    at = np.flatnonzero(curves.frames == frame)[0] if pd.notna(frame) else None
    right, left = middle["amplitude_right"], middle["amplitude_left"]
    row |= {
        "status": "ok",
        "reason": next(iter(ok["reason"].dropna()), None),
        "signal": strongest["signal"],
        "frame": frame,
        "weaker_side": None if right == left else SIDES[int(left < right)],
        **{str(name): value for name, value in middle.items()},
    }
    for side in SIDES:
        answers = ok[f"complete_{side}"].dropna()
        row[f"complete_percent_{side}"] = 100 * (answers == "yes").mean()
    if at is not None:
        row |= {"time_s": curves.times[at]}
        row |= _of_signals(curves.at_frames()[at] * curves.factor)
    return row


def _of_signals(values: np.ndarray) -> dict[str, float]:
    """Name `(signals, 2)` values by their columns."""
    names = [f"{name}_{side}" for name in SIGNALS for side in SIDES]
    return dict(zip(names, values.ravel().tolist(), strict=True))


def _typed(frame: pd.DataFrame, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Return the schema's columns in their order and types; what is not there is missing."""
    columns = schema.columns
    frame = frame.reindex(columns=list(columns))
    for name, column in columns.items():
        kind = str(column.dtype).lower()
        if kind == "float64":
            frame[name] = frame[name].astype(np.float64).round(_DIGITS)
        elif kind == "int64":
            frame[name] = frame[name].astype("Int64" if column.nullable else "int64")
        else:
            frame[name] = frame[name].astype("str").where(frame[name].notna())
    return frame
