"""A crew of workers as `common.workers` sees it, wherever they are, and what they say.

There are two: `common.processes` on this machine, and `common.cluster` on a Dask cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

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

    Attributes
    ----------
    ahead
        Items that a worker is given at a time, so that it never waits for the next one.
    advice
        What to do when worker after worker is lost before it is ready.
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
