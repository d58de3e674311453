"""Scores of every model of a prediction table, with intervals and the baseline beside them.

A score needs only how often class i was answered with class j. Kept apart by patient, these counts
can be summed over any resample of patients at once, which makes the bootstrap one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from common.arrays import Floats, Names
from common.bootstrap import RESAMPLES, Estimate, resampling_weights
from common.files import write_json
from common.grading.numeric_scores import NumericScore
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.predictions import Unit, to_patients
from common.grading.probabilities import chances_of, probability_scores
from common.grading.scores import Score, more_scores_for, scores_for
from common.grading.target import MAJORITY, Target, patients_and_visits
from common.tables import choice, text
from common.words import unbroken

RECALL = "Exact in each class"


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
    times = predictions[["patient_id", *drawn]].astype({"patient_id": str}).drop_duplicates()
    tested = times.groupby("patient_id").size().loc[patients].to_numpy(dtype=np.float64)
    return Confusion(counts=counts / tested[:, None, None], patients=patients)


@dataclass(frozen=True)
class Evaluation:
    """Scores of photographs or of patients, by model.

    `estimates` are by score name, those of probabilities (`auc`, `brier`, `calibration_error`)
    apart.
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
        return scores_for(self.target)

    @property
    def more_scores(self) -> list[Score]:
        """The scores of the second table."""
        return more_scores_for(self.target)

    @property
    def headline(self) -> Score:
        """The score that a summary names: the error in grades, which everybody understands."""
        name = "mae" if self.target.ordered else "balanced_accuracy"
        return next(score for score in self.scores if score.name == name)

    def baseline(self, score: Score | NumericScore) -> float | None:
        """Return what always answering the commonest class achieves, if that was run."""
        found = self.estimates.get(MAJORITY)
        return found[score.name].value if found else None

    def recall_of(self, model: str) -> str:
        """Return how many of each class one model answered exactly, in one line."""
        return recall_line(self.confusions[model].total, self.target.spoken)

    def cells(self, model: str) -> dict[str, str]:
        """Return a model's scores for a table, intervals on a second line, and recalls behind."""
        found = self.estimates[model]
        scores = {score.title: two_lines(found[score.name]) for score in self.scores}
        return scores | {RECALL: unbroken(self.recall_of(model))}

    def as_json(self) -> dict[str, Any]:
        """Return the content of `metrics.json` for this level."""
        return {
            "n": len(
                self.predictions.drop_duplicates(
                    [*self._key, *patients_and_visits(self.predictions)]
                )
            ),
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
    """Score every model of a prediction table, all on the same resampled patients."""
    confusions = {
        str(model): confusion_of(rows, target=target)
        for model, rows in predictions.groupby("model", sort=False)
    }
    estimates, probabilities = {}, {}
    scores = [*scores_for(target), *more_scores_for(target)]
    for model, confusion in confusions.items():
        weights = resampling_weights(len(confusion.patients), seed=seed)
        estimates[model] = {
            score.name: score.estimate(confusion.counts, weights=weights) for score in scores
        }
        own = predictions[predictions["model"] == model]
        probabilities[model] = probability_scores(chances_of(own, target=target), weights=weights)
    return Evaluation(unit, target, predictions, confusions, estimates, probabilities)


def every_level(
    predictions: pd.DataFrame, *, target: Target, unit: Unit, seed: int = 0
) -> list[Evaluation]:
    """Score what was answered: patients, or photographs and then their sums over patients."""
    if unit == "patient":
        return [evaluate(predictions, target=target, unit="patient", seed=seed)]
    return both_levels(predictions, target=target, seed=seed)


def both_levels(predictions: pd.DataFrame, *, target: Target, seed: int = 0) -> list[Evaluation]:
    """Score photographs, and the same answers summed up to patients."""
    patients = to_patients(predictions, target=target)
    return [
        evaluate(predictions, target=target, unit="photograph", seed=seed),
        evaluate(patients, target=target, unit="patient", seed=seed),
    ]


def fold_confusions_schema(target: Target) -> pa.DataFrameSchema:
    """Return the schema of `fold_confusions.csv`, the table of `fold_confusions`."""
    count = pa.Column("int64", pa.Check.ge(0, error="be 0 or more"))
    return pa.DataFrameSchema(
        {
            "unit": choice(("photograph", "patient")),
            "model": text(),
            "repeat": pa.Column("int64"),
            "fold": pa.Column("int64"),
            "reference": choice(target.classes),
            **{f"answered_{name}": count for name in target.classes},
        },
        name="fold confusions",
    )


def fold_confusions(predictions: pd.DataFrame, *, target: Target, unit: str) -> pd.DataFrame:
    """Return the counts of every model in every fold, as they are written for a spreadsheet.

    A row for each `unit`, `model`, `repeat`, `fold` and `reference` (class of the target), with a
    column `answered_<class>` for each class: how many were answered so.
    """
    names = target.named(np.arange(1, len(target.classes) + 1))
    answers = {name: f"answered_{of}" for name, of in zip(names, target.classes, strict=True)}
    where = ["model", "repeat", "fold"]
    rows = predictions[where].assign(
        reference=[target.classes[number - 1] for number in target.numbers(predictions)],
        answer=predictions["predicted"].map(answers),
    )
    counts = rows.groupby([*where, "reference"])["answer"].value_counts().unstack()
    every = rows[where].drop_duplicates().merge(
        pd.DataFrame({"reference": list(target.classes)}), how="cross"
    )  # fmt: skip
    found = counts.reindex(index=pd.MultiIndex.from_frame(every), columns=list(answers.values()))
    table = found.fillna(0).astype(np.int64).reset_index()
    table.insert(0, "unit", unit)
    return table


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


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, 6)
