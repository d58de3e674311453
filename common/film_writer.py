"""The one writer of films: RGB frames to an MP4 file, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.files import atomic_write

FILM_SUFFIX = ".mp4"
_CODEC = "mp4v"  # MPEG-4 part 2: every build of OpenCV writes and reads it


@contextmanager
def film_writer(
    path: Path, *, width: int, height: int, fps: float
) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Give a function that takes the frames, ``(height, width, 3)`` uint8 RGB, one by one.

    Raises
    ------
    UserError
        When the file is not named ``.mp4``, or OpenCV cannot write films here.
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
