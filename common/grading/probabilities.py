"""Scores of probabilities: discrimination, Brier score, calibration error, reliability.

Like the scores of answers, each is computed for all resamples of patients at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.bootstrap import Estimate, interval
from common.grading.class_scores import Values
from common.grading.target import Target

BINS = 10


@dataclass(frozen=True)
class Chances:
    """One model's probabilities with the truth, and the patient of each row.

    Attributes
    ----------
    values
        `(n, k)`.
    labels
        `(n,)` class numbers from 1.
    at
        `(n,)` number of the patient.
    n_patients
        How many patients.
    """

    values: NDArray[np.float64]
    labels: NDArray[np.int64]
    at: NDArray[np.intp]
    n_patients: int

    def by_patient(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum `(n, ...)` over the rows of each patient: `(n_patients, ...)`."""
        total = np.zeros((self.n_patients, *values.shape[1:]))
        np.add.at(total, self.at, values)
        return total


def chances_of(predictions: pd.DataFrame, *, target: Target) -> Chances:
    """Read one model's probabilities from its prediction rows."""
    patients, at = np.unique(predictions["patient_id"].to_numpy(dtype=np.str_), return_inverse=True)
    return Chances(
        values=predictions[list(target.probability_columns)].to_numpy(dtype=np.float64),
        labels=target.numbers(predictions),
        at=at,
        n_patients=len(patients),
    )


def probability_scores(chances: Chances, *, weights: NDArray[np.float64]) -> dict[str, Estimate]:
    """Return AUC, Brier score and calibration error with their intervals.

    Parameters
    ----------
    weights
        `(resamples, n_patients)` from `resampling_weights`.
    """
    everyone = np.ones((1, chances.n_patients))
    return {
        name: interval(float(of(chances, everyone)[0]), of(chances, weights))
        for name, of in (
            ("auc", first_class_auc),
            ("brier", brier),
            ("calibration_error", calibration_error),
        )
    }


def first_class_auc(chances: Chances, weights: NDArray[np.float64]) -> Values:
    """Area under the ROC curve of the first class (healthy) against all others.

    The chance that a row of the first class gets a higher probability of it than another row;
    ties count half. 0.5 is chance.
    """
    score = chances.values[:, 0]
    own, other = chances.labels == 1, chances.labels != 1
    if not own.any() or not other.any():
        return np.full(len(weights), np.nan)
    wins = (score[own][:, None] > score[other][None, :]) + 0.5 * (
        score[own][:, None] == score[other][None, :]
    )
    own_weight, other_weight = weights[:, chances.at[own]], weights[:, chances.at[other]]
    won = np.einsum("bi,ij,bj->b", own_weight, wins, other_weight, optimize=True)
    pairs = own_weight.sum(axis=1) * other_weight.sum(axis=1)
    out = np.full(len(weights), np.nan)
    area: Values = np.divide(won, pairs, out=out, where=pairs > 0)
    return area


def brier(chances: Chances, weights: NDArray[np.float64]) -> Values:
    """Mean squared distance of the probabilities from the truth, 0 (perfect) to 2."""
    truth = np.eye(chances.values.shape[1])[chances.labels - 1]
    loss = chances.by_patient(np.square(chances.values - truth).sum(axis=1))
    rows = chances.by_patient(np.ones(len(chances.labels)))
    mean: Values = (weights @ loss) / (weights @ rows)
    return mean


def calibration_error(chances: Chances, weights: NDArray[np.float64]) -> Values:
    """Expected calibration error of the most probable class, ten bins (Naeini et al. 2015)."""
    counts, sure, right = (weights @ table for table in _bins(chances))
    gap = np.abs(sure - right).sum(axis=1)
    error: Values = gap / counts.sum(axis=1)
    return error


@dataclass(frozen=True)
class Reliability:
    """Bins of the reliability plot: mean probability, share right, rows in each."""

    sureness: NDArray[np.float64]
    right: NDArray[np.float64]
    rows: NDArray[np.float64]


def reliability(chances: Chances) -> Reliability:
    """Return what the reliability plot shows; empty bins are left out."""
    counts, sure, right = (table.sum(axis=0) for table in _bins(chances))
    full = counts > 0
    return Reliability(sure[full] / counts[full], right[full] / counts[full], counts[full])


def _bins(
    chances: Chances,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Rows, summed sureness and right answers of each patient in each bin, `(n_patients, 10)`."""
    top = chances.values.argmax(axis=1)
    sure = chances.values.max(axis=1)
    member = np.eye(BINS)[np.minimum((sure * BINS).astype(int), BINS - 1)]
    right = (top == chances.labels - 1).astype(np.float64)
    return (
        chances.by_patient(member),
        chances.by_patient(member * sure[:, None]),
        chances.by_patient(member * right[:, None]),
    )
