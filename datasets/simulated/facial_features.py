"""Colour of a simulated face: skin, brows, nostrils, eyes, lips and open mouth on its 68 points.

Colours are linear light, 0 to 1; ``linear`` turns the sRGB colours of a look into them. Everything
is painted into the picture of the skin, in place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from datasets.simulated.canvas import (
    Canvas,
    FloatArray,
    Image,
    ribbon_outline,
    shifted,
    smooth_noise,
    spline,
    taper,
)
from datasets.simulated.look import Look
from datasets.simulated.movement import Expression
from datasets.simulated.shape import IRIS_DIAMETER_MM, Shape

_SIDES = (-1.0, 1.0)
_ROLL_UP_MM = 6.0
_LIPS_PART_MM = 1.4
_INCISAL_EDGE_MM = 68.6
_UPPER_TEETH_MM = (0.0, 8.4, 15.0, 22.4, 29.0)
_LOWER_TEETH_MM = (0.0, 5.4, 11.2, 17.8, 24.0)


def linear(colour: ArrayLike) -> FloatArray:
    """sRGB (0 to 1) to linear light, by the usual power of 2.2."""
    return np.clip(np.asarray(colour, float), 0, None) ** 2.2


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
    """Upper and lower lip."""
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
    """Brows: a soft ground and hair by hair, following the five points of each."""
    rng = np.random.default_rng([look.texture_seed, 1])
    colour = linear(look.brows)
    for sign, brow in ((-1.0, face.points[21:16:-1]), (1.0, face.points[22:27])):
        ends = np.vstack([brow, brow[-1] + (brow[-1] - brow[-2]) * 0.25])
        curve = spline(ends)
        place = np.linspace(0, 1, len(curve))
        width = look.brow_width * 7.0 * np.clip(0.72 + 0.9 * place - 1.45 * place**2, 0.12, 1)
        canvas.ribbon(curve, width, soft=0.8).paint(skin, colour, 0.74)
        hairs, shades = [], []
        for at in rng.uniform(0, 0.97, 65):
            k = int(at * (len(curve) - 1))
            root = curve[k] + (0, rng.uniform(-0.48, 0.45) * width[k])
            along = (curve[min(k + 3, len(curve) - 1)] - curve[max(k - 3, 0)]) * (sign, 1)
            lean = np.radians(55 * (1 - at) ** 2 + rng.normal(2, 9))
            lean -= np.arctan2(along[1], along[0])
            step = np.array([sign * np.cos(lean), -np.sin(lean)]) * rng.uniform(2.6, 4.4)
            hairs.append([root - 0.5 * step, root, root + 0.5 * step + (0, 0.3)])
            shades.append(rng.uniform(0.5, 1.5))
        outlines = ribbon_outline(np.array(hairs), [0.5, 0.42, 0.1])
        for outline, shade in zip(outlines, shades, strict=True):
            canvas.area(outline).paint(skin, colour * shade, 0.6)


def paint_nostrils(canvas: Canvas, skin: Image, shape: Shape, face: Expression) -> None:
    """Nostrils and the shadow beneath the nose."""
    p = face.points
    for inner, wing, sign in ((p[32], p[31], -1.0), (p[34], p[35], 1.0)):
        hole = (0.62 * inner + 0.38 * wing) + (0, -0.6)
        canvas.blob(hole, (3.0 * shape.nose_width, 1.45)).scale(skin, (0.16, 0.10, 0.09))
        rim = [(sign * 4.6, -9.5), (sign * 6.2, -5), (sign * 4.2, -0.6), (0, 0.8)]
        edge = canvas.ribbon(spline(wing + np.array(rim)), [0.5] * 8 + [1.4] * 17, soft=0.75)
        edge.scale(skin, (0.62, 0.52, 0.50))
    base = np.vstack([p[31:36], p[[35, 33, 31]] + [(0, 1.8), (0, 2.6), (0, 1.8)]])
    canvas.area(base, soft=1.3).scale(skin, (0.70, 0.63, 0.62))


def eye_outline(face: Expression, side: int) -> tuple[FloatArray, FloatArray]:
    """Upper and lower lid margin of the right (0) or left (1) eye, image left to right."""
    start = 36 if side == 0 else 42
    p = face.points
    return spline(p[start : start + 4]), spline(p[[start, start + 5, start + 4, start + 3]])


def pupil_centre(face: Expression, side: int) -> FloatArray:
    """Centre of the pupil in mm; the eye rolls up behind a lid that fails to close."""
    corners = face.points[[36, 39]] if side == 0 else face.points[[42, 45]]
    rolled = face.closing[side] * _ROLL_UP_MM
    return corners.mean(0) - (0.0, 0.3 + rolled)


def paint_eyes(canvas: Canvas, skin: Image, look: Look, face: Expression) -> Image:
    """Both eyes with lids and lashes; returns where the wet eye shows, 0 to 1."""
    wet = canvas.blank()
    for side, sign in ((0, -1.0), (1, 1.0)):
        upper, lower = eye_outline(face, side)
        opening = canvas.area(np.vstack([upper, lower[::-1]]), soft=0.12)
        eyeball = np.empty_like(skin[opening.window])
        eyeball[:] = linear((0.90, 0.875, 0.86))
        _paint_eyeball(canvas, opening.window, eyeball, look, face, side)
        part = skin[opening.window]
        part += (eyeball - part) * opening.mask[..., None]
        opening.add(wet, 1.0)
        _paint_lids(canvas, skin, look, face, side, sign)
    return np.clip(wet, 0, 1)


def add_catchlights(
    canvas: Canvas, radiance: Image, face: Expression, wet: Image, light: FloatArray
) -> None:
    """The main light mirrored in each cornea, after shading."""
    for side in (0, 1):
        spot = pupil_centre(face, side) + np.array([light[0] * 2.6, light[1] * 2.8])
        canvas.blob(spot, 0.75).within(wet).paint(radiance, (0.95, 0.95, 0.95), 1.0)


def paint_mouth(canvas: Canvas, skin: Image, face: Expression) -> None:
    """The line between the lips, or the teeth and the dark behind them."""
    p = face.points
    upper, lower = spline(p[60:65]), spline(p[[60, 67, 66, 65, 64]])
    gap = np.clip(np.abs(lower[:, 1] - upper[:, 1]), 0.5, None)
    opening = canvas.area(np.vstack([upper, lower[::-1]]), soft=0.2)
    inside = np.empty_like(skin[opening.window])
    inside[:] = linear((0.30, 0.11, 0.11))
    local = canvas.part(opening.window)
    if inside.size and gap.max() > _LIPS_PART_MM:
        drop = float(face.of("jaw").mean()) * 6.2
        floor = p[8, 1] - drop - 113.0  # this person's lower face against the average
        edge = _INCISAL_EDGE_MM + floor * 0.55
        _paint_teeth(local, inside, edge + 0.8 + drop, _LOWER_TEETH_MM, 1.0)
        _paint_teeth(local, inside, edge, _UPPER_TEETH_MM, -1.0)
        local.ribbon(upper, 3.0, soft=1.0).scale(inside, 0.5)
        for corner in (p[60], p[64]):
            local.blob(corner, (6, 5)).scale(inside, 0.3)
        part = skin[opening.window]
        part += (inside - part) * opening.mask[..., None]
    line = (upper + lower) / 2
    dark = linear((0.33, 0.14, 0.13))
    width = taper(len(line), ends=0.5) * np.clip(2.2 - gap, 0, 1)
    canvas.ribbon(line, width, soft=0.3).paint(skin, dark, 0.85)
    canvas.ribbon(upper, 0.5, soft=0.25).paint(skin, dark, 0.5)


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
    lip = p[[54, 52, 33, 50, 48]] + [(9, -2), (7, -5), (0, 7), (-7, -5), (-9, -2)]
    jaw = np.vstack([p[3:14] * (0.96, 1.0), lip])
    canvas.area(jaw, soft=4.5).add(shadow, 1.0)
    grain = 1 + 0.35 * rng.standard_normal(shadow.shape).astype(np.float32)
    cover = shadow * grain * np.float32(0.42 * look.stubble)
    dark = (linear(look.skin) * 0.35 + linear(look.hair) * 0.5).astype(np.float32)
    skin += (dark - skin) * np.clip(cover, 0, 0.8)[..., None]


def _paint_eyeball(
    canvas: Canvas,
    window: tuple[slice, slice],
    eyeball: Image,
    look: Look,
    face: Expression,
    side: int,
) -> None:
    """White, iris, pupil and the shade of the upper lid, on the window's own small canvas."""
    local = canvas.part(window)
    if not eyeball.size:
        return
    start = 36 if side == 0 else 42
    corners = face.points[[start, start + 3]]
    inner = corners[1] if side == 0 else corners[0]
    for corner in corners:
        local.blob(corner, (4.5, 5)).scale(eyeball, (0.72, 0.62, 0.60))
    local.blob(inner, (1.7, 1.4)).paint(eyeball, linear((0.72, 0.46, 0.42)), 0.9)
    centre = pupil_centre(face, side)
    radius = IRIS_DIAMETER_MM / 2
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], 1)
    iris = linear(look.iris)
    local.area(centre + radius * ring, soft=0.28).paint(eyeball, iris * 0.30)
    local.area(centre + 0.86 * radius * ring, soft=0.4).paint(eyeball, iris * 0.85)
    local.area(centre + 0.56 * radius * ring, soft=0.5).paint(eyeball, iris * 1.25, 0.75)
    local.blob(shifted(centre, 0, 2.8), (3.2, 1.8)).scale(eyeball, 1.25)
    local.area(centre + 1.85 * ring, soft=0.15).paint(eyeball, (0.004, 0.004, 0.004))
    upper, _ = eye_outline(face, side)
    local.ribbon(upper, 3.4, soft=1.1).scale(eyeball, 0.36)


def _paint_lids(
    canvas: Canvas, skin: Image, look: Look, face: Expression, side: int, sign: float
) -> None:
    upper, lower = eye_outline(face, side)
    open_ = float(np.clip((lower[:, 1] - upper[:, 1]).max() / 9.0, 0, 1))
    dark = np.minimum(linear(look.brows) * 0.4, linear((0.2, 0.16, 0.14)))
    arch = np.sin(np.linspace(0, np.pi, len(upper)))
    crease = upper + np.array([0, -1.0]) * (2.2 + 1.6 * arch)[:, None]
    crease[:, 1] -= (1 - open_) * 4.2 * arch**0.7
    canvas.ribbon(crease, 1.5 * taper(len(crease)), soft=0.55).scale(skin, (0.52, 0.44, 0.43))
    swell = np.linspace(*((0.45, 1.0) if sign > 0 else (1.0, 0.45)), len(upper))
    canvas.ribbon(lower, 0.7, soft=0.35).scale(skin, (0.62, 0.52, 0.50))
    canvas.ribbon(shifted(lower, 0, 0.9), 0.8, soft=0.4).scale(skin, 1.06)
    canvas.ribbon(upper, 1.35 * look.lashes * swell, soft=0.22).paint(skin, dark, 0.93)
    _paint_lashes(canvas, skin, dark, look, upper, sign, 1.6 * open_ - 1.0)


def _paint_lashes(
    canvas: Canvas,
    skin: Image,
    dark: FloatArray,
    look: Look,
    upper: FloatArray,
    sign: float,
    up: float,
) -> None:
    """A few single lashes towards the outer corner; they point down on a closed lid."""
    for k in range(2, len(upper) - 1, 2):
        out = k / (len(upper) - 1) if sign > 0 else 1 - k / (len(upper) - 1)
        if out < 0.25:
            continue
        tip = np.array([sign * 2.2 * (out - 0.2), -1.9 * up]) * look.lashes * (0.5 + 0.6 * out)
        hair = np.array([upper[k], upper[k] + 0.55 * tip + (0, 0.1), upper[k] + tip])
        canvas.ribbon(hair, [0.55, 0.4, 0.1]).paint(skin, dark, 0.75)


def _paint_teeth(
    canvas: Canvas, inside: Image, edge: float, borders: tuple[float, ...], grows: float
) -> None:
    """One row of teeth: ``edge`` is its biting edge, ``grows`` +1 down or -1 up from there."""
    white = linear((0.90, 0.86, 0.79))
    x = np.linspace(-borders[-1], borders[-1], 25)
    bite = edge - 0.0022 * x**2
    gum = bite + grows * (9.5 - 0.004 * x**2)
    outline = np.vstack([np.stack([x, bite], 1), np.stack([x, gum], 1)[::-1]])
    canvas.area(outline, soft=0.35).paint(inside, white, 0.96)
    for border in (*borders[:-1], *(-b for b in borders[1:-1])):
        top = edge - 0.0022 * border**2
        gap = canvas.ribbon([(border, top), (border, top + grows * 9)], 0.5, soft=0.3)
        gap.scale(inside, 0.62)
    canvas.ribbon(np.stack([x, bite], 1), 0.6, soft=0.3).scale(inside, 0.7)
    for sign in (-1.0, 1.0):
        canvas.blob((sign * borders[-1], edge + grows * 4), (9, 14)).scale(inside, 0.35)
