"""Faces in a photograph: dlib's HOG detector small, then at full size, then a CNN as last resort.

All boxes are in px of the image that was given, pixel centres at integers, first and last pixel
included, as dlib draws them: the predictor was trained on such boxes and expects them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from landmarks.predictor import CNN_DETECTOR

SMALL_WIDTH = 200  # px, unless told otherwise; finds a face of 40 px, a fifth of the width
CNN_PIXELS = 150_000  # the CNN sees at most this many: its memory grows by 1 kB with each
CNN_THRESHOLD = 0.0
_CNN_MIN_SIDE = 40  # px; it sees no face below 70, and dlib fails or crashes on a few px
_REFINED_FACE = 150  # px of a face found by the CNN, when HOG looks at it again
_REFINE_THRESHOLD = -0.5  # HOG is less strict where the CNN has seen a face
# Mean place of the HOG box relative to the CNN box of one face (width ratio, shift down in widths),
# over 20 photographs of `sim_meei`; used where HOG cannot see the face at all.
_HOG_PER_CNN_WIDTH, _HOG_BELOW_CNN = 1.09, 0.08


@dataclass(frozen=True)
class FaceBox:
    """A face found: its box in px (first and last pixel included), score, and who found it.

    `score` is the detector's own confidence, comparable within one detector only.
    """

    left: float
    top: float
    right: float
    bottom: float
    score: float
    detector: str

    @property
    def area(self) -> float:
        """Area in px²."""
        return (self.right - self.left + 1) * (self.bottom - self.top + 1)

    @property
    def side(self) -> float:
        """Mean of width and height in px."""
        return (self.right - self.left + self.bottom - self.top) / 2 + 1

    @property
    def centre(self) -> NDArray[np.float64]:
        """x and y of its middle in px."""
        return np.array([(self.left + self.right) / 2, (self.top + self.bottom) / 2])

    def rectangle(self) -> dlib.rectangle:
        """Nearest box on whole pixels, for dlib's predictor."""
        corners = (self.left, self.top, self.right, self.bottom)
        return dlib.rectangle(*(round(value) for value in corners))

    def scaled(self, scale_x: float, scale_y: float) -> FaceBox:
        """Box of the same face in an image that is larger by the two factors."""
        return replace(
            self,
            left=self.left * scale_x,
            top=self.top * scale_y,
            right=(self.right + 1) * scale_x - 1,
            bottom=(self.bottom + 1) * scale_y - 1,
        )

    def shifted(self, dx: float, dy: float) -> FaceBox:
        """Box of the same face in an image whose origin lies (dx, dy) px further up left."""
        return replace(
            self,
            left=self.left + dx,
            top=self.top + dy,
            right=self.right + dx,
            bottom=self.bottom + dy,
        )


_unpacked = threading.local()


def frontal_detector() -> dlib.fhog_object_detector:
    """Return this thread's HOG detector: unpacking takes long, and threads must not share one."""
    if not hasattr(_unpacked, "hog"):
        _unpacked.hog = dlib.get_frontal_face_detector()
    return _unpacked.hog


class FaceDetector:
    """The cascade of detectors; keep one per process, the CNN is loaded when first needed.

    `small_width`: px to which a photograph is reduced for the first search.
    """

    def __init__(self, *, small_width: int = SMALL_WIDTH) -> None:
        self._small_width = small_width
        self._hog = frontal_detector()
        self._cnn: dlib.cnn_face_detection_model_v1 | None = None

    def find(
        self,
        grey: NDArray[np.uint8],
        *,
        colour: Callable[[], NDArray[np.uint8]] | None = None,
        quick: bool = False,
    ) -> list[FaceBox]:
        """Return the faces of the first stage that finds any, largest first.

        `grey`: `(h, w)` uint8, or `(h, w, 3)` RGB, in which HOG takes the strongest channel.
        `colour`: gives the same image as `(h, w, 3)` RGB uint8, called only when both HOG stages
        found nothing. Without it the CNN is not tried.
        `quick`: search the reduced picture alone.
        """
        faces = self._hog_small(grey)
        if quick:
            return sorted(faces, key=lambda face: -face.area)
        faces = faces or self._run_hog(grey, 0, "hog_full")
        if not faces and colour is not None:
            faces = self._cnn_then_hog(colour(), grey)
        return sorted(faces, key=lambda face: -face.area)

    def _hog_small(self, grey: NDArray[np.uint8]) -> list[FaceBox]:
        h, w = grey.shape[:2]
        if w <= self._small_width:
            return self._run_hog(grey, 1, "hog_200")
        size = (self._small_width, max(1, round(h * self._small_width / w)))
        small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        faces = self._run_hog(small, 1, "hog_200")
        return [face.scaled(w / size[0], h / size[1]) for face in faces]

    def _cnn_then_hog(self, rgb: NDArray[np.uint8], grey: NDArray[np.uint8]) -> list[FaceBox]:
        h, w = rgb.shape[:2]
        shrink = min(1.0, (CNN_PIXELS / (h * w)) ** 0.5)
        size = (round(w * shrink), round(h * shrink))
        if min(size) < _CNN_MIN_SIDE:
            return []
        if self._cnn is None:
            self._cnn = dlib.cnn_face_detection_model_v1(str(CNN_DETECTOR.path))
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) if shrink < 1 else rgb
        boxes = [
            _face_box(hit.rect, score=hit.confidence, detector="cnn")
            for hit in self._cnn(np.ascontiguousarray(small), 0)
            if hit.confidence > CNN_THRESHOLD
        ]
        return [self._as_hog_box(box.scaled(w / size[0], h / size[1]), grey) for box in boxes]

    def _as_hog_box(self, face: FaceBox, grey: NDArray[np.uint8]) -> FaceBox:
        """Let HOG draw its own box around a face of the CNN; estimate it where HOG sees none."""
        width = face.right - face.left + 1
        left, top = max(0, round(face.left - width / 2)), max(0, round(face.top - width / 2))
        crop = grey[
            top : round(face.bottom + width / 2) + 1, left : round(face.right + width / 2) + 1
        ]
        scale = _REFINED_FACE / width
        size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
        small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
        rectangles, _, _ = self._hog.run(small, 0, _REFINE_THRESHOLD)
        boxes = [_face_box(r, score=face.score, detector="cnn") for r in rectangles]
        if boxes:
            largest = max(boxes, key=lambda box: box.area)
            scaled = largest.scaled(crop.shape[1] / size[0], crop.shape[0] / size[1])
            return scaled.shifted(left, top)
        centre_x = (face.left + face.right) / 2
        centre_y = (face.top + face.bottom) / 2 + _HOG_BELOW_CNN * width
        half = (_HOG_PER_CNN_WIDTH * width - 1) / 2
        return replace(
            face,
            left=centre_x - half,
            top=centre_y - half,
            right=centre_x + half,
            bottom=centre_y + half,
        )

    def _run_hog(self, grey: NDArray[np.uint8], upsample: int, detector: str) -> list[FaceBox]:
        rectangles, scores, _ = self._hog.run(np.ascontiguousarray(grey), upsample, 0.0)
        return [
            _face_box(rectangle, score=score, detector=detector)
            for rectangle, score in zip(rectangles, scores, strict=True)
        ]


def _face_box(rectangle: dlib.rectangle, *, score: float, detector: str) -> FaceBox:
    return FaceBox(
        left=rectangle.left(),
        top=rectangle.top(),
        right=rectangle.right(),
        bottom=rectangle.bottom(),
        score=float(score),
        detector=detector,
    )
