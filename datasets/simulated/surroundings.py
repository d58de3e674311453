"""What surrounds a simulated head: wall, hair behind the neck, neck, shoulders and clothes."""

from __future__ import annotations

import cv2
import numpy as np

from datasets.simulated.canvas import Canvas, Image, blurred, spline
from datasets.simulated.hair import back_hair
from datasets.simulated.look import Look, View
from datasets.simulated.projection import PIVOT_MM, Projection
from datasets.simulated.shape import Shape
from datasets.simulated.skin import linear


def paint_surroundings(
    look: Look,
    view: View,
    projection: Projection,
    head: Image,
    shape: Shape,
    width: int,
    height: int,
) -> Image:
    """Wall, hair behind the neck, neck, shoulders and clothes; linear light."""
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    glow = 1.0 + 0.22 * np.float32(view.light[0]) * x - 0.16 * y - 0.14 * (x * x + y * y)
    picture = np.asarray(linear(look.wall) * glow[..., None], np.float32)
    scale = projection.scale
    anchor = projection.forward(np.zeros((1, 2)), np.array([PIVOT_MM]))[0]
    body = Canvas(-anchor[0] / scale, -anchor[1] / scale, scale, height, width)
    behind = back_hair(look)
    brightness = view.key * 0.55 + view.fill
    if behind is not None:
        body.area(spline(behind, closed=True), soft=2.0).paint(
            picture, linear(look.hair) * brightness * 0.75
        )
    neck = (57.0 if shape.sex == "male" else 47.5) * shape.jaw_width * shape.face_width
    _paint_neck(body, picture, look, view, neck)
    _paint_clothes(body, picture, look, view, neck)
    shadow = blurred(head, 7 * scale)
    drop = np.array([[1, 0, view.light[0] * 16 * scale], [0, 1, -20 * scale]], float)
    shadow = cv2.warpAffine(
        shadow,
        drop,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    below = np.clip((body.lines() - 40) / 40, 0, 1)
    picture *= 1 - (0.62 * shadow * below)[..., None]
    return picture


def _paint_neck(body: Canvas, picture: Image, look: Look, view: View, neck: float) -> None:
    half = np.array(
        [
            (neck, 30),
            (neck - 1, 95),
            (neck + 2, 125),
            (neck + 14, 148),
            (neck + 60, 166),
            (150, 185),
            (170, 330),
        ]
    )
    outline = np.vstack([spline(half), (spline(half) * (-1, 1))[::-1]])
    patch = body.area(outline, soft=0.5)
    x = body.columns() / np.float32(neck * 1.25)
    slope = x / np.sqrt(np.clip(1.15 - x * x, 0.12, None))
    facing = np.clip(
        (view.light[2] + view.light[0] * slope) / np.sqrt(1 + slope * slope) + 0.25, 0.05, None
    )
    lit = (view.key * 0.62 * facing + view.fill * 0.62).astype(np.float32)
    colour = (
        linear(look.skin).astype(np.float32)
        * np.array([1.0, 0.94, 0.92], np.float32)
        * lit[..., None]
    )
    part = picture[patch.window]
    part += (np.broadcast_to(colour, picture.shape)[patch.window] - part) * patch.mask[..., None]
    for sign in (-1.0, 1.0):
        tendon = np.array([(sign * (neck - 10), 110), (sign * (neck - 26), 140), (sign * 10, 166)])
        body.ribbon(spline(tendon), 7.0, soft=4.0).scale(picture, 0.9)


def _paint_clothes(body: Canvas, picture: Image, look: Look, view: View, neck: float) -> None:
    collar = np.array(
        [(0, 176), (neck * 0.62, 166), (neck + 6, 146), (neck + 40, 154), (150, 180), (175, 340)]
    )
    edge = spline(collar)
    outline = np.vstack([edge, (edge * (-1, 1))[::-1]])
    light = view.key * 0.55 + view.fill * 0.7
    body.area(outline, soft=0.5).paint(picture, linear(look.clothes) * light)
    for sign in (-1.0, 1.0):
        hem = edge[:17] * (sign, 1) + (0, 3)
        body.ribbon(hem, 3.0, soft=1.2).scale(picture, 0.75)
        body.ribbon(
            np.array([(sign * 60, 175), (sign * 75, 230), (sign * 70, 330)]), 10, soft=7
        ).scale(picture, 0.85)
        body.area(
            np.array([(sign * 40, 160), (sign * 170, 160), (sign * 170, 340), (sign * 90, 340)]),
            soft=18,
        ).scale(picture, 1 + 0.35 * sign * float(view.light[0]))
