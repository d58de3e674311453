"""Is one grader better than another? Paired comparisons on the same patients and folds.

Three answers to three questions: the difference of a score with its interval over patients
(bootstrap), whether one is right where the other is wrong (McNemar), and whether the difference
holds from fold to fold (t-test corrected for overlapping training sets). Each family of p-values
is adjusted by Holm's method, because many pairs are looked at.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from scipy import stats

from common.arrays import Flags, Floats
from common.bootstrap import paired_difference, resampling_weights
from common.grading.evaluation import confusion_of
from common.grading.numeric_scores import Rows
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.scores import Score


def compare_models(
    predictions: pd.DataFrame, *, target: AnyTarget, score: Score, models: list[str], seed: int = 0
) -> pd.DataFrame:
    """Compare every pair of models by a score, from the rows of all on the same folds.

    Returns a row per pair: `first`, `second`, `difference` (first minus second), `low`, `high`,
    `p_bootstrap`, `p_mcnemar`, `p_folds`, and each p with `_holm` behind it. NaN where a test has
    nothing to go by: numbers are never just right or wrong, as McNemar's test asks.
    """
    numeric = isinstance(target, NumericTarget)
    tallies = {
        model: tallied(predictions[predictions["model"] == model], target=target)
        for model in models
    }
    by_fold = {
        model: fold_scores(predictions, model, target=target, score=score) for model in models
    }
    everybody = predictions["patient_id"].nunique()
    tested = float(predictions.groupby(["repeat", "fold"])["patient_id"].nunique().mean())
    rows = []
    for first, second in itertools.combinations(models, 2):
        one, two = tallies[first], tallies[second]
        weights = resampling_weights(len(one), seed=seed)
        found, drawn = paired_difference(score.of, one, two, weights=weights)
        rows.append(
            {
                "first": first,
                "second": second,
                "difference": found.value,
                "low": found.low,
                "high": found.high,
                "p_bootstrap": bootstrap_p(drawn),
                "p_mcnemar": np.nan if numeric else mcnemar_p(mostly_right(one), mostly_right(two)),
                "p_folds": corrected_t_p(
                    fold_differences(by_fold[first], by_fold[second]),
                    test_train_ratio=tested / max(everybody - tested, 1.0),
                ),
            }
        )
    table = pd.DataFrame(rows)
    for name in ("p_bootstrap", "p_mcnemar", "p_folds"):
        if len(table):
            table[f"{name}_holm"] = holm(table[name].to_numpy(dtype=np.float64))
    return table


def tallied(rows: pd.DataFrame, *, target: AnyTarget) -> Floats:
    """Return what scores need of one model: `(n_patients, ...)` counts, or sums of numbers."""
    if isinstance(target, NumericTarget):
        return Rows.of(rows, target=target).sums
    return confusion_of(rows, target=target).counts


def bootstrap_p(differences: Floats) -> float:
    """Two-sided p: how often the resampled difference lies on the other side of 0."""
    defined = differences[~np.isnan(differences)]
    if not len(defined):
        return float("nan")
    n = len(defined)
    below, above = (defined <= 0).sum(), (defined >= 0).sum()
    return float(min(1.0, 2 * (min(below, above) + 1) / (n + 1)))


def mcnemar_p(first_right: Flags, second_right: Flags) -> float:
    """Exact McNemar test on patients (McNemar 1947): p, 1 when they never differ."""
    only_first = int((first_right & ~second_right).sum())
    only_second = int((~first_right & second_right).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second, 0.5).pvalue)


def corrected_t_p(differences: Floats, *, test_train_ratio: float) -> float:
    """Corrected resampled t-test on differences per fold of each repeat (Nadeau and Bengio 2003).

    Training sets overlap, so folds are not independent; the variance is enlarged by the ratio of
    tested to training patients, about 1/4 in five folds.
    """
    n = len(differences)
    if n < 2 or not np.isfinite(differences).all():
        return float("nan")
    variance = float(differences.var(ddof=1))
    if variance == 0.0:
        return 1.0 if differences.mean() == 0.0 else float("nan")
    t = differences.mean() / np.sqrt((1.0 / n + test_train_ratio) * variance)
    return float(2.0 * stats.t.sf(abs(t), n - 1))


def holm(p_values: Floats) -> Floats:
    """Adjust p-values for looking at all of them (Holm 1979); NaN stays NaN and is not counted."""
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    steps = p_values[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def fold_scores(
    predictions: pd.DataFrame, model: str, *, target: AnyTarget, score: Score
) -> Floats:
    """Return a model's score in every fold of each repeat, in order."""
    rows = predictions[predictions["model"] == model]
    folds = rows.groupby(["repeat", "fold"], sort=True)
    return np.array(
        [float(score.of(tallied(fold, target=target).sum(axis=0))) for _, fold in folds]
    )


def fold_differences(first: Floats, second: Floats) -> Floats:
    """Return the difference of two models in every fold, NaN if they differ in their folds."""
    return first - second if len(first) == len(second) else np.array([np.nan])


def mostly_right(counts: Floats) -> Flags:
    """Whether each patient, of `(n_patients, k, k)` counts, was mostly answered right."""
    return np.trace(counts, axis1=1, axis2=2) > counts.sum(axis=(1, 2)) / 2
