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
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from common.errors import UserError, did_you_mean
from common.grading.calibration import LEAST_CHANCE, learn_temperature, tempered
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.predictions import prediction_rows, score_rows, to_patients
from common.grading.target import MAJORITY, TARGETS, Target, commonest_class
from htnet.network.htnet import GradingNetwork, to_input
from htnet.network.losses import probabilities
from htnet.network.weights import load_weights
from htnet.palsy.cohort import ImageCohort
from htnet.palsy.faces import BATCH, Faces
from htnet.palsy.folds import FoldPart
from htnet.palsy.scores import patient_reach, score_answers
from htnet.palsy.sureness import PatientReach, PatientTemperature, Sureness

MODEL, BRANCH = "htnet", "deep"
Precision = Literal["fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
FEWEST_PATIENTS = 5  # fewer say too little: the mean is then left as it is


def read_trained(path: Path) -> tuple[GradingNetwork, dict[str, Any]]:
    """Read a trained network and what was kept with it: its `classes`, how points were found, …

    Raises
    ------
    UserError
        When the file is no grader that was trained here.
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


@dataclass(frozen=True)
class Answers:
    """What a network answers for n faces.

    Attributes
    ----------
    probabilities
        `(n, k)` of the classes, rows sum to 1.
    sides
        `(n, 3)` probabilities in the order of `SIDE_CLASSES`; None without a side head.
    """

    probabilities: NDArray[np.float64]
    sides: NDArray[np.float64] | None = None


def answer(
    network: GradingNetwork,
    faces: Faces,
    *,
    rows: NDArray[np.intp] | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
    batch: int = BATCH,
) -> Answers:
    """Return class probabilities and weak sides of faces, or of some rows of them.

    Parameters
    ----------
    precision
        `bf16` takes matrix products in 16-bit floats, as processors with AVX512-BF16 or AMX and
        most GPUs do several times faster; normalisations and sums stay in 32 bits.
    batch
        Faces at a time. The last digits of an answer change with it.
    """
    network = network.eval().to(device)
    where = torch.arange(len(faces)) if rows is None else torch.from_numpy(rows)
    classes, sides = [], []
    with torch.inference_mode(), arithmetic(precision, device=device):
        for some in where.split(batch):
            pixels, features = faces.at(some)
            found = network.details(
                to_input(pixels.to(device)), None if features is None else features.to(device)
            )
            classes.append(probabilities(found.logits.float(), head=network.config.head).cpu())
            if found.side_logits is not None:
                sides.append(found.side_logits.double().softmax(dim=1).cpu())
    raw = torch.cat(classes).double().numpy()
    return Answers(
        probabilities=raw / raw.sum(axis=1, keepdims=True),
        sides=torch.cat(sides).numpy() if sides else None,
    )


def arithmetic(precision: Precision, *, device: str = "cpu") -> torch.autocast:
    """Return the context in which a network computes with this precision."""
    if precision not in PRECISIONS:
        raise UserError(
            f'--precision is "{precision}": choose one of {", ".join(PRECISIONS)}.'
            + did_you_mean(str(precision), PRECISIONS)
        )
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bf16")


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
    if isinstance(target, NumericTarget):
        return score_rows(
            cohort.rows.iloc[part.test if rows is None else rows],
            target=target,
            unit="photograph",
            answers=score_answers(probabilities, target=target),
            repeat=part.repeat,
            fold=part.fold,
            model=model,
            branch=BRANCH,
        )
    return prediction_rows(
        cohort.rows.iloc[part.test if rows is None else rows],
        target=target,
        unit="photograph",
        probabilities=probabilities,
        repeat=part.repeat,
        fold=part.fold,
        model=model,
        branch=BRANCH,
    )


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

    Attributes
    ----------
    photographs, means
        Of the tested photographs, and of their patients by the plain mean.
    patients
        The same as `means`, as sure as the temperature makes them; of scores with intervals.
    sureness
        Temperature or reach, learned from the fold's validation patients.
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
    return AnsweredFold(
        photographs=photographs,
        means=to_patients(photographs, target=target),
        patients=patient_rows(photographs, sureness=sureness, target=target),
        sureness=sureness,
    )


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
    if isinstance(target, NumericTarget):
        return patient_reach(validation, target=target)
    return patient_temperature(validation, target=target)


def patient_temperature(rows: pd.DataFrame, *, target: Target) -> PatientTemperature:
    """Learn the temperature from prediction rows of the validation patients' photographs."""
    patients = to_patients(rows, target=target)
    value = 1.0
    if len(patients) >= FEWEST_PATIENTS:
        chances = patients[list(target.probability_columns)].to_numpy()
        value = learn_temperature(chances, target.numbers(patients))
    each = int(rows.groupby("patient_id").size().median())
    return PatientTemperature(value, patients=len(patients), photographs=each)


def patient_rows(rows: pd.DataFrame, *, sureness: Sureness, target: AnyTarget) -> pd.DataFrame:
    """Sum up prediction rows of photographs, all of one network, to calibrated rows of patients."""
    patients = to_patients(rows, target=target)
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
