"""Films for tests: written by OpenCV, then turned or given uneven times inside the MP4 itself."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

_CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".webm": "VP80"}
_HOLDERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts")
_TURNS = {  # a b c d of the matrix that a player turns the stored picture by, clockwise degrees
    90: (0, 1, -1, 0),
    180: (-1, 0, 0, -1),
    270: (0, -1, 1, 0),
}


def write_film(
    path: Path, frames: Iterable[NDArray[np.uint8]], *, fps: float = 30.0, codec: str | None = None
) -> Path:
    """Write RGB frames as the kind of film that the suffix names."""
    writer = None
    for rgb in frames:
        if writer is None:
            code = cv2.VideoWriter.fourcc(*(codec or _CODECS[path.suffix]))
            writer = cv2.VideoWriter(str(path), code, fps, rgb.shape[1::-1])
            assert writer.isOpened()
        writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    if writer is not None:
        writer.release()
    return path


def numbered_frames(count: int) -> list[NDArray[np.uint8]]:
    """Return frames of 64 x 48, red at the top left; `number_of` reads a number modulo 32."""
    frames = []
    for number in range(count):
        frame = np.full((48, 64, 3), 60, dtype=np.uint8)
        frame[:12, :16] = (250, 10, 10)
        row, column = divmod(number % 32, 8)
        frame[16 + 8 * row : 24 + 8 * row, 8 * column : 8 * column + 8] = 255
        frames.append(frame)
    return frames


def number_of(rgb: NDArray[np.uint8]) -> int:
    """Return the number, modulo 32, that `numbered_frames` gave to a frame."""
    return int(rgb[16:].reshape(4, 8, 8, 8, 3).mean(axis=(1, 3, 4)).argmax())


def turn_film(path: Path, degrees: int) -> Path:
    """Have an MP4 say that its pictures are to be turned clockwise, as a telephone does."""
    a, b, c, d = (value << 16 for value in _TURNS[degrees])

    def turned(body: bytes) -> bytes:
        at = 40 if body[0] == 0 else 52  # a matrix of nine numbers stands behind version 0 or 1
        matrix = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        return body[:at] + matrix + body[at + 36 :]

    path.write_bytes(_changed(path.read_bytes(), {b"tkhd": turned}))
    return path


def time_frames(path: Path, shares: Sequence[tuple[int, float]]) -> Path:
    """Give an MP4 uneven times: (number of frames, how much longer than before each lasts)."""

    def uneven(body: bytes) -> bytes:
        delta = struct.unpack(">I", body[12:16])[0]
        entries = [struct.pack(">II", count, round(delta * share)) for count, share in shares]
        return body[:4] + struct.pack(">I", len(entries)) + b"".join(entries)

    content = _changed(path.read_bytes(), {b"stts": uneven, b"edts": lambda _: b""})
    path.write_bytes(content)
    return path


def _changed(content: bytes, changes: Mapping[bytes, Callable[[bytes], bytes]]) -> bytes:
    """Change boxes of an MP4, which are a length, a name of four letters, and a body."""
    parts = []
    at = 0
    while at < len(content):
        (length,), name = struct.unpack(">I", content[at : at + 4]), content[at + 4 : at + 8]
        body = content[at + 8 : at + length]
        if name in changes:
            body = changes[name](body)
        elif name in _HOLDERS:
            body = _changed(body, changes)
        parts.append(struct.pack(">I", 8 + len(body)) + name + body)
        at += length
    return b"".join(parts)
