"""The report of graders that answer with a number: how far off, how sure, how done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from rich import box
from rich.table import Table

from classifiers.graders.cohort import Cohort
from classifiers.graders.registry import is_baseline, title_of
from classifiers.reports.sections import (
    BELOW,
    Title,
    add_comparison,
    learners,
    what_was_graded,
)
from common.grading.evaluation import two_lines
from common.grading.intervals import about_intervals
from common.grading.numeric_evaluation import BASELINES, NumericEvaluation
from common.grading.numeric_plots import differences_figure, scatter_figure
from common.grading.numeric_scores import HUMAN_ICC, NumericScore
from common.grading.numeric_target import NumericTarget, shown
from common.report import Fact, Report, Section, figure_picture
from common.tables import ROMAN
from common.words import counted

LOW, MIDDLE, HIGH = "limit_low", "bias", "limit_high"


def about_numeric_scores(evaluations: Sequence[NumericEvaluation]) -> list[str]:
    """Say when a baseline would have done as well."""
    sentences = []
    for evaluation in evaluations:
        found = [evaluation.estimates[model]["mae"].high for model in learners(evaluation)]
        guess = min(
            (evaluation.estimates[name]["mae"].value for name in BASELINES
             if name in evaluation.estimates),
            default=np.inf,
        )  # fmt: skip
        if found and min(found) >= guess:
            sentences.append(
                f"Per {evaluation.unit}, no grader is clearly better than one that answers the "
                f"same for everybody: every interval of the error reaches up to {guess:.2f}."
            )
    return sentences


def add_numeric_answers(report: Report, evaluations: Sequence[NumericEvaluation]) -> None:
    """Add what was found: errors, scores, pictures, intervals, and who is better."""
    *_, patients = evaluations
    section = report.section("How far are the answers from the truth?")
    add_error_box(section, patients)
    for evaluation in reversed(evaluations):
        section = report.section(f"Scores per {evaluation.unit}")
        section.text(
            f"The answer is {evaluation.target.rule}.",
            "A patient's answer is the mean over the patient's photographs."
            if evaluation.unit == "patient" and len(evaluations) > 1
            else "",
        )
        add_score_table(section, evaluation, evaluation.scores, caption=BELOW)
    meanings = (f"{score.title}: {score.meaning}" for score in _known(patients, patients.scores))
    section.text(f"{'; '.join(meanings)}.")
    add_numeric_agreement(report, patients)
    add_intervals(report, evaluations)
    add_comparison(report, patients)


def add_error_box(
    section: Section, evaluation: NumericEvaluation, *, title: Title = title_of
) -> None:
    """Add how far each model is from the truth."""
    score = evaluation.headline
    facts = []
    for model, found in evaluation.estimates.items():
        lead, agreement = found["mae"], found["icc"]
        notes = [f"95 %: {lead.low:.2f} to {lead.high:.2f}"]
        if not is_baseline(model):
            notes.append(f"ICC {agreement}")
        facts.append(
            Fact(title(model), f"{lead.value:.2f}", notes=tuple(notes), quiet=is_baseline(model))
        )
    section.facts(f"{score.title}, per {evaluation.unit}", facts)
    section.text(
        f"The large number is the {score.meaning}, per {evaluation.unit}. Below it is its 95 % "
        "interval over resampled patients."
    )


def add_score_table(
    section: Section,
    evaluation: NumericEvaluation,
    scores: Sequence[NumericScore],
    *,
    caption: str,
    title: Title = title_of,
) -> None:
    """Add a table with a row for each model, baselines set back; without what nobody has."""
    told = _known(evaluation, scores)
    section.table(
        (
            {
                "Grader": title(model),
                **{
                    score.title: two_lines(found[score.name])
                    if np.isfinite(found[score.name].value)
                    else None
                    for score in told
                },
            }
            for model, found in evaluation.estimates.items()
        ),
        caption=caption,
        quiet=[is_baseline(model) for model in evaluation.estimates],
    )


def _known(evaluation: NumericEvaluation, scores: Sequence[NumericScore]) -> list[NumericScore]:
    """Return the scores that at least one model has."""
    return [
        score
        for score in scores
        if any(np.isfinite(found[score.name].value) for found in evaluation.estimates.values())
    ]


def add_numeric_agreement(
    report: Report, evaluation: NumericEvaluation, *, title: Title = title_of
) -> None:
    """Add the second table of scores, scatter and Bland-Altman plots, and people's agreement."""
    section = report.section("Agreement with the truth")
    more = evaluation.more_scores
    meanings = "; ".join(f"{score.title}: {score.meaning}" for score in more)
    add_score_table(section, evaluation, more, caption=f"{meanings}.", title=title)
    scale = evaluation.target.name.capitalize()
    section.text(
        *(
            f"Between people, ICC of single {scale} scores is {found.icc:.2f} ({found.low:.2f} to "
            f"{found.high:.2f}; {found.source}): a yardstick from other "
            "patients, and not a test."
            for found in HUMAN_ICC
            if found.target == evaluation.target.name
        )
    )
    section.text(
        "For each grader, answers against the truth with their 90 % intervals (thin lines), and "
        "answer minus truth: the lines are the bias and the limits between which 95 % of "
        "differences lie, the bands their 95 % intervals."
    )
    for model in learners(evaluation):
        found, words = evaluation.estimates[model], title(model)
        section.gallery(
            [
                figure_picture(
                    scatter_figure(evaluation.of(model), target=evaluation.target, title=words),
                    alt=f"Answers of {words} against the truth.",
                ),
                figure_picture(
                    differences_figure(
                        evaluation.of(model), target=evaluation.target, title=words,
                        lines=(found[LOW], found[MIDDLE], found[HIGH]),
                    ),
                    alt=f"Bland-Altman plot of {words} against the truth.",
                ),
            ]
        )  # fmt: skip


def add_intervals(report: Report, evaluations: Sequence[NumericEvaluation]) -> None:
    """Add whether the prediction intervals hold what they promise; nothing without any."""
    ranged = [one for one in evaluations if one.predictions["low"].notna().any()]
    if not ranged:
        return
    section = report.section("Can the intervals be believed?")
    section.text(about_intervals(ranged[-1].target))
    for evaluation in ranged:
        names = ("covered", "interval_width")
        scores = [*evaluation.scores, *evaluation.more_scores]
        add_score_table(
            section,
            evaluation,
            [score for score in scores if score.name in names],
            caption=f"Per {evaluation.unit}, on tested patients.",
        )


def score_classes(cohort: Cohort, *, target: NumericTarget) -> pd.DataFrame:
    """Return how the scores of usable photographs are spread, in all and by grade where known."""
    rows = cohort.usable.rows.assign(score=cohort.usable.scores, patient=cohort.usable.patients)
    groups = [("All", rows)]
    if "hb_grade" in rows.columns:
        groups += [(ROMAN[int(str(grade)) - 1], own) for grade, own in rows.groupby("hb_grade")]
    return pd.DataFrame(
        {
            "House-Brackmann": name,
            "Patients": own["patient"].nunique(),
            "Photographs": len(own),
            **{
                word: shown(float(own["score"].quantile(at)))
                for word, at in (("Lowest", 0.0), ("Median", 0.5), ("Highest", 1.0))
            },
        }
        for name, own in groups
    ).rename(columns={} if len(groups) > 1 else {"House-Brackmann": target.title})


def numeric_table(evaluation: NumericEvaluation) -> Table:
    """Return the scores as a table for a terminal and a log file."""
    graded = f"per {evaluation.unit} ({what_was_graded(evaluation)})"
    table = Table(
        title=f"{evaluation.target.title}, {graded}, with 95 % intervals",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    told = _known(evaluation, evaluation.scores)
    for heading in ("Grader", *(score.title for score in told)):
        table.add_column(heading)
    for model, found in evaluation.estimates.items():
        table.add_row(title_of(model), *[two_lines(found[score.name]) for score in told])
    return table


def numeric_method(target: NumericTarget, settings: Mapping[str, object]) -> str:
    """Say how it was done."""
    chosen = (
        " What is chosen is chosen by the mean error of answers to training patients, unseen, on "
        "inner folds."
        if settings.get("search")
        else ""
    )
    return (
        "Folds hold whole patients with all their visits, so no patient is learned from and tested "
        "at once. Scaling, filling in of missing values (median of the training patients) and "
        f"intervals are learned on the training patients of each fold.{chosen} Answers are cut off "
        f"at the ends of the scale ({target.range_in_words}). Intervals of scores come from 2000 "
        "resamples of patients (for proportions, Wilson limits for as many independent patients)."
    )


def few_patients(cohort: Cohort, *, fewest: int) -> list[str]:
    """Warn of a cohort in which a few patients decide every score."""
    patients = len(set(cohort.usable.patients))
    if patients >= fewest:
        return []
    return [f"{counted(patients, 'patient')} only: every score is uncertain."]
