"""Ordinal graders: right gradients, right thresholds, and answers that keep the order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from classifiers.graders.ordinal import (
    FrankHall,
    OrdinalLogistic,
    _all_threshold_loss,
    _cumulative_loss,
    chances_from_above,
)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        OrdinalLogistic(),
        OrdinalLogistic(loss="all_threshold"),
        FrankHall(),
        FrankHall(RandomForestClassifier(n_estimators=10, random_state=0)),
    ]
)
def test_scikit_learn_finds_no_fault(estimator, check):
    check(estimator)


def ordered_rows(n: int = 4000, *, seed: int = 0):
    """Rows of a proportional-odds world with known coefficients and thresholds."""
    rng = np.random.default_rng(seed)
    coef, thresholds = np.array([1.5, -0.7, 0.0]), np.array([-2.0, -0.5, 0.2, 1.0, 2.5])
    values = rng.normal(size=(n, 3))
    latent = values @ coef + rng.logistic(size=n)
    return values, np.searchsorted(thresholds, latent) + 1, coef, thresholds


@pytest.mark.parametrize("loss", [_cumulative_loss, _all_threshold_loss])
def test_derivatives_are_those_of_the_loss(loss):
    values, labels, coef, thresholds = ordered_rows(50)
    weights = np.full(50, 1 / 50)

    def value(parameters):
        scores = values @ parameters[:3]
        return loss(scores, parameters[3:], encoded=labels - 1, weights=weights)[0]

    def slope(parameters):
        scores = values @ parameters[:3]
        _, by_score, by_cut = loss(scores, parameters[3:], encoded=labels - 1, weights=weights)
        return np.concatenate([values.T @ by_score, by_cut])

    start = np.concatenate([0.5 * coef, thresholds + 0.1])
    assert check_grad(value, slope, start) < 1e-5


def test_the_world_that_made_the_grades_is_found_again():
    values, labels, coef, thresholds = ordered_rows()
    counts = np.bincount(labels)[1:]
    keep = np.arange(len(labels))
    model = OrdinalLogistic(alpha=1e-6)
    model.fit(values[keep], labels[keep])
    np.testing.assert_allclose(model.coef_, coef, atol=0.15)
    # Rare classes weigh as much as frequent ones, which moves the thresholds, not their order.
    assert (np.diff(model.thresholds_) > 0).all()
    assert len(model.thresholds_) == len(counts) - 1
    assert np.corrcoef(model.thresholds_, thresholds)[0, 1] > 0.95


@pytest.mark.parametrize("loss", ["cumulative", "all_threshold"])
def test_two_classes_are_ordinary_logistic_regression(loss):
    values, labels, _, _ = ordered_rows(400)
    two = (labels > 3).astype(int)
    ours = OrdinalLogistic(alpha=0.01, loss=loss).fit(values, two)
    theirs = LogisticRegression(C=1 / (0.01 * 400), class_weight="balanced").fit(values, two)
    np.testing.assert_allclose(ours.predict_proba(values), theirs.predict_proba(values), atol=2e-3)


@pytest.mark.parametrize(
    "model",
    [
        OrdinalLogistic(),
        OrdinalLogistic(loss="all_threshold"),
        FrankHall(),
        FrankHall(RandomForestClassifier(random_state=0)),
    ],
    ids=["cumulative", "all_threshold", "frank_hall", "frank_hall_forest"],
)
def test_reversing_the_scale_reverses_the_answers(model):
    values, labels, _, _ = ordered_rows(300)
    forward = model.fit(values, labels).predict_proba(values)
    backward = model.fit(values, 7 - labels).predict_proba(values)
    tolerance = (
        0.15 if isinstance(model, FrankHall) and model.estimator is not None else 0.01
    )  # chance
    np.testing.assert_allclose(forward, backward[:, ::-1], atol=tolerance)


@pytest.mark.parametrize(
    "model", [OrdinalLogistic(), FrankHall()], ids=["cumulative", "frank_hall"]
)
def test_grades_with_a_gap_keep_their_names(model):
    values, labels, _, _ = ordered_rows(300)
    keep = ~np.isin(labels, [1, 4])
    model.fit(values[keep], labels[keep])
    assert model.classes_.tolist() == [2, 3, 5, 6]
    assert set(model.predict(values)) <= {2, 3, 5, 6}


def test_crossing_thresholds_are_levelled():
    chances = chances_from_above(np.array([[0.9, 0.4, 0.6, 0.1]]))
    np.testing.assert_allclose(chances, [[0.1, 0.4, 0.0, 0.4, 0.1]])


def test_a_far_row_sways_the_all_threshold_loss_less_than_it_could():
    """An ordered world answered in order: mean distance is small for both losses."""
    values, labels, _, _ = ordered_rows(600)
    new, truth, _, _ = ordered_rows(600, seed=1)
    for loss in ("cumulative", "all_threshold"):
        answers = OrdinalLogistic(loss=loss).fit(values, labels).predict(new)
        assert np.abs(answers - truth).mean() < 1.3
