"""Colour of a simulated face: skin, cheeks, lips, brows and the shadows in its openings.

Colours are linear light, 0 to 1; ``linear`` turns the sRGB colours of a look into them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from datasets.simulated.canvas import Canvas, Image, shifted, smooth_noise, spline
from datasets.simulated.look import Look
from datasets.simulated.movement import Expression
from datasets.simulated.shape import FloatArray, Shape

_SIDES = (-1.0, 1.0)


def linear(colour: ArrayLike) -> FloatArray:
    """sRGB (0 to 1) to linear light, by the usual power of 2.2."""
    light: FloatArray = np.clip(np.asarray(colour, float), 0, None) ** 2.2
    return light


def paint_skin(canvas: Canvas, shape: Shape, look: Look, face: Expression) -> Image:
    """Colour of bare skin over the whole canvas, ``(rows, cols, 3)``."""
    p = face.points
    rng = np.random.default_rng(look.texture_seed)
    rows, cols, scale = canvas.rows, canvas.cols, canvas.scale
    mottle = 0.028 * smooth_noise(rng, rows, cols, 9 * scale)
    mottle += 0.022 * smooth_noise(rng, rows, cols, 3 * scale)
    mottle += 0.030 * smooth_noise(rng, rows, cols, max(0.8 * scale, 1.0))
    skin = linear(look.skin).astype(np.float32) * (1 + mottle)[..., None]

    flush = canvas.blank()
    for sign in _SIDES:
        canvas.blob((sign * 38, 34), (16, 12)).add(flush, 0.75)
        canvas.blob((sign * 15, 37), (6, 6)).add(flush, 0.4)
    canvas.blob(p[30], (9, 9)).add(flush, 0.7)
    canvas.blob((0, p[8, 1] - 10), (13, 8)).add(flush, 0.35)
    tint = np.array([0.02, 0.20, 0.17], np.float32) * np.float32(look.blush)
    skin *= 1 - flush[..., None] * tint

    for sign in _SIDES:  # the thin skin about the eyes is darker
        eye = p[36:42] if sign < 0 else p[42:48]
        canvas.blob(shifted(eye.mean(0), 0, 1), (18, 10)).scale(skin, (0.86, 0.80, 0.80))
        canvas.blob(shifted(eye.mean(0), -sign * 5, 9), (9, 3.2)).scale(skin, (0.90, 0.86, 0.88))
    _freckles(canvas, skin, look, rng)
    if look.stubble > 0:
        _stubble(canvas, skin, look, p, rng)
    return skin


def paint_lips(canvas: Canvas, skin: Image, look: Look, face: Expression) -> None:
    """Lips, in place."""
    p = face.points
    colour = linear(look.lips)
    upper = np.vstack([spline(p[48:55]), spline(p[[64, 63, 62, 61, 60]])])
    lower = np.vstack([spline(p[[60, 67, 66, 65, 64]]), spline(p[[54, 55, 56, 57, 58, 59, 48]])])
    canvas.area(upper, soft=0.45).paint(skin, colour * 0.80, 0.88)
    canvas.area(lower, soft=0.5).paint(skin, colour, 0.85)
    canvas.blob((p[57] + p[66]) / 2, (7, 2.2)).scale(skin, 1.12)
    for corner in (p[48], p[54]):
        canvas.blob(corner, (2.4, 1.9)).scale(skin, 0.66)


def paint_brows(canvas: Canvas, skin: Image, look: Look, face: Expression) -> None:
    """Brows: a soft ground and hair by hair, following the five points of each, in place."""
    rng = np.random.default_rng([look.texture_seed, 1])
    colour = linear(look.brows)
    for sign, brow in ((-1.0, face.points[21:16:-1]), (1.0, face.points[22:27])):
        ends = np.vstack([brow, brow[-1] + (brow[-1] - brow[-2]) * 0.25])
        curve = spline(ends)
        place = np.linspace(0, 1, len(curve))
        width = look.brow_width * 7.0 * np.clip(0.72 + 0.9 * place - 1.45 * place**2, 0.12, 1)
        canvas.ribbon(curve, width, soft=0.8).paint(skin, colour, 0.74)
        for at in rng.uniform(0, 0.97, 65):
            k = int(at * (len(curve) - 1))
            root = curve[k] + (0, rng.uniform(-0.48, 0.45) * width[k])
            along = (curve[min(k + 3, len(curve) - 1)] - curve[max(k - 3, 0)]) * (sign, 1)
            lean = np.radians(55 * (1 - at) ** 2 + rng.normal(2, 9)) - np.arctan2(
                along[1], along[0]
            )
            step = np.array([sign * np.cos(lean), -np.sin(lean)]) * rng.uniform(2.6, 4.4)
            hair = np.array([root - 0.5 * step, root, root + 0.5 * step + (0, 0.3)])
            canvas.ribbon(hair, [0.5, 0.42, 0.1]).paint(skin, colour * rng.uniform(0.5, 1.5), 0.6)


def paint_nostrils(canvas: Canvas, skin: Image, shape: Shape, face: Expression) -> None:
    """Nostrils and the shadow beneath the nose, in place."""
    p = face.points
    for inner, wing, sign in ((p[32], p[31], -1.0), (p[34], p[35], 1.0)):
        hole = (0.62 * inner + 0.38 * wing) + (0, -0.6)
        canvas.blob(hole, (3.0 * shape.nose_width, 1.45)).scale(skin, (0.16, 0.10, 0.09))
        rim = np.array(
            [
                shifted(wing, sign * 4.6, -9.5),
                shifted(wing, sign * 6.2, -5),
                shifted(wing, sign * 4.2, -0.6),
                shifted(wing, 0, 0.8),
            ]
        )
        canvas.ribbon(spline(rim), [0.5] * 8 + [1.4] * 17, soft=0.75).scale(
            skin, (0.62, 0.52, 0.50)
        )
    base = np.vstack(
        [p[31:36], shifted(p[35], 0, 1.8), shifted(p[33], 0, 2.6), shifted(p[31], 0, 1.8)]
    )
    canvas.area(base, soft=1.3).scale(skin, (0.70, 0.63, 0.62))


def _freckles(canvas: Canvas, skin: Image, look: Look, rng: np.random.Generator) -> None:
    for x, y, size in zip(
        rng.normal(0, 30, 90), rng.normal(22, 16, 90), rng.uniform(0.3, 0.7, 90), strict=True
    ):
        if look.freckles > 0.05:
            canvas.blob((x, y), size).scale(skin, 1 - 0.5 * min(look.freckles, 0.8))
    for x, y in rng.uniform((-55, -60), (55, 100), (3, 2)):
        canvas.blob((x, y), 0.55).scale(skin, (0.55, 0.46, 0.44))


def _stubble(
    canvas: Canvas, skin: Image, look: Look, p: FloatArray, rng: np.random.Generator
) -> None:
    """Beard shadow over lip, chin and jaw."""
    shadow = canvas.blank()
    jaw = np.vstack(
        [
            p[3:14] * (0.96, 1.0),
            shifted(p[54], 9, -2),
            shifted(p[52], 7, -5),
            shifted(p[33], 0, 7),
            shifted(p[50], -7, -5),
            p[48] - (9, 2),
        ]
    )
    canvas.area(jaw, soft=4.5).add(shadow, 1.0)
    grain = 1 + 0.35 * rng.standard_normal(shadow.shape).astype(np.float32)
    cover = shadow * grain * np.float32(0.42 * look.stubble)
    dark = (linear(look.skin) * 0.35 + linear(look.hair) * 0.5).astype(np.float32)
    skin += (dark - skin) * np.clip(cover, 0, 0.8)[..., None]
