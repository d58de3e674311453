"""What surrounds a simulated face: hair and ears, neck and clothes, and the wall behind."""

from __future__ import annotations

import cv2
import numpy as np

from datasets.simulated.canvas import Canvas, FloatArray, Image, blurred, spline
from datasets.simulated.facial_features import linear
from datasets.simulated.look import Look, View
from datasets.simulated.shape import Shape, half_width

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
            (temple - 1, _SIDEBURN_MM), (temple - 5, -33), (temple - 9, -47),
            (temple - 21, height + 8), (20, height + 1), (0, height + peak),
        ]
    )  # fmt: skip
    outlines = [_both(np.vstack([outer_left, spline(front * (1, lift))]))]
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
    tile = cv2.GaussianBlur(tile, (0, 0), sigmaX=0.8, sigmaY=5.0, borderType=cv2.BORDER_REFLECT)
    tile /= tile.std()
    x = canvas.columns() - np.float32(14 * (look.texture_seed % 3 - 1))
    y = canvas.lines() + 160
    angle, radius = np.arctan2(x, y), np.sqrt(x * x + y * y)
    across = (angle * 125 + 128).astype(np.float32)
    along = (radius * 0.5).astype(np.float32)
    strands = np.asarray(cv2.remap(tile, across, along, cv2.INTER_LINEAR), np.float32)
    return np.clip(strands * 0.5, -1.2, 1.2)


def paint_surroundings(body: Canvas, shape: Shape, look: Look, view: View, head: Image) -> Image:
    """Wall, hair behind the neck, neck, shoulders and clothes; linear light.

    `head` is where the head is seen on the canvas, 0 to 1: it casts a shadow on the neck.
    """
    x = np.linspace(-1, 1, body.cols, dtype=np.float32)[None]
    y = np.linspace(-1, 1, body.rows, dtype=np.float32)[:, None]
    glow = 1.0 + 0.22 * np.float32(view.light[0]) * x - 0.16 * y - 0.14 * (x * x + y * y)
    picture = np.asarray(linear(look.wall) * glow[..., None], np.float32)
    if look.hair_style in ("bob", "long"):
        end = 92.0 if look.hair_style == "bob" else 190.0
        behind = [(0, -60), (60, -55), (80, -10), (84, 40), (82, end - 10), (64, end), (0, end)]
        colour = linear(look.hair) * (view.key * 0.55 + view.fill) * 0.75
        outline = spline(_both(np.array(behind)), closed=True)
        body.area(outline, soft=2.0).paint(picture, colour)
    neck = (57.0 if shape.sex == "male" else 47.5) * shape.jaw_width * shape.face_width
    _paint_neck(body, picture, look, view, neck)
    _paint_clothes(body, picture, look, view, neck)
    drop = [[1, 0, view.light[0] * 16 * body.scale], [0, 1, -20 * body.scale]]
    shadow = cv2.warpAffine(
        blurred(head, 7 * body.scale), np.array(drop, float), (body.cols, body.rows),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    below = np.clip((body.lines() - 40) / 40, 0, 1)
    picture *= 1 - (0.62 * shadow * below)[..., None]
    return picture


def _both(half: FloatArray) -> FloatArray:
    """An outline of the one side, closed by its mirror image."""
    return np.vstack([half, (half * (-1, 1))[::-1]])


def _paint_neck(body: Canvas, picture: Image, look: Look, view: View, neck: float) -> None:
    half = [
        (neck, 30), (neck - 1, 95), (neck + 2, 125), (neck + 14, 148), (neck + 60, 166),
        (150, 185), (170, 330),
    ]  # fmt: skip
    patch = body.area(_both(spline(half)), soft=0.5)
    x = body.columns() / np.float32(neck * 1.25)
    slope = x / np.sqrt(np.clip(1.15 - x * x, 0.12, None))
    facing = (view.light[2] + view.light[0] * slope) / np.sqrt(1 + slope * slope)
    facing = np.clip(facing + 0.25, 0.05, None)
    lit = (view.key * 0.62 * facing + view.fill * 0.62).astype(np.float32)
    tint = np.array([1.0, 0.94, 0.92], np.float32)
    colour = linear(look.skin).astype(np.float32) * tint * lit[..., None]
    part = picture[patch.window]
    part += (np.broadcast_to(colour, picture.shape)[patch.window] - part) * patch.mask[..., None]
    for sign in (-1.0, 1.0):
        tendon = [(sign * (neck - 10), 110), (sign * (neck - 26), 140), (sign * 10, 166)]
        body.ribbon(spline(tendon), 7.0, soft=4.0).scale(picture, 0.9)


def _paint_clothes(body: Canvas, picture: Image, look: Look, view: View, neck: float) -> None:
    edge = spline(
        [(0, 176), (neck * 0.62, 166), (neck + 6, 146), (neck + 40, 154), (150, 180), (175, 340)]
    )
    light = view.key * 0.55 + view.fill * 0.7
    body.area(_both(edge), soft=0.5).paint(picture, linear(look.clothes) * light)
    for sign in (-1.0, 1.0):
        hem = edge[:17] * (sign, 1) + (0, 3)
        fold = [(sign * 60, 175), (sign * 75, 230), (sign * 70, 330)]
        sleeve = [(sign * 40, 160), (sign * 170, 160), (sign * 170, 340), (sign * 90, 340)]
        body.ribbon(hem, 3.0, soft=1.2).scale(picture, 0.75)
        body.ribbon(fold, 10, soft=7).scale(picture, 0.85)
        lit = 1 + 0.35 * sign * float(view.light[0])
        body.area(sleeve, soft=18).scale(picture, lit)
