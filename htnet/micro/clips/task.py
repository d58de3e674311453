"""Which frames of a clip are needed, or why it cannot be used: decided before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class ClipError(Exception):
    """A clip that cannot be used: `status` as in `htnet.micro.clips.store`, and one sentence."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class ClipTask:
    """A clip and its place in time.

    Attributes
    ----------
    image_id
        As in the manifest.
    frames
        Files by frame number, all that the folder holds.
    onset, apex, offset
        Frame numbers; None where not annotated.
    picture
        Where its picture goes; None for none.
    problem
        What is wrong with its row of the manifest, one sentence; empty when nothing is.
    """

    image_id: str
    frames: Mapping[int, Path]
    onset: int | None
    apex: int | None
    offset: int | None
    picture: Path | None = None
    problem: str = ""


@dataclass(frozen=True)
class ClipPlan:
    """The frames that are needed.

    Attributes
    ----------
    onset, apex, offset
        Frame numbers, all of them there; `apex` is None when it is to be found.
    needed
        Rising: all from onset to offset when the apex is to be found, else those that count.
    remark
        One sentence when a frame stands in for a missing one.
    """

    onset: int
    apex: int | None
    offset: int
    needed: tuple[int, ...]
    remark: str = ""


def plan_clip(task: ClipTask, *, windows: bool) -> ClipPlan:
    """Decide which frames are needed.

    Parameters
    ----------
    task
        The clip.
    windows
        Whether the flow after the apex is wanted too, so that there must be an offset.

    Raises
    ------
    ClipError
        When the clip cannot be used.
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
    between = [number for number in sorted(task.frames) if onset <= number <= wanted]
    offset, remark = between[-1], ""
    if offset != wanted and (apex is None or windows):
        remark = f"The offset frame {wanted} is missing; the last before it, {offset}, was taken."
    if apex is None:
        needed = tuple(between)
    elif windows:
        marks = window_marks(tuple(between), onset, apex, offset)
        needed = tuple(dict.fromkeys(marks))
    else:
        needed = (onset, apex)
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
