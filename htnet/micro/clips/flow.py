"""Optical flow between two aligned faces, its strain, and the motion of the head in it.

Flow points from the first picture to the second: what is at `x` in the first is at `x + flow(x)` in
the second. u is motion to the right of the picture, v motion down.

Three methods: DIS (Kroeger et al. 2016, ECCV, doi 10.1007/978-3-319-46493-0_29), TV-L1 (Zach et al.
2007, DAGM, doi 10.1007/978-3-540-74936-3_22) and Farneback (2003, SCIA,
doi 10.1007/3-540-45103-X_50). `python -m benchmarks.flow` prints their errors against known motion
and their times.

A head that turns, nods or comes nearer by a pixel moves the skin as much as a micro-expression
does. Seen from the front and over a fraction of a second that is nearly a similarity (shift, turn,
size). It is fitted to the flow on the whole face, robustly: an expression moves some parts, the
head moves all, and what does not follow the majority loses its weight. This was chosen where
nothing should be left: at the brows of simulated smiles and the mouths of simulated surprise,
`python -m benchmarks.flow --clips MANIFEST`. The sides of the face, the chin or the bridge of the
nose alone are worse, for cheeks follow a smile, and what is small cannot tell a turn. So are
landmarks of the later frames: dlib's points jitter by more than is sought.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from common.arrays import Floats
from common.errors import refuse_unknown

FlowMethod = Literal["dis", "tvl1", "farneback"]

_DIS_ITERATIONS = 10  # of the variational refinement: twice the preset's, for sub-pixel motion
_ITERATIONS = 12  # of the fit to the head's motion
_REJECTION = 0.5  # of the median residual: what is off by more loses its weight fast
_LEAST_SCALE_PX = 0.02  # below this, residuals are noise and all weigh the same
_LEAST_PIXELS = 50
_FOREHEAD = 0.15  # how far above the brows skin is looked at, of the side
_RIM = 0.054  # of the side
_THIN = 2  # every second pixel both ways: flow is smooth, and the fit four times as fast


class FlowEstimator:
    """Computes flow by one method; make one per process.

    `dis` (OpenCV, medium preset down to full resolution, 10 variational iterations), `tvl1`
    (scikit-image) or `farneback` (OpenCV); UserError for any other name.
    """

    def __init__(self, method: FlowMethod = "dis") -> None:
        refuse_unknown(method, get_args(FlowMethod), what="flow method")
        self.method = method
        if method == "dis":
            self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
            self._dis.setFinestScale(0)
            self._dis.setVariationalRefinementIterations(_DIS_ITERATIONS)

    def flow(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the flow `(H, W, 2)` in px between two grey pictures `(H, W)` of one shape."""
        if first.shape != second.shape:
            raise ValueError(f"pictures of shapes {first.shape} and {second.shape} have no flow")
        if self.method == "dis":
            field = self._dis.calc(first, second, None)
        elif self.method == "farneback":
            field = cv2.calcOpticalFlowFarneback(
                first,
                second,
                None,
                pyr_scale=0.5,
                levels=4,
                winsize=21,
                iterations=5,
                poly_n=7,
                poly_sigma=1.5,
                flags=cv2.OPTFLOW_FARNEBACK_GAUSSIAN,
            )
        else:
            from skimage.registration import optical_flow_tvl1  # half a second to import

            field = np.stack(optical_flow_tvl1(first, second, dtype=np.float32)[::-1], axis=-1)
        return field


def optical_strain(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how strongly the skin is stretched or sheared, whatever the direction: `(H, W)`.

    sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2), the norm of the symmetric part of the flow's gradient
    (Shreve et al. 2011, FG, doi 10.1109/FG.2011.5771451): change of length per length, of a flow
    in units of the grid's spacing. Turning or moving as a whole gives 0.
    """
    u_y, u_x = np.gradient(flow[..., 0])
    v_y, v_x = np.gradient(flow[..., 1])
    return np.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2).astype(np.float32)


@dataclass(frozen=True)
class HeadMotion:
    """A similarity near to standing still, about the centre of the square.

    At `(x, y)` from the centre it moves by `(dx + stretch x - turn y, dy + turn x + stretch y)`:
    dx and dy in px of the square, the turn in radians (clockwise as seen, y pointing down).
    """

    dx: float
    dy: float
    stretch: float
    turn: float

    def field(self, size: int) -> NDArray[np.float32]:
        """Return the motion at every pixel of the square: `(size, size, 2)` px."""
        return np.stack(self.at(*_from_centre(size)), axis=-1).astype(np.float32)

    def at(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return the motion to the right and down at places given from the centre."""
        u = self.dx + self.stretch * x - self.turn * y
        v = self.dy + self.turn * x + self.stretch * y
        return u, v


def face_outline(points: NDArray[np.float64], *, size: int, forehead: float) -> NDArray[np.bool_]:
    """Return where the face is in its square: `(size, size)`.

    `points` are `(68, 2)` px of the square; the face is taken to reach above the brows by
    `forehead`, a share of the side.
    """
    above = points[17:27] - [0.0, forehead * size]
    outline = cv2.convexHull(np.rint(np.concatenate([points[:17], above])).astype(np.int32))
    face = np.zeros((size, size), dtype=np.uint8)
    cv2.fillConvexPoly(face, outline, 1)
    return face > 0


def skin_to_fit(points: NDArray[np.float64], *, size: int) -> NDArray[np.bool_]:
    """Return the skin that the head's motion is read from: `(size, size)`.

    It is all of the face but its rim, where skin moves against hair and background; every second
    pixel of it, both ways. `points` are `(68, 2)` px of the face square.
    """
    face = face_outline(points, size=size, forehead=_FOREHEAD).astype(np.uint8)
    width = 2 * round(_RIM * size) + 1
    skin = cv2.erode(face, np.ones((width, width), np.uint8)) > 0
    thinned = np.zeros_like(skin)
    thinned[::_THIN, ::_THIN] = skin[::_THIN, ::_THIN]
    return thinned


def fit_head_motion(flow: NDArray[np.float32], skin: NDArray[np.bool_]) -> HeadMotion:
    """Fit the motion of the head to the flow `(size, size, 2)` on the skin of `skin_to_fit`.

    With hardly any skin to fit it to, the head is taken to stand still.
    """
    x, y = (grid[skin] for grid in _from_centre(len(flow)))
    if len(x) < _LEAST_PIXELS:
        return HeadMotion(0.0, 0.0, 0.0, 0.0)
    u, v = (flow[..., channel][skin].astype(np.float64) for channel in (0, 1))
    weights = np.ones_like(x)
    motion = HeadMotion(0.0, 0.0, 0.0, 0.0)
    for _ in range(1 + _ITERATIONS):
        motion = _weighted_fit(x, y, u, v, weights)
        of_head_u, of_head_v = motion.at(x, y)
        off = np.hypot(u - of_head_u, v - of_head_v)
        scale = max(_REJECTION * float(np.median(off)), _LEAST_SCALE_PX)
        weights = 1.0 / (1.0 + (off / scale) ** 2) ** 2  # Geman and McClure
    return motion


def _weighted_fit(x: Floats, y: Floats, u: Floats, v: Floats, weights: Floats) -> HeadMotion:
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


def _from_centre(size: int) -> tuple[Floats, Floats]:
    along = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(along, along)
    return x, y
