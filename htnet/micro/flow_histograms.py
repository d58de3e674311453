"""Histograms of the direction of flow in the cells of a grid, weighted by its size.

As histograms of oriented flow in action recognition (Dalal, Triggs and Schmid 2006, ECCV,
doi 10.1007/11744047_33), here of the motion itself. Where exactly something moved within a cell is
forgotten, in which direction is kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float64]


def flow_histograms(motion: Maps, *, cells: int, bins: int = 8) -> Maps:
    """Return `(n, cells, cells, bins)`: mean size of the motion in each direction, square root.

    Parameters
    ----------
    motion
        `(n, H, W, 2)`: to the right, and down. H and W are multiples of `cells`.
    cells
        Cells along each side.
    bins
        Directions; a motion between two is shared out among both. The root tempers single strong
        motions.
    """
    n, height, width, _ = motion.shape
    size = np.hypot(motion[..., 0], motion[..., 1])
    place = np.arctan2(motion[..., 1], motion[..., 0]) / (2.0 * np.pi) * bins % bins
    low = np.floor(place).astype(np.int64) % bins
    beyond = place - np.floor(place)
    spread = np.zeros((*size.shape, bins))
    _add(spread, low, size * (1.0 - beyond))
    _add(spread, (low + 1) % bins, size * beyond)
    grid = spread.reshape(n, cells, height // cells, cells, width // cells, bins)
    histograms: Maps = np.sqrt(grid.mean(axis=(2, 4)))
    return histograms


def _add(spread: Maps, place: NDArray[np.int64], values: Maps) -> None:
    """Add each value at its place along the last axis; every place occurs once per pixel."""
    before = np.take_along_axis(spread, place[..., None], axis=-1)
    np.put_along_axis(spread, place[..., None], before + values[..., None], axis=-1)
