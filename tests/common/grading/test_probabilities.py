"""Scores of probabilities equal those of scikit-learn, for all resamples at once."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from common.bootstrap import resampling_weights
from common.grading.probabilities import (
    Chances,
    brier,
    calibration_error,
    first_class_auc,
    probability_scores,
    reliability,
)


def made(n: int = 200, *, seed: int = 0) -> Chances:
    rng = np.random.default_rng(seed)
    values = rng.dirichlet(np.ones(6), size=n).round(2) + 1e-6
    values /= values.sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(6, p=row) + 1 for row in values])
    return Chances(values, labels, np.arange(n) // 4, n // 4)


@pytest.fixture(scope="module")
def chances() -> Chances:
    return made()


def expanded(chances: Chances, weights: np.ndarray) -> np.ndarray:
    """Rows of one resample, each patient as often as drawn."""
    return np.repeat(np.arange(len(chances.labels)), weights.astype(int)[chances.at])


def test_auc_and_brier_equal_those_of_the_written_out_resample(chances):
    weights = resampling_weights(chances.n_patients, resamples=5)
    auc, loss = first_class_auc(chances, weights), brier(chances, weights)
    for at, row in enumerate(weights):
        rows = expanded(chances, row)
        healthy = chances.labels[rows] == 1
        assert auc[at] == pytest.approx(roc_auc_score(healthy, chances.values[rows, 0]))
        truth = np.eye(6)[chances.labels[rows] - 1]
        plain = np.square(chances.values[rows] - truth).sum(axis=1).mean()
        assert loss[at] == pytest.approx(plain)


def test_honest_probabilities_have_a_small_calibration_error_and_bold_ones_a_large():
    honest = made(8000)
    everyone = np.ones((1, honest.n_patients))
    assert calibration_error(honest, everyone)[0] < 0.03
    bold = honest.values**3
    bold /= bold.sum(axis=1, keepdims=True)
    sure = Chances(bold, honest.labels, honest.at, honest.n_patients)
    assert calibration_error(sure, everyone)[0] > 0.1
    bins = reliability(sure)
    assert (bins.right < bins.sureness)[bins.rows > 200].all()
    assert bins.rows.sum() == 8000


def test_intervals_hold_the_value(chances):
    found = probability_scores(chances, weights=resampling_weights(chances.n_patients))
    assert set(found) == {"auc", "brier", "calibration_error"}
    for name, estimate in found.items():
        assert estimate.low < estimate.high
        if name != "calibration_error":  # resampling adds noise to an error that is never below 0
            assert estimate.low <= estimate.value <= estimate.high


def test_without_healthy_people_there_is_no_auc(chances):
    palsy = chances.labels != 1
    only = Chances(
        chances.values[palsy], chances.labels[palsy], chances.at[palsy], chances.n_patients
    )
    assert np.isnan(first_class_auc(only, np.ones((3, chances.n_patients)))).all()
