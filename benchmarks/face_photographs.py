"""Photographs to measure speed on: one portrait in many variants, large ones, faceless ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.photos import read_photo
from pipeline.commands.doctor import astronaut_portrait

SIZE = (600, 800)  # px, width and height of a usual photograph of a data set
_CROP = (48, 0, 432, 512)  # left, top, right, bottom of the portrait; the shape of SIZE


def portraits(folder: Path, *, count: int) -> list[Path]:
    """Write `count` JPEGs of 600 x 800, every one turned, moved and lit a little differently."""
    portrait = read_photo(astronaut_portrait()).pixels
    rng = np.random.default_rng(0)
    return [
        _save(folder / f"portrait{number:04d}.jpg", _variant(portrait, rng))
        for number in range(count)
    ]


def large(folder: Path, *, megapixels: int, suffix: str, width: int, height: int) -> Path:
    """Write one photograph of many pixels with a camera's noise, which packs badly."""
    portrait = read_photo(astronaut_portrait()).pixels
    left, top, right, bottom = _CROP
    pixels = cv2.resize(portrait[top:bottom, left:right], (width, height))
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 12, (height, width, 1), dtype=np.uint8)
    return _save(folder / f"large{megapixels}{suffix}", np.minimum(pixels, 243) + noise)


def faceless(folder: Path, *, width: int, height: int) -> Path:
    """Write a photograph that is searched to the last detector in vain."""
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return _save(folder / "faceless.jpg", pixels)


def _variant(portrait: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    left, top, right, _ = _CROP
    scale = SIZE[0] / (right - left)
    turn = cv2.getRotationMatrix2D((224.0, 120.0), rng.uniform(-5, 5), scale)
    turn[:, 2] += np.array([-left, -top]) * scale + rng.uniform(-20, 20, 2)
    turn[:, 2] -= (scale - 1) * np.array([-224.0, -120.0])  # scaled about the corner, not the head
    turned = cv2.warpAffine(portrait, turn, SIZE, borderMode=cv2.BORDER_REFLECT)
    lit = turned * rng.uniform(0.8, 1.15) + rng.normal(0, 3, turned.shape)
    return np.clip(lit, 0, 255).astype(np.uint8)


def _save(path: Path, pixels: NDArray[np.uint8]) -> Path:
    options = {".jpg": {"quality": 90}, ".png": {"compress_level": 1}}
    Image.fromarray(pixels).save(path, **options[path.suffix])
    return path
