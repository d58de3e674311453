"""From a model's raw values to probabilities, with the rarity of classes weighed in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
_LEAST = 1e-6


def training_shares(
    label: NDArray[np.int64], fold: NDArray[np.int64], *, k: int
) -> NDArray[np.float64]:
    """Return `(folds, k)`: the share of each class among the clips of a fold's training subjects.

    A class that the training subjects do not show counts as one clip, so that it can be divided
    by.
    """
    folds = int(fold.max()) + 1
    own = np.zeros((folds, k))
    np.add.at(own, (fold, label), 1.0)
    training = np.maximum(own.sum(axis=0) - own, 1.0)
    shares: NDArray[np.float64] = training / training.sum(axis=1, keepdims=True)
    return shares


def balanced(values: Values, shares: NDArray[np.float64], *, strength: float) -> Values:
    """Return probabilities: values divided by their class's share to the power of `strength`.

    UF1 and UAR count every class alike, however rare. Regression on class membership and
    unweighted models lean towards the frequent class; a strength of 1 undoes that wholly, 0 not
    at all.

    Parameters
    ----------
    values
        `(..., k)`; what is not positive counts as next to nothing.
    shares
        `(..., k)`, from `training_shares`.
    """
    weighed = np.maximum(values, _LEAST) / shares**strength
    probabilities: Values = weighed / weighed.sum(axis=-1, keepdims=True)
    return probabilities


def softmax(values: Values) -> Values:
    """Return exp(values) over their sum along the last axis."""
    raised = np.exp(values - values.max(axis=-1, keepdims=True))
    probabilities: Values = raised / raised.sum(axis=-1, keepdims=True)
    return probabilities
