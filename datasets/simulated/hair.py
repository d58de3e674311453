"""Hair, ears and what lies behind the head of a simulated person."""

from __future__ import annotations

import cv2
import numpy as np

from datasets.simulated.canvas import Canvas, Image, spline
from datasets.simulated.look import Look
from datasets.simulated.shape import FloatArray, Shape, half_width
from datasets.simulated.skin import linear

_EAR = np.array(
    [(-2, -12), (4, -16), (9.5, -13), (11.5, -5), (9.5, 5), (6.5, 14), (4.5, 22), (1, 25), (-3, 21)]
)

_SIDEBURN_MM = -5.0


def head_outline(shape: Shape, points: FloatArray) -> FloatArray:
    """Closed outline of head and face in mm, without ears and hair."""
    top, chin = -120.0 * shape.face_length, points[8, 1]
    rows = (top + chin) / 2 - np.cos(np.linspace(0, np.pi, 120)) * (chin - top) / 2
    width = half_width(shape, points, rows)
    return np.vstack([np.stack([width, rows], 1), np.stack([-width, rows], 1)[::-1]])


def ear_outline(shape: Shape, sign: float) -> FloatArray:
    """Closed outline of the ear on one side (``sign`` -1 patient's right, +1 left)."""
    ear = _EAR * (1.0, 1.05 + 0.002 * shape.age) + (67.5 * shape.face_width, 8)
    return spline(ear * (sign, 1), closed=True)


def hair_outlines(shape: Shape, look: Look, points: FloatArray) -> list[FloatArray]:
    """Closed outlines of the hair that lies over the head and its sides."""
    thick = {"short": 5.0, "receding": 2.0, "bob": 9.0, "long": 8.0, "tied": 4.5}[look.hair_style]
    crown = -120.0 * shape.face_length
    skull_rows = crown + np.linspace(0, 1, 60) ** 1.6 * (_SIDEBURN_MM - crown)
    skull = half_width(shape, points, skull_rows)
    rows = _SIDEBURN_MM + (skull_rows - _SIDEBURN_MM) * (1 + thick / (_SIDEBURN_MM - crown))
    outer_left = np.stack([skull * (1 + 0.8 * thick / 74), rows], 1)
    temple = half_width(shape, points, np.array([_SIDEBURN_MM]))[0]
    lift = shape.face_length
    if look.hair_style == "receding":
        front = np.array(
            [(temple - 4, _SIDEBURN_MM), (temple - 3, -34), (temple - 5, -52), (temple - 16, -70)]
        )
        side = np.vstack([outer_left[rows > -96], spline(front * (1, lift))])
        return [side, side * (-1, 1)]
    rng = np.random.default_rng([look.texture_seed, 4])
    height = {"short": -70.0, "bob": -76.0, "long": -78.0, "tied": -75.0}[look.hair_style]
    height += rng.uniform(-7, 5)
    peak = rng.uniform(-3, 4)
    front = np.array(
        [
            (temple - 1, _SIDEBURN_MM),
            (temple - 5, -33),
            (temple - 9, -47),
            (temple - 21, height + 8),
            (20, height + 1),
            (0, height + peak),
        ]
    )
    line = spline(front * (1, lift))
    cap = np.vstack([outer_left, line, (line * (-1, 1))[::-1], (outer_left * (-1, 1))[::-1]])
    outlines = [cap]
    if look.hair_style in ("bob", "long"):
        end = 84.0 if look.hair_style == "bob" else 124.0
        lock = np.array(
            [
                (temple - 12, -60), (temple - 4, -36), (temple - 1.5, -8), (temple + 0.5, 20),
                (temple - 2, 48), (temple - 4, end), (temple + 8, end + 1), (temple + 13, 50),
                (temple + 13, 10), (temple + 9, -34), (temple, -70),
            ]
        )  # fmt: skip
        outlines += [spline(lock, closed=True), spline(lock * (-1, 1), closed=True)]
    return outlines


def back_hair(look: Look) -> FloatArray | None:
    """Closed outline of the hair behind neck and shoulders, or None."""
    if look.hair_style not in ("bob", "long"):
        return None
    end = 92.0 if look.hair_style == "bob" else 190.0
    half = np.array([(0, -60), (60, -55), (80, -10), (84, 40), (82, end - 10), (64, end), (0, end)])
    return np.vstack([half, (half * (-1, 1))[::-1]])


def paint_hair(
    canvas: Canvas, skin: Image, look: Look, shape: Shape, points: FloatArray, head: Image
) -> Image:
    """Paint the hair in place; returns where it lies, 0 to 1. ``head`` is what it may lie on."""
    cover = canvas.blank()
    for outline in hair_outlines(shape, look, points):
        patch = canvas.area(outline, soft=1.4)
        part = cover[patch.window]
        np.maximum(part, patch.mask, out=part)
    strands = _strands(canvas, look)
    edge = np.clip(cover + 0.5 * strands * cover * (1 - cover) * 2, 0, 1)
    if look.hair_style == "receding":
        edge *= 0.85
    colour = linear(look.hair).astype(np.float32) * (1 + 0.55 * strands)[..., None]
    beside = np.clip(25 * cover, 0, 1) * (1 - head)  # no skin shines through beside the head
    skin += (np.clip(colour, 0.003, 1) - skin) * np.maximum(edge, beside)[..., None]
    return edge


def _strands(canvas: Canvas, look: Look) -> Image:
    """Noise drawn out along the fall of the hair from the crown, about -1 to 1."""
    rng = np.random.default_rng([look.texture_seed, 2])
    tile = rng.standard_normal((256, 256)).astype(np.float32)
    tile = np.asarray(
        cv2.GaussianBlur(tile, (0, 0), sigmaX=0.8, sigmaY=5.0, borderType=cv2.BORDER_REFLECT)
    )
    tile /= tile.std()
    x = canvas.columns() - np.float32(14 * (look.texture_seed % 3 - 1))
    y = canvas.lines() + 160
    angle, radius = np.arctan2(x, y), np.sqrt(x * x + y * y)
    across = (angle * 125 + 128).astype(np.float32)
    along = (radius * 0.5).astype(np.float32)
    strands = np.asarray(cv2.remap(tile, across, along, cv2.INTER_LINEAR), np.float32)
    return np.asarray(np.clip(strands * 0.5, -1.2, 1.2), np.float32)
