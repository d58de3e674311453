"""Short names for arrays in signatures; shapes and ranges stand in the docstrings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Places = NDArray[np.intp]
"""Row numbers."""
Names = NDArray[np.str_]
Flags = NDArray[np.bool_]
