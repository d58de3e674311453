"""The commands `htnet train` and `htnet evaluate`: HTNet on patient-grouped folds."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from common.errors import UserError
from common.exit_codes import exit_code_for
from common.files import atomic_write, write_json
from common.grading.evaluation import Evaluation
from common.grading.evaluation import evaluate as scores_of
from common.grading.fold_notes import fold_problems
from common.grading.folds import make_folds, read_folds, splits, write_folds
from common.grading.plots import confusion_figure
from common.grading.predictions import in_order, to_patients, write_predictions
from common.grading.target import TARGETS, Target, TargetName, refuse_two_grades, target_named
from common.provenance import write_run_record
from common.report import figure_png
from common.tables import nameless_patients, read_manifest
from features.registry import FEATURE_NAMES
from features.tables import definition_of
from htnet.palsy.answering import Precision, read_trained
from htnet.palsy.calibration import PatientTemperature, answered_fold, calibration_record
from htnet.palsy.cohort import ImageCohort, read_image_cohort
from htnet.palsy.fold_training import FoldTrainer
from htnet.palsy.folds import (
    FOLDS_FILE,
    FoldPart,
    evaluated_parts,
    everyone_part,
    fold_parts,
    trained_files,
)
from htnet.palsy.points import NOTE, PointsMethod
from htnet.palsy.recipe import Recipe, read_recipe, with_changes
from htnet.palsy.scores import metrics, tell
from htnet.palsy.tables import MODEL, PATIENT_PREDICTIONS, PREDICTIONS, majority_rows, write_npz
from htnet.palsy.training import check_device

MEAN_MODEL = "htnet_mean"  # patients by the plain mean of their photographs, not calibrated


@dataclass(frozen=True)
class TrainResult:
    """What was trained, and the photographs that were left out."""

    out: Path
    trained: int
    complaints: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 all photographs were used, 3 some were left out."""
        return exit_code_for(ok=self.trained, failed=len(self.complaints))


@dataclass(frozen=True)
class EvaluateResult:
    """Scores of photographs, then of patients; the predictions; what was left out."""

    evaluations: list[Evaluation]
    predictions: pd.DataFrame
    complaints: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 all photographs were used, 3 some were left out."""
        return exit_code_for(ok=len(self.predictions), failed=len(self.complaints))


def train(
    manifest: Path,
    *,
    landmarks: Path,
    out: Path,
    recipe: str = "small-cpu",
    change: tuple[str, ...] = (),
    target: TargetName = "six_grades",
    features: Path | None = None,
    fold_table: Path | None = None,
    n_folds: int = 5,
    only_fold: int | None = None,
    inner_folds: int = 0,
    everyone: bool = False,
    pretrained: Path | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> TrainResult:
    """Train HTNet on each fold of a cohort, whole patients held out.

    In each fold some of the training patients choose the epoch that is kept; the tested patients
    have no say. A training that was stopped goes on where it was. Research use only.

    Parameters
    ----------
    manifest
        `manifest.csv` with `image_id`, `path`, `patient_id`, `hb_grade` or `palsy_class`, and
        `side` if known.
    landmarks
        `landmarks.csv` of the same photographs, from `extract`.
    out
        Folder for `folds.csv` and one folder of weights and logs for each fold.
    recipe
        `small-cpu`, `from-micro`, `paper`, `gpu`, or a YAML file with the same sections.
    change
        Settings of the recipe to replace, such as `training.epochs=10`; may be given repeatedly.
    target
        What is graded: `six_grades`, `healthy_palsy` or `three_classes`.
    features
        `features.csv` of the same photographs, for a network that reads the measured features
        beside each face: all of them, or those that the recipe names under `network.features`.
    fold_table
        A `folds.csv` made before, by `benchmark` for instance, to test on the same folds.
    n_folds
        Number of folds when no table is given.
    only_fold
        Train this fold only.
    inner_folds
        Deal each fold's training patients into this many inner folds and train a network for
        each; their answers go to `inner_predictions.csv`, from which `fuse` learns weights.
    everyone
        Train one network on all patients instead, for `htnet predict`; it cannot be evaluated on
        them.
    pretrained
        Weights to begin with, from micro-expressions for instance (.safetensors, .pth).
    seed
        Of folds, weights, order and augmentation.
    threads
        Processor threads; as many as there are processors when not given.

    Raises
    ------
    UserError
        When tables do not fit together, or a setting is unknown or impossible.
    """
    set_threads(threads)
    began = time.monotonic()
    if inner_folds == 1 or inner_folds < 0:
        raise UserError(f"--inner-folds is {inner_folds}: give 2 or more, or 0 for none.")
    question = target_named(target)
    _refuse_side(question)
    settings = with_changes(read_recipe(recipe), list(change))
    settings = reading_features(settings) if features else settings
    check_device(settings.training)  # before minutes are spent on reading faces
    cohort = read_image_cohort(
        manifest,
        landmarks,
        target=question,
        config=settings.config(num_classes=len(question.classes)),
        features=features,
    )
    refuse_two_grades(cohort.rows, column=question.column)
    folds = read_folds(fold_table) if fold_table else _own_folds(out, cohort, n_folds, seed=seed)
    parts = _parts(folds, cohort, settings, seed=seed, everyone=everyone, only_fold=only_fold)
    for sentence in cohort.complaints:
        print(sentence, file=sys.stderr)
    nameless = nameless_patients(cohort.rows)
    for sentence in nameless:
        print(f"Warning: {sentence}", file=sys.stderr)
    if not everyone:
        write_folds(folds, out / FOLDS_FILE)
        for sentence in fold_problems(
            list(splits(folds, cohort.rows["image_id"], patients=cohort.data.patients)),
            labels=cohort.data.labels,
            class_names=question.classes,
        ):
            print(f"Warning: {sentence}", file=sys.stderr)
    notes: dict[str, object] = {}
    if features:
        notes["feature_definition"] = definition_of(features)
    points = PointsMethod.of_table(landmarks)
    if points:
        notes[NOTE] = points.as_note()
    trainer = FoldTrainer(
        cohort, question, settings, out, seed=seed, pretrained=pretrained, notes=notes
    )
    trainer.train(parts, inner_folds=inner_folds)
    files = {"manifest": manifest, "landmarks": landmarks}
    more = {"pretrained": pretrained, "features": features, "folds": fold_table}
    write_run_record(
        out,
        command="htnet train",
        settings={
            "recipe": settings.name,
            "target": target,
            "truth": question.truth_source(read_manifest(manifest)),
            "inner_folds": inner_folds,
            **settings.as_dict(),
        },
        seed=seed,
        files=files | {role: file for role, file in more.items() if file},
        counts={"photographs": len(cohort.rows), "left_out": len(cohort.complaints)},
        seconds={**trainer.seconds, "all": time.monotonic() - began},
        notes={"device": settings.training.accelerator, "warnings": nameless, **notes},
    )
    return TrainResult(out, trained=len(parts), complaints=cohort.complaints)


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
    fold's validation patients (`htnet_mean` in the scores is the mean alone). Research use only.

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
    network, classes = read_trained(weights[0])
    question = target_of(classes)
    cohort = read_image_cohort(
        manifest, landmarks, target=question, config=network.config, features=features,
        weights=weights[0],
    )  # fmt: skip
    answered = {}
    parts = evaluated_parts(trained, cohort)
    for file, part in parts.items():
        network, _ = read_trained(file)
        alone = None if len(part.learned) else PatientTemperature.read(file.parent)
        answered[part.name] = answered_fold(
            network, cohort, part, target=question, precision=precision, temperature=alone
        )
    photographs = pd.concat([one.photographs for one in answered.values()])
    patients = pd.concat([one.patients for one in answered.values()])
    means = pd.concat([one.means for one in answered.values()]).assign(model=MEAN_MODEL)
    predictions = in_order(photographs, unit="photograph", models=[MODEL])
    learned = [part for part in parts.values() if len(part.learned)]
    baseline = [majority_rows(learned, cohort, target=question)] if learned else []
    evaluations = [
        scores_of(pd.concat([predictions, *baseline]), target=question, seed=seed),
        scores_of(
            pd.concat([patients, means, *(to_patients(one, target=question) for one in baseline)]),
            target=question,
            unit="patient",
            seed=seed,
        ),
    ]
    write_predictions(predictions, out / PREDICTIONS, target=question)
    write_predictions(
        in_order(patients, unit="patient", models=[MODEL]),
        out / PATIENT_PREDICTIONS,
        target=question,
        unit="patient",
    )
    write_npz(predictions, out / "predictions.npz", target=question)
    calibration = calibration_record(answered, target=question)
    write_json(out / "metrics.json", {**metrics(evaluations, question), "calibration": calibration})
    for evaluation in evaluations:
        figure = confusion_figure(
            evaluation.confusions[MODEL].total,
            target=question,
            title=f"HTNet, per {evaluation.unit}",
        )
        with atomic_write(out / f"confusion_per_{evaluation.unit}.png") as temporary:
            temporary.write_bytes(figure_png(figure))
    write_run_record(
        out,
        command="htnet evaluate",
        settings={"trained": trained.name, "target": question.name, "precision": precision},
        seed=seed,
        files={"manifest": manifest, "landmarks": landmarks}
        | {f"weights_{number}": file for number, file in enumerate(parts, start=1)},
        counts={"photographs": len(predictions), "left_out": len(cohort.complaints)},
        seconds={"all": time.monotonic() - began},
        notes={"warnings": nameless_patients(cohort.rows)},
    )
    tell(evaluations, cohort.complaints)
    for sentence in nameless_patients(cohort.rows):
        print(f"Warning: {sentence}", file=sys.stderr)
    return EvaluateResult(evaluations, predictions, cohort.complaints)


def _refuse_side(target: Target) -> None:
    """Refuse what a network cannot learn whose pooling and flips treat both halves alike."""
    if target.column == "side":
        raise UserError(
            "HTNet cannot be trained to answer affected_side: its mirror pooling treats both "
            "halves of the face alike and training flips the faces, so no side is left to learn. "
            "Train it for six_grades or three_classes with the side head (network.side_head), "
            "which answers the weak side beside the grade, or use benchmark --target "
            "affected_side --level patient."
        )


def target_of(classes: tuple[str, ...]) -> Target:
    """Return the question that a network with these classes answers."""
    for target in TARGETS.values():
        if target.classes == classes:
            return target
    raise UserError(f"No target has the classes {', '.join(classes)}: these weights are others.")


def set_threads(threads: int | None) -> None:
    """Limit the processor threads of the arithmetic."""
    import torch

    if threads is not None:
        if threads < 1:
            raise UserError(f"--threads is {threads}: give 1 or more.")
        torch.set_num_threads(threads)


def reading_features(recipe: Recipe) -> Recipe:
    """Return the recipe for a table of features: those that it names, or else all of them."""
    if recipe.network.get("features"):
        return recipe
    return replace(recipe, network={**recipe.network, "features": list(FEATURE_NAMES)})


def _own_folds(out: Path, cohort: ImageCohort, n_folds: int, *, seed: int) -> pd.DataFrame:
    """Return the folds that an earlier run made here, or new ones."""
    if (out / FOLDS_FILE).exists():
        return read_folds(out / FOLDS_FILE)
    return make_folds(cohort.labelled, n_folds=n_folds, seed=seed)


def _parts(
    folds: pd.DataFrame,
    cohort: ImageCohort,
    recipe: Recipe,
    *,
    seed: int,
    everyone: bool,
    only_fold: int | None,
) -> Sequence[FoldPart]:
    deal = recipe.training.validation_folds
    if everyone:
        return [everyone_part(folds, cohort, validation_folds=deal, seed=seed)]
    parts = list(fold_parts(folds, cohort, validation_folds=deal, seed=seed))
    if only_fold is not None:
        chosen = [part for part in parts if part.fold == only_fold]
        if not chosen:
            raise UserError(
                f"There is no fold {only_fold}: give one of {parts[0].fold} to {parts[-1].fold}."
            )
        return chosen
    return parts
