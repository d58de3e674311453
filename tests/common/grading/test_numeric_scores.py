"""Scores of numbers are those of scikit-learn and SciPy, and their intervals resample patients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from common.bootstrap import resampling_weights
from common.grading.evaluation import evaluate_numbers, scored
from common.grading.numeric_scores import Rows, rank_correlation
from common.grading.numeric_target import NUMERIC

TARGET = replace(NUMERIC["sunnybrook"], detectable=10.0, detectable_source="made up")


def answers(n: int = 40, *, noise: float = 8.0, seed: int = 0) -> pd.DataFrame:
    """Return predictions of patients with a known distance from the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(10, 100, size=n).round()
    predicted = np.clip(truth + rng.normal(2.0, noise, size=n), 0, 100)
    return pd.DataFrame(
        {
            "patient_id": [f"p{at}" for at in range(n)],
            "sunnybrook": truth,
            "predicted": predicted,
            "low": np.clip(predicted - 12, 0, 100),
            "high": np.clip(predicted + 12, 0, 100),
            "repeat": 1,
            "fold": 1 + np.arange(n) % 5,
            "model": "ridge",
            "branch": "geometric",
        }
    )


def test_scores_are_those_of_the_libraries() -> None:
    table = answers()
    truth, predicted = (table[name].to_numpy() for name in ("sunnybrook", "predicted"))
    found = evaluate_numbers(table, target=TARGET, unit="patient").estimates["ridge"]
    off = predicted - truth
    expected = {
        "mae": mean_absolute_error(truth, predicted),
        "rmse": root_mean_squared_error(truth, predicted),
        "pearson": stats.pearsonr(truth, predicted).statistic,
        "spearman": stats.spearmanr(truth, predicted).statistic,
        "bias": off.mean(),
        "limit_low": off.mean() - 1.96 * off.std(ddof=1),
        "limit_high": off.mean() + 1.96 * off.std(ddof=1),
        "within_change": (np.abs(off) <= 10).mean(),
        "covered": ((table["low"] <= truth) & (truth <= table["high"])).mean(),
        "interval_width": (table["high"] - table["low"]).mean(),
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value), name
        assert found[name].low <= value <= found[name].high, name


def test_icc_is_that_of_the_mean_squares_and_shows_a_bias_that_pearson_does_not() -> None:
    table = answers()
    found = evaluate_numbers(table, target=TARGET, unit="patient").estimates["ridge"]
    scores = table[["sunnybrook", "predicted"]].to_numpy()
    n, grand = len(scores), scores.mean()
    rows = 2 * np.square(scores.mean(axis=1) - grand).sum() / (n - 1)
    columns = n * np.square(scores.mean(axis=0) - grand).sum()
    rest = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + grand
    error = np.square(rest).sum() / (n - 1)
    expected = (rows - error) / (rows + error + 2 * (columns - error) / n)
    assert found["icc"].value == pytest.approx(expected)
    shifted = table.assign(predicted=table["sunnybrook"] / 2)
    biased = evaluate_numbers(shifted, target=TARGET, unit="patient").estimates["ridge"]
    assert biased["pearson"].value == pytest.approx(1.0)
    assert biased["icc"].value < 0.6


def test_ranks_are_those_of_the_people_drawn() -> None:
    table = answers(12).assign(sunnybrook=[10, 10, 20, 30, 30, 30, 40, 50, 60, 70, 80, 90])
    rows = Rows.of(table, target=TARGET)
    weights = resampling_weights(12, resamples=5)
    for drawn, found in zip(weights, rank_correlation(rows, weights=weights), strict=True):
        again = np.repeat(np.arange(12), drawn[rows.patient].astype(int))
        truth, answer = rows.truth[again], rows.answer[again]
        assert found == pytest.approx(stats.spearmanr(truth, answer).statistic)


def test_who_was_tested_twice_counts_once() -> None:
    table = answers(20)
    twice = pd.concat([table, table.assign(repeat=2)])
    once = evaluate_numbers(table, target=TARGET, unit="patient").estimates["ridge"]
    both = evaluate_numbers(twice, target=TARGET, unit="patient").estimates["ridge"]
    for name, found in once.items():
        assert both[name].value == pytest.approx(found.value), name
        assert both[name].high == pytest.approx(found.high), name


def test_a_constant_answer_has_no_correlation_and_no_agreement() -> None:
    table = answers().assign(predicted=60.0, low=np.nan, high=np.nan)
    found = evaluate_numbers(table, target=TARGET, unit="patient").estimates["ridge"]
    assert np.isnan([found[name].value for name in ("pearson", "spearman", "covered")]).all()
    assert found["icc"].value == pytest.approx(0.0, abs=0.05)


def test_photographs_are_summed_up_to_patients() -> None:
    table = answers(10)
    photographs = pd.concat(
        table.assign(
            image_id=[f"{name}/{at}" for name in table["patient_id"]],
            predicted=(table["predicted"] + shift).clip(0, 100),
        )
        for at, shift in enumerate((-3.0, 3.0))
    )
    levels = scored(photographs, target=TARGET, unit="photograph")
    assert [level.unit for level in levels] == ["photograph", "patient"]
    assert [level.as_json()["n"] for level in levels] == [20, 10]
    *_, patients = levels
    assert patients.estimates["ridge"]["mae"].value <= levels[0].estimates["ridge"]["mae"].value
