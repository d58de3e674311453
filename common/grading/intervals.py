"""95 % intervals of a grader's scores by resampling patients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.bootstrap import (
    Estimate,
    exact_limits,
    interval,
    resampled_counts,
    wilson_limits,
)
from common.grading.class_scores import Counts, Values
from common.grading.scores import Score


def limits_of_agreement(sums: NDArray[np.float64]) -> tuple[Values, Values, Values]:
    """Return bias, lower and upper limit of agreement (Bland and Altman 1986).

    Between the limits lie 95 % of differences, if they are normal: bias ± 1.96 standard deviations
    with n − 1 below the root.

    Parameters
    ----------
    sums
        `(..., 3)`: sum of the differences, of their squares, and how many they are.

    Returns
    -------
    Three arrays `(...)`.
    """
    n = sums[..., 2]
    bias = sums[..., 0] / n
    variance = np.maximum(sums[..., 1] / n - bias**2, 0.0) * n / np.maximum(n - 1, 1)
    reach = 1.96 * np.sqrt(variance)
    return bias, bias - reach, bias + reach


def estimate(score: Score, counts: Counts, *, weights: NDArray[np.float64]) -> Estimate:
    """Score all patients, and give the 95 % interval over patients.

    Parameters
    ----------
    score
        From `common.grading.scores.SCORES`.
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
    resampled = score.of(resampled_counts(counts, weights=weights))
    if not score.proportion or not np.isfinite(value):
        return interval(value, resampled)
    variance = float(np.nanvar(resampled))
    if variance < 1e-15:
        return Estimate(value, *exact_limits(value, n=len(counts)))
    return Estimate(value, *wilson_limits(value, n=value * (1.0 - value) / variance))
