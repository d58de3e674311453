"""Graders that know that grades are ordered: one direction with learned thresholds, and Frank-Hall.

Both answer with probabilities of single classes; being wrong by three grades costs them more than
being wrong by one, which an ordinary classifier cannot see.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from classifiers.graders.estimators import GradeClassifier, balanced_weights
from common.arrays import Floats, Ints, Names

Loss = Literal["cumulative", "all_threshold"]


class OrdinalLogistic(GradeClassifier):
    """Ordinal logistic regression: one score for each row, cut into classes by learned thresholds.

    The chance of lying above threshold j is `expit(x @ coef_ - thresholds_[j])`; the thresholds `(k
    - 1,)` increase. `alpha` is the ridge penalty on the coefficients, relative to the mean loss of
    a row. `loss` is `cumulative`, maximum likelihood of the proportional-odds model (McCullagh
    1980), or `all_threshold`: every threshold is a logistic regression of its own on the shared
    score (Rennie and Srebro 2005), less swayed by single far rows.
    """

    def __init__(
        self, *, alpha: float = 0.01, loss: Loss = "cumulative", max_iter: int = 1000
    ) -> None:
        self.alpha = alpha
        self.loss = loss
        self.max_iter = max_iter

    def __sklearn_tags__(self) -> Any:
        """Say that classes in no order are not ours: the standard checks test with such."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags

    def _learn(self, values: Floats, encoded: Ints, patients: Names) -> None:
        cuts = len(self.classes_) - 1
        weights = balanced_weights(encoded)
        weights = weights / weights.sum()
        start = np.concatenate([np.zeros(values.shape[1]), [-np.log(cuts)], np.zeros(cuts - 1)])
        objective = _cumulative_loss if self.loss == "cumulative" else _all_threshold_loss

        def penalised(parameters: Floats) -> tuple[float, Floats]:
            coef, thresholds, slope = _unpack(parameters, n_features=values.shape[1])
            loss, by_score, by_threshold = objective(
                values @ coef, thresholds, encoded=encoded, weights=weights
            )
            gradient = np.concatenate(
                [values.T @ by_score + self.alpha * coef, by_threshold @ slope]
            )
            return loss + 0.5 * self.alpha * float(coef @ coef), gradient

        found = minimize(
            penalised, start, jac=True, method="L-BFGS-B", options={"maxiter": self.max_iter}
        )
        self.n_iter_ = max(1, int(found.nit))
        self.coef_, self.thresholds_, _ = _unpack(found.x, n_features=values.shape[1])

    def _chances(self, values: Floats) -> Floats:
        return chances_from_above(expit((values @ self.coef_)[:, None] - self.thresholds_))


class FrankHall(GradeClassifier):
    """Ordinal answers from any classifier (Frank and Hall 2001).

    One copy of the classifier learns whether the grade lies above each threshold; differences of
    neighbouring answers are the chances of the grades. Answers that would make a higher threshold
    likelier than a lower one are levelled first, from both ends alike. Both sides of a threshold
    weigh alike. `estimator` is a classifier with `predict_proba` whose `fit` takes `sample_weight`;
    logistic regression when None.
    """

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator

    def _learn(self, values: Floats, encoded: Ints, patients: Names) -> None:
        base = LogisticRegression() if self.estimator is None else self.estimator
        above = [(encoded > cut).astype(np.int64) for cut in range(len(self.classes_) - 1)]
        self.steps_ = [
            clone(base).fit(values, step, sample_weight=balanced_weights(step)) for step in above
        ]

    def _chances(self, values: Floats) -> Floats:
        above = np.column_stack([step.predict_proba(values)[:, 1] for step in self.steps_])
        return chances_from_above(above)


def chances_from_above(above: Floats) -> Floats:
    """Turn `(n, k-1)` chances of lying above each threshold into `(n, k)` chances of each class."""
    inside = np.clip(above, 0.0, 1.0)
    from_below = np.minimum.accumulate(inside, axis=1)
    from_above = np.maximum.accumulate(inside[:, ::-1], axis=1)[:, ::-1]
    falling = (from_below + from_above) / 2.0
    edges = np.column_stack([np.ones(len(above)), falling, np.zeros(len(above))])
    return edges[:, :-1] - edges[:, 1:]


def _unpack(parameters: Floats, *, n_features: int) -> tuple[Floats, Floats, Floats]:
    """Return coefficients, increasing thresholds, and the thresholds' derivative.

    The free parameters are the first threshold and the logarithms of the steps between them.
    """
    coef, free = parameters[:n_features], parameters[n_features:]
    steps = np.exp(np.clip(free[1:], -30.0, 30.0))
    thresholds = free[0] + np.concatenate([[0.0], np.cumsum(steps)])
    slope = np.tril(np.ones((len(free), len(free)))) * np.concatenate([[1.0], steps])
    return coef, thresholds, slope


def _cumulative_loss(
    scores: Floats, thresholds: Floats, *, encoded: Ints, weights: Floats
) -> tuple[float, Floats, Floats]:
    """Return the weighted negative log-likelihood and its derivatives by score and threshold."""
    edges = np.concatenate([[-np.inf], thresholds, [np.inf]])
    low, high = edges[encoded] - scores, edges[encoded + 1] - scores
    below_high, below_low = expit(high), expit(low)
    chance = np.maximum(below_high - below_low, 1e-12)
    slope_high, slope_low = below_high * (1 - below_high), below_low * (1 - below_low)
    by_score = weights * (slope_high - slope_low) / chance
    by_edge = np.zeros(len(edges))
    np.add.at(by_edge, encoded + 1, -weights * slope_high / chance)
    np.add.at(by_edge, encoded, weights * slope_low / chance)
    return float(-(weights * np.log(chance)).sum()), by_score, by_edge[1:-1]


def _all_threshold_loss(
    scores: Floats, thresholds: Floats, *, encoded: Ints, weights: Floats
) -> tuple[float, Floats, Floats]:
    """Return the weighted sum over thresholds of logistic losses, and its derivatives."""
    sign = np.where(encoded[:, None] > np.arange(len(thresholds)), 1.0, -1.0)
    margin = sign * (scores[:, None] - thresholds)
    by_margin = -weights[:, None] * sign * expit(-margin)
    loss = float(-(weights[:, None] * log_expit(margin)).sum())
    return loss, by_margin.sum(axis=1), -by_margin.sum(axis=0)
