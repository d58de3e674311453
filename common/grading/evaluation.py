"""Scores of every model of a prediction table, with intervals and the baseline beside them.

A score needs only how often class i was answered with class j. Kept apart by patient, these counts
can be summed over any resample of patients at once, which makes the bootstrap one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from common.arrays import Floats, Names
from common.bootstrap import RESAMPLES, Estimate, resampled_counts, resampling_weights
from common.files import write_json
from common.grading.numeric_scores import Rows, estimated, numeric_scores_for
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.predictions import Unit, to_patients
from common.grading.probabilities import chances_of, probability_scores
from common.grading.scores import Score, scores_for
from common.grading.target import MAJORITY, Target, patients_and_visits
from common.words import unbroken

RECALL = "Exact in each class"
MEAN, MEDIAN = "mean", "median"
BASELINES = (MEDIAN, MEAN)
"""Names of the baselines of numbers: of the training patients' scores, whatever the face shows."""


@dataclass(frozen=True)
class Confusion:
    """Answers of one model to patients, whose names are sorted.

    `counts` are `(n_patients, k, k)`: how often class i (row) was answered with class j (column).
    The mean over all times that the patient was tested, so that everybody counts the number of
    photographs (or 1), however often repeats or random draws tested them.
    """

    counts: Floats
    patients: Names

    @property
    def total(self) -> Floats:
        """`(k, k)` counts over all patients."""
        return self.counts.sum(axis=0)


def recall_line(total: Floats, names: Sequence[str]) -> str:
    """Return how many of each class were answered exactly: `I 0/10 · II 6/10`.

    The one way in which recall stands beside a kappa, which can be high although a whole class is
    never answered. Classes that do not occur are left out; counts are means over repeats, so they
    need not be whole.
    """
    right, of = np.diagonal(total), total.sum(axis=1)
    return " · ".join(
        f"{name} {shown_count(hits)}/{shown_count(n)}"
        for name, hits, n in zip(names, right, of, strict=True)
        if n > 0
    )


def recall_json(total: Floats, classes: Sequence[str]) -> dict[str, object]:
    """Return the same for `metrics.json`: `right` and `of` of each class that occurs."""
    right, of = np.diagonal(total), total.sum(axis=1)
    return {
        name: {"right": round(float(hits), 6), "of": round(float(n), 6)}
        for name, hits, n in zip(classes, right, of, strict=True)
        if n > 0
    }


def shown_count(value: float) -> str:
    """Return a count that may be a mean over repeats: whole where it is, else one decimal."""
    return f"{value:.0f}" if abs(value - round(value)) < 0.05 else f"{value:.1f}"


def confusion_of(predictions: pd.DataFrame, *, target: Target) -> Confusion:
    """Count one model's answers to photographs or to patients, rows by `predictions_schema`."""
    k = len(target.classes)
    truth = target.numbers(predictions) - 1
    place = {answer: at for at, answer in enumerate(target.named(np.arange(1, k + 1)))}
    answer = predictions["predicted"].map(place).to_numpy(dtype=np.int64)
    patients, at = np.unique(predictions["patient_id"].to_numpy(dtype=np.str_), return_inverse=True)
    counts = np.zeros((len(patients), k, k))
    np.add.at(counts, (at, truth, answer), 1.0)
    drawn = [name for name in ("repeat", "fold") if name in predictions.columns]
    times = predictions[drawn].assign(patient=at).drop_duplicates()["patient"]
    tested = np.bincount(times, minlength=len(patients))
    return Confusion(counts=counts / tested[:, None, None], patients=patients)


def scores_of(target: AnyTarget, *, more: bool = False) -> list[Score]:
    """Return the scores of classes or of numbers; `more` are those of the second table."""
    if isinstance(target, NumericTarget):
        return numeric_scores_for(target, more=more)
    return scores_for(target, more=more)


@dataclass(frozen=True)
class Scored:
    """Scores of photographs or of patients, by model and score name, as an evaluation has them."""

    unit: Unit
    target: AnyTarget
    predictions: pd.DataFrame
    estimates: dict[str, dict[str, Estimate]]
    guess: ClassVar[str]  # model that answers the same for everybody

    @property
    def scores(self) -> list[Score]:
        """The scores that make sense for the target, in the order of a table."""
        return scores_of(self.target)

    @property
    def more_scores(self) -> list[Score]:
        """The scores of the second table."""
        return scores_of(self.target, more=True)

    @property
    def headline(self) -> Score:
        """The score that a summary names: the mean error, which everybody understands."""
        return next(one for one in self.scores if one.name in ("mae", "balanced_accuracy"))

    def baseline(self, score: Score) -> float | None:
        """Return what always answering the same (commonest, median) achieves, if that was run."""
        found = self.estimates.get(self.guess)
        return found[score.name].value if found else None

    def of(self, model: str) -> pd.DataFrame:
        """Return one model's rows of the predictions."""
        return self.predictions[self.predictions["model"] == model]

    def cells(self, model: str) -> dict[str, str | None]:
        """Return a model's scores for a table, intervals on a second line."""
        return self.cells_of(model, self.scores)

    def cells_of(self, model: str, scores: Sequence[Score]) -> dict[str, str | None]:
        """Return these scores of a model for a table."""
        found = self.estimates[model]
        return {score.title: two_lines(found[score.name]) for score in scores}

    def as_json(self) -> dict[str, Any]:
        """Return the content of `metrics.json` for this level."""
        key = "image_id" if self.unit == "photograph" else self.target.column
        by = patients_and_visits(self.predictions)
        return {
            "n": len(self.predictions.drop_duplicates([key, *by])),
            "n_patients": int(self.predictions["patient_id"].nunique()),
            "models": {model: self._json_of(model) for model in self.estimates},
        }

    def _json_of(self, model: str) -> dict[str, Any]:
        found = self.estimates[model]
        scores = [*self.scores, *self.more_scores]
        return {score.name: found[score.name].as_json() for score in scores}


@dataclass(frozen=True)
class Evaluation(Scored):
    """Scores of classes; those of probabilities (`auc`, `brier`, `calibration_error`) apart."""

    target: Target
    confusions: dict[str, Confusion]
    probabilities: dict[str, dict[str, Estimate]]
    guess = MAJORITY

    def recall_of(self, model: str) -> str:
        """Return how many of each class one model answered exactly, in one line."""
        return recall_line(self.confusions[model].total, self.target.spoken)

    def cells(self, model: str) -> dict[str, str | None]:
        """Return a model's scores for a table, intervals on a second line, and recalls behind."""
        return super().cells(model) | {RECALL: unbroken(self.recall_of(model))}

    def _json_of(self, model: str) -> dict[str, Any]:
        scores = super()._json_of(model)
        for score in [*self.scores, *self.more_scores]:
            scores[score.name]["majority_baseline"] = rounded(self.baseline(score))
        return (
            scores
            | {name: value.as_json() for name, value in self.probabilities[model].items()}
            | {"recall": recall_json(self.confusions[model].total, self.target.classes)}
        )


@dataclass(frozen=True)
class NumericEvaluation(Scored):
    """Scores of answers that are numbers."""

    target: NumericTarget
    guess = MEDIAN

    def cells_of(self, model: str, scores: Sequence[Score]) -> dict[str, str | None]:
        """Return these scores of a model for a table; without those that no model has."""
        known = (
            score
            for score in scores
            if any(np.isfinite(found[score.name].value) for found in self.estimates.values())
        )
        found = self.estimates[model]
        return {
            score.title: two_lines(found[score.name])
            if np.isfinite(found[score.name].value)
            else None
            for score in known
        }


def evaluate(
    predictions: pd.DataFrame, *, target: Target, unit: Unit = "photograph", seed: int = 0
) -> Evaluation:
    """Score every model of a prediction table, all on the same resampled patients."""
    confusions, estimates, probabilities = {}, {}, {}
    scores = [*scores_of(target), *scores_of(target, more=True)]
    for name, own in predictions.groupby("model", sort=False):
        model, confusion = str(name), confusion_of(own, target=target)
        weights = resampling_weights(len(confusion.patients), seed=seed)
        drawn = resampled_counts(confusion.counts, weights=weights)
        confusions[model] = confusion
        estimates[model] = {
            score.name: score.estimate(confusion.counts, weights=weights, drawn=drawn)
            for score in scores
        }
        probabilities[model] = probability_scores(chances_of(own, target=target), weights=weights)
    return Evaluation(unit, target, predictions, estimates, confusions, probabilities)


def evaluate_numbers(
    predictions: pd.DataFrame, *, target: NumericTarget, unit: Unit = "photograph", seed: int = 0
) -> NumericEvaluation:
    """Score every model of a prediction table of numbers, on the same resampled patients."""
    scores, estimates = [*scores_of(target), *scores_of(target, more=True)], {}
    for model, own in predictions.groupby("model", sort=False):
        rows = Rows.of(own, target=target)
        weights = resampling_weights(len(rows.patients), seed=seed)
        estimates[str(model)] = {
            score.name: estimated(score, rows, weights=weights) for score in scores
        }
    return NumericEvaluation(unit, target, predictions, estimates)


def scored(
    predictions: pd.DataFrame, *, target: AnyTarget, unit: Unit, seed: int = 0
) -> list[Evaluation] | list[NumericEvaluation]:
    """Score what was answered: patients, or photographs and then their sums over patients."""
    levels: dict[Unit, pd.DataFrame] = {unit: predictions}
    if unit == "photograph":
        levels["patient"] = to_patients(predictions, target=target)
    if isinstance(target, NumericTarget):
        return [
            evaluate_numbers(rows, target=target, unit=of, seed=seed) for of, rows in levels.items()
        ]
    return [evaluate(rows, target=target, unit=of, seed=seed) for of, rows in levels.items()]


def write_metrics(
    out: Path, *, target: AnyTarget, by_unit: Mapping[Unit, dict[str, Any]], **more: object
) -> None:
    """Write `metrics.json`: the scores per photograph and per patient, and what else is told."""
    scale: dict[str, object] = (
        {"range": [target.low, target.high], "unit": target.unit}
        if isinstance(target, NumericTarget)
        else {"classes": list(target.classes)}
    )
    content = {
        "target": target.name,
        **scale,
        "interval": f"95 %, patients resampled {RESAMPLES} times",
        **more,
        **{f"per_{unit}": found for unit, found in by_unit.items()},
    }
    write_json(out / "metrics.json", content)


def two_lines(found: Estimate) -> str:
    """Return the value with its interval on a second line."""
    return f"{found.value:.2f}\n{found.low:.2f} to {found.high:.2f}"


def rounded(value: float | None) -> float | None:
    """Return a number as `metrics.json` holds it, None where it is not defined."""
    return None if value is None or math.isnan(value) else round(value, 6)
