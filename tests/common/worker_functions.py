"""Functions for the tests of supervised workers; spawned processes import them from here."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError


@dataclass(frozen=True)
class Item:
    """A number to square, and what happens to the worker that does it.

    `fault` is `none`, `die` (SIGKILL), `raise`, `hang`, `slow` (0.4 s) or `exit`; it strikes the
    first `times` times that the item is worked on, which `folder` remembers in files.
    """

    number: int
    folder: Path
    fault: str = "none"
    times: int = 0


def first_times(folder: Path, name: str, *, times: int) -> bool:
    """True the first `times` times it is asked, in whatever process, and false from then on."""
    for attempt in range(times):
        try:
            (folder / f"{name}-{attempt}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return True
    return False


def square(state: int, item: Item) -> tuple[int, int]:
    """The square plus the worker's state, and the worker's process id."""
    if first_times(item.folder, f"item-{item.number}", times=item.times):
        strike(item.fault)
    return item.number**2 + state, os.getpid()


def strike(fault: str) -> None:
    if fault == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "raise":
        raise ValueError("an unlucky\n  number")
    if fault == "hang":
        time.sleep(600)
    if fault == "slow":
        time.sleep(0.4)
    if fault == "exit":
        raise SystemExit(0)


def start() -> int:
    """A worker's state."""
    return 100


def threads_and_pid() -> tuple[str | None, int]:
    return os.environ.get("OMP_NUM_THREADS"), os.getpid()


def give_state(state: object, _item: object) -> object:
    return state


def start_with_a_user_error() -> int:
    raise UserError("The model is broken: get it again.")


def start_with_a_mistake() -> int:
    return 1 // 0


def start_under_ctrl_c() -> int:
    """Interrupt itself as Ctrl-C would, as an import that takes its time would meet it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.kill(os.getpid(), signal.SIGINT)
    return 100


@dataclass(frozen=True)
class StartThatIsKilled:
    """The first `times` workers are killed before they are ready."""

    folder: Path
    times: int

    def __call__(self) -> int:
        if first_times(self.folder, "start", times=self.times):
            strike("die")
        return 100
