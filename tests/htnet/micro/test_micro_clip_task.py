"""Which frames a clip needs, and the one sentence for each way in which it cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from htnet.micro.clips.frames import ClipError, ClipTask, plan_clip, window_marks


def task(
    frames: range | tuple[int, ...] = range(10, 30),
    *,
    onset: int | None = 12,
    apex: int | None = 18,
    offset: int | None = 25,
    problem: str = "",
) -> ClipTask:
    paths = {number: Path(f"img{number}.jpg") for number in frames}
    return ClipTask("c", paths, onset, apex, offset, problem=problem)


def test_the_frames_that_are_read_are_those_that_are_needed() -> None:
    assert plan_clip(task(), windows=False).needed == (12, 18)
    assert plan_clip(task(), windows=True).needed == (12, 15, 18, 21, 25)
    assert plan_clip(task(apex=None), windows=False).needed == tuple(range(12, 26))


def test_frames_are_in_order_of_their_numbers_and_not_of_their_names() -> None:
    unsorted = (100, 9, 10, 99, 11, 8)
    plan = plan_clip(task(unsorted, onset=8, apex=None, offset=100), windows=False)
    assert plan.needed == (8, 9, 10, 11, 99, 100)


def test_the_middle_is_the_nearest_frame_that_is_there() -> None:
    assert window_marks(tuple(range(20)), 0, 8, 16) == (0, 4, 8, 12, 16)
    assert window_marks((0, 1, 5, 8, 9, 16), 0, 8, 16) == (0, 5, 8, 9, 16)
    assert window_marks((0, 1, 2), 0, 1, 2) == (0, 0, 1, 1, 2)  # too short for a middle


def test_a_missing_offset_frame_is_replaced_and_said_only_where_it_matters() -> None:
    short = task(range(10, 24))
    assert plan_clip(short, windows=False).remark == ""
    plan = plan_clip(short, windows=True)
    assert plan.offset == 23
    assert plan.remark == ("The offset frame 25 is missing; the last before it, 23, was taken.")


@pytest.mark.parametrize(
    ("broken", "windows", "status", "sentence"),
    [
        (task(()), False, "missing_frames", "holds no frames"),
        (task(onset=None), False, "failed", "gives no onset"),
        (task(range(13, 30)), False, "missing_frames", "onset frame 12 is missing"),
        (task((*range(10, 18), *range(19, 30))), False, "missing_frames", "apex frame 18 is miss"),
        (task(apex=12), False, "failed", "apex 12 is not after the onset 12"),
        (task(apex=None, offset=None), False, "failed", "gives no offset"),
        (task(offset=None), True, "failed", "gives no offset"),
        (task(offset=15), True, "failed", "offset 15 is before the apex 18"),
        (task(problem="The manifest is odd."), True, "failed", "The manifest is odd"),
    ],
)
def test_a_clip_that_cannot_be_used_says_why(
    broken: ClipTask, windows: bool, status: str, sentence: str
) -> None:
    with pytest.raises(ClipError, match=sentence) as error:
        plan_clip(broken, windows=windows)
    assert error.value.status == status
    assert error.value.reason.endswith(".")
    assert error.value.reason.count(". ") == 0  # one sentence


def test_the_apex_alone_needs_no_offset() -> None:
    assert plan_clip(task(offset=None), windows=False).needed == (12, 18)
    assert plan_clip(task(offset=15), windows=False).needed == (12, 18)
