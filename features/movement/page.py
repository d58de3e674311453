"""The page of a film: faces at the peaks, curves to go through the film, both sides compared.

Small pictures of the film lie inside the page, so that it can be mailed or archived; there are at
most `MOMENTS` of them, and what they leave out stands in `signals.csv`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from common.movements import REST
from common.report import Fact, Film, Report, Section, Share
from common.words import counted, decimals, spoken
from features.measures import SIDES
from features.movement.film import MeasuredFilm
from features.movement.head import OUTER_EYE_MM
from features.movement.page_curves import (
    LONGEST_S,
    SCATTER_ABOUT,
    curves_picture,
    moves_of,
    scatter_picture,
)
from features.movement.pictures import Frames
from features.movement.tables import BLINK, MM
from features.scales.thresholds import table

if TYPE_CHECKING:
    from landmarks.find.films import FilmTask

SIMULATED_FILM = "The film is simulated: it says nothing about patients."
MOMENTS = 90
"""Small pictures of the film inside a page; each takes some 6 kB."""
Moves = Mapping[str, dict[str, Any]]
"""Rows of `movements.csv` by movement."""
_COMPARED = [
    "brow_raise", "gentle_eye_closure", "full_smile", "ocular_in_full_smile",
    "ocular_in_lip_pucker",
]  # fmt: skip
_BLINKS = 40  # in the table of a page


def film_page(
    name: str,
    measured: MeasuredFilm,
    landmarks: pd.DataFrame,
    *,
    film: FilmTask | None = None,
    simulated: bool = False,
) -> Report:
    """Make the page of one film.

    Without a `film` the points are drawn alone; nobody is in a `simulated` one.
    """
    frames = Frames(landmarks, film)
    moves = moves_of(measured)
    report = Report(title=f"Movement: {name}", summary=_summary(measured))
    if measured.events["patient_id"].notna().any():
        report.summary = f"Patient {measured.events['patient_id'].iloc[0]}. {report.summary}"
    if simulated:
        report.warn(SIMULATED_FILM)
    for sentence in frames.warnings(measured.signals):
        report.warn(sentence)
    section = report.section("Both sides at a glance")
    section.facts("How far does the weaker side move, in percent of the other?", _facts(moves))
    _faces(report.section("Rest and the peak of each movement"), moves, frames)
    _curves(report.section("Curves of both sides"), measured, frames)
    _scatters(report.section("Right against left"), measured)
    _movements(report.section("Movements"), moves)
    _blinks(report.section("Blinks"), measured.events, moves[BLINK])
    _sources(report.section("Sources"))
    return report


def _summary(measured: MeasuredFilm) -> str:
    signals, events = measured.signals, measured.events
    seconds = float(np.ptp(signals["time_s"])) if len(signals) > 1 else 0.0
    ok = int((signals["status"] == "ok").sum())
    found = events[events["status"] == "ok"]
    blinks = int((found["kind"] == BLINK).sum())
    return (
        f"{seconds:.0f} s of film, {ok} of {counted(len(signals), 'frame')} measured: "
        f"{counted(len(found) - blinks, 'movement')} and {counted(blinks, 'blink')}."
    )


def _facts(moves: Moves) -> list[Fact]:
    facts = []
    for movement in ("brow_raise", "gentle_eye_closure", "full_smile", "lip_pucker"):
        row = moves[movement]
        if row["status"] != "ok" or not np.isfinite(row["amplitude_ratio"]):
            facts.append(Fact(spoken(movement), "–", ("not measured",), quiet=True))
            continue
        notes = [f"weaker: {row['weaker_side']}"] if isinstance(row["weaker_side"], str) else []
        if np.isfinite(row["correlation"]):
            notes.append(f"R = {row['correlation']:.2f} right with left")
        facts.append(Fact(spoken(movement), f"{100 * row['amplitude_ratio']:.0f} %", tuple(notes)))
    return facts


def _faces(section: Section, moves: Moves, frames: Frames) -> None:
    section.text(
        "The patient's right is drawn in orange and stands on the left of an unmirrored film; the "
        "patient's left is blue."
    )
    shown = {movement: row for movement, row in moves.items() if pd.notna(row["frame"])}
    pictures = frames.at([int(row["frame"]) for row in shown.values()], width=216, quality=80)
    section.gallery(
        replace(
            pictures[int(row["frame"])],
            caption=f"{spoken(movement).capitalize()}, {row['time_s']:.1f} s",
        )
        for movement, row in shown.items()
    )
    section.text(*(row["reason"] for row in moves.values() if row["status"] != "ok"))


def _curves(section: Section, measured: MeasuredFilm, frames: Frames) -> None:
    signals = measured.signals
    times = signals["time_s"].to_numpy(dtype=np.float64)
    section.text(
        "Change from rest; of the eyes, their opening. Shaded: movements, with a line at the peak; "
        "grey: blinks. A gap is a time without measured frames."
    )
    begin, end = float(times[0]), float(times[-1])
    if end - begin > LONGEST_S:
        section.text(f"The first {LONGEST_S:g} s are drawn; signals.csv holds all of them.")
        end = begin + LONGEST_S
    axis, first, last = curves_picture(measured, begin=begin, end=end)
    count = min(MOMENTS, int(np.sum((times >= begin) & (times <= end))))
    middles = begin + (np.arange(count) + 0.5) * (end - begin) / count
    nearest = np.abs(times[np.newaxis] - middles[:, np.newaxis]).argmin(axis=1)
    numbers = signals["frame"].to_numpy()[nearest].tolist()
    pictures = frames.at(numbers, width=168, quality=60)
    moments = [
        replace(pictures[number], caption=f"{times[at]:.1f} s")
        for number, at in zip(numbers, nearest, strict=True)
    ]
    section.film(Film(axis, tuple(moments), first, last))


def _scatters(section: Section, measured: MeasuredFilm) -> None:
    section.text(SCATTER_ABOUT)
    found = measured.events[
        (measured.events["kind"] != BLINK) & (measured.events["status"] == "ok")
    ]
    section.gallery(
        scatter_picture(measured, str(movement), rows)
        for movement, rows in found.groupby("movement", sort=False)
    )
    if found.empty:
        section.text("No movement was found in this film.")


def _movements(section: Section, moves: Moves) -> None:
    ok = {
        movement: row
        for movement, row in moves.items()
        if row["status"] == "ok" and movement not in (REST, BLINK)
    }
    if not ok:
        section.text("No movement was measured.")
        return
    unit = next(iter(ok.values()))["unit"]
    to_mm = 1.0 if unit == MM else OUTER_EYE_MM / 100
    rows = []
    for name, row in ok.items():
        apart = abs(row["amplitude_right"] - row["amplitude_left"]) * to_mm
        least = OBSERVERS_MM.get(str(row["signal"]), np.nan)
        rows.append(
            {
                "Movement": spoken(name),
                "Right": row["amplitude_right"],
                "Left": row["amplitude_left"],
                "Healthy": healthy(name, "amount"),
                "Sides differ by": f"{apart:.1f} mm\n{_seen(apart, least)}",
                "Smaller, % of larger": Share(row["amplitude_ratio"]),
                "R": None if np.isnan(row["correlation"]) else f"{row['correlation']:.2f}",
                "Right later, ms": decimals(1000 * row["lag_s"]),
                "Symmetry, %": _beside(row["symmetry_index_percent"], healthy(name, "likeness")),
            }
        )
    section.table(
        rows, digits=1, caption=f"Amplitudes in {unit}; of several repetitions, the median."
    )
    if unit != MM:
        section.text(
            f"The film has no scale. For comparison with mm the outer corners of the eyes are "
            f"taken to be {OUTER_EYE_MM:g} mm apart, as they are in an average adult."
        )
    _joins_in(section, ok, unit)


def _joins_in(section: Section, moves: Moves, unit: str) -> None:
    """Tell what moves unasked: eyes with the mouth, the mouth with eyes and brows."""
    section.subheading("What joins in (synkinesis)")
    rows = [
        {
            "Movement": spoken(movement),
            **{f"Eye narrows, {side}, %": row[f"eye_synkinesis_percent_{side}"] for side in SIDES},
            "Healthy": healthy(f"ocular_in_{movement}", "amount"),
            **{f"Mouth moves, {side}": row[f"mouth_synkinesis_{side}"] for side in SIDES},
        }
        for movement, row in moves.items()
    ]
    section.table(
        rows,
        digits=1,
        caption=f"Eyes while the mouth moves, in percent of their opening at rest; mouth corners "
        f"while the eyes close or the brows rise, in {unit}.",
    )


def _seen(apart: float, least: float) -> str:
    if not np.isfinite(least):
        return "no published threshold"
    return f"observers notice {least:g} mm" if apart >= least else f"below the {least:g} mm seen"


def _beside(value: float, published: str | None) -> str | None:
    """Return a number with what is published of healthy people as a note."""
    if not np.isfinite(value):
        return None
    return f"{value:.0f}" + (f"\nhealthy {published}" if published else "")


def _blinks(section: Section, events: pd.DataFrame, summary: dict[str, Any]) -> None:
    blinks = events[(events["kind"] == BLINK) & (events["status"] == "ok")]
    if blinks.empty:
        section.text("No blink was found in this film.")
        return
    section.text(
        f"{counted(len(blinks), 'blink')}, {summary['per_minute']:.0f} per minute; complete on the "
        f"right in {summary['complete_percent_right']:.0f} %, on the left in "
        f"{summary['complete_percent_left']:.0f} %."
    )
    rows = (
        {
            "At, s": f"{row['peak_s']:.1f}",
            "Right closes, %": row["closing_percent_right"],
            "Left closes, %": row["closing_percent_left"],
            "Closing, ms": _pair_of(row, "rise_s"),
            "Opening, ms": _pair_of(row, "return_s"),
            "Right later, ms": decimals(1000 * row["lag_s"]),
        }
        for row in blinks.head(_BLINKS).to_dict("records")
    )
    section.table(
        rows, digits=0, caption="Where two numbers stand, they are of the right and the left."
    )
    if len(blinks) > _BLINKS:
        section.text(
            f"The first {_BLINKS} of {len(blinks)} are shown; events.csv holds all of them."
        )


def _pair_of(row: Mapping[Hashable, Any], name: str) -> str:
    values = [1000 * row[f"{name}_{side}"] for side in SIDES]
    return " / ".join(map(decimals, values))


_LID = {
    "measure": "gentle_eye_closure",
    "of": "amount",
    "unit": "mm",
    "normal": "9.09 ± 2.20",
    "source": "12 healthy people, motion capture, Braz J ORL",
}
_WORDS = {"amount": "amplitude", "likeness": "symmetry (another index than ours)"}

OBSERVERS_MM: dict[str, float] = {
    "brow_height": 3.5,
    "palpebral_fissure_height": 2.0,
    "commissure_displacement": 3.0,
    "commissure_height": 3.0,
    "half_mouth_width": 3.0,
}
"""Difference of the sides that observers notice, mm, by signal."""

_OF_FILMS = (
    (
        "What observers notice: lid 2 mm, mouth corner 3 mm, brow 3.5 mm",
        "review of 2017, PubMed 28200081",
    ),
    ("R of the mouth corners: 0.99 healthy, 0.75 flaccid, 0.72 synkinetic", "FacialNerveLab"),
    (
        "Closing of the eye in a blink, weak and other side: palsy 65.3 and 93.7 %, complete "
        "palsy 25.3 and 94.7 %",
        "Ogawa et al. 2021",
    ),
)


def healthy(measure: str, of: str) -> str | None:
    """Return what is published of healthy people: `amount` or `likeness`; None if nothing is."""
    return next((f"{n['normal']} {n['unit']}" for n in _norms(measure) if n["of"] == of), None)


def _sources(section: Section) -> None:
    """Tell what films are compared with, and where it is from."""
    section.text("Published numbers are of other people, cameras and methods: a rough guide.")
    rows = []
    for name in _COMPARED:
        words = spoken(name.replace("ocular_in_", "eye narrows in "))
        for norm in _norms(name):
            what = f"{words}, {_WORDS[norm['of']]}: {norm['normal']} {norm['unit']}"
            rows.append({"What": what, "Source": norm["source"]})
    section.table([*rows, *({"What": what, "Source": source} for what, source in _OF_FILMS)])


def _norms(measure: str) -> list[dict[str, str]]:
    return [norm for norm in (*table()["norms"], _LID) if norm["measure"] == measure]
