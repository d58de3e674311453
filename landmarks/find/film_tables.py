"""Landmark tables with films in them: one row for every frame, written piece by piece."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from common.files import natural_key, remove_table
from common.tables import STATUSES, read_table, write_table_in_parts
from landmarks.find.extraction import SPREADS_FILE, landmark_table, settings_of, spread_table
from landmarks.find.films import FilmTask, FollowedFilm, follow_films
from landmarks.find.finder import FaceLandmarks, Faces, LandmarkFinder
from landmarks.find.method import Method
from landmarks.predictor import PredictorFile
from landmarks.scale import Scale
from landmarks.tables import LANDMARKS, LANDMARKS_FILE, SPREADS

_AT_ONCE = 3000  # frames of a film in memory while its table is written


@dataclass(frozen=True)
class FilmExtraction:
    """What became of films: frames by status for each, sentences on what is odd, seconds it took.

    A film that could not be read has one `unreadable` in place of its frames.
    """

    tallies: dict[str, Counter[str]]
    sentences: tuple[str, ...]
    work_s: float

    @property
    def ok(self) -> int:
        """Films with points in a frame."""
        return sum(tally["ok"] > 0 for tally in self.tallies.values())

    @property
    def frames(self) -> Counter[str]:
        """Frames of all films by status."""
        return sum(self.tallies.values(), Counter())

    def counts(self) -> dict[str, int]:
        """Return films, and frames by status, for `run.json`."""
        frames = {f"frames_{status}": self.frames[status] for status in STATUSES}
        return {"films": len(self.tallies), **frames}


def extract_films(
    tasks: Sequence[FilmTask],
    *,
    out: Path,
    photos: pd.DataFrame,
    predictor: PredictorFile,
    faces: Faces,
    method: Method,
    mm_per_px: float | None,
    jobs: int,
    scheduler: str | None = None,
) -> FilmExtraction:
    """Follow the face of every film and write `OUT/landmarks.csv`, photographs among them.

    `photos`: landmark table of the photographs beside the films, perhaps empty. `mm_per_px`:
    written for every frame with points. Without copies there is no `spreads.csv` of films. The
    others are as in `follow_films` and `extract_landmarks`.
    """
    began = time.monotonic()
    scale = Scale(mm_per_px=mm_per_px)
    predictor = replace(predictor, path=predictor.path.absolute())
    films = follow_films(
        [replace(task, path=task.path.absolute()) for task in tasks],
        out=out,
        start=functools.partial(LandmarkFinder, predictor, faces=faces, method=method),
        settings=dict(settings_of(predictor, faces=faces, method=method, scale=scale)),
        faces=faces,
        jobs=jobs,
        scheduler=scheduler,
    )
    points = functools.partial(landmark_table, scale=scale)
    write_table_in_parts(
        _parts(films, photos, points, placed=True), out / LANDMARKS_FILE, schema=LANDMARKS
    )
    if method.augmentation:
        spreads = read_table(out / SPREADS_FILE, schema=SPREADS) if len(photos) else photos
        table_of = functools.partial(spread_table, method=method)
        parts = _parts(films, spreads, table_of, placed=False)
        write_table_in_parts(parts, out / SPREADS_FILE, schema=SPREADS)
    elif photos.empty:
        remove_table(out / SPREADS_FILE)  # of an earlier run with copies
    tallies = {film.name: film.tally() for film in films}
    said = tuple(filter(None, (film.sentence(tallies[film.name]) for film in films)))
    return FilmExtraction(tallies, sentences=said, work_s=time.monotonic() - began)


def _parts(
    films: Sequence[FollowedFilm],
    photos: pd.DataFrame,
    table_of: Callable[[dict[str, FaceLandmarks]], pd.DataFrame],
    *,
    placed: bool,
) -> Iterator[pd.DataFrame]:
    """Yield photographs and the frames of films in natural order, some thousand rows at a time."""
    by_name = {film.name: film for film in films}
    place = {name: at for at, name in enumerate(photos["image_id"])}
    waiting: list[int] = []  # photographs between two films

    def of_photos() -> Iterator[pd.DataFrame]:
        if waiting:
            rows = photos.iloc[waiting].reset_index(drop=True)
            yield _placed(rows, None, 0) if placed else rows
            waiting.clear()

    for name in sorted((*place, *by_name), key=natural_key):
        if name in place:
            waiting.append(place[name])
            continue
        yield from of_photos()
        for first, found in _frames(by_name[name]):
            rows = table_of(found)
            yield _placed(rows, by_name[name], first) if placed else rows
    yield from of_photos()


def _frames(film: FollowedFilm) -> Iterator[tuple[int, dict[str, FaceLandmarks]]]:
    """Yield the results of some thousand frames by `image_id`, with the number of the first."""
    if film.film is None:
        yield 0, {film.name: FaceLandmarks("unreadable", film.reason)}
        return
    begin = 0
    found: dict[str, FaceLandmarks] = {}
    for first, results in film.parts():
        found |= {frame_id(film.name, first + at): one for at, one in enumerate(results)}
        if len(found) >= _AT_ONCE:
            yield begin, found
            begin, found = first + len(results), {}
    if found:
        yield begin, found


def frame_id(film: str, frame: int) -> str:
    """Return the `image_id` of a frame, counted from 0, of a film."""
    return f"{film}#{frame:06d}"


def _placed(rows: pd.DataFrame, film: FollowedFilm | None, first: int) -> pd.DataFrame:
    """Put film, frame and time where `landmarks.csv` has them."""
    frames: list[int | None] = [None] * len(rows)
    times = np.full(len(rows), np.nan)
    if film is not None and film.film is not None:
        frames = list(range(first, first + len(rows)))
        times = film.film.times_s[first : first + len(rows)]
    before = list(rows.columns).index("photo_sha256") + 1
    names = [None if film is None else film.name] * len(rows)
    rows.insert(before, "film", pd.Series(names, dtype="str", index=rows.index))
    rows.insert(before + 1, "frame", pd.Series(frames, dtype="Int64", index=rows.index))
    rows.insert(before + 2, "time_s", times)
    return rows
