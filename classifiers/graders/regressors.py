"""Graders that answer with a number and that scikit-learn and XGBoost do not offer ready-made."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from sklearn.utils.validation import check_is_fitted, validate_data
from xgboost import XGBRegressor

from classifiers.graders.estimators import TreesAsBytes
from common.arrays import Floats

MOST_ROWS = 1000  # that a Gaussian process learns from; its time grows with their third power


def of_scaled_scores(regressor: BaseEstimator) -> TransformedTargetRegressor:
    """Return a regressor that sees scores of mean 0 and spread 1, so that options fit any scale."""
    return TransformedTargetRegressor(regressor, transformer=StandardScaler())


def support_vectors() -> TransformedTargetRegressor:
    """Support vector regression with a radial kernel; misses up to a tenth of the spread are free.

    Options `regressor__C`, `regressor__gamma`.
    """
    return of_scaled_scores(SVR(epsilon=0.1))


def small_network(seed: int) -> TransformedTargetRegressor:
    """One hidden layer of 32 units with weight decay `regressor__alpha`, trained by L-BFGS."""
    network = MLPRegressor(
        hidden_layer_sizes=(32,), activation="tanh", solver="lbfgs", alpha=3.0, max_iter=1000,
        tol=1e-3, random_state=seed,
    )  # fmt: skip
    return of_scaled_scores(network)


class XGBoostRegressor(TreesAsBytes, RegressorMixin, BaseEstimator):
    """Gradient-boosted trees; options of `xgboost.XGBRegressor`."""

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on `(n, k)` features and `(n,)` scores."""
        values, scores = validate_data(self, X, y, dtype=np.float64, ensure_all_finite="allow-nan")
        self.trees_ = self._trees().fit(values, scores)
        return self

    def predict(self, X: Any) -> Floats:
        """Return `(n,)` scores."""
        check_is_fitted(self)
        values = validate_data(
            self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False
        )
        return self.trees_.predict(values).astype(np.float64)

    def _trees(self) -> XGBRegressor:
        return XGBRegressor(**self.get_params(), tree_method="hist", n_jobs=1, verbosity=0)


class GaussianProcess(GaussianProcessRegressor):
    """A smooth function of all columns with noise; size, smoothness and noise are learned.

    Of more than `MOST_ROWS` rows, it learns from so many drawn at random.
    """

    def __init__(self, *, random_state: int = 0) -> None:
        super().__init__(
            ConstantKernel(1.0) * RBF(5.0) + WhiteKernel(0.3),
            normalize_y=True,
            random_state=random_state,
        )

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on `(n, k)` features and `(n,)` scores."""
        values, scores = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if len(values) > MOST_ROWS:
            rng = np.random.default_rng(self.random_state)
            kept = np.sort(rng.choice(len(values), size=MOST_ROWS, replace=False))
            values, scores = values[kept], scores[kept]
        with warnings.catch_warnings():  # a bound that is reached: a process without noise, or flat
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(values, scores)
        return self


class PatientAverage(RegressorMixin, BaseEstimator):
    """Baseline: the mean or median of the training patients' scores, whatever the features.

    Each patient counts once, with the mean of their rows.
    """

    def __init__(self, *, how: Literal["mean", "median"] = "median") -> None:
        self.how = how

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Learn from `(n,)` scores; `groups` is the patient of each row."""
        scores = pd.Series(np.asarray(y, dtype=np.float64))
        patients = scores.index if groups is None else np.asarray(groups)
        self.average_ = float(scores.groupby(patients).mean().agg(self.how))
        return self

    def predict(self, X: Any) -> Floats:
        """Return the same number for each row."""
        check_is_fitted(self)
        return np.full(len(X), self.average_)
