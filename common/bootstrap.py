"""95 % intervals by resampling people, so that eight photographs of a face count as one face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandera.pandas as pa
from scipy.stats import beta, norm

from common.arrays import Floats, Places
from common.tables import number

LEVEL = 0.95
RESAMPLES = 2000
LIMITS = ("", "_low", "_high")
"""Behind the name of a score in a table: of its value and of the ends of its interval."""
INTERVALS = f"{100 * LEVEL:.0f} %, patients resampled {RESAMPLES} times"  # in `metrics.json`


@dataclass(frozen=True)
class Estimate:
    """A score with the limits of its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"

    @classmethod
    def of_row(cls, row: Any, name: str) -> Estimate:
        """Read an estimate from a row of a table with `name`, `name_low` and `name_high`."""
        return cls(*(float(row[f"{name}{limit}"]) for limit in LIMITS))

    def cells(self, name: str) -> dict[str, float]:
        """Return the three numbers as a row of a table has them."""
        values = (self.value, self.low, self.high)
        return {f"{name}{limit}": value for limit, value in zip(LIMITS, values, strict=True)}

    def as_json(self) -> dict[str, float | None]:
        """Return the three numbers for `metrics.json`, null where not defined."""
        return {
            name: None if np.isnan(number) else round(number, 6)
            for name, number in (("value", self.value), ("low", self.low), ("high", self.high))
        }


def estimates(*names: str) -> dict[str, pa.Column]:
    """Columns of scores with the ends of their intervals, `name`, `name_low` and `name_high`."""
    return {f"{name}{limit}": number() for name in names for limit in LIMITS}


@lru_cache(maxsize=4)
def resampling_weights(n_patients: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Return `(resamples, n_patients)`: how often each patient is drawn in each resample.

    The same number of patients, resamples and seed give the same draws, so that two models are
    compared on the same resampled patients.
    """
    rng = np.random.default_rng(seed)
    even = np.full(n_patients, 1.0 / n_patients)
    drawn = rng.multinomial(n_patients, even, size=resamples).astype(np.float64)
    drawn.setflags(write=False)  # everybody gets the same array
    return drawn


def interval(value: float, resampled: Floats) -> Estimate:
    """Return `value` with the 2.5 % and 97.5 % quantiles of its resampled values."""
    defined = resampled[~np.isnan(resampled)]
    if not len(defined):
        return Estimate(value, float("nan"), float("nan"))
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return Estimate(value, float(low), float(high))


def proportion_interval(value: float, resampled: Floats, *, n: int) -> Estimate:
    """Return a share of `n` people's answers with limits that also hold near 0 and 1.

    There percentiles are too narrow: the bootstrap only gives the number of independent people
    that would be as uncertain (Korn and Graubard 1998), and the limits are Wilson's (1927) for
    that many. When all answers are right, or none, they are those of Clopper and Pearson (1934).
    """
    if not np.isfinite(value):
        return interval(value, resampled)
    variance = float(np.nanvar(resampled))
    if variance < 1e-15:
        return Estimate(value, *exact_limits(value, n=n))
    return Estimate(value, *wilson_limits(value, n=value * (1.0 - value) / variance))


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


def summed_by(values: Floats, at: Places, *, n: int) -> Floats:
    """Sum rows `(rows, ...)` over the person `at` which each belongs: `(n, ...)`."""
    total = np.zeros((n, *values.shape[1:]))
    np.add.at(total, at, values)
    return total


def resampled_counts(counts: Floats, *, weights: Floats) -> Floats:
    """Sum the people's counts `(n_people, ...)` over each resample: `(resamples, ...)`."""
    return (weights @ counts.reshape(len(counts), -1)).reshape(-1, *counts.shape[1:])


def paired_difference(
    of: Callable[[Floats], Floats], first: Floats, second: Floats, *, weights: Floats
) -> tuple[Estimate, Floats]:
    """Return first minus second of a score with its interval, and the resampled differences.

    `of` makes of sums over people `(..., m)` or `(..., k, k)` values `(...)`; `first` and `second`
    are what each model has of every person, `(n_people, ...)`, resampled alike by `weights`
    `(resamples, n_people)`.
    """
    found = float(of(first.sum(axis=0)) - of(second.sum(axis=0)))
    drawn = of(resampled_counts(first, weights=weights)) - of(
        resampled_counts(second, weights=weights)
    )
    return interval(found, drawn), drawn
