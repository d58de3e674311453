"""Films to landmarks: every film in pieces, worked on at the same time, one row for every frame.

A film is read through once for its frames and times (`common.films`), and then followed in pieces
of `PIECE` frames. A piece begins a little earlier than its first row, with a detection of its own,
so that its points depend neither on the other pieces nor on the number of workers. A finished piece
lies in `OUT/pieces`, named after the film's content and all settings: a run that was stopped goes
on, and no film is ever in memory as a whole.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import FilmError
from common.files import keep, key_of, load_kept, remove_others, sha256_of
from common.films import Film, open_film
from common.progress import JobProgress
from common.words import counted
from common.workers import supervised_map
from landmarks.find.detector import FaceBox
from landmarks.find.finder import FaceLandmarks, Faces, LandmarkFinder
from landmarks.find.tracking import FaceTracker

PIECE = 300  # frames
LEAD_IN = 10  # frames before a piece, in which the box settles
TRACKING = 2
"""Raise this when the same film and settings may give other points: it ends old pieces."""
PIECES_FOLDER = "pieces"
_LIMIT_S = 3600.0  # for a film's first reading, or a piece with many copies

_NUMBERS = ("copies", "copies_failed", "halves_share", "brightness", "sharpness")
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class FilmTask:
    """A film as it was asked for: its name in the tables, its file, and whether it is mirrored."""

    name: str
    path: Path
    mirrored: bool = False


@dataclass
class FollowedFilm:
    """A film and what becomes of it: its finished pieces are files, named after all they follow.

    `reason` is empty when it could be read. `near` says of a piece that began with another face
    than the piece before where the face is that it is to follow.
    """

    name: str
    film: Film | None = None
    sha256: str = ""
    reason: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path()
    near: dict[int, FaceBox] = field(default_factory=dict)
    _checked: int = 1  # pieces that follow the face of the piece before, or are set to

    def pieces(self) -> range:
        """Return the numbers of its pieces; none of a film that could not be read."""
        return range(0 if self.film is None else -(-len(self.film) // PIECE))

    def path(self, number: int) -> Path:
        """Return the file of a piece."""
        near = repr(self.near.get(number))
        about = {**self.settings, "film": self.sha256, "piece": number, "near": near}
        return self.folder / f"{key_of(about)}.npz"

    def length(self, number: int) -> int:
        """Return how many frames a piece has."""
        return min(PIECE, len(self.film or ()) - number * PIECE)

    def is_done(self, number: int) -> bool:
        """Say whether a piece is there and whole; what went wrong is tried again."""
        kept = load_kept(self.path(number))
        return kept is not None and not {"failed", "unreadable"} & set(kept["status"].tolist())

    def parts(self) -> Iterator[tuple[int, list[FaceLandmarks]]]:
        """Yield the number of the first frame and the results of each piece, one in memory."""
        for number, kept in enumerate(map(load_kept, map(self.path, self.pieces()))):
            if kept is None:
                raise FilmError(
                    f"{self.path(number)} is gone or damaged: run the same command again."
                )
            yield number * PIECE, _results(kept, sha256=self.sha256)

    def tally(self) -> Counter[str]:
        """Count the frames by status; a film that could not be read counts once."""
        if self.film is None:
            return Counter({"unreadable": 1})
        tally: Counter[str] = Counter()
        for number in self.pieces():
            tally.update((load_kept(self.path(number)) or {})["status"].tolist())
        return tally

    def sentence(self, tally: Mapping[str, int]) -> str:
        """Say what became of it; empty when every frame has its points and nothing is odd."""
        if self.film is None:
            return f"unreadable: {self.name}: {self.reason}"
        missing = ", ".join(f"{n} {status}" for status, n in tally.items() if status != "ok" and n)
        lacking = (
            f"{self.name}: of {counted(len(self.film), 'frame')} {missing}." if missing else ""
        )
        return " ".join(filter(None, (lacking, self.film.remark)))

    def next_other(self) -> int | None:
        """Return the next piece that follows another face than the one before, set to follow that.

        Both have looked at the frame with which the lead-in of the piece begins.
        """
        while self._checked < len(self.pieces()):
            number = self._checked
            self._checked += 1
            before, kept = load_kept(self.path(number - 1)), load_kept(self.path(number))
            if before is None or kept is None:
                continue
            box, lead = before["box"][-LEAD_IN, :4], kept["lead"][:4]
            held, seen = _box_at(box), _box_at(lead)
            if np.hypot(*(held.centre - seen.centre)) > held.side / 2:  # no number: no face
                self.near[number] = held
                return number
        return None


_Todo = Sequence[tuple[FollowedFilm, int]]  # films, and numbers of their pieces


def follow_films(
    tasks: Sequence[FilmTask],
    *,
    out: Path,
    start: Callable[[], LandmarkFinder],
    settings: Mapping[str, Any],
    faces: Faces = "largest",
    jobs: int,
    scheduler: str | None = None,
) -> list[FollowedFilm]:
    """Follow the face of every film; what could not be read comes back with its reason.

    `tasks`: films with names that differ. `out`: finished pieces lie below it. `start`: makes the
    finder of a worker. `settings`: everything beside the film that its points depend on. The others
    are as in `landmarks.find.extraction.extract_landmarks`.
    """
    folder = out / PIECES_FOLDER
    given = {**settings, "tracking": TRACKING, "piece": PIECE, "lead_in": LEAD_IN}
    spread = functools.partial(
        supervised_map, jobs=jobs, start=start, scheduler=scheduler, limit_s=_LIMIT_S
    )
    films = []
    with JobProgress("films read through", total=len(tasks)) as progress:
        for task, opened in _opened(tasks, jobs=jobs):
            about = {**given, "mirrored": task.mirrored}
            films.append(replace(opened, settings=about, folder=folder))
            progress.advance(ok=not opened.reason)
    todo = _not_done((film, number) for film in films for number in film.pieces())
    frames = sum(len(film.film or ()) for film in films)
    known = frames - sum(film.length(number) for film, number in todo)
    with JobProgress("extract frames", total=frames, done=known) as progress:
        _do(todo, spread, faces=faces, progress=progress)
    while again := [(film, number) for film in films if (number := film.next_other()) is not None]:
        with JobProgress("pieces that began with another face", total=len(again) * PIECE) as more:
            _do(_not_done(again), spread, faces=faces, progress=more)
    used = {film.path(number).name for film in films for number in film.pieces()}
    remove_others(folder, used)
    return films


def _not_done(pieces: Iterable[tuple[FollowedFilm, int]]) -> _Todo:
    return [(film, number) for film, number in pieces if not film.is_done(number)]


def _opened(tasks: Sequence[FilmTask], *, jobs: int) -> Iterator[tuple[FilmTask, FollowedFilm]]:
    outcomes = supervised_map(
        _read_through, tasks, jobs=min(jobs, len(tasks)), start=_nothing, limit_s=_LIMIT_S
    )
    found: dict[int, FollowedFilm] = {}
    with closing(outcomes):
        for outcome in outcomes:
            task = tasks[outcome.index]
            found[outcome.index] = outcome.value or FollowedFilm(
                task.name, reason=f"This film could not be read ({outcome.error})."
            )
    yield from ((tasks[index], found[index]) for index in sorted(found))


def _nothing() -> None:
    cv2.setNumThreads(1)


def _read_through(_: None, task: FilmTask) -> FollowedFilm:
    """Read a film through in a worker."""
    try:
        film = open_film(task.path, mirrored=task.mirrored)
        return FollowedFilm(task.name, film, sha256_of(task.path))
    except FilmError as error:
        return FollowedFilm(task.name, reason=str(error))


def _do(todo: _Todo, spread: Callable[..., Any], *, faces: Faces, progress: JobProgress) -> None:
    """Follow pieces in workers, and keep each as it comes."""
    outcomes = spread(functools.partial(_follow_piece, faces=faces), todo)
    with closing(outcomes):
        for outcome in outcomes:
            film, number = todo[outcome.index]
            kept = outcome.value
            if kept is None:
                reason = f"These frames could not be processed ({outcome.error}): run again."
                kept = _arrays([FaceLandmarks("failed", reason)] * film.length(number))
            keep(film.path(number), kept, small=True)
            ok = int((kept["status"] == "ok").sum())
            progress.advance(ok=True, count=ok)
            progress.advance(ok=False, count=len(kept["status"]) - ok)


def _follow_piece(
    finder: LandmarkFinder, piece: tuple[FollowedFilm, int], *, faces: Faces
) -> Arrays:
    """Follow the face through a piece, in a worker."""
    followed, number = piece
    assert followed.film is not None  # else it has no pieces
    tracker = FaceTracker(finder, faces=faces, near=followed.near.get(number))
    first = number * PIECE
    begin, end = max(0, first - LEAD_IN), first + followed.length(number)
    found: list[FaceLandmarks] = []
    try:
        found += [tracker.follow(frame.rgb) for frame in followed.film.frames(begin, end)]
    except FilmError as error:
        found += [FaceLandmarks("unreadable", str(error))] * (end - begin - len(found))
    return _arrays(found[first - begin :]) | {"lead": _box_of(found[0])}


def _box_of(found: FaceLandmarks) -> NDArray[np.float64]:
    box = found.box
    edges = (box.left, box.top, box.right, box.bottom, box.score) if box else [np.nan] * 5
    return np.array(edges, dtype=np.float64)


def _box_at(edges: NDArray[np.float64], score: float = np.nan, detector: str = "") -> FaceBox:
    left, top, right, bottom = edges.tolist()
    return FaceBox(left, top, right, bottom, score, detector)


def _arrays(found: Sequence[FaceLandmarks]) -> dict[str, NDArray[Any]]:
    """Return results as arrays of one row each."""
    return {
        "status": np.array([one.status for one in found]),
        "reason": np.array([one.reason for one in found]),
        "n_faces": np.array([-1 if one.n_faces is None else one.n_faces for one in found]),
        "detector": np.array([one.box.detector if one.box else "" for one in found]),
        "box": np.array([_box_of(one) for one in found]),
        "points": np.array([one.points for one in found]),
        "spread": np.array([one.spread for one in found]),
        "numbers": np.array([[getattr(one, name) for name in _NUMBERS] for one in found]),
    }


def _results(kept: Arrays, *, sha256: str) -> list[FaceLandmarks]:
    """Return what `_arrays` was made of."""
    found = []
    for row, status in enumerate(kept["status"].tolist()):
        *edges, score = kept["box"][row]
        numbers = dict(zip(_NUMBERS, kept["numbers"][row].tolist(), strict=True))
        numbers |= {name: int(numbers[name]) for name in ("copies", "copies_failed")}
        n_faces = int(kept["n_faces"][row])
        detector = str(kept["detector"][row])
        found.append(
            FaceLandmarks(
                status=status,
                reason=str(kept["reason"][row]),
                n_faces=None if n_faces < 0 else n_faces,
                box=_box_at(np.array(edges), float(score), detector) if detector else None,
                points=kept["points"][row],
                sha256=sha256,
                spread=kept["spread"][row],
                **numbers,
            )
        )
    return found
