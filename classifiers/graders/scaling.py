"""What happens to the features before a grader sees them, learned inside the training fold."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
from scipy.optimize import fminbound
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    StandardScaler,
)
from sklearn.utils.validation import check_is_fitted, validate_data

from common.arrays import Floats

ScalerName = Literal["standard", "min_max", "power", "box_cox", "quantile"]


class ConstantToZero(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Set to 0 the features that never varied in the training fold.

    A feature that is constant where the grader learned says nothing, and dividing by its spread
    would turn a small change in the test fold into a huge number.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn which features vary."""
        values = validate_data(self, X, dtype=np.float64)
        spread = np.ptp(values, axis=0)
        self.varies_ = spread > 1e-12 * np.maximum(1.0, np.abs(values).max(axis=0))
        return self

    def transform(self, X: Any) -> Floats:
        """Return the features with the constant ones at 0."""
        check_is_fitted(self)
        values = validate_data(self, X, dtype=np.float64, reset=False)
        return np.where(self.varies_, values, 0.0)


class RankScaler(QuantileTransformer):
    """Quantile transformer to a normal distribution that copes with few rows without a warning."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the quantiles, at most one for each row."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="n_quantiles .* is greater than")
            super().fit(X, y)
        return self


class YeoJohnsonScaler(PowerTransformer):
    """scikit-learn's Yeo-Johnson transformer: the same powers, found in a small part of the time.

    SciPy checks its input anew at each of some twenty steps of the search for a power; with a few
    dozen patients that takes far longer than the step itself.
    """

    def _yeo_johnson_optimize(self, x: Floats) -> float:
        return most_likely_power(x[~np.isnan(x)])


def most_likely_power(values: Floats) -> float:
    """Return the Yeo-Johnson power of the greatest likelihood, to the last bit as SciPy finds it.

    Of `(n,)` finite values. Searched as in `scipy.stats.yeojohnson_normmax`: among the powers with
    which values up to 20 times the largest one, and their variance, are still floating-point
    numbers.
    """
    if not values.any():
        return 1.0
    above = values >= 0
    logs_above, logs_below = np.log1p(values[above]), np.log1p(-values[~above])
    slope = np.sum(np.sign(values) * np.log1p(np.abs(values)))
    transformed = np.empty_like(values)
    floats = np.finfo(np.float64)

    def cost(power: float) -> float:
        for rows, logs, exponent, sign in (
            (above, logs_above, power, 1.0), (~above, logs_below, 2 - power, -1.0),
        ):  # fmt: skip
            near_zero = abs(exponent) < floats.eps
            transformed[rows] = sign * (logs if near_zero else np.expm1(exponent * logs) / exponent)
        variance = np.var(transformed)
        if variance < floats.smallest_normal:
            return np.inf
        return float(len(values) / 2 * np.log(variance) - (power - 1) * slope)

    furthest = np.log1p(20 * np.abs(values).max())
    low = (np.log(floats.tiny) - np.log(floats.eps)) / 2 / furthest
    high = (np.log(floats.max) + np.log(floats.eps)) / 2 / furthest
    if not above.any():
        low, high = 2 - high, 2 - low
    elif not above.all():
        low, high = max(2 - high, low), min(2 - low, high)
    return float(fminbound(cost, low, high, xtol=1.48e-8))


class BoxCoxScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Box-Cox (1964) for the features that are positive in all training rows, else Yeo-Johnson.

    Box-Cox is a power of a positive number and has no meaning for others. A tested value of a
    Box-Cox feature that is not positive is taken as the smallest one of the training rows.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn which features are positive, and the powers of all."""
        values = validate_data(self, X, dtype=np.float64)
        self.positive_ = (values > 0).all(axis=0)
        self.smallest_ = values.min(axis=0)
        self.box_cox_ = PowerTransformer(method="box-cox")
        self.yeo_johnson_ = YeoJohnsonScaler()
        if self.positive_.any():
            self.box_cox_.fit(values[:, self.positive_])
        if not self.positive_.all():
            self.yeo_johnson_.fit(values[:, ~self.positive_])
        return self

    def transform(self, X: Any) -> Floats:
        """Return the transformed features, each with mean 0 and spread 1 in training."""
        check_is_fitted(self)
        values = validate_data(self, X, dtype=np.float64, reset=False)
        made = np.empty_like(values)
        positive = self.positive_
        if positive.any():
            own = values[:, positive]
            own = np.where(own > 0, own, self.smallest_[positive])
            made[:, positive] = self.box_cox_.transform(own)
        if not positive.all():
            made[:, ~positive] = self.yeo_johnson_.transform(values[:, ~positive])
        return made


SCALERS: dict[str, Callable[[], BaseEstimator]] = {
    "standard": StandardScaler,
    "min_max": lambda: MinMaxScaler(clip=True),
    "power": YeoJohnsonScaler,
    "box_cox": BoxCoxScaler,
    "quantile": lambda: RankScaler(n_quantiles=100, output_distribution="normal"),
}
_WORDS = {
    "power": "power (Yeo-Johnson)",
    "box_cox": "box_cox (Box-Cox where a feature is positive throughout, else Yeo-Johnson)",
}


def scaler_in_words(scaler: ScalerName) -> str:
    """Return the name of a scaler with the transform behind it, for reports."""
    return _WORDS.get(scaler, scaler)


def preparation(scaler: ScalerName) -> Pipeline:
    """Return the steps before the grader: fill by the median, silence constants, scale.

    Missing values are filled with the median of the training fold only for the grader's own use;
    the tables keep them missing. A feature missing in every training row becomes 0.
    """
    return Pipeline(
        [
            ("fill", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("constant", ConstantToZero()),
            ("scale", SCALERS[scaler]()),
        ]
    )


def scaler_notes(steps: Pipeline) -> list[str]:
    """Say that a fitted Box-Cox scaler had to leave features to Yeo-Johnson.

    In words and not in numbers, which differ a little from fold to fold.
    """
    scale = steps.named_steps["scale"]
    if not isinstance(scale, BoxCoxScaler) or scale.positive_.all():
        return []
    share = "most" if (~scale.positive_).mean() > 0.5 else "some"
    return [
        f"Yeo-Johnson in place of Box-Cox for {share} features, which are not positive in all "
        "training rows"
    ]
