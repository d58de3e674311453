"""Faces without their shape: every face warped by its points on to one symmetric face.

What a point can tell is then the same in all of them, and what is left is what points cannot see:
folds and furrows, the texture of lids and lips. The warp is affine within each triangle of points
(as in Cootes, Edwards and Taylor 2001, doi 10.1109/34.927467, of whose shape-free patch it is the
use), the same triangles on both sides.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from htnet.alignment import EYE_DISTANCE, EYE_HEIGHT, AlignedFace, alignment_map, warped
from landmarks.points import MIRROR_PARTNER, N_POINTS

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
