"""The commands `htnet train` and `htnet evaluate`: HTNet on patient-grouped folds."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from classifiers.evaluation import Evaluation, both_levels
from classifiers.folds import fold_problems, make_folds, read_folds, splits, write_folds
from classifiers.plots import confusion_figure
from classifiers.predictions import in_order, prediction_rows, write_predictions
from classifiers.tasks import TARGETS, Target, TargetName, target_named
from common.errors import UserError
from common.exit_codes import exit_code_for
from common.files import atomic_write, write_json
from common.provenance import write_run_json
from common.report import figure_png
from common.tables import read_table
from htnet.answering import answer, read_trained
from htnet.recipe import Recipe, read_recipe, recipe_from, with_changes
from htnet.training import PATIENTS, SEEN_PATIENTS, SETTINGS, WEIGHTS, train_network
from pipeline.htnet_cohort import (
    FoldPart,
    ImageCohort,
    fold_parts,
    majority_rows,
    read_image_cohort,
)

MODEL = "htnet"


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
    fold_table: Path | None = None,
    n_folds: int = 5,
    only_fold: int | None = None,
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
        `manifest.csv` with `image_id`, `path`, `patient_id`, `hb_grade`, and `side` if known.
    landmarks
        `landmarks.csv` of the same photographs, from `extract`.
    out
        Folder for `folds.csv` and one folder of weights and logs for each fold.
    recipe
        `small-cpu`, `paper`, `gpu`, or a YAML file with the same sections.
    change
        Settings of the recipe to replace, such as `training.epochs=10`; may be given repeatedly.
    target
        What is graded: `six_grades`, `healthy_palsy` or `three_classes`.
    fold_table
        A `folds.csv` made before, by `benchmark` for instance, to test on the same folds.
    n_folds
        Number of folds when no table is given.
    only_fold
        Train this fold only.
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
    question = target_named(target)
    settings = with_changes(read_recipe(recipe), list(change))
    cohort = read_image_cohort(
        manifest,
        landmarks,
        target=question,
        config=settings.config(num_classes=len(question.classes)),
    )
    folds = read_folds(fold_table) if fold_table else _own_folds(out, cohort, n_folds, seed=seed)
    parts = _parts(folds, cohort, settings, seed=seed, everyone=everyone, only_fold=only_fold)
    for sentence in cohort.complaints:
        print(sentence, file=sys.stderr)
    if not everyone:
        write_folds(folds, out / "folds.csv")
        for sentence in fold_problems(
            list(splits(folds, cohort.rows["image_id"])),
            labels=cohort.data.labels,
            class_names=question.classes,
        ):
            print(f"Warning: {sentence}", file=sys.stderr)
    seconds = {}
    for part in parts:
        started = time.monotonic()
        trained = train_network(
            cohort.data,
            train=part.train,
            validation=part.validation,
            recipe=settings,
            out=fold_folder(out, part, everyone=everyone),
            seed=seed,
            pretrained=pretrained,
        )
        name = "everyone" if everyone else f"repeat {part.repeat}, fold {part.fold}"
        seconds[name] = time.monotonic() - started
        print(
            f"{name}: epoch {trained.best_epoch} of {len(trained.scores)} kept, "
            f"validation score {min(trained.scores, default=float('nan')):.3f}, "
            f"{seconds[name]:.0f} s"
        )
    files = {"manifest": manifest, "landmarks": landmarks}
    write_run_json(
        out / "run.json",
        command="htnet train",
        settings={"recipe": settings.name, "target": target, **settings.as_dict()},
        seed=seed,
        files=files | ({"pretrained": pretrained} if pretrained else {}),
        counts={"photographs": len(cohort.rows), "left_out": len(cohort.complaints)},
        seconds={**seconds, "all": time.monotonic() - began},
        notes={"device": settings.training.accelerator},
    )
    return TrainResult(out, trained=len(parts), complaints=cohort.complaints)


def evaluate(
    trained: Path,
    manifest: Path,
    *,
    landmarks: Path,
    out: Path,
    seed: int = 0,
    threads: int | None = None,
) -> EvaluateResult:
    """Answer each fold's held-out patients and score the answers.

    Writes `predictions.csv` and `predictions.npz`, `metrics.json` with intervals and the majority
    baseline, per-class scores, and confusion matrices as PNG. Research use only.

    Parameters
    ----------
    trained
        Folder that `htnet train` wrote.
    manifest
        The manifest that it was trained with.
    landmarks
        `landmarks.csv` of the same photographs.
    out
        Folder for the results.
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
    folds = read_folds(trained / "folds.csv")
    weights = sorted(trained.glob(f"repeat_*/fold_*/{WEIGHTS}"))
    if not weights:
        raise UserError(f"{trained} holds no trained fold: run htnet train first.")
    network, classes = read_trained(weights[0])
    question = target_of(classes)
    cohort = read_image_cohort(manifest, landmarks, target=question, config=network.config)
    tables, tested = [], []
    for split in splits(folds, cohort.rows["image_id"]):
        folder = trained / f"repeat_{split.repeat}" / f"fold_{split.fold}"
        if not (folder / WEIGHTS).exists():
            continue
        network, _ = read_trained(folder / WEIGHTS)
        _refuse_leak(folder, cohort, split.test)
        answers = answer(network, cohort.data.faces, rows=split.test)
        tested.append((split.repeat, split.fold))
        tables.append(
            prediction_rows(
                cohort.rows.iloc[split.test],
                target=question,
                unit="photograph",
                probabilities=answers,
                repeat=split.repeat,
                fold=split.fold,
                model=MODEL,
                branch="deep",
            )
        )
    predictions = in_order(pd.concat(tables), unit="photograph", models=[MODEL])
    baseline = majority_rows(folds, cohort, target=question)
    kept = baseline.set_index(["repeat", "fold"]).index.isin(tested)
    evaluations = both_levels(
        pd.concat([predictions, baseline[kept]], ignore_index=True), target=question, seed=seed
    )
    write_predictions(predictions, out / "predictions.csv", target=question)
    _write_npz(predictions, out / "predictions.npz", target=question)
    write_json(out / "metrics.json", _metrics(evaluations, question))
    for evaluation in evaluations:
        figure = confusion_figure(
            evaluation.confusions[MODEL].total,
            target=question,
            title=f"HTNet, per {evaluation.unit}",
        )
        with atomic_write(out / f"confusion_per_{evaluation.unit}.png") as temporary:
            temporary.write_bytes(figure_png(figure))
    write_run_json(
        out / "run.json",
        command="htnet evaluate",
        settings={"trained": trained.name, "target": question.name},
        seed=seed,
        files={"manifest": manifest, "landmarks": landmarks, "folds": trained / "folds.csv"},
        counts={"photographs": len(predictions), "left_out": len(cohort.complaints)},
        seconds={"all": time.monotonic() - began},
    )
    _tell(evaluations, cohort)
    return EvaluateResult(evaluations, predictions, cohort.complaints)


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


def fold_folder(out: Path, part: FoldPart, *, everyone: bool) -> Path:
    """Return where a fold's weights lie."""
    return out / "everyone" if everyone else out / f"repeat_{part.repeat}" / f"fold_{part.fold}"


def settings_of(folder: Path) -> Recipe:
    """Read the recipe that a fold was trained with."""
    import json

    kept = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    content = {name: kept[name] for name in ("network", "augmentation", "training")}
    return recipe_from(content, source=str(folder / SETTINGS))


def _own_folds(out: Path, cohort: ImageCohort, n_folds: int, *, seed: int) -> pd.DataFrame:
    """Return the folds that an earlier run made here, or new ones."""
    if (out / "folds.csv").exists():
        return read_folds(out / "folds.csv")
    return make_folds(cohort.rows, n_folds=n_folds, seed=seed)


def _parts(
    folds: pd.DataFrame,
    cohort: ImageCohort,
    recipe: Recipe,
    *,
    seed: int,
    everyone: bool,
    only_fold: int | None,
) -> list[FoldPart]:
    parts = list(
        fold_parts(folds, cohort, validation_folds=recipe.training.validation_folds, seed=seed)
    )
    if everyone:
        # One fold's validation patients choose the epoch; those it would test learn as well.
        first = parts[0]
        learn = np.setdiff1d(np.arange(len(cohort.rows)), first.validation)
        return [FoldPart(1, 1, learn, first.validation, np.empty(0, dtype=np.intp))]
    if only_fold is not None:
        chosen = [part for part in parts if part.fold == only_fold]
        if not chosen:
            raise UserError(
                f"There is no fold {only_fold}: give one of {parts[0].fold} to {parts[-1].fold}."
            )
        return chosen
    return parts


def _refuse_leak(folder: Path, cohort: ImageCohort, test: np.ndarray) -> None:
    seen = set(read_table(folder / PATIENTS, schema=SEEN_PATIENTS)["patient_id"])
    both = sorted(seen & set(cohort.data.patients[test]))
    if both:
        raise UserError(
            f'{folder} learned from patient "{both[0]}", whom folds.csv has it tested on: train '
            "again with these folds."
        )


def _write_npz(predictions: pd.DataFrame, path: Path, *, target: Target) -> None:
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            image_id=predictions["image_id"].to_numpy(dtype=np.str_),
            truth=target.numbers(predictions),
            probabilities=predictions[list(target.probability_columns)].to_numpy(),
            classes=np.array(target.classes),
        )


def _metrics(evaluations: list[Evaluation], target: Target) -> Mapping[str, object]:
    return {
        "target": target.name,
        "classes": list(target.classes),
        "interval": "95 %, patients resampled 2000 times",
        **{
            f"per_{one.unit}": {
                **one.as_json(),
                "per_class": {
                    model: class_scores(confusion.counts, target.classes)
                    for model, confusion in one.confusions.items()
                },
            }
            for one in evaluations
        },
    }


def class_scores(
    counts: np.ndarray, classes: tuple[str, ...], *, seed: int = 0
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return recall and precision of each class with 95 % intervals over patients.

    Parameters
    ----------
    counts
        `(n_patients, k, k)` confusion counts, truth in rows.
    """
    from common.bootstrap import interval, resampling_weights

    weights = resampling_weights(len(counts), seed=seed)
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


def _tell(evaluations: list[Evaluation], cohort: ImageCohort) -> None:
    for sentence in cohort.complaints:
        print(sentence, file=sys.stderr)
    for one in evaluations:
        for model, scores in one.estimates.items():
            parts = [f"{score.title.lower()} {scores[score.name]}" for score in one.scores]
            print(f"per {one.unit}, {model}: {'; '.join(parts)}")
