"""Photograph files for the tests, sound and broken, made on the spot."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

EXIF_ORIENTATION = 0x0112


def as_stored(upright: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """What a camera held that way stores, from the definition in the EXIF standard.

    The standard says where row 0 and column 0 of the stored picture lie in the scene.
    """
    swapped = np.swapaxes(upright, 0, 1)
    return {
        1: upright,  # row 0 top, column 0 left
        2: upright[:, ::-1],  # top, right
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: swapped,  # left, top
        6: swapped[::-1],  # right, top
        7: swapped[::-1, ::-1],  # right, bottom
        8: swapped[:, ::-1],  # left, bottom
    }[orientation]


def save(path: Path, pixels: NDArray, *, orientation: int | None = None, **options: object) -> Path:
    """Write pixels with Pillow; the suffix gives the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if orientation is not None:
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = orientation
        options["exif"] = exif
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, **options)
    return path


def png_with_header(path: Path, *, width: int, height: int) -> Path:
    """A tiny PNG whose sound header claims any size: a decompression bomb when large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 64))
        + chunk(b"IEND", b"")
    )
    return path


def small_portrait(
    portrait: NDArray[np.uint8], *, side: int = 240, brightness: float = 1.0, shift: int = 0
) -> NDArray[np.uint8]:
    """The portrait's head, (side, side, 3), a little different for every brightness and shift."""
    head = Image.fromarray(portrait[0:300, 80 + shift : 380 + shift]).resize((side, side))
    return np.clip(np.asarray(head, dtype=np.float64) * brightness, 0, 255).astype(np.uint8)


def portrait_folder(folder: Path, portrait: NDArray[np.uint8], *, count: int) -> Path:
    """`count` different small portraits, p1.jpg, p2.jpg and so on."""
    for number in range(1, count + 1):
        pixels = small_portrait(portrait, brightness=1 - 0.02 * number, shift=number)
        save(folder / f"p{number}.jpg", pixels, quality=92)
    return folder
