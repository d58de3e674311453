"""The report of `compare`: which branch is better, where they disagree, and who was right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from classifiers.branches.branch import SharedAnswers
from classifiers.branches.comparison import BranchComparison
from classifiers.branches.paired_scores import PairedScore, paired_scores
from classifiers.graders.registry import is_baseline, title_of
from classifiers.reports.branch_plots import (
    crossed_figure,
    difference_figure,
    group_words,
    groups_figure,
)
from classifiers.reports.disagreements import add_disagreements
from common.bootstrap import Estimate
from common.grading.evaluation import Evaluation, two_lines
from common.grading.target import Target
from common.report import Report, figure_picture
from common.words import counted


def comparison_report(
    levels: list[BranchComparison], *, manifest: pd.DataFrame | None, redact: bool = False
) -> Report:
    """Build the report.

    Parameters
    ----------
    levels
        Per photograph (when known), then per patient.
    manifest
        For the pictures.
    redact
        Show no photographs, and number the patients.
    """
    names = levels[-1].shared.names
    report = Report(title=f"Compared: {', '.join(names)}", summary=_summary(levels[-1]))
    add_comparison_sections(report, levels, manifest=manifest, redact=redact)
    return report


def add_comparison_sections(
    report: Report,
    levels: list[BranchComparison],
    *,
    manifest: pd.DataFrame | None,
    redact: bool = False,
) -> None:
    """Add everything that `compare` found to a report, which may hold more."""
    for level in reversed(levels):
        _scores(report, level)
    _groups(report, levels[::-1])
    _agreement(report, levels[::-1])
    add_disagreements(report, levels, manifest=manifest, redact=redact)
    _method(report, levels[-1])


def score_rows(evaluation: Evaluation, *, heading: str = "Branch") -> pd.DataFrame:
    """Return one row per model: scores of answers and the Brier score, intervals below."""
    return pd.DataFrame(
        [
            {
                heading: title_of(model),
                **evaluation.cells(model),
                "Brier score": two_lines(evaluation.probabilities[model]["brier"]),
            }
            for model in evaluation.estimates
        ]
    )


def p_words(p: float) -> str:
    """Return a p-value as a report shows it: three decimals, never 0."""
    if np.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def signed(row: dict[Any, Any]) -> str:
    """Return a difference with its sign, and its interval on a second line."""
    value, low, high = (round(row[name], 2) + 0.0 for name in ("difference", "low", "high"))
    return f"{value:+.2f}\n{low:+.2f} to {high:+.2f}"


def _summary(level: BranchComparison) -> str:
    shared, score = level.shared, level.evaluation.headline
    values = "; ".join(
        f"{name} {level.evaluation.estimates[name][score.name]}" for name in shared.names
    )
    words = f"{_counted(shared)}. {score.title} per {shared.unit}: {values}"
    rows = level.table[(level.table["by"] == "all") & (level.table["score"] == score.name)]
    for row in rows.to_dict("records"):
        found = Estimate(float(row["difference"]), float(row["low"]), float(row["high"]))
        told = "clear" if row["low"] > 0 or row["high"] < 0 else "no clear"
        words += (
            f". {row['first']} minus {row['second']}: {found}, {told} difference "
            f"(p {p_words(row['p_permutation'])})"
        )
    baseline = level.evaluation.baseline(score)
    return f"{words}. Always answering the commonest class reaches {baseline:.2f}."


def _scores(report: Report, level: BranchComparison) -> None:
    evaluation, shared = level.evaluation, level.shared
    section = report.section(f"Scores per {shared.unit}")
    section.table(
        score_rows(evaluation),
        caption="Score, and below it the 95 % interval over resampled patients.",
        quiet=[is_baseline(model) for model in evaluation.estimates],
    )
    scores = paired_scores(shared.target)
    rows = level.table[(level.table["by"] == "all") & level.table["score"].isin(scores)]
    section.table(
        pd.DataFrame(
            {
                "First": rows["first"],
                "Second": rows["second"],
                "Score": [scores[name].title for name in rows["score"]],
                "First minus second": [
                    signed(row)
                    for row in rows.to_dict("records")
                ],
                "p": [p_words(p) for p in rows["p_permutation"]],
                "p, Holm": [p_words(p) for p in rows["p_permutation_holm"]],
                "p, McNemar": [p_words(p) for p in rows["p_mcnemar"]],
                "Better": [
                    _better(row, higher=scores[row["score"]].higher_is_better)
                    for row in rows.to_dict("records")
                ],
            }
        ),
        caption="Differences on the same patients and folds, with 95 % intervals over patients; "
        "p of a paired permutation test over patients, and adjusted for all tests of this level "
        "(Holm). McNemar: patients answered right in most of their answers.",
        digits=3,
    )  # fmt: skip


def _better(row: dict[Any, Any], *, higher: bool) -> str:
    """Return the better branch when the interval leaves out 0."""
    if row["low"] > 0 or row["high"] < 0:
        return str(row["first" if (row["low"] > 0) == higher else "second"])
    return "–"


def group_score(target: Target) -> PairedScore:
    """Return the score that is told group by group: the error in grades where there are grades."""
    return paired_scores(target)["mae" if target.ordered else "accuracy"]


def _groups(report: Report, levels: list[BranchComparison]) -> None:
    score = group_score(levels[-1].shared.target)
    section = report.section("By grade, movement and side")
    section.text(
        f"{score.title} ({score.meaning}). Groups are small, many are looked at, and none is "
        "tested; they show where to look."
    )
    for level in levels:
        table = level.table[level.table["score"] == score.name]
        for (first, second), rows in table.groupby(["first", "second"], sort=False):
            right = level.who_was_right
            right = right[(right["first"] == first) & (right["second"] == second)]
            counts = rows[["by", "group"]].merge(right, on=["by", "group"], how="left")
            section.subheading(f"Per {level.shared.unit}: {first} and {second}")
            section.table(
                pd.DataFrame(
                    {
                        "Group": [group_words(r.by, r.group, r.patients) for r in
                                  rows.itertuples()],
                        str(first): rows["first_value"].to_numpy(),
                        str(second): rows["second_value"].to_numpy(),
                        "Both right": counts["both"],
                        f"Only {first}": counts["only_first"],
                        f"Only {second}": counts["only_second"],
                        "Neither": counts["neither"],
                    }
                )
            )  # fmt: skip
            figure = groups_figure(
                rows, score=score.name, title=f"{score.title.lower()}: {first} minus {second}"
            )
            section.figure(
                figure, alt=f"Difference of {score.title.lower()} in every group, with interval."
            )


def _agreement(report: Report, levels: list[BranchComparison]) -> None:
    section = report.section("How far the branches agree with each other")
    section.text(
        "Whoever is right. Bias is the mean of first minus second in expected grades (the mean of "
        "the probabilities); 95 % of the differences lie between the limits (Bland and Altman "
        "1986)."
    )
    section.table(pd.concat([agreement_table(level) for level in levels], ignore_index=True))
    for level in levels:
        if not level.shared.target.ordered:
            continue
        for found in level.agreements:
            words = f"{found.first} and {found.second}, per {level.shared.unit}"
            section.gallery(
                [
                    figure_picture(
                        difference_figure(level.shared, found),
                        alt=f"Bland-Altman plot of {words}.",
                        caption=f"{words[0].upper()}{words[1:]}: difference of expected grades. "
                        "Lines: bias and limits of agreement; grey: their intervals.",
                    ),
                    figure_picture(
                        crossed_figure(level.shared, found.first, found.second),
                        alt=f"How often each pair of answers was given by {words}.",
                    ),
                ]
            )


def agreement_table(
    level: BranchComparison, *, title: Callable[[str], str] = title_of
) -> pd.DataFrame:
    """Return how far each pair of branches agrees; bias and limits only where classes have order.

    Parameters
    ----------
    title
        From a branch's name to what the reader calls it.
    """
    rows = []
    for found in level.agreements:
        row = {
            "Pair": f"{title(found.first)} and {title(found.second)}, per {level.shared.unit}",
            "Weighted kappa": two_lines(found.weighted_kappa),
            "Same answer": two_lines(found.exact),
        }
        if level.shared.target.ordered:
            row |= {
                "Within one grade": two_lines(found.within_one),
                "Bias": two_lines(found.bias),
                "Lower limit": two_lines(found.low_limit),
                "Upper limit": two_lines(found.high_limit),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def _counted(shared: SharedAnswers) -> str:
    patients = counted(len(set(shared.patients.tolist())), "patient")
    if shared.unit == "patient":
        return f"{patients}, answered by models that never saw them"
    return f"{counted(len(shared.rows), 'photograph')} of {patients}"


def _method(report: Report, level: BranchComparison) -> None:
    section = report.section("How it was done")
    section.text(
        "All tables test the same patients in the same folds with the same reference; anything "
        "else is refused. Intervals come from 2000 resamples of patients. The permutation test "
        "exchanges the branches' answers within whole patients 5000 times: if the branches were "
        "equally good, it would not matter which of them gave which. Photographs of a patient are "
        "summed up by the mean of their probabilities. A branch that was chosen among several "
        "after seeing its scores looks better than it is, and no test here can know it."
    )
    scores = paired_scores(level.shared.target).values()
    section.text("; ".join(f"{score.title}: {score.meaning}" for score in scores) + ".")
