"""A crew on a Dask cluster: its workers are used as they come and go.

Dask finds the workers and carries items and outcomes; which worker does what, what becomes of a
lost item and how long one may take is the supervisor's to say, as it is for processes. So every
task is bound to its worker. Needs `requirements-cluster.txt`; nothing else imports it.

Scheduler and workers import this project: they are started in its folder (`python -m dask`).
"""

from __future__ import annotations

import functools
import logging
import os
import pickle
import queue
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from distributed import Client, Future, KilledWorker, LocalCluster
from threadpoolctl import threadpool_limits

from common.errors import UserError
from common.processes import Lost, Message, Outcome, begun, outcome_of
from common.provenance import package_versions

LOCAL = "local"
_CONNECT_S = 20.0  # until a scheduler must have answered
_ANSWER_S = 2.0  # until the outcome of a finished item must have come, or its worker is missed
_LONG_ANSWER_S = 60.0  # until the same, of a worker that is there
_ROLL_CALL_S = 0.5  # between two questions who is there
_PATIENCE_S = 20.0  # without any worker, until the user is told

_STATES: dict[str, Any] = {}  # in a worker: by run, what `start` returned
_ONE_AT_A_TIME = threading.Lock()  # in a worker: a state is not made for several threads


class Cluster:
    """A `common.processes.Crew` of the workers of a Dask cluster, known by their addresses.

    `scheduler` is `local` for a cluster of `jobs` workers on this machine, or `tcp://HOST:PORT`;
    UserError when none answers there.
    """

    ahead = 8  # a message takes longer than to a process of this machine
    advice = "see what they have logged, and whether they have enough memory"

    def __init__(
        self, function: Callable[..., Any], start: Callable[[], Any], *, jobs: int, scheduler: str
    ) -> None:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # the supervisor tells
        self._function, self._scheduler = function, scheduler
        self._start = pickle.dumps(start)  # once, and taken for bytes on the way
        self._versions = package_versions()
        self._run = uuid.uuid4().hex
        self._local = (
            LocalCluster(
                n_workers=jobs, threads_per_worker=1, host="127.0.0.1", dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
            if scheduler == LOCAL
            else None
        )  # fmt: skip
        self._client = self._connected()
        self._said: queue.Queue[tuple[str, Future]] = queue.Queue()
        self._futures: dict[str, dict[Any, Future]] = {}  # by worker and key
        self._outgoing: dict[str, list[Any]] = {}
        self._gone: list[str] = []
        self._there: set[str] = set()
        self._dismissed: set[str] = set()
        self._called = 0.0  # when the roll was called last
        self._alone_since: float | None = time.monotonic()
        self._sent = 0

    def present(self, wanted: int) -> Iterable[str]:
        """Return the workers of the cluster; new ones begin with their state."""
        if time.monotonic() - self._called > _ROLL_CALL_S:
            self._call_the_roll()
        return list(self._futures)

    def send(self, worker: str, index: int, item: Any) -> None:
        """Give a worker an item, together with what else it gets until messages are asked for."""
        self._outgoing.setdefault(worker, []).append((self._run, self._function, index, item))

    def messages(self, patience_s: float) -> Iterator[tuple[str, Message]]:
        """Return what was said, waiting so long for the first word, or until the next roll call."""
        for worker, tasks in self._outgoing.items():
            if worker in self._futures:
                self._submit(worker, _answer, tasks)
        self._outgoing.clear()
        for worker in self._gone:
            yield worker, Lost("its worker was lost")
        self._gone.clear()
        words = []
        with suppress(queue.Empty):
            words.append(self._said.get(timeout=min(patience_s, _ROLL_CALL_S)))
            while True:
                words.append(self._said.get_nowait())
        known = [
            (worker, future)
            for worker, future in words
            if self._futures.get(worker, {}).pop(future.key, None) is not None
        ]
        finished = [pair for pair in known if pair[1].status == "finished"]
        yield from self._collected(finished)
        for worker, future in known:
            if future.status == "error" and not isinstance(future.exception(), KilledWorker):
                yield worker, _cannot_start(future.exception())

    def dismiss(self, worker: str) -> None:
        """End the process of a worker; a nanny puts a fresh one in its place."""
        self._futures.pop(worker, None)
        self._dismissed.add(worker)
        if worker in self._there:  # an answer is not waited for: there will be none
            loop: Any = self._client.loop
            loop.add_callback(self._client._run, os._exit, 1, workers=[worker], on_error="ignore")

    def close(self) -> None:
        """Leave the cluster as it was; a local one ends."""
        with suppress(Exception):
            self._client.sync(
                self._client._run, _forget, self._run, on_error="ignore", callback_timeout=2
            )
        self._futures.clear()
        self._client.close(timeout=2)
        if self._local is not None:
            self._local.close(timeout=5)

    def _connected(self) -> Client:
        address = self._scheduler if self._local is None else self._local.scheduler_address
        try:
            return Client(address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"No Dask scheduler answers at {self._scheduler}: start one in the project's "
                "folder (python -m dask scheduler), check --scheduler tcp://HOST:PORT, or give "
                "--scheduler local."
            ) from error

    def _call_the_roll(self) -> None:
        """Find out who is there: who has come begins with the state, who is missing is lost."""
        self._called = time.monotonic()
        try:
            there = self._there = set(self._client.nthreads())
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"The Dask scheduler at {self._scheduler} is gone: start it and its workers, and "
                "run the same command again."
            ) from error
        self._gone += set(self._futures) - there - set(self._gone)
        for worker in sorted(there - set(self._futures) - self._dismissed):
            self._futures[worker] = {}
            self._submit(worker, _begin, [(self._run, self._start, self._versions)])
        if there:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > _PATIENCE_S:
            self._alone_since = float("inf")  # said once
            print(
                f"The Dask scheduler at {self._scheduler} has no worker; waiting for one "
                "(python -m dask worker tcp://HOST:PORT, in the project's folder).",
                file=sys.stderr,
            )

    def _submit(self, worker: str, function: Callable[..., Any], tasks: list[Any]) -> None:
        """Give a worker tasks in one go, which costs little more than to give it one."""
        keys = [f"{self._run}-{self._sent + at}" for at in range(len(tasks))]
        self._sent += len(tasks)
        futures = self._client.map(
            functools.partial(_said, function), keys, tasks, key=keys, workers=[worker], pure=False
        )
        for key, future in zip(keys, futures, strict=True):
            self._futures[worker][key] = future
            future.add_done_callback(lambda done: self._said.put((worker, done)))

    def _collected(self, finished: list[tuple[str, Future]]) -> Iterator[tuple[str, Message]]:
        """Return what finished tasks returned; nothing of a worker that was lost in between."""
        found = self._gathered([future for _, future in finished], patience_s=_ANSWER_S)
        yield from ((worker, found[f.key]) for worker, f in finished if f.key in found)
        late = [(worker, future) for worker, future in finished if future.key not in found]
        if late:
            self._call_the_roll()
        for worker, future in late:
            if worker not in self._gone:
                found = self._gathered([future], patience_s=_LONG_ANSWER_S)
                yield worker, found.get(future.key, Lost("its worker did not answer"))

    def _gathered(self, futures: list[Future], *, patience_s: float) -> dict[Any, Message]:
        """Return what tasks returned, by key; those of lost workers are missing."""
        try:
            answers = self._client.sync(
                self._client._gather, futures, errors="skip", callback_timeout=patience_s
            )
        except (TimeoutError, OSError):
            return {}
        return dict(answers)


def _cannot_start(error: BaseException | None) -> str:
    return (
        f"A Dask worker cannot do its work ({type(error).__name__}: {error}): start scheduler and "
        "workers in the folder of this project, with its Python (python -m dask scheduler, "
        "python -m dask worker tcp://HOST:PORT)."
    )


def _said(function: Callable[..., Message], key: str, words: tuple) -> tuple[str, Message]:
    """In a worker: return an answer with the key of its task."""
    return key, function(*words)


def _begin(run: str, start: bytes, versions: dict[str, str]) -> str | None:
    """In a worker: make the state of a run; return why it cannot be made, if so."""
    for name, own in package_versions().items():
        if own != versions[name]:
            return (
                f"A Dask worker has {name} {own} and this machine {versions[name]}, which may give "
                "other numbers: install the same versions."
            )
    threadpool_limits(limits=1)  # N workers with N threads slow each other
    state, refusal = begun(pickle.loads(start))
    if refusal is None:
        _STATES[run] = state
    return refusal


def _answer(run: str, function: Callable[..., Any], index: int, item: Any) -> Outcome:
    """In a worker: do one item."""
    with _ONE_AT_A_TIME:
        try:
            return outcome_of(function, _STATES[run], index=index, item=item)
        except SystemExit:  # a thread would swallow it, and the item would never come back
            os._exit(1)


def _forget(run: str) -> None:
    """In a worker: let go of the state of a run."""
    _STATES.pop(run, None)
