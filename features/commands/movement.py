"""The command `movement`: landmark tables of films to curves, blinks, movements and photographs."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from common.errors import FilmError, UserError, did_you_mean, exit_code_for
from common.films import FILM_SUFFIX, FILM_SUFFIXES, open_film
from common.progress import JobProgress
from common.provenance import read_run_record, write_run_record
from common.tables import MANIFEST, read_manifest, read_table, read_table_in_parts, write_table
from common.truth import SIMULATED
from common.words import counted
from features.movement.events import Cue
from features.movement.film import MeasuredFilm, measure_film
from features.movement.page import SIMULATED_FILM, film_page
from features.movement.page_compare import ComparedFilm, compare_page
from features.movement.pictures import PHOTOGRAPHS_FOLDER, write_overlay_film, write_photographs
from features.movement.tables import (
    CUES,
    EVENTS,
    EVENTS_FILE,
    MOVEMENTS_FILE,
    MOVEMENTS_TABLE,
    SIGNALS_FILE,
    SIGNALS_TABLE,
)
from landmarks.find.films import FilmTask
from landmarks.find.source import find_source
from landmarks.overlay import OVERLAY_FOLDER, picture_path
from landmarks.points import POINT_COLUMNS
from landmarks.tables import LANDMARKS, frame_columns, with_slips_failed

PAGES_FOLDER, COMPARISON_FILE = "pages", "comparison.html"
_FRAMES = pa.DataFrameSchema(frame_columns(), name="landmarks")
_READ = ("image_id", "status", "reason", *frame_columns(), "mm_per_px", *POINT_COLUMNS)


@dataclass(frozen=True)
class MovementTables:
    """Where the tables lie, and how many films were measured."""

    movements: Path
    measured: int
    failed: int
    photographs: int = 0

    @property
    def exit_code(self) -> int:
        """0 every film was measured, 3 some were not, 4 none was."""
        return exit_code_for(ok=self.measured, failed=self.failed)


def movement(
    landmarks: Path,
    *,
    out: Path,
    manifest: Path | None = None,
    cues: Path | None = None,
    photographs: Path | None = None,
    pages: bool = False,
    overlay: bool = False,
    compare: tuple[str, str] | None = None,
) -> MovementTables:
    """Measure films: curves of both sides, blinks, movements, and the photographs of each film.

    OUT gets signals.csv (frames), events.csv (blinks and movements) and movements.csv (films and
    movements). What is measured, and by which rules, stands in docs/movement.md.

    Parameters
    ----------
    landmarks
        landmarks.csv of extract on films: rows with film, frame and time_s.
    out
        Folder for the tables and run.json.
    manifest
        Table of patients whose image_id are the films.
    cues
        Table of what was asked for when: film, start_s, end_s, movement. The movements of a film
        that it names are measured there and not looked for; rest is taken from its cues of rest.
    photographs
        The films: a folder, a file or a manifest, as given to extract. Rest and the peak of each
        movement are written to OUT/photographs, with a manifest.csv for extract, grade and scales.
    pages
        Write a page for each film: faces at the peaks (with --photographs), curves, right against
        left, what is published of healthy people. OUT/pages/FILM.html.
    overlay
        Write each film with its points, frame numbers and times: OUT/overlays. Needs --photographs.
    compare
        Names of two films, before and after: OUT/comparison.html lays them over each other.

    Raises
    ------
    UserError
        When a table is missing or damaged, or the landmarks are of no film.
    """
    began = time.monotonic()
    last_rows = _last_rows(landmarks)
    films = list(last_rows)
    known = _manifest_of(manifest, films)
    patients = {} if known is None else dict(zip(known["film"], known["patient_id"], strict=True))
    asked = _read_cues(cues, films)
    where = {}
    if photographs is not None:
        run = (read_run_record(landmarks.parent) or {}).get("settings") or {}
        where = _files_of(photographs, films, mirrored=run.get("mirrored") is True)
    simulated: set[str] = set()
    if known is not None and SIMULATED in known:
        simulated = set(known.loc[known[SIMULATED] == "yes", "film"])
    drawn = FilmPictures(
        out, where, pages=pages, overlay=overlay, compare=compare, simulated=simulated
    )
    drawn.check(films)
    measured: dict[str, MeasuredFilm] = {}
    with JobProgress("movement", total=len(films)) as progress:
        for film, frames in _frames_of_films(landmarks, last_rows):
            measured[film] = measure_film(
                film, frames, patient=patients.get(film), cues=asked.get(film)
            )
            drawn.draw(film, measured[film], frames)
            progress.advance(ok=bool((measured[film].signals["status"] == "ok").any()))
    drawn.finish()
    signals, found, per_film = (
        pd.concat([getattr(measured[film], part) for film in films], ignore_index=True)
        for part in ("signals", "events", "movements")
    )
    write_table(signals, out / SIGNALS_FILE, schema=SIGNALS_TABLE)
    write_table(found, out / EVENTS_FILE, schema=EVENTS)
    write_table(per_film, out / MOVEMENTS_FILE, schema=MOVEMENTS_TABLE)

    failed = int(((per_film["movement"] == "rest") & (per_film["status"] != "ok")).sum())
    pictures = 0
    problems: list[str] = []
    if photographs is not None:
        folder = out / PHOTOGRAPHS_FOLDER
        rows, problems = write_photographs(per_film, where, folder=folder)
        if known is not None:
            mine = [c for c in known.columns if c == "film" or c not in rows]
            rows = rows.merge(known[mine], on="film", how="left")
        write_table(rows, folder / "manifest.csv", schema=MANIFEST)
        pictures = len(rows)
    problems = sorted({*problems, *drawn.problems})
    for line in problems:
        print(f"unreadable: {line}", file=sys.stderr)
    counts = {
        "films": len(films),
        "films_not_measured": failed,
        "blinks": int((found["kind"] == "blink").sum()),
        "movements": int((found["kind"] == "movement").sum()),
        "photographs": pictures,
    }
    write_run_record(
        out,
        command="movement",
        settings={"landmarks": landmarks.name, "cues": cues and cues.name},
        files={"landmarks": landmarks, "manifest": manifest, "cues": cues},
        counts=counts,
        seconds={"movement": time.monotonic() - began},
    )
    line = (
        f"{counted(len(films), 'film')}: {counted(counts['blinks'], 'blink')}, "
        f"{counted(counts['movements'], 'movement')}"
    )
    line += f", {counted(pictures, 'photograph')} in {out / PHOTOGRAPHS_FOLDER}" * bool(pictures)
    line += f"; {counted(failed, 'film')} without a frame that could be measured" * bool(failed)
    if pictures and known is None:
        line += "; without --manifest each film counts as a patient"
    print(f"{line}. Tables in {out}")
    return MovementTables(
        out / MOVEMENTS_FILE,
        measured=len(films) - failed,
        failed=failed + len(problems),
        photographs=pictures,
    )


def _last_rows(path: Path) -> dict[str, int]:
    """Return the films of a landmark table, each with its last row; photographs are left out."""
    last: dict[str, int] = {}
    for part in read_table_in_parts(path, schema=_FRAMES, columns=_FRAMES.columns):
        if set(_FRAMES.columns) <= set(part):
            films = part.dropna(subset=["film", "frame"])["film"]
            last |= dict(zip(films, films.index, strict=True))
    if not last:
        raise UserError(
            f"{path} has no frames of films (columns film, frame and time_s): give the landmarks "
            "that extract found in a film."
        )
    return last


def _frames_of_films(
    path: Path, last_rows: Mapping[str, int]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each film with its frames in their order, once its last row is read.

    A table of films is long: what is held at a time is one film and a part of the table.
    """
    held: dict[str, list[pd.DataFrame]] = {}
    for part in read_table_in_parts(path, schema=LANDMARKS, columns=_READ):
        rows = with_slips_failed(part.dropna(subset=["film", "frame"]))
        for film, own in rows.groupby("film", sort=False):
            held.setdefault(str(film), []).append(own)
        for film in [name for name in held if last_rows[name] <= part.index[-1]]:
            yield film, pd.concat(held.pop(film)).sort_values("frame", ignore_index=True)


def _manifest_of(path: Path | None, films: list[str]) -> pd.DataFrame | None:
    """Return the manifest's rows of these films, `image_id` renamed to `film`."""
    if path is None:
        return None
    rows = read_manifest(path).rename(columns={"image_id": "film"})
    rows = rows[rows["film"].isin(films)]
    if rows.empty:
        raise UserError(
            f'{path} names none of the films of the landmark table, such as "{films[0]}": its '
            "image_id must be the film's path as extract wrote it."
        )
    return rows


def _read_cues(path: Path | None, films: list[str]) -> dict[str, list[Cue]]:
    """Return the cues of each film."""
    if path is None:
        return {}
    asked: dict[str, list[Cue]] = {}
    table = read_table(path, schema=CUES)
    for place, row in enumerate(table.to_dict("records")):
        film, cue = str(row["film"]), Cue(row["start_s"], row["end_s"], str(row["movement"]))
        if film not in films:
            raise UserError(
                f'{path}, row {place + 2}: there is no film "{film}" in the landmark table.'
                + did_you_mean(film, films)
            )
        if not cue.start < cue.end:
            raise UserError(
                f"{path}, row {place + 2}: the cue ends at {cue.end:g} s and begins at "
                f"{cue.start:g} s: give start_s before end_s."
            )
        asked.setdefault(film, []).append(cue)
    return asked


def _files_of(source: Path, films: list[str], *, mirrored: bool) -> dict[str, FilmTask]:
    """Return each film as it lies in a folder or a manifest, or as the one film itself."""
    if source.is_dir():
        return {film: FilmTask(film, source / film, mirrored) for film in films}
    if source.suffix.lower() in FILM_SUFFIXES:
        return {film: FilmTask(film, source, mirrored) for film in films[:1]}
    known = {task.name: task for task in find_source(source, films=True, mirrored=mirrored).films}
    absent = [film for film in films if film not in known]
    if absent:
        raise UserError(
            f'{source} does not name the film "{absent[0]}": give the folder or manifest that '
            "the films were extracted from."
        )
    return known


@dataclass
class FilmPictures:
    """Draws each film once it is measured."""

    out: Path  # folder of the tables
    files: Mapping[str, FilmTask]  # where the films lie, by name; pages of others show points alone
    # whether to write a page, and the film with its points
    pages: bool = False
    overlay: bool = False
    # names of two films to lay beside each other, before and after
    compare: tuple[str, str] | None = None
    simulated: Collection[str] = ()  # names of films that nobody is in
    # films that could not be written with points, and why
    problems: list[str] = field(default_factory=list)
    _kept: dict[str, ComparedFilm] = field(default_factory=dict)

    def check(self, films: Collection[str]) -> None:
        """Refuse what cannot be drawn of these films, before the long work."""
        for name in self.compare or ():
            if name not in films:
                raise UserError(
                    f'--compare names "{name}", which is no film of the landmark table.'
                    + did_you_mean(name, list(films))
                )
        if self.overlay and not self.files:
            raise UserError("--overlay needs the films themselves: give them with --photographs.")

    def draw(self, name: str, measured: MeasuredFilm, landmarks: pd.DataFrame) -> None:
        """Draw one film."""
        film = self.files.get(name)
        if self.pages:
            page = film_page(name, measured, landmarks, film=film, simulated=name in self.simulated)
            page.write(picture_path(self.out / PAGES_FOLDER, name).with_suffix(".html"))
        if self.overlay and film is not None:
            path = picture_path(self.out / OVERLAY_FOLDER, name).with_suffix("")
            if path.suffix != FILM_SUFFIX:
                path = path.with_name(path.name + FILM_SUFFIX)
            try:
                write_overlay_film(path, open_film(film.path, mirrored=film.mirrored), landmarks)
            except FilmError as error:
                self.problems.append(str(error))
        if name in (self.compare or ()):
            self._kept[name] = ComparedFilm(name, measured, landmarks, film)

    def finish(self) -> None:
        """Write the comparison, when both films were drawn."""
        if self.compare is not None:
            before, after = (self._kept[name] for name in self.compare)
            page = compare_page(before, after)
            if set(self.compare) & set(self.simulated):
                page.warn(SIMULATED_FILM)
            page.write(self.out / COMPARISON_FILE)
