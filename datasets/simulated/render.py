"""From a face to a photograph: the head is drawn, lit, turned, set on its body and developed.

A point at (x, y) with depth z is seen at ``scale * R (x, y, z)``; a picture is filled by solving
this for (x, y) at every pixel. The 68 points go through the same formula with the same depth,
which is why they are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.simulated.canvas import Canvas, FloatArray, Image, blurred
from datasets.simulated.facial_features import (
    add_catchlights,
    paint_brows,
    paint_eyes,
    paint_lips,
    paint_mouth,
    paint_nostrils,
    paint_skin,
)
from datasets.simulated.folds import add_creases, find_creases
from datasets.simulated.look import Look, View
from datasets.simulated.movement import Expression
from datasets.simulated.relief import head_relief, smoothed_for_pose
from datasets.simulated.shape import Shape
from datasets.simulated.surroundings import (
    ear_outline,
    head_outline,
    paint_hair,
    paint_surroundings,
)

_EYE_LEVEL = 0.44
_FRAME_MM = 258.0
_HAIR_DEPTH_MM = -58.0
_PIVOT_MM = -62.0  # depth of the axis about which the head turns


@dataclass(frozen=True)
class Projection:
    """Weak-perspective view of the face plane: millimetres to pixels of the picture.

    `matrix` is the scaled rotation, ``(2, 3)``, `centre` the pixel where the pivot of the head is
    seen.
    """

    matrix: FloatArray
    centre: FloatArray

    @classmethod
    def of(cls, view: View, width: int, height: int) -> Projection:
        """The projection of a view on to a picture of ``width`` by ``height`` pixels."""
        yaw, pitch, roll = np.radians([view.yaw, view.pitch, view.roll])
        c, s = np.cos(yaw), np.sin(yaw)
        turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        c, s = np.cos(pitch), np.sin(pitch)
        nod = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
        # y points down, so a head that leans counter-clockwise as seen turns by -roll here.
        c, s = np.cos(roll), np.sin(roll)
        lean = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        scale = min(width, 0.75 * height) / _FRAME_MM * view.distance
        middle = np.array([(width - 1) / 2, _EYE_LEVEL * (height - 1)])
        return cls((scale * lean @ turn @ nod)[:2], middle + view.shift * width)

    @property
    def size(self) -> float:
        """Pixels per millimetre across the line of sight, however the head is turned."""
        return float(np.linalg.norm(self.matrix[0]))

    @property
    def scale(self) -> float:
        """Pixels per millimetre in the plane of the face, foreshortened where it is turned."""
        return float(np.sqrt(np.abs(np.linalg.det(self.matrix[:, :2]))))

    def body(self, width: int, height: int) -> Canvas:
        """The plane of the face seen frontally over the whole picture, to draw the body on."""
        left, top = -self.centre / self.scale
        return Canvas(left, top, self.scale, height, width)

    def forward(self, points: FloatArray, depth: FloatArray) -> FloatArray:
        """Pixels of points ``(n, 2)`` mm at depths ``(n,)`` mm."""
        return self.centre + np.column_stack([points, depth - _PIVOT_MM]) @ self.matrix.T

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
        lift = relief - np.float32(_PIVOT_MM)
        for _ in range(4):
            z = cv2.remap(lift, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            at_x, at_y = base_x - shift_x * z, base_y - shift_y * z
        at_x, at_y = (cv2.resize(a, (width, height)) for a in (at_x, at_y))
        return at_x, at_y


def depth_at(canvas: Canvas, relief: Image, points: FloatArray) -> FloatArray:
    """Depth in mm under points in mm, between the pixels of the relief; ``(n,)``."""
    at = canvas.pixels(points).astype(np.float32)
    depth = cv2.remap(
        relief, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(depth, float).ravel()


def render(
    shape: Shape, look: Look, face: Expression, view: View, *, width: int, height: int, seed: int
) -> tuple[NDArray[np.uint8], FloatArray]:
    """Photograph one face; `seed` is that of the sensor noise.

    Returns `(height, width, 3)` RGB uint8 and the `(68, 2)` true landmarks in px of the picture.
    """
    projection = Projection.of(view, width, height)
    head = draw_head(shape, look, face, view, scale=projection.scale)
    seen = head.seen(projection, width, height)
    picture = paint_surroundings(projection.body(width, height), shape, look, view, seen[..., 3])
    return develop(picture, seen, view, np.random.default_rng([seed, 3])), head.points(projection)


@dataclass(frozen=True)
class DrawnHead:
    """A head, drawn and lit, that can be seen from any view.

    `radiance` is linear light and, behind it, how much of the canvas the head covers, ``(rows,
    cols, 4)``; `relief` is the depth that turns with the head, mm; `landmarks` are in mm.
    """

    canvas: Canvas
    relief: Image
    radiance: Image
    landmarks: FloatArray

    def seen(self, projection: Projection, width: int, height: int) -> Image:
        """The head in a picture: linear light and cover, ``(height, width, 4)``."""
        map_x, map_y = projection.backward(self.canvas, self.relief, width, height)
        return np.asarray(cv2.remap(self.radiance, map_x, map_y, cv2.INTER_LINEAR), np.float32)

    def points(self, projection: Projection) -> FloatArray:
        """The landmarks in pixels of that picture, ``(68, 2)``."""
        depth = depth_at(self.canvas, self.relief, self.landmarks)
        return projection.forward(self.landmarks, depth)


def draw_head(shape: Shape, look: Look, face: Expression, view: View, *, scale: float) -> DrawnHead:
    """Draw a head at `scale` pixels per mm; of the view, only its light counts."""
    canvas = Canvas(-98.0, -140.0, scale, int(272 * scale), int(196 * scale))
    relief = head_relief(canvas, shape, face)
    plain = smoothed_for_pose(canvas, relief)
    radiance, cover = _head(canvas, relief, shape, look, face, view)
    return DrawnHead(canvas, plain, np.dstack([radiance, cover]), face.points)


def _head(
    canvas: Canvas, relief: Image, shape: Shape, look: Look, face: Expression, view: View
) -> tuple[Image, Image]:
    """Linear light of the head and how much of the canvas it covers."""
    colour = paint_skin(canvas, shape, look, face)
    cover = canvas.area(head_outline(shape, face.points), soft=0.3)
    mask = canvas.blank()
    cover.add(mask, 1.0)
    fine = relief.copy()
    swollen = look.folds > 0
    darkness = add_creases(canvas, fine, find_creases(look, face), swollen=swollen)
    colour *= 1 - darkness[..., None] * np.array([0.30, 0.40, 0.42], np.float32)
    paint_lips(canvas, colour, look, face)
    paint_nostrils(canvas, colour, shape, face)
    paint_brows(canvas, colour, look, face)
    paint_mouth(canvas, colour, face)
    wet = paint_eyes(canvas, colour, look, face)
    mask = _add_ears(canvas, fine, colour, mask, shape)
    hair = paint_hair(canvas, colour, look, shape, face.points, mask)
    if swollen:  # a fringe has no furrows
        fine += hair * (relief - fine) * mask
    falling = hair * (1 - mask) * np.clip(canvas.lines() / 50, 0, 1)
    fine += falling * (_HAIR_DEPTH_MM - fine)
    gloss = 0.055 * (1 - 0.6 * hair) * (1 - wet)
    canvas.blob((face.points[57] + face.points[66]) / 2, (9, 2.5)).add(gloss, 0.05)
    radiance = _shade(colour, fine, canvas.scale, view, gloss)
    add_catchlights(canvas, radiance, face, wet, view.light)
    return radiance, np.maximum(mask, hair)


def _add_ears(canvas: Canvas, relief: Image, colour: Image, mask: Image, shape: Shape) -> Image:
    """Ears beside the head; they show only where the head does not cover them."""
    beside = 1 - mask
    for sign in (-1.0, 1.0):
        outline = ear_outline(shape, sign)
        ear = canvas.area(outline, soft=0.3).within(beside)
        inner = outline.mean(0) + (outline - outline.mean(0)) * (0.55, 0.62) + (0, -3)
        hollow = canvas.area(inner, soft=1.2).within(beside)
        ear.scale(colour, (0.98, 0.86, 0.84))
        hollow.scale(colour, (0.72, 0.60, 0.58))
        level = canvas.area(outline, soft=1.5).within(beside)
        relief[level.window] += level.mask * (-66 - relief[level.window] + 3.0)
        hollow.add(relief, -2.5)
        ear.add(mask, 1.0)
    return np.clip(mask, 0, 1)


def develop(picture: Image, head: Image, view: View, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Linear light to an 8-bit photograph: lens, tone curve, colour cast, sensor noise.

    `picture` is what lies behind the head, ``(height, width, 3)``; `head` is `DrawnHead.seen`.
    """
    picture = picture + (head[..., :3] - picture) * head[..., 3:]
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.45), np.float32)
    cast = np.array([1 + view.warmth, 1.0, 1 - view.warmth], np.float32)
    exposed = np.clip(picture * cast * np.float32(0.98), 0, None)
    exposed = exposed / (1 + 0.18 * exposed) * np.float32(1.1)
    grey = 255 * np.asarray(cv2.pow(exposed, 1 / 2.2))
    noise = rng.standard_normal(grey.shape[:2], dtype=np.float32)[..., None]
    noisy = np.round(grey + noise * np.float32(view.noise))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _shade(colour: Image, relief: Image, scale: float, view: View, gloss: Image | float) -> Image:
    """Light a coloured relief; linear light, ``(rows, cols, 3)``."""
    slope_x = cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3) * np.float32(scale / 8)
    slope_y = cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3) * np.float32(scale / 8)
    upright = 1 / np.sqrt(slope_x * slope_x + slope_y * slope_y + 1)
    light = view.light.astype(np.float32)
    facing = (light[2] - light[0] * slope_x - light[1] * slope_y) * upright
    facing *= 1 - 0.55 * _cast_shadow(relief, scale, view)
    half = light + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    mirror = np.clip((half[2] - half[0] * slope_x - half[1] * slope_y) * upright, 0, 1)
    mirror = mirror * mirror
    mirror = mirror * mirror
    shine = (mirror**4) * gloss
    around = blurred(relief, 7.0 * scale)
    hollow = np.clip(around - relief, -1.0, 8.0)
    open_sky = np.exp(-0.10 * hollow) * (0.72 + 0.28 * upright)
    from_above = 0.88 + 0.12 * np.clip(slope_y * upright, -1, 1)
    key = np.float32(view.key)
    fill = np.float32(view.fill) * open_sky * from_above
    lit = np.empty_like(colour)
    # Light scatters in skin, red the farthest: the edge of a shadow is soft and warm.
    for channel, wrap in enumerate((0.38, 0.24, 0.18)):
        diffuse = np.clip((facing + wrap) / (1 + wrap), 0, None)
        falling = key * diffuse * (0.4 + 0.6 * open_sky) + fill
        lit[..., channel] = colour[..., channel] * falling + shine
    return lit


def _cast_shadow(relief: Image, scale: float, view: View) -> Image:
    """How much of the main light each point loses to the nose, brow and lips, 0 to 1."""
    light = view.light
    coarse = cv2.resize(relief, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
    rows, cols = coarse.shape
    shadow = np.zeros_like(coarse)
    for reach in (4.0, 8.0, 13.0, 19.0, 26.0):
        x, y = (light[axis] * reach * scale * 0.3 for axis in (0, 1))
        beyond = cv2.warpAffine(
            coarse, np.array([[1, 0, x], [0, 1, y]]), (cols, rows),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        shadow = np.maximum(shadow, np.clip((beyond - coarse - light[2] * reach) / 3.0, 0, 1))
    soft = cv2.GaussianBlur(shadow, (0, 0), 1.6 * scale * 0.3)
    return np.asarray(cv2.resize(soft, relief.shape[::-1]), np.float32)
