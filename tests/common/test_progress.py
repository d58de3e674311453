from __future__ import annotations

import io

import pytest

import common.progress as module
from common.progress import JobProgress


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_rate_and_time_left(clock: Clock) -> None:
    progress = JobProgress("extract", total=100, stream=io.StringIO())
    for number in range(20):
        clock.now += 0.5
        progress.advance(ok=number != 3)
    expected = "extract: 20/100 (20 %), 19 ok, 1 failed, 2.0/s, 40 s left"
    assert progress.line() == expected


def test_what_was_done_earlier_counts_but_not_for_the_rate(clock: Clock) -> None:
    progress = JobProgress("extract", total=100, done=50, stream=io.StringIO())
    assert "50/100" in progress.line()
    assert "starting" in progress.line()
    clock.now += 10
    progress.advance(ok=True)
    assert "51/100 (51 %), 51 ok, 0 failed, 0.1/s, 8 min left" in progress.line()


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "took 5 s"), (600, "took 10 min"), (9000, "took 2.5 h")]
)
def test_durations_are_said_as_people_do(clock: Clock, seconds: float, words: str) -> None:
    progress = JobProgress("extract", total=1, stream=io.StringIO())
    clock.now += seconds
    progress.advance(ok=True)
    assert words in progress.line()


def test_a_log_file_gets_a_line_now_and_then(clock: Clock) -> None:
    log = io.StringIO()
    with JobProgress("extract", total=60, stream=log) as progress:
        for _ in range(60):
            clock.now += 0.5
            progress.advance(ok=True)
    lines = log.getvalue().splitlines()
    assert lines[0].startswith("extract: 0/60 ")
    assert lines[-1].startswith("extract: 60/60 (100 %), 60 ok, 0 failed")
    assert len(lines) == 5  # the first, after 2, 12 and 22 s, and the last


def test_a_log_file_says_once_that_a_job_is_starting_and_soon_that_it_goes(clock: Clock) -> None:
    log = io.StringIO()
    with pytest.raises(KeyboardInterrupt), JobProgress("extract", total=50_000, stream=log):
        clock.now += 12
        raise KeyboardInterrupt
    assert log.getvalue().count("starting") == 1
    log = io.StringIO()
    with JobProgress("extract", total=50_000, stream=log) as progress:
        for _ in range(3):
            clock.now += 1.5
            progress.advance(ok=True)
        assert log.getvalue().splitlines()[1].startswith("extract: 2/50000 ")


def test_the_last_line_is_written_when_the_job_is_stopped(clock: Clock) -> None:
    log = io.StringIO()
    with pytest.raises(KeyboardInterrupt), JobProgress("extract", total=2, stream=log) as progress:
        progress.advance(ok=False)
        raise KeyboardInterrupt
    assert "1/2 (50 %), 0 ok, 1 failed" in log.getvalue().splitlines()[-1]


def test_a_terminal_gets_a_live_line() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    with JobProgress("extract", total=2, stream=screen) as progress:
        progress.advance(ok=True)
        progress.advance(ok=False)
    assert "extract: 2/2 (100 %), 1 ok, 1 failed" in " ".join(screen.getvalue().split())


def test_nothing_to_do() -> None:
    with JobProgress("extract", total=0, stream=io.StringIO()) as progress:
        assert "0/0 (100 %)" in progress.line()
