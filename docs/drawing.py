"""Drawings that show which points and lines of the face a distance or feature uses.

Matplotlib is loaded here only; nothing that measures imports this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from features.definitions import STANDARD, measurement, points_used
from features.formulas import Stroke
from features.frames import FloatArray
from landmarks.points import N_POINTS, REGIONS, SELECTION_51, mirror_points, side_of

COLOURS = {"right": "#D55E00", "left": "#0072B2", "midline": "#000000"}
"""Patient's right vermilion, patient's left blue, both or neither black (Okabe and Ito)."""

_OUTLINE = "#BBBBBB"
_OPEN_LINES = (
    *(REGIONS[part] for part in ("jaw", "right_brow", "left_brow")),
    range(27, 31),
    range(31, 36),
)
_CLOSED_LINES = (REGIONS["right_eye"], REGIONS["left_eye"], range(48, 60), range(60, 68))

# Where a line through the points themselves would hide what else is shown: page y in px.
_LINE_Y = {(48, 49): 118.0, (28, 34): 398.0}
_LABEL_BELOW = frozenset((14, 15, 20, 21, *range(22, 28), 31, *range(35, 40), *range(44, 48), 50))
_LABEL_INWARDS = frozenset((4, 5, 13, 16))
_LABEL_FURTHER = frozenset((36, 38))  # to clear P37's


def draw_measurements(
    names: Sequence[str], *, definition: str = STANDARD, columns: int = 4, panel_inches: float = 3.2
) -> Figure:
    """Draw one panel for each distance or feature on the schematic face.

    Solid lines are lengths that are measured, or the horizontal or vertical part of them (between
    short end bars); dashed lines are the reference. Dots are the points used, with P-numbers.

    `names`: such as `["f3", "f11"]` or `["Wl"]`.
    `definition`: whose formulas are shown.
    `columns`: panels side by side.
    `panel_inches`: width of a panel.

    The figure is not known to pyplot, so nothing has to be closed;
    `figure.savefig(path)` writes it.
    """
    columns = min(columns, len(names))
    rows = ceil(len(names) / columns)
    figure = Figure(figsize=(columns * panel_inches, rows * panel_inches * 1.28 + 0.4))
    # titles may have three lines; the default padding would cut the first
    figure.set_layout_engine("constrained", h_pad=0.12)
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel, name in zip(panels.flat, names, strict=False):
        draw_measurement(panel, name, definition=definition)
    for panel in panels.flat[len(names) :]:
        panel.set_axis_off()
    handles = [
        Line2D([], [], color=COLOURS[side], marker="o", label=label)
        for side, label in (
            ("right", "patient's right"),
            ("left", "patient's left"),
            ("midline", "middle or both sides"),
        )
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=3 if columns > 1 else 1,
        frameon=False,
        fontsize=9,
    )
    return figure


def draw_measurement(axes: Axes, name: str, *, definition: str = STANDARD) -> None:
    """Draw one distance or feature on the schematic face into `axes`."""
    face = schematic_face()
    selected = face[list(SELECTION_51)]
    entry = measurement(name, definition=definition)
    _draw_outline(axes, face)
    parts = [
        entry,
        *(measurement(part, definition=definition) for part in _inherited(entry.name, definition)),
    ]
    for part in parts:
        for stroke in part.formula.strokes:
            _draw_stroke(axes, stroke, selected)
        if part.formula.brow:
            _draw_brow_mean(
                axes, part.formula.brow, selected, above_eyes=bool(part.formula.strokes)
            )
    _draw_points(axes, points_used(name, definition=definition), selected)
    axes.set_title(
        f"{name} = {_wrapped(entry.formula.text)}\n{_wrapped(entry.meaning)}", fontsize=8
    )
    axes.set(xlim=(30, WIDTH - 31), ylim=(HEIGHT - 35, 105), aspect="equal")
    axes.set_axis_off()


def _inherited(name: str, definition: str) -> list[str]:
    """Names of the distances a measurement is built from, theirs included."""
    names: dict[str, None] = {}
    for part in measurement(name, definition=definition).formula.distances:
        names |= dict.fromkeys([part, *_inherited(part, definition)])
    return list(names)


def _draw_outline(axes: Axes, face: FloatArray) -> None:
    closed = ([*part, part[0]] for part in _CLOSED_LINES)
    for line in (*map(list, _OPEN_LINES), *closed):
        axes.plot(*face[line].T, color=_OUTLINE, linewidth=1, zorder=1)


def _draw_stroke(axes: Axes, stroke: Stroke, points: FloatArray) -> None:
    a, b = points[stroke.a], points[stroke.b]
    colour = COLOURS[_side((stroke.a, stroke.b))]
    if stroke.kind == "length":
        axes.plot(*np.array([a, b]).T, color=colour, linewidth=1.8, zorder=3)
    elif stroke.kind == "width":
        _draw_part(axes, a, b, along=0, colour=colour, at=_LINE_Y.get((stroke.a, stroke.b)))
    elif stroke.kind == "height":
        _draw_part(axes, a, b, along=1, colour=colour)
    else:
        axes.plot(*np.array([a, b]).T, color=colour, linewidth=1.8, zorder=3)
        end = (b[0] + 22, a[1]) if stroke.kind == "angle" else (a[0], b[1])
        start = (a[0] - 22, a[1]) if stroke.kind == "angle" else (a[0], a[1])
        axes.plot(*np.array([start, end]).T, color=colour, linewidth=1, linestyle="--", zorder=2)


def _draw_part(
    axes: Axes, a: FloatArray, b: FloatArray, *, along: int, colour: str, at: float | None = None
) -> None:
    """Draw the horizontal (0) or vertical (1) part of a to b, between short end bars.

    Drawn half-way between the points, or `at` px of the other axis; dotted lines lead to it.
    """
    across = 1 - along
    middle = (a[across] + b[across]) / 2 if at is None else at
    line = np.empty((2, 2))
    line[:, along] = a[along], b[along]
    line[:, across] = middle
    axes.plot(*line.T, color=colour, linewidth=1.8, zorder=3)
    for end, point in zip(line, (a, b), strict=True):
        bar = np.array([end, end])
        bar[:, across] += (-5, 5)
        axes.plot(*bar.T, color=colour, linewidth=1.8, zorder=3)
        axes.plot(*np.array([point, end]).T, color=colour, linewidth=0.8, linestyle=":", zorder=2)


def _draw_brow_mean(
    axes: Axes, brow: tuple[int, ...], points: FloatArray, *, above_eyes: bool
) -> None:
    """Draw the brow's mean and its height above the eye line, or above nothing (image y)."""
    colour = COLOURS[_side(brow)]
    mean = points[list(brow)].mean(axis=0)
    eye_line = points[[10, 19], 1].mean() if above_eyes else 100.0  # the schematic eyes are level
    axes.plot(*mean, color=colour, marker="D", markersize=5, zorder=5)
    axes.plot([mean[0]] * 2, [mean[1], eye_line], color=colour, linewidth=1.8, zorder=3)


def _draw_points(axes: Axes, used: Sequence[int], points: FloatArray) -> None:
    for point in used:
        x, y = points[point]
        colour = COLOURS[_side((point,))]
        axes.plot(x, y, color=colour, marker="o", markersize=3.5, zorder=4)
        outwards = -1 if side_of(SELECTION_51[point]) == "right" else 1
        outwards = -outwards if point in _LABEL_INWARDS else outwards
        below = point in _LABEL_BELOW
        aside = 6 if point in _LABEL_FURTHER else 3
        axes.annotate(
            f"P{point}", (x, y), xytext=(aside * outwards, -3 if below else 3),
            textcoords="offset points", ha="right" if outwards < 0 else "left",
            va="top" if below else "bottom", fontsize=6, color=colour, zorder=6,
        )  # fmt: skip


def _side(points: Sequence[int]) -> str:
    """Return the side that all points off the midline lie on; `midline` when they lie on both."""
    sides = {side_of(SELECTION_51[point]) for point in points} - {"midline"}
    return sides.pop() if len(sides) == 1 else "midline"


def _wrapped(text: str, *, width: int = 44) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


WIDTH = 401
"""Width of the page in px; the face's midline lies at x = 200, its middle column."""

HEIGHT = 480

_RIGHT_HALF_AND_MIDLINE: dict[int, tuple[int, int]] = {
    # jaw line, from the patient's right ear to the chin
    0: (64, 196), 1: (66, 240), 2: (72, 284), 3: (82, 326), 4: (98, 364),
    5: (122, 394), 6: (148, 416), 7: (174, 430), 8: (200, 434),
    # brow, from its outer end
    17: (88, 162), 18: (104, 146), 19: (126, 139), 20: (148, 142), 21: (170, 150),
    # ridge and base of the nose
    27: (200, 186), 28: (200, 214), 29: (200, 240), 30: (200, 266),
    31: (176, 282), 32: (187, 287), 33: (200, 291),
    # eye: outer corner, upper lid, inner corner, lower lid
    36: (104, 194), 37: (119, 182), 38: (140, 182), 39: (156, 197), 40: (139, 204), 41: (120, 204),
    # outer line of the lips
    48: (148, 350), 49: (166, 337), 50: (185, 329), 51: (200, 333),
    57: (200, 380), 58: (183, 377), 59: (165, 367),
    # inner line of the lips
    60: (157, 350), 61: (184, 345), 62: (200, 347), 66: (200, 358), 67: (184, 356),
}  # fmt: skip


def schematic_face() -> NDArray[np.float64]:
    """Return the drawn face.

    Returns `(68, 2)` px on a page of `WIDTH` by `HEIGHT`, whole numbers; mirroring the page
    gives the same points.
    """
    half = np.full((N_POINTS, 2), np.nan)
    for point, place in _RIGHT_HALF_AND_MIDLINE.items():
        half[point] = place
    other_half = mirror_points(half, width=WIDTH)
    face: NDArray[np.float64] = np.where(np.isnan(half), other_half, half)
    return face
