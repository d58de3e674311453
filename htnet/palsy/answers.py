"""What trained networks answer: of photographs, and of whole patients, as sure as they deserve.

The mean over a patient's photographs is much too unsure: most movements say little, and they all
have the same say. A temperature mends it; it is learned from the validation patients of the same
fold, whom the network did not learn from, and never from tested ones. Single photographs are left
as they are: measured on validation patients, no temperature made them better.

A network of scores has an ordered head whose steps cut the scale into equal parts
(`htnet.network.losses.steps_of_scores`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.arrays import Floats
from common.errors import UserError
from common.grading.calibration import LEAST_CHANCE, learn_intervals
from common.grading.evaluation import MEAN, MEDIAN
from common.grading.folds import inner_splits
from common.grading.numeric_target import AnyTarget, NumericTarget, answered_by
from common.grading.predictions import Unit, answer_rows, to_patients
from common.grading.target import MAJORITY, TARGETS, Target, commonest_class
from htnet.network.htnet import GradingNetwork
from htnet.network.losses import scores_of
from htnet.network.weights import load_weights
from htnet.palsy.asking import Precision, answer, answer_sets
from htnet.palsy.cohort import ImageCohort
from htnet.palsy.faces import sets_within
from htnet.palsy.folds import FoldPart
from htnet.palsy.sureness import Sureness, learn_sureness, made_sure

MODEL, BRANCH = "htnet", "deep"


def read_trained(path: Path) -> tuple[GradingNetwork, dict[str, Any]]:
    """Read a trained network and what was kept with it: its `classes`, how points were found, …

    UserError when the file is no grader that was trained here.
    """
    network, notes = load_weights(path)
    if "classes" not in notes:
        raise UserError(f"{path} does not name its classes: give weights that htnet train wrote.")
    return network, notes


def target_of(notes: Mapping[str, Any]) -> AnyTarget:
    """Return the question that a network with these notes answers."""
    if "target" in notes:
        return NumericTarget.from_plain(notes["target"])
    classes = notes["classes"]
    for target in TARGETS.values():
        if target.classes == tuple(classes):
            return target
    raise UserError(f"No target has the classes {', '.join(classes)}: these weights are others.")


def score_answers(chances: Floats, *, target: NumericTarget) -> Floats:
    """Return the scores `(n,)` that a network's probabilities expect, within the range."""
    return target.clipped(scores_of(chances, low=target.low, high=target.high))


def fold_rows(
    cohort: ImageCohort,
    part: FoldPart,
    probabilities: NDArray[np.float64],
    *,
    model: str = MODEL,
    rows: NDArray[np.intp] | None = None,
) -> pd.DataFrame:
    """Return the prediction rows of the photographs that a fold tests, or of other rows.

    `probabilities` `(n, k)` are those of these rows, in their order. Scores of single photographs
    have no interval.
    """
    answers, visits = probabilities, False
    if isinstance(cohort.target, NumericTarget):
        answers, visits = score_answers(probabilities, target=cohort.target), True
    return answer_rows(
        cohort.rows.iloc[part.test if rows is None else rows], target=cohort.target,
        unit="photograph", answers=answers, repeat=part.repeat, fold=part.fold, model=model,
        branch=BRANCH, visits=visits,
    )  # fmt: skip


def baseline_rows(parts: Sequence[FoldPart], cohort: ImageCohort, *, unit: Unit) -> pd.DataFrame:
    """Return the answers of the dumb baselines: what is usual among the patients learned from.

    It is the commonest class; of scores their median and their mean, with intervals.
    """
    target = cohort.target
    if isinstance(target, NumericTarget):
        usual = (_usual_scores(part, cohort, target=target, unit=unit) for part in parts)
        return pd.concat([rows for of_fold in usual for rows in of_fold], ignore_index=True)
    data, tables = cohort.data, []
    for part in parts:
        commonest = commonest_class(data.labels[part.learned] - 1, data.patients[part.learned])
        answers = np.tile(np.eye(len(target.classes))[commonest], (len(part.test), 1))
        tables.append(fold_rows(cohort, part, answers, model=MAJORITY))
    rows = pd.concat(tables, ignore_index=True)
    return rows if unit == "photograph" else to_patients(rows, target=target)


def _usual_scores(
    part: FoldPart, cohort: ImageCohort, *, target: NumericTarget, unit: Unit
) -> Iterator[pd.DataFrame]:
    scores, patients = cohort.data.labels[part.learned], cohort.data.patients[part.learned]
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
        yield answer_rows(
            rows, target=target, unit=unit, answers=answers,
            bounds=reach.of(answers, target=target),
            repeat=part.repeat, fold=part.fold, model=how, branch=BRANCH,
        )  # fmt: skip


@dataclass(frozen=True)
class AnsweredFold:
    """Prediction rows of those whom one fold's network had not learned from.

    `photographs`, `means`: of the tested photographs, and of their patients by the plain mean.
    `patients`: the same as `means`, as sure as the temperature makes them; of scores with
    intervals. `sureness`: temperature or reach, learned from the fold's validation patients.
    """

    photographs: pd.DataFrame
    means: pd.DataFrame
    patients: pd.DataFrame
    sureness: Sureness


def answered_fold(
    network: GradingNetwork,
    cohort: ImageCohort,
    part: FoldPart,
    *,
    precision: Precision = "fp32",
    sureness: Sureness | None = None,
) -> AnsweredFold:
    """Ask a fold's network about its validation patients, then about those that it is tested on.

    `sureness` is that of a network whose validation patients are not in the cohort.
    """
    if sureness is None:
        sureness = fold_sureness(network, cohort, part, precision=precision)
    photographs, means, patients = _asked(network, cohort, part, part.test, precision=precision)
    patients = made_sure(patients, sureness=sureness, target=cohort.target)
    return AnsweredFold(photographs, means, patients, sureness)


def fold_sureness(
    network: GradingNetwork, cohort: ImageCohort, part: FoldPart, *, precision: Precision = "fp32"
) -> Sureness:
    """Learn from a fold's validation patients how sure answers to whole patients may be."""
    photographs, _, patients = _asked(network, cohort, part, part.validation, precision=precision)
    return learn_sureness(photographs, patients, target=cohort.target)


def _asked(
    network: GradingNetwork,
    cohort: ImageCohort,
    part: FoldPart,
    rows: NDArray[np.intp],
    *,
    precision: Precision,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return prediction rows of photographs, the means of their patients, and the patients'.

    A network with the pooling `patient` says something of all photographs of a patient together.
    """
    faces, target = cohort.data.faces, cohort.target
    chances = answer(network, faces, rows=rows, precision=precision).probabilities
    photographs = fold_rows(cohort, part, chances, rows=rows)
    means = to_patients(photographs, target=target)
    if network.config.pooling != "patient":
        return photographs, means, means
    names, sets = sets_within(cohort.data.asked, rows)
    found = answer_sets(network, faces, sets, precision=precision).probabilities
    told = means[answered_by(means, target=target)].fillna("").astype(str).agg("\t".join, axis=1)
    chances = found[np.searchsorted(names, told.to_numpy(dtype=np.str_))]
    patients = means.copy()
    if isinstance(target, NumericTarget):
        patients["predicted"] = score_answers(chances, target=target)
    else:
        patients[list(target.probability_columns)] = chances
    return photographs, means, patients


def log_loss(rows: pd.DataFrame, *, target: Target) -> float:
    """Return the mean of minus the logarithm of the true class's probability."""
    chances = rows[list(target.probability_columns)].to_numpy()
    true = chances[np.arange(len(rows)), target.numbers(rows) - 1]
    return float(-np.log(np.maximum(true, LEAST_CHANCE)).mean())
