"""95 % intervals by resampling patients, so that eight photographs of a face count as one face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from classifiers.scores import Counts, Score, Values

LEVEL = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A score with the limits of its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"

    def as_json(self) -> dict[str, float | None]:
        """Return the three numbers for `metrics.json`, null where not defined."""
        return {
            name: None if np.isnan(number) else round(number, 6)
            for name, number in (("value", self.value), ("low", self.low), ("high", self.high))
        }


def resampling_weights(
    n_patients: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Return `(resamples, n_patients)`: how often each patient is drawn in each resample.

    The same number of patients, resamples and seed give the same draws, so that two models are
    compared on the same resampled patients.
    """
    rng = np.random.default_rng(seed)
    even = np.full(n_patients, 1.0 / n_patients)
    return rng.multinomial(n_patients, even, size=resamples).astype(np.float64)


def estimate(score: Score, counts: Counts, *, weights: NDArray[np.float64]) -> Estimate:
    """Score all patients, and give the percentile bootstrap interval over patients.

    Parameters
    ----------
    score
        From `classifiers.scores.SCORES`.
    counts
        `(n_patients, k, k)` confusion counts of each patient.
    weights
        `(resamples, n_patients)` from `resampling_weights`.

    Returns
    -------
    Estimate
        When a proportion is the same in every resample (all right, or none), resampling cannot
        show how uncertain it is; the limits are then those of Clopper and Pearson (1934) for that
        many patients.
    """
    found = interval(
        float(score.of(counts.sum(axis=0))), score.of(_resampled(counts, weights=weights))
    )
    if score.proportion and found.low == found.high:
        low, high = exact_limits(found.value, n=len(counts))
        return Estimate(found.value, low, high)
    return found


def interval(value: float, resampled: Values) -> Estimate:
    """Return `value` with the 2.5 % and 97.5 % quantiles of its resampled values."""
    defined = resampled[~np.isnan(resampled)]
    if not len(defined):
        return Estimate(value, float("nan"), float("nan"))
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return Estimate(value, float(low), float(high))


def exact_limits(proportion: float, *, n: int) -> tuple[float, float]:
    """Return the Clopper-Pearson limits of a proportion seen in `n` patients."""
    hits = proportion * n
    tail = (1.0 - LEVEL) / 2.0
    low = 0.0 if hits <= 0 else float(beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits >= n else float(beta.ppf(1.0 - tail, hits + 1, n - hits))
    return low, high


def _resampled(counts: Counts, *, weights: NDArray[np.float64]) -> Counts:
    """Sum the patients' counts over each resample: `(resamples, k, k)`."""
    n, k, _ = counts.shape
    return (weights @ counts.reshape(n, k * k)).reshape(-1, k, k)
