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
from collections.abc import Callable, Iterator, Mapping, Sequence
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

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class FilmTask:
    """A film as it was asked for: its name in the tables, its file, and whether it is mirrored."""

    name: str
    path: Path
    mirrored: bool = False


@dataclass(frozen=True)
class FollowedFilm:
    """A film and what became of it: `pieces` are files, in order; `reason` is empty when read."""

    name: str
    film: Film | None = None
    sha256: str = ""
    reason: str = ""
    pieces: tuple[Path, ...] = ()

    def parts(self) -> Iterator[tuple[int, list[FaceLandmarks]]]:
        """Yield the number of the first frame and the results of each piece, one in memory."""
        for number, path in enumerate(self.pieces):
            kept = load_kept(path)
            if kept is None:
                raise FilmError(f"{path} is gone or damaged: run the same command again.")
            yield number * PIECE, _results(kept, sha256=self.sha256)


@dataclass(frozen=True)
class _Piece:
    film: Film
    first: int
    near: FaceBox | None = None


@dataclass
class _Work:
    """A film in work: its finished pieces by number, as files, and whom each of them follows."""

    followed: FollowedFilm
    settings: Mapping[str, Any]
    folder: Path
    near: dict[int, FaceBox] = field(default_factory=dict)

    @property
    def n_pieces(self) -> int:
        return 0 if self.followed.film is None else -(-len(self.followed.film) // PIECE)

    def path(self, number: int) -> Path:
        near = self.near.get(number)
        about = {**self.settings, "film": self.followed.sha256, "piece": number, "near": repr(near)}
        return self.folder / f"{key_of(about)}.npz"

    def other_person(self, number: int) -> FaceBox | None:
        """Return where the face before is when a piece follows another; None when it does not.

        Both have looked at the frame with which the lead-in of the piece begins.
        """
        before, kept = load_kept(self.path(number - 1)), load_kept(self.path(number))
        if before is None or kept is None:
            return None
        box, lead = before["box"][-LEAD_IN, :4], kept["lead"][:4]
        if np.isnan(box).any() or np.isnan(lead).any():
            return None
        held, seen = _box_at(box), _box_at(lead)
        apart = np.hypot(*(held.centre - seen.centre)) > held.side / 2
        return held if apart else None


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
    works = []
    with JobProgress("films read through", total=len(tasks)) as progress:
        for task, opened in _opened(tasks, jobs=jobs):
            about = {**given, "mirrored": task.mirrored}
            works.append(_Work(replace(opened, name=task.name), about, folder))
            progress.advance(ok=not opened.reason)
    todo = [(work, number) for work in works for number in range(work.n_pieces)]
    fresh = [(work, number) for work, number in todo if not _is_done(work.path(number))]
    frames = sum(len(work.followed.film or ()) for work in works)
    known = frames - sum(_length(work, number) for work, number in fresh)
    with JobProgress("extract frames", total=frames, done=known) as progress:
        _do(fresh, spread, faces=faces, progress=progress)
    checked = [1] * len(works)
    while again := [
        (work, number)
        for at, work in enumerate(works)
        if (number := _next_other(work, checked, at)) is not None
    ]:
        missing = [(work, number) for work, number in again if not _is_done(work.path(number))]
        with JobProgress("pieces that began with another face", total=len(again) * PIECE) as more:
            _do(missing, spread, faces=faces, progress=more)
    done = [
        replace(work.followed, pieces=tuple(map(work.path, range(work.n_pieces)))) for work in works
    ]
    remove_others(folder, {path.name for film in done for path in film.pieces})
    return done


def _next_other(work: _Work, checked: list[int], at: int) -> int | None:
    """Return the next piece that follows another face than the one before, set to follow that."""
    while checked[at] < work.n_pieces:
        number = checked[at]
        checked[at] += 1
        near = work.other_person(number)
        if near is not None:
            work.near[number] = near
            return number
    return None


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


def _do(
    todo: Sequence[tuple[_Work, int]],
    spread: Callable[..., Any],
    *,
    faces: Faces,
    progress: JobProgress,
) -> None:
    """Follow pieces in workers, and keep each as it comes."""
    pieces = [
        _Piece(work.followed.film, number * PIECE, work.near.get(number))
        for work, number in todo
        if work.followed.film is not None
    ]
    outcomes = spread(functools.partial(_follow_piece, faces=faces), pieces)
    with closing(outcomes):
        for outcome in outcomes:
            work, number = todo[outcome.index]
            kept = outcome.value
            if kept is None:
                reason = f"These frames could not be processed ({outcome.error}): run again."
                kept = _arrays([FaceLandmarks("failed", reason)] * _length(work, number))
            keep(work.path(number), kept, small=True)
            ok = int((kept["status"] == "ok").sum())
            progress.advance(ok=True, count=ok)
            progress.advance(ok=False, count=len(kept["status"]) - ok)


def _is_done(path: Path) -> bool:
    """Say whether a piece is there and whole; what went wrong is tried again."""
    kept = load_kept(path)
    return kept is not None and not {"failed", "unreadable"} & set(kept["status"].tolist())


def _length(work: _Work, number: int) -> int:
    return min(PIECE, len(work.followed.film or ()) - number * PIECE)


def _follow_piece(finder: LandmarkFinder, piece: _Piece, *, faces: Faces) -> Arrays:
    """Follow the face through a piece, in a worker."""
    tracker = FaceTracker(finder, faces=faces, near=piece.near)
    begin = max(0, piece.first - LEAD_IN)
    end = min(piece.first + PIECE, len(piece.film))
    found: list[FaceLandmarks] = []
    try:
        found += [tracker.follow(frame.rgb) for frame in piece.film.frames(begin, end)]
    except FilmError as error:
        found += [FaceLandmarks("unreadable", str(error))] * (end - begin - len(found))
    rows = _arrays(found[piece.first - begin :])
    return rows | {"lead": _box_of(found[0])}


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
        "numbers": np.array(
            [
                (one.copies, one.copies_failed, one.halves_share, one.brightness, one.sharpness)
                for one in found
            ]
        ),
    }


def _results(kept: Arrays, *, sha256: str) -> list[FaceLandmarks]:
    """Return what `_arrays` was made of."""
    found = []
    for row, status in enumerate(kept["status"].tolist()):
        *edges, score = kept["box"][row]
        copies, failed, share, brightness, sharpness = kept["numbers"][row].tolist()
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
                copies=int(copies),
                copies_failed=int(failed),
                spread=kept["spread"][row],
                halves_share=share,
                brightness=brightness,
                sharpness=sharpness,
            )
        )
    return found


def tally_of(film: FollowedFilm) -> Counter[str]:
    """Count the frames of a film by status; a film that could not be read counts once."""
    if film.film is None:
        return Counter({"unreadable": 1})
    tally: Counter[str] = Counter()
    for path in film.pieces:
        tally.update((load_kept(path) or {})["status"].tolist())
    return tally


def sentence_of(film: FollowedFilm, tally: Mapping[str, int]) -> str:
    """Say what became of a film; empty when every frame has its points and nothing is odd."""
    if film.film is None:
        return f"unreadable: {film.name}: {film.reason}"
    missing = ", ".join(f"{n} {status}" for status, n in tally.items() if status != "ok" and n)
    lacking = f"{film.name}: of {counted(len(film.film), 'frame')} {missing}." if missing else ""
    return " ".join(filter(None, (lacking, film.film.remark)))
