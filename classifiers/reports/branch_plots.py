"""Pictures of two branches side by side: how they differ, and where one of them errs more."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from classifiers.branches.branch import SharedAnswers
from classifiers.branches.paired_scores import Agreement, pairs_of_answers
from classifiers.reports.score_plots import OKABE_ITO, SOFT, calm
from common.grading.plots import confusion_figure, roman
from common.tables import ROMAN

MARKERS = "osD^vP"


def difference_figure(shared: SharedAnswers, found: Agreement) -> Figure:
    """Draw the difference of two branches' expected grades against their mean.

    After Bland and Altman 1986; each dot is a photograph or patient, its colour and shape the
    reference, the bands the intervals of bias and limits.
    """
    first, second = shared.expected(found.first), shared.expected(found.second)
    figure = Figure(figsize=(6.0, 3.9), layout="constrained")
    axes = figure.subplots()
    for line, style in ((found.low_limit, "--"), (found.bias, "-"), (found.high_limit, "--")):
        axes.axhspan(line.low, line.high, color="#eef1f4", zorder=0)
        axes.axhline(line.value, color="#1d2733", linestyle=style, linewidth=1)
        axes.annotate(
            f"{line.value:+.2f}", (1.0, line.value), xycoords=("axes fraction", "data"),
            xytext=(4, 0), textcoords="offset points", va="center", fontsize=9,
        )  # fmt: skip
    for number, name in enumerate(roman(shared.target), start=1):
        own = shared.truth == number
        if own.any():
            axes.scatter(
                (first[own] + second[own]) / 2, first[own] - second[own], label=name, s=18,
                marker=MARKERS[(number - 1) % len(MARKERS)], alpha=0.75, linewidths=0,
                color=OKABE_ITO[(number - 1) % len(OKABE_ITO)],
            )  # fmt: skip
    axes.set_xlabel("mean of the two expected grades")
    axes.set_ylabel(f"{found.first} − {found.second}")
    axes.set_xlim(0.8, len(shared.target.classes) + 0.2)
    axes.legend(title="reference", fontsize=8, title_fontsize=8, frameon=False, ncols=6,
                loc="lower center", bbox_to_anchor=(0.5, 1.0), handletextpad=0.1)  # fmt: skip
    calm(axes)
    return figure


def crossed_figure(shared: SharedAnswers, first: str, second: str) -> Figure:
    """Draw how often the first branch's answer met the second's."""
    k = len(shared.target.classes)
    pairs = pairs_of_answers(shared.answers[first], shared.answers[second], k=k)
    total = pairs.sum(axis=0).reshape(k, k) / shared.rows["repeat"].nunique()
    figure = confusion_figure(total, target=shared.target, title=f"per {shared.unit}")
    axes = figure.axes[0]
    axes.set_xlabel(f"{second} answered")
    axes.set_ylabel(f"{first} answered")
    return figure


def groups_figure(table: pd.DataFrame, *, score: str, title: str) -> Figure:
    """Draw the difference of one score in every group with its interval.

    Parameters
    ----------
    table
        Rows of `comparison.csv` of one pair on one level.
    score
        Name of the score.
    title
        What lies left and right of zero.
    """
    rows = table[table["score"] == score].reset_index(drop=True)
    figure = Figure(figsize=(6.0, 0.9 + 0.26 * len(rows)), layout="constrained")
    axes = figure.subplots()
    at = np.arange(len(rows))[::-1]
    axes.axvline(0, color=SOFT, linewidth=1)
    axes.hlines(at, rows["low"], rows["high"], color=OKABE_ITO[0], linewidth=1.6)
    axes.plot(rows["difference"], at, "o", color=OKABE_ITO[0], markersize=5)
    axes.set_yticks(
        at, [group_words(r["by"], r["group"], r["patients"]) for r in rows.to_dict("records")]
    )
    axes.set_xlabel(title, fontsize=9)
    calm(axes)
    return figure


def group_words(by: object, group: object, patients: object) -> str:
    """Return how a table calls a group, `grade IV (10 patients)` for instance."""
    words = str(group).replace("_", " ")
    if by == "grade":
        words = ROMAN[int(words) - 1]
    named = "everybody" if by == "all" else f"{by} {words}"
    return f"{named} ({patients} patients)"
