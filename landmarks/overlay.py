"""Pictures of what was found: the photograph with its points, eye and mouth lines, and sides.

The patient's right is drawn in orange and the left in sky blue (Okabe and Ito's colour-blind-safe
palette); points of the midline are white.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.files import atomic_write
from landmarks.points import LEFT_EYE_OUTER, N_POINTS, RIGHT_EYE_OUTER, side_of

RIGHT_RGB, LEFT_RGB, MIDLINE_RGB = (230, 159, 0), (86, 180, 233), (255, 255, 255)
SPREAD_RGB = (240, 228, 66)  # yellow of the same palette
OVERLAY_FOLDER = "overlays"
MAX_SIDE = 1600  # px of the longer side of an overlay
_COLOURS = {"right": RIGHT_RGB, "left": LEFT_RGB, "midline": MIDLINE_RGB}
_MOUTH_CORNERS = (48, 54)
_JPEG_QUALITY = 90

_OPEN = [range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36)]
_CLOSED = [range(36, 42), range(42, 48), range(48, 60), range(60, 68)]
OUTLINES: tuple[tuple[int, int], ...] = tuple(
    [(a, a + 1) for part in (*_OPEN, *_CLOSED) for a in part[:-1]]
    + [(part[-1], part[0]) for part in _CLOSED]
)
"""Pairs of points that belong together: jaw, brows, nose, eyes, lips."""


def draw_overlay(
    rgb: NDArray[np.uint8],
    points: NDArray[np.float64],
    *,
    spread: NDArray[np.float64] | None = None,
    legend: bool = True,
) -> NDArray[np.uint8]:
    """Return a copy of the photograph with the points drawn on it.

    `rgb`: `(h, w, 3)` uint8.
    `points`: `(68, 2)` px of `rgb`.
    `spread`: `(68, 2)` px of `rgb`, spread of each point in x and y: drawn as an ellipse of
    twice that, which holds 86 of 100 copies if they scatter normally.
    `legend`: write which colour is which side along the lower edge.
    """
    h, w = rgb.shape[:2]
    face = float(np.linalg.norm(points[LEFT_EYE_OUTER] - points[RIGHT_EYE_OUTER]))
    radius = max(1, round(face / 90))
    thin = max(1, round(face / 180))
    canvas = np.ascontiguousarray(rgb).copy()
    for a, b in OUTLINES:
        side = side_of(a) if side_of(a) != "midline" else side_of(b)
        _line(canvas, points[a], points[b], colour=_COLOURS[side], width=thin)
    for a, b in ((RIGHT_EYE_OUTER, LEFT_EYE_OUTER), _MOUTH_CORNERS):
        _line(canvas, points[a], points[b], colour=MIDLINE_RGB, width=thin)
    if spread is not None:
        _ellipses(canvas, points, 2.0 * spread, width=thin)
    for index in range(N_POINTS):
        centre = subpixel(points[index])
        cv2.circle(canvas, centre, (radius + 1) << 4, (0, 0, 0), -1, cv2.LINE_AA, 4)
        cv2.circle(canvas, centre, radius << 4, _COLOURS[side_of(index)], -1, cv2.LINE_AA, 4)
    if legend:
        _legend(canvas, height=max(14, min(h, w) // 28))
    return canvas


def write_overlay(
    path: Path,
    rgb: NDArray[np.uint8],
    points: NDArray[np.float64],
    *,
    spread: NDArray[np.float64] | None = None,
) -> None:
    """Draw an overlay and write it as JPEG, at most `MAX_SIDE` px on the longer side."""
    scale = min(1.0, MAX_SIDE / max(rgb.shape[:2]))
    if scale < 1:
        size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
        factors = np.array([size[0] / rgb.shape[1], size[1] / rgb.shape[0]])
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        points = (points + 0.5) * factors - 0.5
        spread = spread * factors if spread is not None else None
    write_jpeg(path, draw_overlay(rgb, points, spread=spread))


def write_jpeg(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write `(h, w, 3)` RGB uint8, whole or not at all; UserError when that fails."""
    ok, content = cv2.imencode(
        ".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    if not ok:
        raise UserError(f"The picture {path} cannot be encoded: report this photograph's size.")
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.tobytes())


def picture_path(folder: Path, image_id: str) -> Path:
    """Return `FOLDER/IMAGE_ID.jpg`; an id that climbs out with `..` stays inside."""
    below = [part for part in Path(image_id).parts if part not in ("..", "/", "\\")]
    *folders, name = below or ["photograph"]
    return folder.joinpath(*folders, f"{name}.jpg")


def subpixel(point: NDArray[np.float64]) -> tuple[int, int]:
    """Return a place as OpenCV draws it with a shift of 4: in sixteenths of a px."""
    return round(float(point[0]) * 16), round(float(point[1]) * 16)


def _line(
    canvas: NDArray[np.uint8],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    *,
    colour: tuple[int, int, int],
    width: int,
) -> None:
    cv2.line(canvas, subpixel(a), subpixel(b), colour, width, cv2.LINE_AA, 4)


def _ellipses(
    canvas: NDArray[np.uint8],
    points: NDArray[np.float64],
    radii: NDArray[np.float64],
    *,
    width: int,
) -> None:
    """Outline the spread of each point, light on dark so that it shows on any skin."""
    for centre, (rx, ry) in zip(points, radii, strict=True):
        axes = (max(1, round(float(rx) * 16)), max(1, round(float(ry) * 16)))
        for colour, line in (((0, 0, 0), 2 * width + 1), (SPREAD_RGB, width)):
            cv2.ellipse(canvas, subpixel(centre), axes, 0, 0, 360, colour, line, cv2.LINE_AA, 4)


def _legend(canvas: NDArray[np.uint8], *, height: int) -> None:
    """Name the two sides where they are, on a dark strip along the lower edge."""
    h, w = canvas.shape[:2]
    canvas[h - 2 * height :] //= 4
    scale, weight = height / 24, max(1, height // 14)
    for text, colour, at_right_edge in (
        ("patient's right", RIGHT_RGB, False),
        ("patient's left", LEFT_RGB, True),
    ):
        (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, weight)
        x = w - width - height // 2 if at_right_edge else height // 2
        place = (x, h - height // 2)
        cv2.putText(
            canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, weight, cv2.LINE_AA
        )
