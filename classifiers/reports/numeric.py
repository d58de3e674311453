"""The report of graders that answer with a number: how far off, how sure, how done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd

from classifiers.graders.cohort import Cohort
from classifiers.graders.registry import title_of
from classifiers.reports.sections import add_more_scores, add_scores, learners
from common.bootstrap import Estimate
from common.grading.calibration import about_intervals
from common.grading.evaluation import NumericEvaluation, Scored
from common.grading.numeric_scores import HUMAN_ICC
from common.grading.numeric_target import NumericTarget, shown
from common.grading.plots import differences_figure, scatter_figure
from common.report import Picture, Report, figure_picture
from common.tables import ROMAN
from common.words import counted

FEW_PATIENTS = 20


def add_numeric_agreement(report: Report, evaluation: NumericEvaluation) -> None:
    """Add the second table of scores, scatter and Bland-Altman plots, and people's agreement."""
    section = report.section("Agreement with the truth")
    add_more_scores(section, evaluation)
    scale = evaluation.target.name.capitalize()
    if evaluation.target.name in HUMAN_ICC:
        found, source = HUMAN_ICC[evaluation.target.name]
        section.text(
            f"Between people, ICC of single {scale} scores is {found.value:.2f} ({found.low:.2f} "
            f"to {found.high:.2f}; {source}): a yardstick from other patients, and not a test."
        )
    section.text(
        "For each grader, answers against the truth with their 90 % intervals (thin lines), and "
        "answer minus truth: the lines are the bias and the limits between which 95 % of "
        "differences lie, the bands their 95 % intervals."
    )
    for model in learners(evaluation):
        rows, own = evaluation.of(model), evaluation.estimates[model]
        section.gallery(score_pictures(rows, own, target=evaluation.target, title=title_of(model)))


def score_pictures(
    rows: pd.DataFrame, found: Mapping[str, Estimate], *, target: NumericTarget, title: str = ""
) -> list[Picture]:
    """Return one model's answers against the truth, and their differences with limits `found`."""
    limits, who = (found["limit_low"], found["bias"], found["limit_high"]), title or "the answers"
    return [
        figure_picture(
            scatter_figure(rows, target=target, title=title),
            alt=f"Answers of {title} against the truth." if title else "Answers against the truth.",
        ),
        figure_picture(
            differences_figure(rows, target=target, title=title, lines=limits),
            alt=f"Bland-Altman plot of {who} against the truth.",
        ),
    ]


def add_intervals(report: Report, evaluations: Sequence[Scored]) -> None:
    """Add whether the prediction intervals hold what they promise; nothing without any."""
    ranged = [
        one
        for one in evaluations
        if isinstance(one, NumericEvaluation) and one.predictions["low"].notna().any()
    ]
    if not ranged:
        return
    section = report.section("Can the intervals be believed?")
    section.text(about_intervals(ranged[-1].target))
    for evaluation in ranged:
        scores = [
            score
            for score in [*evaluation.scores, *evaluation.more_scores]
            if score.name in ("covered", "interval_width")
        ]
        add_scores(
            section, evaluation, caption=f"Per {evaluation.unit}, on tested patients.",
            cells=partial(evaluation.cells_of, scores=scores),
        )  # fmt: skip


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


def few_patients(cohort: Cohort) -> list[str]:
    """Warn of a cohort in which a few patients decide every score."""
    patients = len(set(cohort.usable.patients))
    few = f"{counted(patients, 'patient')} only: every score is uncertain."
    return [few] if patients < FEW_PATIENTS else []
