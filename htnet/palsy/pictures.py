"""Pictures of explanations: the face beside its maps, with a legend that a clinician can read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from common.files import atomic_write
from common.report import figure_png
from htnet.network.configuration import SIDE_CLASSES
from htnet.palsy.faces import Faces
from htnet.palsy.maps import Explanation, region_names, region_places

ROI_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7")  # Okabe and Ito
_OPACITY = 0.62  # of a map over the face


@dataclass(frozen=True)
class Scale:
    """The values drawn brightest, the same in all pictures that are to be compared; 0 is dark.

    Drawn each on its own scale, the map of a healthy face would look as alarming as that of a
    complete palsy.
    """

    asymmetry: float
    gradients: float
    roi: float


def shared_scale(explanations: Sequence[Explanation]) -> Scale:
    """Return the scale on which the brightest of several faces just stays within the colours."""

    def brightest(maps: list[NDArray[np.float64]]) -> float:
        return max((float(np.quantile(one, 0.995)) for one in maps), default=1.0) or 1.0

    return Scale(
        asymmetry=brightest([e.asymmetry for e in explanations if e.asymmetry is not None]),
        gradients=brightest([e.gradients for e in explanations]),
        roi=brightest([e.roi for e in explanations if e.roi is not None]),
    )


def explanation_figure(
    found: Explanation,
    *,
    title: str,
    classes: tuple[str, ...],
    answer: int | None = None,
    scale: Scale | None = None,
) -> Figure:
    """Draw the face and every map that the network makes.

    `classes`: names of class 1..k. `answer`: class number that the network answers; the most
    probable when not given. `scale`: of the colours; this face's own when not given.
    """
    scale = scale or shared_scale([found])
    panels: list[tuple[str, NDArray[np.float64] | None]] = [("aligned face", None)]
    if found.asymmetry is not None:
        asymmetry = found.asymmetry / scale.asymmetry
        panels.append(("where the sides differ\n(asymmetry map)", asymmetry))
    gradients = found.gradients / scale.gradients
    panels.append(("what moved the grade\n(integrated gradients)", gradients))
    if found.side is not None:
        weak = found.on_weak_side(gradients)
        panels.append(("the same, on the side\nthat it takes for weak", weak))
    # Shares of one whole: only where they are larger than elsewhere in the same face counts.
    panels.append(("where it looked\n(attention roll-out)", _from_least(found.rollout)))
    columns = len(panels) + (found.roi is not None)
    figure = Figure(figsize=(2.15 * columns, 3.2), layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(1, columns)))
    for ax, (name, heat) in zip(axes, panels, strict=False):
        _face(ax, found.pixels, name)
        if heat is not None:
            ax.imshow(heat, cmap=mpl.colormaps["magma"], alpha=_OPACITY, vmin=0, vmax=1)
    if found.roi is not None:
        _regions(axes[-1], found)
        figure.legend(loc="outside lower right", ncols=5, fontsize=7, frameon=False)
    words = _answer(found, classes, answer)
    figure.suptitle(f"{title}\n{words}", fontsize=9, x=0.01, ha="left")
    return figure


def region_figure(
    found: Explanation, at: int, *, title: str, inside: NDArray[np.bool_] | None, scale: Scale
) -> Figure:
    """Draw what ROI map number `at` looks at, beside where its region lies.

    `inside` `(s, s)` is where it lies by the landmarks; None of a map that has no region.
    """
    assert found.roi is not None
    heat = found.roi[at]
    name = region_names(len(found.roi))[at].replace("_", " ")
    figure = Figure(figsize=(5.4, 3.0))
    face = figure.add_axes((0.01, 0.02, 0.42, 0.756))  # squares
    over = figure.add_axes((0.45, 0.02, 0.42, 0.756))
    _face(face, found.pixels, "aligned face" if inside is None else f"{name}, by the landmarks")
    _face(over, found.pixels, f"where the {name} map looks")
    shown = over.imshow(heat, cmap=mpl.colormaps["magma"], alpha=_OPACITY, vmin=0, vmax=scale.roi)
    bar = figure.colorbar(shown, cax=figure.add_axes((0.885, 0.06, 0.02, 0.676)))
    bar.set_label("value of the map (0 to 1)", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    words = f"mean {heat.mean():.2f}"
    if inside is not None and inside.any() and not inside.all():
        for ax in (face, over):
            ax.contour(inside, levels=[0.5], colors="white", linewidths=0.9, linestyles="--")
        words = (
            f"mean {heat[inside].mean():.2f} inside the region, {heat[~inside].mean():.2f} outside"
        )
    figure.suptitle(f"{title}\n{name}: {words}", fontsize=9, x=0.01, y=0.985, ha="left")
    return figure


def write_regions(
    found: Explanation, faces: Faces, at: int, out: Path, *, stem: str, scale: Scale
) -> None:
    """Write a picture for each map of the ROI module, of the face at row `at`."""
    assert found.roi is not None
    places = region_places(faces.regions[at], size=faces.size)
    for index, name in enumerate(region_names(len(found.roi))):
        halves = [one for key, one in places.items() if key.startswith(name)]
        figure = region_figure(
            found,
            index,
            title=faces.image_ids[at],
            inside=np.any(halves, axis=0) if halves else None,
            scale=scale,
        )
        write_figure(figure, out / f"{stem}_{name}.png")


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(figure_png(figure))


def _answer(found: Explanation, classes: tuple[str, ...], answer: int | None) -> str:
    predicted = int(found.probabilities.argmax()) if answer is None else answer - 1
    words = f"answer: {classes[predicted]} (probability {found.probabilities[predicted]:.0%})"
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
    names = region_names(len(found.roi))
    for name, colour, one in zip(names, itertools.cycle(ROI_COLOURS), found.roi, strict=False):
        if float(one.max()) > 0.05:
            ax.contour(one, levels=[float(one.max()) / 2], colors=[colour], linewidths=1.2)
        ax.plot([], [], color=colour, label=name.replace("_", " "))


def _from_least(heat: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = float(heat.min()), float(np.quantile(heat, 0.995))
    return np.clip((heat - low) / max(high - low, 1e-12), 0, 1)
