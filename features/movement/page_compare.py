"""Two films of a patient, before and after: the same curves over each other, and what changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from common.figures import INK, SOFT, calm
from common.movements import MOVEMENTS, REST
from common.report import Fact, Picture, Report, Section, figure_picture
from common.words import decimals, spoken
from features.measures import SIDES
from features.movement.film import MeasuredFilm
from features.movement.page_curves import COLOURS, moves_of, side_curves, unit_of
from features.movement.pictures import Frames
from features.movement.tables import BLINK

if TYPE_CHECKING:
    from landmarks.find.films import FilmTask

_AROUND_S = 0.3  # shown before the onset and after the end
_R = "R, right with left"
_CHANGES = (
    ("Amplitude, right", "amplitude_right", 1.0),
    ("Amplitude, left", "amplitude_left", 1.0),
    ("Smaller to larger, %", "amplitude_ratio", 100.0),
    (_R, "correlation", 1.0),
    ("Symmetry, %", "symmetry_index_percent", 1.0),
    ("Eye narrows, right, %", "eye_synkinesis_percent_right", 1.0),
    ("Eye narrows, left, %", "eye_synkinesis_percent_left", 1.0),
    ("Mouth joins in, right", "mouth_synkinesis_right", 1.0),
    ("Mouth joins in, left", "mouth_synkinesis_left", 1.0),
    ("Closing, right, %", "closing_percent_right", 1.0),
    ("Closing, left, %", "closing_percent_left", 1.0),
)


@dataclass(frozen=True)
class ComparedFilm:
    """One of two films: its name, what was measured, its rows of the landmark table, its file."""

    name: str
    measured: MeasuredFilm
    landmarks: pd.DataFrame
    film: FilmTask | None = None


def compare_page(before: ComparedFilm, after: ComparedFilm) -> Report:
    """Make the page that lays two films of one patient beside each other."""
    report = Report(
        title="Movement before and after",
        summary=f"Before: {before.name}. After: {after.name}. Pale is before, dark is after.",
    )
    patients = {str(film.measured.movements["patient_id"].iloc[0]) for film in (before, after)}
    if len(patients) > 1:
        report.warn(f"The films are of two patients: {' and '.join(sorted(patients))}.")
    units = {str(film.measured.movements["unit"].iloc[0]) for film in (before, after)}
    if len(units) > 1:
        report.warn(
            f"One film is measured in {' and the other in '.join(sorted(units))}: lengths cannot "
            "be compared, ratios can."
        )
    report.warn(
        "Two films of one person differ without any treatment too: how much, films of the same "
        "day would show."
    )
    section = report.section("What changed at a glance")
    section.facts(
        "How far does the weaker side move, in percent of the other?", _facts(before, after)
    )
    _faces(report.section("Before and after, at the peak"), before, after)
    section = report.section("The same movement in both films")
    section.text(
        "Each movement from its onset, its strongest repetition: the patient's right in orange, "
        "the left in blue; pale before, dark after."
    )
    section.gallery(
        picture
        for movement in MOVEMENTS[1:]
        if (picture := _curves(movement, before, after)) is not None
    )
    section = report.section("Changes")
    section.text(
        f"Amplitudes, and how far the mouth joins in, are in {' or '.join(sorted(units))}."
    )
    _changes(section, changes(before.measured, after.measured))
    return report


def _changes(section: Section, found: pd.DataFrame) -> None:
    """Show what was measured in both films, a movement in a row."""
    told = found.assign(
        both=[
            " → ".join(decimals(value, 2 if measure == _R else 1) for value in pair)
            for measure, *pair in zip(
                found["Measure"], found["Before"], found["After"], strict=True
            )
        ]
    )
    for measures in (_CHANGES[:4], _CHANGES[4:]):
        words = [name for name, *_ in measures]
        table = told[told["Measure"].isin(words)]
        wide = table.pivot(index="Movement", columns="Measure", values="both")
        order = list(table["Movement"].unique())
        section.table(wide.reindex(order)[[w for w in words if w in wide]].reset_index())


def changes(before: MeasuredFilm, after: MeasuredFilm) -> pd.DataFrame:
    """Return what was measured in both films: movement, measure, before, after, change."""
    tables = moves_of(before), moves_of(after)
    rows = []
    for movement in (*MOVEMENTS[1:], BLINK):
        for words, column, factor in _CHANGES:
            values = [factor * float(table[movement][column]) for table in tables]
            if np.isfinite(values).any():
                rows.append(
                    {
                        "Movement": spoken(movement),
                        "Measure": words,
                        "Before": values[0],
                        "After": values[1],
                        "Change": values[1] - values[0],
                    }
                )
    return pd.DataFrame(rows, columns=["Movement", "Measure", "Before", "After", "Change"])


def _facts(before: ComparedFilm, after: ComparedFilm) -> list[Fact]:
    facts = []
    tables = moves_of(before.measured), moves_of(after.measured)
    for movement in ("brow_raise", "gentle_eye_closure", "full_smile", "lip_pucker"):
        shares = [100 * float(table[movement]["amplitude_ratio"]) for table in tables]
        told = [decimals(share) for share in shares]
        quiet = bool(np.isnan(shares).any())
        facts.append(Fact(spoken(movement), f"{told[0]} → {told[1]} %", quiet=quiet))
    return facts


def _faces(section: Section, before: ComparedFilm, after: ComparedFilm) -> None:
    section.text("In each pair the first picture is before, the second after.")
    pictures: list[Picture] = []
    found = {}
    for word, film in (("before", before), ("after", after)):
        numbers = {
            movement: int(row["frame"])
            for movement, row in moves_of(film.measured).items()
            if pd.notna(row["frame"])
        }
        small = Frames(film.landmarks, film.film).at(list(numbers.values()), width=216, quality=80)
        found[word] = {
            movement: replace(small[frame], caption=f"{spoken(movement).capitalize()}, {word}")
            for movement, frame in numbers.items()
        }
    for movement in (REST, *MOVEMENTS[1:]):
        if all(movement in pair for pair in found.values()):
            pictures += [pair[movement] for pair in found.values()]
    section.gallery(pictures)


def _curves(movement: str, before: ComparedFilm, after: ComparedFilm) -> Picture | None:
    """Draw a movement of both films over each other; None where one of them lacks it."""
    tracks = [_strongest(film.measured, movement) for film in (before, after)]
    if any(track is None for track in tracks):
        return None
    figure = Figure(figsize=(4.6, 2.3), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for track, alpha, width in zip(tracks, (0.4, 1.0), (1.8, 1.4), strict=True):
        assert track is not None
        times, curves = track
        for axes, side, curve in zip(panels, SIDES, curves.T, strict=True):
            axes.plot(times, curve, color=COLOURS[side], alpha=alpha, linewidth=width)
    for axes, side in zip(panels, SIDES, strict=True):
        axes.set_title(side, fontsize=8, color=SOFT)
        axes.set_xlabel("seconds from onset", fontsize=7)
        calm(axes, labelsize=7)
    panels[0].set_ylabel(f"from rest, {unit_of(after.measured.signals)}", fontsize=7)
    words = spoken(movement)
    figure.suptitle(words, fontsize=9, color=INK, x=0.02, ha="left")
    return figure_picture(figure, alt=f"{words}: both sides, before and after.")


def _strongest(measured: MeasuredFilm, movement: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return seconds from onset and both sides' way from rest in the strongest repetition."""
    events = measured.events[
        (measured.events["movement"] == movement) & (measured.events["status"] == "ok")
    ]
    events = events[np.isfinite(events["onset_s"]) & np.isfinite(events["end_s"])]
    if events.empty:
        return None
    sizes = events[[f"amplitude_{side}" for side in SIDES]].max(axis=1)
    row = events.loc[sizes.idxmax()]
    times = measured.signals["time_s"].to_numpy(dtype=np.float64)
    inside = (times >= row["onset_s"] - _AROUND_S) & (times <= row["end_s"] + _AROUND_S)
    return times[inside] - row["onset_s"], side_curves(measured, str(row["signal"]))[inside]
