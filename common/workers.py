"""A supervised map over worker processes: every item comes back, whatever became of its worker.

`multiprocess.Pool` waits for ever for the task of a worker that was killed. Here each worker has
a pipe of its own, so the supervisor knows which item a dead or stuck worker held: a lost item is
tried again in a fresh worker, and given up with a reason after that.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import multiprocess
import multiprocess.connection

from common.errors import UserError

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)  # fmt: skip
_FALSE_STARTS = 3  # workers that may be killed before they are ready
_QUEUED = 2  # items handed to a worker at a time, so that it never waits for the supervisor


@dataclass(frozen=True)
class Outcome:
    """What became of one item: its `value`, or the `error` sentence when there is none."""

    index: int
    value: Any = None
    error: str | None = None


@dataclass
class _Worker:
    process: Any
    pipe: Any
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
    """Return how many jobs `--jobs` asks for: as many as there are processors when not given.

    Raises
    ------
    UserError
        When it is less than 1.
    """
    if jobs is not None and jobs < 1:
        raise UserError(f"--jobs is {jobs}: give 1 or more.")
    return jobs or default_jobs()


def supervised_map(
    function: Callable[..., Any],
    items: Sequence[Any],
    *,
    jobs: int,
    start: Callable[[], Any],
    limit_s: float = 120.0,
    retries: int = 1,
) -> Generator[Outcome]:
    """Apply `function(state, item)` to every item in worker processes; yield as they finish.

    Parameters
    ----------
    function
        Importable function of the worker's state and one item. An exception it raises becomes
        the item's `error`.
    items
        Picklable items. Exactly one `Outcome` comes back for each, in order of completion.
    jobs
        Number of worker processes, at least 1. They are spawned, with one thread each for BLAS
        and OpenMP.
    start
        Called once in each worker; what it returns is the `state`.
    limit_s
        Longest time for one item in seconds; a worker that takes longer is killed.
    retries
        How often an item is tried again after its worker died or was killed.

    Raises
    ------
    UserError
        When a worker cannot start (`start` raised), with its sentence.
    """
    supervisor = _Supervisor(function, items, start=start, limit_s=limit_s, retries=retries)
    yield from supervisor.run(min(jobs, len(items)))


class _Supervisor:
    def __init__(
        self,
        function: Callable[..., Any],
        items: Sequence[Any],
        *,
        start: Callable[[], Any],
        limit_s: float,
        retries: int,
    ) -> None:
        self.function, self.items, self.start = function, items, start
        self.limit_s, self.retries = limit_s, retries
        self.waiting = deque(range(len(items)))
        self.lost: dict[int, int] = {}
        self.false_starts = 0
        self.workers: list[_Worker] = []
        self.context = multiprocess.get_context("spawn")

    def run(self, jobs: int) -> Iterator[Outcome]:
        try:
            self.workers = [self._spawn() for _ in range(jobs)]
            while self.waiting or any(worker.held for worker in self.workers):
                for worker in self.workers:
                    self._feed(worker)
                pipes = {worker.pipe: worker for worker in self.workers}
                for pipe in multiprocess.connection.wait(list(pipes), timeout=self._patience()):
                    yield from self._receive(pipes[pipe])
                for worker in list(self.workers):
                    if worker.held and time.monotonic() - worker.since > self.limit_s:
                        yield from self._bury(worker, f"it took longer than {self.limit_s:.0f} s")
        finally:
            for worker in self.workers:
                worker.process.kill()
                worker.process.join()
                worker.pipe.close()

    def _spawn(self) -> _Worker:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(
            target=_work, args=(theirs, self.function, self.start), daemon=True
        )
        with _single_threaded(), _deaf_to_ctrl_c():
            process.start()
        theirs.close()  # else the end of a dead worker would never be seen
        return _Worker(process=process, pipe=ours)

    def _feed(self, worker: _Worker) -> None:
        while worker.ready and self.waiting and len(worker.held) < self._queue_length():
            # An item that took a worker with it before travels alone.
            if worker.held and self.lost.get(self.waiting[0]):
                break
            index = self.waiting.popleft()
            if not worker.held:
                worker.since = time.monotonic()
            worker.held.append(index)
            with suppress(OSError):  # a dead worker is noticed at its pipe's end
                worker.pipe.send((index, self.items[index]))
            if self.lost.get(index):
                break

    def _queue_length(self) -> int:
        return _QUEUED if len(self.waiting) > len(self.workers) else 1

    def _patience(self) -> float:
        """Seconds until the next time limit could pass."""
        held = [worker.since for worker in self.workers if worker.held]
        return max(0.05, min(held) + self.limit_s - time.monotonic()) if held else self.limit_s

    def _receive(self, worker: _Worker) -> Iterator[Outcome]:
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._bury(worker, "its worker process died")
            return
        if isinstance(message, Outcome):
            worker.held.popleft()
            worker.since = time.monotonic()
            yield message
        elif message is None:
            worker.ready = True
        else:
            raise UserError(str(message))

    def _bury(self, worker: _Worker, reason: str) -> Iterator[Outcome]:
        """Replace a dead or stuck worker; retry the item it was at, put back those behind it."""
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()
        self.workers.remove(worker)
        if not worker.ready:
            self.false_starts += 1
            if self.false_starts > _FALSE_STARTS:
                raise UserError(
                    f"{self.false_starts} worker processes ended before they could start (exit "
                    f"code {worker.process.exitcode}): free some memory or use fewer --jobs."
                )
        if worker.held:
            index = worker.held.popleft()
            self.waiting.extendleft(reversed(worker.held))
            self.lost[index] = self.lost.get(index, 0) + 1
            if self.lost[index] > self.retries:
                yield Outcome(index, error=f"{reason}, {self.lost[index]} times in a row")
            else:
                self.waiting.appendleft(index)
        if self.waiting:
            self.workers.append(self._spawn())


def _work(pipe: Any, function: Callable[..., Any], start: Callable[[], Any]) -> None:
    """Run in the worker process: announce readiness, then answer items until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to answer
    with suppress(EOFError, OSError):  # the supervisor is gone
        try:
            state = start()
        except UserError as error:
            pipe.send(str(error))
            return
        except Exception as error:
            pipe.send(f"A worker process cannot start ({type(error).__name__}: {error}).")
            return
        pipe.send(None)
        while True:
            index, item = pipe.recv()
            try:
                outcome = Outcome(index, value=function(state, item))
            except Exception as error:
                words = " ".join(str(error).split())
                outcome = Outcome(index, error=f"{type(error).__name__}: {words}")
            pipe.send(outcome)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Give processes started inside one thread each: N workers with N threads slow each other."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Give processes started inside a blocked SIGINT: Ctrl-C is the supervisor's to answer.

    Ignoring it in the worker is too late; it would be hit while it imports.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
