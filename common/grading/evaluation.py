"""Scores of every model of a prediction table, with intervals and the baseline beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from common.bootstrap import Estimate, resampling_weights
from common.grading.baseline import MAJORITY
from common.grading.confusion import Confusion, confusion_of, recall_json, recall_line
from common.grading.intervals import estimate
from common.grading.plots import roman
from common.grading.predictions import Unit, to_patients
from common.grading.probabilities import chances_of, probability_scores
from common.grading.scores import MORE_SCORES, Score, scores_for
from common.grading.target import Target
from common.words import unbroken

RECALL = "Exact in each class"


@dataclass(frozen=True)
class Evaluation:
    """Scores at one level.

    Attributes
    ----------
    unit
        What was scored: each photograph, or each patient as a whole.
    target
        The question that was answered.
    predictions
        The answers that were scored.
    confusions, estimates, probabilities
        By model; the estimates by score name, those of probabilities (`auc`, `brier`,
        `calibration_error`) apart.
    """

    unit: Unit
    target: Target
    predictions: pd.DataFrame
    confusions: dict[str, Confusion]
    estimates: dict[str, dict[str, Estimate]]
    probabilities: dict[str, dict[str, Estimate]]

    @property
    def scores(self) -> list[Score]:
        """The scores that make sense for the target, in the order of a table."""
        return scores_for(ordered=self.target.ordered)

    @property
    def more_scores(self) -> list[Score]:
        """The scores of the second table."""
        ordered = self.target.ordered
        return [score for score in MORE_SCORES.values() if ordered or not score.ordered_only]

    @property
    def headline(self) -> Score:
        """The score that a summary names: the error in grades, which everybody understands."""
        name = "mae" if self.target.ordered else "balanced_accuracy"
        return next(score for score in self.scores if score.name == name)

    def baseline(self, score: Score) -> float | None:
        """Return what always answering the commonest class achieves, if that was run."""
        found = self.estimates.get(MAJORITY)
        return found[score.name].value if found else None

    def recall_of(self, model: str) -> str:
        """Return how many of each class one model answered exactly, in one line."""
        return recall_line(self.confusions[model].total, roman(self.target))

    def cells(self, model: str) -> dict[str, str]:
        """Return a model's scores for a table, `0.31` with `0.28 to 0.33` on a second line.

        Behind the scores stands the recall of each class.
        """
        found = self.estimates[model]
        scores = {score.title: two_lines(found[score.name]) for score in self.scores}
        return scores | {RECALL: unbroken(self.recall_of(model))}

    def as_json(self) -> dict[str, Any]:
        """Return the content of `metrics.json` for this level."""
        return {
            "n": len(self.predictions.drop_duplicates([*self._key, "patient_id"])),
            "n_patients": int(self.predictions["patient_id"].nunique()),
            "models": {
                model: {
                    score.name: {
                        **found[score.name].as_json(),
                        "majority_baseline": _rounded(self.baseline(score)),
                    }
                    for score in [*self.scores, *self.more_scores]
                }
                | {name: value.as_json() for name, value in self.probabilities[model].items()}
                | {"recall": recall_json(self.confusions[model].total, self.target.classes)}
                for model, found in self.estimates.items()
            },
        }

    @property
    def _key(self) -> list[str]:
        return ["image_id"] if self.unit == "photograph" else [self.target.column]


def evaluate(
    predictions: pd.DataFrame, *, target: Target, unit: Unit = "photograph", seed: int = 0
) -> Evaluation:
    """Score every model of a prediction table.

    Parameters
    ----------
    predictions
        By `predictions_schema`, whole patients held out.
    seed
        Of the bootstrap; all models are scored on the same resampled patients.
    """
    confusions = {
        str(model): confusion_of(rows, target=target)
        for model, rows in predictions.groupby("model", sort=False)
    }
    estimates, probabilities = {}, {}
    scores = [*scores_for(ordered=target.ordered), *MORE_SCORES.values()]
    for model, confusion in confusions.items():
        weights = resampling_weights(len(confusion.patients), seed=seed)
        estimates[model] = {
            score.name: estimate(score, confusion.counts, weights=weights)
            for score in scores
            if target.ordered or not score.ordered_only
        }
        own = predictions[predictions["model"] == model]
        probabilities[model] = probability_scores(chances_of(own, target=target), weights=weights)
    return Evaluation(unit, target, predictions, confusions, estimates, probabilities)


def both_levels(predictions: pd.DataFrame, *, target: Target, seed: int = 0) -> list[Evaluation]:
    """Score photographs, and the same answers summed up to patients."""
    patients = to_patients(predictions, target=target)
    return [
        evaluate(predictions, target=target, unit="photograph", seed=seed),
        evaluate(patients, target=target, unit="patient", seed=seed),
    ]


def two_lines(found: Estimate) -> str:
    """Return the value with its interval on a second line."""
    return f"{found.value:.2f}\n{found.low:.2f} to {found.high:.2f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, 6)
