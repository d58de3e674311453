"""The report of a benchmark, on a page and on a terminal: how well, which mistakes, how done."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from classifiers.graders.cohort import Cohort
from classifiers.graders.registry import about, title_of
from classifiers.graders.sites import AcrossSites
from classifiers.reports.numeric import (
    add_intervals,
    add_numeric_agreement,
    few_patients,
    numeric_method,
    score_classes,
)
from classifiers.reports.other_clinics import add_sites, drop_in_words
from classifiers.reports.sections import (
    add_agreement,
    add_answer_box,
    add_certainty,
    add_meanings,
    add_mistakes,
    add_scores,
    benchmark_summary,
    learners,
    no_better_than_guessing,
    what_was_graded,
)
from common.grading.comparison import compare_models
from common.grading.evaluation import RECALL, Evaluation, NumericEvaluation, Scored
from common.grading.target import Target
from common.report import Report
from common.tables import nameless_patients
from common.words import counted, in_sentence

FEW_PATIENTS = 5  # of a class
LOG_WIDTH = 112  # columns of the table when standard output is a file


def benchmark_report(
    cohort: Cohort,
    evaluations: list[Evaluation] | list[NumericEvaluation],
    *,
    problems: list[str],
    settings: Mapping[str, object],
    choices: pd.DataFrame | None = None,
    across: AcrossSites | None = None,
    redact: bool = False,
) -> Report:
    """Build the report of a cohort's scores, of photographs and of patients.

    `problems` are sentences about folds and fits, shown first (redacted: those that name somebody
    are told on the console); `settings` the options as they were used; `choices` what was chosen on
    inner folds; `across` scores at sites not learned from, whose drop then comes first.
    """
    *_, patients = evaluations
    if isinstance(patients, NumericEvaluation):
        who, few = score_classes(cohort, target=patients.target), few_patients(cohort)
        guess, chosen_by = "the median of the training patients", "mean error"
    else:
        who = _classes(cohort, names=patients.target.spoken)
        few = _few_of(who)
        guess, chosen_by = "the commonest class", "ranked probability score"
    summary = cohort.source.added_to(
        benchmark_summary(evaluations, folds=settings["folds"], guess=guess)
    )
    if across is not None:
        summary = f"{drop_in_words(across)} {summary}"
    report = Report(title=f"Benchmark: {patients.target.title}", summary=summary)
    for sentence in [*nameless_patients(cohort.photographs), *left_out_sentences(cohort), *few]:
        report.warn(sentence)
    for evaluation in evaluations:
        if told := no_better_than_guessing(evaluation):
            report.warn(told)
    for sentence in problems:
        report.warn(_redacted(sentence, cohort) if redact else sentence)
    if across is not None:
        add_sites(report, across)
    _add_answers(report, evaluations)
    _add_comparison(report, patients)
    if choices is not None and len(choices):
        _add_choices(report, choices, by=chosen_by)
    section = report.section("Who was graded")
    section.table(who, caption="Usable photographs and patients.")
    left_out = cohort.excluded()
    if len(left_out):
        words = {"reason": "Left out because", "photographs": "Photographs"}
        section.table(left_out.rename(columns=words))
    _add_method(report, patients, settings=settings)
    return report


def _add_answers(report: Report, evaluations: Sequence[Evaluation | NumericEvaluation]) -> None:
    """Add what was found: scores, mistakes or agreement, and certainty."""
    *_, patients = evaluations
    numeric = isinstance(patients, NumericEvaluation)
    truth, what = ("truth", "answer is") if numeric else ("reference", "probabilities are")
    section = report.section(f"How far are the answers from the {truth}?")
    add_answer_box(section, patients)
    for evaluation in reversed(evaluations):
        section = report.section(f"Scores per {evaluation.unit}")
        summed = evaluation.unit == "patient" and len(evaluations) > 1
        section.text(
            f"The answer is {evaluation.target.rule}.",
            f"A patient's {what} the mean over the patient's photographs." if summed else "",
        )
        add_scores(section, evaluation)
    add_meanings(section, patients)
    if isinstance(patients, NumericEvaluation):
        add_numeric_agreement(report, patients)
        add_intervals(report, evaluations)
        return
    of_classes = [one for one in evaluations if isinstance(one, Evaluation)]
    add_mistakes(report.section("Which mistakes are made"), of_classes[::-1])
    add_agreement(report, patients)
    add_certainty(report, patients)


def _redacted(sentence: str, cohort: Cohort) -> str:
    """Return a sentence that names nobody; one that does is printed, and its place is taken."""
    columns = (cohort.photographs[column].dropna() for column in ("patient_id", "image_id"))
    named = {str(name) for column in columns for name in column}
    if not any(_names(sentence, name) for name in named):
        return sentence
    print(sentence, file=sys.stderr)
    return (
        "A problem of folds or fits is told where the report was made and not here, since it "
        "names a patient."
    )


def _names(sentence: str, name: str) -> bool:
    """Say whether a sentence names somebody; a number must be quoted or follow `patient`."""
    before = r'(?:"|[Pp]atient )' if name.isdigit() else r"(?<!\w)"
    return re.search(rf"{before}{re.escape(name)}(?!\w)", sentence) is not None


def _few_of(classes: pd.DataFrame) -> list[str]:
    """Warn of classes with few patients."""
    few = classes[classes["Patients"].between(1, FEW_PATIENTS - 1)]
    if len(few):
        named = ", ".join(f"{row.Class} ({row.Patients})" for row in few.itertuples())
        return [f"Few patients in class {named}: scores that depend on them are uncertain."]
    return []


def left_out_sentences(cohort: Cohort) -> list[str]:
    """Say how many photographs were left out and why; nothing when none was."""
    left_out = cohort.excluded()
    if left_out.empty:
        return []
    reasons = ", ".join(f"{row.photographs} × {row.reason}" for row in left_out.itertuples())
    return [
        f"{left_out['photographs'].sum()} of {counted(len(cohort.photographs), 'photograph')} "
        f"were left out ({reasons}); what is told here says nothing about them."
    ]


def _add_choices(report: Report, choices: pd.DataFrame, *, by: str) -> None:
    section = report.section("What was chosen on inner folds")
    section.text(
        "In each outer fold the columns, the scaler and the options of every grader were chosen "
        f"by the {by} of answers to training patients it had not seen. The tested patients had no "
        "say."
    )
    section.table(
        {
            "Grader": title_of(row["model"]),
            "Columns, scaler, options": row["choice"],
            "Folds": row["folds"],
        }
        for row in choices.to_dict("records")
    )


def _classes(cohort: Cohort, *, names: tuple[str, ...]) -> pd.DataFrame:
    labels, patients = cohort.usable.labels, cohort.usable.patients
    return pd.DataFrame(
        {
            "Class": name,
            "Patients": len(set(patients[labels == number])),
            "Photographs": int(np.count_nonzero(labels == number)),
        }
        for number, name in enumerate(names, start=1)
    )


def _add_method(report: Report, evaluation: Scored, *, settings: Mapping[str, object]) -> None:
    section = report.section("How it was done")
    target = evaluation.target
    section.text(_method() if isinstance(target, Target) else numeric_method(target, settings))
    section.text(f"{'Classes' if isinstance(target, Target) else 'Scale'}: {target.source}.")
    section.table({"Grader": title_of(model), "": about(model)} for model in evaluation.estimates)
    section.table({"Setting": name, "Value": str(value)} for name, value in settings.items())


def _method() -> str:
    return (
        "Folds hold whole patients, so no patient is learned from and tested at once. Scaling, "
        "filling in of missing values (median of the training patients) and calibration are "
        "learned on the training patients of each fold, and the tested patients are answered "
        "once. Graders weigh all classes alike. Intervals come from 2000 resamples of patients "
        "(for proportions, Wilson limits for as many independent patients)."
    )


def print_scores(evaluation: Scored) -> None:
    """Print the scores so that they read on a terminal and in a log file."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=LOG_WIDTH)
    graded = f"per {evaluation.unit} ({what_was_graded(evaluation)})"
    table = Table(
        title=f"{evaluation.target.title}, {graded}, with 95 % intervals",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    rows = {model: evaluation.cells(model) for model in evaluation.estimates}
    told = [heading for heading in next(iter(rows.values())) if heading != RECALL]
    for heading in ("Grader", *told):
        table.add_column(heading)
    for model, cells in rows.items():
        table.add_row(title_of(model), *[cells[heading] for heading in told])
    console.print(table)
    if isinstance(evaluation, Evaluation):
        lines = [f"  {title_of(m)}: {evaluation.recall_of(m)}" for m in learners(evaluation)]
        console.print(f"{RECALL}:", *lines, sep="\n", soft_wrap=True)


def _add_comparison(report: Report, evaluation: Scored) -> None:
    """Add paired comparisons of all graders; nothing for a single one."""
    models = learners(evaluation)
    if len(models) < 2:
        return
    score = evaluation.headline
    found = compare_models(
        evaluation.predictions, target=evaluation.target, score=score, models=models
    )
    section = report.section("Is one grader better than another")
    of_classes = isinstance(evaluation, Evaluation)
    mcnemar = "McNemar on patients answered right in most repeats; " if of_classes else ""
    section.text(
        f"Differences of {in_sentence(score.title)} on the same patients and folds, first minus "
        "second, with 95 % intervals over patients. p-values are adjusted for the number of pairs "
        f"(Holm): bootstrap over patients; {mcnemar}t-test over folds, corrected for overlapping "
        "training sets (Nadeau and Bengio 2003)."
    )
    section.table(
        [
            {
                "First": title_of(row["first"]),
                "Second": title_of(row["second"]),
                "Difference": f"{row['difference']:.2f}\n{row['low']:.2f} to {row['high']:.2f}",
                "p, bootstrap": row["p_bootstrap_holm"],
                **({"p, McNemar": row["p_mcnemar_holm"]} if of_classes else {}),
                "p, folds": row["p_folds_holm"],
            }
            for row in found.to_dict("records")
        ],
        digits=3,
    )
