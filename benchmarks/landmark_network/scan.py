"""Lee Perry-Smith's scan from the front: a picture of its colour, and its depth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.landmark_network.material import (
    SCAN_COLOUR,
    Scan,
    load_arrays,
    required,
    save_arrays,
)  # fmt: skip

WIDTH, ABOVE = 1000, 350  # px; rows above those in which the points were marked
_HEIGHT = WIDTH + ABOVE
_LEFT, _RIGHT, _TOP = -1.9, 1.9, 2.6  # of the scan, in its own unit
PX = WIDTH / (_RIGHT - _LEFT)  # of the picture, for a unit of the scan
_NOTHING = -99.0


@dataclass(frozen=True)
class Front:
    """The scan from the front: picture `(h, w, 3)` uint8 BGR, and depth `(h, w)`."""

    picture: NDArray[np.uint8]
    depth: NDArray[np.float32]

    @classmethod
    def read(cls, material: Path) -> Self:
        """Draw the scan's triangles, the nearest at each pixel; takes some seconds."""
        scan = Scan.read(material)
        colour = cv2.imread(str(required(material / SCAN_COLOUR)))
        high, wide = colour.shape[:2]
        top = _TOP + ABOVE / PX
        seen = np.c_[
            (scan.vertices[:, 0] - _LEFT) * PX,
            (top - scan.vertices[:, 1]) * PX,
            scan.vertices[:, 2],
        ]
        depth = np.full((_HEIGHT, WIDTH), _NOTHING, np.float32)
        picture = np.zeros((_HEIGHT, WIDTH, 3), np.uint8)
        for triangle in scan.triangles:
            corner = seen[triangle]
            low = np.maximum(np.floor(corner[:, :2].min(0)).astype(int), 0)
            beyond = np.ceil(corner[:, :2].max(0)).astype(int) + 1
            beyond = np.minimum(beyond, (WIDTH, _HEIGHT))
            a, b, c = corner[:, :2]
            area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
            if (beyond <= low).any() or abs(area) < 1e-9:
                continue
            window = (slice(low[1], beyond[1]), slice(low[0], beyond[0]))
            y, x = np.mgrid[window]
            u = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area
            v = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area
            z = corner[0, 2] + u * (corner[1, 2] - corner[0, 2]) + v * (corner[2, 2] - corner[0, 2])
            near = (u >= -1e-3) & (v >= -1e-3) & (u + v <= 1.001) & (z > depth[window])
            depth[window][near] = z[near]
            one, two, three = scan.places[triangle]
            place = one + u[near][:, None] * (two - one) + v[near][:, None] * (three - one)
            row = np.clip(((1 - place[:, 1]) * high).astype(int), 0, high - 1)
            column = np.clip((place[:, 0] * wide).astype(int), 0, wide - 1)
            picture[window][near] = colour[row, column]
        return cls(picture, depth)

    def save(self, path: Path) -> None:
        save_arrays(path, picture=self.picture, depth=self.depth)

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls(**load_arrays(path))
