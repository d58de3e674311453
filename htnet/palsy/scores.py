"""What trained networks answer where the target is a number: scores, their reach, baselines.

A network of scores has an ordered head whose steps cut the scale into equal parts
(`htnet.network.losses.steps_of_scores`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.arrays import Floats
from common.grading.calibration import learn_intervals
from common.grading.evaluation import MEAN, MEDIAN, NumericEvaluation, evaluate_numbers
from common.grading.folds import inner_splits
from common.grading.numeric_target import NumericTarget, answered_by
from common.grading.predictions import Unit, answer_rows, to_patients
from htnet.network.losses import scores_of
from htnet.palsy.cohort import ImageCohort
from htnet.palsy.folds import FoldPart
from htnet.palsy.sureness import PatientReach


def score_answers(chances: Floats, *, target: NumericTarget) -> Floats:
    """Return the scores `(n,)` that a network's probabilities expect, within the range."""
    return target.clipped(scores_of(chances, low=target.low, high=target.high))


def patient_reach(
    rows: pd.DataFrame, patients: pd.DataFrame | None = None, *, target: NumericTarget
) -> PatientReach:
    """Learn the reach from prediction rows of the validation patients' photographs.

    `patients` are the answers to the patients themselves, where these are not the means.
    """
    if patients is None:
        patients = to_patients(rows, target=target)
    found = learn_intervals(
        patients["predicted"].to_numpy(dtype=np.float64),
        target.values(patients),
        patients["patient_id"].to_numpy(dtype=np.str_),
        target=target,
    )
    each = int(rows.groupby(answered_by(rows, target=target), dropna=False).size().median())
    return PatientReach(found.reach, patients["patient_id"].nunique(), each)


def baseline_rows(
    parts: Sequence[FoldPart], cohort: ImageCohort, *, target: NumericTarget, unit: Unit
) -> pd.DataFrame:
    """Return what the median and the mean of the patients learned from answer, with intervals."""
    data = cohort.data
    tables = []
    for part in parts:
        scores, patients = data.labels[part.learned], data.patients[part.learned]
        each = pd.Series(scores, dtype=np.float64).groupby(patients).mean()
        rows = cohort.rows.iloc[part.test]
        if unit == "patient":
            rows = rows.drop_duplicates(answered_by(cohort.rows, target=target))
        for how in (MEDIAN, MEAN):
            unseen = np.zeros(len(scores))
            for learn, ask in inner_splits(scores, patients):
                unseen[ask] = each[np.unique(patients[learn])].agg(how)
            answers = np.full(len(rows), float(each.agg(how)))
            reach = learn_intervals(unseen, scores, patients, target=target)
            tables.append(
                answer_rows(
                    rows, target=target, unit=unit, answers=answers,
                    bounds=reach.of(answers, target=target),
                    repeat=part.repeat, fold=part.fold, model=how, branch="deep",
                )
            )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def scored_numbers(
    photographs: pd.DataFrame,
    patients: pd.DataFrame,
    learned: Sequence[FoldPart],
    cohort: ImageCohort,
    *,
    target: NumericTarget,
    seed: int,
) -> list[NumericEvaluation]:
    """Score prediction rows of both levels, each beside the baselines of the folds `learned`."""
    found = []
    levels: dict[Unit, pd.DataFrame] = {"photograph": photographs, "patient": patients}
    for unit, rows in levels.items():
        of = [baseline_rows(learned, cohort, target=target, unit=unit)] if learned else []
        every = pd.concat([rows, *of], ignore_index=True)
        found.append(evaluate_numbers(every, target=target, unit=unit, seed=seed))
    return found
