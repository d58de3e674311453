"""Ways to make one answer of the probabilities of several branches, and how weights are learned.

All of them leave a branch as it is when it is fused with copies of itself: `mean`, `product` and
`weighted` to the last digit of the probabilities, `stacking` in the answered grade.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit
from sklearn.utils.class_weight import compute_sample_weight

from classifiers.graders.ordinal import chances_from_above
from common.arrays import Floats, Ints
from common.grading.calibration import LEAST_CHANCE

FusionMethod = Literal["mean", "product", "weighted", "stacking"]
OF_NUMBERS: tuple[FusionMethod, ...] = ("mean", "weighted")
METHODS: tuple[FusionMethod, ...] = get_args(FusionMethod)
LEARNED: tuple[FusionMethod, ...] = ("weighted", "stacking")
LEAST_STRENGTH = 0.5
RIDGE = 1e-3  # on weights and coefficients; branches that are alike then count alike

Loss = Callable[[Floats], tuple[float, Floats]]
Stacked = Floats
"""`(n, branches, k)`: probabilities of every branch for the same rows."""


@dataclass(frozen=True)
class LateFusion:
    """One way of fusing, with what it learned.

    `mean` of the probabilities; `product`: their geometric mean, brought back to sum 1 (a class
    that one branch excludes is excluded); `weighted` mean; `stacking`: ordinal logistic regression
    on the branches' log odds of lying above each grade, without thresholds of its own. `strength`
    `(branches,)` is what each branch is multiplied with: weight, exponent or coefficient.
    """

    method: FusionMethod
    strength: Floats

    @property
    def weights(self) -> Floats:
        """`(branches,)` share of each branch, sum 1."""
        return self.strength / self.strength.sum()

    def of(self, chances: Stacked) -> Floats:
        """Return the fused probabilities `(n, k)`, or of numbers `(n, branches, 1)` the mean."""
        if self.method == "stacking":
            return chances_from_above(expit(log_odds(chances) @ self.strength))
        if self.method == "product":
            return _geometric_mean(chances, self.strength)
        pooled = np.einsum("nbk,b->nk", chances, self.strength)
        if _are_numbers(chances):
            return pooled
        return pooled / pooled.sum(axis=1, keepdims=True)


def even_fusion(method: FusionMethod, *, branches: int) -> LateFusion:
    """Return a fusion in which every branch counts alike; nothing is learned."""
    return LateFusion(method, np.full(branches, 1.0 / branches))


def learn_fusion(method: FusionMethod, chances: Stacked, truth: Ints | Floats) -> LateFusion:
    """Learn how much each branch counts from answers to training rows that it had not seen.

    `mean` and `product` learn nothing. `weighted` finds the weights, none below 0 and of sum 1,
    with the smallest ranked probability score (Epstein 1969), of numbers `(n, branches, 1)` with
    the smallest squared error; `stacking` the coefficients, none below 0, with the smallest sum of
    logistic losses over the thresholds (Rennie and Srebro 2005). Each class counts alike; `truth`
    are class numbers from 1, or the numbers. Stacking has no thresholds of its own (two copies of a
    branch must give that branch), and coefficients sum to at least `LEAST_STRENGTH`, since log odds
    near 0 would put the probability on both ends of the scale.
    """
    branches = chances.shape[1]
    if method not in LEARNED or branches == 1:
        return even_fusion(method, branches=branches)
    if _are_numbers(chances):
        errors = chances[:, :, 0] - truth[:, None]
        return LateFusion(method, _least_square(errors.T @ errors / len(errors)))
    rows = compute_sample_weight("balanced", truth)
    least = _least_ranked_loss if method == "weighted" else _least_threshold_loss
    return LateFusion(method, least(chances, truth.astype(np.int64), rows / rows.sum()))


def _are_numbers(answers: Stacked) -> bool:
    """Say whether branches answer with a number, and not with probabilities."""
    return answers.shape[2] == 1


def log_odds(chances: Stacked) -> Floats:
    """Return the log odds of lying above each grade but the last, `(n, k - 1, branches)`.

    Chances nearer to 0 or 1 than `LEAST_CHANCE` count as that.
    """
    above = 1.0 - np.cumsum(chances, axis=2)[:, :, :-1]
    return logit(np.clip(above, LEAST_CHANCE, 1.0 - LEAST_CHANCE)).transpose(0, 2, 1)


def _geometric_mean(chances: Stacked, exponents: Floats) -> Floats:
    """Return the weighted geometric mean; where the branches exclude each other, the mean."""
    with np.errstate(divide="ignore"):
        logs = np.einsum("nbk,b->nk", np.log(chances), exponents)
    top = logs.max(axis=1, keepdims=True)
    excluded = np.isneginf(top[:, 0])
    raised = np.exp(logs - np.where(np.isneginf(top), 0.0, top))
    raised[excluded] = np.einsum("nbk,b->nk", chances[excluded], exponents)
    return raised / raised.sum(axis=1, keepdims=True)


def _least_ranked_loss(chances: Stacked, labels: Ints, rows: Floats) -> Floats:
    """Weights on the simplex; the loss is a quadratic form of them."""
    k = chances.shape[2]
    truth = (labels[:, None] <= np.arange(1, k)[None, :]).astype(np.float64)
    errors = np.cumsum(chances, axis=2)[:, :, :-1] - truth[:, None, :]
    return _least_square(np.einsum("n,nbj,ncj->bc", rows, errors, errors))


def _least_square(form: Floats) -> Floats:
    """Weights on the simplex with the smallest quadratic form, `(branches, branches)`."""
    branches = len(form)
    form = form / max(float(np.trace(form)) / branches, LEAST_CHANCE)
    form = form + RIDGE * np.eye(branches)
    return _minimum(
        lambda weights: (float(weights @ form @ weights), 2.0 * form @ weights),
        branches=branches,
        exactly_one=True,
    )


def _least_threshold_loss(chances: Stacked, labels: Ints, rows: Floats) -> Floats:
    """Coefficients of the log odds, none below 0."""
    odds = log_odds(chances)
    cuts, branches = odds.shape[1:]
    sign = np.where(labels[:, None] > np.arange(1, cuts + 1)[None, :], 1.0, -1.0)
    signed = sign[:, :, None] * odds

    def loss(strength: Floats) -> tuple[float, Floats]:
        margin = signed @ strength
        slope = -np.einsum("n,nj,njb->b", rows, expit(-margin), signed)
        value = -float((rows[:, None] * log_expit(margin)).sum())
        return value + RIDGE * float(strength @ strength), slope + 2.0 * RIDGE * strength

    return _minimum(loss, branches=branches, exactly_one=False)


def _minimum(loss: Loss, *, branches: int, exactly_one: bool) -> Floats:
    """Return where a convex loss is smallest: none below 0, sum 1 or at least `LEAST_STRENGTH`."""
    least = 1.0 if exactly_one else LEAST_STRENGTH
    found = minimize(
        loss,
        np.full(branches, 1.0 / branches),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, None)] * branches,
        constraints={
            "type": "eq" if exactly_one else "ineq",
            "fun": lambda strength: strength.sum() - least,
            "jac": np.ones_like,
        },
        options={"maxiter": 500, "ftol": 1e-12},
    )
    strength = np.maximum(found.x, 0.0)
    return strength / strength.sum() if exactly_one else strength
