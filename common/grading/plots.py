"""Pictures of a benchmark, as matplotlib figures that need no window and no closing."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from common.grading.evaluation import shown_count
from common.grading.target import Target


def confusion_figure(total: NDArray[np.float64], *, target: Target, title: str) -> Figure:
    """Draw a confusion matrix: the number in each cell, shaded by its share of the true class.

    Parameters
    ----------
    total
        `(k, k)` counts, truth in rows; means over repeats, so they need not be whole.
    """
    k = len(target.classes)
    rows = total.sum(axis=1, keepdims=True)
    share = np.divide(total, rows, out=np.zeros_like(total), where=rows > 0)
    side = 1.1 + 0.34 * max(k, 4)
    figure = Figure(figsize=(side, side + 0.15), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap=mpl.colormaps["Blues"], vmin=0, vmax=1)
    for truth in range(k):
        for answer in range(k):
            if total[truth, answer] > 0:
                axes.text(
                    answer, truth, shown_count(total[truth, answer]), ha="center", va="center",
                    fontsize=8, color="white" if share[truth, answer] > 0.55 else "#1d2733",
                )  # fmt: skip
    names = roman(target)
    axes.set_xticks(range(k), names)
    axes.set_yticks(range(k), names)
    axes.set_xlabel("answered")
    axes.set_ylabel("reference")
    axes.set_title(title, fontsize=10)
    axes.tick_params(length=0, labelsize=9)
    for spine in axes.spines.values():
        spine.set_color("#dfe4e9")
    return figure


def roman(target: Target) -> tuple[str, ...]:
    """Return class names as a clinician writes them: House-Brackmann grades in Roman numerals."""
    return target.spoken
