"""Photographs as the page in the browser shows them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.photos import Photo, read_photo

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
