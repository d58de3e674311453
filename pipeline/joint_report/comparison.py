"""Measurements, network and both together side by side: scores, differences, groups of patients."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping

import pandas as pd

from classifiers.branches.comparison import BranchComparison
from classifiers.graders.registry import is_baseline
from classifiers.reports.compare import agreement_table, group_score
from classifiers.reports.sections import scores_table
from common.grading.plots import confusion_figure
from common.grading.scores import SCORES
from common.report import Report, figure_picture
from common.tables import ROMAN
from common.words import spoken
from pipeline.joint_report.study import JointStudy, signed, title_of_way

_COMPARED = ("mae", "balanced_accuracy", "weighted_kappa", "within_one", "accuracy")
_GROUPS = {
    "grade": "By grade of the reference", "class": "By class of the reference",
    "movement": "By movement", "side": "By weak side",
}  # fmt: skip
_WHY_NOT = {
    "movement": "at least one way grades whole patients from all movements together.",
    "side": "the manifest does not name the weak side.",
}


def add_comparison(report: Report, study: JointStudy) -> None:
    """Add scores side by side, differences with tests, agreement, and the mistakes of each way."""
    section = report.section("Side by side")
    for found in reversed(study.comparisons):
        evaluation = found.evaluation
        table = scores_table(evaluation).rename(columns={"Grader": "Way"})
        table["Way"] = [title_of_way(model) for model in evaluation.estimates]
        section.table(
            table,
            caption=f"Scores per {found.shared.unit}, and below each its 95 % interval over "
            "resampled patients.",
            quiet=[is_baseline(model) for model in evaluation.estimates],
        )
    meanings = "; ".join(
        f"{score.title}: {score.meaning}" for score in study.patients.evaluation.scores
    )
    section.text(f"{meanings}.")
    section.subheading("Differences, patient by patient")
    section.table(
        _differences(study.patients),
        caption="First minus second on the same patients, with 95 % intervals. p-values are "
        "adjusted for the number of comparisons (Holm): permutation of the two ways within "
        "patients, and McNemar on exactly right answers.",
    )
    section.subheading("Do the ways agree with each other?")
    section.table(
        agreement_table(study.patients, title=title_of_way),
        caption="Between the ways, whoever is right. Bias: mean of first minus second in expected "
        "grades, with the limits of agreement (Bland and Altman 1986).",
    )
    section.subheading("Which mistakes are made")
    section.text(
        "Rows are the reference, columns the answer; a perfect way is dark on the diagonal."
    )
    section.gallery(
        figure_picture(
            confusion_figure(confusion.total, target=study.target, title=title_of_way(model)),
            alt=f"Confusion matrix: {title_of_way(model)}.",
        )
        for model, confusion in study.patients.evaluation.confusions.items()
        if not is_baseline(model)
    )


def add_groups(report: Report, study: JointStudy) -> None:
    """Add the error by grade, movement and side."""
    section = report.section("By grade, movement and side", folded=True)
    score = group_score(study.target)
    section.text(
        f"{score.title} ({score.meaning}). Groups are small: the intervals of the differences say "
        "how much can be read from them, and nothing was tested group by group."
    )
    for by, title in _GROUPS.items():
        for found in reversed(study.comparisons):
            table = _group_table(found, by, score=score.name)
            if len(table):
                section.subheading(f"{title}, per {found.shared.unit}")
                section.table(table)
                break
        else:
            section.subheading(title)
            section.text(
                "Not known: " + _WHY_NOT.get(by, "the tables do not say it for these rows.")
            )


def _differences(found: BranchComparison) -> pd.DataFrame:
    table = found.table[(found.table["by"] == "all") & found.table["score"].isin(_COMPARED)]
    place = {name: at for at, name in enumerate(found.shared.names)}
    table = table.sort_values(["first", "second"], key=lambda of: of.map(place), kind="stable")
    rows = []
    for row in table.to_dict("records"):
        score = SCORES.get(str(row["score"]))
        rows.append(
            {
                "First and second": f"{title_of_way(str(row['first']))} − "
                f"{title_of_way(str(row['second'])).lower()}",
                "Score": row["score"] if score is None else score.title,
                "Difference": _signed(row),
                "p, permutation": _p(row["p_permutation_holm"]),
                "p, McNemar": _p(row["p_mcnemar_holm"]),
            }
        )
    return pd.DataFrame(rows)


def _group_table(found: BranchComparison, by: str, *, score: str) -> pd.DataFrame:
    """Return a row for each group: how many, the score of each way, the first difference."""
    table = found.table[(found.table["by"] == by) & (found.table["score"] == score)]
    rows = []
    for group, own in table.groupby("group", sort=False):
        first = own.iloc[0]
        errors: dict[str, float] = {}
        for row in own.to_dict("records"):
            errors[str(row["first"])] = float(row["first_value"])
            errors[str(row["second"])] = float(row["second_value"])
        name = str(group)
        if by == "grade" and name.isdigit():
            name = ROMAN[int(name) - 1]
        pair = f"{title_of_way(str(first['first']))} − {title_of_way(str(first['second'])).lower()}"
        rows.append(
            {
                by.capitalize(): spoken(name),
                "Patients": int(first["patients"]),
                **{title_of_way(way): errors[way] for way in found.shared.names if way in errors},
                pair: _signed(first),
            }
        )
    return pd.DataFrame(rows)


def _signed(row: Mapping[Hashable, object] | pd.Series) -> str:
    value, low, high = (float(str(row[name])) for name in ("difference", "low", "high"))
    return f"{signed(value)}\n{signed(low)} to {signed(high)}"


def _p(value: object) -> str | None:
    p = float(str(value))
    if math.isnan(p):
        return None
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
