"""The relief of a simulated face: depth in mm over the face plane, for light and for pose.

The head is a stack of flattened ellipses between the outline and the profile of the midline;
sockets, nose, cheeks, lips and chin are added as smooth hills and hollows that follow the 68
points, so a smile lifts the cheek and deepens the fold on the side that smiles.
"""

from __future__ import annotations

import numpy as np

from datasets.simulated.canvas import Canvas, FloatArray, Image, blurred, shifted, spline, taper
from datasets.simulated.movement import Expression
from datasets.simulated.shape import Shape, half_width, mid_profile

_DEPTH_MM = 78.0
_SIDES = ((0, -1.0), (1, 1.0))
Crease = tuple[FloatArray, float, float]
"""Curve in mm, width in mm, depth in mm."""


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


def add_creases(canvas: Canvas, relief: Image, creases: list[Crease]) -> Image:
    """Cut the creases into the relief, in place; returns their darkness, 0 to 1."""
    darkness = canvas.blank()
    for curve, width, depth in creases:
        if depth < 0.03:
            continue
        patch = canvas.ribbon(curve, width * taper(len(curve)), soft=0.42 * width)
        patch.add(relief, -depth)
        patch.add(darkness, min(0.5 * depth, 0.75))
    return darkness


def find_creases(shape: Shape, lines: float, face: Expression) -> list[Crease]:
    """Every fold and wrinkle of a face at one moment; age lines are 0 to 1 deep.

    The weak side loses its folds, a contracted one deepens them.
    """
    creases: list[Crease] = []
    p = face.points
    for side, sign in _SIDES:
        tone = float(np.clip(face.tone[side], 0, 1.8))
        brow, eye, corner, ala = _side_points(p, side)
        raise_ = float(face.of("frontalis")[side])
        smile = float(face.of("zygomatic")[side] + 0.7 * face.of("levator")[side])
        squeeze = float(face.of("squeeze")[side] + 0.5 * smile * min(1.0, 0.3 + smile))
        frown = float(face.of("corrugator")[side] + 0.7 * face.of("squeeze")[side])

        fold = [
            shifted(ala, sign * 1.5, -7), shifted(ala, sign * 6.5, 0.5),
            (corner + ala) / 2 + (sign * 9.5, 0), shifted(corner, sign * 8.5, 0.5),
            shifted(corner, sign * 7.0, 8),
        ]  # fmt: skip
        depth = (0.25 + 1.0 * lines) * tone + (0.9 + 0.7 * lines) * smile
        creases.append((spline(fold[: 5 if lines > 0.4 else 4]), 4.2, depth))
        marionette = corner + np.array([(sign * 2.5, 3), (sign * 4, 11), (sign * 4, 19)])
        creases.append((spline(marionette), 3.0, 0.9 * max(0.0, lines - 0.35)))
        dimple = corner + np.array([(sign * 3.0, -2.5), (sign * 4.2, 0.5), (sign * 3.2, 3.5)])
        creases.append((spline(dimple), 2.2, 0.7 * smile))

        for k in range(4):
            height = brow[2, 1] - 12 - 8.5 * k - 1.5 * raise_
            xs = sign * np.array([3.0, 14, 27, 40, 50 - 3 * k])
            wave = np.array([2.5, 0.2, -1.2, -0.4, 2.2]) + 0.5 * np.sin(xs / 7 + 2 * k)
            strength = lines * (0.35 * tone + 0.9 * raise_) + 0.35 * raise_
            creases.append((spline(np.stack([xs, height + wave], 1)), 2.0, 0.62 * strength))
        root = p[27, 1]
        frown_line = [(sign * 5.0, root - 24), (sign * 4.2, root - 14), (sign * 5.6, root - 8)]
        creases.append((spline(frown_line), 2.4, 0.45 * lines * tone + (0.5 + 0.5 * lines) * frown))

        outer = eye[3]
        for angle in (-28, 0, 26):
            direction = np.array([sign * np.cos(np.radians(angle)), np.sin(np.radians(angle))])
            foot = [
                outer + direction * 5,
                outer + direction * 10 + (0, 0.5),
                outer + direction * 16,
            ]
            depth = (0.15 + 0.85 * lines) * (0.25 * tone + squeeze) * 0.75
            creases.append((spline(foot), 1.7, depth))
        bag = [
            shifted(eye[0], sign * 1, 5.5), shifted(eye.mean(0), sign * -2, 11.5),
            shifted(eye[3], sign * -5, 8.5),
        ]  # fmt: skip
        creases.append((spline(bag), 3.2, 0.18 + 0.75 * lines + 0.3 * squeeze))
    return creases


def _side_points(p: FloatArray, side: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Brow (5), eye (6, inner corner first, upper lid), mouth corner and nose wing of one side."""
    if side == 0:
        return p[21:16:-1], p[[39, 38, 37, 36, 41, 40]], p[48], p[31]
    return p[22:27], p[42:48], p[54], p[35]


def _sockets(canvas: Canvas, relief: Image, shape: Shape, p: FloatArray) -> None:
    ridge = 2.6 if shape.sex == "male" else 1.2
    for side, sign in _SIDES:
        brow, eye, _, _ = _side_points(p, side)
        centre = eye[[0, 3]].mean(0)
        canvas.blob(shifted(centre, -sign * 9.0, -4.5), (8.5, 7.5)).add(relief, -4.6)
        canvas.blob(shifted(centre, sign * 2.0, -3.0), (15, 8.5)).add(relief, -3.4)
        canvas.blob(shifted(centre, 0, -0.5), (9.0, 7.5)).add(relief, 4.6)
        canvas.blob(shifted(centre, 0, 12.5), (11, 3.5)).add(relief, -0.7)
        canvas.ribbon(spline(brow), 6.0, soft=4.0).add(relief, ridge)


def _cheeks(canvas: Canvas, relief: Image, face: Expression) -> None:
    p = face.points
    for side, sign in _SIDES:
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
    for side, sign in _SIDES:
        canvas.blob(shifted(mouth, sign * 6, 0), (9, 9)).add(relief, 3.2 * float(pucker[side]))


def smoothed_for_pose(canvas: Canvas, relief: Image) -> Image:
    """The relief without its fine detail; turning the head moves points by this depth."""
    return blurred(relief, 2.0 * canvas.scale)
