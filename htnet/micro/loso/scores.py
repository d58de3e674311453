"""UF1 and UAR of micro-expression answers, with intervals over subjects.

The clips of all folds are pooled before anything is scored: a third of the subjects of the
composite have clips of one class only, and a mean of their own scores would mean nothing. UF1 is
the mean over classes of F1_c = 2 TP_c / (2 TP_c + FP_c + FN_c), UAR the mean over classes of
TP_c / n_c (See et al. 2019, FG, doi 10.1109/FG.2019.8756611). The definition supposes that every
class occurs. Where one does not, in a dataset or in a resample, TP_c / n_c has no value and is left
out of UAR; F1_c is 0 when the class was answered (every such answer is wrong), and is left out when
it was not answered either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.bootstrap import (
    RESAMPLES,
    Estimate,
    interval,
    resampled_counts,
    resampling_weights,
)
from common.grading.scores import (
    Counts,
    balanced_accuracy,
    confusion_counts,
    macro_f1,
    weighted_f1,
)
from htnet.micro.clips.maps import FlowMaps

uf1 = macro_f1
uar = balanced_accuracy


@dataclass(frozen=True)
class Scores:
    """UF1 and UAR of one set of answers, with 95 % intervals, and the pooled counts.

    Attributes
    ----------
    uf1, uar, weighted_f1
        0 to 1, with limits from resampling whole subjects. In the weighted F1 each class counts
        as often as it occurs.
    counts
        `(k, k)` clips, true class in rows; of several seeds the mean.
    spread_uf1, spread_uar
        Standard deviation over seeds (n - 1); NaN for one seed.
    """

    uf1: Estimate
    uar: Estimate
    weighted_f1: Estimate
    counts: Counts
    spread_uf1: float
    spread_uar: float


def counts_by_subject(clips: FlowMaps, predicted: NDArray[np.int64]) -> Counts:
    """Return `(subjects, k, k)` confusion counts, subjects in the order of `clips.subjects`."""
    k = len(clips.classes)
    fold = clips.fold
    return np.stack(
        [
            confusion_counts(clips.label[fold == s], predicted[fold == s], k=k)
            for s in range(len(clips.subjects))
        ]
    )


def score(
    counts: NDArray[np.float64],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    weights: NDArray[np.float64] | None = None,
) -> Scores:
    """Pool the subjects' clips and score them.

    Parameters
    ----------
    counts
        `(seeds, subjects, k, k)` from `counts_by_subject`. A score is computed for each seed and
        the mean over seeds is reported: it is what one training may be expected to give.
    resamples, seed
        Of the bootstrap of subjects; the same subjects give the same draws, so that models are
        compared on the same resamples.
    weights
        Draws made before, `(resamples, subjects)`.
    """
    if weights is None:
        weights = resampling_weights(counts.shape[1], resamples=resamples, seed=seed)
    pooled = counts.sum(axis=1)
    drawn = np.stack([resampled_counts(one, weights=weights) for one in counts])
    return Scores(
        uf1=interval(float(uf1(pooled).mean()), uf1(drawn).mean(axis=0)),
        uar=interval(float(uar(pooled).mean()), uar(drawn).mean(axis=0)),
        weighted_f1=interval(float(weighted_f1(pooled).mean()), weighted_f1(drawn).mean(axis=0)),
        counts=pooled.mean(axis=0),
        spread_uf1=_spread(uf1(pooled)),
        spread_uar=_spread(uar(pooled)),
    )


def subject_bootstrap_difference(
    counts: NDArray[np.float64],
    other: NDArray[np.float64],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Return the difference in UF1 of two models on the same subjects, first minus second.

    Both are `(seeds, subjects, k, k)`; the same resampled subjects are scored for both.
    """
    weights = resampling_weights(counts.shape[1], resamples=resamples, seed=seed)

    def drawn(of: NDArray[np.float64]) -> NDArray[np.float64]:
        seeds = np.stack([uf1(resampled_counts(one, weights=weights)) for one in of])
        return np.asarray(seeds.mean(axis=0), dtype=np.float64)

    def whole(of: NDArray[np.float64]) -> float:
        return float(uf1(of.sum(axis=1)).mean())

    return interval(whole(counts) - whole(other), drawn(counts) - drawn(other))


def _spread(values: NDArray[np.float64]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
