"""The report of `fuse`: does fusion help, what each branch counts, and how sure the answers are."""

from __future__ import annotations

import pandas as pd

from classifiers.branches.fusion import Fusion
from classifiers.branches.paired_scores import paired_scores
from classifiers.graders.registry import is_baseline, title_of
from classifiers.reports.compare import score_rows, signed
from classifiers.reports.sections import sets_of
from common.bootstrap import Estimate
from common.grading.calibration import COVERAGE
from common.report import Report

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


def fusion_report(levels: list[Fusion], *, learned: bool) -> Report:
    """Build the report.

    Parameters
    ----------
    levels
        Per photograph (when known), then per patient.
    learned
        Whether inner predictions were given.
    """
    report = Report(
        title=f"Fused: {', '.join(levels[-1].shared.names)}", summary=_summary(levels[-1])
    )
    if not learned:
        report.warn(
            "Without inner predictions every branch counts alike, and there are no sets: make "
            "them with benchmark --inner-predictions and htnet train --inner-folds."
        )
    add_fusion_sections(report, levels)
    return report


def add_fusion_sections(report: Report, levels: list[Fusion]) -> None:
    """Add everything that `fuse` found to a report, which may hold more."""
    for level in reversed(levels):
        _scores(report, level)
    _weights(report, levels[-1])
    _method(report, levels[-1])


def difference_sentence(level: Fusion, model: str, score: str) -> str:
    """Say in one sentence whether a fused model is better than the better branch.

    Parameters
    ----------
    model
        Name of a fused model.
    score
        Name of a score.
    """
    rows = level.differences
    row = rows[(rows["model"] == model) & (rows["score"] == score)].to_dict("records")[0]
    found = Estimate(row["difference"], row["low"], row["high"])
    chosen = paired_scores(level.shared.target)[score]
    if row["low"] <= 0 <= row["high"]:
        told = "no clear difference"
    elif (row["low"] > 0) == chosen.higher_is_better:
        told = "clearly better"
    else:
        told = "clearly worse"
    return (
        f"{title(model)} {row['fused_value']:.2f}, the better branch ({row['better_branch']}) "
        f"{row['branch_value']:.2f}; difference {found}, {told}"
    )


def _summary(level: Fusion) -> str:
    score = level.evaluation.headline
    patients = len(set(level.shared.patients.tolist()))
    return (
        f"{patients} patients. {score.title} per {level.shared.unit}: "
        f"{difference_sentence(level, level.chosen, score.name)}. Always answering the commonest "
        f"class reaches {level.evaluation.baseline(score):.2f}."
    )


def _scores(report: Report, level: Fusion) -> None:
    evaluation, shared = level.evaluation, level.shared
    section = report.section(f"Does fusion help? Per {shared.unit}")
    table = score_rows(evaluation, heading="Answers of")
    table["Answers of"] = [title(str(model)) for model in evaluation.estimates]
    sets = [sets_of(evaluation, level.predictions, str(model)) for model in evaluation.estimates]
    section.table(
        pd.concat([table, pd.DataFrame(sets)], axis=1),
        caption="Score, and below it the 95 % interval over resampled patients.",
        quiet=[is_baseline(model) for model in evaluation.estimates],
    )
    if shared.target.ordered and "set_low" in level.predictions:
        section.text(
            f"Sets are runs of adjacent grades meant to hold the reference in {COVERAGE:.0%} of "
            "patients, learned on inner folds; coverage is what they reached, width the mean "
            "number of grades in a set."
        )
    section.subheading("Fused minus the better branch")
    section.table(
        _differences(level),
        caption="The better branch is that with the better value of each score here, which favours "
        "it. Differences on the same patients and folds, with 95 % intervals over patients; "
        "p-values are in metrics.json.",
    )


def _differences(level: Fusion) -> pd.DataFrame:
    """Return one row per fused model, one column per score."""
    scores = paired_scores(level.shared.target)
    rows = []
    for model, own in level.differences.groupby("model", sort=False):
        cells = {
            f"{scores[row['score']].title}, from {row['better_branch']}": signed(row)
            for row in own.to_dict("records")
        }
        rows.append({"Fused": title(str(model)), **cells})
    return pd.DataFrame(rows)


def title(model: str) -> str:
    """Return how a report calls a model of any branch."""
    return ABOUT[model][0] if model in ABOUT else title_of(model)


def _weights(report: Report, level: Fusion) -> None:
    if level.weights.empty:
        return
    section = report.section("What each branch counts")
    section.text(
        "Share of each branch, mean over folds with the least and the most below it. Strength is "
        "what the method multiplies with; a sum above 1 in stacking makes answers surer."
    )
    rows = []
    for (model, branch), own in level.weights.groupby(["model", "branch"], sort=False):
        weight = own["weight"]
        rows.append(
            {
                "Fused": title(str(model)),
                "Branch": branch,
                "Weight": f"{weight.mean():.2f}\n{weight.min():.2f} to {weight.max():.2f}",
                "Strength": float(own["strength"].mean()),
            }
        )
    section.table(pd.DataFrame(rows))


def _method(report: Report, level: Fusion) -> None:
    section = report.section("How it was done")
    models = [str(name) for name in level.predictions["model"].unique()]
    section.table(
        pd.DataFrame({"Fused": [title(m) for m in models], "": [ABOUT[m][1] for m in models]}),
        caption=f"“{title(level.chosen)}” stands for the fusion in summaries; it was named "
        "before any score was seen.",
    )
    section.text(
        "Everything that is learned is learned in each fold from its training patients, from "
        "answers of models that had not seen them (inner predictions). The grades of tested "
        "patients are used for the scores only. Two copies of one branch fuse to that branch."
    )
