"""The motion of a clip over time, with the apex that was found and the one that was annotated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from htnet.micro.clips.spotting import Spot

FOUND, ANNOTATED = "#D55E00", "#0072B2"  # vermillion and blue of Okabe and Ito's palette
_COLUMNS = 3


def curves_figure(title: str, clips: Sequence[tuple[pd.Series, Spot]]) -> Figure:
    """Draw the curves of one subject's clips, three to a row.

    Parameters
    ----------
    title
        The subject.
    clips
        Row of the table `SPOTS` and what was found, for each clip.
    """
    n_rows = -(-len(clips) // _COLUMNS)
    figure = Figure(figsize=(10.5, 0.9 + 2.3 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, _COLUMNS, squeeze=False)
    top = max(float(spot.motion.max()) for _, spot in clips)
    for axis, (row, spot) in zip(axes.flat, clips, strict=False):
        axis.plot(spot.numbers, 100 * spot.motion, "o", color="#999999", markersize=3)
        axis.plot(spot.numbers, 100 * spot.smooth, color="black", linewidth=1.4)
        if not pd.isna(row["annotated_apex"]):
            axis.axvline(int(row["annotated_apex"]), color=ANNOTATED, linewidth=7, alpha=0.45)
        axis.axvline(spot.apex, color=FOUND, linewidth=2)
        axis.set_ylim(0, 110 * top if top > 0 else 1)
        axis.set_title(_name_of(row), fontsize=9)
        axis.tick_params(labelsize=8)
        axis.xaxis.get_major_locator().set_params(integer=True)
    for axis in list(axes.flat)[len(clips) :]:
        axis.set_axis_off()
    figure.suptitle(title, fontsize=11)
    for axis in axes[-1]:
        axis.set_xlabel("frame", fontsize=9)
    figure.supylabel("motion since the first frame, % of face size", fontsize=9)
    shown = axes.flat[0]
    lines: dict[str, dict[str, Any]] = {
        "apex found": {"color": FOUND},
        "apex annotated": {"color": ANNOTATED, "linewidth": 7, "alpha": 0.45},
        "motion, smoothed": {"color": "black"},
    }
    handles = [
        shown.plot([], [], label=name, **{"linewidth": 2.0, **style})[0]
        for name, style in lines.items()
    ]
    handles.append(shown.plot([], [], "o", color="#999999", markersize=3, label="motion")[0])
    figure.legend(handles=handles, loc="outside lower center", fontsize=8, ncols=4, frameon=False)
    return figure


def _name_of(row: pd.Series) -> str:
    name = str(row["image_id"]).rsplit("/", 1)[-1]
    off = row["error_frames"]
    if pd.isna(off):
        return f"{name}: apex {row['apex']}"
    frames = int(np.abs(off))
    if frames == 0:
        return f"{name}: as annotated"
    return f"{name}: {frames} frame{'s'[: frames != 1]} off"
