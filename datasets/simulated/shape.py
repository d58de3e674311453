"""The shape of a simulated face: who it is, and where its 68 points lie at rest.

Millimetres in the plane of the face: the origin lies midway between the outer corners of the
eyes, x points to the right of the picture (towards the patient's left), y points down and z
towards the camera. The proportions of the average face are rounded adult anthropometry: outer
eye corners 90 mm apart, iris 11.77 mm, and so on; each simulated person departs from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator

from datasets.simulated.canvas import FloatArray

Sex = Literal["female", "male"]

IRIS_DIAMETER_MM = 11.77
"""Diameter of the human iris, nearly the same in all adults."""

MIRROR = np.array(
    [
        *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
        45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
        *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
    ]
)  # fmt: skip
"""``MIRROR[i]`` is the point that takes the place of point ``i`` in a mirrored face."""

# The patient's left half of the average face (image right) and its midline: point -> (x, y).
_HALF: dict[int, tuple[float, float]] = {
    # jaw line, from the chin to the ear
    8: (0, 113), 9: (16, 110.5), 10: (30, 104.5), 11: (42, 94), 12: (53, 76),
    13: (61, 55), 14: (65, 37), 15: (67.5, 18), 16: (68.5, -2),
    # brow, from the nose outwards
    22: (12.5, -21), 23: (22, -25.2), 24: (33, -26.8), 25: (44, -25), 26: (53.5, -18.5),
    # nose
    27: (0, -3.5), 28: (0, 9), 29: (0, 21), 30: (0, 32.5),
    33: (0, 44.5), 34: (6.3, 43.2), 35: (12.3, 41),
    # eye, from the inner corner over the upper lid, back along the lower
    42: (16.2, 1.3), 43: (25.4, -4.8), 44: (35.8, -5.0), 45: (45, 0), 46: (36.4, 4.2),
    47: (26, 4.6),
    # lips: outer border, then inner
    51: (0, 59.8), 52: (6.6, 58.4), 53: (16.2, 62.2), 54: (25, 67.6),
    55: (16.8, 74.2), 56: (7.6, 77.6), 57: (0, 78.4),
    62: (0, 67.0), 63: (8, 66.4), 64: (22, 67.5), 65: (8, 67.2), 66: (0, 67.8),
}  # fmt: skip

_CROWN_ROWS = np.array([-120.0, -116, -108, -95, -78, -58, -32])
_CROWN_HALF_WIDTHS = np.array([0.0, 25, 43.5, 59, 69, 73.5, 72])
_PROFILE_ROWS = np.array(
    [-122.0, -114, -104, -88, -66, -44, -24, -6, 15, 45, 62, 84, 98, 107, 113, 120]
)
_PROFILE_DEPTHS = np.array(
    [-66.0, -44, -26, -10, -1, 3.0, 3.5, -1.5, 0, 3, 5.5, 2.5, 4.5, 1.0, -9.0, -30]
)


@dataclass(frozen=True)
class Shape:
    """Proportions of one person, as factors of (or millimetres added to) the average face.

    `age` is in years. Widths, lengths, heights and the depth are factors, 1 on the average face;
    from `canthal_tilt` on they are mm added, 0 on the average face. `asymmetry` is what is added
    to the symmetric points, ``(68, 2)`` mm: the person's natural asymmetry.
    """

    sex: Sex
    age: int
    face_width: float
    face_length: float
    jaw_width: float
    eye_width: float
    eye_height: float
    nose_width: float
    nose_depth: float
    mouth_width: float
    lip_height: float
    canthal_tilt: float
    brow_lift: float
    brow_arch: float
    eye_distance: float
    lower_face: float
    asymmetry: FloatArray


def mirror_points(points: FloatArray) -> FloatArray:
    """Mirror 68 points (or displacements) about x = 0 and renumber them; ``(68, 2)``."""
    return points[MIRROR] * np.array([-1.0, 1.0])


def draw_shape(rng: np.random.Generator, *, sex: Sex, age: int) -> Shape:
    """Draw one person's proportions.

    The sex shifts jaw, brow, nose and lips; the brow sinks and the lips thin with age (years).
    """
    male = sex == "male"
    old = max(0.0, (age - 40) / 45)

    def offset(spread: float, shift: float = 0.0) -> float:
        return float(shift + np.clip(rng.normal(0, spread), -2.2 * spread, 2.2 * spread))

    def factor(spread: float, shift: float = 0.0) -> float:
        return offset(spread, 1 + shift)

    return Shape(
        sex=sex,
        age=age,
        face_width=factor(0.035, 0.01 if male else -0.01),
        face_length=factor(0.03, 0.012 if male else -0.012),
        jaw_width=factor(0.035, 0.03 if male else -0.03),
        eye_width=factor(0.035),
        eye_height=factor(0.09, (0.0 if male else 0.1) - 0.12 * old),
        nose_width=factor(0.08, 0.04 if male else -0.03),
        nose_depth=factor(0.1, 0.05 if male else -0.05),
        mouth_width=factor(0.05, 0.02 if male else -0.02),
        lip_height=factor(0.14, (-0.08 if male else 0.1) - 0.18 * old),
        canthal_tilt=offset(0.9),
        brow_lift=offset(1.2, (-1.6 if male else 1.0) - 1.0 * old),
        brow_arch=offset(0.7, -0.5 if male else 0.9),
        eye_distance=offset(0.8),
        lower_face=offset(2.0, 1.5 if male else -1.5),
        asymmetry=_draw_asymmetry(rng),
    )


def _draw_asymmetry(rng: np.random.Generator) -> FloatArray:
    """Small shifts of whole regions, opposite on the two sides: nobody is symmetric."""
    half = np.zeros((68, 2))
    for points, spread_x, spread_y in (
        (range(22, 27), 0.35, 0.55), (range(42, 48), 0.3, 0.25), ((43, 44), 0.0, 0.18),
        ((46, 47), 0.0, 0.15), ((34, 35), 0.3, 0.25), ((53, 54, 55, 64), 0.45, 0.5),
    ):  # fmt: skip
        half[list(points)] += np.clip(rng.normal(0, 1, 2), -2, 2) * (spread_x, spread_y)
    return half - mirror_points(half)


def neutral_points(shape: Shape) -> FloatArray:
    """The 68 points at rest, without palsy: ``(68, 2)`` mm in the plane of the face.

    Points 0-7, 17-21, 36-41 and 48 lie on the patient's right, at negative x.
    """
    half = AVERAGE_POINTS.copy()
    x, y = half[:, 0], half[:, 1]

    jaw, brow, eye, mouth = slice(8, 17), slice(22, 27), slice(42, 48), slice(48, 68)
    x[jaw] *= shape.face_width * np.interp(y[jaw], [30, 80], [1, shape.jaw_width])
    y[jaw] = _lengthen(y[jaw], shape)
    x[brow] *= shape.face_width
    y[brow] -= shape.brow_lift + shape.brow_arch * np.array([-0.4, 0.6, 1.0, 0.8, -0.6])
    centre = x[eye].mean()
    x[eye] = centre + (x[eye] - centre) * shape.eye_width + shape.eye_distance / 2
    y[eye] *= np.where(np.isin(np.arange(42, 48), (43, 44, 46, 47)), shape.eye_height, 1)
    y[eye] += shape.canthal_tilt * (centre - x[eye]) / 29
    x[27:36] *= shape.nose_width
    x[mouth] *= shape.mouth_width
    lip_line = float(half[62, 1])
    thickness = np.where(np.arange(48, 68) < 60, shape.lip_height, 1.0)
    y[mouth] = lip_line + (y[mouth] - lip_line) * thickness
    y[27:36] *= shape.face_length
    y[mouth] = _lengthen(np.array(lip_line), shape) + (y[mouth] - lip_line)

    return _both_halves(half) + shape.asymmetry


def _both_halves(half: FloatArray) -> FloatArray:
    """Complete 68 points of which only those of the left half and the midline are filled in."""
    given = np.array(sorted(_HALF))
    points = half.copy()
    points[MIRROR[given]] = half[given] * (-1.0, 1.0)
    points[given] = half[given]
    return points


def _lengthen(y: FloatArray, shape: Shape) -> FloatArray:
    """Stretch rows below the nose by the person's facial length and lower-face height."""
    lower = np.clip((y - 40) / 73, 0, 1)
    return y * shape.face_length + shape.lower_face * lower


def half_width(shape: Shape, points: FloatArray, rows: ArrayLike) -> FloatArray:
    """Half the width of the head in mm at each row, through the jaw points and over the crown.

    `rows` is y in mm, in any shape; above the crown and below the chin the width is 0. The jaw
    line is read from the points, ``(68, 2)`` mm: it moves when the mouth opens.
    """
    jaw_x = (points[8:17, 0] - points[8::-1, 0]) / 2
    jaw_y = (points[8:17, 1] + points[8::-1, 1]) / 2
    top = _CROWN_ROWS * shape.face_length
    y = np.concatenate([top, jaw_y[::-1]])
    x = np.concatenate([_CROWN_HALF_WIDTHS * shape.face_width, jaw_x[::-1]])
    # Squares are interpolated, so that crown and chin come out round.
    square = PchipInterpolator(y, x * x, extrapolate=False)(np.asarray(rows, float))
    return np.sqrt(np.clip(np.nan_to_num(square), 0, None))


def mid_profile(shape: Shape, points: FloatArray, rows: ArrayLike) -> FloatArray:
    """Depth z in mm of the midline (without nose and lips) at each row; larger is nearer."""
    drop = points[8, 1] - 113.0
    y = _PROFILE_ROWS.copy()
    y[y < 0] *= shape.face_length
    y[y >= 0] += drop * np.clip(y[y >= 0] / 113.0, 0, 1.0)
    return PchipInterpolator(y, _PROFILE_DEPTHS)(np.clip(rows, y[0], y[-1]))


_drawn = np.zeros((68, 2))
_drawn[list(_HALF)] = list(_HALF.values())
AVERAGE_POINTS = _both_halves(_drawn)
"""The 68 points of the average face at rest, mm, ``(68, 2)``."""
