"""Pictures of the joint report: the ways of grading beside each other."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from classifiers.branches.branch import SharedAnswers
from classifiers.reports.score_plots import calm
from common.grading.evaluation import Evaluation
from common.grading.plots import roman
from common.grading.scores import HUMAN_AGREEMENT
from common.grading.target import MAJORITY
from pipeline.joint_report.study import colour_of, marker_of, title_of_way

_SHOWN = {
    "mae": "error in grades",
    "balanced_accuracy": "balanced accuracy",
    "weighted_kappa": "agreement with the reference\n(weighted kappa)",
    "accuracy": "share exactly right",
}
_BESIDE_THE_LEAD = ("weighted_kappa", "accuracy")
_SOFT = "#5b6875"


def ways_figure(evaluation: Evaluation) -> Figure:
    """Draw the scores of each way of grading with 95 % intervals, the baseline below."""
    models = [name for name in evaluation.estimates if name != MAJORITY]
    models += [MAJORITY] if MAJORITY in evaluation.estimates else []
    figure = Figure(figsize=(9.2, 0.95 + 0.33 * len(models)), layout="constrained")
    lead = evaluation.headline.name
    shown = {name: title for name, title in _SHOWN.items() if name in (lead, *_BESIDE_THE_LEAD)}
    panels = figure.subplots(1, len(shown), sharey=True)
    at = np.arange(len(models))[::-1]
    of_grades = HUMAN_AGREEMENT if evaluation.target.name == "six_grades" else ()
    humans = {found.score: found.value for found in of_grades}
    for axes, (score, title) in zip(panels, shown.items(), strict=True):
        for place, model in zip(at, models, strict=True):
            found = evaluation.estimates[model][score]
            colour = colour_of(model)
            axes.hlines(place, found.low, found.high, color=colour, linewidth=2)
            axes.plot(found.value, place, marker_of(model), color=colour, markersize=7)
        if score in humans:
            axes.axvline(humans[score], color=_SOFT, linestyle="--", linewidth=1.2)
            axes.text(
                humans[score], len(models) - 0.45, "clinicians", color=_SOFT, fontsize=9,
                ha="center", va="bottom",
            )  # fmt: skip
        lowest = min(evaluation.estimates[model][score].low for model in models)
        highest = max(evaluation.estimates[model][score].high for model in models)
        axes.set_xlim(min(0.0, lowest) - 0.03, max(1.0, highest) + 0.04)
        axes.set_ylim(-0.6, len(models) - 0.4)
        axes.set_title(title, fontsize=10, pad=14 if score in humans else 6)
        axes.set_yticks(at, [title_of_way(model) for model in models], fontsize=10)
        calm(axes, labelsize=9)
    return figure


def against_each_other(shared: SharedAnswers, first: str, second: str) -> Figure:
    """Draw the expected grade of one way against that of another, coloured by the reference."""
    figure = Figure(figsize=(4.9, 4.1), layout="constrained")
    axes = figure.subplots()
    k = len(shared.target.classes)
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.95, k))
    axes.plot([1, k], [1, k], color=_SOFT, linestyle=":", linewidth=1)
    names = roman(shared.target)
    for number in range(1, k + 1):
        of_class = shared.truth == number
        if of_class.any():
            axes.scatter(
                shared.expected(first)[of_class], shared.expected(second)[of_class], s=42,
                color=colours[number - 1], edgecolor="white", linewidth=0.6,
                label=names[number - 1],
            )  # fmt: skip
    axes.set_xlabel(f"grade by {title_of_way(first).lower()}", fontsize=10)
    axes.set_ylabel(f"grade by {title_of_way(second).lower()}", fontsize=10)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(range(1, k + 1), names)
    axes.set_xlim(0.8, k + 0.2)
    axes.set_ylim(0.8, k + 0.2)
    axes.set_aspect("equal")
    axes.legend(
        title="reference", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9
    )
    calm(axes, labelsize=9)
    return figure
