"""Items and composites in the style of the Sunnybrook and the eFACE, out of side measures.

What is not measured is missing and never 0: a composite is the sum over what was measured, with
the range that this sum can reach beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.tables import SIDES as MANIFEST_SIDES
from common.tables import choice, grade, number, text
from features.frames import FloatArray
from features.scales.registry import ITEMS, MEASURE_NAMED, SIDE_MEASURES, ZONES, Item, SideMeasure
from features.scales.sides import (
    NO_THRESHOLD,
    NOT_MEASURED,
    OK,
    SIDES,
    STATUSES,
    Readings,
    mean_of,
    weakness,
)
from features.scales.thresholds import Bins, table

SCALES_FILE, ITEMS_FILE = "scales.csv", "scale_items.csv"
WEIGHTS = {"voluntary": 4, "rest": -5, "synkinesis": -1}
"""Of the Sunnybrook's parts: composite = 4 · voluntary − 5 · rest − synkinesis."""
SUNNYBROOK = tuple(
    f"sunnybrook_style_{name}"
    for name in (*WEIGHTS, "composite", "reachable_low", "reachable_high", "percent_of_reach")
)
EFACE = tuple(f"eface_style_{name}" for name in ("static", "dynamic", "synkinesis", "total"))
ZONE_COLUMNS = tuple(f"weakness_{zone}" for zone in ZONES)
SCALE_STATUSES = ("ok", "partial", "failed")

_KEY = {
    "patient_id": text(),
    **{name: text(nullable=True, required=False) for name in ("visit", "date")},
    "weak_side": choice(SIDES),
}
SCALES = pa.DataFrameSchema(
    {
        **_KEY,
        "hb_grade": grade(required=False),
        "side": choice(MANIFEST_SIDES),
        "photographs": pa.Column("int64"),
        "used": pa.Column("int64"),
        "status": choice(SCALE_STATUSES),
        "reason": text(nullable=True),
        "eye_distance_mm": number(),
        **{
            name: number()
            for entry in SIDE_MEASURES
            for name in (*(f"{entry.name}_{side}" for side in SIDES), entry.column)
        },
        **{name: number() for name in ZONE_COLUMNS},
        **{item.column: number() for item in ITEMS},
        **{name: number() for name in (*SUNNYBROOK, *EFACE)},
        "bins": text(),
    },
    name="scales",
)
"""`scales.csv`: one row per patient and visit, two where the weak side is not known (as if the
right, and as if the left, were the weak one)."""

SCALE_ITEMS = pa.DataFrameSchema(
    {
        **_KEY,
        **{name: text() for name in ("scale", "part", "item", "title")},
        "value": number(),
        "score": number(),
        "status": choice(STATUSES),
        "reason": text(nullable=True),
    },
    name="scale items",
)
"""`scale_items.csv`: one row per item of each row of `scales.csv`, with why it has no score."""


@dataclass(frozen=True)
class Scored:
    """`scales` by SCALES, `items` by SCALE_ITEMS, and what they were made of."""

    scales: pd.DataFrame
    items: pd.DataFrame
    readings: Readings
    bins: Bins

    def about_bins(self) -> str:
        """Say in a sentence where the thresholds come from."""
        if not self.bins.healthy:
            return (
                f"thresholds of {self.bins.title[0].lower()}{self.bins.title[1:]} (--bins "
                f"{self.bins.name}); published sets contradict each other."
            )
        healthy = self.readings.rows
        people = healthy.loc[healthy["healthy"], "patient_id"].nunique()
        return (
            f"thresholds of the {people} healthy people of this cohort, nobody held against "
            "themselves."
        )


def score(readings: Readings, bins: Bins) -> Scored:
    """Score every item of both scales, and add up what could be measured."""
    items = [_item(item, readings, bins) for item in ITEMS]
    scores = {
        item.column: found["score"].to_numpy() for item, found in zip(ITEMS, items, strict=True)
    }
    long = pd.concat(items).sort_index(kind="stable").reset_index(drop=True)
    columns: dict[str, object] = {}
    for entry in SIDE_MEASURES:
        right, left = readings.amounts[entry.name].T
        columns |= {
            f"{entry.name}_right": right, f"{entry.name}_left": left,
            entry.column: readings.values[entry.name],
        }  # fmt: skip
    zones = weakness(readings.values)
    columns |= dict(zip(ZONE_COLUMNS, zones.values(), strict=True))
    columns |= scores | _sunnybrook(scores) | _eface(scores)
    rows = readings.rows
    wide = pd.concat([rows.drop(columns="healthy"), pd.DataFrame(columns)], axis=1)
    wide["bins"] = bins.name
    wide["status"], wide["reason"] = _status(items, len(rows))
    names = [name for name in SCALES.columns if name in wide]
    return Scored(wide[names], long[[n for n in SCALE_ITEMS.columns if n in long]], readings, bins)


def _item(item: Item, readings: Readings, bins: Bins) -> pd.DataFrame:
    """Return the rows of one item, indexed as the readings."""
    key = [name for name in _KEY if name in readings.rows]
    found = readings.rows[key].assign(
        scale=item.scale, part=item.part, item=item.name, title=item.title
    )
    if not item.measures:
        return found.assign(value=np.nan, score=np.nan, status=NOT_MEASURED, reason=item.why_not)
    scorer = _points if item.scale == "sunnybrook" else _percent
    values = [readings.values[name] for name in item.measures]
    scores = [
        scorer(MEASURE_NAMED[name], value, bins)
        for name, value in zip(item.measures, values, strict=True)
    ]
    found["value"], found["score"] = mean_of(values), mean_of(scores)
    first = item.measures[0]
    status, reasons = readings.status[first].copy(), readings.reasons[first].copy()
    scored = found["score"].notna().to_numpy()
    status[scored], reasons[scored] = OK, None
    lost = (status == OK) & ~scored
    status[lost] = NO_THRESHOLD
    reasons[lost] = "too few healthy people, or too unlike each other, for a threshold"
    return found.assign(status=status, reason=pd.array(reasons, dtype="str"))


def _points(entry: SideMeasure, value: FloatArray, bins: Bins) -> FloatArray:
    """Sunnybrook-style points of one measure: by the thresholds."""
    cuts = np.broadcast_to(bins.cuts[entry.name], (len(value), bins.cuts[entry.name].shape[1]))
    if entry.kind == "rest":
        points = ((value < cuts[:, 0]) | (value > cuts[:, 1])).astype(np.float64)
    else:
        points = (value[:, None] >= cuts).sum(axis=1) + float(entry.kind == "movement")
    return np.where(np.isfinite(value) & np.isfinite(cuts).all(axis=1), points, np.nan)


def _percent(entry: SideMeasure, value: FloatArray, _: Bins) -> FloatArray:
    """eFACE-style value of one measure, 100 where the sides are alike, 0 at the worst."""
    zero = table()["eface_zero"].get(entry.name)
    if entry.kind == "movement":
        share = value
    elif zero is not None:
        share = 1 - np.abs(value) / zero["value"]
    else:
        share = np.minimum(value, 1 / value) if entry.ratio else 1 - value
    return 100 * np.clip(share, 0.0, 1.0)


def _sunnybrook(scores: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Parts, composite, and what the composite over the measured items can reach."""
    items = [item for item in ITEMS if item.scale == "sunnybrook"]
    sums: dict[str, FloatArray] = {}
    low, high, enough = 0.0, 0.0, True
    for part, weight in WEIGHTS.items():
        own = [item for item in items if item.part == part]
        known = np.stack([np.isfinite(scores[item.column]) for item in own])
        worth = np.stack([np.nan_to_num(scores[item.column]) for item in own]).sum(axis=0)
        least = known.sum(axis=0) * (1.0 if part == "voluntary" else 0.0)
        most = (known * np.array([[item.most] for item in own])).sum(axis=0)
        sums[part] = np.where(known.any(axis=0), abs(weight) * worth, np.nan)
        ends = np.stack([weight * least, weight * most])
        low, high = low + ends.min(axis=0), high + ends.max(axis=0)
        if part == "rest":
            enough &= known.sum(axis=0) == sum(item.is_standard for item in own)
        if part == "voluntary":
            enough &= known.mean(axis=0) >= table()["least_share"]
    whole = np.where(enough, 1.0, np.nan)
    composite = whole * (sums["voluntary"] - sums["rest"] - np.nan_to_num(sums["synkinesis"]))
    share = 100 * (composite - low) / np.where(high > low, high - low, np.nan)
    values = (*(sums[part] for part in WEIGHTS), composite, whole * low, whole * high, share)
    return dict(zip(SUNNYBROOK, values, strict=True))


def _eface(scores: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Means of the three parts, and the total with its weights."""
    items = [item for item in ITEMS if item.scale == "eface" and item.counts]
    weights = table()["eface_weights"]
    parts = {
        part: mean_of([scores[item.column] for item in items if item.part == part])
        for part in weights
    }
    known = sum(np.isfinite(scores[item.column]).astype(float) for item in items)
    enough = known >= table()["least_share"] * sum(item.is_standard for item in items)
    total = sum(weights[part] * parts[part] for part in weights) / sum(weights.values())
    return dict(zip(EFACE, (*parts.values(), np.where(enough, total, np.nan)), strict=True))


def _status(items: list[pd.DataFrame], n: int) -> tuple[NDArray[np.object_], pd.Series]:
    """Say of each row whether all that standard movements can carry has a score, and why not."""
    standard = [found for item, found in zip(ITEMS, items, strict=True) if item.is_standard]
    scored = np.stack([(found["status"] == OK).to_numpy() for found in standard])
    status = np.where(scored.all(axis=0), "ok", np.where(scored.any(axis=0), "partial", "failed"))
    reasons = pd.concat([found["reason"] for found in standard]).dropna()
    joined = reasons.groupby(level=0).agg(lambda said: "; ".join(dict.fromkeys(said)))
    return status.astype(object), joined.reindex(range(n)).astype("str")
