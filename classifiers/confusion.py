"""Confusion counts of each patient: what every score is computed from.

A score needs only how often class i was answered with class j. Kept apart by patient, these
counts can be summed over any resample of patients at once, which makes the bootstrap one matrix
product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from classifiers.tasks import Target


@dataclass(frozen=True)
class Confusion:
    """Answers of one model.

    Attributes
    ----------
    counts
        `(n_patients, k, k)`: for each patient how often class i (row) was answered with class j
        (column). Repeats of the validation are averaged, so that a patient counts the number of
        photographs (or 1) and not the number of repeats.
    patients
        `(n_patients,)` names, sorted.
    """

    counts: NDArray[np.float64]
    patients: NDArray[np.str_]

    @property
    def total(self) -> NDArray[np.float64]:
        """`(k, k)` counts over all patients."""
        total: NDArray[np.float64] = self.counts.sum(axis=0)
        return total


def confusion_of(predictions: pd.DataFrame, *, target: Target) -> Confusion:
    """Count one model's answers.

    Parameters
    ----------
    predictions
        Rows of one model, of photographs or of patients, by `predictions_schema`.
    """
    k = len(target.classes)
    truth = target.numbers(predictions) - 1
    place = {answer: at for at, answer in enumerate(target.named(np.arange(1, k + 1)))}
    answer = predictions["predicted"].map(place).to_numpy(dtype=np.int64)
    patients, at = np.unique(predictions["patient_id"].to_numpy(dtype=np.str_), return_inverse=True)
    counts = np.zeros((len(patients), k, k))
    np.add.at(counts, (at, truth, answer), 1.0)
    return Confusion(counts=counts / predictions["repeat"].nunique(), patients=patients)
