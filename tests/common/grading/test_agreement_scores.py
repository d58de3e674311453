"""Agreement of raters: equal to the textbook where nothing is missing, and sound where some is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from common.grading.agreement_scores import (
    change_of_raters,
    icc_a1,
    icc_of_raters,
    kappa_of_raters,
    pair_sums,
)
from common.grading.scores import weighted_kappa


def rated(n: int = 9, k: int = 2, *, seed: int = 2) -> NDArray[np.float64]:
    """`(n, k)` ratings of n patients by k raters with noise, of whom the last is too high."""
    noise = np.random.default_rng(seed).normal(size=(n, k))
    return np.asarray(noise + np.arange(n)[:, None] + 0.7 * (np.arange(k) == k - 1))


def sums_of(x: NDArray[np.float64]) -> NDArray[np.float64]:
    pairs = itertools.combinations(range(x.shape[1]), 2)
    return np.stack([pair_sums(x[:, a], x[:, b]).sum(axis=0) for a, b in pairs])


def by_mean_squares(x: NDArray[np.float64]) -> tuple[float, float]:
    """ICC(A,1) and the mean square of the error, from the analysis of variance."""
    n, k = x.shape
    grand = x.mean()
    rows = k * ((x.mean(axis=1) - grand) ** 2).sum() / (n - 1)
    columns = n * ((x.mean(axis=0) - grand) ** 2).sum() / (k - 1)
    residual = x - x.mean(axis=1, keepdims=True) - x.mean(axis=0) + grand
    error = (residual**2).sum() / ((n - 1) * (k - 1))
    return (rows - error) / (rows + (k - 1) * error + k / n * (columns - error)), error


@pytest.mark.parametrize("k", [2, 3, 5])
def test_icc_and_smallest_change_are_those_of_the_mean_squares(k: int) -> None:
    x = rated(k=k)
    icc, error = by_mean_squares(x)
    assert float(icc_of_raters(sums_of(x))) == pytest.approx(icc)
    assert float(change_of_raters(sums_of(x))) == pytest.approx(1.96 * np.sqrt(2 * error))
    if k == 2:
        assert float(icc_a1(sums_of(x)[0])) == pytest.approx(icc)


def test_kappa_of_two_raters_is_cohens() -> None:
    grades = np.clip(np.round(rated(30) / 5), 1, 6)
    first, second = grades.astype(np.int64).T - 1
    expected = weighted_kappa(confusion_matrix(first, second, labels=range(6)))
    assert float(kappa_of_raters(sums_of(grades))) == pytest.approx(float(expected))


def test_missing_ratings_change_the_expected_icc_by_nothing() -> None:
    true = 4 / (4 + 1 + 0.25)  # variances of patients, noise and raters of the draw below
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = rng.normal(0, 2, (80, 1)) + rng.normal(0, 1, (80, 6)) + rng.normal(0, 0.5, 6)
        x[rng.random(x.shape) < 0.6] = np.nan
        found.append(float(icc_of_raters(sums_of(x))))
    assert np.mean(found) == pytest.approx(true, abs=0.02)


def test_without_two_shared_patients_or_without_any_spread_nothing_is_said() -> None:
    alone = np.array([[1.0, np.nan], [np.nan, 2.0], [3.0, 3.0]])
    for of in (icc_of_raters, kappa_of_raters, change_of_raters):
        assert np.isnan(of(sums_of(alone)))
    assert np.isnan(icc_of_raters(sums_of(np.full((5, 3), 4.0))))
