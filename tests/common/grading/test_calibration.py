"""Temperature, sets of adjacent grades, and abstention keep what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.grading.calibration import (
    GradeSets,
    about_ranges,
    abstention_curve,
    expected_distance,
    fewest_for_sets,
    learn_sets,
    learn_temperature,
    mass_before,
    tempered,
)
from common.grading.target import median_class


def world(n: int, *, sharpness: float = 1.0, seed: int = 0):
    """Chances that are true when `sharpness` is 1: labels are drawn from them."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-0.5, 5.5, size=n)
    logits = -((np.arange(6) - centre[:, None]) ** 2) / 1.5
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (true.cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1) + 1
    return tempered(true, temperature=1 / sharpness), labels.astype(np.int64)


chances = st.lists(st.floats(0.001, 1.0), min_size=6, max_size=6).map(
    lambda row: np.array([row]) / sum(row)
)


@given(chances, st.floats(0.2, 5.0))
def test_temperature_keeps_order_and_sum(row, temperature):
    warmed = tempered(row, temperature=temperature)
    assert warmed.sum() == pytest.approx(1.0)
    assert (np.diff(warmed[0, np.argsort(row[0])]) >= -1e-12).all()  # ties may round apart
    np.testing.assert_allclose(tempered(row, temperature=1.0), row)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
def test_over_and_under_sure_answers_are_put_right(sharpness):
    found, labels = world(4000, sharpness=sharpness)
    assert learn_temperature(found, labels) == pytest.approx(sharpness, rel=0.12)


@given(chances, st.floats(0.0, 1.0))
def test_sets_are_runs_of_adjacent_grades_around_the_median(row, limit):
    low, high = GradeSets(limit=limit).of(row)[0]
    middle = median_class(row)[0] + 1
    assert 1 <= low <= middle <= high <= 6
    inside = mass_before(row)[0] <= limit
    assert inside[low - 1 : high].all()
    assert not inside[: low - 1].any()
    assert not inside[high:].any()


@given(chances)
def test_wider_limits_give_wider_sets(row):
    widths = [np.diff(GradeSets(limit=limit).of(row)[0])[0] for limit in np.linspace(0.0, 1.0, 11)]
    assert widths == sorted(widths)
    assert widths[-1] == 5


@pytest.mark.parametrize("coverage", [0.8, 0.9])
@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_sets_reach_their_stated_coverage_even_with_wrong_chances(coverage, sharpness):
    """Two hundred cohorts of 60 patients; within three points of what is stated."""
    hits = []
    for seed in range(200):
        found, labels = world(60 + 100, sharpness=sharpness, seed=seed)
        sets = learn_sets(found[:60], labels[:60], coverage=coverage).of(found[60:])
        hits.append(((sets[:, 0] <= labels[60:]) & (labels[60:] <= sets[:, 1])).mean())
    assert np.mean(hits) == pytest.approx(coverage, abs=0.03)


def test_too_few_patients_give_sets_of_all_grades():
    found, labels = world(5)
    assert learn_sets(found, labels, coverage=0.9).of(found).tolist() == [[1, 6]] * 5


@given(chances)
def test_the_median_expects_the_smallest_distance(row):
    distance = np.abs(np.arange(6)[:, None] - np.arange(6)[None, :])
    expected = (row @ distance)[0]
    assert expected[median_class(row)[0]] == pytest.approx(expected.min())
    assert expected_distance(row)[0] == pytest.approx(expected.min())


def test_answering_only_the_surest_lowers_the_error_when_sureness_is_real():
    found, labels = world(3000)
    errors = np.abs(median_class(found) + 1 - labels).astype(float)
    curve = abstention_curve(errors, -expected_distance(found))
    assert curve[-1, 0] == 1.0
    assert curve[-1, 1] == pytest.approx(errors.mean())
    half = curve[np.searchsorted(curve[:, 0], 0.5), 1]
    assert half < 0.85 * errors.mean()
    assert (np.diff(curve[:, 0]) > 0).all()


def test_sets_of_few_patients_are_wide_and_the_cause_is_named():
    """One badly answered patient: below 9 sets hold everything, below 19 that one decides."""
    fewest, steady = fewest_for_sets(), fewest_for_sets(worst=1)
    assert (fewest, steady) == (9, 19)
    for n in (fewest - 1, fewest, steady - 1, steady):
        chances = np.tile([0.9, 0.1, 0.0], (n, 1))
        labels = np.array([2] + [1] * (n - 1))
        limit = learn_sets(chances, labels).limit
        assert limit == (1.0 if n < fewest else 0.9 if n < steady else 0.0)
    assert "holds all classes because a grader learned from 8 patients" in about_ranges(learned=8)
    assert "wide because a grader learned from 12 patients only" in about_ranges(learned=12)
    assert about_ranges(learned=19).endswith("means that the photographs do not tell more.")
