"""How figures look: colours for everybody, calm axes, and the shapes that several reports draw.

Figures are made without pyplot, which would keep every one of them open.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from common.bootstrap import Estimate

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""Told apart by colour-blind readers too (Okabe and Ito 2008); a ninth thing begins again."""
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY = OKABE_ITO
INK, SOFT, LINE, GRID = "#1d2733", "#5b6875", "#dfe4e9", "#eef1f4"  # as on the page
MARKERS = "osD^vP"  # classes also by shape


def draw_limits(
    axes: Axes, lines: tuple[Estimate, Estimate, Estimate], *, label: str | None = None
) -> None:
    """Draw lower limit, bias and upper limit (Bland and Altman 1986) with their 95 % intervals.

    `label` is the format of the numbers beside the lines, `+.1f` for instance; None: none.
    """
    for line, style in zip(lines, ("--", "-", "--"), strict=True):
        axes.axhspan(line.low, line.high, color=GRID, zorder=0)
        axes.axhline(line.value, color=INK, linestyle=style, linewidth=1)
        if label is not None:
            axes.annotate(
                f"{line.value:{label}}", (1.0, line.value), xycoords=("axes fraction", "data"),
                xytext=(4, 0), textcoords="offset points", va="center", fontsize=9,
            )  # fmt: skip


def canvas(width: float, height: float, *, x: str = "", y: str = "") -> tuple[Figure, Axes]:
    """Return a figure of one plot, and the words at its axes; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    return figure, axes


def calm(axes: Axes, *, labelsize: float = 8, grid: bool = True) -> None:
    """Take away what a reader need not see: upper and right edge, ticks; and draw a faint grid."""
    axes.tick_params(labelsize=labelsize, length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    if grid:
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)


def colour_at(number: int) -> str:
    """Return the colour of the thing of that number, from 0."""
    return OKABE_ITO[number % len(OKABE_ITO)]


def draw_intervals(
    axes: Axes,
    found: Sequence[Estimate],
    *,
    colours: Sequence[str] = (BLUE,),
    markers: Sequence[str] = ("o",),
    hollow: Sequence[bool] = (False,),
) -> NDArray[np.intp]:
    """Draw estimates with their intervals from top to bottom; return their heights.

    `colours`, `markers` and `hollow` hold one for each estimate, or one for all.
    """
    at = np.arange(len(found))[::-1]
    for row, (place, estimate) in enumerate(zip(at, found, strict=True)):
        colour = colours[row % len(colours)]
        axes.hlines(place, estimate.low, estimate.high, color=colour, linewidth=1.8)
        axes.plot(
            estimate.value, place, markers[row % len(markers)], color=colour, markersize=6,
            markerfacecolor="white" if hollow[row % len(hollow)] else colour,
        )  # fmt: skip
    return at


def shaded_cells(
    axes: Axes,
    shades: NDArray[np.float64],
    words: NDArray[np.str_],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    fontsize: float = 8,
) -> None:
    """Draw words on a ground that is the darker the nearer its shade is to 1.

    `shades` and `words` are `(rows, columns)`; a cell without words stays empty.
    """
    axes.imshow(shades, cmap=mpl.colormaps["Blues"], vmin=0, vmax=1, aspect="auto")
    for row, column in np.argwhere(words != ""):
        axes.text(
            column, row, words[row, column], ha="center", va="center", fontsize=fontsize,
            color="white" if shades[row, column] > 0.55 else INK,
        )  # fmt: skip
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0, labelsize=fontsize)
    for spine in axes.spines.values():
        spine.set_color(LINE)


def shares_of_rows(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each count as a share of its row, 0 where the row is empty."""
    total = counts.sum(axis=1, keepdims=True)
    shares = np.zeros_like(counts)
    np.divide(counts, total, out=shares, where=total > 0)
    return shares
