"""The command `fit`: one grader trained on every patient and kept, with a card of what it can do.

The scores of its card come from the same patient-grouped cross-validation as a benchmark's; the
grader that is kept learned from everybody, so it was tested nowhere.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.graders.cohort import Cohort, Samples, read_cohort, refuse_unanswerable
from classifiers.graders.importance import (
    EXCHANGES,
    RegionImportance,
    columns_of_regions,
    region_importance,
)
from classifiers.graders.model_card import LICENCE, LIMITS, ModelCard, library_versions
from classifiers.graders.model_store import save_model
from classifiers.graders.nested import fit_nested
from classifiers.graders.patients import patient_samples
from classifiers.graders.registry import choose_graders
from classifiers.graders.scaling import ScalerName
from classifiers.graders.validation import SEARCHED_SCALERS, Plan, cross_validate
from classifiers.reports.benchmark import benchmark_report
from classifiers.reports.patient_pages import add_benchmark_pages, read_material
from classifiers.reports.side_readings import FEWEST_HEALTHY, Spread
from common.errors import UserError
from common.files import sha256_of
from common.grading.evaluation import Evaluation, both_levels, evaluate
from common.grading.fold_notes import fold_problems, folds_in_words
from common.grading.folds import (
    FoldMethod,
    folds_of_patients,
    make_folds,
    splits,
    write_folds,
)
from common.grading.plots import roman
from common.grading.predictions import KEY, Unit, write_predictions
from common.grading.target import MAJORITY, Target, TargetName, target_named
from common.provenance import write_run_record
from common.report import Report
from common.tables import GRADES, nameless_patients, severities
from common.workers import default_jobs
from features.registry import FEATURE_NAMES
from features.tables import definition_of, landmark_run_of
from landmarks.tables import LANDMARKS_FILE

MODEL_FOLDER = "model"
TRUTH_OF_SIMULATED = "true_landmarks.csv"  # what only a simulated cohort has beside its photographs


@dataclass(frozen=True)
class FitResult:
    """Where the model is, its card, and its cross-validated scores (photographs, patients)."""

    model: Path
    card: ModelCard
    evaluations: list[Evaluation]
    exit_code: int


def fit(
    features: Path,
    *,
    out: Path,
    grader: str = "svm",
    manifest: Path | None = None,
    target: TargetName = "six_grades",
    folds: FoldMethod = "stratified",
    n_folds: int = 5,
    repeats: int | None = None,
    level: Unit = "patient",
    scaler: ScalerName = "standard",
    data: str = "",
    redact: bool = False,
    seed: int = 0,
    jobs: int | None = None,
) -> FitResult:
    """Train one grader on all patients and keep it, with a card and a report.

    Options, columns and scaler are chosen, and probabilities calibrated, on inner folds, in the
    kept grader as in each fold of the cross-validation.

    Writes the model into `OUT/model` (no pickle: `grade` reads it) and, of the cross-validation,
    `folds.csv`, `predictions.csv`, `report.html` and `run.json` into OUT. Research use only.

    Parameters
    ----------
    features
        `features.csv` from `extract`, with or without the manifest's columns.
    out
        Folder for the model and its report; made if needed.
    grader
        Which grader to train: `svm`, `linear_svm`, `xgboost`, `mlp`, `random_forest`,
        `logistic`, `ordinal_logistic` or `frank_hall`.
    manifest
        `manifest.csv` with `image_id`, `patient_id`, and `hb_grade` or `palsy_class`.
    target
        What is graded: `six_grades`, `healthy_palsy`, `three_classes` or `affected_side`.
    folds
        How patients are dealt out for the scores of the card, as in `benchmark`: `stratified`
        (every grade in every fold), `shuffled`, or `leave_one_patient_out`.
    n_folds
        Number of folds; with `shuffled`, of draws.
    repeats
        How often the patients are dealt out anew.
    level
        What gets an answer: each `patient` from all movements together, which needs landmarks.csv
        beside the features and the column task; or each `photograph`, summed up to patients.
    scaler
        The first of the scalers to choose from: `standard`, `min_max`, `power`, `box_cox` or
        `quantile`, as in `benchmark`.
    data
        A sentence for the card on where the patients come from and under which terms.
    redact
        Draw the points in place of the photographs in the report, and number the patients.
    seed
        Seed of everything random.
    jobs
        Worker processes; one for each processor when not given.

    Returns
    -------
    FitResult
        The model's folder, its card and its scores.

    Raises
    ------
    UserError
        When tables do not fit together, there is one class only, a patient has several grades, or
        OUT/model holds other files.
    """
    question = target_named(target)
    entry = next(one for one in choose_graders([grader]) if one.name == grader)
    cohort = read_cohort(features, target=question, manifest=manifest)
    refuse_unanswerable(cohort, target=question, source=features)
    samples = _rows_of(cohort, level=level, target=question, features=features)
    table = make_folds(cohort.labelled, method=folds, n_folds=n_folds, repeats=repeats, seed=seed)
    own_folds = folds_of_patients(table) if level == "patient" else table
    parts = list(splits(own_folds, samples.rows[KEY[level]], patients=samples.patients))
    plan = Plan(
        samples, parts, question.name, [grader], scaler, seed,
        unit=level, search=True, exchanges=EXCHANGES,
    )  # fmt: skip
    validation = cross_validate(plan, jobs=jobs or default_jobs())
    if not validation.exchanged[grader]:
        raise UserError(f"{entry.title} could not be fitted in any fold: {validation.problems[0]}")
    evaluations = (
        [evaluate(validation.predictions, target=question, unit="patient", seed=seed)]
        if level == "patient"
        else both_levels(validation.predictions, target=question, seed=seed)
    )
    fitted = fit_nested(
        entry,
        samples,
        target=question,
        scalers=tuple(dict.fromkeys([scaler, *SEARCHED_SCALERS])),
        seed=seed,
    )
    settings = {
        "target": question.name,
        "truth": cohort.truth_source,
        "level": level,
        "grader": grader,
        "folds": folds_in_words(table, method=folds),
        "chosen": str(fitted.choice),
        "feature definition": definition_of(features) or "unknown",
        "seed": seed,
    }
    problems = fold_problems(parts, labels=samples.labels, class_names=question.classes, unit=level)
    report = benchmark_report(
        cohort,
        evaluations,
        problems=[*problems, *validation.problems],
        settings=settings,
        choices=validation.choices,
    )
    card = ModelCard(
        grader=grader,
        title=entry.title,
        target=question.name,
        classes=list(question.classes),
        unit=level,
        scaler=fitted.choice.scaler,
        seed=seed,
        definition=definition_of(features),
        columns=list(FEATURE_NAMES),
        inputs=[str(name) for name in samples.features.columns],
        coverage=None if fitted.sets is None else fitted.sets.coverage,
        data=_data(
            cohort, samples, features=features, manifest=manifest, target=question, said=data
        ),
        validation=_validated(evaluations, grader=grader, folds=str(settings["folds"])),
        notes=list(dict.fromkeys([*report.warnings, *fitted.grader.notes])),
        limits=list(LIMITS),
        licence=list(LICENCE),
        versions=library_versions(),
        settings=settings,
    )
    model = out / MODEL_FOLDER
    save_model(model, grader=fitted, card=card)
    importance = region_importance(
        validation.exchanged[grader],
        columns=columns_of_regions(samples.features),
        target=question,
        unit=level,
        seed=seed,
    )
    _add_importance(report, importance)
    add_benchmark_pages(
        report, features, manifest=manifest, evaluation=evaluations[-1], redact=redact
    )
    report.write(out / "report.html")
    write_folds(table, out / "folds.csv")
    write_predictions(validation.predictions, out / "predictions.csv", target=question, unit=level)
    files = {"features": features} | ({} if manifest is None else {"manifest": manifest})
    write_run_record(
        out,
        command="fit",
        settings=settings,
        seed=seed,
        files=files,
        counts={
            "photographs": len(cohort.usable.rows),
            "patients": len(set(samples.patients)),
        },
        seconds=validation.seconds,
        notes={"warnings": report.warnings},
    )
    for sentence in nameless_patients(cohort.photographs):
        print(f"Warning: {sentence}", file=sys.stderr)
    headline = evaluations[-1].headline
    found = evaluations[-1].estimates[grader][headline.name]
    print(
        f"{entry.title} learned from {len(cohort.usable.rows)} photographs of "
        f"{len(set(samples.patients))} patients; {headline.title.lower()} per patient, whole "
        f"patients held out: {found}. Model in {model}, report in {out / 'report.html'}"
    )
    return FitResult(model, card, evaluations, exit_code=3 if validation.failed else 0)


def _rows_of(cohort: Cohort, *, level: Unit, target: Target, features: Path) -> Samples:
    """Return the rows that get an answer."""
    if level == "patient":
        return patient_samples(cohort.usable, landmarks=features.with_name(LANDMARKS_FILE))
    if target.column == "side":
        raise UserError(
            "The features of one photograph do not tell left from right: ask for the affected "
            "side with --level patient."
        )
    return cohort.usable


def _validated(evaluations: list[Evaluation], *, grader: str, folds: str) -> dict[str, Any]:
    return {
        "folds": f"{folds[0].upper()}{folds[1:]}.",
        "how": "Whole patients were held out; the kept grader learned from all of them.",
        "scores": {one.unit: _scores(one, grader=grader) for one in reversed(evaluations)},
    }


def _data(
    cohort: Cohort,
    rows: Samples,
    *,
    features: Path,
    manifest: Path | None,
    target: Target,
    said: str,
) -> dict[str, Any]:
    """Return what the card says of the data, and the healthy reference that `grade` needs."""
    samples = cohort.usable
    left_out = cohort.excluded()
    record = landmark_run_of(features) or {}
    measured = record.get("settings")
    sides = _healthy_sides(features, manifest=manifest)
    return {
        "question": target.title,
        "photographs": len(samples.rows),
        "patients": len(set(samples.patients)),
        "origin": " ".join(part for part in (_origin(cohort), said.strip()) if part),
        "simulated": _simulated(cohort),
        "classes": [
            {
                "class": name,
                "patients": len(set(samples.patients[samples.labels == number])),
                "photographs": int((samples.labels == number).sum()),
            }
            for number, name in enumerate(roman(target), start=1)
        ],
        "left_out": [[str(row.reason), int(str(row.photographs))] for row in left_out.itertuples()],
        "sha256": {"features": sha256_of(features)}
        | ({} if manifest is None else {"manifest": sha256_of(manifest)})
        | _hashes(record),
        "measured": measured if isinstance(measured, dict) else {},
        "typical": _typical(rows),
        "healthy_sides": [
            [movement, part, spread.mean, spread.sd] for (movement, part), spread in sides.items()
        ],
    }


def _origin(cohort: Cohort) -> str:
    if _simulated(cohort) == "yes":
        return "The patients are simulated: the scores say nothing about real ones."
    return "Whether the patients are real or simulated is not recorded."


def _simulated(cohort: Cohort) -> str:
    """Say whether the photographs carry the truth that only simulated cohorts have."""
    truth = cohort.photographs.get("truth_file")
    if truth is None:
        return "unknown"
    names = truth.dropna().astype(str)
    return "yes" if len(names) and names.str.endswith(TRUTH_OF_SIMULATED).all() else "unknown"


def _hashes(record: Mapping[str, object]) -> dict[str, str]:
    """Return the hashes that the run of `extract` recorded, of the landmark model for one."""
    files = record.get("files")
    if not isinstance(files, dict):
        return {}
    return {f"{role} of extract": str(file["sha256"]) for role, file in files.items()}


def _typical(samples: Samples) -> dict[str, float | None]:
    """Return medians of healthy patients, or of all when there are fewer than three healthy."""
    healthy = (severities(samples.rows) == GRADES[0]).to_numpy()
    enough = len(set(samples.patients[healthy])) >= FEWEST_HEALTHY
    medians = samples.features[healthy if enough else np.ones(len(healthy), dtype=bool)].median()
    return {str(name): None if np.isnan(value) else float(value) for name, value in medians.items()}


def _healthy_sides(features: Path, *, manifest: Path | None) -> dict[tuple[str, str], Spread]:
    material = read_material(features, manifest=manifest)
    return {} if material is None else material.healthy_spread()


def _scores(evaluation: Evaluation, *, grader: str) -> dict[str, dict[str, float | None]]:
    return {
        score.title: {
            **evaluation.estimates[grader][score.name].as_json(),
            "majority_baseline": evaluation.estimates[MAJORITY][score.name].as_json()["value"],
        }
        for score in evaluation.scores
    }


def _add_importance(report: Report, found: RegionImportance) -> None:
    section = report.section("Which parts of the face the answers rest on")
    section.text(
        "Each part of the tested patients' faces was exchanged for that of another tested patient, "
        f"movement by movement; the fall of {found.score.title.lower()} (from {found.whole:.2f}, "
        "per patient) is what the part was worth. Parts that say the same can stand in for each "
        "other and then both look dispensable. Nothing was chosen from this table."
    )
    section.table(found.table(), caption="With 95 % intervals over resampled patients.")
