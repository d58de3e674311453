"""Pictures of an evaluation: where on the face the error is, and how often it is how large."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray

from common.bootstrap import Estimate
from common.figures import GREY, calm, canvas, colour_at, draw_intervals
from common.words import spoken
from landmarks.check.errors import Evaluated, cumulative_share, normalisers, part_errors
from landmarks.overlay import OUTLINES
from landmarks.points import LEFT_EYE_OUTER, RIGHT_EYE_OUTER


def region_title(region: str) -> str:
    """Return `patient's right brow` for `right_brow`, and other parts with spaces."""
    words = spoken(region)
    return f"patient's {words}" if words.split()[0] in ("right", "left") else words


def face_figure(evaluated: Evaluated) -> Figure:
    """Draw the mean error of each point as a disc of that radius on the mean true face."""
    known = evaluated.only((evaluated.photographs["status"] == "ok").to_numpy())
    scale = normalisers(known.true)["eye"]
    face = _mean_face(known.true)
    error = (known.distances / scale[:, None]).mean(axis=0)
    figure, axes = canvas(5.6, 5.8)
    for a, b in OUTLINES:
        axes.plot(*face[[a, b]].T, color=GREY, linewidth=0.8, zorder=1)
    top = max(float(100 * error.max()), 1e-9)
    colours = matplotlib.colormaps["cividis"]
    for (x, y), size in zip(face, error, strict=True):
        axes.add_patch(
            Circle((x, y), size, facecolor=colours(100 * size / top), edgecolor="black",
                   linewidth=0.4, alpha=0.85, zorder=2)
        )  # fmt: skip
    bar = figure.colorbar(
        matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0, top), colours),
        ax=axes, shrink=0.7,
    )  # fmt: skip
    bar.set_label("mean error, % of the outer-eye distance")
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set_axis_off()
    low, high = face.min(axis=0) - 0.1, face.max(axis=0) + 0.1
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(high[1] + 0.06, low[1])
    for x, name in ((low[0], "patient's right"), (high[0], "patient's left")):
        axes.text(x, high[1] + 0.05, name, ha="left" if x == low[0] else "right", fontsize=9)
    return figure


def cumulative_figure(settings: Mapping[str, Evaluated]) -> Figure:
    """Draw the share of photographs whose NRMSE is at most x, one line for each setting."""
    figure, axes = canvas(6.2, 4.0)
    errors = {name: part_errors(e)["inner"]["nrmse_eye"] for name, e in settings.items()}
    every = np.concatenate(list(errors.values()))
    most = float(np.nanquantile(every, 0.99)) if not np.isnan(every).all() else 10.0
    at = np.linspace(0.0, max(1.0, 1.1 * most), 300)
    for k, (name, values) in enumerate(errors.items()):
        share = cumulative_share(values, at, n=len(values))
        axes.plot(at, 100 * share, color=colour_at(k), label=name)
    axes.set_xlabel("NRMSE of the 51 inner points, % of the outer-eye distance")
    axes.set_ylabel("photographs, % of all")
    axes.set_ylim(0, 101)
    axes.set_xlim(0, at[-1])
    calm(axes, labelsize=9)
    if len(errors) > 1:
        axes.legend(frameon=False, fontsize=8)
    return figure


def interval_figure(scores: pd.DataFrame, *, label: str, xlabel: str) -> Figure:
    """Draw `value` with `low` and `high` of each row, named by the column `label`."""
    figure, axes = canvas(6.2, 0.6 + 0.32 * max(3, len(scores)))
    found = scores[["value", "low", "high"]].itertuples(index=False, name=None)
    axes.set_yticks(draw_intervals(axes, [Estimate(*row) for row in found]), list(scores[label]))
    axes.set_xlabel(xlabel)
    axes.set_xlim(left=0)
    calm(axes, labelsize=9)
    return figure


def tilt_figure(by_angle: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw error against the angle a photograph was turned by, one line for each setting.

    Each table has `angle_deg`, `value`, `low`, `high`.
    """
    figure, axes = canvas(6.2, 3.8)
    for k, (name, table) in enumerate(by_angle.items()):
        colour = colour_at(k)
        axes.fill_between(table["angle_deg"], table["low"], table["high"], color=colour, alpha=0.15)
        axes.plot(table["angle_deg"], table["value"], "o-", color=colour, label=name, markersize=4)
    axes.set_xlabel("photograph turned by, degrees (counter-clockwise positive)")
    axes.set_ylabel("NRMSE of inner points, %")
    axes.set_ylim(bottom=0)
    calm(axes, labelsize=9)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _mean_face(true: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the true faces, their eye lines level and of length 1, `(68, 2)`."""
    right, left = true[:, RIGHT_EYE_OUTER], true[:, LEFT_EYE_OUTER]
    across = left - right
    turn = across[:, 0] - 1j * across[:, 1]
    off = true - ((right + left) / 2)[:, None]
    level = (off[..., 0] + 1j * off[..., 1]) * turn[:, None] / np.abs(turn[:, None]) ** 2
    mean = level.mean(axis=0)
    return np.column_stack([mean.real, mean.imag])
