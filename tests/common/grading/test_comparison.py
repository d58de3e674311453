"""Paired comparisons against hand calculations and worlds without a difference."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from common.grading.comparison import (
    bootstrap_p,
    compare_models,
    corrected_t_p,
    fold_differences,
    fold_scores,
    holm,
    mcnemar_p,
)
from common.grading.scores import SCORES
from common.grading.target import TARGETS

SIX = TARGETS["six_grades"]


def answers(model: str, error: float, *, n: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 6 + 1
    wrong = rng.uniform(size=n) < error
    answer = np.where(wrong, np.where(truth < 6, truth + 1, 5), truth)
    return pd.DataFrame(
        {
            "patient_id": [f"p{at:03d}" for at in range(n)],
            "hb_grade": truth,
            "predicted": answer,
            "repeat": 1,
            "fold": np.arange(n) // 6 % 5 + 1,
            "model": model,
        }
    )


def test_holm_by_hand():
    np.testing.assert_allclose(
        holm(np.array([0.01, 0.04, 0.03, np.nan, 0.5])), [0.04, 0.09, 0.09, np.nan, 0.5]
    )
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_mcnemar_is_the_exact_sign_test_on_patients_who_differ():
    first = np.array([True] * 12 + [False] * 3 + [True] * 5)
    second = np.array([False] * 12 + [True] * 3 + [True] * 5)
    assert mcnemar_p(first, second) == pytest.approx(stats.binomtest(12, 15).pvalue)
    assert mcnemar_p(first, first) == 1.0


def test_corrected_t_test_by_hand():
    differences = np.array([0.1, 0.2, 0.0, 0.3, 0.15])
    t = differences.mean() / np.sqrt((1 / 5 + 0.25) * differences.var(ddof=1))
    assert corrected_t_p(differences, test_train_ratio=0.25) == pytest.approx(2 * stats.t.sf(t, 4))
    plain = stats.ttest_1samp(differences, 0.0).pvalue
    assert corrected_t_p(differences, test_train_ratio=0.25) > plain  # folds are not independent
    assert corrected_t_p(differences, test_train_ratio=0.0) == pytest.approx(plain)
    assert corrected_t_p(np.zeros(5), test_train_ratio=0.25) == 1.0


def test_a_clear_difference_is_found_and_signed():
    table = pd.concat([answers("good", 0.05), answers("bad", 0.7, seed=1)])
    found = compare_models(table, target=SIX, score=SCORES["accuracy"], models=["good", "bad"])
    row = found.iloc[0]
    assert row["difference"] > 0.4
    assert row["low"] > 0.2
    assert max(row["p_bootstrap_holm"], row["p_mcnemar_holm"], row["p_folds_holm"]) < 0.02


def test_a_model_does_not_differ_from_itself():
    table = pd.concat([answers("one", 0.3), answers("two", 0.3)])
    row = compare_models(table, target=SIX, score=SCORES["accuracy"], models=["one", "two"]).iloc[0]
    assert (row["difference"], row["low"], row["high"]) == (0.0, 0.0, 0.0)
    assert min(row["p_bootstrap"], row["p_mcnemar"], row["p_folds"]) == 1.0


def test_equal_models_are_rarely_called_different():
    """False alarms of the bootstrap and McNemar stay near five in a hundred."""
    alarms = []
    for seed in range(100):
        table = pd.concat([answers("a", 0.4, seed=2 * seed), answers("b", 0.4, seed=2 * seed + 1)])
        row = compare_models(
            table, target=SIX, score=SCORES["accuracy"], models=["a", "b"], seed=seed
        ).iloc[0]
        alarms.append([row["p_bootstrap"] < 0.05, row["p_mcnemar"] < 0.05])
    assert np.mean(alarms, axis=0).max() <= 0.12


def test_all_pairs_are_compared_and_adjusted_together():
    table = pd.concat([answers(name, 0.3, seed=at) for at, name in enumerate("abcd")])
    found = compare_models(table, target=SIX, score=SCORES["mae"], models=list("abcd"))
    assert len(found) == 6
    np.testing.assert_allclose(found["p_bootstrap_holm"], holm(found["p_bootstrap"].to_numpy()))


def test_folds_are_compared_one_by_one():
    table = pd.concat([answers("a", 0.1), answers("b", 0.5, seed=1)])
    by_fold = {
        model: fold_scores(table, model, target=SIX, score=SCORES["accuracy"]) for model in "ab"
    }
    found = fold_differences(by_fold["a"], by_fold["b"])
    rows = table.assign(right=table["hb_grade"] == table["predicted"])
    means = rows.groupby(["model", "fold"])["right"].mean()
    np.testing.assert_allclose(found, (means["a"] - means["b"]).to_numpy())


def test_the_bootstrap_p_counts_the_other_side():
    differences = np.concatenate([np.full(90, 1.0), np.full(9, -1.0)])
    assert bootstrap_p(differences) == pytest.approx(2 * 10 / 100)
    assert np.isnan(bootstrap_p(np.array([np.nan])))
