"""Motion of the head as a whole, found in the flow and taken out of it.

A head that turns, nods or comes nearer by a pixel moves the skin as much as a micro-expression
does. Seen from the front and over a fraction of a second that is nearly a similarity (shift, turn,
size). It is fitted to the flow on the whole face, robustly: an expression moves some parts, the
head moves all, and what does not follow the majority loses its weight.

This was chosen where nothing should be left: at the brows of simulated smiles and the mouths of
simulated surprise, `python -m benchmarks.flow --clips MANIFEST`. To fit the sides of the face, the
chin or the bridge of the nose alone is worse, for cheeks follow a smile, and what is small cannot
tell a turn. So are landmarks of the later frames: dlib's points jitter by more than is sought.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_ITERATIONS = 12
_REJECTION = 0.5  # of the median residual: what is off by more loses its weight fast
_LEAST_SCALE_PX = 0.02  # below this, residuals are noise and all weigh the same
_LEAST_PIXELS = 50
_FOREHEAD = 0.15  # how far above the brows skin is looked at, of the side
_RIM = 0.054  # of the side
_THIN = 2  # every second pixel both ways: flow is smooth, and the fit four times as fast


@dataclass(frozen=True)
class HeadMotion:
    """A similarity near to standing still, about the centre of the square.

    At `(x, y)` from the centre it moves by `(dx + stretch x - turn y, dy + turn x + stretch y)`.

    Attributes
    ----------
    dx, dy
        Shift in px of the square.
    stretch, turn
        Growth, and turn in radians (clockwise as seen, y pointing down).
    """

    dx: float
    dy: float
    stretch: float
    turn: float

    def field(self, size: int) -> NDArray[np.float32]:
        """Return the motion at every pixel of the square: `(size, size, 2)` px."""
        x, y = _from_centre(size)
        u = self.dx + self.stretch * x - self.turn * y
        v = self.dy + self.turn * x + self.stretch * y
        return np.stack([u, v], axis=-1).astype(np.float32)


def face_outline(points: NDArray[np.float64], *, size: int, forehead: float) -> NDArray[np.bool_]:
    """Return where the face is: `(size, size)`.

    Parameters
    ----------
    points
        `(68, 2)` px of the face square.
    size
        Side of the square in px.
    forehead
        How far above the brows the face is taken to reach, as a share of the side.
    """
    above = points[17:27] - [0.0, forehead * size]
    outline = cv2.convexHull(np.rint(np.concatenate([points[:17], above])).astype(np.int32))
    face = np.zeros((size, size), dtype=np.uint8)
    cv2.fillConvexPoly(face, outline, 1)
    return face > 0


def skin_to_fit(points: NDArray[np.float64], *, size: int) -> NDArray[np.bool_]:
    """Return the skin that the head's motion is read from: `(size, size)`.

    It is all of the face but its rim, where skin moves against hair and background; every second
    pixel of it, both ways.

    Parameters
    ----------
    points
        `(68, 2)` px of the face square.
    size
        Side of the square in px.
    """
    face = face_outline(points, size=size, forehead=_FOREHEAD).astype(np.uint8)
    width = 2 * round(_RIM * size) + 1
    skin = cv2.erode(face, np.ones((width, width), np.uint8)) > 0
    thinned = np.zeros_like(skin)
    thinned[::_THIN, ::_THIN] = skin[::_THIN, ::_THIN]
    return np.asarray(thinned)


def fit_head_motion(flow: NDArray[np.float32], skin: NDArray[np.bool_]) -> HeadMotion:
    """Fit the motion of the head to the flow on the face.

    Parameters
    ----------
    flow
        `(size, size, 2)` px.
    skin
        `(size, size)` from `skin_to_fit`.

    Returns
    -------
    HeadMotion
        No motion when there is hardly any skin to fit it to.
    """
    x, y = (grid[skin] for grid in _from_centre(len(flow)))
    if len(x) < _LEAST_PIXELS:
        return HeadMotion(0.0, 0.0, 0.0, 0.0)
    u, v = (flow[..., channel][skin].astype(np.float64) for channel in (0, 1))
    weights = np.ones_like(x)
    motion = HeadMotion(0.0, 0.0, 0.0, 0.0)
    for _ in range(1 + _ITERATIONS):
        motion = _weighted_fit(x, y, u, v, weights)
        off_u = u - (motion.dx + motion.stretch * x - motion.turn * y)
        off_v = v - (motion.dy + motion.turn * x + motion.stretch * y)
        off = np.hypot(off_u, off_v)
        scale = max(_REJECTION * float(np.median(off)), _LEAST_SCALE_PX)
        weights = 1.0 / (1.0 + (off / scale) ** 2) ** 2  # Geman and McClure
    return motion


def _weighted_fit(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> HeadMotion:
    """Weighted least squares of the similarity, in closed form about the weighted means."""
    total = weights.sum()
    mean_x, mean_y, mean_u, mean_v = ((weights * value).sum() / total for value in (x, y, u, v))
    x, y, u, v = x - mean_x, y - mean_y, u - mean_u, v - mean_v
    spread = (weights * (x * x + y * y)).sum()
    stretch = (weights * (x * u + y * v)).sum() / spread
    turn = (weights * (x * v - y * u)).sum() / spread
    dx = mean_u - stretch * mean_x + turn * mean_y
    dy = mean_v - turn * mean_x - stretch * mean_y
    return HeadMotion(float(dx), float(dy), float(stretch), float(turn))


def _from_centre(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    along = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(along, along)
    return x, y
