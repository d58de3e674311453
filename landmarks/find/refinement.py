"""Points moved by what a clinic's own corrections taught: local pictures around them to a shift.

A landmark model draws palsied faces more symmetric than they are, and a clinic's photographs are
not those that it learned from. Around every point that the model found, gradients of the levelled
face are read, and a ridge regression for each region says where the points of that region belong,
in rounds: supervised descent (Xiong and De la Torre 2013, doi 10.1109/CVPR.2013.75). The face is
shown as it is and mirrored, and one regression serves both sides, so that neither is favoured.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from landmarks.find.detector import FaceBox
from landmarks.find.halves import level_map
from landmarks.find.tta import picture_in
from landmarks.points import REGIONS, map_points, mirror_points
from landmarks.refinement import SHOWN, Refinement, Round

PICTURE_PX, _EYES_PX, _EYES_DOWN = 240, 80.0, 0.38  # the levelled face, its eyes, how far down
_DIRECTIONS, _BLUR_PX, _BLUR_SIDE = 8, 2.5, 11
_MIRRORED = (_DIRECTIONS // 2 - 1 - np.arange(_DIRECTIONS)) % _DIRECTIONS  # of each, its image
_GRID_PX = (-10.0, -5.0, 0.0, 5.0, 10.0)  # where gradients are read around a point
_OFFSETS = np.stack(np.meshgrid(_GRID_PX, _GRID_PX), axis=-1).reshape(-1, 2)
_FAINT = 4.0  # grey levels per px: patches fainter than this count less


@dataclass(frozen=True)
class LevelFace:
    """A levelled face `(PICTURE_PX, PICTURE_PX)` grey, and its mirror image, as gradients."""

    seen: tuple[NDArray[np.float32], NDArray[np.float32]]

    @classmethod
    def of(cls, picture: NDArray[np.uint8]) -> LevelFace:
        """Read the gradients of a levelled picture."""
        seen = _gradients(picture)
        return cls((seen, np.ascontiguousarray(seen[_MIRRORED, :, ::-1])))

    def patches(
        self, points: NDArray[np.float64], region: str, *, mirrored: bool
    ) -> NDArray[np.float32]:
        """Return patches `(n, k, 200)` around the points of a region of `(n, 68, 2)` points."""
        shown = mirror_points(points, width=PICTURE_PX) if mirrored else points
        around = shown[:, list(SHOWN[region]), None] + _OFFSETS
        x, y = np.moveaxis(around, -1, 0).astype(np.float32).reshape(2, -1, 1)
        read = [
            cv2.remap(one, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for one in self.seen[mirrored]
        ]
        patches = np.stack(read, axis=-1).reshape(*around.shape[:2], -1)
        length = np.linalg.norm(patches, axis=-1, keepdims=True)
        return np.asarray(patches / (length + _FAINT * np.sqrt(len(_OFFSETS))), dtype=np.float32)

    def shifted(self, points: NDArray[np.float64], one: Round) -> NDArray[np.float64]:
        """Return `(n, 68, 2)` points after a round: mean of the face and of its mirror image."""
        shifts = []
        for mirrored in (False, True):
            shift = np.zeros_like(points)
            for region, regression in one.items():
                patches = self.patches(points, region, mirrored=mirrored)
                shift[:, list(SHOWN[region])] = regression.shift(patches)
            shifts.append(shift)
        return points + joined(shifts[0], shifts[1])


def joined(shift: NDArray[np.float64], of_mirrored: NDArray[np.float64]) -> NDArray[np.float64]:
    """Join shifts `(..., 68, 2)` of a face and of its mirror image; each knows `SHOWN` only."""
    back = mirror_points(of_mirrored, width=1)
    both = (shift + back) / 2
    for side, own in (("right_", shift), ("left_", back)):
        for name in REGIONS:
            if name.startswith(side):
                both[..., list(REGIONS[name]), :] = own[..., list(REGIONS[name]), :]
    return both


def refined(
    refinement: Refinement, pixels: NDArray[np.uint8], box: FaceBox, points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Move `(n, 68, 2)` points of the face in `box`, px of `pixels`, `(h, w)` or `(h, w, 3)`."""
    if not refinement.rounds:
        return points
    level = levelled(points)
    face = LevelFace.of(picture_in(pixels, box, level, side=PICTURE_PX))
    moved = map_points(points, level)
    for one in refinement.rounds:
        moved = face.shifted(moved, one)
    return map_points(moved, level, inverse=True)


def levelled(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the `(2, 3)` map that levels the face of `(n, 68, 2)` points."""
    return level_map(np.median(points, axis=0), side=PICTURE_PX, eyes=_EYES_PX, down=_EYES_DOWN)


def _gradients(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """`(8, s, s)`: slope of the grey levels in eight directions, where positive, smoothed."""
    grey = picture.astype(np.float32)
    slope = [cv2.Sobel(grey, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1))]
    angles = (np.arange(_DIRECTIONS) + 0.5) * 2 * np.pi / _DIRECTIONS
    along = [np.maximum(slope[0] * np.cos(a) + slope[1] * np.sin(a), 0) for a in angles]
    return np.stack([cv2.GaussianBlur(one, (_BLUR_SIDE, _BLUR_SIDE), _BLUR_PX) for one in along])
