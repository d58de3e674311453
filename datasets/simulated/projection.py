"""How a turned head is seen: face plane and depth in mm to pixels, and back.

A point at (x, y) with depth z is seen at ``scale * R (x, y, z)``; a picture is filled by solving
this for (x, y) at every pixel. The 68 points go through the same formula with the same depth,
which is why they are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from datasets.simulated.canvas import Canvas, Image
from datasets.simulated.look import View
from datasets.simulated.shape import FloatArray

_FRAME_MM = 258.0
PIVOT_MM = -62.0
"""Depth of the axis about which the head turns."""
_EYE_LEVEL = 0.44


@dataclass(frozen=True)
class Projection:
    """Weak-perspective view of the face plane: millimetres to pixels of the picture.

    Attributes
    ----------
    matrix
        ``(2, 3)`` scaled rotation.
    centre
        ``(2,)`` pixel where the pivot of the head is seen.
    """

    matrix: FloatArray
    centre: FloatArray

    @classmethod
    def of(cls, view: View, width: int, height: int) -> Projection:
        """The projection of a view on to a picture of ``width`` by ``height`` pixels."""
        yaw, pitch, roll = np.radians([view.yaw, view.pitch, view.roll])
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        nod = np.array(
            [[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]]
        )
        # y points down, so a head that leans counter-clockwise as seen turns by -roll here.
        lean = np.array(
            [[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
        )
        scale = min(width, 0.75 * height) / _FRAME_MM * view.distance
        middle = np.array([(width - 1) / 2, _EYE_LEVEL * (height - 1)])
        return cls((scale * lean @ turn @ nod)[:2], middle + view.shift * width)

    @property
    def scale(self) -> float:
        """Pixels per millimetre in the plane of the face."""
        return float(np.sqrt(np.abs(np.linalg.det(self.matrix[:, :2]))))

    def forward(self, points: FloatArray, depth: FloatArray) -> FloatArray:
        """Pixels of points ``(n, 2)`` mm at depths ``(n,)`` mm."""
        solid = np.column_stack([points, depth - PIVOT_MM])
        seen: FloatArray = self.centre + solid @ self.matrix.T
        return seen

    def backward(
        self, canvas: Canvas, relief: Image, width: int, height: int
    ) -> tuple[Image, Image]:
        """For every pixel of the picture, where on the canvas it sees the head (canvas pixels)."""
        coarse = 2
        cols, rows = width // coarse, height // coarse
        u = (np.arange(cols) + 0.5) * (width / cols) - 0.5 - self.centre[0]
        v = (np.arange(rows) + 0.5) * (height / rows) - 0.5 - self.centre[1]
        inverse = np.linalg.inv(self.matrix[:, :2])
        along_depth = inverse @ self.matrix[:, 2]
        flat_x = (inverse[0, 0] * u[None] + inverse[0, 1] * v[:, None]).astype(np.float32)
        flat_y = (inverse[1, 0] * u[None] + inverse[1, 1] * v[:, None]).astype(np.float32)
        scale, left, top = canvas.scale, canvas.left, canvas.top
        at_x, at_y = (flat_x - left) * scale, (flat_y - top) * scale
        base_x, base_y = at_x, at_y
        shift_x, shift_y = (np.float32(a * scale) for a in along_depth)
        lift = relief - np.float32(PIVOT_MM)
        for _ in range(4):
            z = cv2.remap(lift, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            at_x, at_y = base_x - shift_x * z, base_y - shift_y * z
        size = (width, height)
        return (
            np.asarray(cv2.resize(at_x, size, interpolation=cv2.INTER_LINEAR)),
            np.asarray(cv2.resize(at_y, size, interpolation=cv2.INTER_LINEAR)),
        )


def depth_at(canvas: Canvas, relief: Image, points: FloatArray) -> FloatArray:
    """Depth in mm under points in mm, between the pixels of the relief; ``(n,)``."""
    at = canvas.pixels(points).astype(np.float32)
    depth = cv2.remap(
        relief, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(depth, float).ravel()
