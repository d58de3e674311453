"""Pictures of agreement and certainty: clinicians beside graders, Bland-Altman, reliability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from common.grading.comparison import limits_of_agreement
from common.grading.probabilities import Reliability
from common.grading.scores import HUMAN_AGREEMENT

if TYPE_CHECKING:
    from common.grading.evaluation import Evaluation

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
LEAST_ANSWERED = 0.1  # below, an abstention curve rests on a handful of patients
SOFT = "#5b6875"


def agreement_figure(evaluation: Evaluation, *, models: list[str]) -> Figure:
    """Draw accuracy and plain kappa of each grader with its interval, and clinicians as a line."""
    from classifiers.graders.registry import title_of

    figure = Figure(figsize=(6.4, 0.9 + 0.3 * len(models)), layout="constrained")
    for axes, human in zip(
        figure.subplots(1, len(HUMAN_AGREEMENT), sharey=True), HUMAN_AGREEMENT, strict=True
    ):
        found = [evaluation.estimates[model][human.score] for model in models]
        at = np.arange(len(models))[::-1]
        axes.hlines(at, [f.low for f in found], [f.high for f in found], color=OKABE_ITO[0])
        axes.plot([f.value for f in found], at, "o", color=OKABE_ITO[0], markersize=5)
        axes.axvline(human.value, color=OKABE_ITO[1], linestyle="--")
        axes.set_title(f"{human.what}\n(dashed: clinicians)", fontsize=9)
        axes.set_yticks(at, [title_of(model) for model in models])
        axes.set_xlim(0, 1)
        calm(axes)
    return figure


def bland_altman_figure(total: NDArray[np.float64], *, title: str) -> Figure:
    """Draw answer minus reference against their mean (Bland and Altman 1986), from counts.

    Parameters
    ----------
    total
        `(k, k)` counts, reference in rows; a dot's area is the number of answers there.
    """
    figure = Figure(figsize=(3.1, 3.1), layout="constrained")
    axes = figure.subplots()
    truth, answer = np.nonzero(total)
    count = total[truth, answer]
    difference = answer - truth
    sums = np.array([count @ difference, count @ difference**2, count.sum()])
    bias, low, high = map(float, limits_of_agreement(sums))
    axes.scatter((truth + answer) / 2 + 1, difference, s=12 * count, color=OKABE_ITO[0], alpha=0.6)
    axes.axhline(bias, color=OKABE_ITO[1])
    for limit in (low, high):
        axes.axhline(limit, color=OKABE_ITO[1], linestyle="--")
    axes.set_title(f"{title}: bias {bias:+.2f},\nlimits {low:+.2f} to {high:+.2f}", fontsize=9)
    axes.set_xlabel("mean of answer and reference")
    axes.set_ylabel("answer − reference")
    k = len(total)  # the farthest mistake is k - 1 classes wide, and must not be cut off
    axes.set_xlim(0.7, k + 0.3)
    axes.set_ylim(-k + 0.5, k - 0.5)
    axes.set_yticks(range(1 - k, k))
    calm(axes)
    return figure


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
        axes.plot(found.sureness, found.right, color=OKABE_ITO[0], linewidth=0.8, alpha=0.5)
        axes.scatter(found.sureness, found.right, s=size, color=OKABE_ITO[0])
        axes.set_title(name, fontsize=9)
        axes.set_xlim(0, 1.03)
        axes.set_ylim(0, 1.05)
        calm(axes)
    figure.supxlabel("probability of the answer", fontsize=9)
    figure.supylabel("share right", fontsize=9)
    return figure


def abstention_figure(curves: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw the mean error among the surest against the share that is answered."""
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = figure.subplots()
    for number, (name, whole) in enumerate(curves.items()):
        curve = whole[whole[:, 0] >= LEAST_ANSWERED]
        axes.plot(
            curve[:, 0], curve[:, 1], label=name, color=OKABE_ITO[number % len(OKABE_ITO)],
            linestyle=("-", "--", "-.")[number % 3], linewidth=1.2,
        )  # fmt: skip
    axes.set_xlabel("share answered")
    axes.set_ylabel("mean error of the answered")
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    _legend(axes)
    calm(axes)
    return figure


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, frameon=False)


def calm(axes: Axes, *, labelsize: float = 8) -> None:
    """Take away what a reader need not see: upper and right edge, ticks; and draw a faint grid."""
    axes.tick_params(labelsize=labelsize, length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#dfe4e9")
    axes.grid(color="#eef1f4", linewidth=0.8)
    axes.set_axisbelow(True)
