"""Scores of answers in classes, computed from confusion counts.

Every function takes counts `(..., k, k)` (true class in rows, answer in columns) and returns
`(...)`, so that a thousand bootstrap resamples are scored at once. Classes that do not occur
among the truths are left out of per-class means.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]
Values = NDArray[np.float64]


def confusion_counts(truth: NDArray[np.int64], predicted: NDArray[np.int64], *, k: int) -> Counts:
    """Return `(k, k)` counts of answers `(n,)` in 0..k-1, true class in rows."""
    flat = np.bincount(truth * k + predicted, minlength=k * k)
    return flat.reshape(k, k).astype(np.float64)


def accuracy(counts: Counts) -> Values:
    """Share of exact answers, 0 to 1."""
    return ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def recalls(counts: Counts) -> Values:
    """Share of exact answers within each true class, `(..., k)`; NaN for an absent class."""
    return ratio(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1))


def balanced_accuracy(counts: Counts) -> Values:
    """Mean of the recalls: every class counts alike, however rare; chance is 1/k."""
    return mean_of_present(recalls(counts))


def macro_f1(counts: Counts) -> Values:
    """Mean over classes of the harmonic mean of precision and recall.

    A class that neither occurs nor is answered is left out, as in scikit-learn without `labels`.
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return mean_of_present(ratio(2 * hits, counts.sum(axis=-1) + counts.sum(axis=-2)))


def weighted_f1(counts: Counts) -> Values:
    """F1 of each class, then the mean weighted by how often the class is the reference."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    of_class = counts.sum(axis=-1)
    each = np.nan_to_num(ratio(2 * hits, of_class + counts.sum(axis=-2)))
    return ratio((each * of_class).sum(axis=-1), of_class.sum(axis=-1))


def ratio(above: Values, below: Values) -> Values:
    """Quotient that is NaN, without a warning, where there is nothing to divide by."""
    out = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    quotient: Values = np.divide(above, below, out=out, where=below > 0)
    return quotient


def mean_of_present(values: Values) -> Values:
    """Mean over the last axis of what is not NaN; NaN where nothing is."""
    present = ~np.isnan(values)
    return ratio(np.where(present, values, 0.0).sum(axis=-1), present.sum(axis=-1, dtype=float))
