"""The command `htnet evaluate`: held-out patients answered, and the answers scored."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.bootstrap import INTERVALS, interval, resampling_weights
from common.errors import UserError, exit_code_for
from common.files import atomic_write, keep, write_json
from common.grading.evaluation import RECALL, Evaluation, NumericEvaluation, evaluate_numbers
from common.grading.evaluation import evaluate as scores_of
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.plots import confusion_figure, scatter_figure
from common.grading.predictions import TWIN, Unit, in_order, write_predictions
from common.provenance import write_run_record
from common.report import figure_png
from common.tables import nameless_patients
from htnet.network.htnet import set_threads
from htnet.palsy.answers import (
    MODEL,
    AnsweredFold,
    answered_fold,
    baseline_rows,
    log_loss,
    read_trained,
    target_of,
)
from htnet.palsy.asking import Precision
from htnet.palsy.cohort import ImageCohort, read_image_cohort
from htnet.palsy.folds import FoldPart, evaluated_parts, trained_files
from htnet.palsy.histograms import patient_histograms, twin_rows
from htnet.palsy.sureness import CALIBRATION, PatientReach, PatientTemperature, read_sureness

MEAN_MODEL = "htnet_mean"  # patients by the plain mean of their photographs, not calibrated
PREDICTIONS, PATIENT_PREDICTIONS = "predictions.csv", "patient_predictions.csv"


@dataclass(frozen=True)
class EvaluateResult:
    """Scores of photographs, then of patients; the predictions; what was left out."""

    evaluations: list[Evaluation | NumericEvaluation]
    predictions: pd.DataFrame
    complaints: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 all photographs were used, 3 some were left out."""
        return exit_code_for(ok=len(self.predictions), failed=len(self.complaints))


def evaluate(
    trained: Path,
    manifest: Path,
    *,
    landmarks: Path,
    out: Path,
    features: Path | None = None,
    precision: Precision = "fp32",
    seed: int = 0,
    threads: int | None = None,
) -> EvaluateResult:
    """Answer each fold's held-out patients and score the answers.

    Writes `predictions.csv` and `predictions.npz` of photographs, `patient_predictions.csv`,
    `metrics.json` with intervals and the majority baseline, per-class scores, and confusion
    matrices as PNG. A patient's answer is the mean over the photographs, made as sure as suits the
    fold's validation patients (`htnet_mean` in the scores is the mean alone). Beside them stands
    `hog`, the classical twin: the bar that a network has to pass. Of a target that is a number,
    intervals, pictures of answers against the truth, and the baselines mean and median take the
    place of probabilities, confusion matrices and majority. Research use only.

    Parameters
    ----------
    trained
        Folder that `htnet train` wrote; or one network, of `htnet train --everyone` or `htnet
        convert`, which is tested on all patients from whom it did not learn.
    manifest
        The manifest that it was trained with; for one network, another.
    landmarks
        `landmarks.csv` of the same photographs.
    out
        Folder for the results.
    features
        `features.csv`, for networks that were trained with it.
    precision
        Of the matrix products: `fp32`, or `bf16`, which is faster for large networks where the
        processor knows it.
    seed
        Of the bootstrap.
    threads
        Processor threads; as many as there are processors when not given.

    Raises
    ------
    UserError
        When there are no weights, or a network would be tested on a patient it learned from.
    """
    set_threads(threads)
    began = time.monotonic()
    weights = [trained] if trained.is_file() else trained_files(trained)
    if not weights:
        raise UserError(f"{trained} holds no trained network: run htnet train first.")
    network, notes = read_trained(weights[0])
    target = target_of(notes)
    cohort = read_image_cohort(
        manifest, landmarks, target=target, config=network.config, features=features,
        weights=weights[0],
    )  # fmt: skip
    parts = evaluated_parts(trained, cohort)
    answered = _answered(parts, cohort, precision=precision)
    learned = [part for part in parts.values() if len(part.learned)]
    twin = []
    if learned:
        twin = [twin_rows(patient_histograms(cohort), learned, cohort)]
    evaluations = _scored(answered, twin, learned, cohort, seed=seed)
    predictions = in_order(_joined(answered, "photographs"), unit="photograph", models=[MODEL])
    patients = in_order(
        pd.concat([_joined(answered, "patients"), *twin]), unit="patient", models=[MODEL, TWIN]
    )
    write_predictions(predictions, out / PREDICTIONS, target=target)
    write_predictions(patients, out / PATIENT_PREDICTIONS, target=target, unit="patient")
    _write_npz(predictions, out / "predictions.npz", target=target)
    calibration = _calibration(answered, target=target)
    write_json(out / "metrics.json", {**_metrics(evaluations, target), "calibration": calibration})
    for one in evaluations:
        title = f"HTNet, per {one.unit}"
        if isinstance(one, NumericEvaluation):
            kind, figure = "scatter", scatter_figure(one.of(MODEL), target=one.target, title=title)
        else:
            total = one.confusions[MODEL].total
            kind, figure = "confusion", confusion_figure(total, target=one.target, title=title)
        with atomic_write(out / f"{kind}_per_{one.unit}.png") as temporary:
            temporary.write_bytes(figure_png(figure))
    nameless = nameless_patients(cohort.rows)
    write_run_record(
        out,
        command="htnet evaluate",
        settings={"trained": trained.name, "target": target.name, "precision": precision},
        seed=seed,
        files={"manifest": manifest, "landmarks": landmarks}
        | {f"weights_{number}": file for number, file in enumerate(parts, start=1)},
        counts={
            "photographs": len(predictions),
            "left_out": len(cohort.complaints),
            **cohort.source.counts(),
        },
        seconds={"all": time.monotonic() - began},
        notes={"warnings": nameless},
    )
    _tell(evaluations, cohort.complaints)
    if cohort.source.corrected:
        print(f"Made from {cohort.source.sentence()}")
    for sentence in nameless:
        print(f"Warning: {sentence}", file=sys.stderr)
    return EvaluateResult(evaluations, predictions, cohort.complaints)


def _answered(
    parts: Mapping[Path, FoldPart], cohort: ImageCohort, *, precision: Precision
) -> dict[str, AnsweredFold]:
    """Let each fold's network answer, by name of the fold."""
    found = {}
    for file, part in parts.items():
        network, _ = read_trained(file)
        known = not len(part.learned) or (file.parent / CALIBRATION).exists()
        kept = read_sureness(file.parent, target=cohort.target) if known else None
        found[part.name] = answered_fold(network, cohort, part, precision=precision, sureness=kept)
    return found


def _joined(answered: Mapping[str, AnsweredFold], rows: str) -> pd.DataFrame:
    """Return the `photographs`, `means` or `patients` of all folds."""
    return pd.concat([getattr(one, rows) for one in answered.values()])


def _scored(
    answered: Mapping[str, AnsweredFold],
    twin: Sequence[pd.DataFrame],
    learned: Sequence[FoldPart],
    cohort: ImageCohort,
    *,
    seed: int,
) -> list[Evaluation | NumericEvaluation]:
    """Score photographs, then patients beside the classical twin, each beside the baselines."""
    means = [_joined(answered, "means").assign(model=MEAN_MODEL)]
    if isinstance(cohort.target, NumericTarget):
        means = []
    levels: dict[Unit, list[pd.DataFrame]] = {
        "photograph": [_joined(answered, "photographs")],
        "patient": [_joined(answered, "patients"), *means, *twin],
    }
    found: list[Evaluation | NumericEvaluation] = []
    for unit, answers in levels.items():
        baselines = [baseline_rows(learned, cohort, unit=unit)] if learned else []
        rows = pd.concat([*answers, *baselines], ignore_index=True)
        if isinstance(cohort.target, NumericTarget):
            found.append(evaluate_numbers(rows, target=cohort.target, unit=unit, seed=seed))
        else:
            found.append(scores_of(rows, target=cohort.target, unit=unit, seed=seed))
    return found


def _metrics(
    evaluations: Sequence[Evaluation | NumericEvaluation], target: AnyTarget
) -> dict[str, object]:
    """Return scores of each level, of classes also per class."""
    scale: dict[str, object] = {"classes": list(target.classes)}
    if isinstance(target, NumericTarget):
        scale = {"range": [target.low, target.high], "unit": target.unit}
    levels = {}
    for one in evaluations:
        levels[f"per_{one.unit}"] = one.as_json()
        if isinstance(one, Evaluation):
            levels[f"per_{one.unit}"]["per_class"] = {
                model: _class_scores(confusion.counts, target.classes)
                for model, confusion in one.confusions.items()
            }
    return {"target": target.name, **scale, "interval": INTERVALS, **levels}


def _class_scores(
    counts: NDArray[np.float64], classes: tuple[str, ...]
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Recall and precision of each class, with 95 % intervals, of `(n_patients, k, k)` counts."""
    weights = resampling_weights(len(counts), seed=0)
    flat = counts.reshape(len(counts), -1)
    resampled = (weights @ flat).reshape(-1, *counts.shape[1:])
    total = counts.sum(axis=0)
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for at, name in enumerate(classes):
        found[name] = {}
        for score, axis in (("recall", -1), ("precision", -2)):
            with np.errstate(invalid="ignore"):
                of = total[at, at] / total.sum(axis=axis)[at]
                each = resampled[:, at, at] / resampled.sum(axis=axis)[:, at]
            found[name][score] = interval(float(of), each).as_json()
    return found


def _calibration(answered: Mapping[str, AnsweredFold], *, target: AnyTarget) -> dict[str, object]:
    """Return how sure answers to patients were made, and what that does for them."""
    found = {name: one.sureness for name, one in answered.items()}
    about: dict[str, object] = {"learned_from": "validation patients of each fold"}
    patients = {name: one.patients for name, one in found.items()}
    if isinstance(target, NumericTarget):
        reach = {
            name: round(one.reach, 4)
            for name, one in found.items()
            if isinstance(one, PatientReach)
        }
        return {**about, "reach": reach, "validation_patients": patients}
    return {
        **about,
        "temperature": {
            name: round(one.value, 4)
            for name, one in found.items()
            if isinstance(one, PatientTemperature)
        },
        "validation_patients": patients,
        "log_loss_of_means": round(log_loss(_joined(answered, "means"), target=target), 6),
        "log_loss": round(log_loss(_joined(answered, "patients"), target=target), 6),
    }


def _write_npz(predictions: pd.DataFrame, path: Path, *, target: AnyTarget) -> None:
    """Write the predictions as arrays: image_id, truth and probabilities or scores, class names."""
    arrays: dict[str, NDArray[Any]] = {"image_id": predictions["image_id"].to_numpy(dtype=np.str_)}
    if isinstance(target, NumericTarget):
        arrays["truth"] = target.values(predictions)
        arrays["predicted"] = predictions["predicted"].to_numpy(dtype=np.float64)
    else:
        arrays["truth"] = target.numbers(predictions)
        arrays["probabilities"] = predictions[list(target.probability_columns)].to_numpy()
        arrays["classes"] = np.array(target.classes)
    keep(path, arrays)


def _tell(evaluations: Sequence[Evaluation | NumericEvaluation], complaints: Sequence[str]) -> None:
    """Print what was left out, then one line of scores for each level and model."""
    for sentence in complaints:
        print(sentence, file=sys.stderr)
    for one in evaluations:
        for model, scores in one.estimates.items():
            parts = [f"{score.title.lower()} {scores[score.name]}" for score in one.scores]
            if isinstance(one, Evaluation):
                parts.append(f"{RECALL.lower()} {one.recall_of(model)}")
            print(f"per {one.unit}, {model}: {'; '.join(parts)}")
