"""Optical flow between two aligned faces, and the strain of a flow field.

Flow points from the first picture to the second: what is at `x` in the first is at `x + flow(x)` in
the second. u is motion to the right of the picture, v motion down.

Three methods: DIS (Kroeger et al. 2016, ECCV, doi 10.1007/978-3-319-46493-0_29), TV-L1 (Zach et al.
2007, DAGM, doi 10.1007/978-3-540-74936-3_22) and Farneback (2003, SCIA,
doi 10.1007/3-540-45103-X_50). `python -m benchmarks.flow` prints their errors against known motion
and their times.
"""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError, did_you_mean

FlowMethod = Literal["dis", "tvl1", "farneback"]

_DIS_ITERATIONS = 10  # of the variational refinement: twice the preset's, for sub-pixel motion


class FlowEstimator:
    """Computes flow by one method; make one per process.

    Parameters
    ----------
    method
        `dis` (OpenCV, medium preset down to full resolution, 10 variational iterations),
        `tvl1` (scikit-image) or `farneback` (OpenCV).

    Raises
    ------
    UserError
        For any other name.
    """

    def __init__(self, method: FlowMethod = "dis") -> None:
        known = get_args(FlowMethod)
        if method not in known:
            raise UserError(
                f'There is no flow method "{method}": give {", ".join(known)}.'
                + did_you_mean(method, known)
            )
        self.method = method
        if method == "dis":
            self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
            self._dis.setFinestScale(0)
            self._dis.setVariationalRefinementIterations(_DIS_ITERATIONS)

    def flow(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the flow from `first` to `second`.

        Parameters
        ----------
        first, second
            `(H, W)` grey uint8 of the same shape.

        Returns
        -------
        array
            `(H, W, 2)` float32: u to the right, v down, in px.
        """
        if first.shape != second.shape:
            raise ValueError(f"pictures of shapes {first.shape} and {second.shape} have no flow")
        if self.method == "dis":
            field = self._dis.calc(first, second, None)
        elif self.method == "farneback":
            field = _farneback(first, second)
        else:
            field = _tvl1(first, second)
        return np.asarray(field, dtype=np.float32)


def optical_strain(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how strongly the skin is stretched or sheared, whatever the direction.

    sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2), the norm of the symmetric part of the flow's gradient
    (Shreve et al. 2011, FG, doi 10.1109/FG.2011.5771451). Turning or moving as a whole gives 0.

    Parameters
    ----------
    flow
        `(H, W, 2)` in units of the grid's spacing, px for instance.

    Returns
    -------
    array
        `(H, W)` float32, change of length per length, without unit.
    """
    u_y, u_x = np.gradient(flow[..., 0])
    v_y, v_x = np.gradient(flow[..., 1])
    return np.asarray(np.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2), dtype=np.float32)


def _farneback(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
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
    return np.asarray(field, dtype=np.float32)


def _tvl1(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    from skimage.registration import optical_flow_tvl1  # half a second to import; seldom wanted

    v, u = optical_flow_tvl1(first, second, dtype=np.float32)
    return np.stack([u, v], axis=-1)
