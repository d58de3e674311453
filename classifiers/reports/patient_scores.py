"""What each model says of each patient's score, out of a table of predictions, for their pages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from classifiers.graders.registry import is_baseline, title_of
from classifiers.reports.patient_page import EVERYBODY, MOST_TELLING, Answer
from common.files import natural_key
from common.grading.intervals import interval_in_words
from common.grading.numeric_evaluation import NumericEvaluation
from common.grading.numeric_target import NumericTarget
from common.grading.target import VISIT, patients_and_visits
from common.words import counted


def score_pages(
    evaluation: NumericEvaluation, *, patients: Sequence[str]
) -> tuple[dict[str, Answer], list[dict[str, str | None]], str]:
    """Return the pages' answers by patient, a row of the overview for each, and what to know of it.

    `patients` are those that pictures are known of, in order. Of a cohort of more than `EVERYBODY`
    those with the largest mean error have a page.
    """
    target, rows = evaluation.target, evaluation.predictions
    rows = rows[~rows["model"].map(is_baseline)].astype({"patient_id": "str"})
    told, about = _telling(rows, target=target)
    answers: dict[str, Answer] = {}
    overview: list[dict[str, str | None]] = []
    models = list(dict.fromkeys(rows["model"].astype(str)))
    for patient in patients:
        own = rows[rows["patient_id"] == patient]
        if patient not in told or own.empty:
            continue
        truth = _truth_in_words(own, target=target)
        answers[patient] = Answer(
            table=_table(own, target=target),
            caption="Answers of graders that never saw the patient, with the 90 % interval.",
            heading=f"true score {truth}",
        )
        by_model = {model: own[own["model"] == model] for model in models}
        said = {
            title_of(model): None if of.empty else _words(of, target=target)
            for model, of in by_model.items()
        }
        overview.append({"True score": truth, **said})
    return answers, overview, about


def _telling(rows: pd.DataFrame, *, target: NumericTarget) -> tuple[set[str], str]:
    off = (rows["predicted"] - rows[target.column]).abs().groupby(rows["patient_id"]).mean()
    if len(off) <= EVERYBODY:
        return set(off.index.astype(str)), "Below an answer stands its 90 % interval."
    told = off.sort_values(ascending=False, kind="stable").index[:MOST_TELLING]
    return set(told.astype(str)), (
        f"Of {counted(len(off), 'patient')}, the {len(told)} whose answers are farthest from the "
        "truth have a page: their scores, or their photographs, deserve a second look. The table "
        "of predictions holds the answers to everybody."
    )


def visits_of(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the rows of each visit by its name in natural order; empty where there is no visit."""
    if VISIT not in patients_and_visits(rows):
        return [("", rows)]
    names = rows[VISIT].fillna("").astype(str)
    return [(name, rows[names == name]) for name in sorted(set(names), key=natural_key)]


def _truth_in_words(rows: pd.DataFrame, *, target: NumericTarget) -> str:
    return ", ".join(f"{own[target.column].iloc[0]:.0f}" for _, own in visits_of(rows))


def _words(rows: pd.DataFrame, *, target: NumericTarget) -> str:
    """Return one model's answers, means over repeats, with the widest interval below."""
    said = []
    for visit, own in visits_of(rows):
        bounds = _bounds(own)
        within = "" if bounds is None else f"\n{interval_in_words(*bounds)}"
        said.append(f"{f'{visit}: ' if visit else ''}{own['predicted'].mean():.0f}{within}")
    return "\n".join(said)


def _bounds(rows: pd.DataFrame) -> tuple[float, float] | None:
    """Return the ends of the interval, over several repeats of all of them together."""
    ends = rows[["low", "high"]].to_numpy(dtype=np.float64)
    return None if np.isnan(ends).any() else (float(ends[:, 0].min()), float(ends[:, 1].max()))


def _table(rows: pd.DataFrame, *, target: NumericTarget) -> pd.DataFrame:
    table: list[dict[str, str | None]] = []
    for visit, of_visit in visits_of(rows):
        where = {"Visit": visit} if visit else {}
        for model, own in of_visit.groupby("model", sort=False):
            bounds = _bounds(own)
            table.append(
                {
                    **where,
                    "Answer of": title_of(str(model)),
                    "Score": f"{own['predicted'].mean():.1f}",
                    "Interval (90 %)": None if bounds is None else interval_in_words(*bounds),
                }
            )
        truth = f"{of_visit[target.column].iloc[0]:.1f}"
        table.append({**where, "Answer of": "Truth", "Score": truth, "Interval (90 %)": ""})
    return pd.DataFrame(table)
