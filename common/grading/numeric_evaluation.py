"""Scores of every model of a prediction table of numbers, with intervals and baselines beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from common.bootstrap import Estimate, resampling_weights
from common.grading.evaluation import Evaluation, every_level, two_lines
from common.grading.numeric_scores import (
    NumericScore,
    Rows,
    more_numeric_scores_for,
    numeric_scores_for,
)
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.predictions import Unit, to_patients
from common.grading.scores import Score
from common.grading.target import patients_and_visits

MEAN, MEDIAN = "mean", "median"
BASELINES = (MEDIAN, MEAN)
"""Names of the baselines in tables: of the training patients' scores, whatever the face shows."""


@dataclass(frozen=True)
class NumericEvaluation:
    """Scores of photographs or of patients, by model and score name; `rows` are by model too."""

    unit: Unit
    target: NumericTarget
    predictions: pd.DataFrame
    rows: dict[str, Rows]
    estimates: dict[str, dict[str, Estimate]]

    @property
    def scores(self) -> list[NumericScore]:
        """The scores that make sense for the target, in the order of a table."""
        return numeric_scores_for(self.target)

    @property
    def more_scores(self) -> list[NumericScore]:
        """The scores of the second table."""
        return more_numeric_scores_for(self.target)

    @property
    def headline(self) -> NumericScore:
        """The score that a summary names: the mean error, which everybody understands."""
        return self.scores[0]

    def baseline(self, score: Score | NumericScore) -> float | None:
        """Return what answering the median of the training patients achieves, if that was run."""
        found = self.estimates.get(MEDIAN)
        return found[score.name].value if found else None

    def of(self, model: str) -> pd.DataFrame:
        """Return one model's rows of the predictions."""
        return self.predictions[self.predictions["model"] == model]

    def cells(self, model: str) -> dict[str, str]:
        """Return a model's scores for a table, intervals on a second line."""
        return cells_of(self.estimates[model], self.scores)

    def as_json(self) -> dict[str, Any]:
        """Return the content of `metrics.json` for this level."""
        key = ["image_id"] if self.unit == "photograph" else []
        by = patients_and_visits(self.predictions)
        return {
            "n": len(self.predictions.drop_duplicates([*key, *by])),
            "n_patients": int(self.predictions["patient_id"].nunique()),
            "models": {
                model: {
                    score.name: found[score.name].as_json()
                    for score in [*self.scores, *self.more_scores]
                }
                for model, found in self.estimates.items()
            },
        }


def cells_of(found: dict[str, Estimate], scores: Sequence[NumericScore]) -> dict[str, str]:
    """Return scores with their intervals on a second line, by title."""
    return {score.title: two_lines(found[score.name]) for score in scores}


def evaluate_numbers(
    predictions: pd.DataFrame, *, target: NumericTarget, unit: Unit = "photograph", seed: int = 0
) -> NumericEvaluation:
    """Score every model of a prediction table, all on the same resampled patients."""
    rows = {
        str(model): Rows.of(own, target=target)
        for model, own in predictions.groupby("model", sort=False)
    }
    scores = [*numeric_scores_for(target), *more_numeric_scores_for(target)]
    estimates = {}
    for model, own in rows.items():
        weights = resampling_weights(len(own.patients), seed=seed)
        estimates[model] = {score.name: score.estimate(own, weights=weights) for score in scores}
    return NumericEvaluation(unit, target, predictions, rows, estimates)


def scored(
    predictions: pd.DataFrame, *, target: AnyTarget, unit: Unit, seed: int = 0
) -> list[Evaluation] | list[NumericEvaluation]:
    """Score what was answered, classes or numbers; the scores of patients come last."""
    if isinstance(target, NumericTarget):
        return every_numeric_level(predictions, target=target, unit=unit, seed=seed)
    return every_level(predictions, target=target, unit=unit, seed=seed)


def every_numeric_level(
    predictions: pd.DataFrame, *, target: NumericTarget, unit: Unit, seed: int = 0
) -> list[NumericEvaluation]:
    """Score what was answered: patients, or photographs and then their means over patients."""
    patients = to_patients(predictions, target=target) if unit == "photograph" else predictions
    found = [evaluate_numbers(patients, target=target, unit="patient", seed=seed)]
    if unit == "photograph":
        found.insert(0, evaluate_numbers(predictions, target=target, unit=unit, seed=seed))
    return found
