"""One photograph to one row: read, find the face, place the 68 points, judge the result."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import PhotoError
from common.photos import Photo, read_photo
from landmarks.find.detector import FaceBox, FaceDetector
from landmarks.find.iris import Irises
from landmarks.find.method import Method
from landmarks.find.tta import CopyPredictor, centre_of, spread_of
from landmarks.points import N_POINTS, tilt_degrees
from landmarks.predictor import PredictorFile

DETECTION_MIN_SIDE = 600
"""Photographs are decoded by 1/2, 1/4 or 1/8 as long as the shorter side keeps this many px."""

Faces = Literal["largest", "error"]


def _no_points() -> NDArray[np.float64]:
    return np.full((N_POINTS, 2), np.nan)


@dataclass(frozen=True)
class FaceLandmarks:
    """What was found in one photograph; px of the original photograph, upright.

    Attributes
    ----------
    status
        `ok`, `no_face`, `several_faces`, `unreadable` or `failed`.
    reason
        One sentence, empty when ok.
    n_faces
        Faces seen by the detector; None when it did not come to that.
    box
        Of the chosen face, None unless ok.
    points
        `(68, 2)` float64; NaN unless ok.
    sha256
        Of the photograph's file; empty when it could not be read.
    copies, copies_failed
        Altered copies that were made, and those in which no face was found; 0 without any.
    spread
        `(68, 2)` px: spread of each point over the copies in x and y; NaN without copies.
    irises
        None unless they were looked for.
    """

    status: str
    reason: str = ""
    n_faces: int | None = None
    box: FaceBox | None = None
    points: NDArray[np.float64] = field(default_factory=_no_points)
    sha256: str = ""
    copies: int = 0
    copies_failed: int = 0
    spread: NDArray[np.float64] = field(default_factory=_no_points)
    irises: Irises | None = None

    @property
    def tilt_deg(self) -> float:
        """Head tilt, counter-clockwise positive as seen; NaN unless ok."""
        return float(tilt_degrees(self.points))


class LandmarkFinder:
    """Finds the 68 points in photographs; load one per process (about 100 MB).

    Parameters
    ----------
    predictor
        From `find_predictor`.
    faces
        With several faces in a photograph take the `largest`, or make it an `error`
        (`status=several_faces`, no points).
    method
        Detection width, colour, altered copies, second pass; a plain prediction when None.
    copy_threads
        Copies of one photograph worked on at the same time.
    """

    def __init__(
        self,
        predictor: PredictorFile,
        *,
        faces: Faces = "largest",
        method: Method | None = None,
        copy_threads: int = 1,
    ) -> None:
        cv2.setNumThreads(1)
        self._method = method or Method()
        self._predictor = predictor.load()
        self._detector = FaceDetector(small_width=self._method.detection_width)
        self._copies = CopyPredictor(
            self._predictor, colour=self._method.colour, threads=copy_threads
        )
        self._faces = faces

    def find_file(self, path: Path) -> FaceLandmarks:
        """Find the points in the photograph at `path`; trouble becomes a status and a reason."""
        try:
            photo = read_photo(
                path, grey=not self._method.reads_colour, min_side=DETECTION_MIN_SIDE
            )
        except PhotoError as error:
            return FaceLandmarks(status="unreadable", reason=str(error))

        def colour() -> NDArray[np.uint8]:
            return read_photo(path, min_side=DETECTION_MIN_SIDE).pixels

        return self._find(photo, colour=colour)

    def find(self, rgb: NDArray[np.uint8]) -> FaceLandmarks:
        """Find the points in an `(h, w, 3)` RGB uint8 array, at its own size."""
        pixels = rgb if self._method.reads_colour else cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        photo = Photo(pixels=pixels, width=rgb.shape[1], height=rgb.shape[0], sha256="")
        return self._find(photo, colour=lambda: rgb)

    def _find(self, photo: Photo, *, colour: Callable[[], NDArray[np.uint8]]) -> FaceLandmarks:
        seen = photo.pixels
        if seen.ndim == 3 and not self._method.colour:
            seen = np.asarray(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        faces = self._detector.find(seen, colour=colour)
        if not faces:
            return FaceLandmarks(
                status="no_face",
                reason="No face was found: use a frontal photograph in which the face fills at "
                "least a tenth of the width.",
                n_faces=0,
                sha256=photo.sha256,
            )
        if len(faces) > 1 and self._faces == "error":
            return FaceLandmarks(
                status="several_faces",
                reason=f"{len(faces)} faces were found: crop the photograph to the patient or use "
                "--faces largest.",
                n_faces=len(faces),
                sha256=photo.sha256,
            )
        found = FaceLandmarks(
            status="ok",
            n_faces=len(faces),
            box=faces[0].scaled(photo.scale, photo.scale).shifted(*photo.offset),
            sha256=photo.sha256,
        )
        return self._place_points(photo, seen, faces[0], found)

    def _place_points(
        self, photo: Photo, seen: NDArray[np.uint8], face: FaceBox, found: FaceLandmarks
    ) -> FaceLandmarks:
        """Fill the points of the chosen face into `found`, by the method that was asked for."""
        parts = self._predictor(seen, face.rectangle()).parts()
        points = np.array([(part.x, part.y) for part in parts], dtype=np.float64)
        angle = -float(tilt_degrees(points)) if self._method.relevel else 0.0
        if self._method.augmentation is None:
            if self._method.relevel:
                points = self._copies.predict_level(photo.pixels, face, angle_deg=angle)
            return replace(found, points=photo.to_original(points))
        copies = self._copies.predict(
            photo.pixels,
            face,
            augmentation=self._method.augmentation,
            content=photo.sha256 or hashlib.sha256(photo.pixels.tobytes()).hexdigest(),
            angle_deg=angle,
        )
        found = replace(found, copies=copies.n_copies, copies_failed=copies.n_failed)
        if not len(copies.points):
            return replace(
                found,
                status="no_face",
                reason=f"A face was found in the photograph but in none of its {copies.n_copies} "
                "altered copies: use a frontal photograph, --tta-kind box, or --tta 0.",
                box=None,
            )
        return replace(
            found,
            points=photo.to_original(centre_of(copies, average=self._method.average)),
            spread=spread_of(copies) * photo.scale,
        )
