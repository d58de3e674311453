"""How well two branches agree with each other, whoever is right."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.branches.branch import SharedAnswers
from classifiers.branches.paired_scores import pairs_of_answers, summed
from common.bootstrap import Estimate, interval, resampling_weights
from common.grading.intervals import estimate, limits_of_agreement
from common.grading.scores import SCORES


@dataclass(frozen=True)
class Agreement:
    """How well two branches agree with each other, whoever is right.

    Attributes
    ----------
    weighted_kappa, exact, within_one
        Between the two branches' answers.
    bias, low_limit, high_limit
        Bland-Altman on expected grades: mean of first minus second, and the limits between which
        95 % of the differences lie, each with its interval over patients.
    answer_bias, answer_low, answer_high
        The same on the answered grades.
    """

    first: str
    second: str
    weighted_kappa: Estimate
    exact: Estimate
    within_one: Estimate
    bias: Estimate
    low_limit: Estimate
    high_limit: Estimate
    answer_bias: Estimate
    answer_low: Estimate
    answer_high: Estimate

    def as_json(self) -> dict[str, Any]:
        """Return the content of `metrics.json`."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.as_json() if isinstance(value, Estimate) else value
            for name, value in found.items()
        }


def agreement(shared: SharedAnswers, first: str, second: str, *, seed: int = 0) -> Agreement:
    """Say how well two branches agree with each other, whoever is right."""
    k = len(shared.target.classes)
    pairs = pairs_of_answers(shared.answers[first], shared.answers[second], k=k)
    by_patient = summed(pairs, shared.patients)
    counts = by_patient.reshape(-1, k, k)
    weights = resampling_weights(len(counts), seed=seed)
    kappa, exact, near = (
        estimate(SCORES[name], counts, weights=weights)
        for name in ("weighted_kappa", "accuracy", "within_one")
    )
    chances = shared.expected(first) - shared.expected(second)
    answers = (shared.answers[first] - shared.answers[second]).astype(np.float64)
    return Agreement(
        first,
        second,
        kappa,
        exact,
        near,
        *bland_altman(chances, shared.patients, weights=weights),
        *bland_altman(answers, shared.patients, weights=weights),
    )


def bland_altman(
    differences: NDArray[np.float64],
    patients: NDArray[np.str_],
    *,
    weights: NDArray[np.float64],
) -> tuple[Estimate, Estimate, Estimate]:
    """Return bias and limits of agreement (Bland and Altman 1986), with intervals over patients.

    Parameters
    ----------
    differences, patients
        `(n,)` each, several rows of a patient allowed.
    weights
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
