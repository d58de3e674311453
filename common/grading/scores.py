"""Scores of a grader, all computed from confusion counts.

Every function takes counts `(..., k, k)` (true class in rows, answer in columns, k classes in
clinical order) and returns `(...)`, so that a thousand bootstrap resamples are scored at once.
Classes that do not occur among the truths are left out of per-class means.

To add a score, write such a function and add an entry to `SCORES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.grading.class_scores import (
    Counts,
    Values,
    accuracy,
    balanced_accuracy,
    macro_f1,
    mean_of_present,
    ratio,
    weighted_f1,
)


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score: its name, how a report calls it, and how it is computed.

    Attributes
    ----------
    name, title
        Name in `metrics.json`, and words for a table heading.
    of
        From counts `(..., k, k)` to values `(...)`.
    higher_is_better
        False for errors.
    ordered_only
        Whether it supposes that classes are steps of one scale.
    proportion
        Whether it is the share of right answers among all, so that exact limits exist.
    meaning
        One sentence for the reader of a report.
    """

    name: str
    title: str
    of: Callable[[Counts], Values]
    meaning: str
    higher_is_better: bool = True
    ordered_only: bool = False
    proportion: bool = False


def weighted_kappa(counts: Counts) -> Values:
    """Cohen's kappa with quadratic weights (Cohen 1968): 1 perfect, 0 chance.

    0, not NaN, when either side always gives the same class and they do not always agree.
    """
    k = counts.shape[-1]
    weight = _distance(k) ** 2
    total = counts.sum(axis=(-2, -1))
    by_chance = counts.sum(axis=-1)[..., :, None] * counts.sum(axis=-2)[..., None, :]
    observed = (counts * weight).sum(axis=(-2, -1)) * total
    expected = (by_chance * weight).sum(axis=(-2, -1))
    kappa: Values = 1.0 - ratio(observed, expected)
    return kappa


def mean_absolute_error(counts: Counts) -> Values:
    """Mean distance between answer and truth, in classes (grades)."""
    distance = _distance(counts.shape[-1])
    return ratio((counts * distance).sum(axis=(-2, -1)), counts.sum(axis=(-2, -1)))


def within_one(counts: Counts) -> Values:
    """Share of answers that are exact or one class off, 0 to 1."""
    near = _distance(counts.shape[-1]) <= 1
    return ratio((counts * near).sum(axis=(-2, -1)), counts.sum(axis=(-2, -1)))


def macro_absolute_error(counts: Counts) -> Values:
    """Mean absolute error within each true class, then the mean over classes (in grades)."""
    distance = _distance(counts.shape[-1])
    return mean_of_present(ratio((counts * distance).sum(axis=-1), counts.sum(axis=-1)))


def plain_kappa(counts: Counts) -> Values:
    """Cohen's kappa without weights (Cohen 1960): every miss weighs alike."""
    total = counts.sum(axis=(-2, -1))
    observed = np.trace(counts, axis1=-2, axis2=-1) * total
    expected = (counts.sum(axis=-1) * counts.sum(axis=-2)).sum(axis=-1)
    return ratio(observed - expected, total**2 - expected)


def intraclass_correlation(counts: Counts) -> Values:
    """ICC(A,1): absolute agreement of single ratings, two raters (McGraw and Wong 1996)."""
    k = counts.shape[-1]
    grade = np.arange(k, dtype=np.float64)
    n = counts.sum(axis=(-2, -1))
    share = ratio(counts, n[..., None, None])
    truth, answer = share.sum(axis=-1), share.sum(axis=-2)
    mean_truth, mean_answer = truth @ grade, answer @ grade
    var_truth = truth @ grade**2 - mean_truth**2
    var_answer = answer @ grade**2 - mean_answer**2
    shared = (share * grade[:, None] * grade[None, :]).sum(axis=(-2, -1)) - mean_truth * mean_answer
    # Mean squares of rows (patients), columns (raters) and error, written with moments.
    between = ratio(n, n - 1) * (var_truth + var_answer + 2 * shared) / 2
    error = ratio(n, n - 1) * (var_truth + var_answer - 2 * shared) / 2
    raters = n * np.square(mean_truth - mean_answer) / 2
    return ratio(between - error, between + error + ratio(2 * (raters - error), n))


def bias(counts: Counts) -> Values:
    """Mean of answer minus truth, in classes: positive when answers are too severe."""
    grade = np.arange(counts.shape[-1], dtype=np.float64)
    signed = (counts * (grade[None, :] - grade[:, None])).sum(axis=(-2, -1))
    return ratio(signed, counts.sum(axis=(-2, -1)))


SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score(
            name="mae",
            title="Error in grades",
            of=mean_absolute_error,
            meaning="mean distance between answer and truth, in grades (smaller is better)",
            higher_is_better=False,
            ordered_only=True,
        ),
        Score(
            name="accuracy",
            title="Accuracy",
            of=accuracy,
            meaning="share of exact answers",
            proportion=True,
        ),
        Score(
            name="balanced_accuracy",
            title="Balanced accuracy",
            of=balanced_accuracy,
            meaning="share of exact answers in each class, then the mean over classes",
        ),
        Score(
            name="macro_f1",
            title="Macro F1",
            of=macro_f1,
            meaning="F1 of each class, then the mean over classes",
        ),
        Score(
            name="weighted_kappa",
            title="Weighted kappa",
            of=weighted_kappa,
            meaning="agreement beyond chance, far misses weighing quadratically more",
        ),
        Score(
            name="within_one",
            title="Within one grade",
            of=within_one,
            meaning="share of answers that are exact or one grade off",
            ordered_only=True,
            proportion=True,
        ),
    )
}

MORE_SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score(
            name="macro_mae",
            title="Macro error",
            of=macro_absolute_error,
            meaning="error in grades within each grade, then the mean over grades",
            higher_is_better=False,
            ordered_only=True,
        ),
        Score(
            name="icc",
            title="ICC",
            of=intraclass_correlation,
            meaning="intraclass correlation ICC(A,1) with the reference, absolute agreement",
            ordered_only=True,
        ),
        Score(
            name="weighted_f1",
            title="Weighted F1",
            of=weighted_f1,
            meaning="F1 of each class, then the mean weighted by the patients of the class",
        ),
        Score(
            name="plain_kappa",
            title="Plain kappa",
            of=plain_kappa,
            meaning="agreement beyond chance, every miss weighing alike",
        ),
        Score(
            name="bias",
            title="Bias",
            of=bias,
            meaning="mean of answer minus reference, in grades; positive is too severe",
            higher_is_better=False,
            ordered_only=True,
        ),
    )
}
"""Scores of the second table of a report."""


def scores_for(*, ordered: bool) -> list[Score]:
    """Return the scores that make sense for a target."""
    return [score for score in SCORES.values() if ordered or not score.ordered_only]


def _distance(k: int) -> NDArray[np.float64]:
    steps = np.arange(k, dtype=np.float64)
    distance: NDArray[np.float64] = np.abs(steps[:, None] - steps[None, :])
    return distance
