"""Frames of films and of folders of pictures: upright, with their times, one at a time in memory.

Films are decoded by the FFmpeg inside OpenCV: MP4, MOV, AVI, WebM and their kin, told by content
and not by name. A telephone stores its pictures lying down and says how they are to be turned;
they come out upright. Times are those of the container, so that a film with a varying frame rate
is right. Frames are counted from 0.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import FilmError, UserError
from common.files import atomic_write, natural_key
from common.photos import PHOTO_SUFFIXES, files_below, image_id_of
from common.words import counted

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong with a film is said by us

FILM_SUFFIXES = (
    ".mp4", ".mov", ".avi", ".webm", ".mkv", ".m4v", ".wmv", ".mpg", ".mpeg", ".3gp", ".mts",
)  # fmt: skip
ANNOTATED = "annotated"
"""Source of an apex that somebody marked among the frames of a clip."""
_SEEK_AHEAD = 16  # frames: a film of uneven times is entered earlier than asked, and read on
_FEWER = 0.02  # share of the announced frames below which a film counts as cut short


@dataclass(frozen=True)
class Frame:
    """One picture of a film: `(h, w, 3)` RGB uint8, upright; `time_s` from the film's beginning."""

    number: int
    time_s: float
    rgb: NDArray[np.uint8]


@dataclass(frozen=True)
class Film:
    """A film that was read through once, so that its frames and times are known.

    `times_s` are `(n,)` seconds of each frame, rising, as the container has them; `width` and
    `height` of the upright frames in px; `remark` what a reader of its numbers must know, else
    empty. A `mirrored` file holds a mirror image, as some front cameras save it: its frames come
    out mirrored back, so that the patient's right is on the left of the picture.
    """

    path: Path
    times_s: NDArray[np.float64]
    width: int
    height: int
    remark: str = ""
    mirrored: bool = False

    def __len__(self) -> int:
        return len(self.times_s)

    def frames(self, first: int = 0, end: int | None = None) -> Iterator[Frame]:
        """Yield the frames from `first` up to and without `end`; the same however it is entered.

        FilmError when the film cannot be read any more as it was.
        """
        end = len(self) if end is None else min(end, len(self))
        if not 0 <= first < end:
            return
        with self._entered(first) as capture:
            for number in range(first, end):
                if number > first and not capture.grab():
                    raise FilmError(
                        f"{self.path.name} breaks off at frame {number}, which could be read "
                        "before: was the file changed in between?"
                    )
                _, bgr = capture.retrieve()
                rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
                if self.mirrored:
                    rgb = cv2.flip(rgb, 1)
                yield Frame(number, float(self.times_s[number]), np.asarray(rgb, dtype=np.uint8))

    def frame(self, number: int) -> Frame:
        """Return one frame by its number; IndexError when there is none."""
        if not 0 <= number < len(self):
            raise IndexError(f"{self.path.name} has no frame {number}: {len(self)} from 0.")
        return next(self.frames(number))

    @contextmanager
    def _entered(self, number: int) -> Iterator[cv2.VideoCapture]:
        """Open the film with frame `number` grabbed."""
        with _capture(self.path) as capture:
            if self._found(capture, number):
                yield capture
                return
        with _capture(self.path) as capture:
            for _ in range(number + 1):
                capture.grab()
            yield capture

    def _found(self, capture: cv2.VideoCapture, number: int) -> bool:
        """Seek frame `number` and grab it; False where only reading from the beginning helps.

        OpenCV seeks by the mean frame rate and may land elsewhere: the time of what it gives says
        which frame that is. Where it lands too late, an earlier one is asked for.
        """
        wanted = self.times_s[number]
        for back in (_SEEK_AHEAD, 10 * _SEEK_AHEAD, 100 * _SEEK_AHEAD):
            if number <= back or self.remark:  # a damaged film is sought in no more
                return False
            capture.set(cv2.CAP_PROP_POS_FRAMES, number - back)
            there = capture.grab()
            while there and _time_of(capture) < wanted:
                there = capture.grab()
            if there and _time_of(capture) == wanted:
                return True
        return False


def open_film(path: Path, *, mirrored: bool = False) -> Film:
    """Read a film through once, without keeping any picture, and return what is known of it.

    FilmError when the file is missing, empty, no film, of a kind that is not read, or without a
    frame.
    """
    with _capture(path) as capture:
        announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        rate = capture.get(cv2.CAP_PROP_FPS)
        times = []
        size = None
        while capture.grab():
            if size is None:
                _, first = capture.retrieve()
                size = first.shape[1::-1]
            times.append(_time_of(capture))
    if size is None:
        raise FilmError(
            f"{path.name} is a film without a single frame that can be read: it is cut short or "
            "damaged; copy it again from the camera."
        )
    remark = ""
    times_s = np.array(times)
    if len(times) < announced * (1 - _FEWER) - 1:
        remark = (
            f"{path.name} announces {announced:.0f} frames and holds {len(times)}: it is cut short "
            "or damaged; what is there was taken."
        )
    if not (np.diff(times_s) > 0).all():
        if not rate > 0:
            raise FilmError(
                f"{path.name} says neither when its frames were taken nor how many there are in a "
                "second: save it again as .mp4."
            )
        times_s = np.round(np.arange(len(times)) / rate, 6)
        remark = (
            f"The time stamps of {path.name} do not rise: its {counted(len(times), 'frame')} were "
            f"timed by its mean rate, {rate:g} a second."
        )
    return Film(path, times_s, int(size[0]), int(size[1]), remark=remark, mirrored=mirrored)


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV's own lines off the screen while a film or camera is read."""
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


@contextmanager
def _capture(path: Path) -> Iterator[cv2.VideoCapture]:
    try:
        if path.stat().st_size == 0:
            raise FilmError(f"{path.name} is empty (0 bytes): copy it again from the camera.")
        with path.open("rb"):
            pass
    except OSError as error:
        raise FilmError(
            f"{path.name} cannot be opened ({error.strerror or error}): check that the file "
            "exists and that you may read it."
        ) from error
    with quiet_opencv():
        # One thread: films and their pieces are read at the same time by several processes.
        capture = cv2.VideoCapture(
            str(path.absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1]
        )
        try:
            if not capture.isOpened():
                raise FilmError(
                    f"{path.name} is no film that can be read here: it is cut short (an MP4 has "
                    "its list of frames at its end), protected or of a rare kind; copy it again "
                    "or save it as .mp4 (H.264)."
                )
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # rotation flags, whatever the default
            yield capture
        finally:
            capture.release()


def _time_of(capture: cv2.VideoCapture) -> float:
    """Return the time of the frame grabbed last in seconds, to the microsecond."""
    return float(round(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, 6))


def list_films(folder: Path) -> tuple[tuple[str, Path], ...]:
    """Find every film below a folder: (path below it with `/`, path), in natural order."""
    films = [
        (image_id_of(path, folder), path)
        for path in files_below(folder, problems=[])
        if path.suffix.lower() in FILM_SUFFIXES
    ]
    return tuple(sorted(films, key=lambda film: natural_key(film[0])))


@dataclass(frozen=True)
class FrameFolder:
    """A clip that lies in a folder as pictures: file name by frame number."""

    folder: Path
    names: Mapping[int, str]

    def between(self, first: int, last: int) -> list[int]:
        """Return the numbers of the frames that are there, from `first` to `last`."""
        return [number for number in sorted(self.names) if first <= number <= last]


def list_frames(folder: Path) -> FrameFolder:
    """List the frames of a folder: the last number of a file name is the frame's."""
    names: dict[int, str] = {}
    for path in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
        numbers = re.findall(r"\d+", path.stem)
        if path.suffix.lower() in PHOTO_SUFFIXES and numbers and not path.name.startswith("."):
            names.setdefault(int(numbers[-1]), path.name)
    return FrameFolder(folder, names)


FILM_SUFFIX = ".mp4"
_CODEC = "mp4v"  # MPEG-4 part 2: every build of OpenCV writes and reads it


@contextmanager
def film_writer(
    path: Path, *, width: int, height: int, fps: float
) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Give a function that takes the frames, ``(height, width, 3)`` uint8 RGB, one by one.

    UserError when the file is not named ``.mp4``, or OpenCV cannot write films here.
    """
    if path.suffix.lower() != FILM_SUFFIX:
        raise UserError(f"{path} is no name for a film: films are written as {FILM_SUFFIX}.")
    with atomic_write(path) as temporary:
        part = temporary.with_suffix(FILM_SUFFIX)  # OpenCV chooses the container by it
        writer = cv2.VideoWriter(str(part), cv2.VideoWriter.fourcc(*_CODEC), fps, (width, height))
        try:
            if not writer.isOpened():
                raise UserError(
                    f"{path} cannot be written: this build of OpenCV writes no films; install "
                    "opencv-python-headless as in requirements.txt."
                )

            def write(rgb: NDArray[np.uint8]) -> None:
                if rgb.shape != (height, width, 3):
                    raise ValueError(f"a frame is {rgb.shape}, not {(height, width, 3)}")
                writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

            yield write
            writer.release()
            part.replace(temporary)
        finally:
            writer.release()
            part.unlink(missing_ok=True)
