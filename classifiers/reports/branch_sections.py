"""Sections on branches beside each other: differences, groups, agreement, disagreements, weights.

Each is a function of a `BranchComparison` or a `Fusion`; `title` turns a branch's name into what
the reader calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from classifiers.branches.branch import SharedAnswers
from classifiers.branches.comparison import BranchComparison
from classifiers.branches.paired_scores import Agreement, paired_scores, pairs_of_answers
from classifiers.graders.registry import title_of
from classifiers.reports.sections import Title
from common.bootstrap import Estimate
from common.figures import BLUE, SOFT, calm, canvas, draw_intervals, draw_limits
from common.grading.evaluation import two_lines
from common.grading.plots import confusion_figure, difference_figure
from common.grading.target import Target
from common.report import Section, figure_picture
from common.tables import ROMAN
from common.words import counted, spoken

SHOWN = 12  # disagreements in a report


def signed(value: float) -> str:
    """Return a difference with its sign, `+0.05`, `−0.05` or `0.00`."""
    words = f"{value:+.2f}"
    return "0.00" if float(words) == 0 else words.replace("-", "−")


def signed_lines(row: Mapping[Any, Any]) -> str:
    """Return a row's difference with its sign, and its interval on a second line."""
    return f"{signed(row['difference'])}\n{signed(row['low'])} to {signed(row['high'])}"


def estimate_of(row: Mapping[Any, Any]) -> Estimate:
    """Return the difference of a row with its interval."""
    return Estimate(float(row["difference"]), float(row["low"]), float(row["high"]))


def p_words(p: float) -> str:
    """Return a p-value as a report shows it: three decimals, never 0."""
    if np.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def differences_of(level: BranchComparison) -> list[dict[str, Any]]:
    """Return the rows of the comparison over everybody, of the scores that are tested."""
    table, scores = level.table, paired_scores(level.shared.target)
    rows = table[(table["by"] == "all") & table["score"].isin(scores)]
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def add_differences(section: Section, level: BranchComparison, *, title: Title = title_of) -> None:
    """Add how much better each branch is than each other one, with its tests."""
    scores, numeric = paired_scores(level.shared.target), level.shared.numeric is not None
    mcnemar = "" if numeric else " McNemar: patients answered right in most of their answers."

    def better(row: Mapping[str, Any]) -> str:
        if row["low"] <= 0 <= row["high"]:
            return "–"
        higher = scores[row["score"]].higher_is_better
        return title(row["first" if (row["low"] > 0) == higher else "second"])

    section.table(
        (
            {
                "First": title(row["first"]),
                "Second": title(row["second"]),
                "Score": scores[row["score"]].title,
                "First minus second": signed_lines(row),
                "p": p_words(row["p_permutation"]),
                "p, Holm": p_words(row["p_permutation_holm"]),
                **({} if numeric else {"p, McNemar": p_words(row["p_mcnemar"])}),
                "Better": better(row),
            }
            for row in differences_of(level)
        ),
        caption="Differences on the same patients and folds, with 95 % intervals over patients; "
        "p of a paired permutation test over patients, and adjusted for all tests of this level "
        f"(Holm).{mcnemar}",
    )


def add_groups(
    section: Section, levels: Sequence[BranchComparison], *, title: Title = title_of
) -> None:
    """Add the score of every branch by grade, movement and side, on each level."""
    scores = paired_scores(levels[0].shared.target)  # the error where classes have an order
    score = scores.get("mae", scores.get("accuracy", next(iter(scores.values()))))
    section.text(
        f"{score.title} ({score.meaning}). Groups are small, many are looked at, and none is "
        "tested; they show where to look."
    )
    for level in levels:
        table = level.table[level.table["score"] == score.name]
        for (first, second), rows in table.groupby(["first", "second"], sort=False):
            one, two = title(str(first)), title(str(second))
            right = level.who_was_right.query("first == @first and second == @second")
            counts = rows.merge(right.drop(columns=["first", "second"]), on=["by", "group"])
            found = counts.to_dict("records")
            section.subheading(f"Per {level.shared.unit}: {one} and {two}")
            section.table(
                {
                    "Group": group_words(row["by"], row["group"], row["patients"]),
                    one: row["first_value"],
                    two: row["second_value"],
                    "First minus second": signed_lines(row),
                    **_who_was_right(row, one, two, numeric=level.shared.numeric is not None),
                }
                for row in found
            )
            section.figure(
                _groups_figure(found, label=f"{score.title.lower()}: {one} minus {two}"),
                alt=f"Difference of {score.title.lower()} in every group, with interval.",
            )


def _who_was_right(
    row: Mapping[Any, Any], one: str, two: str, *, numeric: bool
) -> dict[str, object]:
    """Return the counts of a row of `who_was_right`: right, or of numbers nearer."""
    if numeric:
        return {f"{one} nearer": row["only_first"], f"{two} nearer": row["only_second"]}
    return {
        "Both right": row["both"],
        f"Only {one}": row["only_first"],
        f"Only {two}": row["only_second"],
        "Neither": row["neither"],
    }


def group_words(by: object, group: object, patients: int) -> str:
    """Return how a table calls a group, `grade IV (10 patients)` for instance."""
    words = ROMAN[int(str(group)) - 1] if by == "grade" else spoken(group)
    named = "everybody" if by == "all" else f"{by} {words}"
    return f"{named} ({counted(patients, 'patient')})"


def _groups_figure(rows: Sequence[Mapping[Any, Any]], *, label: str) -> Figure:
    figure, axes = canvas(6.0, 0.9 + 0.26 * len(rows))
    axes.axvline(0, color=SOFT, linewidth=1)
    at = draw_intervals(axes, [estimate_of(row) for row in rows])
    axes.set_yticks(at, [group_words(row["by"], row["group"], row["patients"]) for row in rows])
    axes.set_xlabel(label, fontsize=9)
    calm(axes)
    return figure


def add_branch_agreement(
    section: Section, levels: Sequence[BranchComparison], *, title: Title = title_of
) -> None:
    """Add how far the branches agree with each other; bias only where classes have an order."""
    target = levels[0].shared.target
    words, limits = ["Whoever is right."], "(Bland and Altman 1986)."
    if not isinstance(target, Target):
        words.append(
            "ICC(A,1) is absolute agreement of single answers; bias the mean of first minus "
            f"second; 95 % of the differences lie between the limits {limits}"
        )
    elif target.ordered:
        words.append(
            f"Bias is the mean of first minus second in expected {target.steps} (the mean of the "
            f"probabilities); 95 % of the differences lie between the limits {limits}"
        )
    section.text(*words)
    headings = {
        "icc": "ICC",
        "weighted_kappa": "Weighted kappa",
        "exact": "Same answer",
        "within_one": f"Within one {target.step}",
    }
    ordered = not isinstance(target, Target) or target.ordered
    section.table(
        {
            "Pair": f"{title(found.first)} and {title(found.second)}, per {level.shared.unit}",
            **{
                headings[name]: two_lines(score)
                for name, score in found.scores.items()
                if ordered or name != "within_one"
            },
            **(
                {
                    "Bias": two_lines(found.bias),
                    "Lower limit": two_lines(found.low_limit),
                    "Upper limit": two_lines(found.high_limit),
                }
                if ordered
                else {}
            ),
        }
        for level in levels
        for found in level.agreements
    )


def add_agreement_figures(section: Section, level: BranchComparison) -> None:
    """Add for each pair the Bland-Altman plot, and how often each pair of answers was given."""
    shared = level.shared
    for found in level.agreements:
        words = f"{found.first} and {found.second}, per {shared.unit}"
        about = f"{words[0].upper()}{words[1:]}"
        pictures = [
            figure_picture(
                branch_difference_figure(shared, found),
                alt=f"Bland-Altman plot of {words}.",
                caption=f"{about}. Lines: bias and limits of agreement."
                if shared.numeric
                else f"{about}: difference of expected {shared.classes.steps}. Lines: bias and "
                "limits of agreement; grey: their intervals.",
            )
        ]
        if not shared.numeric:
            pictures.append(
                figure_picture(
                    crossed_figure(shared, found.first, found.second),
                    alt=f"How often each pair of answers was given by {words}.",
                )
            )
        section.gallery(pictures)


def branch_difference_figure(shared: SharedAnswers, found: Agreement) -> Figure:
    """Draw the difference of two branches' expected classes, or scores, against their mean."""
    first, second = shared.expected(found.first), shared.expected(found.second)
    lines, label = (
        (found.low_limit, found.bias, found.high_limit),
        f"{found.first} − {found.second}",
    )
    if shared.numeric is None:
        return difference_figure(
            first, second, shared.truth, target=shared.classes, label=label, lines=lines
        )
    figure, axes = canvas(6.0, 3.6, x="mean of the two", y=label)
    axes.scatter((first + second) / 2, first - second, s=16, color=BLUE, alpha=0.6, linewidths=0)
    draw_limits(axes, lines)
    calm(axes)
    return figure


def crossed_figure(shared: SharedAnswers, first: str, second: str) -> Figure:
    """Draw how often the first branch's answer met the second's."""
    k = len(shared.classes.classes)
    pairs = pairs_of_answers(shared.answers[first], shared.answers[second], k=k)
    return confusion_figure(
        pairs.sum(axis=0) / shared.rows["repeat"].nunique(),
        target=shared.classes,
        title=f"per {shared.unit}",
        axes_of=(f"{first} answered", f"{second} answered"),
    )


def add_disagreements(
    section: Section,
    level: BranchComparison,
    *,
    name_of: Callable[[str], object],
    title: Title = title_of,
) -> None:
    """Add a table of the answers that differ most, and who was right.

    `name_of` turns a patient into what stands in the table.
    """
    table, n = level.disagreements, len(level.shared.rows)
    if table.empty:
        section.text(f"All {n} answers are the same.")
        return
    section.text(f"{len(table)} of {n} answers differ; the farthest apart are shown.")
    section.table(_disagreement_rows(level, name_of=name_of, title=title))


def _disagreement_rows(
    level: BranchComparison, *, name_of: Callable[[str], object], title: Title
) -> Iterator[dict[str, object]]:
    shared = level.shared
    for row in level.disagreements.head(SHOWN).to_dict("records"):
        answers = {
            title(name): class_name(shared, row[f"predicted_{name}"])
            + ("" if shared.numeric else f"\n{row[f'certainty_{name}']:.0%} sure")
            for name in shared.names
        }
        right, nearest = (
            " + ".join(title(name) for name in str(row[told]).split(" + "))
            for told in ("right", "nearest")
        )
        movement = "–" if pd.isna(row["task"]) else spoken(row["task"])
        yield {
            "Patient": name_of(row["patient_id"]),
            **({"Movement": movement} if shared.unit == "photograph" else {}),
            "Side": row["side"],
            "Reference": reference_name(shared, row[shared.target.column]),
            **answers,
            **(
                {"Nearest": nearest}
                if shared.numeric
                else {"Correct": f"none\nnearest: {nearest}" if right == "none" else right}
            ),
        }


def class_name(shared: SharedAnswers, answer: object) -> str:
    """Return an answer of a table as a clinician writes it."""
    if shared.numeric is not None:
        return f"{float(str(answer)):.1f}"
    target = shared.classes
    numbers = np.arange(1, len(target.classes) + 1)
    return dict(zip(target.named(numbers), target.spoken, strict=True))[answer]


def reference_name(shared: SharedAnswers, truth: object) -> str:
    """Return a truth of a table as a clinician writes it."""
    if shared.numeric is not None:
        return class_name(shared, truth)
    return shared.classes.spoken[shared.classes.number_of[truth] - 1]


def weights_table(weights: pd.DataFrame, *, title: Title) -> list[dict[str, object]]:
    """Return what each branch counts in each fused model, from rows of `weights.csv`."""
    rows: list[dict[str, object]] = []
    for (model, branch), own in weights.groupby(["model", "branch"], sort=False):
        weight = own["weight"]
        rows.append(
            {
                "Fused": title(str(model)),
                "Branch": title(str(branch)),
                "Weight": f"{weight.mean():.2f}\n{weight.min():.2f} to {weight.max():.2f}",
                "Strength": float(own["strength"].mean()),
            }
        )
    return rows
