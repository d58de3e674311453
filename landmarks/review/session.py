"""What a review knows: photographs, their points now, what was changed, and who may change it."""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.photos import read_photo
from landmarks.find.detector import FaceBox
from landmarks.points import LEFT_EYE_OUTER, N_POINTS, RIGHT_EYE_OUTER
from landmarks.predictor import PredictorFile
from landmarks.review.corrections import MOVES, Journal, Move, of_these_photographs
from landmarks.review.pictures import PICTURE_MIN_SIDE, Picture, face_picture, whole_picture
from landmarks.tables import SPREAD_COLUMNS, points_of

HELD_S = 10.0  # a page that says nothing for this long no longer holds the pen
_KEPT_PICTURES = 12
_WORST_POINTS = 10  # a photograph is as uncertain as this many of its least certain points


class ChangeRefusedError(Exception):
    """A change that is not made; its words are one sentence for the page."""


@dataclass
class Face:
    """One photograph under review.

    Attributes
    ----------
    image_id, path, patient
        The photograph; the patient is empty where nobody is named.
    status, reason
        Of the landmark table.
    points, machine
        `(68, 2)` px now, and as the model drew them; NaN where there are none.
    spread
        `(68, 2)` px over the altered copies, or None.
    undo, redo
        Changes that can be taken back, and those that can be made again.
    judged
        `checked`, `unmeasurable` or empty.
    """

    image_id: str
    path: Path
    patient: str
    status: str
    reason: str
    points: NDArray[np.float64]
    machine: NDArray[np.float64]
    spread: NDArray[np.float64] | None
    undo: list[list[Move]] = field(default_factory=list)
    redo: list[list[Move]] = field(default_factory=list)
    judged: str = ""

    @property
    def is_corrected(self) -> bool:
        """Whether a point lies elsewhere than the model put it."""
        return not np.array_equal(self.points, self.machine, equal_nan=True)

    @property
    def uncertainty(self) -> float:
        """Sort key, larger is worse: without points first, then the spread, in eye distances.

        The copies of test-time augmentation include mirrored ones, so that a model that treats the
        sides differently shows in the spread.
        """
        if not np.isfinite(self.machine).all():
            return np.inf
        if self.spread is None or np.isnan(self.spread).any():
            return 0.0
        across = self.machine[LEFT_EYE_OUTER] - self.machine[RIGHT_EYE_OUTER]
        worst = np.sort(np.hypot(*self.spread.T))[-_WORST_POINTS:]
        return float(worst.mean() / np.hypot(*across))


class Session:
    """A review of one landmark table; safe to use from several threads.

    Parameters
    ----------
    table
        By `LANDMARKS`: the model's points.
    table_path
        Where it lies; changes are refused once the file there is another one.
    paths
        Of the photographs, by `image_id`.
    journal
        Where changes go; those of earlier reviews are taken up again.
    spreads
        By `SPREADS`, or None.
    patients
        By `image_id`; those not named are empty.
    predictor
        For the points of a box that is drawn by hand; None cannot draw.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        *,
        table_path: Path,
        paths: dict[str, Path],
        journal: Journal,
        spreads: pd.DataFrame | None = None,
        patients: dict[str, str] | None = None,
        predictor: PredictorFile | None = None,
    ) -> None:
        self.journal = journal
        self._lock, self._picture_lock = threading.RLock(), threading.Lock()
        self._table_path, self._stamp = table_path, _stamp_of(table_path)
        self._holder, self._heard = "", -np.inf
        self._load_predictor = None if predictor is None else functools.cache(predictor.load)
        self._pictures: OrderedDict[int, Picture] = OrderedDict()
        self.faces = _faces_of(table, paths=paths, spreads=spreads, patients=patients or {})
        self._by_id = {face.image_id: face for face in self.faces}
        earlier = of_these_photographs(journal.rows, table, path=journal.path)
        for _, rows in earlier.rows.groupby("at", sort=False):
            self._take_up(rows)

    @property
    def n_corrected(self) -> int:
        """Photographs with at least one moved point."""
        return sum(face.is_corrected for face in self.faces)

    def order(self, by: str) -> list[int]:
        """Return the numbers of the photographs, `worst` first or by `patient`."""
        numbers = range(len(self.faces))
        if by == "patient":
            return sorted(numbers, key=lambda n: (self.faces[n].patient, n))
        return sorted(numbers, key=lambda n: (-self.faces[n].uncertainty, n))

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

    def move(self, number: int, targets: dict[int, tuple[float, float]], *, page: str) -> Face:
        """Move points of a photograph to `targets` (by point, px) and keep that.

        Raises
        ------
        ChangeRefusedError
            When another page holds the pen, the landmark table has changed on the disk, or a
            target lies far outside the photograph.
        """
        with self._lock:
            face = self._writable(number, page=page)
            picture = self.picture(number)
            if not all(picture.is_near(x, y) for x, y in targets.values()):
                raise ChangeRefusedError("A point cannot lie that far outside the photograph.")
            if not np.isfinite(face.points).all() and len(targets) < N_POINTS:
                raise ChangeRefusedError(
                    "This photograph has no points yet: draw a box around the face."
                )
            moves = [_move(face, point, end) for point, end in sorted(targets.items())]
            moves = [one for one in moves if one.start != one.end]
            if moves:
                self.journal.add(face.image_id, "move", moves)
                _apply(face, moves)
                face.undo.append(moves)
                face.redo.clear()
            return face

    def step(self, number: int, action: str, *, page: str) -> Face:
        """Take the last change of a photograph back (`undo`), or make it again (`redo`)."""
        with self._lock:
            face = self._writable(number, page=page)
            source, target = (face.undo, face.redo) if action == "undo" else (face.redo, face.undo)
            if source:
                moves = source[-1]
                done = [Move(m.point, m.end, m.start) for m in moves] if action == "undo" else moves
                self.journal.add(face.image_id, action, done)
                source.pop()
                _apply(face, done)
                target.append(moves)
            return face

    def judge(self, number: int, verdict: str, *, reason: str = "", page: str) -> Face:
        """Call a photograph `checked`, `unmeasurable` (with a reason) or `measurable` again."""
        with self._lock:
            face = self._writable(number, page=page)
            self.journal.add(face.image_id, verdict, reason=reason)
            face.judged = "" if verdict == "measurable" else verdict
            return face

    def predict(self, number: int, box: Sequence[float], *, page: str) -> Face:
        """Place all points in a box drawn by hand: left, top, right, bottom in px."""
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
            parts = self._load_predictor()(photo.pixels, rectangle).parts()
            points = photo.to_original(np.array([(part.x, part.y) for part in parts], dtype=float))
            return self.move(number, {k: (x, y) for k, (x, y) in enumerate(points)}, page=page)

    def picture(self, number: int, *, thumb: bool = False) -> Picture:
        """Return a photograph as JPEG, or its face as a small one; the last few are kept."""
        face = self.faces[number]
        if thumb:  # the browser keeps those
            return face_picture(face.path, face.machine)
        with self._picture_lock:
            if number not in self._pictures:
                self._pictures[number] = whole_picture(face.path)
                while len(self._pictures) > _KEPT_PICTURES:
                    self._pictures.popitem(last=False)
            self._pictures.move_to_end(number)
            return self._pictures[number]

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

    def _take_up(self, rows: pd.DataFrame) -> None:
        """Do one change of an earlier review again, without writing it."""
        face = self._by_id.get(str(rows["image_id"].iat[0]))
        if face is None:
            return
        action = str(rows["action"].iat[0])
        if action not in MOVES:
            face.judged = "" if action == "measurable" else action
            return
        places = rows[["from_x", "from_y", "to_x", "to_y"]].to_numpy(dtype=np.float64).tolist()
        moves = [
            Move(int(point), (place[0], place[1]), (place[2], place[3]))
            for point, place in zip(rows["point"].tolist(), places, strict=True)
        ]
        _apply(face, moves)
        if action == "undo" and face.undo:
            face.redo.append(face.undo.pop())
        elif action == "redo" and face.redo:
            face.undo.append(face.redo.pop())
        elif action == "move":
            face.undo.append(moves)
            face.redo.clear()


def _faces_of(
    table: pd.DataFrame,
    *,
    paths: dict[str, Path],
    spreads: pd.DataFrame | None,
    patients: dict[str, str],
) -> list[Face]:
    of_copies: dict[str, NDArray[np.float64]] = {}
    if spreads is not None:
        values = spreads[list(SPREAD_COLUMNS)].to_numpy(dtype=np.float64).reshape(-1, N_POINTS, 2)
        of_copies = dict(zip(spreads["image_id"], values, strict=True))
    reasons = table["reason"] if "reason" in table else pd.Series(None, index=table.index)
    return [
        Face(
            image_id=image_id,
            path=paths[image_id],
            patient=patients.get(image_id, ""),
            status=status,
            reason="" if pd.isna(reason) else str(reason),
            points=points.copy(),
            machine=points,
            spread=of_copies.get(image_id),
        )
        for image_id, status, reason, points in zip(
            table["image_id"], table["status"], reasons, points_of(table), strict=True
        )
    ]


def _move(face: Face, point: int, end: tuple[float, float]) -> Move:
    x, y = face.points[point]
    return Move(point, (float(x), float(y)), (float(end[0]), float(end[1])))


def _apply(face: Face, moves: Sequence[Move]) -> None:
    for move in moves:
        face.points[move.point] = move.end


def _stamp_of(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file is written: its time and size."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
