"""Small pictures of a film's frames, cut to the face, with their points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from common.errors import FilmError
from common.files import atomic_write
from common.films import Film, film_writer, open_film
from common.movements import MOVEMENTS
from common.report import Picture, image_picture
from common.words import counted
from features.frames import FloatArray
from landmarks.overlay import draw_overlay
from landmarks.tables import points_of

if TYPE_CHECKING:
    from landmarks.find.films import FilmTask

_MARGIN = 0.18  # of the face's larger side, around it
_SEEK = 5  # a film is read through when more than one frame in so many is wanted
_FINER = 2  # points are drawn in a picture that is larger by this, so that they come out thin
_PAPER = 110  # grey behind points without a film


class Frames:
    """The frames of one film with their points; without the film the points are drawn alone."""

    def __init__(self, landmarks: pd.DataFrame, film: FilmTask | None) -> None:
        self._points = dict(zip(landmarks["frame"].astype(int), points_of(landmarks), strict=True))
        self._problem = "" if film else "The film is not there: points are shown without picture."
        self._film = None
        try:
            self._film = open_film(film.path, mirrored=film.mirrored) if film else None
        except FilmError as error:
            self._problem = f"{error} Points are shown without picture."
        known = np.concatenate([p[np.isfinite(p).all(axis=1)] for p in self._points.values()])
        self._corner, self._side = np.zeros(2), 1.0
        if len(known):
            low, high = np.percentile(known, [0.5, 99.5], axis=0)
            self._side = float((1 + 2 * _MARGIN) * (high - low).max())
            self._corner = (low + high - self._side) / 2

    def warnings(self, signals: pd.DataFrame) -> list[str]:
        """Return what a reader must know of the frames before anything else."""
        failed = signals[signals["status"] != "ok"]
        found = [self._problem] if self._problem else []
        if len(failed):
            found.append(
                f"{len(failed)} of {counted(len(signals), 'frame')} could not be measured; most "
                f"often: {next(iter(failed['reason'].dropna().mode()), 'no reason is given.')}"
            )
        return found

    def at(self, numbers: Sequence[int], *, width: int, quality: int) -> dict[int, Picture]:
        """Return the pictures of frames, each `width` px wide and high."""
        return {
            number: image_picture(
                self._small(rgb, number, _FINER * width),
                alt=f"Frame {number} of the film, cut to the face, with its points.",
                width=width,
                quality=quality,
            )
            for number, rgb in self._read(sorted(set(numbers)))
        }

    def _read(self, numbers: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8] | None]]:
        if self._film is None or not numbers:
            yield from ((number, None) for number in numbers)
        elif len(numbers) * _SEEK > numbers[-1] - numbers[0]:
            wanted = set(numbers)
            for frame in self._film.frames(numbers[0], numbers[-1] + 1):
                if frame.number in wanted:
                    yield frame.number, frame.rgb
        else:
            for number in numbers:
                yield number, self._film.frame(number).rgb

    def _small(self, rgb: NDArray[np.uint8] | None, number: int, width: int) -> NDArray[np.uint8]:
        """Cut out the face at one place and size for the whole film, and draw the points."""
        zoom = width / self._side
        if rgb is None:
            small = np.full((width, width, 3), _PAPER, dtype=np.uint8)
        else:
            # Reduced first, so that a large film is not sampled with holes.
            reduced = (
                cv2.resize(rgb, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
                if zoom < 1
                else rgb
            )
            now = zoom / min(zoom, 1.0)
            shift = -(self._corner * zoom)
            moved = np.array([[now, 0, shift[0]], [0, now, shift[1]]])
            small = cv2.warpAffine(reduced, moved, (width, width), borderValue=(_PAPER,) * 3)
        points: FloatArray = (self._points[number] - self._corner) * zoom
        return draw_overlay(small, points, legend=False) if np.isfinite(points).all() else small


_INK, _SHADE = (255, 255, 255), (0, 0, 0)


def write_overlay_film(path: Path, film: Film, landmarks: pd.DataFrame) -> None:
    """Write a film with the points of its rows of the landmark table, at its mean frame rate.

    A frame without points shows its status. Sound is left out.
    """
    rows = landmarks.set_index("frame")
    points = dict(zip(rows.index.tolist(), points_of(landmarks), strict=True))
    seconds = float(film.times_s[-1] - film.times_s[0])
    fps = (len(film) - 1) / seconds if seconds > 0 else 1.0
    with film_writer(path, width=film.width, height=film.height, fps=fps) as write:
        for frame in film.frames():
            found = points.get(frame.number)
            said = f"{frame.number}  {frame.time_s:.2f} s"
            if found is not None and np.isfinite(found).all():
                picture = draw_overlay(frame.rgb, found, legend=False)
            else:
                picture = np.ascontiguousarray(frame.rgb).copy()
                status = rows["status"].get(frame.number, "no row")
                said += f"  {str(status).replace('_', ' ')}"
            write(_labelled(picture, said))


def _labelled(picture: NDArray[np.uint8], words: str) -> NDArray[np.uint8]:
    """Write words into the upper left corner, readable on any ground; in place."""
    scale = max(picture.shape[0] / 900, 0.4)
    place = (round(14 * scale), round(34 * scale))
    for colour, weight in ((_SHADE, 3), (_INK, 1)):
        cv2.putText(
            picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, weight, cv2.LINE_AA
        )
    return picture


PHOTOGRAPHS_FOLDER = "photographs"


def write_photographs(
    movements: pd.DataFrame, films: Mapping[str, FilmTask], *, folder: Path
) -> tuple[pd.DataFrame, list[str]]:
    """Write the pictures of rest and of every movement that was measured, as PNG.

    `movements`: columns of `movements.csv`.
    `films`: each film as it lies there.
    `folder`: pictures go to `FOLDER/<film>/1_rest.png`, ….

    Returns a manifest of what was written, and one sentence for each film that could not be
    read.
    """
    wanted = movements[movements["movement"].isin(MOVEMENTS) & movements["frame"].notna()]
    rows, problems = [], []
    for name, of_film in wanted.groupby("film", sort=False):
        try:
            there = films[str(name)]
            film = open_film(there.path, mirrored=there.mirrored)
            for row in of_film.to_dict("records"):
                task, frame = str(row["movement"]), int(row["frame"])
                image_id = f"{name}/{MOVEMENTS.index(task) + 1}_{task}.png"
                picture = Image.fromarray(film.frame(frame).rgb)
                with atomic_write(folder / image_id) as temporary:
                    picture.save(temporary, format="PNG")
                rows.append(
                    {
                        "image_id": image_id,
                        "path": image_id,
                        "patient_id": row["patient_id"] if pd.notna(row["patient_id"]) else name,
                        "task": task,
                        "film": name,
                        "frame": frame,
                        "time_s": row["time_s"],
                    }
                )
        except FilmError as error:
            problems.append(str(error))
    words = ("image_id", "path", "patient_id", "task", "film")
    table = pd.DataFrame(rows, columns=[*words, "frame", "time_s"])
    return table.astype(dict.fromkeys(words, "str")), problems
