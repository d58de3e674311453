"""Progress of a long job: a live line on a terminal, plain lines in a log file."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

FIRST_LOG_S, LOG_EVERY_S = 2.0, 10.0


class JobProgress:
    """Counts of ok and failed items, rate, and time left; use as a context manager.

    `done` of the `total` items were done in an earlier run and do not count towards the rate. A
    `note` stands in place of the counts, and may be changed on the way. A terminal gets one live
    line, another stream a plain line at the start, soon after the first item, every `LOG_EVERY_S`
    seconds, and at the end.
    """

    def __init__(
        self,
        title: str,
        *,
        total: int,
        done: int = 0,
        note: str | None = None,
        stream: TextIO | None = None,
    ) -> None:
        self.title, self.total, self.note = title, total, note
        self.ok, self.failed, self.earlier = done, 0, done
        self._stream = stream or sys.stderr
        self._started = self._logged = time.monotonic()
        self._patience = FIRST_LOG_S
        self._bar: Progress | None = None
        if self._stream.isatty():
            self._bar = Progress(
                BarColumn(), TextColumn("{task.description}"), console=Console(file=self._stream)
            )
            self._task = self._bar.add_task(self.line(), total=total, completed=done)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        else:
            self._write()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.update(self._task, description=self.line())
            self._bar.stop()
        elif self.ok + self.failed > self.earlier or not self.total:  # else it is said already
            self._write()

    def advance(self, *, ok: bool, count: int = 1) -> None:
        """Count finished items."""
        self.ok += count if ok else 0
        self.failed += 0 if ok else count
        if self._bar:
            self._bar.update(self._task, advance=count, description=self.line())
        elif time.monotonic() - self._logged >= self._patience:
            self._write()
            self._patience = LOG_EVERY_S

    def line(self) -> str:
        """Return the state as one line of text."""
        finished = self.ok + self.failed
        elapsed = time.monotonic() - self._started
        rate = (finished - self.earlier) / elapsed if elapsed > 0 else 0.0
        left = f"{_duration((self.total - finished) / rate)} left" if rate else "starting"
        if finished >= self.total:
            left = f"took {_duration(elapsed)}"
        share = 100 * finished // self.total if self.total else 100
        note = f"{self.ok} ok, {self.failed} failed" if self.note is None else self.note
        told = (f"{self.title}: {finished}/{self.total} ({share} %)", note, f"{rate:.1f}/s", left)
        return ", ".join(part for part in told if part)

    def _write(self) -> None:
        self._logged = time.monotonic()
        print(self.line(), file=self._stream, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
