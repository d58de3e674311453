"""95 % intervals by resampling patients, so that eight photographs of a face count as one face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm

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
    """Score all patients, and give the 95 % interval over patients.

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
        The limits are percentiles of the bootstrap. For a proportion, percentiles are too narrow
        near 0 and 1; there the bootstrap only gives the number of independent patients that would
        be as uncertain (Korn and Graubard 1998), and the limits are Wilson's (1927) for that many.
        When all answers are right, or none, they are those of Clopper and Pearson (1934).
    """
    value = float(score.of(counts.sum(axis=0)))
    resampled = score.of(_resampled(counts, weights=weights))
    if not score.proportion or not np.isfinite(value):
        return interval(value, resampled)
    variance = float(np.nanvar(resampled))
    if variance < 1e-15:
        return Estimate(value, *exact_limits(value, n=len(counts)))
    return Estimate(value, *wilson_limits(value, n=value * (1.0 - value) / variance))


def interval(value: float, resampled: Values) -> Estimate:
    """Return `value` with the 2.5 % and 97.5 % quantiles of its resampled values."""
    defined = resampled[~np.isnan(resampled)]
    if not len(defined):
        return Estimate(value, float("nan"), float("nan"))
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return Estimate(value, float(low), float(high))


def wilson_limits(proportion: float, *, n: float) -> tuple[float, float]:
    """Return Wilson's score limits of a proportion seen in `n` independent patients."""
    z2 = float(norm.ppf((1.0 + LEVEL) / 2.0)) ** 2
    middle = (proportion + z2 / (2 * n)) / (1 + z2 / n)
    reach = np.sqrt(z2 * proportion * (1 - proportion) / n + (z2 / (2 * n)) ** 2) / (1 + z2 / n)
    return float(max(0.0, middle - reach)), float(min(1.0, middle + reach))


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
