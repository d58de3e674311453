"""A supervised map over workers: every item comes back, whatever became of its worker.

The workers are processes on this machine or, with a scheduler, those of a Dask cluster; who calls
`supervised_map` does not notice which. The supervisor knows which item a dead or stuck worker held:
a lost item is tried again by another worker, and given up with a reason after that.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.errors import UserError
from common.processes import Crew, Lost, Message, Outcome, Processes
from common.words import counted

_FALSE_STARTS = 3  # workers that may be lost before they are ready


@dataclass
class _Worker:
    ready: bool = False
    held: deque[int] = field(default_factory=deque)
    since: float = 0.0  # when the first held item began


def default_jobs() -> int:
    """Return the number of processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def jobs_asked(jobs: int | None) -> int:
    """Return how many jobs `--jobs` asks for: one for each processor when not given."""
    if jobs is not None and jobs < 1:
        raise UserError(f"--jobs is {jobs}: give 1 or more.")
    return jobs or default_jobs()


def supervised_map(
    function: Callable[..., Any],
    items: Sequence[Any],
    *,
    jobs: int,
    start: Callable[[], Any],
    scheduler: str | None = None,
    limit_s: float = 120.0,
    retries: int = 1,
) -> Generator[Outcome]:
    """Apply `function(state, item)` to every item in workers; yield an `Outcome` as each finishes.

    `function` is importable; an exception it raises becomes the item's `error`. `start` is called
    once in each of `jobs` spawned processes with one thread each; what it returns is the `state`.
    With a `scheduler` of a Dask cluster (`tcp://HOST:PORT`) its workers are used, however many
    there are; `local` is a cluster of `jobs` workers here. A worker that takes longer than
    `limit_s` seconds for an item is killed; an item whose worker died is tried again `retries`
    times. UserError when a worker cannot start, with its sentence, or there is no scheduler.
    """
    if not len(items):
        return
    crew = _crew(function, start, jobs=jobs, scheduler=scheduler)
    yield from _Supervisor(crew, items, limit_s=limit_s, retries=retries).run()


def _crew(
    function: Callable[..., Any], start: Callable[[], Any], *, jobs: int, scheduler: str | None
) -> Crew:
    if scheduler is None:
        return Processes(function, start, jobs=jobs)
    try:
        from common.cluster import Cluster
    except ModuleNotFoundError as error:
        raise UserError(
            f"--scheduler needs Dask, which is not installed here ({error.name} is missing): "
            "python -m pip install -c constraints.txt -r requirements-cluster.txt"
        ) from error
    return Cluster(function, start, jobs=jobs, scheduler=scheduler)


class _Supervisor:
    def __init__(self, crew: Crew, items: Sequence[Any], *, limit_s: float, retries: int) -> None:
        self.crew, self.items, self.limit_s, self.retries = crew, items, limit_s, retries
        self.waiting = deque(range(len(items)))
        self.lost: dict[int, int] = {}
        self.false_starts = 0
        self.workers: dict[Hashable, _Worker] = {}

    def run(self) -> Iterator[Outcome]:
        try:
            while self.waiting or self._busy():
                for name in self.crew.present(len(self.waiting) + self._busy()):
                    self._feed(name, self.workers.setdefault(name, _Worker()))
                for name, message in self.crew.messages(self._patience()):
                    yield from self._receive(name, message)
                for name, worker in list(self.workers.items()):
                    if worker.held and time.monotonic() - worker.since > self.limit_s:
                        yield from self._bury(name, f"it took longer than {self.limit_s:.0f} s")
        finally:
            self.crew.close()

    def _busy(self) -> int:
        return sum(1 for worker in self.workers.values() if worker.held)

    def _feed(self, name: Hashable, worker: _Worker) -> None:
        if len(worker.held) > self.crew.ahead // 2:  # several in one go cost less
            return
        while worker.ready and self.waiting and len(worker.held) < self._queue_length():
            # An item that took a worker with it before travels alone.
            if worker.held and self.lost.get(self.waiting[0]):
                break
            index = self.waiting.popleft()
            if not worker.held:
                worker.since = time.monotonic()
            worker.held.append(index)
            self.crew.send(name, index, self.items[index])
            if self.lost.get(index):
                break

    def _queue_length(self) -> int:
        """Return how many items a worker holds: near the end one, so that none waits in vain."""
        return min(self.crew.ahead, 1 + len(self.waiting) // max(1, len(self.workers)))

    def _patience(self) -> float:
        """Seconds until the next time limit could pass."""
        held = [worker.since for worker in self.workers.values() if worker.held]
        return max(0.05, min(held) + self.limit_s - time.monotonic()) if held else self.limit_s

    def _receive(self, name: Hashable, message: Message) -> Iterator[Outcome]:
        worker = self.workers.get(name)
        if worker is None:  # given up before it said this
            return
        if isinstance(message, Lost):
            yield from self._bury(name, message.reason)
        elif isinstance(message, Outcome):
            worker.held.remove(message.index)
            worker.since = time.monotonic()
            yield message
        elif message is None:
            worker.ready = True
        else:
            raise UserError(message)

    def _bury(self, name: Hashable, reason: str) -> Iterator[Outcome]:
        """End a dead or stuck worker; retry the item it was at, put back those behind it."""
        self.crew.dismiss(name)
        worker = self.workers.pop(name)
        if not worker.ready:
            self.false_starts += 1
            if self.false_starts > _FALSE_STARTS:
                raise UserError(
                    f"{counted(self.false_starts, 'worker')} ended before they could start: "
                    f"{self.crew.advice}."
                )
        if worker.held:
            index = worker.held.popleft()
            self.waiting.extendleft(reversed(worker.held))
            self.lost[index] = self.lost.get(index, 0) + 1
            if self.lost[index] > self.retries:
                yield Outcome(index, error=f"{reason}, {self.lost[index]} times in a row")
            else:
                self.waiting.appendleft(index)
