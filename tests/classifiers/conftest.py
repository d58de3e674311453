"""Small made-up cohorts with a known truth, and the feature tables of such cohorts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.registry import FEATURE_NAMES

Written = Callable[..., Path]


@dataclass(frozen=True)
class MadeCohort:
    """Photographs with a patient, a grade and 29 made-up features."""

    rows: pd.DataFrame
    features: pd.DataFrame


def made_cohort(
    *,
    patients_per_grade: int = 4,
    photographs: int = 4,
    grade_strength: float = 1.0,
    patient_strength: float = 0.0,
    seed: int = 0,
) -> MadeCohort:
    """Make a cohort in which grade and patient shift the features as strongly as asked.

    With `grade_strength` 0 and a large `patient_strength`, the features name the patient and say
    nothing about the grade.
    """
    rng = np.random.default_rng(seed)
    n_patients = 6 * patients_per_grade
    grade = np.repeat(np.arange(1, 7), patients_per_grade)
    of_patient = rng.normal(size=(n_patients, len(FEATURE_NAMES))) * patient_strength
    of_patient += grade_strength * (grade[:, None] - 3.5) * rng.normal(size=len(FEATURE_NAMES))
    values = np.repeat(of_patient, photographs, axis=0)
    values += rng.normal(size=values.shape)
    patient = np.repeat([f"p{at:02d}" for at in range(n_patients)], photographs)
    rows = pd.DataFrame(
        {
            "image_id": [f"{name}/{at % photographs}.jpg" for at, name in enumerate(patient)],
            "status": "ok",
            "patient_id": patient,
            "hb_grade": np.repeat(grade, photographs),
        }
    )
    return MadeCohort(rows, pd.DataFrame(values, columns=list(FEATURE_NAMES)))


@pytest.fixture()
def feature_table(tmp_path: Path) -> Written:
    """Write a made cohort as `features.csv` with the manifest's columns joined."""

    def write(cohort: MadeCohort, *, name: str = "features.csv") -> Path:
        table = pd.concat(
            [
                cohort.rows[["image_id", "status"]],
                cohort.features,
                cohort.rows[["patient_id", "hb_grade"]],
            ],
            axis=1,
        )
        path = tmp_path / name
        table.to_csv(path, index=False)
        return path

    return write
