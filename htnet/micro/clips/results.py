"""What is asked of a clip, what becomes of it, and how all clips are done by worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from common.progress import JobProgress
from common.workers import supervised_map
from htnet.micro.clips.flow import FlowMethod
from htnet.micro.clips.maps import Scaling
from htnet.micro.clips.regions import REGION_SIZE
from htnet.micro.clips.spotting import Spot
from htnet.micro.clips.task import ClipTask

LIMIT_S = 600.0  # for one clip: TV-L1 on a long one takes minutes
Within = Literal["expression", "clip"]
_Result = TypeVar("_Result", "ClipMaps", "ClipSpot")


@dataclass(frozen=True)
class FlowSettings:
    """What is made of every clip.

    Attributes
    ----------
    method
        Of the flow.
    scaling
        Of the maps.
    regions
        Names of the regions; None for no region windows.
    region_size
        Side of a region map in px.
    """

    method: FlowMethod = "dis"
    scaling: Scaling = "physical"
    regions: tuple[str, ...] | None = None
    region_size: int = REGION_SIZE


@dataclass(frozen=True)
class ClipFacts:
    """A clip's row of `flow.csv`; see `htnet.micro.clips.store`. NaN and None are missing."""

    status: str = "ok"
    reason: str = ""
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    apex_source: str | None = None
    face_px: float = float("nan")
    head_px: float = float("nan")
    peak_px: float = float("nan")
    peak_fraction: float = float("nan")


@dataclass(frozen=True)
class ClipMaps:
    """A clip's results, ready to be stored; arrays are None unless ok.

    Attributes
    ----------
    facts
        Its row of the table.
    small, centres
        `(28, 28, 3)` and `(5, 2)`.
    apex
        `(56, 56)` uint8, the grey face at the apex.
    regions
        `(4, R, 3, S, S)` float16; None also when not asked for.
    cache_file
        Name of its file in the cache; empty unless ok.
    from_cache
        Whether the fields were there already.
    """

    facts: ClipFacts
    small: NDArray[np.float32] | None = None
    centres: NDArray[np.float32] | None = None
    apex: NDArray[np.uint8] | None = None
    regions: NDArray[np.float16] | None = None
    cache_file: str = ""
    from_cache: bool = False

    @property
    def status(self) -> str:
        """Whether it worked, or why not."""
        return self.facts.status


@dataclass(frozen=True)
class ClipSpot:
    """What was found in one clip.

    Attributes
    ----------
    status, reason
        As in `htnet.micro.clips.store`.
    spot
        None unless ok.
    cache_file
        Name of its file in the cache; empty unless ok.
    """

    status: str = "ok"
    reason: str = ""
    spot: Spot | None = None
    cache_file: str = ""


def do_clips(
    title: str,
    do: Callable[[Any, ClipTask], _Result],
    tasks: Sequence[ClipTask],
    *,
    start: Callable[[], Any],
    jobs: int,
    lost: Callable[[str], _Result],
    done: Callable[[int, _Result], _Result] = lambda _, result: result,
    limit_s: float = LIMIT_S,
) -> list[_Result]:
    """Do all clips in worker processes, and return the results in the order of the tasks.

    Parameters
    ----------
    title
        Of the progress.
    do
        Importable function of the worker's reader and a task.
    tasks
        The clips.
    start
        Makes the reader in a worker process.
    jobs, limit_s
        Worker processes, and the longest time for one clip in seconds.
    lost
        Makes the result of a clip whose worker died, of a reason.
    done
        Called with place and result as soon as a clip is done; returns what is remembered of it.
    """
    found: dict[int, _Result] = {}
    outcomes = supervised_map(do, tasks, jobs=jobs, start=start, limit_s=limit_s)
    with (
        closing(outcomes),  # no worker outlives a Ctrl-C or a full disk
        JobProgress(title, total=len(tasks)) as progress,
    ):
        for outcome in outcomes:
            result = outcome.value or lost(
                f"This clip could not be processed ({outcome.error}): run again, and leave it out "
                "if it fails again."
            )
            found[outcome.index] = done(outcome.index, result)
            progress.advance(ok=result.status == "ok")
    return [found[index] for index in range(len(tasks))]
