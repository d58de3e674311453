"""Figures of answers that are numbers: against the truth, and their differences from it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from common.bootstrap import Estimate
from common.figures import BLUE, SKY, SOFT, calm, canvas, draw_limits
from common.grading.numeric_target import NumericTarget
from common.grading.target import patients_and_visits


def scatter_figure(predictions: pd.DataFrame, *, target: NumericTarget, title: str) -> Figure:
    """Draw one model's answers against the truth, with their intervals as lines.

    A dot is a photograph or patient (visit); over several repeats their mean.
    """
    rows = _means(predictions, target=target)
    figure, axes = canvas(3.3, 3.3)
    ends = [target.low, target.high]
    axes.plot(ends, ends, color=SOFT, linestyle=":", linewidth=1)
    known = rows.dropna(subset=["low"])
    axes.vlines(known[target.column], known["low"], known["high"], color=SKY, linewidth=1)
    axes.scatter(rows[target.column], rows["predicted"], s=16, color=BLUE, zorder=3, linewidths=0)
    margin = 0.03 * (target.high - target.low)
    axes.set_xlim(target.low - margin, target.high + margin)
    axes.set_ylim(target.low - margin, target.high + margin)
    axes.set_aspect("equal")
    axes.set_xlabel(f"true {target.name}")
    axes.set_ylabel("answer")
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
    figure, axes = canvas(3.9, 3.3)
    draw_limits(axes, lines, label="+.1f")
    axes.scatter((truth + answer) / 2, answer - truth, s=16, color=BLUE, linewidths=0)
    axes.set_xlabel("mean of answer and truth")
    axes.set_ylabel("answer − truth")
    axes.set_title(title, fontsize=9)
    calm(axes)
    return figure


def _means(predictions: pd.DataFrame, *, target: NumericTarget) -> pd.DataFrame:
    key = ["image_id"] if "image_id" in predictions.columns else []
    by = [*key, *patients_and_visits(predictions)]
    names = [target.column, "predicted", "low", "high"]
    return predictions.groupby(by, dropna=False, sort=False)[names].mean()
