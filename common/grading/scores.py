"""Scores of a grader, all computed from confusion counts, and what clinicians reach.

Every function takes counts `(..., k, k)` (true class in rows, answer in columns, k classes in
clinical order) and returns `(...)`, so that a thousand bootstrap resamples are scored at once.
Classes that do not occur among the truths are left out of per-class means.

To add a score, write such a function and add an entry to `SCORES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace

import numpy as np

from common.arrays import Floats
from common.bootstrap import Estimate, interval, proportion_interval, resampled_counts
from common.grading.target import Target

Counts = Floats
Values = Floats


@dataclass(frozen=True)
class Score:
    """One score: name in `metrics.json`, words for a heading, and a sentence for the reader.

    `of` makes of counts `(..., k, k)`, of numbers of sums `(..., FIELDS)`, values `(...)`. Of a
    bias neither is better (`higher_is_better` None); `ordered_only` supposes that classes are steps
    of one scale; a `proportion` is a share of answers, so that exact limits exist; a `ranked` one
    is computed from the rows (`common.grading.numeric_scores.rank_correlation`), not from `of`.
    """

    name: str
    title: str
    of: Callable[[Counts], Values]
    meaning: str
    _: KW_ONLY
    higher_is_better: bool | None = True
    ordered_only: bool = False
    proportion: bool = False
    ranked: bool = False

    def estimate(self, counts: Counts, *, weights: Floats, drawn: Counts | None = None) -> Estimate:
        """Score what patients have, `(n_patients, ...)`, with the 95 % interval over them.

        `weights` are `(resamples, n_patients)` of the bootstrap, `drawn` the `resampled_counts`
        where several scores are made of the same.
        """
        value = float(self.of(counts.sum(axis=0)))
        if drawn is None:
            drawn = resampled_counts(counts, weights=weights)
        resampled = self.of(drawn)
        if self.proportion:
            return proportion_interval(value, resampled, n=len(counts))
        return interval(value, resampled)


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


def weighted_kappa(counts: Counts) -> Values:
    """Cohen's kappa with quadratic weights (Cohen 1968): 1 perfect, 0 chance.

    0, not NaN, when either side always gives the same class and they do not always agree.
    """
    weight = _distance(counts) ** 2
    total = counts.sum(axis=(-2, -1))
    by_chance = counts.sum(axis=-1)[..., :, None] * counts.sum(axis=-2)[..., None, :]
    observed = (counts * weight).sum(axis=(-2, -1)) * total
    expected = (by_chance * weight).sum(axis=(-2, -1))
    return 1.0 - ratio(observed, expected)


def plain_kappa(counts: Counts) -> Values:
    """Cohen's kappa without weights (Cohen 1960): every miss weighs alike."""
    total = counts.sum(axis=(-2, -1))
    observed = np.trace(counts, axis1=-2, axis2=-1) * total
    expected = (counts.sum(axis=-1) * counts.sum(axis=-2)).sum(axis=-1)
    return ratio(observed - expected, total**2 - expected)


def mean_absolute_error(counts: Counts) -> Values:
    """Mean distance between answer and truth, in classes (grades)."""
    return ratio((counts * _distance(counts)).sum(axis=(-2, -1)), counts.sum(axis=(-2, -1)))


def macro_absolute_error(counts: Counts) -> Values:
    """Mean absolute error within each true class, then the mean over classes (in grades)."""
    return mean_of_present(ratio((counts * _distance(counts)).sum(axis=-1), counts.sum(axis=-1)))


def within_one(counts: Counts) -> Values:
    """Share of answers that are exact or one class off, 0 to 1."""
    near = _distance(counts) <= 1
    return ratio((counts * near).sum(axis=(-2, -1)), counts.sum(axis=(-2, -1)))


def bias(counts: Counts) -> Values:
    """Mean of answer minus truth, in classes: positive when answers are too severe."""
    grade = np.arange(counts.shape[-1], dtype=np.float64)
    signed = (counts * (grade[None, :] - grade[:, None])).sum(axis=(-2, -1))
    return ratio(signed, counts.sum(axis=(-2, -1)))


def intraclass_correlation(counts: Counts) -> Values:
    """ICC(A,1): absolute agreement of single ratings, two raters (McGraw and Wong 1996)."""
    grade = np.arange(counts.shape[-1], dtype=np.float64)
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


def ratio(above: Values, below: Values) -> Values:
    """Quotient that is NaN, without a warning, where there is nothing to divide by."""
    out = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    return np.divide(above, below, out=out, where=below > 0)


def mean_of_present(values: Values) -> Values:
    """Mean over the last axis of what is not NaN; NaN where nothing is."""
    present = ~np.isnan(values)
    return ratio(np.where(present, values, 0.0).sum(axis=-1), present.sum(axis=-1, dtype=float))


def _distance(counts: Counts) -> Floats:
    steps = np.arange(counts.shape[-1], dtype=np.float64)
    return np.abs(steps[:, None] - steps[None, :])


SCORES = {score.name: score for score in (
    Score("mae", "Error in grades", mean_absolute_error,
          "mean distance between answer and truth, in grades (smaller is better)",
          higher_is_better=False, ordered_only=True),
    Score("accuracy", "Accuracy", accuracy, "share of exact answers", proportion=True),
    Score("balanced_accuracy", "Balanced accuracy", balanced_accuracy,
          "share of exact answers in each class, then the mean over classes"),
    Score("macro_f1", "Macro F1", macro_f1, "F1 of each class, then the mean over classes"),
    Score("weighted_kappa", "Weighted kappa", weighted_kappa,
          "agreement beyond chance, far misses weighing quadratically more"),
    Score("within_one", "Within one grade", within_one,
          "share of answers that are exact or one grade off", ordered_only=True, proportion=True),
)}  # fmt: skip

MORE_SCORES = {score.name: score for score in (
    Score("macro_mae", "Macro error", macro_absolute_error,
          "error in grades within each grade, then the mean over grades",
          higher_is_better=False, ordered_only=True),
    Score("icc", "ICC", intraclass_correlation,
          "intraclass correlation ICC(A,1) with the reference, absolute agreement",
          ordered_only=True),
    Score("weighted_f1", "Weighted F1", weighted_f1,
          "F1 of each class, then the mean weighted by the patients of the class"),
    Score("plain_kappa", "Plain kappa", plain_kappa,
          "agreement beyond chance, every miss weighing alike"),
    Score("bias", "Bias", bias,
          "mean of answer minus reference, in grades; positive is too severe",
          higher_is_better=False, ordered_only=True),
)}  # fmt: skip
"""Scores of the second table of a report."""


def scores_for(target: Target, *, more: bool = False) -> list[Score]:
    """Return the scores that make sense for a target, in its words; `more` are of the second table.

    What is no grade is not called one.
    """
    every = (MORE_SCORES if more else SCORES).values()
    fitting = [score for score in every if target.ordered or not score.ordered_only]
    if target.steps == "grades":
        return fitting
    return [
        replace(score, title=_of_classes(score.title), meaning=_of_classes(score.meaning))
        for score in fitting
    ]


def _of_classes(words: str) -> str:
    return words.replace("grades", "classes").replace("grade", "class")


@dataclass(frozen=True)
class HumanAgreement:
    """How well clinicians agree with each other on the House-Brackmann scale, from a publication.

    `score` is the score of ours that the number stands beside.
    """

    score: str
    what: str
    value: float
    source: str


HUMAN_AGREEMENT = (
    HumanAgreement(
        "accuracy", "exact agreement", 0.50,
        "28 doctors, 8 patients: Kanerva et al. 2006, doi 10.1016/j.otohns.2006.05.748",
    ),
    HumanAgreement(
        "plain_kappa", "kappa without weights", 0.54,
        "14 readers, 11 patients: Reitzen et al. 2009, PubMed 19201280",
    ),
)  # fmt: skip
