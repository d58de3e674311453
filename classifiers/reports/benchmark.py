"""The report of a benchmark, on a page and on a terminal: how well, which mistakes, how done."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from classifiers.graders.cohort import Cohort
from classifiers.graders.registry import GRADERS, title_of
from classifiers.graders.sites import AcrossSites
from classifiers.reports.sections import (
    BELOW,
    add_agreement,
    add_answer_box,
    add_certainty,
    add_comparison,
    add_meanings,
    add_mistakes,
    add_scores,
    from_best_to_worst,
    learners,
    what_was_graded,
)
from classifiers.reports.sites import add_sites, drop_in_words
from common.grading.evaluation import RECALL, Evaluation, two_lines
from common.report import Report
from common.tables import nameless_patients
from common.words import counted

FEW_PATIENTS = 5
LOG_WIDTH = 112  # columns of the table when standard output is a file


def benchmark_report(
    cohort: Cohort,
    evaluations: list[Evaluation],
    *,
    problems: list[str],
    settings: Mapping[str, object],
    choices: pd.DataFrame | None = None,
    across: AcrossSites | None = None,
    redact: bool = False,
) -> Report:
    """Build the report.

    Parameters
    ----------
    cohort
        What was graded.
    evaluations
        Scores of photographs and of patients.
    problems
        Sentences about folds and fits, shown first.
    settings
        Options as they were used, for the last section.
    choices
        What was chosen on inner folds, from `Validation`.
    across
        Scores at sites not learned from; the drop then comes first.
    redact
        Tell problems that name a patient or a photograph on the console, not in the report.
    """
    *_, patients = evaluations
    target = patients.target
    summary = cohort.source.added_to(_summary(evaluations, settings=settings))
    if across is not None:
        summary = f"{drop_in_words(across)} {summary}"
    report = Report(title=f"Benchmark: {target.title}", summary=summary)
    classes = _classes(cohort, names=target.spoken)
    for sentence in [*_about_cohort(cohort, classes), *_about_scores(evaluations)]:
        report.warn(sentence)
    for sentence in problems:
        report.warn(_redacted(sentence, cohort) if redact else sentence)
    if across is not None:
        add_sites(report, across)
    section = report.section("How far are the answers from the reference?")
    question = f"{patients.headline.title}, per {patients.unit}"
    add_answer_box(section, patients, question=question)
    for evaluation in reversed(evaluations):
        section = report.section(f"Scores per {evaluation.unit}")
        section.text(
            f"The answer is {target.rule}.",
            "A patient's probabilities are the mean over the patient's photographs."
            if evaluation.unit == "patient" and len(evaluations) > 1
            else "",
        )
        add_scores(section, evaluation, caption=BELOW)
    add_meanings(section, patients)
    add_mistakes(report.section("Which mistakes are made"), evaluations[::-1])
    add_agreement(report, patients)
    add_certainty(report, patients)
    add_comparison(report, patients)
    if choices is not None and len(choices):
        _add_choices(report, choices)
    section = report.section("Who was graded")
    section.table(classes, caption="Usable photographs and patients.")
    left_out = cohort.excluded()
    if len(left_out):
        words = {"reason": "Left out because", "photographs": "Photographs"}
        section.table(left_out.rename(columns=words))
    _add_method(report, patients, settings=settings)
    return report


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


def _summary(evaluations: list[Evaluation], *, settings: Mapping[str, object]) -> str:
    graded = what_was_graded(evaluations[0])
    words = f"{graded}, each graded by models that never saw the patient ({settings['folds']})."
    for evaluation in reversed(evaluations):
        if learners(evaluation):
            score = evaluation.headline
            words += (
                f" Per {evaluation.unit}, {score.title.lower()} {from_best_to_worst(evaluation)};"
                f" always answering the commonest class {evaluation.baseline(score):.2f}."
            )
    return words


def _about_cohort(cohort: Cohort, classes: pd.DataFrame) -> list[str]:
    sentences = [*nameless_patients(cohort.photographs), *left_out_sentences(cohort)]
    few = classes[classes["Patients"].between(1, FEW_PATIENTS - 1)]
    if len(few):
        named = ", ".join(f"{row.Class} ({row.Patients})" for row in few.itertuples())
        sentences.append(
            f"Few patients in class {named}: scores that depend on these classes are uncertain."
        )
    return sentences


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


def _about_scores(evaluations: list[Evaluation]) -> list[str]:
    """Say when guessing would have done as well."""
    sentences = []
    for evaluation in evaluations:
        guess = 1 / len(evaluation.target.classes)
        found = [evaluation.estimates[model]["balanced_accuracy"] for model in learners(evaluation)]
        if found and all(estimate.low <= guess for estimate in found):
            sentences.append(
                f"Per {evaluation.unit}, no grader is clearly better than guessing: every "
                f"interval of balanced accuracy reaches down to {guess:.2f}."
            )
    return sentences


def _add_choices(report: Report, choices: pd.DataFrame) -> None:
    section = report.section("What was chosen on inner folds")
    section.text(
        "In each outer fold the columns, the scaler and the options of every grader were chosen "
        "by the ranked probability score of answers to training patients it had not seen. The "
        "tested patients had no say."
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


def _add_method(report: Report, evaluation: Evaluation, *, settings: Mapping[str, object]) -> None:
    section = report.section("How it was done")
    section.text(
        "Folds hold whole patients, so no patient is learned from and tested at once. Scaling, "
        "filling in of missing values (median of the training patients) and calibration are "
        "learned on the training patients of each fold, and the tested patients are answered "
        "once. Graders weigh all classes alike. Intervals come from 2000 resamples of patients "
        "(for proportions, Wilson limits for as many independent patients)."
    )
    section.text(f"Classes: {evaluation.target.source}.")
    section.table(
        {"Grader": title_of(model), "": GRADERS[model].about if model in GRADERS else ""}
        for model in evaluation.estimates
    )
    section.table({"Setting": name, "Value": str(value)} for name, value in settings.items())


def print_scores(evaluation: Evaluation) -> None:
    """Print the scores so that they read on a terminal and in a log file."""
    graded = f"per {evaluation.unit} ({what_was_graded(evaluation)})"
    table = Table(
        title=f"{evaluation.target.title}, {graded}, with 95 % intervals",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("Grader")
    for score in evaluation.scores:
        table.add_column(score.title)
    for model, found in evaluation.estimates.items():
        table.add_row(title_of(model), *[two_lines(found[s.name]) for s in evaluation.scores])
    lines = [f"  {title_of(m)}: {evaluation.recall_of(m)}" for m in learners(evaluation)]
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=LOG_WIDTH)
    console.print(table)
    console.print(f"{RECALL}:", *lines, sep="\n", soft_wrap=True)
