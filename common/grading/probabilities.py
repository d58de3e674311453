"""Scores of probabilities: discrimination, Brier score, calibration error, reliability.

Like the scores of answers, each is computed for all resamples of patients at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from common.arrays import Floats, Ints, Places
from common.bootstrap import Estimate, interval, summed_by
from common.grading.scores import Values, ratio
from common.grading.target import Target

BINS = 10


@dataclass(frozen=True)
class Chances:
    """One model's probabilities `(n, k)`, class numbers from 1, and the number of the patient.

    `labels` and `at` are `(n,)` each.
    """

    values: Floats
    labels: Ints
    at: Places
    n_patients: int

    def by_patient(self, values: Floats) -> Floats:
        """Sum `(n, ...)` over the rows of each patient: `(n_patients, ...)`."""
        return summed_by(values, self.at, n=self.n_patients)


def chances_of(predictions: pd.DataFrame, *, target: Target) -> Chances:
    """Read one model's probabilities from its prediction rows."""
    patients, at = np.unique(predictions["patient_id"].to_numpy(dtype=np.str_), return_inverse=True)
    return Chances(
        values=predictions[list(target.probability_columns)].to_numpy(dtype=np.float64),
        labels=target.numbers(predictions),
        at=at,
        n_patients=len(patients),
    )


def probability_scores(chances: Chances, *, weights: Floats) -> dict[str, Estimate]:
    """Return AUC, Brier score and calibration error with their intervals.

    `weights` are `(resamples, n_patients)` from `resampling_weights`.
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


def first_class_auc(chances: Chances, weights: Floats) -> Values:
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
    return ratio(won, own_weight.sum(axis=1) * other_weight.sum(axis=1))


def brier(chances: Chances, weights: Floats) -> Values:
    """Mean squared distance of the probabilities from the truth, 0 (perfect) to 2."""
    loss = chances.by_patient(squared_distance(chances.values, chances.labels))
    rows = chances.by_patient(np.ones(len(chances.labels)))
    return (weights @ loss) / (weights @ rows)


def squared_distance(values: Floats, labels: Ints) -> Floats:
    """Return the squared distance of each row's probabilities from its truth, `(n,)`."""
    truth = np.eye(values.shape[1])[labels - 1]
    return np.square(values - truth).sum(axis=1)


def calibration_error(chances: Chances, weights: Floats) -> Values:
    """Expected calibration error of the most probable class, ten bins (Naeini et al. 2015)."""
    counts, sure, right = (weights @ table for table in _bins(chances))
    gap = np.abs(sure - right).sum(axis=1)
    return gap / counts.sum(axis=1)


@dataclass(frozen=True)
class Reliability:
    """Bins of the reliability plot: mean probability, share right, rows in each."""

    sureness: Floats
    right: Floats
    rows: Floats


def reliability(chances: Chances) -> Reliability:
    """Return what the reliability plot shows; empty bins are left out."""
    counts, sure, right = (table.sum(axis=0) for table in _bins(chances))
    full = counts > 0
    return Reliability(sure[full] / counts[full], right[full] / counts[full], counts[full])


def _bins(chances: Chances) -> tuple[Floats, Floats, Floats]:
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
