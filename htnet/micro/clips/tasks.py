"""A clip as numbered frames: of a folder, a video or a camera, and which of them are needed.

Frames of a folder have the numbers in their file names; those of a video or a camera count from 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import FilmError, UserError
from common.films import FILM_SUFFIXES, list_frames, open_film, quiet_opencv
from common.photos import PHOTO_SUFFIXES
from common.words import counted

MOST_BYTES = 1_500_000_000
"""Uncompressed frames of a clip beyond this are refused: the whole clip is held in memory."""


class ClipError(Exception):
    """A clip that cannot be used: `status` as in `htnet.micro.clips.store`, and one sentence."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class ClipTask:
    """A clip: its files by frame number, and what is known of its onset, apex and offset.

    `image_id` is that of the manifest, of a new clip the name of its folder or file; `picture`
    says where its picture goes, `problem` what is wrong with its row of the manifest.
    """

    image_id: str
    frames: Mapping[int, Path]
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    picture: Path | None = None
    problem: str = ""


@dataclass(frozen=True)
class ClipPlan:
    """The frames that are needed, all of them there; `apex` is None when it is to be found.

    `needed` are all from onset to offset when the apex is to be found, else those that count;
    `remark` is a sentence when a frame stands in for a missing one.
    """

    onset: int
    apex: int | None
    offset: int
    needed: tuple[int, ...]
    remark: str = ""


def plan_clip(task: ClipTask, *, windows: bool) -> ClipPlan:
    """Decide which frames of a clip are needed, before any is read; ClipError says why not.

    With `windows` the flow after the apex is wanted too, so that there must be an offset.
    """
    if task.problem:
        raise ClipError("failed", task.problem)
    if not task.frames:
        raise ClipError(
            "missing_frames", "The clip's folder holds no frames: check its path in the manifest."
        )
    if task.onset is None:
        raise ClipError("failed", "The manifest gives no onset: fill it in.")
    onset, apex = task.onset, task.apex
    there = f"its frames are {min(task.frames)} to {max(task.frames)}"
    if onset not in task.frames:
        raise ClipError("missing_frames", f"The onset frame {onset} is missing: {there}.")
    if apex is not None and apex not in task.frames:
        raise ClipError(
            "missing_frames",
            f"The apex frame {apex} is missing ({there}): add it, or empty the apex to have it "
            "found.",
        )
    if apex is not None and apex <= onset:
        raise ClipError(
            "failed", f"The apex {apex} is not after the onset {onset}: correct the manifest."
        )
    if task.offset is None and (apex is None or windows):
        raise ClipError("failed", "The manifest gives no offset: fill it in.")
    wanted = apex if task.offset is None else task.offset
    assert wanted is not None  # one of the two is known
    if apex is not None and wanted < apex:
        if windows:
            raise ClipError(
                "failed", f"The offset {wanted} is before the apex {apex}: correct the manifest."
            )
        wanted = apex
    between = tuple(number for number in sorted(task.frames) if onset <= number <= wanted)
    offset, remark = between[-1], ""
    if offset != wanted and (apex is None or windows):
        remark = f"The offset frame {wanted} is missing; the last before it, {offset}, was taken."
    needed = between
    if apex is not None:
        marks = window_marks(between, onset, apex, offset) if windows else (onset, apex)
        needed = tuple(dict.fromkeys(marks))
    return ClipPlan(onset, apex, offset, needed, remark)


def window_marks(
    numbers: tuple[int, ...], onset: int, apex: int, offset: int
) -> tuple[int, int, int, int, int]:
    """Return the five frames between which the four windows lie: onset, mid, apex, mid2, offset.

    A mid is the frame nearest to the middle of those that are there, the earlier of two.
    """

    def mid(first: int, second: int) -> int:
        between = [number for number in numbers if first <= number <= second]
        return min(between, key=lambda number: abs(2 * number - first - second))

    return onset, mid(onset, apex), apex, mid(apex, offset), offset


def find_clip(source: Path, *, folder: Path) -> ClipTask:
    """Return the frames of a folder, or those of a video written into `folder`."""
    if source.is_dir():
        names = list_frames(source).names
        if not names:
            raise UserError(
                f"{source} holds no numbered frames ({', '.join(sorted(PHOTO_SUFFIXES)[:4])} and "
                "the like): give the folder of one clip."
            )
        return ClipTask(source.name, {number: source / name for number, name in names.items()})
    if not source.is_file():
        raise UserError(f"{source} does not exist: give a clip's folder, a video, or --camera 0.")
    if source.suffix.lower() not in FILM_SUFFIXES:
        raise UserError(
            f"{source} is no clip: give the folder of its frames, or a video such as .mp4 or .avi."
        )
    try:
        film = open_film(source)
        frames = _written((frame.rgb for frame in film.frames()), folder, name=source.name)
    except FilmError as error:
        raise UserError(f"{source} cannot be read as a video: {error}") from error
    return ClipTask(source.stem, frames)


def open_camera(number: int) -> Any:
    """Open a camera; tests put another in its place."""
    return cv2.VideoCapture(number)


def record_clip(
    number: int, *, seconds: float, folder: Path, clock: Callable[[], float] = time.monotonic
) -> ClipTask:
    """Record from a camera for some seconds, and write the frames into `folder`."""
    if seconds <= 0:
        raise UserError(f"--seconds is {seconds}: give more than 0.")
    frames = []
    with quiet_opencv():
        capture = open_camera(number)
        try:
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
    return ClipTask("camera", _written(iter(frames), folder, name="The recording"))


def _frames_until_end(capture: Any) -> Iterator[NDArray[np.uint8]]:
    while capture.isOpened():
        read, bgr = capture.read()
        if not read or bgr is None:
            return
        yield np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _written(frames: Iterator[NDArray[np.uint8]], folder: Path, *, name: str) -> dict[int, Path]:
    """Write RGB frames as PNG, which loses nothing, and return the files by number."""
    files: dict[int, Path] = {}
    total = 0
    for number, frame in enumerate(frames, start=1):
        total += frame.nbytes
        if total > MOST_BYTES:
            height, width = frame.shape[:2]
            raise UserError(
                f"{name} is too long: more than {counted(number - 1, 'frame')} of {width} x "
                f"{height} do not fit into memory; cut it to the seconds around the expression."
            )
        files[number] = folder / f"frame_{number}.png"
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(files[number]), bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return files
