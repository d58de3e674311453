"""What `micro spot` writes of apexes: tables, errors against annotated ones, motion curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from matplotlib.figure import Figure
from numpy.typing import NDArray

from common.bootstrap import Estimate, exact_limits, interval, resampling_weights
from common.tables import choice, number, text
from common.words import counted
from htnet.micro.clips.folder import MARKS
from htnet.micro.clips.frames import ClipTask
from htnet.micro.clips.reader import ClipSpot
from htnet.micro.clips.spotting import Spot
from htnet.micro.clips.store import STATUSES, frame_column

SPOTS_FILE, CURVES_FILE = "spots.csv", "curves.csv"
SPOTTED, MIDDLE = "spotted", "middle frame"
_FOUND, _ANNOTATED = "#D55E00", "#0072B2"  # vermillion and blue of Okabe and Ito's palette
_MARK_STYLES = {"onset": ("#009E73", ":"), "apex": (_FOUND, "-"), "offset": (_ANNOTATED, "--")}
_COLUMNS = 3

SPOTS = pa.DataFrameSchema(
    {
        "image_id": text(unique=True),
        "patient_id": text(),
        "dataset": text(nullable=True),
        "status": choice(STATUSES),
        "reason": text(nullable=True),
        **{name: frame_column() for name in ("first_frame", "last_frame", "n_frames", *MARKS)},
        **{f"annotated_{name}": frame_column() for name in MARKS},
        **{f"{of}error_{unit}": number() for of in ("", "middle_") for unit in ("frames", "share")},
    },
    name="spots",
)
"""`spots.csv`. `first_frame` to `last_frame` were looked at; errors are found minus annotated, in
frames, and as a share of the length looked at; `middle_error` is that of the middle frame."""

CURVES = pa.DataFrameSchema(
    {
        "image_id": text(),
        "frame": pa.Column(int, coerce=True),
        "motion": number(),
        "smooth": number(),
    },
    name="curves",
)
"""`curves.csv`, a row for each frame that was looked at: motion since the first of them as a
fraction of the face size, and the same smoothed."""


@dataclass(frozen=True)
class SpottingScores:
    """Scores of one way to find the apex; intervals from resampling whole subjects.

    `name` is `spotted` or `middle frame`; errors are mean absolute ones, in frames and as a share
    of the length looked at; `within` are shares of clips with errors of at most so many frames.
    """

    name: str
    error_frames: Estimate
    error_share: Estimate
    within_1: Estimate
    within_3: Estimate

    def as_json(self) -> dict[str, object]:
        """Return the scores for `metrics.json`."""
        names = ("error_frames", "error_share", "within_1", "within_3")
        return {name: getattr(self, name).as_json() for name in names}


def spotting_scores(spots: pd.DataFrame, *, seed: int = 0) -> list[SpottingScores]:
    """Score the spotted apexes and, beside them, the middle frames.

    Rows of `SPOTS` without an annotated or a spotted apex take no part; empty when no apex is
    annotated. `seed` is that of the bootstrap.
    """
    rows = spots[spots["error_frames"].notna()]
    if rows.empty:
        return []
    people = rows["dataset"].fillna("").astype(str) + "/" + rows["patient_id"]
    place, names = pd.factorize(people)
    weights = resampling_weights(len(names), seed=seed)

    def score(values: NDArray[np.float64], *, proportion: bool = False) -> Estimate:
        sums, counts = np.bincount(place, weights=values), np.bincount(place)
        value = float(sums.sum() / counts.sum())
        if proportion and value in (0.0, 1.0):  # the bootstrap cannot vary
            return Estimate(value, *exact_limits(value, n=len(names)))
        return interval(value, (weights @ sums) / (weights @ counts))

    scores = []
    for name, prefix in ((SPOTTED, ""), (MIDDLE, "middle_")):
        frames = rows[f"{prefix}error_frames"].abs().to_numpy(dtype=np.float64)
        share = rows[f"{prefix}error_share"].abs().to_numpy(dtype=np.float64)
        near = [score((frames <= reach).astype(np.float64), proportion=True) for reach in (1, 3)]
        scores.append(SpottingScores(name, score(frames), score(share), near[0], near[1]))
    return scores


def spots_table(
    rows: pd.DataFrame, tasks: Sequence[ClipTask], found: Sequence[ClipSpot]
) -> pd.DataFrame:
    """Return `spots.csv`: rows of the manifest, their tasks and what was found, in one order."""
    lines: list[dict[str, Any]] = []
    for row, task, one in zip(rows.to_dict("records"), tasks, found, strict=True):
        line: dict[str, Any] = {name: row[name] for name in ("image_id", "patient_id", "dataset")}
        line |= {"status": one.status, "reason": one.reason or None}
        line |= {f"annotated_{name}": getattr(task, name) for name in MARKS}
        if one.spot is not None:
            numbers = one.spot.numbers
            line |= {"first_frame": numbers[0], "last_frame": numbers[-1]}
            line |= {"n_frames": len(numbers)}
            line |= {name: getattr(one.spot, name) for name in MARKS}
            line |= errors_of(one.spot.apex, task.apex, numbers)
            middle = numbers[len(numbers) // 2]
            line |= errors_of(middle, task.apex, numbers, prefix="middle_")
        lines.append(line)
    table = pd.DataFrame(lines, columns=list(SPOTS.columns))
    for name, column in SPOTS.columns.items():
        kind = str(column.dtype)
        table[name] = table[name].astype("str" if kind.startswith("str") else kind)
    return table


def errors_of(
    apex: int, annotated: int | None, numbers: Sequence[int], *, prefix: str = ""
) -> dict[str, float]:
    """Return the columns of the error of one apex; NaN where none is annotated."""
    length = numbers[-1] - numbers[0]
    off = float("nan") if annotated is None else float(apex - annotated)
    return {f"{prefix}error_frames": off, f"{prefix}error_share": off / length if length else off}


def curves_table(spots: pd.DataFrame, found: Sequence[ClipSpot]) -> pd.DataFrame:
    """Return `curves.csv` of the clips in which an apex was found."""
    parts = [
        pd.DataFrame(
            {
                "image_id": image_id,
                "frame": one.spot.numbers,
                "motion": one.spot.motion,
                "smooth": one.spot.smooth,
            }
        )
        for image_id, one in zip(spots["image_id"], found, strict=True)
        if one.spot is not None
    ]
    if not parts:
        return pd.DataFrame({name: [] for name in CURVES.columns}).astype({"image_id": "str"})
    return pd.concat(parts, ignore_index=True)


def curves_figure(title: str, clips: Sequence[tuple[pd.Series, Spot]]) -> Figure:
    """Draw the curves of one subject's clips, three to a row, from rows of `SPOTS` and spots."""
    n_rows = -(-len(clips) // _COLUMNS)
    figure = Figure(figsize=(10.5, 0.9 + 2.3 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, _COLUMNS, squeeze=False)
    top = max(float(spot.motion.max()) for _, spot in clips)
    for axis, (row, spot) in zip(axes.flat, clips, strict=False):
        axis.plot(spot.numbers, 100 * spot.motion, "o", color="#999999", markersize=3)
        axis.plot(spot.numbers, 100 * spot.smooth, color="black", linewidth=1.4)
        if not pd.isna(row["annotated_apex"]):
            axis.axvline(int(row["annotated_apex"]), color=_ANNOTATED, linewidth=7, alpha=0.45)
        axis.axvline(spot.apex, color=_FOUND, linewidth=2)
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
        "apex found": {"color": _FOUND},
        "apex annotated": {"color": _ANNOTATED, "linewidth": 7, "alpha": 0.45},
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
    return f"{name}: {counted(abs(off), 'frame')} off" if off else f"{name}: as annotated"


def motion_figure(spot: Spot, **marks: int) -> Figure:
    """Draw the motion of one clip over its frames, with onset, apex and offset marked."""
    figure = Figure(figsize=(6.8, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(spot.numbers, 100 * spot.motion, "o", color="#999999", ms=3, label="each frame")
    axes.plot(spot.numbers, 100 * spot.smooth, color="#333333", label="smoothed")
    for name, frame in marks.items():
        colour, style = _MARK_STYLES[name]
        axes.axvline(frame, color=colour, linestyle=style, label=f"{name}, frame {frame}")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Frame")
    axes.set_ylabel("Motion, % of the face size")
    axes.set_title(f"Motion of brows or mouth since frame {spot.numbers[0]}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return figure
