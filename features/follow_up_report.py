"""The report of `follow-up`: what changed beyond its error, trajectories, and before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.arrays import Floats
from common.errors import PhotoError
from common.figures import BLACK, BLUE, GREY, ORANGE, SKY, VERMILION, calm
from common.files import natural_key
from common.photos import read_photo
from common.report import Picture, Report, Section, image_picture
from common.words import counted, spoken
from features.follow_up import SERIES, FollowUp, chance_calls
from landmarks.overlay import draw_overlay

SHOWN_SCORES = 12  # panels of a figure; the table has all
PICTURED = ("rest", "brow_raise", "full_eye_closure", "full_smile")
_COLOURS = {
    "better": BLUE, "worse": VERMILION, "higher": SKY, "lower": ORANGE, "within error": GREY,
    "cannot be told": GREY,
}  # fmt: skip
_PICTURE_WIDTH = 190


@dataclass(frozen=True)
class Album:
    """Photographs with `image_id`, `patient_id`, `visit`, `task`, `path`, and their 68 points."""

    photographs: pd.DataFrame
    points: Mapping[str, Floats]


def follow_up_report(found: FollowUp, *, album: Album | None, redact: bool, source: str) -> Report:
    """Return the report; with an album each patient is shown before and after."""
    changes = found.changes
    patients = sorted(map(str, changes["patient_id"].unique()), key=natural_key)
    called = {name: str(number) for number, name in enumerate(patients, start=1)}
    called = {name: f"Patient {called[name]}" if redact else name for name in patients}
    last = last_changes(changes)
    told = last[last["verdict"] != "cannot be told"]
    beyond = int((told["verdict"] != "within error").sum())
    report = Report(
        "Follow-up",
        f"{counted(len(patients), 'patient')}: {beyond} of {counted(len(told), 'change')} from "
        f"first to last visit are larger than the error of measurement.",
    )
    for sentence in found.warnings:
        report.warn(sentence if not redact else "Some visits have dates that do not fit.")
    if told.empty:
        reason = changes["reason"].dropna().mode()
        report.warn(
            f"No change could be judged: {str(reason.iat[0]) if len(reason) else 'no visits'}."
        )
    section = report.section("What changed")
    section.text(
        f"From {source}. A change counts when it is larger than its smallest detectable change, "
        "which noise alone exceeds in 5 of 100 faces that stay the same.", chance_calls(changes),
        "Every change, also from one visit to the next, stands in changes.csv.",
    )  # fmt: skip
    section.table(_by_score(found, last), caption="First to last visit of every patient.")
    shown = _panels(found)
    if shown:
        section.figure(
            _trajectories(found, shown, last),
            alt="Scores of every patient over their visits; coloured where they changed",
            caption="Each line is a patient; in colour where first and last visit differ by more "
            "than the smallest detectable change, which the bar at the left shows.",
        )
    for name in patients:
        own = changes[changes["patient_id"] == name]
        page = report.section(called[name], one_of_many=True, folded=len(patients) > 3)
        _patient(page, found, own, shown)
        if album is not None:
            page.gallery(_before_after(album, name, redact=redact))
    return report


def last_changes(changes: pd.DataFrame) -> pd.DataFrame:
    """Return the change from the first to the last visit of every score of every patient."""
    first = changes[changes["since"].ne("previous")]
    keys = {"patient_id", "score", *SERIES} & set(first)
    return first.drop_duplicates(sorted(keys), keep="last")


def _title(row: Mapping[Any, Any], found: FollowUp) -> str:
    parts = [spoken(str(row["score"]))] + [
        spoken(str(row[name])) for name in found.series if row[name] and pd.notna(row[name])
    ]
    return ", ".join(parts)


def _by_score(found: FollowUp, last: pd.DataFrame) -> pd.DataFrame:
    rows = []
    errors: Any = found.errors.set_index([*found.series, "score"])
    key: Any
    for key, own in last.groupby(found.keys, sort=False, dropna=False):
        named = dict(zip(found.keys, key, strict=True))
        at = tuple("" if pd.isna(part) else part for part in key)
        error = errors.loc[at if found.series else at[0]]
        counts = own["verdict"].value_counts()
        judged = own["smallest_detectable"].dropna()
        moved = [n for n in ("better", "worse", "higher", "lower") if (last["verdict"] == n).any()]
        reason = own["reason"].dropna().mode()
        rows.append({
            "score": _title(named, found),
            "smallest detectable change": judged.median() if len(judged) else np.nan,
            "from": f"{error['source']}\n{int(error['df'])} degrees of freedom"
            if len(judged) else (f"not known\n{reason.iat[0]}" if len(reason) else "not known"),
            **{name: int(counts.get(name, 0)) for name in (*moved, "within error",
                                                           "cannot be told")},
        })  # fmt: skip
    return pd.DataFrame(rows)


def _panels(found: FollowUp) -> list[tuple[Any, ...]]:
    """Return the scores that figures show: the most often changed ones, in the table's order."""
    keys = found.keys
    moved = found.changes.assign(
        moved=~found.changes["verdict"].isin(["within error", "cannot be told"])
    )
    counts = moved.groupby(keys, sort=False, dropna=False)["moved"].sum()
    best = set(counts.sort_values(ascending=False, kind="stable").index[:SHOWN_SCORES])
    return [key if isinstance(key, tuple) else (key,) for key in counts.index if key in best]


def _of_panel(frame: pd.DataFrame, found: FollowUp, key: tuple[Any, ...]) -> pd.DataFrame:
    keep = pd.Series(True, index=frame.index)
    for name, value in zip(found.keys, key, strict=True):
        keep &= frame[name].fillna("").eq("" if pd.isna(value) else value)
    return frame[keep]


def _grid(panels: int) -> tuple[Figure, list[Axes]]:
    columns = min(panels, 3)
    rows = -(-panels // columns)
    figure = Figure(figsize=(3.1 * columns, 2.3 * rows), layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(rows, columns)).ravel())
    for spare in axes[panels:]:
        spare.set_visible(False)
    return figure, axes[:panels]


def _draw(axes: Axes, found: FollowUp, key: tuple[Any, ...], *, dates: bool) -> None:
    named = dict(zip(found.keys, key, strict=True))
    axes.set_title(_title(named, found), fontsize=8.5, color=BLACK)
    axes.set_xlabel("days from the first visit" if dates else "visit", fontsize=8)
    calm(axes)


def _trajectories(found: FollowUp, shown: list[tuple[Any, ...]], last: pd.DataFrame) -> Figure:
    figure, panels = _grid(len(shown))
    dates = bool(found.values["date"].notna().all())
    for axes, key in zip(panels, shown, strict=True):
        values, judged = _of_panel(found.values, found, key), _of_panel(last, found, key)
        verdicts = dict(zip(judged["patient_id"], judged["verdict"], strict=True))
        still = [name for name in verdicts if verdicts[name] in ("within error", "cannot be told")]
        for name in [*still, *(name for name in verdicts if name not in still)]:
            own = values[values["patient_id"] == name].sort_values("place")
            colour = _COLOURS[verdicts[name]]
            axes.plot(
                _days(own, dates=dates), own["value"], "-o", color=colour, markersize=2.5,
                linewidth=0.8 if name in still else 1.2, alpha=0.45 if name in still else 0.9,
            )  # fmt: skip
        limit = judged["smallest_detectable"].median()
        if np.isfinite(limit):
            low, high = axes.get_ylim()
            bar = (low + high) / 2 + limit * np.array([-0.5, 0.5])
            left = [axes.get_xlim()[0]] * 2
            axes.plot(left, bar, color=BLACK, linewidth=3, solid_capstyle="butt")
        _draw(axes, found, key, dates=dates)
    handles = [
        Axes.plot(panels[0], [], [], color=_COLOURS[name], label=name)[0]
        for name in ("better", "worse", "higher", "lower", "within error")
        if (last["verdict"] == name).any()
    ]
    if handles:
        figure.legend(handles=handles, loc="outside upper left", ncols=5, fontsize=8, frameon=False)
    return figure


def _days(own: pd.DataFrame, *, dates: bool) -> Floats:
    if not dates:
        return np.asarray(own["place"], dtype=np.float64) + 1.0
    when = pd.to_datetime(own["date"])
    return np.asarray((when - when.iloc[0]).dt.days, dtype=np.float64)


def _patient(
    page: Section, found: FollowUp, own: pd.DataFrame, shown: list[tuple[Any, ...]]
) -> None:
    patient = own["patient_id"].iat[0]
    values = found.values[found.values["patient_id"] == patient]
    visits = values.drop_duplicates("visit").sort_values("place")
    page.text("Visits: " + ", ".join(
        str(v) + (f" ({d})" if pd.notna(d) and d != v else "")
        for v, d in zip(visits["visit"], visits["date"], strict=True)) + ".")  # fmt: skip
    if len(visits) > 1:
        figure, panels = _grid(len(shown))
        dates = bool(values["date"].notna().all())
        for axes, key in zip(panels, shown, strict=True):
            mine = _of_panel(values, found, key).sort_values("place")
            judged = _of_panel(own, found, key)
            judged = judged[judged["since"] == "first"]
            days = _days(mine, dates=dates) if len(mine) else np.array([])
            if len(judged) and judged["smallest_detectable"].notna().any():
                first, limit = judged["from_value"].iat[0], judged["smallest_detectable"].max()
                axes.axhspan(first - limit, first + limit, color=GREY, alpha=0.18, linewidth=0)
            axes.plot(days, mine["value"], "-o", color=BLUE, markersize=4)
            _draw(axes, found, key, dates=dates)
        page.figure(
            figure, alt="Scores over the visits",
            caption="Grey: what cannot be told from the first visit.",
        )  # fmt: skip
    rows = own[own["since"].ne("previous")].fillna({"reason": ""})
    beyond = rows[~rows["verdict"].isin(["within error", "cannot be told"])]
    many = len(rows) > 3 * SHOWN_SCORES
    page.table(
        [
            {
                "score": _title(row, found), "visits": _between(row), "before": row["from_value"],
                "after": row["to_value"], "change": row["change"],
                "smallest detectable": row["smallest_detectable"],
                "verdict": "\n".join(filter(None, (row["verdict"], row["reason"]))),
            }
            for row in (beyond if many else rows).to_dict("records")
        ],
        caption=f"Changes beyond the error, {len(beyond)} of {len(rows)}; the others stand in "
        "changes.csv." if many else "Every visit against the first.",
    )  # fmt: skip


def _between(row: Mapping[Any, Any]) -> str:
    visits = [str(row[name]) for name in ("from_visit", "to_visit") if pd.notna(row[name])]
    return "visit " + " to ".join(visits)


def _before_after(album: Album, patient: str, *, redact: bool) -> list[Picture]:
    """First and last visit side by side, movement by movement, with their points."""
    own = album.photographs[album.photographs["patient_id"] == patient]
    if own.empty or own["place"].nunique() < 2:
        return []
    pictures = []
    for task in [name for name in PICTURED if name in set(own["task"])] or sorted(set(own["task"])):
        of_task = own[own["task"] == task].sort_values("place", kind="stable")
        both = of_task.iloc[[0, -1]]
        if both["place"].nunique() < 2:
            continue
        for row in both.to_dict("records"):
            made = _picture(row, album, redact=redact)
            if made is not None:
                caption = f"{spoken(str(task))}, visit {row['visit']}"
                pictures.append(image_picture(made, alt=caption, caption=caption,
                                              width=_PICTURE_WIDTH))  # fmt: skip
    return pictures


def _picture(row: Mapping[Any, Any], album: Album, *, redact: bool) -> np.ndarray | None:
    points = album.points.get(str(row["image_id"]))
    if points is None or np.isnan(points).any():
        return None
    try:
        rgb = read_photo(Path(str(row["path"]))).pixels
    except PhotoError:
        return None
    drawn = draw_overlay(np.full_like(rgb, 255) if redact else rgb, points, legend=False)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.35 * (high - low)
    left, top = np.maximum(low - margin * (0.4, 1.0), 0).astype(int)
    right, bottom = (high + margin * (0.4, 0.4)).astype(int)
    return drawn[top:bottom, left:right]
