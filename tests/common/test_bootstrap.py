"""Resampling of people, and scores of classes from counts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

from common.bootstrap import Estimate, interval, resampled_counts, resampling_weights
from common.grading.scores import balanced_accuracy, macro_f1, recalls


def test_counts_of_people_add_up_in_every_resample() -> None:
    weights = resampling_weights(5, resamples=7, seed=1)
    counts = np.random.default_rng(0).integers(0, 4, (5, 3, 3)).astype(float)
    resampled = resampled_counts(counts, weights=weights)
    assert weights.sum(axis=1).tolist() == [5.0] * 7
    for draw, total in zip(weights.astype(int), resampled, strict=True):
        assert np.array_equal(total, np.repeat(counts, draw, axis=0).sum(axis=0))
    assert np.array_equal(weights, resampling_weights(5, resamples=7, seed=1))
    assert not np.array_equal(weights, resampling_weights(5, resamples=7, seed=2))


def test_an_interval_leaves_out_resamples_without_a_score() -> None:
    values = np.concatenate([np.linspace(0, 1, 1001), np.full(500, np.nan)])
    assert interval(0.5, values).low == pytest.approx(0.025)
    assert interval(0.5, values).high == pytest.approx(0.975)
    empty = interval(0.5, np.array([np.nan]))
    assert (empty.value, np.isnan(empty.low), np.isnan(empty.high)) == (0.5, True, True)
    assert Estimate(0.5, 0.25, np.nan).as_json() == {"value": 0.5, "low": 0.25, "high": None}


def test_class_scores_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    truth, answer = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    counts = confusion_matrix(truth, answer, labels=range(4))
    assert macro_f1(counts) == pytest.approx(f1_score(truth, answer, average="macro"))
    assert balanced_accuracy(counts) == pytest.approx(balanced_accuracy_score(truth, answer))


def test_a_class_that_does_not_occur_is_left_out_of_the_mean_recall() -> None:
    counts = confusion_matrix(np.array([0, 0, 1]), np.array([0, 2, 1]), labels=range(4))
    assert np.isnan(recalls(counts)[2:]).all()
    assert balanced_accuracy(counts) == pytest.approx((0.5 + 1) / 2)
    # The class 2 was answered and so counts with F1 0; the class 3 was neither.
    assert macro_f1(counts) == pytest.approx((2 / 3 + 1 + 0) / 3)
