"""A new clip as numbered frames on disk: from a folder, a video, or a camera."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.clip_frames import read_frames
from common.errors import UserError
from common.photos import PHOTO_SUFFIXES

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".wmv", ".webm", ".mpg", ".mpeg")
MOST_BYTES = 1_500_000_000
"""Uncompressed frames of a clip beyond this are refused: the whole clip is held in memory."""


@dataclass(frozen=True)
class NewClip:
    """A clip of which nothing else is known.

    Attributes
    ----------
    name
        Of the folder or file.
    frames
        Files by frame number. Of a folder these are the numbers in the file names, of a video and
        a camera they count from 1.
    """

    name: str
    frames: Mapping[int, Path]


def find_clip(source: Path, *, folder: Path) -> NewClip:
    """Return the frames of a folder, or those of a video written into `folder`.

    Raises
    ------
    UserError
        When there is no such source, or it holds no frames.
    """
    if source.is_dir():
        frames = read_frames(source)
        if not frames.names:
            raise UserError(
                f"{source} holds no numbered frames ({', '.join(sorted(PHOTO_SUFFIXES)[:4])} and "
                "the like): give the folder of one clip."
            )
        return NewClip(source.name, {n: source / name for n, name in frames.names.items()})
    if not source.is_file():
        raise UserError(f"{source} does not exist: give a clip's folder, a video, or --camera 0.")
    if source.suffix.lower() not in VIDEO_SUFFIXES:
        raise UserError(
            f"{source} is no clip: give the folder of its frames, or a video such as .mp4 or .avi."
        )
    with _quiet_opencv():
        capture = cv2.VideoCapture(str(source))
        try:
            frames_of_video = _written(_frames_until_end(capture), folder, name=source.name)
        finally:
            capture.release()
    if not frames_of_video:
        raise UserError(
            f"{source} cannot be read as a video: save it again as .mp4 or .avi, or as frames."
        )
    return NewClip(source.stem, frames_of_video)


def open_camera(number: int) -> Any:
    """Open a camera; tests put another in its place."""
    return cv2.VideoCapture(number)


def record_clip(
    number: int,
    *,
    seconds: float,
    folder: Path,
    clock: Callable[[], float] = time.monotonic,
) -> NewClip:
    """Record from a camera for some seconds.

    Raises
    ------
    UserError
        When there is no such camera, or it gives no frames.
    """
    if seconds <= 0:
        raise UserError(f"--seconds is {seconds}: give more than 0.")
    with _quiet_opencv():
        capture = open_camera(number)
        try:
            frames = []
            began = clock()
            for frame in _frames_until_end(capture):
                frames.append(frame)
                if clock() - began >= seconds:
                    break
        finally:
            capture.release()
    if not frames:
        raise UserError(
            f"Camera {number} gives no picture: connect a camera, choose another --camera, or "
            "give a clip."
        )
    return NewClip("camera", _written(iter(frames), folder, name="The recording"))


def _frames_until_end(capture: Any) -> Iterator[NDArray[np.uint8]]:
    while capture.isOpened():
        read, frame = capture.read()
        if not read or frame is None:
            return
        yield frame


def _written(frames: Iterator[NDArray[np.uint8]], folder: Path, *, name: str) -> dict[int, Path]:
    """Write BGR frames as PNG, which loses nothing, and return the files by number."""
    files: dict[int, Path] = {}
    total = 0
    for number, frame in enumerate(frames, start=1):
        total += frame.nbytes
        if total > MOST_BYTES:
            raise UserError(
                f"{name} is too long: more than {number - 1} frames of {frame.shape[1]} x "
                f"{frame.shape[0]} do not fit into memory; cut it to the seconds around the "
                "expression."
            )
        files[number] = folder / f"frame_{number}.png"
        cv2.imwrite(str(files[number]), frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return files


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Keep OpenCV's own lines off the screen; what failed is said in our sentence."""
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)
