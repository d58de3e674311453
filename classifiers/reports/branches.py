"""The reports of `compare` and `fuse`: which branch is better, who was right, does fusion help."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from classifiers.branches.branch import SharedAnswers
from classifiers.branches.comparison import BranchComparison
from classifiers.branches.fusion import Fusion
from classifiers.branches.paired_scores import paired_scores
from classifiers.graders.registry import title_of
from classifiers.reports.branch_sections import (
    SHOWN,
    add_agreement_figures,
    add_branch_agreement,
    add_differences,
    add_disagreements,
    add_groups,
    class_name,
    differences_of,
    estimate_of,
    p_words,
    reference_name,
    signed_lines,
    weights_table,
)
from classifiers.reports.patient_pictures import THUMBNAIL, numbers_of, read_small, telling_rows
from classifiers.reports.sections import add_scores, scores_and_brier, sets_of
from common.grading.calibration import COVERAGE
from common.grading.target import Target
from common.report import Picture, Report, image_picture
from common.words import counted, spoken

ABOUT = {
    "fused_mean": ("late: mean", "Mean of the branches' probabilities."),
    "fused_product": (
        "late: product",
        "Geometric mean of the probabilities; what one branch excludes is excluded.",
    ),
    "fused_weighted": (
        "late: weighted",
        "Weighted mean; weights with the smallest ranked probability score on inner folds.",
    ),
    "fused_stacking": (
        "late: stacking",
        "Ordinal logistic regression on the branches' log odds of lying above each grade, learned "
        "on inner folds.",
    ),
    "fused_early_summary": (
        "early: summary",
        "One grader on the measurements and the image branch's expected grade and spread, for "
        "training patients from inner networks that had not seen them.",
    ),
}

OF_NUMBERS = {
    "fused_mean": "Mean of the branches' scores.",
    "fused_weighted": "Weighted mean; weights with the smallest squared error on inner folds.",
}


def fused_title(model: str) -> str:
    """Return how a report calls a model of any branch."""
    return ABOUT[model][0] if model in ABOUT else title_of(model)


def comparison_report(
    levels: list[BranchComparison], *, manifest: pd.DataFrame | None, redact: bool = False
) -> Report:
    """Build the report of `compare`, per photograph (when known), then per patient.

    Pictures come from the manifest; redacted, there are none and patients are numbered.
    """
    patients, levels = levels[-1], levels[::-1]
    title = f"Compared: {', '.join(patients.shared.names)}"
    report = Report(title=title, summary=_comparison_summary(patients))
    for level in levels:
        section = report.section(f"Scores per {level.shared.unit}")
        add_scores(
            section, level.evaluation,
            heading="Grader" if level.shared.numeric else "Branch",
            cells=partial(scores_and_brier, level.evaluation),
        )  # fmt: skip
        add_differences(section, level)
    add_groups(report.section("By grade, movement and side"), levels)
    section = report.section("How far the branches agree with each other")
    add_branch_agreement(section, levels)
    for level in levels:
        if level.shared.numeric is not None or level.shared.classes.ordered:
            add_agreement_figures(section, level)
    section = report.section("Where they disagree, and who was right")
    numbers = numbers_of(patients.shared.patients)
    for level in levels:
        section.subheading(f"Per {level.shared.unit}")
        add_disagreements(section, level, name_of=lambda name: numbers[name] if redact else name)
        if not redact and manifest is not None:
            section.gallery(_disagreement_pictures(level, manifest))
    section.text("All disagreements are in disagreements.csv.")
    section = report.section("How it was done")
    averaged = "scores" if patients.shared.numeric else "probabilities"
    section.text(
        "All tables test the same patients in the same folds with the same reference; anything "
        "else is refused. Intervals come from 2000 resamples of patients. The permutation test "
        "exchanges the branches' answers within whole patients 5000 times: if the branches were "
        "equally good, it would not matter which of them gave which. Photographs of a patient are "
        f"summed up by the mean of their {averaged}. A branch that was chosen "
        "among several after seeing its scores looks better than it is, and no test here can know "
        "it."
    )
    scores = paired_scores(patients.shared.target).values()
    section.text("; ".join(f"{score.title}: {score.meaning}" for score in scores) + ".")
    return report


def _comparison_summary(level: BranchComparison) -> str:
    shared, score = level.shared, level.evaluation.headline
    values = "; ".join(
        f"{name} {level.evaluation.estimates[name][score.name]}" for name in shared.names
    )
    words = f"{_answered(shared)}. {score.title} per {shared.unit}: {values}"
    for row in differences_of(level):
        if row["score"] == score.name:
            told = "clear" if row["low"] > 0 or row["high"] < 0 else "no clear"
            words += (
                f". {row['first']} minus {row['second']}: {estimate_of(row)}, {told} difference "
                f"(p {p_words(row['p_permutation'])})"
            )
    baseline = level.evaluation.baseline(score)
    return f"{words}. Always answering {_guess(level.shared)} reaches {baseline:.2f}."


def _guess(shared: SharedAnswers) -> str:
    numeric = shared.numeric is not None
    return "the median of the training patients" if numeric else "the commonest class"


def _answered(shared: SharedAnswers) -> str:
    patients = counted(len(set(shared.patients.tolist())), "patient")
    if shared.unit == "patient":
        return f"{patients}, answered by models that never saw them"
    return f"{counted(len(shared.rows), 'photograph')} of {patients}"


def _disagreement_pictures(level: BranchComparison, manifest: pd.DataFrame) -> list[Picture]:
    """Return a thumbnail of every row shown whose photograph can be read."""
    pictures = []
    for row in level.disagreements.head(SHOWN).to_dict("records"):
        photo = _photograph(row, manifest, unit=level.shared.unit)
        if photo is not None:
            shared = level.shared
            said = ", ".join(
                f"{name} {class_name(shared, row[f'predicted_{name}'])}" for name in shared.names
            )
            task = "" if pd.isna(row["task"]) else f", {spoken(row['task'])}"
            truth = reference_name(shared, row[shared.target.column])
            best = "nearest" if shared.numeric is not None else "right"
            told = {"nearest": "nearest", "right": "correct"}[best]
            words = f"{row['patient_id']}{task}: reference {truth}, {said}; {told}: {row[best]}"
            made = image_picture(photo.pixels, alt=words, caption=words, width=THUMBNAIL)
            pictures.append(made)
    return pictures


def _photograph(row: dict[Any, Any], manifest: pd.DataFrame, *, unit: str) -> Any:
    """Read the photograph of a row; of a patient, one of a telling movement."""
    key = "image_id" if unit == "photograph" else "patient_id"
    own = telling_rows(manifest[manifest[key] == row[key]])
    return read_small(Path(str(own["path"].iat[0]))) if len(own) else None


def fusion_report(levels: list[Fusion], *, learned: bool) -> Report:
    """Build the report of `fuse`, per photograph (when known), then per patient.

    `learned` says whether inner predictions were given.
    """
    patients = levels[-1]
    report = Report(
        title=f"Fused: {', '.join(patients.shared.names)}", summary=_fusion_summary(patients)
    )
    if not learned:
        report.warn(
            "Without inner predictions every branch counts alike, and there are no sets: make "
            "them with benchmark --inner-predictions and htnet train --inner-folds."
        )
    for level in reversed(levels):
        _add_fused_scores(report, level)
    if len(patients.weights):
        section = report.section("What each branch counts")
        section.text(
            "Share of each branch, mean over folds with the least and the most below it. Strength "
            "is what the method multiplies with; a sum above 1 in stacking makes answers surer."
        )
        section.table(weights_table(patients.weights, title=fused_title))
    section = report.section("How it was done")
    section.table(
        (
            {
                "Fused": ABOUT[model][0],
                "": OF_NUMBERS[model] if patients.shared.numeric else ABOUT[model][1],
            }
            for model in patients.predictions["model"].unique()
        ),
        caption=f"“{fused_title(patients.chosen)}” stands for the fusion in summaries; it was "
        "named before any score was seen.",
    )
    section.text(
        "Everything that is learned is learned in each fold from its training patients, from "
        "answers of models that had not seen them (inner predictions). The grades of tested "
        "patients are used for the scores only. Two copies of one branch fuse to that branch."
    )
    return report


def _add_fused_scores(report: Report, level: Fusion) -> None:
    target = level.shared.target
    section = report.section(f"Does fusion help? Per {level.shared.unit}")
    add_scores(
        section, level.evaluation, heading="Grader" if level.shared.numeric else "Answers of",
        title=fused_title,
        cells=lambda model: {
            **scores_and_brier(level.evaluation, model),
            **sets_of(level.predictions, model, target=target),
        },
    )  # fmt: skip
    if level.shared.numeric and level.predictions["low"].notna().any():
        section.text(_held(level))
    if isinstance(target, Target) and target.ordered and "set_low" in level.predictions:
        section.text(
            f"Ranges are runs of adjacent {target.steps} meant to hold the reference in "
            f"{COVERAGE:.0%} of patients, learned on inner folds; the table says in how many they "
            f"did, and how many {target.steps} they hold on average."
        )
    section.subheading("Fused minus the better branch")
    paired = paired_scores(target)
    section.table(
        (
            {
                "Fused": fused_title(str(model)),
                **{
                    f"{paired[row['score']].title}, from {row['better_branch']}": signed_lines(row)
                    for row in own.to_dict("records")
                },
            }
            for model, own in level.differences.groupby("model", sort=False)
        ),
        caption="The better branch is that with the better value of each score here, which favours "
        "it. Differences on the same patients and folds, with 95 % intervals over patients; "
        "p-values are in metrics.json.",
    )


def _held(level: Fusion) -> str:
    """Say how often the intervals of the fused score hold the truth."""
    rows = level.predictions[level.predictions["model"] == level.chosen]
    truth = rows[level.shared.target.column]
    held = ((rows["low"] <= truth) & (truth <= rows["high"])).mean()
    return (
        f"Intervals of “{fused_title(level.chosen)}”, learned on inner folds and meant to hold the "
        f"truth in {COVERAGE:.0%} of patients, did so in {held:.0%}; they are "
        f"{(rows['high'] - rows['low']).mean():.1f} wide on average."
    )


def difference_sentence(level: Fusion, model: str, score: str) -> str:
    """Say in one sentence whether a fused model is better by a score than the better branch."""
    rows = level.differences
    row = rows[(rows["model"] == model) & (rows["score"] == score)].to_dict("records")[0]
    higher = paired_scores(level.shared.target)[score].higher_is_better
    if row["low"] <= 0 <= row["high"]:
        told = "no clear difference"
    else:
        told = "clearly better" if (row["low"] > 0) == higher else "clearly worse"
    return (
        f"{fused_title(model)} {row['fused_value']:.2f}, the better branch "
        f"({row['better_branch']}) {row['branch_value']:.2f}; difference {estimate_of(row)}, {told}"
    )


def _fusion_summary(level: Fusion) -> str:
    score = level.evaluation.headline
    patients = counted(len(set(level.shared.patients.tolist())), "patient")
    return (
        f"{patients}. {score.title} per {level.shared.unit}: "
        f"{difference_sentence(level, level.chosen, score.name)}. Always answering "
        f"{_guess(level.shared)} reaches {level.evaluation.baseline(score):.2f}."
    )
