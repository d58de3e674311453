"""What trained networks answer: of photographs, and of whole patients, as sure as they deserve.

The mean over a patient's photographs is much too unsure: most movements say little, and they all
have the same say. A temperature mends it; it is learned from the validation patients of the same
fold, whom the network did not learn from, and never from tested ones. Single photographs are left
as they are: measured on validation patients, no temperature made them better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError
from common.grading.calibration import LEAST_CHANCE, learn_temperature, tempered
from common.grading.numeric_target import AnyTarget, NumericTarget, answered_by
from common.grading.predictions import answer_rows, to_patients
from common.grading.target import MAJORITY, TARGETS, Target, commonest_class
from htnet.network.htnet import GradingNetwork
from htnet.network.weights import load_weights
from htnet.palsy.asking import Precision, answer, answer_sets
from htnet.palsy.cohort import ImageCohort
from htnet.palsy.faces import sets_within
from htnet.palsy.folds import FoldPart
from htnet.palsy.scores import patient_reach, score_answers
from htnet.palsy.sureness import PatientReach, PatientTemperature, Sureness

MODEL, BRANCH = "htnet", "deep"
FEWEST_PATIENTS = 5  # fewer say too little: the mean is then left as it is


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


def fold_rows(
    cohort: ImageCohort,
    part: FoldPart,
    probabilities: NDArray[np.float64],
    *,
    target: AnyTarget,
    model: str = MODEL,
    rows: NDArray[np.intp] | None = None,
) -> pd.DataFrame:
    """Return the prediction rows of the photographs that a fold tests, or of other rows.

    `probabilities` `(n, k)` are those of these rows, in their order. Scores of single photographs
    have no interval.
    """
    answers, visits = probabilities, False
    if isinstance(target, NumericTarget):
        answers, visits = score_answers(probabilities, target=target), True
    return answer_rows(
        cohort.rows.iloc[part.test if rows is None else rows], target=target, unit="photograph",
        answers=answers, repeat=part.repeat, fold=part.fold, model=model, branch=BRANCH,
        visits=visits,
    )  # fmt: skip


def majority_rows(
    parts: Sequence[FoldPart], cohort: ImageCohort, *, target: Target
) -> pd.DataFrame:
    """Return the answers of the dumb baseline: the commonest class of the patients learned from."""
    tables = []
    for part in parts:
        data, learned = cohort.data, part.learned
        commonest = commonest_class(data.labels[learned] - 1, data.patients[learned])
        answers = np.tile(np.eye(len(target.classes))[commonest], (len(part.test), 1))
        tables.append(fold_rows(cohort, part, answers, target=target, model=MAJORITY))
    return pd.concat(tables, ignore_index=True)


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
    target: AnyTarget,
    precision: Precision = "fp32",
    sureness: Sureness | None = None,
) -> AnsweredFold:
    """Ask a fold's network about its validation patients, then about those that it is tested on.

    `sureness` is that of a network whose validation patients are not in the cohort.
    """
    if sureness is None:
        sureness = fold_sureness(network, cohort, part, target=target, precision=precision)
    answers = answer(network, cohort.data.faces, rows=part.test, precision=precision)
    photographs = fold_rows(cohort, part, answers.probabilities, target=target)
    means = to_patients(photographs, target=target)
    patients = means
    if network.config.pooling == "patient":
        patients = _of_whole_patients(
            network, cohort, part.test, means, target=target, precision=precision
        )
    return AnsweredFold(
        photographs=photographs,
        means=means,
        patients=made_sure(patients, sureness=sureness, target=target),
        sureness=sureness,
    )


def _of_whole_patients(
    network: GradingNetwork,
    cohort: ImageCohort,
    rows: NDArray[np.intp],
    means: pd.DataFrame,
    *,
    target: AnyTarget,
    precision: Precision,
) -> pd.DataFrame:
    """Put what a network says of all photographs of a patient in place of the means."""
    names, sets = sets_within(cohort.data.asked, rows)
    found = answer_sets(network, cohort.data.faces, sets, precision=precision).probabilities
    by = answered_by(means, target=target)
    told = means[by].fillna("").astype(str).agg("\t".join, axis=1)
    chances = found[np.searchsorted(names, told.to_numpy(dtype=np.str_))]
    if isinstance(target, NumericTarget):
        return means.assign(predicted=score_answers(chances, target=target))
    patients = means.copy()
    patients[list(target.probability_columns)] = chances
    return patients


def fold_sureness(
    network: GradingNetwork,
    cohort: ImageCohort,
    part: FoldPart,
    *,
    target: AnyTarget,
    precision: Precision = "fp32",
) -> Sureness:
    """Learn from a fold's validation patients how sure answers to whole patients may be."""
    rows = part.validation
    chances = answer(network, cohort.data.faces, rows=rows, precision=precision).probabilities
    validation = fold_rows(cohort, part, chances, target=target, rows=rows)
    patients = to_patients(validation, target=target)
    if network.config.pooling == "patient":
        patients = _of_whole_patients(
            network, cohort, rows, patients, target=target, precision=precision
        )
    if isinstance(target, NumericTarget):
        return patient_reach(validation, patients, target=target)
    return patient_temperature(validation, patients, target=target)


def patient_temperature(
    rows: pd.DataFrame, patients: pd.DataFrame | None = None, *, target: Target
) -> PatientTemperature:
    """Learn the temperature from prediction rows of the validation patients' photographs.

    `patients` are the answers to the patients themselves, where these are not the means.
    """
    if patients is None:
        patients = to_patients(rows, target=target)
    value = 1.0
    if len(patients) >= FEWEST_PATIENTS:
        chances = patients[list(target.probability_columns)].to_numpy()
        value = learn_temperature(chances, target.numbers(patients))
    each = int(rows.groupby("patient_id").size().median())
    return PatientTemperature(value, patients=len(patients), photographs=each)


def patient_rows(rows: pd.DataFrame, *, sureness: Sureness, target: AnyTarget) -> pd.DataFrame:
    """Sum up prediction rows of photographs, all of one network, to calibrated rows of patients."""
    return made_sure(to_patients(rows, target=target), sureness=sureness, target=target)


def made_sure(patients: pd.DataFrame, *, sureness: Sureness, target: AnyTarget) -> pd.DataFrame:
    """Return rows of patients as sure as the temperature makes them, of scores with intervals."""
    patients = patients.copy()
    if isinstance(target, NumericTarget):
        assert isinstance(sureness, PatientReach)
        answers = patients["predicted"].to_numpy(dtype=np.float64)
        patients[["low", "high"]] = sureness.around(answers, target=target)
        return patients
    assert isinstance(sureness, PatientTemperature)
    columns = list(target.probability_columns)
    chances = tempered(patients[columns].to_numpy(), temperature=sureness.value)
    patients[columns] = chances
    patients["predicted"] = pd.Series(
        target.named(target.answers(chances)), index=patients.index, dtype=patients.predicted.dtype
    )
    return patients


def log_loss(rows: pd.DataFrame, *, target: Target) -> float:
    """Return the mean of minus the logarithm of the true class's probability."""
    chances = rows[list(target.probability_columns)].to_numpy()
    true = chances[np.arange(len(rows)), target.numbers(rows) - 1]
    return float(-np.log(np.maximum(true, LEAST_CHANCE)).mean())
