"""Drawn eyes with known irises, for tests and benchmarks; nobody's eyes.

Skin, two almond-shaped openings with the white of the eye, an iris with pupil and glint in each,
and a lash line along the upper lid. Drawn four times too large and reduced, so that the edges are
as soft as a camera's.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from landmarks.points import N_POINTS, REGIONS

_FINE = 4  # drawn px per px
_EYE_APART = 2.4  # eye widths between the middles of the two eyes
_CURVE = np.linspace(-1.0, 1.0, 41)  # along the lids, from corner to corner
_LID_POINTS = (-1.0, -0.33, 0.33, 1.0)  # where the four points of one lid lie


@dataclass(frozen=True, kw_only=True)
class DrawnEye:
    """How one eye is drawn; lengths in eye widths, colours RGB 0..255.

    `gaze`: x, y of the iris centre from the middle between the corners, right and down as seen.
    `opening`: greatest height between the lids; 0 is a closed eye.
    """

    iris_radius: float = 0.2
    gaze: tuple[float, float] = (0.0, 0.0)
    opening: float = 0.42
    iris: tuple[int, int, int] = (90, 60, 40)
    white: tuple[int, int, int] = (225, 220, 215)


@dataclass(frozen=True)
class DrawnEyes:
    """A drawing and its truth.

    `rgb`: `(h, w, 3)` uint8. `points`: `(68, 2)` px; those of the eyes, the others NaN. `circles`:
    `(2, 3)` px: x, y, radius of the iris on the patient's right (image-left) and left.
    """

    rgb: NDArray[np.uint8]
    points: NDArray[np.float64]
    circles: NDArray[np.float64]


def draw_eyes(
    right: DrawnEye,
    left: DrawnEye,
    *,
    eye_width: float = 60.0,
    tilt_deg: float = 0.0,
    skin: tuple[int, int, int] = (200, 160, 140),
    blur_px: float = 0.8,
    noise: float = 0.0,
    seed: int = 0,
) -> DrawnEyes:
    """Draw both eyes of a face; the patient's right eye lies image-left.

    `eye_width`: px between the corners of an eye. `tilt_deg`: turn of the whole drawing,
    counter-clockwise positive as seen. `skin`: RGB around the eyes. `blur_px`, `noise`: standard
    deviations of the lens blur, and of the camera noise in grey levels.
    """
    side = round(4.4 * eye_width)
    size = (side, round(0.75 * side))
    middle = (np.array(size) - 1) / 2
    angle = np.deg2rad(tilt_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def place(local: NDArray[np.float64]) -> NDArray[np.float64]:
        placed: NDArray[np.float64] = local * eye_width @ turn.T + middle
        return placed

    canvas = np.full((size[1] * _FINE, size[0] * _FINE, 3), skin, dtype=np.uint8)
    points = np.full((N_POINTS, 2), np.nan)
    circles = np.empty((2, 3))
    eyes = ((right, -_EYE_APART / 2, "right_eye"), (left, _EYE_APART / 2, "left_eye"))
    for row, (eye, x, region) in enumerate(eyes):
        upper, lower = _lids(eye, _CURVE, x=x)
        centre = place(np.array([[x + eye.gaze[0], eye.gaze[1]]]))[0]
        circles[row] = *centre, eye.iris_radius * eye_width
        _draw_eye(canvas, eye, place(upper), place(lower), circle=circles[row])
        upper, lower = (place(lid) for lid in _lids(eye, np.array(_LID_POINTS), x=x))
        points[list(REGIONS[region])] = [*upper, lower[2], lower[1]]
    rgb = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    if blur_px > 0:
        rgb = cv2.GaussianBlur(rgb, (0, 0), blur_px)
    if noise > 0:
        grain = np.random.default_rng(seed).normal(0, noise, rgb.shape)
        rgb = np.clip(np.rint(rgb + grain), 0, 255).astype(np.uint8)
    return DrawnEyes(rgb=rgb, points=points, circles=circles)


def _lids(
    eye: DrawnEye, along: NDArray[np.float64], *, x: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Upper and lower lid, eye widths from the drawing's middle; parabolas between the corners."""
    bow = (1 - along**2) * eye.opening
    across = x + along / 2
    return np.column_stack([across, -0.6 * bow]), np.column_stack([across, 0.4 * bow])


def _draw_eye(
    canvas: NDArray[np.uint8],
    eye: DrawnEye,
    upper: NDArray[np.float64],
    lower: NDArray[np.float64],
    *,
    circle: NDArray[np.float64],
) -> None:
    x, y, radius = circle
    open_part = np.zeros(canvas.shape[:2], dtype=np.uint8)
    cv2.fillPoly(open_part, [_fine(np.concatenate([upper, lower[::-1]]))], 1, cv2.LINE_8, 4)
    ball = np.empty_like(canvas)
    ball[:] = eye.white
    glint = np.array([x - 0.35 * radius, y - 0.35 * radius])
    for centre, size, colour in (
        (np.array([x, y]), radius, eye.iris),
        (np.array([x, y]), 0.4 * radius, (15, 12, 12)),
        (glint, 0.15 * radius, (255, 255, 255)),
    ):
        where = tuple(int(v) for v in _fine(centre))
        cv2.circle(ball, where, round(size * _FINE * 16), colour, -1, cv2.LINE_AA, 4)
    canvas[open_part > 0] = ball[open_part > 0]
    lashes = max(1, round(0.03 * radius / eye.iris_radius * _FINE))
    cv2.polylines(canvas, [_fine(upper)], False, (25, 20, 20), lashes, cv2.LINE_AA, 4)


def _fine(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Map px to sixteenths of drawn px, which OpenCV's drawing takes."""
    drawn = (points + 0.5) * _FINE - 0.5
    return np.asarray(np.round(drawn * 16), dtype=np.int32)
