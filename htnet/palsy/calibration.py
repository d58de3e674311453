"""Grades of whole patients: photographs summed up, and made as sure as they deserve.

The mean over a patient's photographs is much too unsure: most movements say little, and they all
have the same say. A temperature mends it; it is learned from the validation patients of the same
fold, whom the network did not learn from, and never from tested ones. Single photographs are left
as they are: measured on validation patients, no temperature made them better.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError
from common.files import write_json
from common.grading.calibration import LEAST_CHANCE, learn_temperature, tempered
from common.grading.predictions import to_patients
from common.grading.target import Target
from htnet.network.region_fusion import GradingNetwork
from htnet.palsy.answering import Precision, answer
from htnet.palsy.cohort import ImageCohort
from htnet.palsy.folds import FoldPart
from htnet.palsy.tables import fold_rows

FEWEST_PATIENTS = 5  # fewer say too little: the mean is then left as it is
CALIBRATION = "calibration.json"  # beside the weights


@dataclass(frozen=True)
class PatientTemperature:
    """How sure a network's answers to whole patients may be.

    Attributes
    ----------
    value
        Means of photographs are raised to 1 / value; below 1 makes them surer, 1 leaves them.
    patients
        Of how many validation patients it was learned.
    photographs
        How many photographs each of them had (median); the mean of fewer is less flat, so it
        must not be made as sure.
    """

    value: float
    patients: int
    photographs: int

    def write(self, folder: Path) -> None:
        """Keep it beside the weights."""
        write_json(folder / CALIBRATION, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> PatientTemperature:
        """Read what `write` kept; weights without it leave means as they are."""
        path = folder / CALIBRATION
        if not path.exists():
            return cls(1.0, 0, 0)
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{path} is damaged: train again, or delete it.") from error


@dataclass(frozen=True)
class AnsweredFold:
    """What one fold's network said of those whom it had not learned from.

    Attributes
    ----------
    photographs
        Prediction rows of the tested photographs.
    means
        Rows of the tested patients: the plain mean of their photographs.
    patients
        The same, as sure as the temperature makes them.
    temperature
        Learned from the fold's validation patients.
    """

    photographs: pd.DataFrame
    means: pd.DataFrame
    patients: pd.DataFrame
    temperature: PatientTemperature


def answered_fold(
    network: GradingNetwork,
    cohort: ImageCohort,
    part: FoldPart,
    *,
    target: Target,
    precision: Precision = "fp32",
    temperature: PatientTemperature | None = None,
) -> AnsweredFold:
    """Ask a fold's network about its validation patients, then about those that it is tested on.

    `temperature` is that of a network whose validation patients are not in the cohort.
    """
    faces = cohort.data.faces
    if temperature is None:
        chosen = answer(network, faces, rows=part.validation, precision=precision)
        temperature = patient_temperature(
            fold_rows(cohort, part, chosen, target=target, rows=part.validation), target=target
        )
    answers = answer(network, faces, rows=part.test, precision=precision)
    photographs = fold_rows(cohort, part, answers, target=target)
    return AnsweredFold(
        photographs=photographs,
        means=to_patients(photographs, target=target),
        patients=patient_rows(photographs, temperature=temperature, target=target),
        temperature=temperature,
    )


def patient_temperature(rows: pd.DataFrame, *, target: Target) -> PatientTemperature:
    """Learn the temperature from prediction rows of the validation patients' photographs."""
    patients = to_patients(rows, target=target)
    value = 1.0
    if len(patients) >= FEWEST_PATIENTS:
        chances = patients[list(target.probability_columns)].to_numpy()
        value = learn_temperature(chances, target.numbers(patients))
    each = int(rows.groupby("patient_id").size().median())
    return PatientTemperature(value, patients=len(patients), photographs=each)


def patient_rows(
    rows: pd.DataFrame, *, temperature: PatientTemperature, target: Target
) -> pd.DataFrame:
    """Sum up prediction rows of photographs, all of one network, to calibrated rows of patients."""
    patients = to_patients(rows, target=target)
    columns = list(target.probability_columns)
    chances = tempered(patients[columns].to_numpy(), temperature=temperature.value)
    patients[columns] = chances
    patients["predicted"] = pd.Series(
        target.named(target.answers(chances)), index=patients.index, dtype=patients.predicted.dtype
    )
    return patients


def calibration_record(
    answered: Mapping[str, AnsweredFold], *, target: Target
) -> dict[str, object]:
    """Return what `metrics.json` says of the calibration; `answered` is by name of the fold."""
    means = pd.concat([one.means for one in answered.values()])
    patients = pd.concat([one.patients for one in answered.values()])
    temperatures = {name: one.temperature for name, one in answered.items()}
    return {
        "learned_from": "validation patients of each fold",
        "temperature": {name: round(one.value, 4) for name, one in temperatures.items()},
        "validation_patients": {name: one.patients for name, one in temperatures.items()},
        "log_loss_of_means": round(log_loss(means, target=target), 6),
        "log_loss": round(log_loss(patients, target=target), 6),
    }


def log_loss(rows: pd.DataFrame, *, target: Target) -> float:
    """Return the mean of minus the logarithm of the true class's probability."""
    chances: NDArray[np.float64] = rows[list(target.probability_columns)].to_numpy()
    true = chances[np.arange(len(rows)), target.numbers(rows) - 1]
    return float(-np.log(np.maximum(true, LEAST_CHANCE)).mean())
