"""One face followed through the frames of a film: detected seldom, predicted in every frame.

The points of a frame say where the face is in the next one. The box made of them lies as dlib's own
boxes lie, for the predictor was trained on those. The detector looks again every `DETECT_EVERY`
frames, and at once when the face looks unlike itself or its box jumps. A face that it does not see
is lost: such frames have no points until it is seen again. Measured by `benchmarks/films.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from common.words import counted
from landmarks.find.detector import FaceBox
from landmarks.find.finder import FaceLandmarks, Faces, LandmarkFinder

TRACKED = "tracked"
"""Stands in the column `detector` where the face was followed and not detected."""
DETECT_EVERY = 30  # frames: a second of most films
MIN_LIKENESS = 0.8  # correlation of the face with itself when it was detected last
_JUMP = 0.2  # of the box, by which its centre or size may change from one frame to the next
_STILL = 0.02  # of the box: below this it stays, or it would tremble with the whole px of points
_NEAR, _SIZE = 0.75, 2.0  # a face is the same within this many boxes, and this factor of size
_AGREE = 0.15  # of the box: detected and followed box say the same, and the followed one stays
_PATCH = 32  # px
# Box of dlib's detector by the points of jaw, brows, nose and eyes, which move less than the mouth:
# side and shift down in units of their root-mean-square distance from their mean. Median over
# simulated photographs; with it, the points of a still face stay as near to the truth as detected.
_FACE = slice(0, 48)
_SIDE, _DOWN = 2.57, 0.05


class FaceTracker:
    """Follows one face: the largest, or the one `near` a given box.

    The points of each frame are those of the finder's method. `faces`: with several faces in a
    frame follow the `largest`, or refuse such frames (`error`).
    """

    def __init__(
        self, finder: LandmarkFinder, *, faces: Faces = "largest", near: FaceBox | None = None
    ) -> None:
        self._finder, self._faces = finder, faces
        self._box = near
        self._known: NDArray[np.float64] | None = None  # the face when detected; None: searching
        self._frames = -1  # since it was detected, or since the search began

    def follow(self, rgb: NDArray[np.uint8]) -> FaceLandmarks:
        """Find the points in the next frame, `(h, w, 3)` RGB uint8.

        `n_faces` is None where the face was followed and nobody counted; its box is then that in
        which the points were predicted.
        """
        self._frames += 1
        box = self._box
        if (
            box is not None
            and self._known is not None
            and self._frames < DETECT_EVERY
            and _likeness(_patch(rgb, box), self._known) >= MIN_LIKENESS
        ):
            found = self._finder.points_in(rgb, box)
            following = next_box(found, box)
            if _distance(following, box) < _JUMP:
                self._box = following
                return found
        return self._detect(rgb)

    def _detect(self, rgb: NDArray[np.uint8]) -> FaceLandmarks:
        searching = self._known is None
        # While nobody is there, the long search (full size, then the CNN) is done once a second.
        faces = self._finder.faces(rgb, quick=searching and self._frames % DETECT_EVERY != 0)
        if len(faces) > 1 and self._faces == "error":
            return FaceLandmarks(
                status="several_faces",
                reason=f"{len(faces)} faces were found: crop the film to the patient or use "
                "--faces largest.",
                n_faces=len(faces),
            )
        face = self._the_same(faces, given_up=searching and self._frames >= DETECT_EVERY)
        if face is None:
            self._frames = self._frames if searching else 0
            self._known = None
            return FaceLandmarks(status="no_face", reason=_reason(faces), n_faces=len(faces))
        if self._box is not None and _distance(face, self._box) < _AGREE:
            face = replace(self._box, score=face.score, detector=face.detector)
        found = replace(self._finder.points_in(rgb, face), n_faces=len(faces))
        self._box = next_box(found, face)
        self._known, self._frames = _patch(rgb, self._box), 0
        return found

    def _the_same(self, faces: Sequence[FaceBox], *, given_up: bool) -> FaceBox | None:
        """Return the face that is followed; after a second without it, the largest there is."""
        if self._box is None or given_up:
            return faces[0] if faces else None
        last = self._box

        def distance(face: FaceBox) -> float:
            return float(np.hypot(*(face.centre - last.centre))) / last.side

        near = [
            face
            for face in faces
            if distance(face) < _NEAR and 1 / _SIZE < face.side / last.side < _SIZE
        ]
        return min(near, key=distance, default=None)


def next_box(found: FaceLandmarks, box: FaceBox) -> FaceBox:
    """Return the box for the next frame: `box` itself as long as the face is still in it."""
    if found.status != "ok":
        return replace(box, score=float("nan"), detector=TRACKED)
    points = found.points[_FACE]
    middle = points.mean(axis=0)
    radius = float(np.sqrt(((points - middle) ** 2).sum(axis=1).mean()))
    half = (_SIDE * radius - 1) / 2
    x, y = middle[0], middle[1] + _DOWN * radius
    moved = FaceBox(x - half, y - half, x + half, y + half, float("nan"), TRACKED)
    if _distance(moved, box) < _STILL:
        return replace(box, score=float("nan"), detector=TRACKED)
    return moved


def _distance(box: FaceBox, other: FaceBox) -> float:
    """Largest difference in place or size, in sides of `other`."""
    apart = float(np.abs(box.centre - other.centre).max())
    return max(apart, abs(box.side - other.side)) / other.side


def _patch(rgb: NDArray[np.uint8], box: FaceBox) -> NDArray[np.float64]:
    """Return the face as `(32, 32)` grey levels; all 0 outside of the picture."""
    left, top = (max(0, round(edge)) for edge in (box.left, box.top))
    cut = rgb[top : max(0, round(box.bottom) + 1), left : max(0, round(box.right) + 1)]
    if min(cut.shape[:2]) < 2:
        return np.zeros((_PATCH, _PATCH))
    small = cv2.resize(cut, (_PATCH, _PATCH), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.float64)


def _likeness(patch: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Correlation of two pictures: light and contrast do not matter; 0 where one is even."""
    first, second = patch - patch.mean(), other - other.mean()
    power = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / power if power else 0.0


def _reason(faces: Sequence[FaceBox]) -> str:
    if faces:
        return (
            f"The face that was followed is not seen; {counted(len(faces), 'face')} elsewhere in "
            "the frame not taken for it."
        )
    return "No face was found in this frame: it has no values."
