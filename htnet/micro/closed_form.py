"""Kernel ridge regression, leave-one-subject-out, without fitting once per subject.

With K the kernel of all clips and H = K (K + λI)⁻¹, the residuals of the clips T of a subject who
was left out are (I - H)_TT⁻¹ ((I - H) Y)_T: the model without T is known from the model with T
(for single rows: Cook and Weisberg 1982; the block form follows from the inverse of a block
matrix). The same holds when two subjects are left out, which gives the answers to every inner
subject of every fold, for choosing settings without the held-out subject.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Answers = NDArray[np.float64]


def held_out_answers(
    kernel: NDArray[np.float64],
    targets: NDArray[np.float64],
    *,
    fold: NDArray[np.int64],
    penalty: float,
) -> Answers:
    """Answer each clip by the model of all other subjects' clips.

    Parameters
    ----------
    kernel
        `(n, n)`, positive semi-definite; add a constant to it for an intercept.
    targets
        `(n, k)`.
    fold
        `(n,)` number of each clip's subject, from 0.
    penalty
        λ, above 0.

    Returns
    -------
    Answers
        `(n, k)`, equal to fitting without each subject in turn.
    """
    complement = _complement(kernel, penalty)
    residuals = complement @ targets
    answers = np.empty_like(targets)
    for s in range(int(fold.max()) + 1):
        rows = np.flatnonzero(fold == s)
        answers[rows] = _left_out(complement, residuals, targets, rows)
    return answers


def inner_answers(
    kernel: NDArray[np.float64],
    targets: NDArray[np.float64],
    *,
    fold: NDArray[np.int64],
    penalty: float,
) -> Answers:
    """Answer, for every held-out subject, the clips of all others, each left out as well.

    Parameters
    ----------
    kernel, targets, fold, penalty
        As for `held_out_answers`.

    Returns
    -------
    Answers
        `(folds, n, k)`. `[s, rows of t]` comes from a model that has seen neither s nor t: it may
        choose settings for fold s. `[s, rows of s]` is the answer of fold s itself.
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


def _complement(kernel: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Return I - H = λ (K + λI)⁻¹."""
    shifted = kernel + penalty * np.eye(len(kernel))
    return np.asarray(penalty * np.linalg.inv(shifted), dtype=np.float64)


def _left_out(
    complement: NDArray[np.float64],
    residuals: NDArray[np.float64],
    targets: NDArray[np.float64],
    rows: NDArray[np.int64],
) -> Answers:
    block = complement[np.ix_(rows, rows)]
    answers: Answers = targets[rows] - np.linalg.solve(block, residuals[rows])
    return answers
