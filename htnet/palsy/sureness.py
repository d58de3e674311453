"""How sure answers to whole patients may be: what is learned of it, and kept beside the weights.

Learned from the validation patients of the same fold, who also chose its epoch, and never from
tested ones.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError
from common.files import write_json
from common.grading.calibration import ScoreIntervals, learn_intervals, learn_temperature, tempered
from common.grading.numeric_target import AnyTarget, NumericTarget, answered_by
from common.grading.target import Target

CALIBRATION = "calibration.json"  # beside the weights
FEWEST_PATIENTS = 5  # fewer say too little: the mean is then left as it is


@dataclass(frozen=True)
class PatientTemperature:
    """How sure a network's answers to whole patients may be.

    `value`: means of photographs are raised to 1 / value; below 1 makes them surer, 1 leaves them.
    `patients`: of how many validation patients it was learned. `photographs`: how many each of them
    had (median); the mean of fewer is less flat, so it must not be made as sure.
    """

    value: float
    patients: int
    photographs: int


@dataclass(frozen=True)
class PatientReach:
    """How far from a network's answers to whole patients the truth lies.

    `reach`: in the unit of the scale; all of the scale where nothing is known of it. `patients`: of
    how many validation patients it was learned. `photographs`: how many each of them had (median);
    it promises nothing of the mean of fewer.
    """

    reach: float
    patients: int
    photographs: int


Sureness = PatientTemperature | PatientReach
"""What the validation patients tell of answers to whole patients, of classes or of scores."""


def learn_sureness(rows: pd.DataFrame, patients: pd.DataFrame, *, target: AnyTarget) -> Sureness:
    """Learn it from prediction rows of validation patients, and of their photographs (`rows`)."""
    by = answered_by(rows, target=target)
    each = int(rows.groupby(by, dropna=False).size().median())
    known = patients["patient_id"].nunique()
    if isinstance(target, NumericTarget):
        found = learn_intervals(
            patients["predicted"].to_numpy(dtype=np.float64),
            target.values(patients),
            patients["patient_id"].to_numpy(dtype=np.str_),
            target=target,
        )
        return PatientReach(found.reach, known, each)
    value = 1.0
    if known >= FEWEST_PATIENTS:
        chances = patients[list(target.probability_columns)].to_numpy()
        value = learn_temperature(chances, target.numbers(patients))
    return PatientTemperature(value, known, each)


def made_sure(patients: pd.DataFrame, *, sureness: Sureness, target: AnyTarget) -> pd.DataFrame:
    """Return rows of patients as sure as the temperature makes them, of scores with intervals."""
    patients = patients.copy()
    if isinstance(sureness, PatientReach):
        assert isinstance(target, NumericTarget)
        answers = patients["predicted"].to_numpy(dtype=np.float64)
        patients[["low", "high"]] = ScoreIntervals(sureness.reach).of(answers, target=target)
        return patients
    assert isinstance(target, Target)
    columns = list(target.probability_columns)
    chances = tempered(patients[columns].to_numpy(), temperature=sureness.value)
    patients[columns] = chances
    patients["predicted"] = pd.Series(
        target.named(target.answers(chances)), index=patients.index, dtype=patients.predicted.dtype
    )
    return patients


def write_sureness(sureness: Sureness, folder: Path) -> None:
    """Keep it beside the weights."""
    write_json(folder / CALIBRATION, asdict(sureness))


def read_sureness(folder: Path, *, target: AnyTarget) -> Sureness:
    """Read what was kept beside weights; without it means stay, and the reach is the whole scale.

    UserError when the file is damaged.
    """
    path = folder / CALIBRATION
    if not path.exists():
        if isinstance(target, NumericTarget):
            return PatientReach(target.high - target.low, 0, 0)
        return PatientTemperature(1.0, 0, 0)
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return (PatientReach if isinstance(target, NumericTarget) else PatientTemperature)(**kept)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged: train again, or delete it.") from error
