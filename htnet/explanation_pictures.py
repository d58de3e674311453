"""Pictures of explanations: the face beside its maps, with a legend that a clinician can read."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from htnet.configuration import ROI_REGIONS, SIDE_CLASSES
from htnet.explanation import Explanation

ROI_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7")  # Okabe and Ito


def explanation_figure(found: Explanation, *, title: str, classes: tuple[str, ...]) -> Figure:
    """Draw the face and every map that the network makes.

    Parameters
    ----------
    found
        Maps of one face.
    title
        What the photograph is, with its reference grade.
    classes
        Names of class 1..k.
    """
    panels: list[tuple[str, NDArray[np.float64] | None]] = [("aligned face", None)]
    if found.asymmetry is not None:
        panels.append(("where the sides differ\n(asymmetry map)", found.asymmetry))
    panels.append(("what moved the grade\n(integrated gradients)", found.gradients))
    if found.side is not None:
        weak = found.on_weak_side(found.gradients)
        panels.append(("the same, on the side\nthat it takes for weak", weak))
    panels.append(("where it looked\n(attention roll-out)", found.rollout))
    columns = len(panels) + (found.roi is not None)
    figure = Figure(figsize=(2.15 * columns, 3.5), layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(1, columns)))
    for ax, (name, heat) in zip(axes, panels, strict=False):
        _face(ax, found.pixels, name)
        if heat is not None:
            ax.imshow(_normal(heat), cmap=mpl.colormaps["magma"], alpha=0.62, vmin=0, vmax=1)
    if found.roi is not None:
        _regions(axes[-1], found)
        figure.legend(loc="outside lower right", ncols=5, fontsize=7, frameon=False)
    figure.suptitle(f"{title}\n{_answer(found, classes)}", fontsize=9, x=0.01, ha="left")
    return figure


def _answer(found: Explanation, classes: tuple[str, ...]) -> str:
    best = int(found.probabilities.argmax())
    words = f"most probable: {classes[best]} ({found.probabilities[best]:.0%})"
    if found.side is not None:
        side = int(found.side.argmax())
        words += f"; weak side: {SIDE_CLASSES[side]} ({found.side[side]:.0%})"
    return words


def _face(ax: Axes, pixels: NDArray[np.uint8], name: str) -> None:
    size = pixels.shape[0]
    ax.imshow(pixels)
    ax.axvline((size - 1) / 2, color="white", linewidth=0.5, linestyle=":")
    ax.set_title(name, fontsize=8)
    ax.text(2, size - 3, "R", color="white", fontsize=7)
    ax.text(size - 2, size - 3, "L", color="white", fontsize=7, ha="right")
    ax.set_axis_off()


def _regions(ax: Axes, found: Explanation) -> None:
    """Outline each ROI map at half of its own highest value."""
    _face(ax, found.pixels, "regions found (ROI)")
    assert found.roi is not None
    for name, colour, one in zip(ROI_REGIONS, ROI_COLOURS, found.roi, strict=False):
        if float(one.max()) > 0.05:
            ax.contour(one, levels=[float(one.max()) / 2], colors=[colour], linewidths=1.2)
        ax.plot([], [], color=colour, label=name.replace("_", " "))


def _normal(heat: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = float(heat.min()), float(np.quantile(heat, 0.995))
    scaled: NDArray[np.float64] = np.clip((heat - low) / max(high - low, 1e-12), 0, 1)
    return scaled
