"""Faces to measure."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from docs.drawing import schematic_face


@pytest.fixture
def drawn_face() -> NDArray[np.float64]:
    """The symmetric face, `(68, 2)`."""
    return schematic_face()


@pytest.fixture
def faces(drawn_face: NDArray[np.float64]) -> NDArray[np.float64]:
    """Six asymmetric, tilted faces of whole numbers, `(6, 68, 2)`."""
    rng = np.random.default_rng(20)
    moved = drawn_face + rng.normal(scale=5.0, size=(6, 68, 2))
    tilt = np.radians([-20.0, -7.0, -1.0, 2.0, 9.0, 30.0])
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]).transpose(
        2, 0, 1
    )
    return np.rint(moved @ turn + [300.0, 150.0])
