"""Scores of answers that are numbers, all computed from sums over patients.

Every function takes sums `(..., len(FIELDS))` and returns `(...)`, so that a thousand bootstrap
resamples are scored at once. Spearman's correlation alone needs the rows, because ranks change with
who is drawn.

To add a score, write such a function and add an entry to `NUMERIC_SCORES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from common.arrays import Floats, Places
from common.bootstrap import Estimate, interval, summed_by
from common.grading.agreement_scores import icc_a1, limits_of_agreement, pair_sums
from common.grading.numeric_target import NumericTarget, shown
from common.grading.scores import Score, ratio

PAIR = slice(0, 6)
"""What `pair_sums` makes of truth and answer; they are taken from the middle of the scale, so that
squares of large numbers do not swallow small differences."""
OFF, NEAR, RANGED, HELD, WIDTH = range(6, 11)
FIELDS = 11
BLOCK = 100  # resamples ranked at once
Sums = Floats


@dataclass(frozen=True)
class Rows:
    """Answers of one model: `(n,)` truth, answer, patient (row of `sums`) and weight of each row.

    A row weighs one divided by how often its patient was tested, so that everybody counts the
    number of their photographs or visits (or 1). `sums` are `(n_patients, FIELDS)`.
    """

    truth: Floats
    answer: Floats
    patient: Places
    weight: Floats
    sums: Sums
    patients: tuple[str, ...]

    @classmethod
    def of(cls, predictions: pd.DataFrame, *, target: NumericTarget) -> Rows:
        """Read the answers of one model, by `score_predictions_schema`."""
        truth = target.values(predictions)
        answer = predictions["predicted"].to_numpy(dtype=np.float64)
        names, at = np.unique(predictions["patient_id"].to_numpy(np.str_), return_inverse=True)
        drawn = [name for name in ("repeat", "fold", "outer_fold") if name in predictions.columns]
        times = predictions[drawn].assign(at=at).drop_duplicates()["at"].to_numpy(dtype=np.intp)
        weight = 1.0 / np.bincount(times, minlength=len(names))[at]
        low, high = (predictions[name].to_numpy(dtype=np.float64) for name in ("low", "high"))
        each = fields_of(truth, answer, target=target, low=low, high=high)
        sums = summed_by(each * weight[:, None], at, n=len(names))
        return cls(truth, answer, at, weight, sums, tuple(map(str, names)))


def fields_of(
    truth: Floats,
    answer: Floats,
    *,
    target: NumericTarget,
    low: float | Floats = np.nan,
    high: float | Floats = np.nan,
) -> Sums:
    """Return what every score needs of each answer, `(n, FIELDS)`; `low` and `high` bound it."""
    ranged = np.broadcast_to(~np.isnan(low), truth.shape)
    near = np.inf if target.detectable is None else target.detectable
    middle = (target.low + target.high) / 2
    return np.column_stack(
        [
            pair_sums(truth - middle, answer - middle),
            np.abs(answer - truth),
            np.abs(answer - truth) <= near,
            ranged,
            ranged & (low <= truth) & (truth <= high),
            np.where(ranged, np.subtract(high, low), 0.0),
        ]
    )


def _mean_of(field: int, of: int = 0) -> Callable[[Sums], Floats]:
    """Return the score that is the mean of a field over the rows (those that have it, `of`)."""
    return lambda sums: ratio(sums[..., field], sums[..., of])


def root_mean_square_error(sums: Sums) -> Floats:
    """Root of the mean squared distance, in the unit: far misses weigh more."""
    n, _, squares = _differences(sums)
    return np.sqrt(ratio(np.maximum(squares, 0.0), n))


def correlation(sums: Sums) -> Floats:
    """Pearson's correlation, -1 to 1; NaN where either does not vary."""
    n, a, b, aa, bb, ab = np.moveaxis(sums[..., PAIR], -1, 0)
    of = np.maximum(n, 1e-12)
    spread = (aa - a * a / of) * (bb - b * b / of)
    return ratio(ab - a * b / of, np.sqrt(np.where(spread > 1e-9 * aa * bb, spread, 0.0)))


def estimated(score: Score, rows: Rows, *, weights: Floats) -> Estimate:
    """Score the rows of one model, with the 95 % interval over resampled patients."""
    if not score.ranked:
        return score.estimate(rows.sums, weights=weights)
    once = rank_correlation(rows, weights=np.ones((1, weights.shape[1])))
    return interval(float(once[0]), rank_correlation(rows, weights=weights))


def rank_correlation(rows: Rows, *, weights: Floats) -> Floats:
    """Return Spearman's correlation for each of `(resamples, n_patients)` weights.

    Ranks (their middle where values are equal) are those among the people drawn, each as often as
    drawn.
    """
    found = [
        _pearson(
            _ranks(rows.truth, weights=drawn), _ranks(rows.answer, weights=drawn), weights=drawn
        )
        for block in np.array_split(weights, max(1, len(weights) // BLOCK))
        for drawn in [block[:, rows.patient] * rows.weight]
    ]
    return np.concatenate(found)


def _ranks(values: Floats, *, weights: Floats) -> Floats:
    """Return the middle rank of each value `(n,)` for weights `(r, n)`: `(r, n)`."""
    different, at = np.unique(values, return_inverse=True)
    order = np.argsort(at, kind="stable")
    starts = np.searchsorted(at[order], np.arange(len(different)))
    each = np.add.reduceat(weights[:, order], starts, axis=1)
    return (np.cumsum(each, axis=1) - each / 2)[:, at]


def _pearson(a: Floats, b: Floats, *, weights: Floats) -> Floats:
    total = weights.sum(axis=1, keepdims=True)
    a, b = (each - (weights * each).sum(axis=1, keepdims=True) / total for each in (a, b))
    spread = (weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1)
    return ratio((weights * a * b).sum(axis=1), np.sqrt(spread))


def _differences(sums: Sums) -> tuple[Floats, Floats, Floats]:
    """Return how many, the sum of answer minus truth, and of its square."""
    n, a, b, aa, bb, ab = np.moveaxis(sums[..., PAIR], -1, 0)
    return n, b - a, np.maximum(aa + bb - 2 * ab, 0.0)


def _limits(sums: Sums) -> tuple[Floats, Floats, Floats]:
    n, total, squares = _differences(sums)
    return limits_of_agreement(np.stack([total, squares, n], axis=-1))


NUMERIC_SCORES = {score.name: score for score in (
    Score("mae", "Error", _mean_of(OFF),
                 "mean distance between answer and truth (smaller is better)",
                 higher_is_better=False),
    Score("rmse", "Root mean square error", root_mean_square_error,
                 "the same with far misses weighing more", higher_is_better=False),
    Score("icc", "ICC", lambda sums: icc_a1(sums[..., PAIR]),
                 "intraclass correlation ICC(A,1) with the truth, absolute agreement of single "
                 "scores"),
    Score("within_change", "Within what people tell apart", _mean_of(NEAR),
                 "share of answers whose distance from the truth is at most the smallest change "
                 "that two ratings by people detect", proportion=True),
    Score("covered", "Intervals hold the truth", _mean_of(HELD, RANGED),
                 "share of 90 % prediction intervals that hold the truth", higher_is_better=None,
                 proportion=True),
)}  # fmt: skip

MORE_NUMERIC_SCORES = {score.name: score for score in (
    Score("pearson", "Pearson", correlation, "linear correlation with the truth"),
    Score("spearman", "Spearman", correlation, "correlation of ranks", ranked=True),
    Score("bias", "Bias", lambda sums: _limits(sums)[0], "mean of answer minus truth",
                 higher_is_better=None),
    Score("limit_low", "Lower limit", lambda sums: _limits(sums)[1],
                 "lower 95 % limit of agreement (Bland and Altman)", higher_is_better=None),
    Score("limit_high", "Upper limit", lambda sums: _limits(sums)[2],
                 "upper 95 % limit of agreement",
                 higher_is_better=None),
    Score("interval_width", "Width of intervals", _mean_of(WIDTH, RANGED),
                 "mean width of the 90 % prediction intervals", higher_is_better=False),
)}  # fmt: skip
"""Scores of the second table of a report."""


_OF_UNIT = ("mae", "rmse", "bias", "limit_low", "limit_high", "interval_width")


def numeric_scores_for(target: NumericTarget, *, more: bool = False) -> list[Score]:
    """Return the scores in the words of the target; `more` are of the second table.

    What has a unit says it, and what needs human ratings is left out where there are none.
    """
    found = []
    for score in (MORE_NUMERIC_SCORES if more else NUMERIC_SCORES).values():
        if score.name == "within_change" and target.detectable is None:
            continue
        words = score.meaning
        if score.name in _OF_UNIT and target.unit:
            words = f"{words}, in {target.unit}"
        if score.name == "within_change" and target.detectable is not None:
            words = f"{words} ({shown(target.detectable)}, {target.detectable_source})"
        found.append(replace(score, meaning=words))
    return found


HUMAN_ICC = {
    "sunnybrook": (
        Estimate(0.847, 0.755, 0.923),
        "31 raters, 20 patients on video: Cabrol et al., Sunnybrook Facial Grading System: "
        "Intra-rater and Inter-rater Variabilities",
    )
}
"""How well people agree with each other on a scale: ICC of single scores, as published where."""
