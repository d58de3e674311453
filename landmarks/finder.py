"""One photograph to one row: read, find the face, place the 68 points, judge the result."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import PhotoError
from common.photos import Photo, read_photo
from landmarks.detector import FaceBox, FaceDetector
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
    """

    status: str
    reason: str = ""
    n_faces: int | None = None
    box: FaceBox | None = None
    points: NDArray[np.float64] = field(default_factory=_no_points)
    sha256: str = ""

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
    """

    def __init__(self, predictor: PredictorFile, *, faces: Faces = "largest") -> None:
        cv2.setNumThreads(1)
        self._predictor = predictor.load()
        self._detector = FaceDetector()
        self._faces = faces

    def find_file(self, path: Path) -> FaceLandmarks:
        """Find the points in the photograph at `path`; trouble becomes a status and a reason."""
        try:
            photo = read_photo(path, grey=True, min_side=DETECTION_MIN_SIDE)
        except PhotoError as error:
            return FaceLandmarks(status="unreadable", reason=str(error))

        def colour() -> NDArray[np.uint8]:
            return read_photo(path, min_side=DETECTION_MIN_SIDE).pixels

        return self._find(photo, self._detector.find(photo.pixels, colour=colour))

    def find(self, rgb: NDArray[np.uint8]) -> FaceLandmarks:
        """Find the points in an `(h, w, 3)` RGB uint8 array, at its own size."""
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        photo = Photo(pixels=grey, width=rgb.shape[1], height=rgb.shape[0], sha256="")
        return self._find(photo, self._detector.find(grey, colour=lambda: rgb))

    def _find(self, photo: Photo, faces: list[FaceBox]) -> FaceLandmarks:
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
        face = faces[0]
        shape = self._predictor(photo.pixels, face.rectangle())
        points = np.array([(part.x, part.y) for part in shape.parts()], dtype=np.float64)
        return FaceLandmarks(
            status="ok",
            n_faces=len(faces),
            box=face.scaled(photo.scale, photo.scale).shifted(*photo.offset),
            points=photo.to_original(points),
            sha256=photo.sha256,
        )
