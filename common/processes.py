"""A crew of workers as `common.workers` sees it, and the one of processes on this machine.

The other is that of a Dask cluster (`common.cluster`). `multiprocess.Pool` waits for ever for the
task of a worker that was killed. Here each worker has a pipe of its own, whose end tells that the
worker is gone.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import multiprocess
import multiprocess.connection
from multiprocess.reduction import ForkingPickler

from common.errors import UserError


@dataclass(frozen=True)
class Outcome:
    """What became of one item: its `value`, or the `error` sentence when there is none."""

    index: int
    value: Any = None
    error: str | None = None


@dataclass(frozen=True)
class Lost:
    """The worker is gone, for this `reason`."""

    reason: str


Message = Outcome | Lost | str | None
"""What a worker says: what became of an item, that it is lost, why it cannot start (a sentence for
the user), or, with None, that it is ready."""


class Crew(Protocol):
    """Workers that each hold the same state and answer the items sent to them, in order.

    `ahead` items are given to a worker at a time, so that it never waits for the next one; `advice`
    says what to do when worker after worker is lost before it is ready.
    """

    ahead: int

    @property
    def advice(self) -> str:
        """What the attribute says."""
        ...

    def present(self, wanted: int) -> Iterable[Any]:
        """Return the workers there are, ready or not; who can start some, starts `wanted`."""
        ...

    def send(self, worker: Any, index: int, item: Any) -> None:
        """Give a worker an item; nothing happens when it is lost, which it says by itself."""
        ...

    def messages(self, patience_s: float) -> Iterable[tuple[Any, Message]]:
        """Return what was said, waiting so long for the first word."""
        ...

    def dismiss(self, worker: Any) -> None:
        """End a worker, stuck or lost, that no message is wanted from any more."""
        ...

    def close(self) -> None:
        """End all work; no worker of our own outlives it."""
        ...


def begun(start: Callable[[], Any]) -> tuple[Any, str | None]:
    """Return the state that a worker starts with, or why it cannot start."""
    try:
        return start(), None
    except UserError as error:
        return None, str(error)
    except Exception as error:
        return None, f"A worker process cannot start ({type(error).__name__}: {error})."


def outcome_of(
    function: Callable[[Any, Any], Any], state: Any, *, index: int, item: Any
) -> Outcome:
    """Apply a function to one item; an exception becomes the item's error."""
    try:
        return Outcome(index, value=function(state, item))
    except Exception as error:
        words = " ".join(str(error).split())
        return Outcome(index, error=f"{type(error).__name__}: {words}")


_THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)  # fmt: skip


class Processes:
    """A `common.processes.Crew` of `jobs` spawned processes with one thread each; ended ones are
    replaced while there is work."""

    ahead = 2

    def __init__(
        self, function: Callable[..., Any], start: Callable[[], Any], *, jobs: int
    ) -> None:
        # As bytes, or the start of a process would wait until it has imported all that they need.
        self._task, self._jobs = bytes(ForkingPickler.dumps((function, start))), jobs
        self._context = multiprocess.get_context("spawn")
        self._processes: dict[Any, Any] = {}  # by our end of its pipe
        self._exit_code: int | None = None  # of the worker that ended last

    @property
    def advice(self) -> str:
        """What to do when worker after worker is lost before it is ready."""
        return f"free some memory or use fewer --jobs (exit code {self._exit_code})"

    def present(self, wanted: int) -> Iterable[Any]:
        """Start workers as far as `jobs` allows; a worker is known by our end of its pipe."""
        while len(self._processes) < min(self._jobs, wanted):
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_work, args=(theirs, self._task), daemon=True)
            with _single_threaded(), _deaf_to_ctrl_c():
                process.start()
            theirs.close()  # else the end of a dead worker would never be seen
            self._processes[ours] = process
        return list(self._processes)

    def send(self, worker: Any, index: int, item: Any) -> None:
        """Give a worker an item."""
        with suppress(OSError):  # a dead worker is noticed at its pipe's end
            worker.send((index, item))

    def messages(self, patience_s: float) -> Iterator[tuple[Any, Message]]:
        """Return what was said, waiting so long for the first word."""
        for pipe in multiprocess.connection.wait(list(self._processes), timeout=patience_s):
            try:
                yield pipe, pipe.recv()
            except (EOFError, OSError):
                yield pipe, Lost("its worker process died")

    def dismiss(self, worker: Any) -> None:
        """Kill a worker."""
        process = self._processes.pop(worker)
        process.kill()
        process.join()
        worker.close()
        self._exit_code = process.exitcode

    def close(self) -> None:
        """Kill all workers."""
        for worker in list(self._processes):
            self.dismiss(worker)


def _work(pipe: Any, task: bytes) -> None:
    """Run in the worker process: announce readiness, then answer items until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to answer
    function, start = ForkingPickler.loads(task)
    with suppress(EOFError, OSError):  # the supervisor is gone
        state, refusal = begun(start)
        pipe.send(refusal)
        while refusal is None:
            index, item = pipe.recv()
            pipe.send(outcome_of(function, state, index=index, item=item))


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
