"""Bring a face upright into a square, with the facial midline in its middle.

Rotation and midline come from the corners of the eyes, which palsy does not move; the mouth has a
say in the scale only, because a weak mouth is drawn to the healthy side, and centring it would
hide what is to be graded.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from htnet.network.configuration import ROI_REGIONS

EYE_DISTANCE = 0.40  # between the eyes' centres, as a share of the side of the square
EYE_HEIGHT = 0.38  # of the eyes below the upper edge, as a share of the side
MOUTH_PER_EYE_DISTANCE = 1.07  # usual distance of the mouth below the eyes, in eye distances
MASK_SIDE = 32  # px of the region masks, which are needed only as fine as the network's patches

_RIGHT_EYE, _LEFT_EYE = (36, 39), (42, 45)
_MOUTH = slice(48, 68)
_REGION_POINTS: dict[str, tuple[int, ...]] = {
    "forehead": tuple(range(17, 27)),
    "right_eye": tuple(range(36, 42)),
    "left_eye": tuple(range(42, 48)),
    "nose": tuple(range(27, 36)),
    "mouth": tuple(range(48, 60)),
}
_MARGIN = {"forehead": 0.10, "right_eye": 0.16, "left_eye": 0.16, "nose": 0.10, "mouth": 0.14}
_FOREHEAD_HEIGHT = 0.55  # above the brows, in eye distances


@dataclass(frozen=True)
class AlignedFace:
    """A face in its square: `pixels` `(size, size, 3)` RGB, `points` `(68, 2)` px of them.

    The midline is at x = (size - 1) / 2; beyond the photograph its edge is repeated.
    """

    pixels: NDArray[np.uint8]
    points: NDArray[np.float64]


def alignment_map(points: NDArray[np.float64], *, size: int) -> NDArray[np.float64]:
    """Return the `(2, 3)` similarity from px of the photograph to px of a square of `size` px.

    `points` are `(68, 2)` px of the photograph.
    """
    right, left = points[list(_RIGHT_EYE)].mean(axis=0), points[list(_LEFT_EYE)].mean(axis=0)
    across = left - right
    between = float(np.hypot(*across))
    level = across / between
    down = np.array([-level[1], level[0]])
    middle = (right + left) / 2
    mouth_below = float((points[_MOUTH].mean(axis=0) - middle) @ down)
    # Turning the head shortens one of the two distances; their geometric mean changes least.
    face = np.sqrt(between * max(mouth_below, 0.5 * between) / MOUTH_PER_EYE_DISTANCE)
    scale = EYE_DISTANCE * size / face
    linear = scale * np.stack([level, down])
    target = np.array([(size - 1) / 2, EYE_HEIGHT * size])
    return np.column_stack([linear, target - linear @ middle])


def align_face(rgb: NDArray[np.uint8], points: NDArray[np.float64], *, size: int) -> AlignedFace:
    """Cut the face with these points `(68, 2)` out of a photograph `(h, w, 3)`, at `size` px."""
    warp = alignment_map(points, size=size)
    return AlignedFace(
        pixels=warped(rgb, warp, size=size), points=points @ warp[:, :2].T + warp[:, 2]
    )


def cut_square(
    rgb: NDArray[np.uint8], *, centre: NDArray[np.float64], side: float, size: int
) -> NDArray[np.uint8]:
    """Cut an upright square of `side` px about `centre` and bring it to `size` px."""
    scale = size / side
    middle = (size - 1) / 2
    warp = np.array(
        [[scale, 0, middle - scale * centre[0]], [0, scale, middle - scale * centre[1]]]
    )
    return warped(rgb, warp, size=size)


def region_masks(points: NDArray[np.float64], *, size: int) -> NDArray[np.uint8]:
    """Draw where each of `ROI_REGIONS` lies in an aligned face of `size` px.

    Returns `(5, 32, 32)` uint8, 0 outside to 255 inside.
    """
    reach = EYE_DISTANCE * size
    masks = []
    for name in ROI_REGIONS:
        outline = points[list(_REGION_POINTS[name])]
        if name == "forehead":
            outline = np.concatenate([outline, outline - [0.0, _FOREHEAD_HEIGHT * reach]])
        canvas = np.zeros((size, size), dtype=np.uint8)
        hull = cv2.convexHull(np.rint(outline).astype(np.int32))
        cv2.fillConvexPoly(canvas, hull, 255)
        width = 2 * max(1, round(_MARGIN[name] * reach)) + 1
        grown = cv2.dilate(canvas, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
        masks.append(cv2.resize(grown, (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_AREA))
    return np.stack(masks).astype(np.uint8)


def warped(rgb: NDArray[np.uint8], warp: NDArray[np.float64], *, size: int) -> NDArray[np.uint8]:
    """Warp to a multiple of the size and average down, so that fine texture does not alias."""
    scale = float(np.hypot(warp[0, 0], warp[1, 0]))
    finer = max(1, min(8, int(np.ceil(1 / scale))))
    grown = warp * finer
    grown[:, 2] += (finer - 1) / 2  # centres of pixels, not corners, are at integers
    large = cv2.warpAffine(
        rgb,
        grown,
        (size * finer, size * finer),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if finer > 1:
        large = cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(large, dtype=np.uint8)
