"""Pictures that move by a known field: what flow methods are tested and benchmarked against."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

NOISE = 2.0  # standard deviation of the camera's noise, of 255


def texture(size: int, *, seed: int) -> NDArray[np.float64]:
    """Return `(size, size)` grey texture, 0..255, with detail at every scale; it is periodic."""
    noise = np.random.default_rng(seed).normal(size=(size, size))
    across, down = np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size))
    frequency = np.hypot(across, down)
    shape = np.exp(-((frequency / 0.2) ** 2)) / (frequency + 0.01)
    shape[0, 0] = 0.0
    field = np.real(np.fft.ifft2(np.fft.fft2(noise) * shape))
    return np.asarray(np.clip(128 + 40 * field / field.std(), 0, 255))


def shifted(picture: NDArray[np.float64], dx: float, dy: float) -> NDArray[np.float64]:
    """Return a periodic picture moved by any fraction of a pixel, exactly (by Fourier)."""
    height, width = picture.shape
    across, down = np.meshgrid(np.fft.fftfreq(width), np.fft.fftfreq(height))
    turn = np.exp(-2j * np.pi * (across * dx + down * dy))
    return np.asarray(np.real(np.fft.ifft2(np.fft.fft2(picture) * turn)))


def moved(
    picture: NDArray[np.float64] | NDArray[np.uint8], field: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the picture after what was at x has gone to x + field(x).

    `picture`: `(h, w)` or `(h, w, 3)`, 0..255. `field`: `(h, w, 2)` px, smooth and without folds.
    """
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    from_x, from_y = x.copy(), y.copy()
    for _ in range(20):  # what came to each place: a fixed point, for the field changes slowly
        u, v = (_sampled(field[..., axis], from_x, from_y, cv2.INTER_LINEAR) for axis in (0, 1))
        from_x, from_y = x - u, y - v
    return _sampled(picture.astype(np.float64), from_x, from_y, cv2.INTER_CUBIC)


def stretching(size: int, *, most: float) -> NDArray[np.float64]:
    """Return a smooth field that stretches and shears, at most `most` px: `(size, size, 2)`."""
    along = 2 * np.pi * np.arange(size) / size
    x, y = np.meshgrid(along, along)
    return np.stack([most * np.sin(x), 0.5 * most * np.sin(x) * np.sin(y)], axis=-1)


def stretching_strain(size: int, *, most: float) -> NDArray[np.float64]:
    """Return the strain of `stretching` from its derivatives: `(size, size)`, without unit."""
    along = 2 * np.pi * np.arange(size) / size
    x, y = np.meshgrid(along, along)
    step = 2 * np.pi / size
    u_x = most * step * np.cos(x)
    v_x, v_y = (0.5 * most * step * part for part in (np.cos(x) * np.sin(y), np.sin(x) * np.cos(y)))
    return np.asarray(np.sqrt(u_x**2 + v_y**2 + 0.5 * v_x**2))


def photographed(picture: NDArray[np.float64], *, seed: int) -> NDArray[np.uint8]:
    """Return the picture as a camera gives it: with noise, as uint8."""
    noise = np.random.default_rng(seed).normal(0, NOISE, picture.shape)
    return np.asarray(np.clip(np.rint(picture + noise), 0, 255), dtype=np.uint8)


def _sampled(
    picture: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], how: int
) -> NDArray[np.float64]:
    at = (x.astype(np.float32), y.astype(np.float32))
    sampled = cv2.remap(picture, at[0], at[1], how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, dtype=np.float64)
