"""A small drawing board in millimetres: soft areas, ribbons and blobs on a pixel grid.

Everything is drawn as a patch, a mask in a window just large enough for it, so that painting an
eyelash costs as little as it should. Pixel centres lie at integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Image = NDArray[np.float32]
_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Patch:
    """A mask (0 to 1, float32) and the window of the canvas it covers."""

    window: tuple[slice, slice]
    mask: Image

    def paint(self, image: Image, colour: ArrayLike, opacity: float = 1.0) -> None:
        """Blend a colour into an ``(H, W, 3)`` image, in place."""
        part = image[self.window]
        cover = self.mask * np.float32(opacity)
        part += (np.asarray(colour, np.float32) - part) * cover[..., None]

    def scale(self, image: Image, factor: ArrayLike) -> None:
        """Multiply an ``(H, W[, 3])`` image by a factor where the mask is 1, in place."""
        part = image[self.window]
        mask = self.mask if part.ndim == 2 else self.mask[..., None]
        part *= 1 + mask * (np.asarray(factor, np.float32) - 1)

    def add(self, field: Image, amount: float) -> None:
        """Add ``amount`` times the mask to an ``(H, W)`` field, in place."""
        field[self.window] += self.mask * np.float32(amount)

    def within(self, other: Image) -> Patch:
        """The patch multiplied by a full-size mask."""
        return Patch(self.window, self.mask * other[self.window])


@dataclass(frozen=True)
class Canvas:
    """A grid of pixels over the face plane.

    `left`, `top` is the centre of the first pixel in mm, `scale` is pixels per mm.
    """

    left: float
    top: float
    scale: float
    rows: int
    cols: int

    def pixels(self, points: ArrayLike) -> FloatArray:
        """Pixel coordinates (x, y) of points in mm; ``(n, 2)``."""
        placed: FloatArray = (np.asarray(points, float) - (self.left, self.top)) * self.scale
        return placed

    def columns(self) -> Image:
        """x in mm of every column, ``(1, cols)``."""
        return (self.left + np.arange(self.cols, dtype=np.float32) / self.scale)[None].astype("f4")

    def lines(self) -> Image:
        """y in mm of every row, ``(rows, 1)``."""
        return (self.top + np.arange(self.rows, dtype=np.float32) / self.scale)[:, None].astype(
            "f4"
        )

    def part(self, window: tuple[slice, slice]) -> Canvas:
        """The canvas of a window of this one."""
        rows, cols = window
        left, top = self.left + cols.start / self.scale, self.top + rows.start / self.scale
        return Canvas(left, top, self.scale, rows.stop - rows.start, cols.stop - cols.start)

    def blank(self) -> Image:
        """An ``(rows, cols)`` field of zeros."""
        return np.zeros((self.rows, self.cols), np.float32)

    def area(self, outline: ArrayLike, *, soft: float = 0.0) -> Patch:
        """The inside of a closed outline, ``(n, 2)`` mm.

        `soft` is the standard deviation of the softness of its border, mm.
        """
        corners = self.pixels(outline)
        spread = soft * self.scale
        margin = 3 * spread + 2
        left, top = (corners.min(0) - margin).tolist()
        right, bottom = (corners.max(0) + margin).tolist()
        x0, y0 = _within(floor(left), 0, self.cols), _within(floor(top), 0, self.rows)
        x1, y1 = _within(ceil(right) + 1, x0, self.cols), _within(ceil(bottom) + 1, y0, self.rows)
        window = (slice(y0, y1), slice(x0, x1))
        if x1 == x0 or y1 == y0:
            return Patch(window, np.zeros((y1 - y0, x1 - x0), np.float32))
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        fixed = np.round((corners - (x0, y0)) * 2**_SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
        smooth: Image = mask.astype(np.float32) / np.float32(255)
        if spread > 0.2:
            smooth = blurred(smooth, spread)
        return Patch(window, smooth)

    def ribbon(self, curve: ArrayLike, width: ArrayLike, *, soft: float = 0.0) -> Patch:
        """A band along an open curve; ``width`` in mm is one number or one per point."""
        return self.area(ribbon_outline(np.asarray(curve, float), width), soft=soft)

    def blob(self, centre: ArrayLike, radius: float | tuple[float, float]) -> Patch:
        """A Gaussian hill of height 1; ``radius`` is its standard deviation in mm (x, y)."""
        radius_x, radius_y = radius if isinstance(radius, tuple) else (radius, radius)
        x, y = self.pixels(centre)
        sx, sy = radius_x * self.scale, radius_y * self.scale
        x0, x1 = (_within(v, 0, self.cols) for v in (x - 3 * sx, x + 3 * sx + 2))
        y0, y1 = (_within(v, 0, self.rows) for v in (y - 3 * sy, y + 3 * sy + 2))
        across = np.exp(-0.5 * ((np.arange(x0, x1) - x) / sx) ** 2)
        down = np.exp(-0.5 * ((np.arange(y0, y1) - y) / sy) ** 2)
        return Patch((slice(y0, y1), slice(x0, x1)), np.outer(down, across).astype(np.float32))


def _within(value: float, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`; for one number far quicker than `np.clip`."""
    return int(min(max(value, low), high))


def shifted(points: FloatArray, right: float, down: float) -> FloatArray:
    """A point or points moved by millimetres."""
    return points + np.array([right, down])


def spline(points: ArrayLike, *, closed: bool = False, samples: int = 8) -> FloatArray:
    """A smooth curve through every given point (Catmull-Rom), ``(n, 2)`` to ``(m, 2)``.

    Each given point is itself on the curve, so that a landmark taken from the outline is exact.
    """
    p = np.asarray(points, float)
    if closed:
        padded = np.vstack([p[-1], p, p[0], p[1]])
    else:
        padded = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.linspace(0, 1, samples, endpoint=False)[:, None, None]
    a, b, c, d = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    curve = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    curve = curve.transpose(1, 0, 2).reshape(-1, 2)
    return curve if closed else np.vstack([curve, p[-1:]])


def ribbon_outline(curve: FloatArray, width: ArrayLike) -> FloatArray:
    """The closed outline of a band of given width along a curve, or of each curve of a stack."""
    step = np.diff(curve, axis=-2)
    first, last = step[..., :1, :], step[..., -1:, :]
    along = np.concatenate([first, step[..., :-1, :] + step[..., 1:, :], last], axis=-2)
    along /= np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    half = np.asarray(width, float)[..., None] / 2
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1) * half
    return np.concatenate([curve + across, (curve - across)[..., ::-1, :]], axis=-2)


def taper(count: int, *, ends: float = 0.15) -> FloatArray:
    """Widths that swell from ``ends`` to 1 in the middle and back, for ``count`` points."""
    return ends + (1 - ends) * np.sin(np.linspace(0, np.pi, count)) ** 0.8


def blurred(image: Image, spread: float) -> Image:
    """Gaussian blur by ``spread`` pixels; a wide one is done on a smaller copy, for speed."""
    rows, cols = image.shape
    shrink = min(int(spread / 2.5), rows // 4, cols // 4)
    if shrink < 2:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), spread), np.float32)
    small = cv2.resize(image, (cols // shrink, rows // shrink), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), spread / shrink)
    return np.asarray(cv2.resize(small, (cols, rows), interpolation=cv2.INTER_LINEAR), np.float32)


def smooth_noise(rng: np.random.Generator, rows: int, cols: int, cell: float) -> Image:
    """Noise of unit variance with blotches about ``cell`` pixels wide, ``(rows, cols)``."""
    small = rng.standard_normal((int(rows / cell) + 3, int(cols / cell) + 3)).astype(np.float32)
    return np.asarray(cv2.resize(small, (cols, rows), interpolation=cv2.INTER_CUBIC), np.float32)
