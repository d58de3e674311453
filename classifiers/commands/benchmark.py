"""The command `benchmark`: patient-grouped cross-validation of every grader, with a report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from rich.console import Console

from classifiers.exploration import Portable
from classifiers.graders.cohort import Cohort, read_cohort, refuse_unanswerable
from classifiers.graders.patients import rows_to_answer, tested_in
from classifiers.graders.registry import choose_graders, title_of
from classifiers.graders.scaling import ScalerName, scaler_in_words
from classifiers.graders.sites import SITES, AcrossSites, across_sites
from classifiers.graders.validation import (
    Plan,
    Validation,
    answer_inside,
    cross_validate,
    refuse_too_few,
)
from classifiers.raters.agreement import beside_raters
from classifiers.reports.benchmark import benchmark_report, print_scores
from classifiers.reports.other_clinics import drop_in_words
from classifiers.reports.patient_answers import add_benchmark_pages
from classifiers.reports.patient_pictures import read_material
from common.errors import UserError
from common.files import atomic_write
from common.grading.evaluation import Evaluation, NumericEvaluation, scored, write_metrics
from common.grading.fold_notes import (
    fold_confusions,
    fold_confusions_schema,
    folds_in_words,
    n_dropped,
)
from common.grading.folds import FoldMethod, folds_by, make_folds, read_folds, write_folds
from common.grading.numeric_target import AnyTarget, of_classes
from common.grading.plots import confusion_figure, scatter_figure
from common.grading.predictions import Unit, inner_predictions_schema, write_predictions
from common.grading.target import Target
from common.provenance import write_run_record
from common.report import Report, figure_png
from common.tables import write_table
from common.workers import default_jobs

INNER_FILE = "inner_predictions.csv"


@dataclass(frozen=True)
class BenchmarkResult:
    """What a benchmark found.

    Scores of photographs, then of patients; the content of `predictions.csv` and `folds.csv`;
    sentences about folds and fits that the report shows first; exit code 3 when a grader failed in
    some fold; and what `hold_out_by` found.
    """

    evaluations: list[Evaluation] | list[NumericEvaluation]
    predictions: pd.DataFrame
    folds: pd.DataFrame
    problems: list[str]
    exit_code: int
    across: AcrossSites | None = None


def benchmark(
    features: Path,
    *,
    out: Path,
    manifest: Path | None = None,
    target: str = "six_grades",
    level: Unit = "photograph",
    search: bool = False,
    graders: tuple[str, ...] = (),
    folds: FoldMethod = "stratified",
    fold_table: Path | None = None,
    hold_out_by: str | None = None,
    portable: Path | None = None,
    ratings: Path | None = None,
    n_folds: int = 5,
    repeats: int | None = None,
    scaler: ScalerName = "standard",
    inner_predictions: int | None = None,
    inner_graders: tuple[str, ...] = (),
    redact: bool = False,
    seed: int = 0,
    jobs: int | None = None,
    scheduler: str | None = None,
) -> BenchmarkResult:
    """Compare graders by cross-validation in which whole patients are held out.

    Writes `folds.csv`, `predictions.csv`, `metrics.json`, confusion matrices as PNG and their
    counts in every fold (`fold_confusions.csv`; of scores a scatter), `report.html` and `run.json`.
    Research use only.

    Parameters
    ----------
    features
        `features.csv` from `extract`, with or without the manifest's columns.
    out
        Folder for the results; made if needed.
    manifest
        `manifest.csv` with `image_id`, `patient_id`, and `hb_grade` or `palsy_class`.
    target
        What is graded: `six_grades`, `healthy_palsy` (I or not), `three_classes` (I, II and III,
        IV to VI), `affected_side` (patients with palsy only); or a number: `sunnybrook`, `eface`,
        or any numeric column of the manifest (docs/numeric_targets.md).
    level
        What gets an answer: each `photograph` (summed up to patients afterwards), or each
        `patient` from all movements together, which needs landmarks.csv beside the features and
        the column task, and always searches.
    search
        Choose options, scaler and columns of each grader, and calibrate its probabilities, on
        inner folds of the training patients.
    graders
        Which graders to compare, all when not given: `svm`, `xgboost`, `mlp`, `random_forest`,
        `logistic`, `ordinal_logistic`, `frank_hall` and, for guessing, `stratified_random`;
        `linear_svm` is run only when named, the baseline `majority` always. Of numbers: `ridge`,
        `svm`, `xgboost`, `mlp`, `random_forest`, `gaussian_process`, and always `median`, `mean`.
    folds
        How patients are held out: `stratified` by grade, `shuffled` at random,
        `leave_one_patient_out`, or `repeated_holdout`: ten times a fresh random quarter of the
        patients is tested and the rest learned from (75/25), so that some patients are tested
        several times and some never.
    fold_table
        A `folds.csv` made before, to test on the same folds; `folds`, `n_folds` and `repeats`
        then have no say.
    hold_out_by
        A column of the manifest (`dataset`, or one of yours: site, camera, year). Each of its
        values is also held out whole and answered by graders that learned from all others, beside
        the usual folds on the same patients; the report begins with the drop, with and without
        features relative to the site's healthy people (`sites.csv`, `site_folds.csv`,
        `site_predictions.csv`).
    portable
        A `stability.csv` of `explore --by`: graders see only the features that it calls portable
        (photographs: as they are; patients: their mean and worst, no shape). Make it without the
        patients that are tested.
    ratings
        `ratings.csv` of several raters, for a target that is a number: also tell how many answers
        are as near as two raters are to each other (smallest detectable change).
    n_folds
        Number of folds, 2 or more; the quarter of `repeated_holdout` stays a quarter.
    repeats
        How often the folds are dealt anew: once, and ten times for `repeated_holdout`, when not
        given.
    scaler
        How features are scaled inside each fold: `standard`, `min_max`, `power` (Yeo-Johnson),
        `box_cox` (for features that are positive in all training rows, else Yeo-Johnson) or
        `quantile`.
    inner_predictions
        Also answer the training patients of each fold, unseen, on this many inner folds, and write
        `inner_predictions.csv`, from which `fuse` learns weights; takes as many times longer.
    inner_graders
        Which of the graders answer the training patients as well; all when not given.
    redact
        Draw the points in place of the photographs in the report, and number the patients.
    seed
        Seed of everything random.
    jobs
        Worker processes; one for each processor when not given. The results do not depend on it.
    scheduler
        Of a Dask cluster whose workers are used: `tcp://HOST:PORT`, or `local` to start one here
        (docs/large_cohorts.md). Worker processes when not given; the results are the same.

    Raises
    ------
    UserError
        When tables do not fit together, nothing can be graded, there is one class only, or a
        patient has several grades.
    """
    started = time.perf_counter()
    refuse_too_few(inner_predictions)
    cohort = read_cohort(features, target=target, manifest=manifest)
    question = cohort.target
    if ratings is not None:
        question = beside_raters(question, ratings)
    if hold_out_by is not None:
        of_classes(question, asker="--hold-out-by")
    chosen = choose_graders(graders, target=question)
    inside_too = choose_graders(inner_graders or graders, target=question)
    if strangers := [entry.name for entry in inside_too if entry not in chosen]:
        raise UserError(
            f"--inner-graders names {strangers[0]}, which is not compared: add it to --graders."
        )
    travelling = Portable.read(portable)
    refuse_unanswerable(cohort)
    table = (
        read_folds(fold_table)
        if fold_table
        else make_folds(
            cohort.labelled, method=folds, n_folds=n_folds, repeats=repeats, seed=seed,
            score=question.column,
        )
    )  # fmt: skip
    by_site = None if hold_out_by is None else folds_by(cohort.labelled, column=hold_out_by)
    samples = rows_to_answer(cohort, level=level, target=question, portable=travelling.features)
    plan = Plan(
        samples, tested_in(table, samples, unit=level), question,
        [entry.name for entry in chosen], scaler, seed, unit=level, search=search,
        scheduler=scheduler,
    )  # fmt: skip
    jobs = jobs or default_jobs()
    validation = cross_validate(plan, jobs=jobs)
    runs = [validation]
    if inner_predictions is not None:
        inside = answer_inside(
            replace(plan, graders=[entry.name for entry in inside_too]),
            n_folds=inner_predictions, jobs=jobs,
        )  # fmt: skip
        schema = inner_predictions_schema(question, unit=level)
        write_table(inside.predictions, out / INNER_FILE, schema=schema)
        runs.append(inside)
    problems = [*travelling.notes(cohort.study.files), *plan.problems()]
    problems += [sentence for run in runs for sentence in run.problems]
    evaluations = scored(validation.predictions, target=question, unit=level, seed=seed)
    across = None
    if hold_out_by is not None and by_site is not None:
        across = across_sites(
            plan, cohort.labelled, column=hold_out_by, folds=by_site,
            inside=validation.predictions, points=cohort.labelled_points(), jobs=jobs,
        )  # fmt: skip
        problems = [*across.notes, *problems]
        write_folds(across.folds, out / "site_folds.csv")
        write_predictions(
            across.predictions, out / "site_predictions.csv", target=question, unit=level
        )
        write_table(across.table, out / "sites.csv", schema=SITES)
    settings = {
        "target": question.name,
        "truth": cohort.truth_source,
        "level": level,
        "search": search or level == "patient",
        "graders": ", ".join(plan.graders),
        "folds": folds_in_words(table, method="given table" if fold_table else folds),
        **({} if hold_out_by is None else {"held out by": hold_out_by}),
        **travelling.settings,
        "scaler": scaler_in_words(scaler),
        "feature definition": cohort.study.definition or "unknown (no run.json beside the table)",
        "seed": seed,
    }
    report = benchmark_report(
        cohort,
        evaluations,
        problems=problems,
        settings=settings,
        choices=validation.choices,
        across=across,
        redact=redact,
    )
    add_benchmark_pages(
        report, read_material(cohort.study), evaluation=evaluations[-1], redact=redact
    )
    write_folds(table, out / "folds.csv")
    write_predictions(validation.predictions, out / "predictions.csv", target=question, unit=level)
    _write_scores(out, evaluations, target=question, dropped=n_dropped(plan.parts))
    report.write(out / "report.html")
    _write_run(
        out, cohort, validation, report, settings=settings, started=started,
        given={"fold_table": fold_table, "portable": portable, "ratings": ratings},
    )  # fmt: skip
    for evaluation in evaluations:
        print_scores(evaluation)
    if across is not None:
        print(drop_in_words(across))
    if cohort.source.corrected:
        print(f"Made from {cohort.source.sentence()}")
    for sentence in report.warnings:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"Warning: {sentence}")
    failed = any(run.failed for run in runs) or (across is not None and across.failed > 0)
    return BenchmarkResult(
        evaluations, validation.predictions, table, problems,
        exit_code=3 if failed else 0, across=across,
    )  # fmt: skip


def _write_scores(
    out: Path,
    evaluations: list[Evaluation] | list[NumericEvaluation],
    *,
    target: AnyTarget,
    dropped: int,
) -> None:
    """Write metrics.json, and confusions as pictures and by fold; of scores, scatter plots."""
    by_unit = {one.unit: one.as_json() for one in evaluations}
    write_metrics(out, target=target, by_unit=by_unit, missing_in_the_table_of_folds=dropped)
    by_fold = []
    for one in evaluations:
        for model in one.estimates:
            title = f"{title_of(model)}, per {one.unit}"
            if isinstance(one, NumericEvaluation):
                kind = "scatter"
                figure = scatter_figure(one.of(model), target=one.target, title=title)
            else:
                kind, total = "confusion", one.confusions[model].total
                figure = confusion_figure(total, target=one.target, title=title)
            with atomic_write(out / f"{kind}_{model}_per_{one.unit}.png") as temporary:
                temporary.write_bytes(figure_png(figure))
        if isinstance(one, Evaluation):
            by_fold.append(fold_confusions(one.predictions, target=one.target, unit=one.unit))
    if isinstance(target, Target):
        schema = fold_confusions_schema(target)
        write_table(pd.concat(by_fold), out / "fold_confusions.csv", schema=schema)


def _write_run(
    out: Path,
    cohort: Cohort,
    validation: Validation,
    report: Report,
    *,
    settings: dict[str, object],
    started: float,
    given: Mapping[str, Path | None],
) -> None:
    left_out = cohort.excluded()
    write_run_record(
        out,
        command="benchmark",
        settings=settings,
        seed=int(str(settings["seed"])),
        files=cohort.study.files | dict(given),
        counts={
            "photographs": len(cohort.photographs),
            "usable": len(cohort.usable.rows),
            **cohort.source.counts(),
            **{
                f"left out: {reason}": int(count)
                for reason, count in zip(left_out["reason"], left_out["photographs"], strict=True)
            },
        },
        seconds={**validation.seconds, "total": time.perf_counter() - started},
        notes={"warnings": report.warnings},
    )
