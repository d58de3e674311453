"""From a face to a photograph: the head is drawn, lit, turned, set on its body and developed."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.simulated.canvas import Canvas, Image
from datasets.simulated.facial_features import add_catchlights, paint_eyes, paint_mouth
from datasets.simulated.hair import ear_outline, head_outline, paint_hair
from datasets.simulated.light import shade
from datasets.simulated.look import Look, View
from datasets.simulated.movement import Expression
from datasets.simulated.projection import Projection, depth_at
from datasets.simulated.relief import add_creases, find_creases, head_relief, smoothed_for_pose
from datasets.simulated.shape import FloatArray, Shape
from datasets.simulated.skin import paint_brows, paint_lips, paint_nostrils, paint_skin
from datasets.simulated.surroundings import paint_surroundings

_SUPERSAMPLING = 1.0
_HAIR_DEPTH_MM = -58.0


def render(
    shape: Shape, look: Look, face: Expression, view: View, *, width: int, height: int, seed: int
) -> tuple[NDArray[np.uint8], FloatArray]:
    """Photograph one face.

    Parameters
    ----------
    shape, look, face, view
        Who, how they look, what they do, and how they are seen.
    width, height
        Size of the picture in pixels.
    seed
        Seed of the sensor noise.

    Returns
    -------
    rgb : (height, width, 3) uint8
    points : (68, 2) float64
        True landmarks in pixels of the picture.
    """
    projection = Projection.of(view, width, height)
    scale = projection.scale * _SUPERSAMPLING
    canvas = Canvas(-98.0, -140.0, scale, int(272 * scale), int(196 * scale))
    relief = head_relief(canvas, shape, face)
    plain = smoothed_for_pose(canvas, relief)
    points = projection.forward(face.points, depth_at(canvas, plain, face.points))

    radiance, cover = _head(canvas, relief, shape, look, face, view)
    map_x, map_y = projection.backward(canvas, plain, width, height)
    seen = cv2.remap(np.dstack([radiance, cover]), map_x, map_y, cv2.INTER_LINEAR)
    picture = paint_surroundings(look, view, projection, seen[..., 3], shape, width, height)
    picture += (seen[..., :3] - picture) * seen[..., 3:]
    return _develop(picture, view, np.random.default_rng([seed, 3])), points


def _head(
    canvas: Canvas, relief: Image, shape: Shape, look: Look, face: Expression, view: View
) -> tuple[Image, Image]:
    """Linear light of the head and how much of the canvas it covers."""
    colour = paint_skin(canvas, shape, look, face)
    cover = canvas.area(head_outline(shape, face.points), soft=0.3)
    mask = canvas.blank()
    cover.add(mask, 1.0)
    fine = relief.copy()
    darkness = add_creases(canvas, fine, find_creases(shape, look.lines, face))
    colour *= 1 - darkness[..., None] * np.array([0.30, 0.40, 0.42], np.float32)
    paint_lips(canvas, colour, look, face)
    paint_nostrils(canvas, colour, shape, face)
    paint_brows(canvas, colour, look, face)
    paint_mouth(canvas, colour, face)
    wet = paint_eyes(canvas, colour, look, face)
    mask = _add_ears(canvas, fine, colour, mask, shape)
    hair = paint_hair(canvas, colour, look, shape, face.points, mask)
    falling = hair * (1 - mask) * np.clip(canvas.lines() / 50, 0, 1)
    fine += falling * (_HAIR_DEPTH_MM - fine)
    gloss = 0.055 * (1 - 0.6 * hair) * (1 - wet)
    canvas.blob((face.points[57] + face.points[66]) / 2, (9, 2.5)).add(gloss, 0.05)
    radiance = shade(colour, fine, canvas.scale, view, gloss)
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


def _develop(picture: Image, view: View, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Linear light to an 8-bit photograph: lens, tone curve, colour cast, sensor noise."""
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.45), np.float32)
    cast = np.array([1 + view.warmth, 1.0, 1 - view.warmth], np.float32)
    exposed = np.clip(picture * cast * np.float32(0.98), 0, None)
    exposed = exposed / (1 + 0.18 * exposed) * np.float32(1.1)
    grey = 255 * np.asarray(cv2.pow(exposed, 1 / 2.2))
    noise = rng.standard_normal(grey.shape[:2], dtype=np.float32)[..., None] * np.float32(
        view.noise
    )
    return np.asarray(np.clip(np.round(grey + noise), 0, 255), np.uint8)
