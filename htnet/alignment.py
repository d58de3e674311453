"""Faces as a network sees them: upright in a square, or warped on to one symmetric face.

Upright: rotation and midline come from the corners of the eyes, which palsy does not move; the
mouth has a say in the scale only, because a weak mouth is drawn to the healthy side, and centring
it would hide what is to be graded. Without their shape: warped within each triangle of points (as
the shape-free patch of Cootes, Edwards and Taylor 2001, doi 10.1109/34.927467), the same triangles
on both sides, so that what is left is what points cannot see: folds, furrows, texture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from htnet.network.configuration import ROI_REGIONS
from landmarks.points import MIRROR_PARTNER, N_POINTS

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

# The patient's right half of the symmetric face, in thousandths of the side of its square: adult
# proportions, rounded. Which face it is decides only where in the picture things lie.
_HALF = {
    0: (120, 340), 1: (125, 453), 2: (139, 559), 3: (161, 658), 4: (206, 775), 5: (267, 875),
    6: (333, 933), 7: (411, 966), 8: (500, 980), 17: (203, 250), 18: (256, 214), 19: (317, 204),
    20: (378, 213), 21: (430, 236), 27: (500, 333), 28: (500, 403), 29: (500, 469),
    30: (500, 534), 31: (432, 580), 32: (465, 592), 33: (500, 600), 36: (250, 353),
    37: (301, 325), 38: (359, 326), 39: (410, 360), 40: (356, 379), 41: (298, 376),
    48: (362, 728), 49: (410, 696), 50: (463, 676), 51: (500, 683), 57: (500, 787),
    58: (458, 782), 59: (407, 763), 60: (378, 728), 61: (455, 720), 62: (500, 722), 66: (500, 730),
    67: (455, 728),
}  # fmt: skip
# Three points of the forehead's edge and its middle, which no landmark marks: where they lie in
# that square, and in each face, from the middle between the eyes in distances between the eyes.
_FOREHEAD = ((200, 100), (350, 30), (500, 15))
_FOREHEAD_OF_FACE = ((-0.92, -0.80), (-0.48, -1.08), (0.0, -1.15))
_OUTSIDE = 128  # grey of everything beyond the face
_FINER = 2  # side of the face that is warped, in sides of the result
_ZOOM = 0.75  # of that face against an aligned one, so that forehead and chin are on it


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


def shape_free_face(
    rgb: NDArray[np.uint8], points: NDArray[np.float64], *, size: int
) -> AlignedFace:
    """Warp the face with these points `(68, 2)` out of a photograph `(h, w, 3)`, at `size` px.

    The result's points are those of the symmetric face, the same for everybody.
    """
    large = _FINER * size
    warp = alignment_map(points, size=large)
    warp *= _ZOOM
    middle = np.array([(large - 1) / 2, EYE_HEIGHT * large])
    eyes = np.array([middle[0], (EYE_HEIGHT + (1 - _ZOOM) / 4) * large])
    warp[:, 2] += eyes - _ZOOM * middle
    between = _ZOOM * EYE_DISTANCE * large
    half = np.array(_FOREHEAD_OF_FACE)
    forehead = eyes + between * np.concatenate([half, half[:2] * (-1, 1)])
    known = np.concatenate([points @ warp[:, :2].T + warp[:, 2], forehead])
    corners, shares = _triangles(size)
    at = np.einsum("hwc,hwcx->hwx", shares, known[corners]).astype(np.float32)
    pixels = cv2.remap(
        warped(rgb, warp, size=large), at[..., 0], at[..., 1],
        cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    pixels[shares.sum(axis=-1) == 0] = _OUTSIDE
    return AlignedFace(np.asarray(pixels, np.uint8), _symmetric_face(size)[:N_POINTS])


def _symmetric_face(size: int) -> NDArray[np.float64]:
    """Return `(73, 2)` px: the 68 points, then the forehead's right, middle and left."""
    points = np.zeros((N_POINTS + 5, 2))
    for point, (x, y) in _HALF.items():
        points[point] = x, y
        points[MIRROR_PARTNER[point]] = 1000 - x, y
    points[N_POINTS:] = *_FOREHEAD, *((1000 - x, y) for x, y in _FOREHEAD[:2])
    return points * (size / 1000) - 0.5


@cache
def _triangles(size: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return, of each pixel, the three points about it and its shares in them, `(s, s, 3)`.

    Shares are all 0 outside the face. The left half is the mirror image of the right one, so that
    both have the same triangles.
    """
    points = _symmetric_face(size)
    partners = np.array([*MIRROR_PARTNER, N_POINTS + 3, N_POINTS + 4, N_POINTS + 2, *range(68, 70)])
    right = np.array([*_HALF, *range(N_POINTS, N_POINTS + 3)])
    mesh = Delaunay(points[right])
    y, x = np.mgrid[:size, : (size + 1) // 2]
    pixels = np.stack([x, y], axis=-1).astype(float)
    triangle = mesh.find_simplex(pixels)
    slant = mesh.transform[triangle]
    two = np.einsum("hwij,hwj->hwi", slant[..., :2, :], pixels - slant[..., 2, :])
    shares = np.concatenate([two, 1 - two.sum(axis=-1, keepdims=True)], axis=-1)
    shares[triangle < 0] = 0
    corners = right[mesh.simplices[triangle]]
    left = slice(None, size // 2)
    return (
        np.concatenate([corners, partners[corners[:, left]][:, ::-1]], axis=1),
        np.concatenate([shares, shares[:, left][:, ::-1]], axis=1),
    )
