"""Mirrored halves: the 68 points of a face, each half of which is shown as if it were the whole.

A model that has learned from healthy faces draws both halves of a face alike. So the face is
levelled, its midline is set upright, and two faces are made, each of one half and its own mirror
image: on a symmetric face a symmetric prior does no harm. Each half's own points go back by the
inverse of the one affine map. What the whole face says is less distorted by the midline and less
noisy, what the halves say is less symmetric: the asymmetry is weighted from both (`WEIGHTS`).
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

import dlib
import numpy as np
from numpy.typing import NDArray

from landmarks.find.detector import FaceBox
from landmarks.find.method import Copy
from landmarks.find.tta import picture_in
from landmarks.points import REGIONS, compose, map_points, mirror_points, side_of, turn_of
from landmarks.predictor import Model, predict_points

MIDLINE = (27, 28, 29, 30, 33, 51, 62, 66, 57, 8)  # bridge, base of the nose, lips, chin
SIDE = 640  # px of the upright picture
_EYES = 154.0  # px between the eye centres in it
_EYES_DOWN = 0.42  # where they lie, of its height

TURN_FULL, TURN_NONE = 0.12, 0.2
"""`turn_of` up to which the halves count fully, and from which on they do not: the half that is
turned away is too narrow to stand for a face. Between the two their share falls evenly."""

WEIGHTS = MappingProxyType(
    {
        "brow": ((0.0, 1.0), (1.2, 1.2)),
        "eye": ((0.0, 1.0), (1.16, 1.19)),
        "nose": ((0.4, 0.6), (0.0, 0.78)),
        "mouth": ((0.4, 0.6), (0.58, 0.47)),
        "jaw": ((0.0, 1.0), (0.0, 1.0)),
    }
)
"""Of the antisymmetric part, across and down the face: weights of the halves and of the whole.

From `python -m benchmarks.halves_weights` on palsies imposed on rendered faces, no real one. Across
they add up to 1, so that what a slightly turned head shows of asymmetry stays.
"""


def halves_of(
    predictor: Model,
    pixels: NDArray[np.uint8],
    box: FaceBox,
    whole: NDArray[np.float64],
    *,
    copies: Iterable[Copy],
    colour: bool = False,
) -> NDArray[np.float64]:
    """Return the points of whole faces, made asymmetric again by mirrored halves, `(n, 68, 2)` px.

    `pixels`: `(h, w)` grey or `(h, w, 3)` RGB uint8; predicted on RGB as it is with `colour`, else
    on grey. `box`: of the face in them. `whole`: `(n, 68, 2)` px, the points of the whole face,
    once or of each of its copies; they are returned as given where the head is turned too far.
    `copies`: `n`, whose moved boxes and changed light the halves are seen in.
    """
    share = share_of(whole)
    if not share:
        return whole
    upright = upright_map(np.median(whole, axis=0))
    answers = answers_of(predictor, pixels, box, upright, copies=copies, colour=colour)
    straight = map_points(whole, upright)
    mixed = straight + share * (weighted(straight, answers) - straight)
    return map_points(mixed, upright, inverse=True)


def share_of(whole: NDArray[np.float64]) -> float:
    """Return how much the halves count beside `(n, 68, 2)` points of the whole face, 0 to 1."""
    turn = turn_of(np.median(whole, axis=0))
    return float(np.interp(turn, [TURN_FULL, TURN_NONE], [1.0, 0.0]))


def answers_of(
    predictor: Model,
    pixels: NDArray[np.uint8],
    box: FaceBox,
    upright: NDArray[np.float64],
    *,
    copies: Iterable[Copy],
    colour: bool = False,
) -> NDArray[np.float64]:
    """Return what the halves alone say, `(n, 68, 2)` px of the upright picture."""
    faces = _mirrored_faces(pixels, box, upright, colour=colour)
    return np.array([_answer(predictor, faces, _box_in(upright, box, c), c) for c in copies])


def upright_map(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the `(2, 3)` map of px to the upright picture: eyes level, midline in its middle.

    The midline is the straight line through the points of `MIDLINE`: a line that follows them bends
    the picture by their errors, and a line through true points is no better.
    """
    middle, down = (SIDE - 1) / 2, _EYES_DOWN * SIDE
    level = level_map(points, side=SIDE, eyes=_EYES, down=_EYES_DOWN)
    x, y = map_points(points[list(MIDLINE)], level).T
    lean, off = np.polyfit(y - down, x - middle, 1)
    return compose(np.array([[1.0, -lean, lean * down - off], [0.0, 1.0, 0.0]]), level)


def level_map(
    points: NDArray[np.float64], *, side: int, eyes: float, down: float
) -> NDArray[np.float64]:
    """Return the `(2, 3)` map of px to a picture of `side` px in which the eyes are level.

    Their centres (middles of the corners) are `eyes` px apart, in the middle, `down` of its height.
    """
    right, left = points[[36, 39]].mean(axis=0), points[[42, 45]].mean(axis=0)
    along = (left - right) * eyes / ((left - right) @ (left - right))
    turn = np.array([along, [-along[1], along[0]]])
    return np.column_stack([turn, [(side - 1) / 2, down * side] - turn @ (right + left) / 2])


def weighted(whole: NDArray[np.float64], halves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Join two answers `(..., 68, 2)` in the upright picture.

    What is symmetric is that of the whole face; what is not, is weighted from both by `WEIGHTS`.
    """
    of_halves, of_whole = _POINT_WEIGHTS
    symmetric, other = _parts(whole)
    return np.asarray(symmetric + of_halves * _parts(halves)[1] + of_whole * other)


def joined_with(points: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
    """Join `(n, 68, 2)` px of `halves_of` and those of another model, both of all the copies.

    What is symmetric stays; what is not, is the mean of both.
    """
    upright = upright_map(np.median(points, axis=0))
    symmetric, other = _parts(map_points(points, upright))
    mean = (other + _parts(map_points(own, upright))[1]) / 2
    return map_points(symmetric + mean, upright, inverse=True)


def _parts(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Symmetric and antisymmetric part about the middle of the upright picture."""
    mirrored = mirror_points(points, width=SIDE)
    return (points + mirrored) / 2, (points - mirrored) / 2


def _weights() -> NDArray[np.float64]:
    """`WEIGHTS` by point, `(2, 68, 2)`: of halves and whole, across and down."""
    table = np.empty((2, 68, 2))
    for name, points in REGIONS.items():
        table[:, list(points)] = np.array(WEIGHTS[name.split("_")[-1]]).T[:, None]
    return table


_POINT_WEIGHTS = _weights()
_RIGHT = [i for i in range(68) if side_of(i) == "right"]
_LEFT = [i for i in range(68) if side_of(i) == "left"]


def _mirrored_faces(
    pixels: NDArray[np.uint8], box: FaceBox, upright: NDArray[np.float64], *, colour: bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two faces of `SIDE` px: the right half and its image; the left half's image and itself.

    Both have the patient's right half, or what stands for it, at image-left.
    """
    picture = picture_in(pixels, box, upright, side=SIDE, colour=colour)
    half = SIDE // 2
    right, left = picture[:, :half], picture[:, half:]
    return np.hstack([right, right[:, ::-1]]), np.hstack([left[:, ::-1], left])


def _box_in(upright: NDArray[np.float64], box: FaceBox, copy: Copy) -> dlib.rectangle:
    """The detection box in the upright picture, moved and sized as the copy was drawn."""
    centre = map_points(np.array([(box.left + box.right) / 2, (box.top + box.bottom) / 2]), upright)
    width = (box.right - box.left + 1) * np.hypot(*upright[1, :2])
    x = (SIDE - 1) / 2 + copy.box_shift[0] * width / 2
    y = centre[1] + copy.box_shift[1] * width
    half = (width * copy.box_scale - 1) / 2
    return dlib.rectangle(*(round(float(v)) for v in (x - half, y - half, x + half, y + half)))


def _answer(
    predictor: Model,
    faces: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    box: dlib.rectangle,
    copy: Copy,
) -> NDArray[np.float64]:
    """`(68, 2)` px of the upright picture: each half's points from its own face."""
    found = [predict_points(predictor, copy.alter(face), box) for face in faces]
    right, left = (_parts(points)[0] for points in found)  # the faces are symmetric, so are points
    points = (right + left) / 2
    points[_RIGHT], points[_LEFT] = right[_RIGHT], left[_LEFT]
    return points
