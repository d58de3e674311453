"""A crop around one face at a fixed size: what augmented copies and the second pass work on.

Work on a crop costs the same for a phone's photograph of 12 megapixels as for one of 0.5. The
predictor answers in whole pixels, so the size of the face in the crop sets how fine its points are.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from landmarks.find.augmentation import compose, map_points, turn_about
from landmarks.find.detector import FaceBox

FACE_PX = 240  # width of the detection box in a crop
MARGIN = 0.4  # of the box, on each side: what HOG needs around a face
DETECTION_SHRINK = 2  # HOG looks at crops reduced by this: a box of 120 px is half as much again
#                       as the 80 px that it can find
_SLACK = 1.35  # the cut-out is larger than the crop, so that turning it brings in no empty corner


@dataclass(frozen=True)
class FaceCrop:
    """A square cut-out around a face, larger than the crops made from it.

    Attributes
    ----------
    pixels
        `(s, s)` grey or `(s, s, 3)` RGB uint8; beyond the photograph its edge is repeated.
    to_cut
        `(2, 3)` affine map from px of the photograph's pixels to px of the cut-out.
    """

    pixels: NDArray[np.uint8]
    to_cut: NDArray[np.float64]

    def turned(self, angle_deg: float, *, mirrored: bool = False) -> TurnedCrop:
        """Return the crop with the picture turned about the face by degrees, perhaps mirrored."""
        size = crop_size()
        cut_centre = (self.pixels.shape[0] - 1) / 2
        turn = turn_about((cut_centre, cut_centre), angle_deg=angle_deg, mirrored=mirrored)
        turn[:, 2] -= cut_centre - (size - 1) / 2
        pixels = cv2.warpAffine(
            self.pixels, turn, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return TurnedCrop(np.asarray(pixels, dtype=np.uint8), compose(turn, self.to_cut))


@dataclass(frozen=True)
class TurnedCrop:
    """The crop itself: `(size, size)` or `(size, size, 3)` uint8, and the map that led there."""

    pixels: NDArray[np.uint8]
    to_crop: NDArray[np.float64]

    def to_photo(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map `(..., 2)` px of the crop to px of the photograph's pixels, exactly."""
        return map_points(points, self.to_crop, inverse=True)


def crop_size() -> int:
    """Return the side of a crop in px; a multiple of `DETECTION_SHRINK`."""
    half = round(FACE_PX * (0.5 + MARGIN) / DETECTION_SHRINK) * DETECTION_SHRINK
    return 2 * half


def cut_face(pixels: NDArray[np.uint8], box: FaceBox) -> FaceCrop:
    """Cut the face in `box` out of `(h, w)` or `(h, w, 3)` uint8 and bring it to `FACE_PX`."""
    scale = FACE_PX / (box.right - box.left + 1)
    side = round(crop_size() * _SLACK)
    centre = np.array([(box.left + box.right) / 2, (box.top + box.bottom) / 2])
    pixels, reduced = _reduced_around(pixels, centre, half=side / scale / 2, scale=scale)
    to_cut = np.column_stack([np.eye(2) * scale, (side - 1) / 2 - scale * centre])
    # The reduced part is itself mapped exactly: its px to px of `pixels` and on to the cut-out.
    warp = compose(to_cut, reduced)
    cut = cv2.warpAffine(
        pixels, warp, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return FaceCrop(np.asarray(cut, dtype=np.uint8), to_cut)


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
        part = np.asarray(
            cv2.resize(part[:rows, :columns], size, interpolation=cv2.INTER_AREA), dtype=np.uint8
        )
    else:
        factor = 1
    shift = first + (factor - 1) / 2
    return np.ascontiguousarray(part), np.column_stack([np.eye(2) * factor, shift])
