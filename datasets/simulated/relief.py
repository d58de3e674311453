"""The relief of a simulated face: depth in mm over the face plane, for light and for pose.

The head is a stack of flattened ellipses between the outline and the profile of the midline;
sockets, nose, cheeks, lips and chin are added as smooth hills and hollows that follow the 68
points, so a smile lifts the cheek and deepens the fold on the side that smiles.
"""

from __future__ import annotations

import numpy as np

from datasets.simulated.canvas import Canvas, FloatArray, Image, blurred, shifted, spline
from datasets.simulated.folds import SIDES, side_points
from datasets.simulated.movement import Expression
from datasets.simulated.shape import Shape, half_width, mid_profile

_DEPTH_MM = 78.0


def head_relief(canvas: Canvas, shape: Shape, face: Expression) -> Image:
    """Depth z in mm of the whole head without its creases, ``(rows, cols)``."""
    rows = canvas.lines()
    points = face.points
    width = half_width(shape, points, rows)
    above = np.clip((40 - rows) / 60, 0, 1) * 6.0 + 2.2
    ratio = np.abs(canvas.columns()) / np.maximum(width + above, 1e-3)
    round_off = (1 - np.minimum(ratio, 0.992) ** 2.3) ** (1 / 2.3)
    relief = np.asarray(mid_profile(shape, points, rows) - _DEPTH_MM * (1 - round_off), np.float32)
    _sockets(canvas, relief, shape, points)
    _cheeks(canvas, relief, face)
    _nose(canvas, relief, shape, points)
    _lips(canvas, relief, face)
    return relief


def _sockets(canvas: Canvas, relief: Image, shape: Shape, p: FloatArray) -> None:
    ridge = 2.6 if shape.sex == "male" else 1.2
    for side, sign in SIDES:
        brow, eye, _, _ = side_points(p, side)
        centre = eye[[0, 3]].mean(0)
        canvas.blob(shifted(centre, -sign * 9.0, -4.5), (8.5, 7.5)).add(relief, -4.6)
        canvas.blob(shifted(centre, sign * 2.0, -3.0), (15, 8.5)).add(relief, -3.4)
        canvas.blob(shifted(centre, 0, -0.5), (9.0, 7.5)).add(relief, 4.6)
        canvas.blob(shifted(centre, 0, 12.5), (11, 3.5)).add(relief, -0.7)
        canvas.ribbon(spline(brow), 6.0, soft=4.0).add(relief, ridge)


def _cheeks(canvas: Canvas, relief: Image, face: Expression) -> None:
    p = face.points
    for side, sign in SIDES:
        tone = float(np.clip(face.tone[side], 0, 1.3))
        smile = float(face.of("zygomatic")[side] + 0.4 * face.of("squeeze")[side])
        canvas.blob((sign * 45, 24), (14, 12)).add(relief, 3.4)
        bulge = canvas.blob((sign * 34, 36 - 6 * smile), (12, 10))
        bulge.add(relief, 0.8 + 1.2 * tone + 4.0 * smile)
        canvas.blob((sign * 47, 62), (11, 16)).add(relief, -1.8 - 0.8 * (1 - tone))
        canvas.blob((sign * 52, -28), (9, 16)).add(relief, -1.6)
        canvas.blob((sign * 22, p[8, 1] - 14), (9, 7)).add(relief, 1.2)
    canvas.blob((0, p[8, 1] - 13), (11, 9)).add(relief, 4.6)
    canvas.blob((0, (p[57, 1] + p[8, 1]) / 2 - 9), (15, 4.2)).add(relief, -2.6)


def _nose(canvas: Canvas, relief: Image, shape: Shape, p: FloatArray) -> None:
    """Bridge, ball, wings and the step down to the lip."""
    root, tip, base = p[27, 1] - 4, p[30, 1], p[33, 1]
    y = canvas.lines()
    along = np.clip((y - root) / (tip + 3 - root), 0, 1)
    height = (3.5 + 14.5 * along**1.25) * shape.nose_depth
    height = height * np.clip((y - root + 11) / 11, 0, 1) ** 1.5
    height = height * (1 - np.clip((y - tip - 4.0) / (base - tip - 2.0), 0, 1) ** 1.6)
    spread = (5.6 + 3.2 * along**2) * shape.nose_width
    across = np.exp(-(np.abs((canvas.columns() - p[30, 0]) / spread) ** 2.2) * 0.6)
    relief += (height * across).astype(np.float32)
    canvas.blob(shifted(p[30], 0, 1.5), (6.2, 5.2)).add(relief, 4.2 * shape.nose_depth)
    for wing in (p[31], p[35]):
        sign = np.sign(wing[0])
        canvas.blob(shifted(wing, sign * 1.8, -4.6), (4.0, 4.2)).add(relief, 6.6)
    canvas.blob(shifted(p[33], 0, 6.5), (2.6, 5)).add(relief, -0.9)


def _lips(canvas: Canvas, relief: Image, face: Expression) -> None:
    p = face.points
    pucker = face.of("oris")
    upper = np.vstack([spline(p[48:55]), spline(p[[64, 63, 62, 61, 60]])])
    lower = np.vstack([spline(p[[60, 67, 66, 65, 64]]), spline(p[[54, 55, 56, 57, 58, 59, 48]])])
    canvas.area(upper, soft=1.5).add(relief, 2.6)
    canvas.area(lower, soft=1.6).add(relief, 3.4)
    mouth = p[48:68].mean(0)
    canvas.blob(shifted(mouth, 0, -1), (19, 12)).add(relief, 3.0)
    for side, sign in SIDES:
        canvas.blob(shifted(mouth, sign * 6, 0), (9, 9)).add(relief, 3.2 * float(pucker[side]))


def smoothed_for_pose(canvas: Canvas, relief: Image) -> Image:
    """The relief without its fine detail; turning the head moves points by this depth."""
    return blurred(relief, 2.0 * canvas.scale)
