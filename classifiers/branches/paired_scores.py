"""Scores as functions of sums over patients, so that pairs of branches are tested in one go.

A branch's answers to a patient are summed up in a few numbers (confusion counts, or losses and
their number); every score is a function of the total. A bootstrap draws patients with repetition,
a paired permutation test exchanges the two branches within a patient: both only change which sums
are added, and become one matrix product. Beside the scores stands how well two branches agree with
each other (`agreement`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from classifiers.branches.branch import SharedAnswers
from common.arrays import Floats, Ints, Names
from common.bootstrap import (
    Estimate,
    interval,
    paired_difference,
    resampled_counts,
    resampling_weights,
    summed_by,
)
from common.grading.agreement_scores import icc_a1, limits_of_agreement, pair_sums
from common.grading.calibration import LEAST_CHANCE
from common.grading.numeric_scores import fields_of, numeric_scores_for
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.probabilities import squared_distance
from common.grading.scores import SCORES, Score, recalls, scores_for
from common.grading.target import Target

PERMUTATIONS = 5000
Sums = Floats
"""`(n_patients, ...)`: what a score needs of each patient."""


@dataclass(frozen=True)
class Difference:
    """One score of two branches: each, first minus second with its interval, and the test's p.

    `p_permutation` is two-sided; NaN where it was not asked for.
    """

    first: float
    second: float
    estimate: Estimate
    p_permutation: float

    def columns(self) -> dict[str, float]:
        """Return `difference`, `low`, `high` and `p_permutation`, as tables name them."""
        return {
            "difference": self.estimate.value,
            "low": self.estimate.low,
            "high": self.estimate.high,
            "p_permutation": self.p_permutation,
        }


def paired_scores(target: AnyTarget) -> dict[str, Score]:
    """Return the scores that make sense for a target: of the answers, then of probabilities."""
    if isinstance(target, NumericTarget):
        known = [one for one in numeric_scores_for(target) if one.higher_is_better is not None]
    else:
        known = [
            score
            for score in scores_for(target)
            if score.name != "balanced_accuracy" or not target.ordered
        ] + OF_CHANCES
    return {score.name: score for score in known}


def recall_scores(target: Target) -> list[Score]:
    """Return the recall of each class, `recall_1` for instance: told, and not tested."""
    return [
        Score(
            f"recall_{name}", f"Recall of {name}", partial(_recall_at, at=at),
            f"share of exact answers where the reference is {name}",
        )
        for at, name in enumerate(target.classes)
    ]  # fmt: skip


def by_patient(score: Score, shared: SharedAnswers, name: str) -> Sums:
    """Return what a score needs of one branch, patients in sorted order."""
    return summed(needed(score, shared, name), shared.patients)


def needed(score: Score, shared: SharedAnswers, name: str) -> Floats:
    """Return what a score needs of each row of one branch, `(n, ...)`: counts, or losses."""
    if shared.numeric is not None:
        return fields_of(shared.reference, shared.said(name), target=shared.numeric)
    chances, truth = shared.chances[name], shared.truth
    if score.name not in ("brier", "log_loss"):
        return pairs_of_answers(truth, shared.answers[name], k=chances.shape[1])
    if score.name == "brier":
        loss = squared_distance(chances, truth)
    else:
        loss = -np.log(np.maximum(chances[np.arange(len(truth)), truth - 1], LEAST_CHANCE))
    return np.column_stack([loss, np.ones(len(loss))])


def difference(
    score: Score, first: Sums, second: Sums, *, weights: Floats, exchanges: Floats | None = None
) -> Difference:
    """Compare one score of two branches on the same patients.

    `weights` are `(resamples, n_patients)`, `exchanges` `(permutations, n_patients)` from
    `exchange_patients`; no test is made without.
    """
    found, _ = paired_difference(score.of, first, second, weights=weights)
    p = float("nan")
    if exchanges is not None and np.isfinite(found.value):
        p = permutation_p(score, first, second, exchanges=exchanges)
    one, two = (float(score.of(sums.sum(axis=0))) for sums in (first, second))
    return Difference(one, two, found, p)


def exchange_patients(
    n_patients: int, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> Floats:
    """Return `(permutations, n_patients)`: 1 where the two branches are exchanged in a patient."""
    rng = np.random.default_rng([seed, 1])
    return rng.integers(0, 2, size=(permutations, n_patients)).astype(np.float64)


def permutation_p(score: Score, first: Sums, second: Sums, *, exchanges: Floats) -> float:
    """Return the two-sided p of a paired permutation test over patients.

    If the branches were equally good, it would not matter which gave which of a patient's answers:
    p is the share of exchanges whose difference is at least as large as the one seen (Phipson and
    Smyth 2010).
    """
    gap = second - first
    moved = resampled_counts(gap, weights=exchanges)
    made = score.of(first.sum(axis=0) + moved) - score.of(second.sum(axis=0) - moved)
    seen = abs(float(score.of(first.sum(axis=0)) - score.of(second.sum(axis=0))))
    as_far = np.abs(made[~np.isnan(made)]) >= seen - 1e-12
    return float((as_far.sum() + 1) / (len(as_far) + 1))


def summed(values: Floats, patients: Names) -> Floats:
    """Sum `(n, ...)` rows over each patient: `(n_patients, ...)`, patients in sorted order."""
    names, at = np.unique(patients, return_inverse=True)
    return summed_by(values, at, n=len(names))


def pairs_of_answers(first: Ints, second: Ints, *, k: int) -> Floats:
    """Return `(n, k, k)`: 1 at the cell of each row's two class numbers."""
    return np.eye(k * k)[(first - 1) * k + second - 1].reshape(-1, k, k)


def _recall_at(counts: Floats, *, at: int) -> Floats:
    return recalls(counts)[..., at]


def _mean(total: Floats) -> Floats:
    return total[..., 0] / total[..., 1]


OF_CHANCES = [
    Score("brier", "Brier score", _mean,
          "mean squared distance of the probabilities from the truth, 0 to 2 (smaller is better)",
          higher_is_better=False),
    Score("log_loss", "Log loss", _mean,
          "mean of minus the logarithm of the probability of the truth (smaller is better; a "
          f"probability below {LEAST_CHANCE} counts as that)", higher_is_better=False),
]  # fmt: skip
"""Scores of probabilities, from the sum of the losses of a patient and their number."""


@dataclass(frozen=True)
class Agreement:
    """How well two branches agree with each other, whoever is right.

    `scores` are `weighted_kappa`, `exact` and `within_one` between the answers, of numbers `icc`.
    `bias`, `low_limit` and `high_limit` are Bland-Altman on expected grades or scores (mean of
    first minus second, and the limits between which 95 % of the differences lie), `answer_limits`
    the same three on the answered grades.
    """

    first: str
    second: str
    scores: Mapping[str, Estimate]
    bias: Estimate
    low_limit: Estimate
    high_limit: Estimate
    answer_limits: tuple[Estimate, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the content of `metrics.json`."""
        limits = {name: getattr(self, name) for name in ("bias", "low_limit", "high_limit")}
        of_answers = ("answer_bias", "answer_low", "answer_high") if self.answer_limits else ()
        found = {**self.scores, **limits, **dict(zip(of_answers, self.answer_limits, strict=True))}
        names = {"first": self.first, "second": self.second}
        return names | {name: estimate.as_json() for name, estimate in found.items()}


def agreement(shared: SharedAnswers, first: str, second: str, *, seed: int = 0) -> Agreement:
    """Say how well two branches agree with each other, whoever is right."""
    patients = shared.patients
    weights = resampling_weights(len(np.unique(patients)), seed=seed)
    one, two = shared.expected(first), shared.expected(second)
    limits = bland_altman(one - two, patients, weights=weights)
    if shared.numeric is not None:
        middle = float(np.mean(one))
        sums = summed(pair_sums(one - middle, two - middle), patients)
        icc = interval(float(icc_a1(sums.sum(axis=0))), icc_a1(weights @ sums))
        return Agreement(first, second, {"icc": icc}, *limits)
    k = len(shared.classes.classes)
    pairs = pairs_of_answers(shared.answers[first], shared.answers[second], k=k)
    counts = summed(pairs, patients)
    names = {"weighted_kappa": "weighted_kappa", "exact": "accuracy", "within_one": "within_one"}
    scores = {name: SCORES[of].estimate(counts, weights=weights) for name, of in names.items()}
    answers = bland_altman(shared.said(first) - shared.said(second), patients, weights=weights)
    return Agreement(first, second, scores, *limits, answer_limits=answers)


def bland_altman(
    differences: Floats, patients: Names, *, weights: Floats
) -> tuple[Estimate, Estimate, Estimate]:
    """Return bias and limits of agreement (Bland and Altman 1986), with intervals over patients.

    `differences` and `patients` are `(n,)`, several rows of a patient allowed; `weights` are
    `(resamples, n_patients)`.
    """
    ones = np.ones(len(differences))
    sums = summed(np.column_stack([differences, differences**2, ones]), patients)
    bias, low, high = (
        interval(float(seen), drawn)
        for seen, drawn in zip(
            limits_of_agreement(sums.sum(axis=0)), limits_of_agreement(weights @ sums), strict=True
        )
    )
    return bias, low, high
