"""Eyes and open mouth of a simulated face, drawn between the lids and lips of its 68 points."""

from __future__ import annotations

import numpy as np

from datasets.simulated.canvas import Canvas, Image, shifted, spline, taper
from datasets.simulated.look import Look
from datasets.simulated.movement import Expression
from datasets.simulated.shape import IRIS_DIAMETER_MM, FloatArray
from datasets.simulated.skin import linear

_ROLL_UP_MM = 6.0
_LIPS_PART_MM = 1.4
_INCISAL_EDGE_MM = 68.6
_UPPER_TEETH_MM = (0.0, 8.4, 15.0, 22.4, 29.0)
_LOWER_TEETH_MM = (0.0, 5.4, 11.2, 17.8, 24.0)


def eye_outline(face: Expression, side: int) -> tuple[FloatArray, FloatArray]:
    """Upper and lower lid margin of the right (0) or left (1) eye, image left to right."""
    start = 36 if side == 0 else 42
    p = face.points
    upper = spline(p[start : start + 4])
    lower = spline(p[[start, start + 5, start + 4, start + 3]])
    return upper, lower


def pupil_centre(face: Expression, side: int) -> FloatArray:
    """Centre of the pupil in mm; the eye rolls up behind a lid that fails to close."""
    corners = face.points[[36, 39]] if side == 0 else face.points[[42, 45]]
    rolled = face.closing[side] * _ROLL_UP_MM
    centre: FloatArray = corners.mean(0) - (0.0, 0.3 + rolled)
    return centre


def paint_eyes(canvas: Canvas, skin: Image, look: Look, face: Expression) -> Image:
    """Draw both eyes with lids and lashes, in place; returns where the wet eye shows, 0 to 1."""
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
    """The main light mirrored in each cornea, in place, after shading."""
    for side in (0, 1):
        spot = pupil_centre(face, side) + np.array([light[0] * 2.6, light[1] * 2.8])
        canvas.blob(spot, 0.75).within(wet).paint(radiance, (0.95, 0.95, 0.95), 1.0)


def paint_mouth(canvas: Canvas, skin: Image, face: Expression) -> None:
    """Draw the line between the lips, or the teeth and the dark behind them, in place."""
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
        _paint_teeth(
            local, inside, _INCISAL_EDGE_MM + floor * 0.55 + 0.8 + drop, _LOWER_TEETH_MM, 1.0
        )
        _paint_teeth(local, inside, _INCISAL_EDGE_MM + floor * 0.55, _UPPER_TEETH_MM, -1.0)
        local.ribbon(upper, 3.0, soft=1.0).scale(inside, 0.5)
        for corner in (p[60], p[64]):
            local.blob(corner, (6, 5)).scale(inside, 0.3)
        part = skin[opening.window]
        part += (inside - part) * opening.mask[..., None]
    line = (upper + lower) / 2
    dark = linear((0.33, 0.14, 0.13))
    canvas.ribbon(
        line, 1.0 * taper(len(line), ends=0.5) * np.clip(2.2 - gap, 0, 1), soft=0.3
    ).paint(skin, dark, 0.85)
    canvas.ribbon(upper, 0.5, soft=0.25).paint(skin, dark, 0.5)


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
    crease = (
        upper
        + np.array([0, -1.0]) * (2.2 + 1.6 * np.sin(np.linspace(0, np.pi, len(upper))))[:, None]
    )
    lift = (1 - open_) * 4.2
    crease[:, 1] -= lift * np.sin(np.linspace(0, np.pi, len(upper))) ** 0.7
    canvas.ribbon(crease, 1.5 * taper(len(crease)), soft=0.55).scale(skin, (0.52, 0.44, 0.43))
    swell = np.linspace(0.45, 1.0, len(upper)) if sign > 0 else np.linspace(1.0, 0.45, len(upper))
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
        canvas.ribbon(np.array([(border, top), (border, top + grows * 9)]), 0.5, soft=0.3).scale(
            inside, 0.62
        )
    canvas.ribbon(np.stack([x, bite], 1), 0.6, soft=0.3).scale(inside, 0.7)
    for sign in (-1.0, 1.0):
        canvas.blob((sign * borders[-1], edge + grows * 4), (9, 14)).scale(inside, 0.35)
