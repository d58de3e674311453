"""Test-time augmentation: the 68 points as the median over altered copies of one face.

The spread of the copies says how well each point repeats, which dlib does not tell. It is a lower
bound of the error and no stand-in for it: on the simulated cohorts the mean error is three times
the mean spread (`evaluate-landmarks`, spreads.csv beside landmark_errors.csv).

Copies are made from a crop around the face; in each, the face is detected and predicted anew, or,
for the kind `box`, predicted in a moved box. A copy in which no face is found is counted and left
out.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from landmarks.find.augmentation import Augmentation, Copy, swap_sides
from landmarks.find.detector import FaceBox
from landmarks.find.face_crop import (
    DETECTION_SHRINK,
    FACE_PX,
    FaceCrop,
    TurnedCrop,
    crop_size,
    cut_face,
)
from landmarks.points import N_POINTS

Average = Literal["median", "trimmed_mean"]
TRIM = 0.2  # share of copies that the trimmed mean leaves out at either end
MAD_TO_SD = 1.4826  # makes a median absolute deviation the standard deviation of a normal


@dataclass(frozen=True)
class Copies:
    """The points of all copies of one face in which it was found.

    Attributes
    ----------
    points
        `(n_found, 68, 2)` px of the pixels that the crop was cut from.
    n_copies
        Copies made; `n_copies - n_found` of them failed.
    """

    points: NDArray[np.float64]
    n_copies: int

    @property
    def n_failed(self) -> int:
        """Copies in which no face was found."""
        return self.n_copies - len(self.points)


class CopyPredictor:
    """Predicts the points of one face in crops of it; keep one per process.

    Parameters
    ----------
    predictor
        A loaded dlib shape predictor.
    colour
        Detect and predict on RGB crops as they are; otherwise they are made grey first.
    threads
        Copies worked on at the same time; dlib's detector lets other threads run meanwhile.
    """

    def __init__(
        self, predictor: dlib.shape_predictor, *, colour: bool = False, threads: int = 1
    ) -> None:
        self._predictor = predictor
        self._colour = colour
        self._detectors = [dlib.get_frontal_face_detector() for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def predict(
        self,
        pixels: NDArray[np.uint8],
        box: FaceBox,
        *,
        augmentation: Augmentation,
        content: str,
        angle_deg: float = 0.0,
    ) -> Copies:
        """Predict every copy.

        Parameters
        ----------
        pixels
            `(h, w)` grey or `(h, w, 3)` RGB uint8.
        box
            Of the face, in px of `pixels`.
        augmentation
            How many copies and of which kind.
        content
            SHA-256 of the photograph, from which the copies are drawn.
        angle_deg
            Turn that comes before those of the copies, to level a tilted head.
        """
        crop = cut_face(pixels, box)
        copies = [augmentation.copy(i, content=content) for i in range(augmentation.copies)]
        threads = len(self._detectors)

        def work(share: int) -> list[NDArray[np.float64] | None]:
            found = []
            for copy in copies[share::threads]:
                turned, altered = self._altered(crop, copy, angle_deg=angle_deg)
                known = None if augmentation.detects else _moved_box(copy)
                face = known or _detect(self._detectors[share], altered)
                found.append(self._points(turned, altered, face, copy=copy) if face else None)
            return found

        shares = self._pool.map(work, range(threads)) if self._pool else map(work, (0,))
        found: list[NDArray[np.float64] | None] = [None] * len(copies)
        for share, points in enumerate(shares):
            found[share::threads] = points
        kept = [points for points in found if points is not None]
        return Copies(
            points=np.stack(kept) if kept else np.empty((0, N_POINTS, 2)), n_copies=len(copies)
        )

    def predict_level(
        self, pixels: NDArray[np.uint8], box: FaceBox, *, angle_deg: float
    ) -> NDArray[np.float64]:
        """Turn the picture by `angle_deg`, detect and predict again, map back: `(68, 2)`.

        Where the detector does not see the turned face, the known box is used.
        """
        turned, altered = self._altered(cut_face(pixels, box), Copy(), angle_deg=angle_deg)
        face = _detect(self._detectors[0], altered) or _moved_box(Copy())
        return self._points(turned, altered, face, copy=Copy())

    def _altered(
        self, crop: FaceCrop, copy: Copy, *, angle_deg: float
    ) -> tuple[TurnedCrop, NDArray[np.uint8]]:
        turned = crop.turned(angle_deg + copy.angle_deg, mirrored=copy.mirrored)
        altered = copy.alter(turned.pixels)
        if altered.ndim == 3 and not self._colour:
            altered = np.asarray(cv2.cvtColor(altered, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        return turned, altered

    def _points(
        self, turned: TurnedCrop, altered: NDArray[np.uint8], face: dlib.rectangle, *, copy: Copy
    ) -> NDArray[np.float64]:
        """Points of one copy in px of the photograph's pixels."""
        parts = self._predictor(altered, face).parts()
        points = turned.to_photo(np.array([(part.x, part.y) for part in parts], dtype=np.float64))
        return swap_sides(points) if copy.mirrored else points


def centre_of(copies: Copies, *, average: Average = "median") -> NDArray[np.float64]:
    """Return the per-point median or trimmed mean over the copies, `(68, 2)`; NaN without any."""
    if not len(copies.points):
        return np.full((N_POINTS, 2), np.nan)
    if average == "median":
        return np.asarray(np.median(copies.points, axis=0))
    out = int(TRIM * len(copies.points))
    middle = np.sort(copies.points, axis=0)[out : len(copies.points) - out]
    return np.asarray(middle.mean(axis=0))


def spread_of(copies: Copies) -> NDArray[np.float64]:
    """Return the spread of each point over the copies in x and y, `(68, 2)` px.

    Median absolute deviation times 1.4826: the standard deviation, were the copies normal. NaN
    with fewer than three copies, which show no spread.
    """
    if len(copies.points) < 3:
        return np.full((N_POINTS, 2), np.nan)
    off = np.abs(copies.points - np.median(copies.points, axis=0))
    return np.asarray(MAD_TO_SD * np.median(off, axis=0))


def overall_spread(spread: NDArray[np.float64]) -> float:
    """Return the mean over points of the spread's length, `spread_px` of the landmark table."""
    return float(np.hypot(spread[:, 0], spread[:, 1]).mean())


def _detect(
    detector: dlib.fhog_object_detector, pixels: NDArray[np.uint8]
) -> dlib.rectangle | None:
    """Face nearest to the crop's centre, where the face was, as a box in px of the crop."""
    small = cv2.resize(
        pixels, None, fx=1 / DETECTION_SHRINK, fy=1 / DETECTION_SHRINK,
        interpolation=cv2.INTER_AREA,
    )  # fmt: skip
    rectangles, _, _ = detector.run(small, 0, 0.0)
    middle = (small.shape[0] - 1) / 2

    def distance(box: dlib.rectangle) -> float:
        return float(np.hypot(box.center().x - middle, box.center().y - middle))

    near: Iterable[dlib.rectangle] = (
        box for box in rectangles if distance(box) < FACE_PX / DETECTION_SHRINK / 2
    )
    best = min(near, key=distance, default=None)
    if best is None:
        return None
    last = DETECTION_SHRINK - 1  # boxes hold their first and their last pixel
    return dlib.rectangle(
        best.left() * DETECTION_SHRINK,
        best.top() * DETECTION_SHRINK,
        best.right() * DETECTION_SHRINK + last,
        best.bottom() * DETECTION_SHRINK + last,
    )


def _moved_box(copy: Copy) -> dlib.rectangle:
    """Detection box of the crop, moved and sized as the copy was drawn."""
    centre = (crop_size() - 1) / 2 + np.asarray(copy.box_shift) * FACE_PX * [
        -1.0 if copy.mirrored else 1.0, 1.0
    ]  # fmt: skip
    half = (FACE_PX * copy.box_scale - 1) / 2
    return dlib.rectangle(
        round(centre[0] - half), round(centre[1] - half),
        round(centre[0] + half), round(centre[1] + half),
    )  # fmt: skip
