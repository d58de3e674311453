"""Scores as functions of sums over patients, so that pairs of branches are tested in one go.

A branch's answers to a patient are summed up in a few numbers (confusion counts, or losses and
their number); every score is a function of the total. A bootstrap draws patients with repetition,
a paired permutation test exchanges the two branches within a patient: both only change which sums
are added, and become one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifiers.branches.branch import SharedAnswers
from common.bootstrap import Estimate, interval
from common.grading.calibration import LEAST_CHANCE
from common.grading.class_scores import recalls
from common.grading.scores import Score, scores_for
from common.grading.target import Target

PERMUTATIONS = 5000
Sums = NDArray[np.float64]
"""`(n_patients, m)`: what a score needs of each patient."""


@dataclass(frozen=True)
class PairedScore:
    """One score of a branch.

    Attributes
    ----------
    name, title, meaning
        As in `common.grading.scores.Score`.
    higher_is_better
        False for errors and losses.
    sums
        From answers and a branch's name to `(rows, m)`, which are summed over each patient.
    of
        From totals `(..., m)` to values `(...)`.
    """

    name: str
    title: str
    meaning: str
    higher_is_better: bool
    sums: Callable[[SharedAnswers, str], NDArray[np.float64]]
    of: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def by_patient(self, shared: SharedAnswers, name: str) -> Sums:
        """Return the sums of one branch, patients in sorted order."""
        return summed(self.sums(shared, name), shared.patients)


@dataclass(frozen=True)
class Difference:
    """One score of two branches.

    Attributes
    ----------
    first, second
        The score of each.
    estimate
        First minus second, with the 95 % interval over resampled patients.
    p_permutation
        Two-sided; NaN where it was not asked for.
    """

    first: float
    second: float
    estimate: Estimate
    p_permutation: float


def paired_scores(target: Target) -> dict[str, PairedScore]:
    """Return the scores that make sense for a target: of the answers, then of probabilities."""
    of_answers = [
        PairedScore(
            name=score.name,
            title=score.title,
            meaning=score.meaning,
            higher_is_better=score.higher_is_better,
            sums=_counts,
            of=_from_counts(score, k=len(target.classes)),
        )
        for score in scores_for(ordered=target.ordered)
        if score.name != "balanced_accuracy" or not target.ordered
    ]
    of_chances = [
        PairedScore(
            name="brier",
            title="Brier score",
            meaning="mean squared distance of the probabilities from the truth, 0 to 2 "
            "(smaller is better)",
            higher_is_better=False,
            sums=_brier,
            of=_mean,
        ),
        PairedScore(
            name="log_loss",
            title="Log loss",
            meaning="mean of minus the logarithm of the probability of the truth (smaller is "
            f"better; a probability below {LEAST_CHANCE} counts as that)",
            higher_is_better=False,
            sums=_log_loss,
            of=_mean,
        ),
    ]
    return {score.name: score for score in [*of_answers, *of_chances]}


def recall_scores(target: Target) -> list[PairedScore]:
    """Return the recall of each class, `recall_1` for instance: told, and not tested."""
    k = len(target.classes)

    def recall_at(at: int) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        def of(total: NDArray[np.float64]) -> NDArray[np.float64]:
            return recalls(total.reshape(*total.shape[:-1], k, k))[..., at]

        return of

    return [
        PairedScore(
            name=f"recall_{name}",
            title=f"Recall of {name}",
            meaning=f"share of exact answers where the reference is {name}",
            higher_is_better=True,
            sums=_counts,
            of=recall_at(at),
        )
        for at, name in enumerate(target.classes)
    ]


def difference(
    score: PairedScore,
    first: Sums,
    second: Sums,
    *,
    weights: NDArray[np.float64],
    exchanges: NDArray[np.float64] | None = None,
) -> Difference:
    """Compare one score of two branches on the same patients.

    Parameters
    ----------
    first, second
        `(n_patients, m)` from `PairedScore.by_patient`.
    weights
        `(resamples, n_patients)` from `common.bootstrap.resampling_weights`.
    exchanges
        `(permutations, n_patients)` from `exchange_patients`; no test is made without.
    """
    one, two = score.of(first.sum(axis=0)), score.of(second.sum(axis=0))
    found = float(one - two)
    resampled = score.of(weights @ first) - score.of(weights @ second)
    p = float("nan")
    if exchanges is not None and np.isfinite(found):
        p = permutation_p(score, first, second, exchanges=exchanges)
    return Difference(float(one), float(two), interval(found, resampled), p)


def exchange_patients(
    n_patients: int, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> NDArray[np.float64]:
    """Return `(permutations, n_patients)`: 1 where the two branches are exchanged in a patient."""
    rng = np.random.default_rng([seed, 1])
    return rng.integers(0, 2, size=(permutations, n_patients)).astype(np.float64)


def permutation_p(
    score: PairedScore, first: Sums, second: Sums, *, exchanges: NDArray[np.float64]
) -> float:
    """Return the two-sided p of a paired permutation test over patients.

    If the branches were equally good, it would not matter which of them gave which of a patient's
    two sets of answers. p is the share of exchanges whose difference is at least as large as the
    one that was seen, itself counted among them (Phipson and Smyth 2010).
    """
    gap = second - first
    moved = exchanges @ gap
    made = score.of(first.sum(axis=0) + moved) - score.of(second.sum(axis=0) - moved)
    seen = abs(float(score.of(first.sum(axis=0)) - score.of(second.sum(axis=0))))
    as_far = np.abs(made[~np.isnan(made)]) >= seen - 1e-12
    return float((as_far.sum() + 1) / (len(as_far) + 1))


def summed(values: NDArray[np.float64], patients: NDArray[np.str_]) -> NDArray[np.float64]:
    """Sum `(n, m)` rows over each patient: `(n_patients, m)`, patients in sorted order."""
    names, at = np.unique(patients, return_inverse=True)
    total = np.zeros((len(names), values.shape[1]))
    np.add.at(total, at, values)
    return total


def pairs_of_answers(
    first: NDArray[np.int64], second: NDArray[np.int64], *, k: int
) -> NDArray[np.float64]:
    """Return `(n, k * k)`: 1 at the cell of each row's two class numbers."""
    cells: NDArray[np.float64] = np.eye(k * k)[(first - 1) * k + second - 1]
    return cells


def _counts(shared: SharedAnswers, name: str) -> NDArray[np.float64]:
    return pairs_of_answers(shared.truth, shared.answers[name], k=len(shared.target.classes))


def _from_counts(score: Score, *, k: int) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    return lambda total: score.of(total.reshape(*total.shape[:-1], k, k))


def _brier(shared: SharedAnswers, name: str) -> NDArray[np.float64]:
    truth = np.eye(len(shared.target.classes))[shared.truth - 1]
    loss = np.square(shared.chances[name] - truth).sum(axis=1)
    return np.column_stack([loss, np.ones(len(loss))])


def _log_loss(shared: SharedAnswers, name: str) -> NDArray[np.float64]:
    of_truth = shared.chances[name][np.arange(len(shared.rows)), shared.truth - 1]
    loss = -np.log(np.maximum(of_truth, LEAST_CHANCE))
    return np.column_stack([loss, np.ones(len(loss))])


def _mean(total: NDArray[np.float64]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = total[..., 0] / total[..., 1]
    return mean
