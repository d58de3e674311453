"""The report of a benchmark: what to beware of, how well, which mistakes, and how it was done."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from classifiers.graders.cohort import Cohort
from classifiers.graders.registry import GRADERS, is_baseline, title_of
from classifiers.reports.sections import (
    add_agreement,
    add_certainty,
    add_choices,
    add_comparison,
    score_facts,
    scores_table,
)
from common.grading.evaluation import Evaluation
from common.grading.plots import confusion_figure, roman
from common.report import Report, figure_picture
from common.tables import nameless_patients
from common.words import counted

FEW_PATIENTS = 5


def benchmark_report(
    cohort: Cohort,
    evaluations: list[Evaluation],
    *,
    problems: list[str],
    settings: Mapping[str, object],
    choices: pd.DataFrame | None = None,
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
    """
    target = evaluations[0].target
    report = Report(
        title=f"Benchmark: {target.title}", summary=_summary(evaluations, settings=settings)
    )
    for sentence in [*_about_cohort(cohort, evaluations[0]), *_about_scores(evaluations)]:
        report.warn(sentence)
    for sentence in problems:
        report.warn(sentence)
    _first_section(report, evaluations[-1])
    for evaluation in reversed(evaluations):
        _scores_section(report, evaluation, levels=len(evaluations))
    _confusions_section(report, evaluations)
    add_agreement(report, evaluations[-1])
    add_certainty(report, evaluations[-1])
    add_comparison(report, evaluations[-1])
    if choices is not None:
        add_choices(report, choices)
    _cohort_section(report, cohort, evaluations[0])
    _method_section(report, evaluations[0], settings=settings)
    return report


def _summary(evaluations: list[Evaluation], *, settings: Mapping[str, object]) -> str:
    graders = [name for name in evaluations[0].estimates if not is_baseline(name)]
    words = (
        f"{what_was_graded(evaluations[0])}, each graded by models that never saw the patient "
        f"({settings['folds']})."
    )
    words = words[0].upper() + words[1:]
    for evaluation in reversed(evaluations):
        if graders:
            score = evaluation.headline
            words += (
                f" Per {evaluation.unit}, {score.title.lower()} {from_best_to_worst(evaluation)};"
                f" always answering the commonest class {evaluation.baseline(score):.2f}."
            )
    return words


def from_best_to_worst(evaluation: Evaluation) -> str:
    """Return the headline score of the best and the worst grader with their intervals, in words.

    The best alone would be a choice made on the tested patients.
    """
    score = evaluation.headline
    graders = [name for name in evaluation.estimates if not is_baseline(name)]
    found = sorted((evaluation.estimates[name][score.name].value, name) for name in graders)
    ends = found if score.higher_is_better else found[::-1]
    worst, best = (
        f"{evaluation.estimates[name][score.name]} with {title_of(name)}"
        for _, name in (ends[0], ends[-1])
    )
    return best if len(found) == 1 else f"{best} to {worst}"


def _first_section(report: Report, evaluation: Evaluation) -> None:
    """Add the answer box: how far from the reference, and how many of each class are exact."""
    score = evaluation.headline
    section = report.section("How far are the answers from the reference?")
    section.facts(
        f"{score.title}, per {evaluation.unit}",
        score_facts(evaluation, models=list(evaluation.estimates)),
    )
    section.text(
        f"The large number is the {score.meaning}. Below it are its 95 % interval over resampled "
        "patients, and how many of each class were answered exactly."
    )


def _about_cohort(cohort: Cohort, evaluation: Evaluation) -> list[str]:
    sentences = nameless_patients(cohort.photographs)
    left_out = cohort.excluded()
    if len(left_out):
        reasons = ", ".join(f"{row.photographs} × {row.reason}" for row in left_out.itertuples())
        sentences.append(
            f"{left_out['photographs'].sum()} of {counted(len(cohort.photographs), 'photograph')} "
            f"were left out ({reasons}); the scores say nothing about them."
        )
    table = _class_counts(cohort, evaluation)
    few = table[(table["Patients"] > 0) & (table["Patients"] < FEW_PATIENTS)]
    if len(few):
        named = ", ".join(f"{row.Class} ({row.Patients})" for row in few.itertuples())
        sentences.append(
            f"Few patients in class {named}: scores that depend on these classes are uncertain."
        )
    return sentences


def _about_scores(evaluations: list[Evaluation]) -> list[str]:
    """Say when guessing would have done as well."""
    sentences = []
    for evaluation in evaluations:
        guess = 1 / len(evaluation.target.classes)
        found = [
            by_score["balanced_accuracy"]
            for model, by_score in evaluation.estimates.items()
            if not is_baseline(model)
        ]
        if found and all(estimate.low <= guess for estimate in found):
            sentences.append(
                f"Per {evaluation.unit}, no grader is clearly better than guessing: every "
                f"interval of balanced accuracy reaches down to {guess:.2f}."
            )
    return sentences


def _scores_section(report: Report, evaluation: Evaluation, *, levels: int) -> None:
    section = report.section(f"Scores per {evaluation.unit}")
    section.text(f"The answer is {evaluation.target.rule}.")
    if evaluation.unit == "patient" and levels > 1:
        section.text("A patient's probabilities are the mean over the patient's photographs.")
    section.table(
        scores_table(evaluation),
        caption="Score, and below it the 95 % interval over resampled patients.",
        quiet=[is_baseline(model) for model in evaluation.estimates],
    )
    if len(report.sections) == levels:
        meanings = "; ".join(f"{score.title}: {score.meaning}" for score in evaluation.scores)
        section.text(f"{meanings}.")


def _confusions_section(report: Report, evaluations: list[Evaluation]) -> None:
    section = report.section("Which mistakes are made")
    section.text(
        "Rows are the reference, columns the answer. Numbers are means over repeats; the shade is "
        "the share of the row, so a perfect grader is dark on the diagonal."
    )
    for evaluation in reversed(evaluations):
        section.gallery(
            figure_picture(
                confusion_figure(
                    confusion.total,
                    target=evaluation.target,
                    title=f"{title_of(model)}, per {evaluation.unit}",
                ),
                alt=f"Confusion matrix of {title_of(model)} per {evaluation.unit}.",
            )
            for model, confusion in evaluation.confusions.items()
            if not is_baseline(model)
        )


def _cohort_section(report: Report, cohort: Cohort, evaluation: Evaluation) -> None:
    section = report.section("Who was graded")
    section.table(_class_counts(cohort, evaluation), caption="Usable photographs and patients.")
    left_out = cohort.excluded()
    if len(left_out):
        section.table(
            left_out.rename(columns={"reason": "Left out because", "photographs": "Photographs"})
        )


def _method_section(
    report: Report, evaluation: Evaluation, *, settings: Mapping[str, object]
) -> None:
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
        pd.DataFrame(
            {
                "Grader": [title_of(model) for model in evaluation.estimates],
                "": [GRADERS[model].about for model in evaluation.estimates if model in GRADERS],
            }
        )
    )
    section.table(
        pd.DataFrame(
            {"Setting": list(settings), "Value": [str(value) for value in settings.values()]}
        )
    )


def _class_counts(cohort: Cohort, evaluation: Evaluation) -> pd.DataFrame:
    samples = cohort.usable
    rows = []
    for number, name in enumerate(roman(evaluation.target), start=1):
        of_class = samples.labels == number
        rows.append(
            {
                "Class": name,
                "Patients": len(set(samples.patients[of_class])),
                "Photographs": int(of_class.sum()),
            }
        )
    return pd.DataFrame(rows)


def what_was_graded(evaluation: Evaluation) -> str:
    """Return what was graded in words, `480 photographs of 60 patients` for instance."""
    counts = evaluation.as_json()
    patients = counted(counts["n_patients"], "patient")
    if evaluation.unit == "patient":
        return patients
    return f"{counted(counts['n'], 'photograph')} of {patients}"
