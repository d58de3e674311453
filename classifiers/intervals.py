"""95 % intervals of a grader's scores by resampling patients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from classifiers.scores import Score
from common.bootstrap import (
    Estimate,
    exact_limits,
    interval,
    resampled_counts,
    wilson_limits,
)
from common.class_scores import Counts


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
    resampled = score.of(resampled_counts(counts, weights=weights))
    if not score.proportion or not np.isfinite(value):
        return interval(value, resampled)
    variance = float(np.nanvar(resampled))
    if variance < 1e-15:
        return Estimate(value, *exact_limits(value, n=len(counts)))
    return Estimate(value, *wilson_limits(value, n=value * (1.0 - value) / variance))
