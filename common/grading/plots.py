"""Figures of graded patients: mistakes, agreement, calibration, abstention; numbers and truth."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from common.bootstrap import Estimate
from common.figures import (
    BLUE,
    MARKERS,
    SKY,
    SOFT,
    VERMILION,
    calm,
    canvas,
    colour_at,
    draw_intervals,
    draw_limits,
    shaded_cells,
    shares_of_rows,
)
from common.grading.agreement_scores import limits_of_agreement
from common.grading.evaluation import shown_count
from common.grading.numeric_target import NumericTarget
from common.grading.probabilities import Reliability
from common.grading.scores import HUMAN_AGREEMENT
from common.grading.target import Target, patients_and_visits

LEAST_ANSWERED = 0.1  # below, an abstention curve rests on a handful of patients


def confusion_figure(
    total: NDArray[np.float64],
    *,
    target: Target,
    title: str,
    axes_of: tuple[str, str] = ("reference", "answered"),
) -> Figure:
    """Draw a confusion matrix: the number in each cell, shaded by its share of the row.

    `total` are `(k, k)` counts, truth in rows; means over repeats, so they need not be whole.
    """
    cells = tuple(map(tuple, total.tolist()))
    return _confusion(cells, names=target.spoken, title=title, axes_of=axes_of)


@lru_cache(maxsize=64)
def _confusion(
    cells: tuple[tuple[float, ...], ...],
    *,
    names: tuple[str, ...],
    title: str,
    axes_of: tuple[str, str],
) -> Figure:
    """Draw a matrix once, for its own file and for the report."""
    total = np.array(cells)
    side = 1.1 + 0.34 * max(len(total), 4)
    figure, axes = canvas(side, side + 0.15, x=axes_of[1], y=axes_of[0])
    words = np.array([[shown_count(n) if n > 0 else "" for n in row] for row in cells])
    shaded_cells(axes, shares_of_rows(total), words, rows=names, columns=names)
    axes.set_aspect("equal")
    axes.set_title(title, fontsize=10)
    return figure


def clinicians_figure(estimates: Mapping[str, Mapping[str, Estimate]]) -> Figure:
    """Draw accuracy and plain kappa of each grader, and those among clinicians as a line.

    `estimates` are by name of the grader, as the reader calls it, and by score.
    """
    figure = Figure(figsize=(6.4, 0.9 + 0.3 * len(estimates)), layout="constrained")
    panels = figure.subplots(1, len(HUMAN_AGREEMENT), sharey=True)
    for axes, human in zip(panels, HUMAN_AGREEMENT, strict=True):
        at = draw_intervals(axes, [found[human.score] for found in estimates.values()])
        axes.axvline(human.value, color=VERMILION, linestyle="--")
        axes.set_title(f"{human.what}\n(dashed: clinicians)", fontsize=9)
        axes.set_yticks(at, list(estimates))
        axes.set_xlim(0, 1)
        calm(axes)
    return figure


def bland_altman_figure(total: NDArray[np.float64], *, title: str) -> Figure:
    """Draw answer minus reference against their mean (Bland and Altman 1986), from counts.

    `total` are `(k, k)` counts, reference in rows; a dot's area is the number of answers there.
    """
    figure, axes = canvas(3.1, 3.1, x="mean of answer and reference", y="answer − reference")
    truth, answer = np.nonzero(total)
    count, difference = total[truth, answer], answer - truth
    sums = np.array([count @ difference, count @ difference**2, count.sum()])
    bias, low, high = map(float, limits_of_agreement(sums))
    axes.scatter((truth + answer) / 2 + 1, difference, s=12 * count, color=BLUE, alpha=0.6)
    for line, style in ((bias, "-"), (low, "--"), (high, "--")):
        axes.axhline(line, color=VERMILION, linestyle=style)
    axes.set_title(f"{title}: bias {bias:+.2f},\nlimits {low:+.2f} to {high:+.2f}", fontsize=9)
    k = len(total)  # the farthest mistake is k - 1 classes wide, and must not be cut off
    axes.set_xlim(0.7, k + 0.3)
    axes.set_ylim(-k + 0.5, k - 0.5)
    axes.set_yticks(range(1 - k, k))
    calm(axes)
    return figure


def difference_figure(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    truth: NDArray[np.int64],
    *,
    target: Target,
    label: str,
    lines: tuple[Estimate, Estimate, Estimate],
) -> Figure:
    """Draw the difference of two branches' expected classes against their mean.

    After Bland and Altman 1986; each dot is a photograph or patient, its colour and shape the
    reference, the bands the intervals of the lower limit, the bias and the upper limit (`lines`).
    """
    figure, axes = canvas(6.0, 3.9, x=f"mean of the two expected {target.steps}", y=label)
    draw_limits(axes, lines, label="+.2f")
    _dots_by_class(axes, (first + second) / 2, first - second, truth, target=target)
    axes.set_xlim(0.8, len(target.classes) + 0.2)
    axes.legend(title="reference", fontsize=8, title_fontsize=8, frameon=False, ncols=6,
                loc="lower center", bbox_to_anchor=(0.5, 1.0), handletextpad=0.1)  # fmt: skip
    calm(axes)
    return figure


def against_each_other(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    truth: NDArray[np.int64],
    *,
    target: Target,
    labels: tuple[str, str],
) -> Figure:
    """Draw the expected classes of one branch against those of another, by the reference."""
    figure, axes = canvas(4.9, 4.1)
    k = len(target.classes)
    axes.plot([1, k], [1, k], color=SOFT, linestyle=":", linewidth=1)
    _dots_by_class(axes, first, second, truth, target=target, size=42)
    axes.set_xlabel(labels[0], fontsize=10)
    axes.set_ylabel(labels[1], fontsize=10)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(range(1, k + 1), target.spoken)
    axes.set_xlim(0.8, k + 0.2)
    axes.set_ylim(0.8, k + 0.2)
    axes.set_aspect("equal")
    axes.legend(
        title="reference", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9
    )
    calm(axes, labelsize=9)
    return figure


def _dots_by_class(
    axes: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    truth: NDArray[np.int64],
    *,
    target: Target,
    size: float = 18,
) -> None:
    for at, name in enumerate(target.spoken):
        own = truth == at + 1
        if own.any():
            axes.scatter(x[own], y[own], s=size, color=colour_at(at), label=name, alpha=0.75,
                         marker=MARKERS[at % len(MARKERS)], linewidths=0)  # fmt: skip


def reliability_figure(bins: Mapping[str, Reliability]) -> Figure:
    """Draw the share of right answers against the probability of the answer, a panel each."""
    across = min(4, max(1, len(bins)))
    down = max(1, -(-len(bins) // across))
    figure = Figure(figsize=(0.4 + 2.2 * across, 0.4 + 2.1 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat[len(bins) :]:
        axes.set_visible(False)
    for axes, (name, found) in zip(panels.flat, bins.items(), strict=False):
        axes.plot([0, 1], [0, 1], color=SOFT, linestyle=":", linewidth=1)
        size = 300 * found.rows / max(float(found.rows.sum()), 1.0)
        axes.plot(found.sureness, found.right, color=BLUE, linewidth=0.8, alpha=0.5)
        axes.scatter(found.sureness, found.right, s=size, color=BLUE)
        axes.set_title(name, fontsize=9)
        axes.set_xlim(0, 1.03)
        axes.set_ylim(0, 1.05)
        calm(axes)
    figure.supxlabel("probability of the answer", fontsize=9)
    figure.supylabel("share right", fontsize=9)
    return figure


def abstention_figure(curves: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw the mean error among the surest against the share that is answered."""
    figure, axes = canvas(4.6, 3.4, x="share answered", y="mean error of the answered")
    for number, (name, whole) in enumerate(curves.items()):
        share, error = whole[whole[:, 0] >= LEAST_ANSWERED, :2].T
        axes.plot(share, error, label=name, color=colour_at(number),
                  linestyle=("-", "--", "-.")[number % 3], linewidth=1.2)  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    if curves:
        axes.legend(fontsize=7, frameon=False)
    calm(axes)
    return figure


def scatter_figure(predictions: pd.DataFrame, *, target: NumericTarget, title: str) -> Figure:
    """Draw one model's answers against the truth, with their intervals as lines.

    A dot is a photograph or patient (visit); over several repeats their mean.
    """
    rows = _means(predictions, target=target)
    figure, axes = canvas(3.3, 3.3, x=f"true {target.name}", y="answer")
    ends = [target.low, target.high]
    axes.plot(ends, ends, color=SOFT, linestyle=":", linewidth=1)
    known = rows.dropna(subset=["low"])
    axes.vlines(known[target.column], known["low"], known["high"], color=SKY, linewidth=1)
    axes.scatter(rows[target.column], rows["predicted"], s=16, color=BLUE, zorder=3, linewidths=0)
    margin = 0.03 * (target.high - target.low)
    axes.set_xlim(target.low - margin, target.high + margin)
    axes.set_ylim(target.low - margin, target.high + margin)
    axes.set_aspect("equal")
    axes.set_title(title, fontsize=9)
    calm(axes)
    return figure


def differences_figure(
    predictions: pd.DataFrame,
    *,
    target: NumericTarget,
    title: str,
    lines: tuple[Estimate, Estimate, Estimate],
) -> Figure:
    """Draw answer minus truth against their mean (Bland and Altman 1986).

    `lines` are lower limit, bias and upper limit; the bands are their 95 % intervals.
    """
    rows = _means(predictions, target=target)
    truth, answer = (rows[name].to_numpy(dtype=np.float64) for name in (target.column, "predicted"))
    figure, axes = canvas(3.9, 3.3, x="mean of answer and truth", y="answer − truth")
    draw_limits(axes, lines, label="+.1f")
    axes.scatter((truth + answer) / 2, answer - truth, s=16, color=BLUE, linewidths=0)
    axes.set_title(title, fontsize=9)
    calm(axes)
    return figure


def _means(predictions: pd.DataFrame, *, target: NumericTarget) -> pd.DataFrame:
    key = ["image_id"] if "image_id" in predictions.columns else []
    by = [*key, *patients_and_visits(predictions)]
    names = [target.column, "predicted", "low", "high"]
    return predictions.groupby(by, dropna=False, sort=False)[names].mean()
