"""Short names for arrays in signatures (shapes stand in docstrings), and a factor of spreads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Places = NDArray[np.intp]
"""Row numbers."""
Names = NDArray[np.str_]
Flags = NDArray[np.bool_]

MAD_TO_SD = 1.4826
"""Makes a median absolute deviation the standard deviation of a normal distribution."""
