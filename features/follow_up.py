"""How scores of a patient change from visit to visit, and whether that is more than their noise.

Any table with patient, visit and numbers: scores, answers, measures, ratings. The smallest
detectable change of a score comes from what should be equal and is not: photographs repeated
within a visit, the same photographs measured again, or raters who saw the same change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa
from scipy.stats import t as student

from common.errors import UserError, did_you_mean
from common.files import natural_key
from common.grading.numeric_target import NUMERIC, RESERVED, is_numeric
from common.tables import OTHERS_AS_TEXT, choice, number, text
from common.words import counted
from features.registry import FEATURE_NAMES

Healthy = Literal["high", "low", "zero", "unknown"]
VERDICTS = ("better", "worse", "higher", "lower", "within error", "cannot be told")
SOURCES = ("repeated photographs", "copies", "raters")
FEWEST = 5
"""Degrees of freedom below which an error is not estimated."""
LEVEL = 0.95
SERIES = ("task", "weak_side", "model", "branch")
"""Columns that, beside the patient, say which rows of several visits belong together."""
_NO_SCORES = {
    *RESERVED, *SERIES, "rater", "again", "age", "frame", "photo_sha256", "n_faces", "set_low",
    "set_high", "date",
} - {"hb_grade"}  # fmt: skip

FOLLOWED = pa.DataFrameSchema({}, name="follow-up", metadata=OTHERS_AS_TEXT)
"""Any table: what a score is, is seen when it is read."""

CHANGES = pa.DataFrameSchema(
    {
        "patient_id": text(),
        **{name: text(nullable=True, required=False) for name in SERIES},
        "score": text(),
        "since": choice(("first", "previous"), nullable=True),
        **{name: text(nullable=True) for name in ("from_visit", "to_visit")},
        **{name: text(nullable=True) for name in ("from_date", "to_date")},
        **{name: number() for name in ("from_value", "to_value", "change", "smallest_detectable")},
        **{name: pa.Column("Int64", nullable=True) for name in ("from_n", "to_n")},
        "detectable_from": choice(SOURCES, nullable=True),
        "verdict": choice(VERDICTS),
        "reason": text(nullable=True),
    },
    name="changes",
)
"""`changes.csv`: every score of every patient, each visit against the first and the one before."""


@dataclass(frozen=True)
class FollowUp:
    """Changes by `CHANGES`; scores and their visits in long form; and what must be known of them.

    `values` has a row per patient, series, score and visit: `value` (mean), `n`, `date`, `place`
    (of the visit, from 0). `errors` has `sd`, `df` and `source` of each score and series.
    """

    changes: pd.DataFrame
    values: pd.DataFrame
    errors: pd.DataFrame
    series: tuple[str, ...]
    scores: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def keys(self) -> list[str]:
        """Columns that name a score and its series."""
        return [*self.series, "score"]


def healthy_end(score: str, *, columns: Iterable[str] = ()) -> Healthy:
    """Return which value of a score is healthy; `unknown` where nobody said so.

    `predicted` is judged by the truth that stands beside it in `columns`.
    """
    if score == "predicted":
        known = [name for name in columns if name in NUMERIC or name == "hb_grade"]
        numeric = [name for name in known if name in NUMERIC] or known
        return healthy_end(numeric[0]) if numeric else "unknown"
    if score in NUMERIC:
        return NUMERIC[score].healthy or "unknown"
    if score == "hb_grade" or score in FEATURE_NAMES or score.startswith("weakness_"):
        return "low"
    if score.startswith(("sunnybrook_style", "eface_style")):
        low = score.startswith("sunnybrook_style") and ("_rest" in score or "synkinesis" in score)
        return "low" if low else "high"
    return "zero" if "_minus_" in score else "unknown"


def follow(
    table: pd.DataFrame,
    *,
    again: Sequence[pd.DataFrame] = (),
    again_are: Literal["photographs", "copies"] = "photographs",
    scores: Sequence[str] = (),
    healthy: Mapping[str, Healthy] | None = None,
) -> FollowUp:
    """Return the change of every score of every patient.

    `table`: `patient_id`, `visit` or `date`, and scores; with `rater`, one row per rater.
    Several rows of one visit (and movement, model, …) are repeats.
    `again`: tables of the same columns, of photographs taken again at the same visits or of the
    same photographs measured again (`again_are`).
    `scores`: columns to follow; none takes every numeric one.
    `healthy`: which end of further scores is healthy.
    """
    scores = tuple(scores) or _scores_in(table)
    unknown = [name for name in scores if name not in table]
    if unknown:
        raise UserError(
            f'The table has no column "{unknown[0]}": name a score that it has.'
            + did_you_mean(unknown[0], map(str, table))
        )
    tables = [_with_visits(each) for each in (table, *again)]
    series = tuple(name for name in SERIES if name in table)
    long = pd.concat([_long(t, scores, series, part=i) for i, t in enumerate(tables)])
    if long.empty:
        raise UserError(
            "No row of the table has both patient and visit: give the manifest of these "
            "photographs (--manifest)."
        )
    visits, warnings = _order(long)
    by_rater = "rater" in long
    source = "raters" if by_rater else "copies" if again_are == "copies" else SOURCES[0]
    errors = _errors(long, series, visits, source=source)
    values = _values(long, series, visits)
    ends = {name: healthy_end(name, columns=table.columns) for name in scores} | dict(healthy or {})
    rows: list[dict[str, object]] = []
    raters = _rater_scores(long, series) if by_rater else {}
    keys = ["patient_id", *series, "score"]
    per_score = errors.set_index([*series, "score"]).to_dict("index")
    for key, own in values.groupby(keys, sort=False, dropna=False):
        named = dict(zip(keys, key, strict=True))
        error = per_score[key[1:] if series else key[-1]]
        rows += _changes(named, own, error, ends[str(key[-1])], raters.get(key, {}))
    unused = [name for name in SERIES if name not in series]
    changes = pd.DataFrame(rows).drop(columns=unused)
    changes[list(series)] = changes[list(series)].replace("", None)
    for name in ("from_n", "to_n"):
        changes[name] = changes[name].astype("Int64")
    return FollowUp(changes, values, errors, series, scores, tuple(warnings))


def _scores_in(table: pd.DataFrame) -> tuple[str, ...]:
    """Return the numeric columns; of answers `predicted` alone; no length in px."""
    if "predicted" in table:
        if is_numeric(table["predicted"]):
            return ("predicted",)
        raise UserError("The answers of this table are no numbers: there is no change to measure.")
    found = [
        str(name)
        for name in table
        if name not in _NO_SCORES and not str(name).startswith(("p_", "x_", "y_", "box_"))
        and is_numeric(table[name])
    ]  # fmt: skip
    if "unit" in table and table["unit"].eq("px").any():  # they change with the camera's distance
        found = [name for name in found if name.endswith("_percent") or "angle" in name]
    if not found:
        raise UserError("The table has no column of numbers that could be a score (--scores).")
    return tuple(found)


def _with_visits(table: pd.DataFrame) -> pd.DataFrame:
    if "patient_id" not in table:
        raise UserError("The table has no column patient_id: give the manifest (--manifest).")
    if "visit" not in table:
        if "date" not in table:
            raise UserError(
                "The table has neither visit nor date: give a manifest that has (--manifest)."
            )
        table = table.assign(visit=table["date"])
    return table if "date" in table else table.assign(date=None)


def _long(
    table: pd.DataFrame, scores: Sequence[str], series: Sequence[str], *, part: int
) -> pd.DataFrame:
    """One row per measurement: patient, series, visit, score, value. Rows without visit go."""
    rated = ["rater"] if "rater" in table else []
    keys = ["patient_id", *series, "visit", "date", *rated]
    rows = table.dropna(subset=["patient_id", "visit"]).copy()
    rows = rows.fillna(dict.fromkeys(series, ""))
    for name in scores:
        rows[name] = pd.to_numeric(rows[name], errors="coerce").replace([np.inf, -np.inf], np.nan)
    if "fold" in rows and "repeat" in rows:  # another dealing of the folds is no repeat of a visit
        rows = rows.groupby(keys, sort=False, dropna=False)[list(scores)].mean().reset_index()
    parts = []
    for name in scores:
        of_visit = "task" in series and _of_the_visit(rows, name)
        own = rows[[*keys, name]].rename(columns={name: "value"}).assign(score=name)
        if of_visit:  # all its photographs say the same: one score, no repeats
            own = own.assign(task="").drop_duplicates(["patient_id", "visit", *rated])
        parts.append(own)
    return pd.concat(parts).assign(part=part)


def _of_the_visit(rows: pd.DataFrame, name: str) -> bool:
    differ = rows.groupby(["patient_id", "visit"])[name].nunique(dropna=False)
    photographs = rows.groupby(["patient_id", "visit"]).size()
    return bool((differ <= 1).all() and (photographs > 1).any())


def _order(long: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Place each patient's visits: by date where every visit has one, else by name."""
    said = long.groupby(["patient_id", "visit"], sort=False)["date"].agg(
        lambda cells: sorted(set(cells.dropna()))
    )
    warnings, rows = [], []
    for patient, own in said.groupby(level=0, sort=False):
        dates = dict(zip(own.index.get_level_values(1).astype(str), own.tolist(), strict=True))
        names = sorted(dates, key=natural_key)
        good = {v: d[0] for v, d in dates.items() if len(d) == 1 and _is_date(d[0])}
        if any(len(d) > 1 for d in dates.values()):
            visit = next(v for v in names if len(dates[v]) > 1)
            warnings.append(f"{patient} has {' and '.join(dates[visit])} as dates of visit {visit}")
        elif wrong := [d[0] for d in dates.values() if d and not _is_date(d[0])]:
            warnings.append(f'{patient} has "{wrong[0]}" as a date')
        if len(good) == len(names):
            by_date = sorted(names, key=lambda visit: good[visit])
            if by_date != names:
                warnings.append(
                    f"{patient}'s visits {', '.join(names)} have dates in another order"
                )
            names = by_date
        rows += [(patient, v, good.get(v), place) for place, v in enumerate(names)]
    warned = [
        f"{warning}: visits are in the order of their dates."
        if "order" in warning
        else f"{warning}: visits are in the order of their names."
        for warning in warnings
    ]
    return pd.DataFrame(rows, columns=["patient_id", "visit", "date", "place"]), warned


def _is_date(cell: str) -> bool:
    return pd.notna(pd.to_datetime(cell, format="%Y-%m-%d", errors="coerce"))


def _values(long: pd.DataFrame, series: Sequence[str], visits: pd.DataFrame) -> pd.DataFrame:
    """Mean of each visit; a visit without a score stays, with NaN."""
    keys = ["patient_id", *series, "score"]
    found = long.groupby([*keys, "visit"], sort=False, dropna=False)["value"]
    means = found.agg(value="mean", n="count").reset_index()
    every = means[keys].drop_duplicates().merge(visits, on="patient_id")
    joined = every.merge(means, on=[*keys, "visit"], how="left")
    joined["n"] = joined["n"].fillna(0).astype(int)
    return joined


def _errors(
    long: pd.DataFrame, series: Sequence[str], visits: pd.DataFrame, *, source: str
) -> pd.DataFrame:
    """Return the standard deviation of one measurement, or of one rater's change, by score."""
    keys = [*series, "score"]
    rows = []
    for key, own in long.dropna(subset=["value"]).groupby(keys, sort=False, dropna=False):
        named = dict(zip(keys, key, strict=True))
        if source == "raters":
            own = _first_changes(own, visits)
        cells = own.groupby(["patient_id", "visit"])["value"]
        deviation, df = own["value"] - cells.transform("mean"), len(own) - cells.ngroups
        sd = float(np.sqrt((deviation**2).sum() / df)) if df >= FEWEST else np.nan
        rows.append({**named, "sd": sd, "df": df, "source": source})
    empty = long[keys].drop_duplicates()
    found = pd.DataFrame(rows, columns=[*keys, "sd", "df", "source"])
    joined = empty.merge(found, on=keys, how="left")
    return joined.fillna({"df": 0, "source": source})


def _first_changes(rows: pd.DataFrame, visits: pd.DataFrame) -> pd.DataFrame:
    """Return each rater's change from each patient's visit to the next."""
    placed = rows.merge(visits[["patient_id", "visit", "place"]], on=["patient_id", "visit"])
    keys = ["patient_id", "rater", "place"]
    means = placed.groupby(keys)["value"].mean().reset_index()
    before = means.assign(place=means["place"] + 1)
    both = means.merge(before, on=keys, suffixes=("", "_before"))
    changes = both["value"] - both["value_before"]
    return pd.DataFrame(
        {"patient_id": both["patient_id"], "visit": both["place"], "value": changes}
    )


def _rater_scores(
    long: pd.DataFrame, series: Sequence[str]
) -> dict[tuple[object, ...], dict[tuple[str, str], float]]:
    keys = ["patient_id", *series, "score"]
    means = long.groupby([*keys, "visit", "rater"], sort=False, dropna=False)["value"].mean()
    found: dict[tuple[object, ...], dict[tuple[str, str], float]] = {}
    for *key, visit, rater, value in means.dropna().reset_index().itertuples(index=False):
        found.setdefault(tuple(key), {})[str(visit), str(rater)] = float(value)
    return found


def _changes(
    named: dict[str, object],
    own: pd.DataFrame,
    error: Mapping[Any, Any],
    end: Healthy,
    raters: Mapping[tuple[str, str], float],
) -> list[dict[str, object]]:
    visits = own.sort_values("place").to_dict("records")
    blank = dict.fromkeys(CHANGES.columns) | named
    if len(visits) == 1:
        (only,) = visits
        return [blank | {
            "from_visit": only["visit"], "from_date": only["date"], "from_value": only["value"],
            "from_n": only["n"], "verdict": "cannot be told", "reason": "one visit only",
        }]  # fmt: skip
    pairs = [("first", visits[0], later) for later in visits[1:]]
    pairs += [("previous", *both) for both in pairwise(visits[1:])]
    rows = []
    for since, first, later in pairs:
        a, b, n = first["value"], later["value"], (first["n"], later["n"])
        if raters:
            both = [r for v, r in raters if v == first["visit"] and (later["visit"], r) in raters]
            a, b = (
                float(np.mean([raters[v["visit"], r] for r in both])) if both else v["value"]
                for v in (first, later)
            )
            n = (len(both), len(both))
        limit, reason = _smallest_detectable(error, n, first, later)
        rows.append(blank | {
            "since": since, "from_visit": first["visit"], "to_visit": later["visit"],
            "from_date": first["date"], "to_date": later["date"], "from_value": a, "to_value": b,
            "from_n": n[0], "to_n": n[1], "change": b - a, "smallest_detectable": limit,
            "detectable_from": None if reason else error["source"],
            "verdict": "cannot be told" if reason else _verdict(a, b, limit, end),
            "reason": reason or None,
        })  # fmt: skip
    return rows


def _smallest_detectable(
    error: Mapping[Any, Any], n: tuple[int, int], first: Mapping[Any, Any], later: Mapping[Any, Any]
) -> tuple[float, str]:
    """Return the change that noise alone exceeds in 5 of 100, or why it is not known."""
    for visit in (first, later):
        if np.isnan(visit["value"]):
            return np.nan, f"no score at visit {visit['visit']}"
    if min(n) == 0:
        return np.nan, "no rater scored both visits"
    df, sd = int(error["df"]), float(error["sd"])
    if np.isnan(sd):
        if df == 0:
            return np.nan, "nothing was measured twice, so the error is not known"
        return np.nan, f"too little was measured twice to know the error ({df} of {FEWEST})"
    reach = float(student.ppf((1 + LEVEL) / 2, df))
    per_change = 1 / n[0] if error["source"] == "raters" else 1 / n[0] + 1 / n[1]
    return reach * sd * float(np.sqrt(per_change)), ""


def _verdict(a: float, b: float, limit: float, end: Healthy) -> str:
    gain = {"high": b - a, "low": a - b, "zero": abs(a) - abs(b), "unknown": b - a}[end]
    if abs(gain) <= limit:
        return "within error"
    up, down = ("higher", "lower") if end == "unknown" else ("better", "worse")
    return up if gain > 0 else down


def chance_calls(changes: pd.DataFrame) -> str:
    """Say how many changes would be called by chance alone if nothing had changed."""
    told = int((changes["verdict"] != "cannot be told").sum())
    by_chance = (1 - LEVEL) * told
    said = counted(told, "change")
    return f"If nothing had changed, about {by_chance:.0f} of {said} would be called."
