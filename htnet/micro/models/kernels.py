"""What the classical models reckon with: kernels of flow maps, and answers from them.

Every map is brought to a common scale by itself, so that a kernel value depends on its two clips
alone: nothing is learned from other clips, and one matrix serves all folds.

Kernel ridge regression is done leave-one-subject-out without fitting once per subject. With K the
kernel of all clips and H = K (K + λI)⁻¹, the residuals of the clips T of a subject who was left out
are (I - H)_TT⁻¹ ((I - H) Y)_T: the model without T is known from the model with T (for single rows:
Cook and Weisberg 1982; the block form follows from the inverse of a block matrix). The same holds
when two subjects are left out, which gives the answers to every inner subject of every fold, for
choosing settings without the held-out subject.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
_TINY = 1e-12
_LEAST = 1e-6


def standardised(maps: NDArray[np.float32]) -> Values:
    """Return each channel of each map less its mean, divided by its standard deviation.

    `(n, H, W, c)` in and out; a channel that is constant becomes 0.
    """
    values = maps.astype(np.float64)
    values -= values.mean(axis=(1, 2), keepdims=True)
    values /= np.maximum(values.std(axis=(1, 2), keepdims=True), _TINY)
    return values


def correlations(maps: Values) -> Values:
    """Return `(n, n)` mean products of the values of two standardised maps: their correlation."""
    rows = maps.reshape(len(maps), -1)
    return rows @ rows.T / rows.shape[1]


def rbf(maps: Values, other: Values | None = None, *, width: float = 1.0) -> Values:
    """Return the Gaussian kernel exp(-width d²/2), d² in units of the mean square length of a map.

    For standardised maps this is exp(-width (1 - r)) with r the correlation of pixels: two maps
    that have nothing in common are at exp(-width): the larger, the more local. Without `other` it
    is the kernel of the maps `(n, H, W, c)` among themselves.
    """
    a = maps.reshape(len(maps), -1)
    b = a if other is None else other.reshape(len(other), -1)
    lengths_a, lengths_b = np.sum(a**2, axis=1), np.sum(b**2, axis=1)
    squares = lengths_a[:, None] + lengths_b[None, :] - 2.0 * (a @ b.T)
    size = max(float(lengths_a.mean()), _TINY)
    return np.exp(-width * np.maximum(squares, 0.0) / (2.0 * size))


def held_out_answers(
    kernel: Values, targets: Values, *, fold: NDArray[np.int64], penalty: float
) -> Values:
    """Answer each clip by the model of all other subjects' clips: `(n, k)`.

    It equals fitting without each subject in turn. The kernel is `(n, n)`, with a constant added
    for an intercept; the targets are `(n, k)`, `fold` numbers the clips' subjects from 0, and the
    penalty is λ.
    """
    complement = _complement(kernel, penalty)
    residuals = complement @ targets
    answers = np.empty_like(targets)
    for s in range(int(fold.max()) + 1):
        rows = np.flatnonzero(fold == s)
        answers[rows] = _left_out(complement, residuals, targets, rows)
    return answers


def inner_answers(
    kernel: Values, targets: Values, *, fold: NDArray[np.int64], penalty: float
) -> Values:
    """Answer, for every held-out subject, the clips of all others, each left out as well.

    Of `(folds, n, k)`, `[s, rows of t]` comes from a model that has seen neither s nor t: it may
    choose settings for fold s. `[s, rows of s]` is the answer of fold s itself. Parameters as for
    `held_out_answers`.
    """
    complement = _complement(kernel, penalty)
    residuals = complement @ targets
    folds = int(fold.max()) + 1
    rows_of = [np.flatnonzero(fold == s) for s in range(folds)]
    answers = np.empty((folds, *targets.shape))
    for s in range(folds):
        own = rows_of[s]
        answers[s, own] = _left_out(complement, residuals, targets, own)
        for t in range(s + 1, folds):
            both = np.concatenate([own, rows_of[t]])
            out = _left_out(complement, residuals, targets, both)
            answers[t, own], answers[s, rows_of[t]] = out[: len(own)], out[len(own) :]
    return answers


def _complement(kernel: Values, penalty: float) -> Values:
    """Return I - H = λ (K + λI)⁻¹."""
    return np.asarray(penalty * np.linalg.inv(kernel + penalty * np.eye(len(kernel))))


def _left_out(
    complement: Values, residuals: Values, targets: Values, rows: NDArray[np.int64]
) -> Values:
    block = complement[np.ix_(rows, rows)]
    return targets[rows] - np.linalg.solve(block, residuals[rows])


def training_shares(label: NDArray[np.int64], fold: NDArray[np.int64], *, k: int) -> Values:
    """Return `(folds, k)`: the share of each class among the clips of a fold's training subjects.

    A class that the training subjects do not show counts as one clip, so that it can be divided
    by.
    """
    folds = int(fold.max()) + 1
    own = np.zeros((folds, k))
    np.add.at(own, (fold, label), 1.0)
    training = np.maximum(own.sum(axis=0) - own, 1.0)
    return training / training.sum(axis=1, keepdims=True)


def balanced(values: Values, shares: Values, *, strength: float) -> Values:
    """Return probabilities: values divided by their class's share to the power of `strength`.

    UF1 and UAR count every class alike, however rare. Regression on class membership and
    unweighted models lean towards the frequent class; a strength of 1 undoes that wholly, 0 not
    at all. `values` are `(..., k)`; what is not positive counts as next to nothing.
    """
    weighed = np.maximum(values, _LEAST) / shares**strength
    return weighed / weighed.sum(axis=-1, keepdims=True)
