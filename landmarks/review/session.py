"""What a review knows: its photographs, what was changed in them, and who may change it."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError
from common.photos import Photo, read_photo
from landmarks.find.detector import FaceBox
from landmarks.find.iris import Irises, find_irises
from landmarks.points import N_POINTS
from landmarks.predictor import PredictorFile, predict_points
from landmarks.review.corrections import MOVES, Journal, Move, of_these_photographs
from landmarks.review.face import Face, faces_of
from landmarks.review.marks import CENTRES, EDGES, marks_of

HELD_S = 10.0  # a page that says nothing for this long no longer holds the pen


class ChangeRefusedError(Exception):
    """A change that is not made; its words are one sentence for the page."""


class Session:
    """A review of one landmark table; safe to use from several threads.

    Of the model's `table` by `LANDMARKS`, which lies at `table_path`: changes are refused once the
    file there is another one. Paths, irises and patients of the photographs are by `image_id`;
    changes go to the `journal`, whose earlier ones are taken up again. Without a `predictor` a box
    that is drawn by hand gives no points.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        *,
        table_path: Path,
        paths: Mapping[str, Path],
        journal: Journal,
        spreads: pd.DataFrame | None = None,
        irises: Mapping[str, Irises] | None = None,
        patients: Mapping[str, str] | None = None,
        predictor: PredictorFile | None = None,
    ) -> None:
        self.journal = journal
        self._lock = threading.RLock()
        self._table_path, self._stamp = table_path, _stamp_of(table_path)
        self._holder, self._heard = "", -np.inf
        self._load_predictor = None if predictor is None else functools.cache(predictor.load)
        self.faces = faces_of(table, paths=paths, spreads=spreads, irises=irises, patients=patients)
        numbers = range(len(self.faces))
        self._orders = {  # once, before the page is there: what they go by does not change
            "worst": sorted(numbers, key=lambda n: (-self.faces[n].uncertainty, n)),
            "patient": sorted(numbers, key=lambda n: (self.faces[n].patient, n)),
        }
        self._take_up(of_these_photographs(journal.rows, table, path=journal.path).rows)

    @property
    def n_corrected(self) -> int:
        """Photographs with at least one moved point."""
        return sum(face.is_corrected for face in self.faces)

    def order(self, by: str) -> list[int]:
        """Return the numbers of the photographs, `worst` first or by `patient`."""
        return self._orders[by]

    def hold(self, page: str) -> bool:
        """Say whether this page may change points: the first to ask, until it falls silent."""
        with self._lock:
            now = time.monotonic()
            if self._holder != page and now - self._heard > HELD_S:
                self._holder = page
            if self._holder == page:
                self._heard = now
            return self._holder == page

    def release(self, page: str) -> None:
        """Let another page change points."""
        with self._lock:
            if self._holder == page:
                self._holder, self._heard = "", -np.inf

    def move(self, number: int, targets: Mapping[int, tuple[float, float]], *, page: str) -> Face:
        """Move marks of a photograph to `targets` (by mark, px) and keep that.

        ChangeRefusedError when another page holds the pen, the landmark table has changed on the
        disk, a target lies far outside the photograph, or an iris would have no radius.
        """
        with self._lock:
            face = self._writable(number, page=page)
            if not np.isfinite(face.points).all() and not set(range(N_POINTS)) <= set(targets):
                raise ChangeRefusedError(
                    "This photograph has no points yet: draw a box around the face."
                )
            self._check_places(face, targets)
            moves = face.moves_to(targets)
            if moves:
                self.journal.add(face.image_id, "move", moves)
                face.take("move", moves)
            return face

    def step(self, number: int, action: str, *, page: str) -> Face:
        """Take the last change of a photograph back (`undo`), or make it again (`redo`)."""
        with self._lock:
            face = self._writable(number, page=page)
            moves = face.step(action)
            if moves:
                self.journal.add(face.image_id, action, moves)
                face.take(action, moves)
            return face

    def judge(self, number: int, verdict: str, *, reason: str = "", page: str) -> Face:
        """Call a photograph `checked`, `unmeasurable` (with a reason) or `measurable` again."""
        with self._lock:
            face = self._writable(number, page=page)
            self.journal.add(face.image_id, verdict, reason=reason)
            face.judged = "" if verdict == "measurable" else verdict
            return face

    def predict(self, number: int, box: Sequence[float], *, page: str) -> Face:
        """Place all points, and the irises, in a box drawn by hand: left, top, right, bottom px."""
        with self._lock:
            face = self._writable(number, page=page)
            if self._load_predictor is None:
                raise ChangeRefusedError(
                    "No landmark model is at hand, so that a box gives no points."
                )
            photo = read_photo(face.path, grey=True, min_side=PICTURE_MIN_SIDE)
            corners = photo.from_original(np.reshape(np.asarray(box, dtype=np.float64), (2, 2)))
            (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
            if min(right - left, bottom - top) < 40:
                raise ChangeRefusedError("The box is too small: draw it around the whole face.")
            rectangle = FaceBox(left, top, right, bottom, 0.0, "hand").rectangle()
            found = predict_points(self._load_predictor(), photo.pixels, rectangle)
            if np.isnan(found).any():
                raise ChangeRefusedError("The model sees no face in the box: draw it anew.")
            points = photo.to_original(found)
            irises = find_irises(read_photo(face.path).pixels, points) if face.has_irises else None
            marks = marks_of(points, irises)[: None if face.has_irises else N_POINTS]
            targets = {mark: (float(x), float(y)) for mark, (x, y) in enumerate(marks)}
            return self.move(number, targets, page=page)

    def picture(self, number: int, *, thumb: bool = False) -> Picture:
        """Return a photograph as JPEG, or its face as a small one, which the browser keeps."""
        face = self.faces[number]
        if thumb:
            return face_picture(face.path, face.machine[:N_POINTS])
        return whole_picture(face.path)

    def _writable(self, number: int, *, page: str) -> Face:
        if not self.hold(page):
            raise ChangeRefusedError(
                "Another page corrects these photographs; this one only shows them."
            )
        if _stamp_of(self._table_path) != self._stamp:
            raise ChangeRefusedError(
                f"{self._table_path.name} was changed by another program since this review began: "
                "nothing is written any more; end this review and start it again."
            )
        return self.faces[number]

    def _check_places(self, face: Face, targets: Mapping[int, tuple[float, float]]) -> None:
        """Refuse marks that can be no part of this photograph."""
        picture = whole_picture(face.path)
        marks = face.marks.copy()
        marks[list(targets)] = list(targets.values())
        places = marks[[mark for mark in targets if mark < N_POINTS or np.isfinite(marks[mark, 0])]]
        if not all(picture.is_near(x, y) for x, y in places.tolist()):  # nor where NaN
            raise ChangeRefusedError("A point cannot lie that far outside the photograph.")
        if max(targets, default=0) < N_POINTS:
            return
        if not face.has_irises:
            raise ChangeRefusedError(
                "No irises were looked for in these photographs: run extract with --scale iris."
            )
        across = marks[list(EDGES)] - marks[list(CENTRES)]
        there = np.isfinite(marks[N_POINTS:]).any(axis=1).reshape(2, 2).any(axis=0)
        if not (np.hypot(*across.T)[there] >= 1).all():
            raise ChangeRefusedError("An iris needs a centre and a radius of at least 1 px.")

    def _take_up(self, rows: pd.DataFrame) -> None:
        """Make the changes of earlier reviews again, without writing them."""
        by_id = {face.image_id: face for face in self.faces}
        names = ["at", "image_id", "action", "point", "from_x", "from_y", "to_x", "to_y"]
        places = zip(*(rows[name].tolist() for name in names), strict=True)
        for (_, image_id, action), change in itertools.groupby(places, key=lambda row: row[:3]):
            face = by_id.get(image_id)
            if face is None:
                continue
            if action in MOVES:
                face.take(action, [Move(row[3], row[4:6], row[6:8]) for row in change])
            else:
                face.judged = "" if action == "measurable" else action


def _stamp_of(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file is written: its time and size."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


PICTURE_MIN_SIDE = 900  # px that the shorter side of a shown photograph keeps
THUMB_PX = 96
_KEPT = 12


@dataclass(frozen=True)
class Picture:
    """A JPEG and where it lies in the photograph: left, top, width, height in px (pixel edges)."""

    jpeg: bytes
    place: tuple[float, float, float, float]

    def is_near(self, x: float, y: float) -> bool:
        """Say whether a place is inside the photograph or at most half its size outside."""
        left, top, width, height = self.place
        return abs(x - left - width / 2) <= width and abs(y - top - height / 2) <= height


@lru_cache(maxsize=_KEPT)
def whole_picture(path: Path) -> Picture:
    """Return a whole photograph, reduced when large; the last few are kept.

    PhotoError when it cannot be read.
    """
    photo = read_photo(path, min_side=PICTURE_MIN_SIDE)
    height, width = photo.pixels.shape[:2]
    left, top = photo.to_original(np.array([-0.5, -0.5]))
    place = (float(left), float(top), float(width * photo.scale), float(height * photo.scale))
    return Picture(_jpeg(photo.pixels, quality=92), place)


def face_picture(path: Path, points: NDArray[np.float64]) -> Picture:
    """Return the face of a photograph, small; all of it where `(68, 2)` points are NaN."""
    photo = read_photo(path, min_side=2 * THUMB_PX)
    pixels = _face_part(photo, points)
    scale = THUMB_PX / max(pixels.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in pixels.shape[1::-1])
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return Picture(_jpeg(np.asarray(small, dtype=np.uint8), quality=80), (0.0, 0.0, 0.0, 0.0))


def _face_part(photo: Photo, points: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Cut the face and a fifth around it; the whole picture where there are no points."""
    if not np.isfinite(points).all():
        return photo.pixels
    inside = photo.from_original(points)
    low, high = inside.min(axis=0), inside.max(axis=0)
    margin = (high - low).max() / 5
    height, width = photo.pixels.shape[:2]
    left, top = np.clip(low - margin, 0, (width - 2, height - 2)).astype(int)
    right, bottom = np.clip(high + margin, (left + 2, top + 2), (width, height)).astype(int)
    return photo.pixels[top:bottom, left:right]


def _jpeg(rgb: NDArray[np.uint8], *, quality: int) -> bytes:
    written, content = cv2.imencode(
        ".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not written:
        raise UserError("A photograph cannot be shown: it has no pixels.")
    return content.tobytes()
