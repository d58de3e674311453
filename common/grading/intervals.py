"""Prediction intervals of scores: conformal, from answers to training patients, whole patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.arrays import Floats, Names
from common.grading.calibration import COVERAGE
from common.grading.numeric_target import NumericTarget


@dataclass(frozen=True)
class ScoreIntervals:
    """How far to either side of an answer the truth lies, with probability `coverage`.

    As with `common.grading.calibration.GradeSets`, the coverage is an aim: the answers that it was
    learned from are those of inner folds, and it goes to a grader refitted on all of these
    patients. Reports state what it was on the tested patients.
    """

    reach: float
    coverage: float = COVERAGE

    def of(
        self, answers: Floats, *, target: NumericTarget, stretch: float | Floats = 1.0
    ) -> Floats:
        """Return `(n, 2)` ends, cut off at those of the scale; `stretch` widens them."""
        reach = self.reach * np.broadcast_to(stretch, answers.shape)
        return target.clipped(np.column_stack([answers - reach, answers + reach]))


def learn_intervals(
    answers: Floats,
    truth: Floats,
    patients: Names,
    *,
    target: NumericTarget,
    coverage: float = COVERAGE,
) -> ScoreIntervals:
    """Learn the reach from unseen answers `(n,)`; every patient weighs alike.

    Of n patients, each with all their rows, it is the smallest distance that reaches the truth in
    `coverage` of n + 1 patients, where each row of a patient with m rows counts one in m: the
    conformal quantile for a new patient (after Dunn, Wasserman and Ramdas 2023, and Lee, Barber and
    Willett 2023). With fewer patients than that needs (9 at 90 %), it is the whole scale.
    """
    distance = np.abs(answers - truth)
    order = np.argsort(distance, kind="stable")
    reached = np.cumsum(patient_weights(patients)[order])
    enough = np.flatnonzero(reached >= coverage * (len(np.unique(patients)) + 1) - 1e-9)
    whole = target.high - target.low
    return ScoreIntervals(float(distance[order][enough[0]]) if len(enough) else whole, coverage)


def patient_weights(patients: Names) -> Floats:
    """Return `(n,)` weights of the rows, those of each patient adding up to 1."""
    _, at, rows = np.unique(patients, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / rows[at])


def interval_in_words(low: float, high: float) -> str:
    """Return an interval as `48 to 75`."""
    return f"{low:.0f} to {high:.0f}" if high - low >= 5 else f"{low:.3g} to {high:.3g}"


def about_intervals(target: NumericTarget, *, coverage: float = COVERAGE) -> str:
    """Say what a prediction interval promises."""
    return (
        f"The interval is meant to hold the true score in {100 * coverage:.0f} % of patients like "
        "those the grader learned from: it reaches as far as the answers to training patients, "
        "unseen by the grader that gave them, were from the truth. It is cut off at "
        f"the ends of the scale ({target.range_in_words}). With fewer than 9 training patients it "
        "is the whole scale."
    )
