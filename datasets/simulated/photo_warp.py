"""Facial palsy imposed on a real portrait: a smooth warp driven by its 68 points.

The portrait's points are put into millimetres, the movement and the palsy of the simulated faces
are done there, and the result is carried back into the picture by a thin-plate spline that leaves
everything beyond the head in place. What a warp cannot show (teeth behind closed lips, the lid of
an open eye) it does not invent: a closed eye is a narrow slit.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from common.errors import UserError
from datasets.simulated.canvas import Canvas, FloatArray
from datasets.simulated.folds import Crease, add_creases, find_creases, fold_depths
from datasets.simulated.look import Look
from datasets.simulated.movement import Kind, Palsy, Side, Vigour, check_movement, express
from datasets.simulated.shape import AVERAGE_POINTS

_EYE_SPAN_MM = 90.0
_LID_GAP_MM = 2.0
_GRID_MM = 3.0
_FIXED_RING = 1.75
_FOLDED_MM = (-75.0, -80.0, 75.0, 130.0)  # left, top, right, bottom of what folds are drawn on
_LIGHT_FROM_ABOVE = -0.6  # of the main light, for 1 from before
_AMBIENT = 0.3
_HEALTHY = Palsy(1, "none", "none")
_LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))


def simulate_from_photo(
    photo_rgb: NDArray[np.uint8],
    points: FloatArray,
    *,
    grade: int,
    side: Side,
    task: str = "rest",
    photo_task: str = "rest",
    kind: Kind = "flaccid",
    amplitude: float = 1.0,
) -> tuple[NDArray[np.uint8], FloatArray]:
    """Impose a movement with facial palsy on a portrait; return the picture and its points.

    `photo_rgb` is `(H, W, 3)` RGB uint8, best at rest or with a slight smile, from the front;
    `points` its `(68, 2)` landmarks in px, the patient's right at image left. `grade` is 1 (normal,
    the movement alone) to 6 (no movement); `side` the weak one, the patient's own, not used for
    grade 1; `task` one of `CONTRACTIONS`. `photo_task` is what the portrait shows already: with
    `full_smile` for both, the weak side loses the smile it has in the picture. `kind` is `flaccid`
    or `synkinetic`; `amplitude` how much of the movement is done, 0 to 1: large movements tear no
    picture, but stretch it.
    """
    palsy = _HEALTHY if grade == 1 else Palsy(grade, side, kind)
    return impose(
        photo_rgb, points, palsy=palsy, task=task, photo_task=photo_task, amplitude=amplitude
    )


def impose(
    photo_rgb: NDArray[np.uint8],
    points: FloatArray,
    *,
    palsy: Palsy,
    vigour: Vigour | None = None,
    look: Look | None = None,
    task: str = "rest",
    photo_task: str = "rest",
    amplitude: float = 1.0,
) -> tuple[NDArray[np.uint8], FloatArray]:
    """Do as `simulate_from_photo`, for one person's own palsy and strength of each muscle.

    With a `look` that folds (`Look.folds`), what each fold gains or loses against the healthy face
    of the portrait is shaded into the picture.
    """
    points = np.asarray(points, float)
    vigour = vigour or Vigour()
    _check(photo_rgb, points)
    check_movement(task)
    check_movement(photo_task)
    axes, scale, origin = _face_frame(points)
    level = (points - origin) @ axes / scale
    shown = express(AVERAGE_POINTS, _HEALTHY, Vigour(), photo_task).points - AVERAGE_POINTS
    face = express(level - shown, palsy, vigour, task, amplitude=amplitude)
    apart = _keep_lids_apart(face.points, level)
    target = origin + apart * scale @ axes.T
    warped = _warp(photo_rgb, points, target, scale)
    if look is not None and look.folds:
        before = fold_depths(look, express(level - shown, _HEALTHY, vigour, photo_task))
        deeper = {name: now - before[name] for name, now in fold_depths(look, face).items()}
        creases = find_creases(look, replace(face, points=apart), deeper)
        to_picture = np.column_stack([axes * scale, origin])
        warped = _shade_folds(warped, creases, to_picture, scale)
    return warped, target


def _check(photo: NDArray[np.uint8], points: FloatArray) -> None:
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise UserError(
            "The portrait must be an RGB picture with 8 bits per channel: convert it first."
        )
    height, width = photo.shape[:2]
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise UserError(
            "The portrait needs 68 points with finite x and y: extract its landmarks first."
        )
    if (points.min(0) < 0).any() or (points.max(0) > (width - 1, height - 1)).any():
        raise UserError(
            "A landmark lies outside the portrait: give a picture that shows the whole face."
        )


def _face_frame(points: FloatArray) -> tuple[FloatArray, float, FloatArray]:
    """Axes (columns: face right of picture, face down), pixels per mm and origin of the face."""
    across = points[45] - points[36]
    span = float(np.linalg.norm(across))
    x_axis = across / span
    axes = np.column_stack([x_axis, [-x_axis[1], x_axis[0]]])
    return axes, span / _EYE_SPAN_MM, (points[36] + points[45]) / 2


def _keep_lids_apart(moved: FloatArray, before: FloatArray) -> FloatArray:
    """Leave a slit between closed lids, where the warp can put what it squeezes together."""
    apart = moved.copy()
    for upper, lower in _LIDS:
        least = min(_LID_GAP_MM, before[lower, 1] - before[upper, 1])
        apart[upper, 1] = min(moved[upper, 1], moved[lower, 1] - least)
    return apart


def _warp(
    photo: NDArray[np.uint8], source: FloatArray, target: FloatArray, scale: float
) -> NDArray[np.uint8]:
    """Move ``source`` to ``target``, smoothly, leaving all beyond the head in place."""
    still = _still_points(source)
    known = np.vstack([target, _lid_creases(target), still])
    shift = np.vstack([source - target, _lid_creases(source - target), np.zeros_like(still)])
    spline = RBFInterpolator(known, shift, kernel="thin_plate_spline", smoothing=0.05 * scale)
    left, top = still.min(0)
    right, bottom = still.max(0)
    cols, rows = (int(side / (_GRID_MM * scale)) + 2 for side in (right - left, bottom - top))
    x, y = np.meshgrid(np.linspace(left, right, cols), np.linspace(top, bottom, rows))
    coarse = spline(np.column_stack([x.ravel(), y.ravel()])).reshape(rows, cols, 2)
    edge = np.minimum.outer(np.minimum(np.arange(rows), np.arange(rows)[::-1]), np.full(cols, 99))
    edge = np.minimum(edge, np.minimum(np.arange(cols), np.arange(cols)[::-1])[None])
    coarse *= np.clip(edge / 5.0, 0, 1)[..., None]
    height, width = photo.shape[:2]
    u, v = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    at_x = ((u - left) * (cols - 1) / (right - left)).astype(np.float32)
    at_y = ((v - top) * (rows - 1) / (bottom - top)).astype(np.float32)
    shift_x, shift_y = (
        cv2.remap(np.ascontiguousarray(coarse[..., k], np.float32), at_x, at_y, cv2.INTER_CUBIC)
        for k in (0, 1)
    )
    moved = cv2.remap(
        photo, u + shift_x, v + shift_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.uint8)


def _shade_folds(
    photo: NDArray[np.uint8], creases: list[Crease], to_picture: FloatArray, scale: float
) -> NDArray[np.uint8]:
    """Darken and lighten a picture as light from above and before does on these creases.

    `to_picture`, ``(2, 3)``, takes mm of the face to px.
    """
    left, top, right, bottom = _FOLDED_MM
    canvas = Canvas(left, top, scale, int((bottom - top) * scale), int((right - left) * scale))
    relief = canvas.blank()
    darkness = add_creases(canvas, relief, creases, swollen=True)
    slope = cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3) * np.float32(scale / 8)
    across = cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3) * np.float32(scale / 8)
    facing = (1 + _LIGHT_FROM_ABOVE * slope) / np.sqrt(1 + slope**2 + across**2)
    light = (1 - _AMBIENT) * np.clip(facing, 0, 2) + _AMBIENT
    light *= 1 - 0.4 * darkness
    placed = to_picture.copy()
    placed[:, 2] += to_picture[:, :2] @ (left, top)
    placed[:, :2] /= scale
    size = (photo.shape[1], photo.shape[0])
    seen = cv2.warpAffine(light, placed, size, flags=cv2.INTER_LINEAR, borderValue=(1.0,))
    shaded = photo * (seen ** (1 / 2.2))[..., None]
    return np.clip(np.rint(shaded), 0, 255).astype(np.uint8)


def _lid_creases(points: FloatArray) -> FloatArray:
    """Points between brow and lid that go a third of the way with the lid, ``(4, 2)``.

    Linear in the points, so that it serves positions and displacements alike.
    """
    brows, lids = points[[19, 20, 23, 24]], points[[37, 38, 43, 44]]
    return (2 * brows + lids) / 3


def _still_points(points: FloatArray) -> FloatArray:
    """A ring of points about the head that stay where they are, ``(24, 2)``."""
    centre = (points[0] + points[16]) / 2
    radius = np.linalg.norm(points[16] - points[0]) / 2 * _FIXED_RING
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return centre + radius * np.column_stack([np.cos(angles), 1.2 * np.sin(angles)])
