"""Figures of a film: curves of both sides over time, and right against left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.figures import BLUE, GREY, INK, LINE, ORANGE, SOFT, calm, canvas
from common.report import Picture, figure_picture
from common.words import spoken
from features.frames import FloatArray
from features.measures import SIDES
from features.movement.film import MeasuredFilm
from features.movement.tables import BLINK, MM

LONGEST_S = 120.0
"""Of longer films the beginning is drawn."""
SCATTER_ABOUT = (
    "Each dot is a moment of a movement: how far the right side has moved, and the left. Sides "
    "that move alike run along the diagonal; a weak side lies flat, a late one makes a loop. R "
    "of the mouth corners was 0.99 in healthy people, 0.75 in flaccid and 0.72 in synkinetic "
    "palsy (FacialNerveLab)."
)
COLOURS = {"right": ORANGE, "left": BLUE}


@dataclass(frozen=True)
class _Row:
    """One pair of curves: its signal, what stands beside it, and whether it is shown from rest."""

    signal: str
    title: str
    from_rest: bool = True


_ROWS = (
    _Row("brow_height", "Brow"),
    _Row("palpebral_fissure_height", "Eye opening", from_rest=False),
    _Row("commissure_displacement", "Mouth corner"),
    _Row("half_mouth_width", "Half mouth"),
    _Row("lower_lip_height", "Lower lip"),
)


def moves_of(measured: MeasuredFilm) -> dict[str, dict[str, Any]]:
    """Return the rows of `movements.csv` of one film by movement."""
    rows = measured.movements.set_index("movement").to_dict("index")
    return {str(movement): {str(k): v for k, v in row.items()} for movement, row in rows.items()}


def unit_of(signals: pd.DataFrame) -> str:
    """Return the unit of a film's lengths, short."""
    return "mm" if signals["unit"].iloc[0] == MM else "%"


def side_curves(measured: MeasuredFilm, signal: str, *, from_rest: bool = True) -> FloatArray:
    """Return a signal of right and left at every frame, `(n, 2)`, from rest or as it is."""
    columns = [f"{signal}_{side}" for side in SIDES]
    values = measured.signals[columns].to_numpy(dtype=np.float64)
    if from_rest:
        rest = measured.movements.set_index("movement").loc["rest", columns]
        values = values - rest.to_numpy(dtype=np.float64)
    return values


def curves_picture(
    measured: MeasuredFilm, *, begin: float, end: float
) -> tuple[Picture, float, float]:
    """Draw all curves between two times, s.

    Returns the picture, and the shares of its width at which the two times lie.
    """
    figure = Figure(figsize=(10.2, 6.3), layout="constrained")
    panels = figure.subplots(len(_ROWS), 1, sharex=True)
    times = measured.signals["time_s"].to_numpy(dtype=np.float64)
    unit = unit_of(measured.signals)
    events = measured.events[measured.events["status"] == "ok"]
    for axes, row in zip(panels, _ROWS, strict=True):
        _shade(axes, events, begin=begin, end=end, named=axes is panels[0])
        curves = side_curves(measured, row.signal, from_rest=row.from_rest)
        for side, curve in zip(SIDES, curves.T, strict=True):
            axes.plot(times, curve, color=COLOURS[side], linewidth=1.4, label=f"patient's {side}")
        calm(axes)
        axes.set_ylabel(f"{row.title}, {unit}", fontsize=7.5, color=INK)
        if not row.from_rest:
            axes.set_ylim(bottom=min(0.0, np.nanmin(curves, initial=0.0)))
    panels[-1].set_xlim(begin, end)
    panels[-1].set_xlabel("seconds", fontsize=8)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=2, fontsize=8,
        frameon=False,
    )  # fmt: skip
    figure.align_ylabels()
    figure.draw_without_rendering()
    box = panels[-1].get_position()
    picture = figure_picture(figure, alt="Curves of both sides of the face over time.")
    return picture, float(box.x0), float(box.x1)


def _shade(axes: Axes, events: pd.DataFrame, *, begin: float, end: float, named: bool) -> None:
    """Shade movements and blinks, and name the movements."""
    for row, (first, last) in zip(events.to_dict("records"), _spans(events), strict=True):
        if not (np.isfinite(first) and np.isfinite(last)) or last < begin or first > end:
            continue
        if row["kind"] == BLINK:
            axes.axvspan(first, last, color=GREY, alpha=0.25, linewidth=0)
            continue
        axes.axvspan(first, last, color="#dbe7f0", alpha=0.7, linewidth=0)
        axes.axvline(row["peak_s"], color=SOFT, linewidth=0.7)
        if named and first >= begin:
            axes.annotate(
                spoken(row["movement"]).replace(" ", "\n"), (first, 1.02), fontsize=7, color=SOFT,
                xycoords=("data", "axes fraction"), va="bottom", annotation_clip=False,
            )  # fmt: skip


def _spans(events: pd.DataFrame) -> FloatArray:
    """Return when events begin and end, as far as it is known, `(n, 2)` s."""
    first = events["onset_s"].fillna(events["hold_start_s"])
    return np.column_stack([first, events["end_s"].fillna(events["hold_end_s"])])


def scatter_picture(measured: MeasuredFilm, movement: str, rows: pd.DataFrame) -> Picture:
    """Draw right against left in all repetitions of a movement, `rows` of the events."""
    signal = str(rows["signal"].iloc[0])
    curves = side_curves(measured, signal)
    times = measured.signals["time_s"].to_numpy(dtype=np.float64)
    inside = np.zeros(len(times), dtype=bool)
    for first, last in _spans(rows):
        inside |= (times >= first) & (times <= last)
    dots = curves[inside]
    dots = dots[np.isfinite(dots).all(axis=1)]
    farthest = dots.ravel()[np.abs(dots).argmax()] if len(dots) else 1.0
    dots = dots * np.sign(farthest)
    figure, axes = canvas(2.35, 2.45)
    limit = 1.08 * max(float(dots.max()) if len(dots) else 1.0, 1.0)
    low = min(-0.1 * limit, float(dots.min()) if len(dots) else 0.0)
    axes.plot([low, limit], [low, limit], color=LINE, linewidth=1.2)
    axes.plot(dots[:, 0], dots[:, 1], "o-", color=INK, markersize=2.2, linewidth=0.5, alpha=0.7)
    axes.set(xlim=(low, limit), ylim=(low, limit), aspect="equal")
    calm(axes, labelsize=7)
    unit = unit_of(measured.signals)
    axes.set_xlabel(f"right, {unit}", fontsize=7, color=ORANGE)
    axes.set_ylabel(f"left, {unit}", fontsize=7, color=BLUE)
    r = rows["correlation"].median()
    told = "no R" if pd.isna(r) else f"R = {r:.2f}"
    words = spoken(movement)
    axes.set_title(f"{words}: {told}", fontsize=8, color=INK, loc="left")
    return figure_picture(figure, alt=f"{words}: right against left, {told}.")
