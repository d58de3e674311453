"""Test-time augmentation: the 68 points as the median over altered copies of one face.

The spread of the copies says how well each point repeats, which dlib does not tell. It is a lower
bound of the error and no stand-in for it: on the simulated cohorts the mean error is three times
the mean spread (`evaluate-landmarks`, spreads.csv beside landmark_errors.csv).

Copies are made from a crop around the face, of one size, so that they cost the same for a phone's
photograph of 12 megapixels as for one of 0.5. In each, the face is detected and predicted anew, or,
for the kind `box`, predicted in a moved box. A copy in which no face is found is counted and left
out.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from common.arrays import MAD_TO_SD
from landmarks.find.detector import FaceBox, frontal_detector
from landmarks.find.method import Augmentation, Average, Copy
from landmarks.points import N_POINTS, compose, map_points, swap_sides, turn_about
from landmarks.predictor import Model, predict_points

FACE_PX = 240  # width of the detection box in a crop; the predictor answers in whole px of it
MARGIN = 0.4  # of the box, on each side: what HOG needs around a face
DETECTION_SHRINK = 2  # HOG looks at crops reduced by this: a box of 120 px is half as much again
#                       as the 80 px that it can find
CROP_SIZE = 2 * round(FACE_PX * (0.5 + MARGIN) / DETECTION_SHRINK) * DETECTION_SHRINK
_SLACK = 1.35  # the cut-out is larger than the crop, so that turning it brings in no empty corner
_TRIM = 0.2  # share of copies that the trimmed mean leaves out at either end


@dataclass(frozen=True)
class FaceCrop:
    """A square cut-out around a face, larger than the crops made from it.

    `pixels`: `(s, s)` grey or `(s, s, 3)` RGB uint8; beyond the photograph its edge is repeated.
    `to_cut`: `(2, 3)` affine map from px of the photograph's pixels to px of the cut-out.
    """

    pixels: NDArray[np.uint8]
    to_cut: NDArray[np.float64]

    def turned(self, angle_deg: float, *, mirrored: bool = False) -> TurnedCrop:
        """Return the crop with the picture turned about the face by degrees, perhaps mirrored."""
        centre = (self.pixels.shape[0] - 1) / 2
        turn = turn_about((centre, centre), angle_deg=angle_deg, mirrored=mirrored)
        turn[:, 2] -= centre - (CROP_SIZE - 1) / 2
        return TurnedCrop(_warped(self.pixels, turn, CROP_SIZE), compose(turn, self.to_cut))


@dataclass(frozen=True)
class TurnedCrop:
    """The crop itself: `(size, size)` or `(size, size, 3)` uint8, and the map that led there."""

    pixels: NDArray[np.uint8]
    to_crop: NDArray[np.float64]

    def to_photo(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map `(..., 2)` px of the crop to px of the photograph's pixels, exactly."""
        return map_points(points, self.to_crop, inverse=True)


def cut_face(pixels: NDArray[np.uint8], box: FaceBox) -> FaceCrop:
    """Cut the face in `box` out of `(h, w)` or `(h, w, 3)` uint8 and bring it to `FACE_PX`."""
    scale = FACE_PX / (box.right - box.left + 1)
    side = round(CROP_SIZE * _SLACK)
    centre = np.array([(box.left + box.right) / 2, (box.top + box.bottom) / 2])
    part, reduced = _reduced_around(pixels, centre, half=side / scale / 2, scale=scale)
    to_cut = np.column_stack([np.eye(2) * scale, (side - 1) / 2 - scale * centre])
    # The reduced part is itself mapped exactly: its px to px of `pixels` and on to the cut-out.
    return FaceCrop(_warped(part, compose(to_cut, reduced), side), to_cut)


def picture_in(
    pixels: NDArray[np.uint8],
    box: FaceBox,
    affine: NDArray[np.float64],
    *,
    side: int,
    colour: bool = False,
) -> NDArray[np.uint8]:
    """Return the face in `box` as a square of `side` px, brought there by a `(2, 3)` map of px.

    `(side, side)` grey, or RGB if `colour`; beyond the photograph its edge is repeated.
    """
    cut = cut_face(pixels, box)
    to_cut = np.vstack([cut.to_cut, [0.0, 0.0, 1.0]])
    picture = _warped(cut.pixels, affine @ np.linalg.inv(to_cut), side)
    if picture.ndim == 3 and not colour:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return picture


def _reduced_around(
    pixels: NDArray[np.uint8], centre: NDArray[np.float64], *, half: float, scale: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the part around `centre`, averaged down by a whole factor, and its map to `pixels`.

    Interpolating a large face straight to a small one would pick single pixels out of the noise.
    """
    h, w = pixels.shape[:2]
    factor = max(1, int(1.0 / scale))
    first = np.maximum(np.floor(centre - half - factor), 0).astype(int)
    last = np.minimum(np.ceil(centre + half + factor), [w - 1, h - 1]).astype(int)
    first, last = np.minimum(first, [w - 1, h - 1]), np.maximum(last, 0)
    part = pixels[first[1] : last[1] + 1, first[0] : last[0] + 1]
    if factor > 1 and min(part.shape[:2]) >= factor:
        rows, columns = (length // factor * factor for length in part.shape[:2])
        size = (columns // factor, rows // factor)
        part = cv2.resize(part[:rows, :columns], size, interpolation=cv2.INTER_AREA)
    else:
        factor = 1
    shift = first + (factor - 1) / 2
    return np.ascontiguousarray(part), np.column_stack([np.eye(2) * factor, shift])


def _warped(pixels: NDArray[np.uint8], affine: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    warped = cv2.warpAffine(
        pixels, affine, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, dtype=np.uint8)


@dataclass(frozen=True)
class Copies:
    """The points of all copies of one face in which it was found.

    `points`: `(n_found, 68, 2)` px of the pixels that the crop was cut from; `n_copies - n_found`
    copies failed.
    """

    points: NDArray[np.float64]
    n_copies: int

    @property
    def n_failed(self) -> int:
        """Copies in which no face was found."""
        return self.n_copies - len(self.points)


class CopyPredictor:
    """Predicts the points of one face in crops of it; keep one per process.

    `predictor`: from `PredictorFile.load`. `colour`: detect and predict on RGB crops as they are;
    otherwise they are made grey first. `threads`: copies worked on at the same time; dlib's
    detector lets other threads run meanwhile.
    """

    def __init__(self, predictor: Model, *, colour: bool = False, threads: int = 1) -> None:
        self._predictor = predictor
        self._colour = colour
        others = [dlib.get_frontal_face_detector() for _ in range(1, threads)]
        self._detectors = [frontal_detector(), *others]
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

        `pixels`: `(h, w)` grey or `(h, w, 3)` RGB uint8, `box` that of the face in them. `content`:
        SHA-256 of the photograph, from which the copies are drawn. `angle_deg`: turn that comes
        before those of the copies, to level a tilted head.
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
        kept = [points for points in found if points is not None and np.isfinite(points).all()]
        return Copies(np.array(kept).reshape(-1, N_POINTS, 2), n_copies=len(copies))

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
        points = turned.to_photo(predict_points(self._predictor, altered, face))
        return swap_sides(points) if copy.mirrored else points


def centre_of(copies: Copies, *, average: Average = "median") -> NDArray[np.float64]:
    """Return the per-point median or trimmed mean over the copies, `(68, 2)`; NaN without any."""
    if not len(copies.points):
        return np.full((N_POINTS, 2), np.nan)
    if average == "median":
        return np.asarray(np.median(copies.points, axis=0))
    out = int(_TRIM * len(copies.points))
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

    best = min(rectangles, key=distance, default=None)
    if best is None or distance(best) >= FACE_PX / DETECTION_SHRINK / 2:
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
    towards = np.array([-1.0 if copy.mirrored else 1.0, 1.0])
    centre = (CROP_SIZE - 1) / 2 + np.array(copy.box_shift) * FACE_PX * towards
    half = (FACE_PX * copy.box_scale - 1) / 2
    return dlib.rectangle(*(round(float(v)) for v in (*(centre - half), *(centre + half))))
