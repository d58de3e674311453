"""A clip: which of its numbered frames are needed, and these as aligned grey faces.

The 68 points are found on the onset frame alone; every other frame is cut by the same similarity,
so that whatever moves between two crops has moved on the face. Frames are known by their numbers,
which also order them: 9 comes before 10.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import PhotoError
from common.photos import read_photo
from htnet.alignment import AlignedFace, align_face, alignment_map
from htnet.micro.clips.flow import FlowEstimator, HeadMotion, fit_head_motion, skin_to_fit
from landmarks.find.finder import LandmarkFinder

FACE_SIZE = 224
"""Side of the face square in px. A face is 190 to 210 px wide in it: flow needs 170 or more."""


class ClipError(Exception):
    """A clip that cannot be used: `status` as in `clips.store`, and one sentence."""

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


@dataclass(frozen=True)
class FaceFrames:
    """Aligned faces of one clip, `grey` `(n, FACE_SIZE, FACE_SIZE)` uint8, by rising `numbers`.

    The first is the onset, also in colour `(FACE_SIZE, FACE_SIZE, 3)` and with its `(68, 2)`
    points in px of the square, whose side is `face_px` px of the frames.
    """

    numbers: tuple[int, ...]
    grey: NDArray[np.uint8]
    onset_rgb: NDArray[np.uint8]
    points: NDArray[np.float64]
    face_px: float

    def at(self, number: int) -> NDArray[np.uint8]:
        """Return the face in the frame of this number."""
        return self.grey[self.numbers.index(number)]


@dataclass(frozen=True)
class FaceMotion:
    """Motion of the face, `(FACE_SIZE, FACE_SIZE, 2)` px of the square, less that of the head."""

    flow: NDArray[np.float32]
    head: HeadMotion


class MotionReader:
    """Reads motions of the face between frames of one clip, by one method.

    The head's motion is always measured by DIS (the `tracker`), which follows large motion. With
    another method (the `estimator`'s) the second frame is first moved back by it, for Farneback
    loses what moves by several px.
    """

    def __init__(
        self, estimator: FlowEstimator, tracker: FlowEstimator, frames: FaceFrames
    ) -> None:
        self._estimator, self._tracker, self.frames = estimator, tracker, frames
        self._skin = skin_to_fit(frames.points, size=FACE_SIZE)

    def between(self, first: int, second: int) -> FaceMotion:
        """Return the motion from one frame to the other, by their numbers."""
        before, after = self.frames.at(first), self.frames.at(second)
        flow = self._tracker.flow(before, after)
        head = fit_head_motion(flow, self._skin)
        if self._estimator.method != "dis":
            flow = self._estimator.flow(before, _moved_back(after, head))
            return FaceMotion(flow - fit_head_motion(flow, self._skin).field(FACE_SIZE), head)
        return FaceMotion(flow - head.field(FACE_SIZE), head)


def read_face_frames(
    finder: LandmarkFinder, paths: Mapping[int, Path], *, numbers: Sequence[int]
) -> FaceFrames:
    """Read the frames of these numbers, and align them by the face found in the lowest.

    ClipError when a frame cannot be read, or the onset frame shows no face.
    """
    first, *later = sorted(numbers)
    onset = _read(paths[first])
    found = finder.find(onset)
    if found.status != "ok":
        raise ClipError(found.status, f"In the onset frame {paths[first].name}: {found.reason}")
    # One frame at a time is in memory: a clip can have hundreds.
    rest = ((number, _read(paths[number])) for number in later)
    return align_frames(itertools.chain([(first, onset)], rest), found.points)


def align_frames(
    frames: Iterable[tuple[int, NDArray[np.uint8]]], points: NDArray[np.float64]
) -> FaceFrames:
    """Cut the face out of every frame by the points of the first.

    Frames come by rising number as RGB uint8; the first is the onset, `points` are `(68, 2)` px of
    it. ClipError when they are not all of one size, or there are none.
    """
    numbers: list[int] = []
    grey: list[NDArray[np.uint8]] = []
    first: AlignedFace | None = None
    shape: tuple[int, ...] = ()
    for number, rgb in frames:
        face = align_face(rgb, points, size=FACE_SIZE)
        if first is None:
            first, shape = face, rgb.shape
        elif rgb.shape != shape:
            raise ClipError(
                "failed",
                f"Frame {number} has another size than the onset frame {numbers[0]}: export all "
                "frames of the clip in one size.",
            )
        numbers.append(number)
        grey.append(cv2.cvtColor(face.pixels, cv2.COLOR_RGB2GRAY))
    if first is None:
        raise ClipError("missing_frames", "The clip has no frames.")
    linear = alignment_map(points, size=FACE_SIZE)
    return FaceFrames(
        numbers=tuple(numbers),
        grey=np.stack(grey),
        onset_rgb=first.pixels,
        points=first.points,
        face_px=float(FACE_SIZE / np.hypot(linear[0, 0], linear[1, 0])),
    )


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        return read_photo(path).pixels
    except PhotoError as error:
        raise ClipError("unreadable", str(error)) from error


def _moved_back(grey: NDArray[np.uint8], head: HeadMotion) -> NDArray[np.uint8]:
    """Return the picture as it were had the head not moved."""
    forward = np.array(
        [[1 + head.stretch, -head.turn, head.dx], [head.turn, 1 + head.stretch, head.dy]]
    )
    centre = (len(grey) - 1) / 2
    forward[:, 2] += centre - forward[:, :2] @ [centre, centre]
    return cv2.warpAffine(
        grey,
        forward,
        grey.shape[::-1],
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
