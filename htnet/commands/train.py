"""The command `htnet train`: HTNet on patient-grouped folds, or on everyone."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from common.errors import UserError, exit_code_for
from common.grading.fold_notes import fold_problems
from common.grading.folds import make_folds, read_folds, splits, write_folds
from common.grading.numeric_target import AnyTarget, NumericTarget, answered_by, any_target
from common.grading.target import TARGETS, refuse_two_grades
from common.provenance import write_run_record
from common.tables import nameless_patients, read_manifest
from features.tables import definition_of
from htnet.network.htnet import set_threads
from htnet.network.losses import SCORE_STEPS
from htnet.palsy.cohort import ImageCohort, read_image_cohort
from htnet.palsy.fold_training import FoldTrainer
from htnet.palsy.folds import FOLDS_FILE, FoldPart, everyone_part, fold_parts
from htnet.palsy.points import NOTE, PointsMethod
from htnet.palsy.recipe import Recipe
from htnet.palsy.training import check_device
from htnet.recipe import read_recipe


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


def train(
    manifest: Path,
    *,
    landmarks: Path,
    out: Path,
    recipe: str = "small-cpu",
    change: tuple[str, ...] = (),
    target: str = "six_grades",
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

    The recipe small-cpu has its levels pretrained on simulated faces and learns what reads the
    patients; others learn everything, and some of the training patients choose the epoch that is
    kept. The tested patients have no say. A training that was stopped goes on where it was.
    Research use only.

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
        What is graded: `six_grades`, `healthy_palsy` or `three_classes`; or a number:
        `sunnybrook`, `eface` or any numeric column of the manifest (docs/numeric_targets.md).
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
        Weights to begin with, from micro-expressions for instance (.safetensors, .pth); those
        that ship when not given, where the recipe has training.trunk: frozen.
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
    question = _question(target, manifest)
    settings = read_recipe(Recipe, recipe, changes=change)
    settings = settings.reading_features() if features else settings
    if isinstance(question, NumericTarget):
        settings, num_classes = settings.answering_numbers(), SCORE_STEPS + 1
    else:
        num_classes = len(question.classes)
    check_device(settings.training)  # before minutes are spent on reading faces
    cohort = read_image_cohort(
        manifest,
        landmarks,
        target=question,
        config=settings.config(num_classes=num_classes),
        features=features,
    )
    by = answered_by(cohort.rows, target=question)
    refuse_two_grades(cohort.rows, column=question.column, by=by)
    folds = read_folds(fold_table) if fold_table else _own_folds(out, cohort, n_folds, seed=seed)
    parts = _parts(folds, cohort, settings, seed=seed, everyone=everyone, only_fold=only_fold)
    if not everyone:
        write_folds(folds, out / FOLDS_FILE)
    warnings = _warnings(cohort, None if everyone else folds)
    for sentence in (*cohort.complaints, *(f"Warning: {warning}" for warning in warnings)):
        print(sentence, file=sys.stderr)
    if cohort.source.corrected:
        print(f"Learns from {cohort.source.sentence()}")
    notes = _notes(landmarks, features)
    trainer = FoldTrainer(cohort, settings, out, seed=seed, pretrained=pretrained, notes=notes)
    trainer.train(parts, inner_folds=inner_folds)
    files = {"manifest": manifest, "landmarks": landmarks}
    more = {"pretrained": pretrained, "features": features, "folds": fold_table}
    write_run_record(
        out,
        command="htnet train",
        settings={
            "recipe": settings.name,
            "target": target,
            "truth": cohort.truth,
            "inner_folds": inner_folds,
            **settings.as_dict(),
        },
        seed=seed,
        files=files | {role: file for role, file in more.items() if file},
        counts={
            "photographs": len(cohort.rows),
            "left_out": len(cohort.complaints),
            **cohort.source.counts(),
        },
        seconds={**trainer.seconds, "all": time.monotonic() - began},
        notes={
            "device": settings.training.accelerator,
            "warnings": nameless_patients(cohort.rows),
            **notes,
        },
    )
    return TrainResult(out, trained=len(parts), complaints=cohort.complaints)


def _question(name: str, manifest: Path) -> AnyTarget:
    """Return the target; what a network cannot learn that treats both halves alike is refused."""
    if name in TARGETS:
        target: AnyTarget = TARGETS[name]
    else:
        target = any_target(name, table=read_manifest(manifest), source=manifest)
    if target.column == "side":
        raise UserError(
            "HTNet cannot be trained to answer affected_side: its mirror pooling treats both "
            "halves of the face alike and training flips the faces, so no side is left to learn. "
            "Train it for six_grades or three_classes with the side head (network.side_head), "
            "which answers the weak side beside the grade, or use benchmark --target "
            "affected_side --level patient."
        )
    return target


def _warnings(cohort: ImageCohort, folds: pd.DataFrame | None) -> list[str]:
    """Return what to know of the patients, and of the folds where there are any."""
    found = list(nameless_patients(cohort.rows))
    if folds is not None:
        data = cohort.data
        dealt = list(splits(folds, cohort.rows["image_id"], patients=data.patients))
        found += fold_problems(dealt, labels=data.labels, class_names=data.classes)
    return found


def _notes(landmarks: Path, features: Path | None) -> dict[str, Any]:
    """Return what is kept with the weights: how points were found and features measured."""
    notes: dict[str, Any] = {}
    if features:
        notes["feature_definition"] = definition_of(features)
    points = PointsMethod.of_table(landmarks)
    if points:
        notes[NOTE] = points.as_note()
    return notes


def _own_folds(out: Path, cohort: ImageCohort, n_folds: int, *, seed: int) -> pd.DataFrame:
    """Return the folds that an earlier run made here, or new ones."""
    if (out / FOLDS_FILE).exists():
        return read_folds(out / FOLDS_FILE)
    score = None if cohort.data.number is None else cohort.data.number.column
    return make_folds(cohort.labelled, n_folds=n_folds, seed=seed, score=score)


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
