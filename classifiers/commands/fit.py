"""The command `fit`: one grader trained on every patient and kept, with a card of what it can do.

The scores of its card come from the same patient-grouped cross-validation as a benchmark's; the
grader that is kept learned from everybody, so it was tested nowhere.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from classifiers.exploration import Portable
from classifiers.graders.cohort import read_cohort, refuse_unanswerable
from classifiers.graders.explain import columns_of_regions
from classifiers.graders.importance import EXCHANGES, RegionImportance, region_importance
from classifiers.graders.model_card import ModelCard, card_of
from classifiers.graders.model_store import save_model
from classifiers.graders.nested import fit_nested
from classifiers.graders.patients import rows_to_answer, tested_in
from classifiers.graders.registry import choose_graders
from classifiers.graders.scaling import ScalerName
from classifiers.graders.validation import Plan, cross_validate, scalers_to_try
from classifiers.reports.benchmark import benchmark_report
from classifiers.reports.patient_answers import add_benchmark_pages
from classifiers.reports.patient_pictures import read_material
from common.errors import UserError
from common.grading.evaluation import RECALL, Evaluation, NumericEvaluation, scored, two_lines
from common.grading.fold_notes import folds_in_words
from common.grading.folds import FoldMethod, make_folds, write_folds
from common.grading.predictions import Unit, write_predictions
from common.provenance import write_run_record
from common.report import Report
from common.tables import nameless_patients
from common.words import counted, in_sentence
from common.workers import default_jobs

MODEL_FOLDER = "model"


@dataclass(frozen=True)
class FitResult:
    """Where the model is, its card, and its cross-validated scores (photographs, patients)."""

    model: Path
    card: ModelCard
    evaluations: list[Evaluation] | list[NumericEvaluation]
    exit_code: int


def fit(
    features: Path,
    *,
    out: Path,
    grader: str = "svm",
    manifest: Path | None = None,
    target: str = "six_grades",
    folds: FoldMethod = "stratified",
    n_folds: int = 5,
    repeats: int | None = None,
    level: Unit = "patient",
    scaler: ScalerName = "standard",
    portable: Path | None = None,
    data: str = "",
    redact: bool = False,
    seed: int = 0,
    jobs: int | None = None,
    scheduler: str | None = None,
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
        `logistic`, `ordinal_logistic` or `frank_hall`; of numbers `ridge`, `svm`, `xgboost`,
        `mlp`, `random_forest` or `gaussian_process`.
    manifest
        `manifest.csv` with `image_id`, `patient_id`, and `hb_grade` or `palsy_class`.
    target
        What is graded: `six_grades`, `healthy_palsy`, `three_classes` or `affected_side`; or a
        number: `sunnybrook`, `eface` or any numeric column of the manifest.
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
    portable
        A `stability.csv` of `explore --by`: graders see only the features that it calls portable
        (photographs: as they are; patients: their mean and worst, no shape). Make it without the
        patients that are tested.
    data
        A sentence for the card on where the patients come from and under which terms.
    redact
        Draw the points in place of the photographs in the report, and number the patients.
    seed
        Seed of everything random.
    jobs
        Worker processes; one for each processor when not given.
    scheduler
        Of a Dask cluster whose workers are used: `tcp://HOST:PORT`, or `local` to start one here
        (docs/large_cohorts.md). Worker processes when not given; the results are the same.

    Raises
    ------
    UserError
        When tables do not fit together, there is one class only, a patient has several grades, or
        OUT/model holds other files.
    """
    cohort = read_cohort(features, target=target, manifest=manifest)
    question = cohort.target
    chosen = choose_graders([grader], target=question)
    entry = next(one for one in chosen if one.name == grader)
    travelling = Portable.read(portable)
    refuse_unanswerable(cohort)
    samples = rows_to_answer(cohort, level=level, target=question, portable=travelling.features)
    table = make_folds(
        cohort.labelled, method=folds, n_folds=n_folds, repeats=repeats, seed=seed,
        score=question.column,
    )  # fmt: skip
    plan = Plan(
        samples, tested_in(table, samples, unit=level), question, [grader], scaler, seed,
        unit=level, search=True, exchanges=EXCHANGES, scheduler=scheduler,
    )  # fmt: skip
    validation = cross_validate(plan, jobs=jobs or default_jobs())
    if not validation.exchanged[grader]:
        raise UserError(f"{entry.title} could not be fitted in any fold: {validation.problems[0]}")
    evaluations = scored(validation.predictions, target=question, unit=level, seed=seed)
    fitted = fit_nested(entry, samples, target=question, scalers=scalers_to_try(scaler), seed=seed)
    settings = {
        "target": question.name,
        "truth": cohort.truth_source,
        "level": level,
        "grader": grader,
        "folds": folds_in_words(table, method=folds),
        "chosen": str(fitted.choice),
        **travelling.settings,
        "feature definition": cohort.study.definition or "unknown",
        "seed": seed,
    }
    problems = [*travelling.notes(cohort.study.files), *plan.problems(), *validation.problems]
    report = benchmark_report(
        cohort,
        evaluations,
        problems=problems,
        settings=settings,
        choices=validation.choices,
        redact=redact,
    )
    material = read_material(cohort.study)
    card = card_of(
        fitted, cohort, samples, evaluations, target=question,
        sides={} if material is None else material.healthy_spread(),
        settings=settings, said=data, notes=report.warnings,
    )  # fmt: skip
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
    add_benchmark_pages(report, material, evaluation=evaluations[-1], redact=redact)
    report.write(out / "report.html")
    write_folds(table, out / "folds.csv")
    write_predictions(validation.predictions, out / "predictions.csv", target=question, unit=level)
    write_run_record(
        out,
        command="fit",
        settings=settings,
        seed=seed,
        files=cohort.study.files | {"portable": portable},
        counts={
            "photographs": len(cohort.usable.rows),
            "patients": len(set(samples.patients)),
            **cohort.source.counts(),
        },
        seconds=validation.seconds,
        notes={"warnings": report.warnings},
    )
    for sentence in nameless_patients(cohort.photographs):
        print(f"Warning: {sentence}", file=sys.stderr)
    told = cohort.source.added_to(_told(card, evaluations[-1]))
    print(told, f"Model in {model}, report in {out / 'report.html'}")
    return FitResult(model, card, evaluations, exit_code=3 if validation.failed else 0)


def _told(card: ModelCard, evaluation: Evaluation | NumericEvaluation) -> str:
    """Return the line for the console: what was learned from, how far off, how many exact."""
    headline = evaluation.headline
    found = evaluation.estimates[card.grader]
    more = (
        f"{RECALL}: {evaluation.recall_of(card.grader)}"
        if isinstance(evaluation, Evaluation)
        else f"ICC {found['icc']}"
    )
    return (
        f"{card.title} learned from {counted(card.data['photographs'], 'photograph')} of "
        f"{counted(card.data['patients'], 'patient')}; {in_sentence(headline.title)} per patient, "
        f"whole patients held out: {found[headline.name]}. {more}."
    )


def _add_importance(report: Report, found: RegionImportance) -> None:
    section = report.section("Which parts of the face the answers rest on")
    section.text(
        "Each part of the tested patients' faces was exchanged for that of another tested patient, "
        f"movement by movement; the fall of {in_sentence(found.score.title)} (from "
        f"{found.whole:.2f}, per patient) is what the part was worth. Parts that say the same can "
        "stand in for each other and then both look dispensable. Nothing was chosen from this "
        "table."
    )
    fall_of = f"Fall of {in_sentence(found.score.title)}"
    section.table(
        (
            {"Part of the face": part, "Columns": found.columns[part], fall_of: two_lines(fall)}
            for part, fall in found.falls.items()
        ),
        caption="With 95 % intervals over resampled patients.",
    )
