"""`predictions.csv`: what each grader answered for each held-out photograph or patient."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa

from common.arrays import Floats, Ints
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.target import (
    VISIT,
    Target,
    patients_and_visits,
    refuse_two_grades,
    target_named,
)
from common.tables import GRADES, choice, grade, read_table, sort_naturally, text, write_table

BRANCHES = ("geometric", "deep", "fused")
TWIN = "hog"
"""Model of a network's classical twin, in the same table: the bar that a network has to pass."""
Unit = Literal["photograph", "patient"]
KEY: dict[str, str] = {"photograph": "image_id", "patient": "patient_id"}
_TESTED = {
    "repeat": pa.Column("int64"),
    "fold": pa.Column("int64"),
    "model": text(),
    "branch": choice(BRANCHES),
}
"""Columns that say who answered, and in which fold."""


@cache
def predictions_schema(target: AnyTarget, *, unit: Unit = "photograph") -> pa.DataFrameSchema:
    """Return the schema of a prediction table; of scores that of `score_predictions_schema`.

    A photograph's row has `image_id` and `patient_id`, a patient's row only `patient_id`, and
    `visit` where the manifest tells visits apart: then a patient's row is one visit. The truth is
    the target's own column: `hb_grade` for six grades, `side` for the affected side, else
    `palsy_class` (healthy, slight, strong; from the manifest or from its grades). The answer is
    `predicted`; for six grades both are integers 1..6, for the other targets `predicted` is the
    name of the class. Probabilities are one column for each class, `p_1` ... `p_6` for
    grades. `repeat` and `fold` are those in which the row was tested. `set_low` and `set_high`,
    where a search was made, bound the conformal set of adjacent classes (class numbers).
    """
    if isinstance(target, NumericTarget):
        return score_predictions_schema(target, unit=unit)
    if target.name == "six_grades":
        in_scale = pa.Check.isin(GRADES, error="be a grade, 1 to 6")
        answer = pa.Column("int64", in_scale)
        truth = pa.Column("int64", in_scale, coerce=True)
    else:
        answer = choice(target.classes)
        truth = choice(tuple(str(name) for name in target.number_of))
    return pa.DataFrameSchema(
        {
            **_asked_columns(unit),
            target.column: truth,
            "predicted": answer,
            **probability_columns(target),
            **_TESTED,
            "set_low": pa.Column("Int64", nullable=True, coerce=True, required=False),
            "set_high": pa.Column("Int64", nullable=True, coerce=True, required=False),
        },
        name="predictions",
    )


def _asked_columns(unit: Unit) -> dict[str, pa.Column]:
    """Return the columns that say whom an answer is for."""
    return {
        KEY[unit]: text(),
        "patient_id": text(),
        VISIT: text(nullable=True, required=False),
        "hb_grade": grade(required=False),
    }


def score_predictions_schema(
    target: NumericTarget, *, unit: Unit = "photograph"
) -> pa.DataFrameSchema:
    """Return the schema of a prediction table of scores.

    Keys as of classes. The truth is the target's own column, `predicted` the answer, `low` and
    `high` its 90 % prediction interval, empty where none was made; all in the unit of the scale.
    """
    inside = pa.Check.in_range(
        target.low, target.high, error=f"lie in the range of {target.name}, {target.range_in_words}"
    )
    score = pa.Column(float, inside, coerce=True)
    bound = pa.Column(float, inside, coerce=True, nullable=True)
    return pa.DataFrameSchema(
        {
            **_asked_columns(unit),
            target.column: score,
            "predicted": score,
            "low": bound,
            "high": bound,
            **_TESTED,
        },
        name="predictions",
    )


def probability_columns(target: Target, *, nullable: bool = False) -> dict[str, pa.Column]:
    """Return the columns of the classes' probabilities, for the schema of a table of answers."""
    return {name: probability(nullable=nullable) for name in target.probability_columns}


def probability(*, nullable: bool = False) -> pa.Column:
    """Column of a probability, 0 to 1."""
    inside = pa.Check.in_range(0, 1, error="be a probability, 0 to 1")
    return pa.Column(float, inside, coerce=True, nullable=nullable)


@cache
def inner_predictions_schema(target: AnyTarget, *, unit: Unit = "photograph") -> pa.DataFrameSchema:
    """Return the schema of `inner_predictions.csv`: what was answered inside training patients.

    The columns of `predictions_schema`, and `outer_fold`: the fold of `repeat` whose training
    patients these are. Each is answered once, by a model that learned from the other inner folds
    (`fold`).
    """
    return predictions_schema(target, unit=unit).add_columns({"outer_fold": pa.Column("int64")})


def answer_rows(
    rows: pd.DataFrame,
    *,
    target: AnyTarget,
    unit: Unit,
    answers: Floats,
    bounds: Ints | Floats | None = None,
    repeat: int,
    fold: int,
    model: str,
    branch: str = "geometric",
    visits: bool = True,
) -> pd.DataFrame:
    """Return the table rows of one test fold, of classes or of scores.

    `rows` have key, `patient_id` and truth; with `visits` their `visit` is kept where there is one.
    `answers` are `(n, k)` probabilities, of which `Target.answers` makes the answers, or `(n,)`
    scores; `bounds` `(n, 2)` the lowest and highest class number of the conformal set, or the ends
    of the interval. Scores and their ends are cut off at the ends of the range.
    """
    known = [name for name in ([VISIT] if visits else []) + ["hb_grade"] if name in rows.columns]
    keys = list(dict.fromkeys([KEY[unit], "patient_id", *known]))
    tested: dict[str, Any] = {"repeat": repeat, "fold": fold, "model": model, "branch": branch}
    if isinstance(target, NumericTarget):
        unbound = np.full((len(rows), 2), np.nan)
        ends = unbound if bounds is None else target.clipped(bounds.astype(np.float64))
        said = {"predicted": target.clipped(answers), "low": ends[:, 0], "high": ends[:, 1]}
        return rows[keys].assign(**{target.column: target.values(rows)}, **said, **tested)
    named = target.named(target.answers(answers))
    table = rows[list(dict.fromkeys([*keys, target.column]))].assign(predicted=named)
    chances = pd.DataFrame(answers, columns=list(target.probability_columns), index=rows.index)
    table = pd.concat([table, chances], axis=1).assign(**tested)
    if bounds is not None:
        table["set_low"], table["set_high"] = bounds[:, 0], bounds[:, 1]
    return table


def to_patients(predictions: pd.DataFrame, *, target: AnyTarget) -> pd.DataFrame:
    """Sum up photographs to patients: the mean over a patient's photographs.

    One row per patient (per visit, where these are told), repeat, fold and model, of inner
    predictions also per outer fold. Of classes the probabilities are averaged and answered as for a
    photograph; of scores the answers are, and no interval is left, since one of a photograph
    promises nothing of a mean. Photographs of different grades are refused (`UserError`).
    """
    by = patients_and_visits(predictions)
    refuse_two_grades(predictions, column=target.column, by=by)
    keys = ["model", "branch", "repeat", "fold", *by, target.column]
    inner = "outer_fold" in predictions.columns
    keys += ["outer_fold"] if inner else []
    grouped = predictions.groupby(keys, sort=False, dropna=False)
    if isinstance(target, NumericTarget):
        table = grouped["predicted"].mean().reset_index().assign(low=np.nan, high=np.nan)
    else:
        means = grouped[list(target.probability_columns)].mean()
        table = means.reset_index()
        table.insert(0, "predicted", pd.Series(target.named(target.answers(means.to_numpy()))))
    schema = inner_predictions_schema if inner else predictions_schema
    columns = schema(target, unit="patient").columns
    return table[[name for name in columns if name in table.columns]]


def in_order(predictions: pd.DataFrame, *, unit: Unit, models: list[str]) -> pd.DataFrame:
    """Sort by model (as listed), repeat, natural order of the key, fold."""
    place = {name: at for at, name in enumerate(models)}
    visit = [VISIT] if unit == "patient" and VISIT in predictions.columns else []
    rows = sort_naturally(predictions, ["repeat", KEY[unit], *visit, "fold"], key=KEY[unit])
    return rows.sort_values(
        "model", key=lambda names: names.map(place), kind="stable", ignore_index=True
    )


def write_predictions(
    predictions: pd.DataFrame, path: Path, *, target: AnyTarget, unit: Unit = "photograph"
) -> None:
    """Write `predictions.csv`."""
    write_table(predictions, path, schema=predictions_schema(target, unit=unit))


def read_either_unit(
    path: Path, *, target: AnyTarget, inner: bool = False
) -> tuple[pd.DataFrame, Unit]:
    """Read a prediction table, an inner one too, and say what it has rows for."""
    schema = (inner_predictions_schema if inner else predictions_schema)(target)
    key = KEY["photograph"]
    table = read_table(path, schema=schema.update_column(key, required=False))
    return table, "photograph" if key in table.columns else "patient"


def read_predictions(
    path: Path, *, target: str = "six_grades", unit: Unit = "photograph"
) -> pd.DataFrame:
    """Read a prediction table, of either branch."""
    return read_table(path, schema=predictions_schema(target_named(target), unit=unit))
