"""All clips of a manifest, done by worker processes and written as one folder.

From clip tasks to the files of `htnet.micro.map_store`. Whatever becomes of a clip, it has its row.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.progress import JobProgress
from common.tables import write_table
from common.workers import supervised_map
from htnet.micro.clip_cache import CACHE_FOLDER, remove_others
from htnet.micro.clip_flow import ClipFacts, ClipMaps, FlowSettings, clip_reader, read_clip
from htnet.micro.clip_task import ClipTask
from htnet.micro.clips import CENTRES, CHANNELS
from htnet.micro.flow_maps import MAP_SIZE
from htnet.micro.map_store import (
    FLOW,
    FLOW_FILE,
    MAPS_FILE,
    REGION_NAMES_FILE,
    REGIONS_FILE,
    STATUSES,
    RegionStore,
    write_maps,
)
from landmarks.predictor import PredictorFile

LIMIT_S = 600.0  # for one clip: TV-L1 on a long one takes minutes
IDENTITY = ("image_id", "patient_id", "dataset", "emotion", "emotion3")
"""Columns of `flow.csv` that are the manifest's."""


@dataclass(frozen=True)
class FlowRun:
    """What was made.

    Attributes
    ----------
    table
        `flow.csv`.
    counts
        Clips by status.
    from_cache
        Clips whose flow had been computed before.
    startup_s, work_s
        Seconds until the first clip was done, and from there to the last.
    """

    table: pd.DataFrame
    counts: Mapping[str, int]
    from_cache: int
    startup_s: float
    work_s: float


def make_flow_folder(
    rows: pd.DataFrame,
    tasks: Sequence[ClipTask],
    *,
    out: Path,
    settings: FlowSettings,
    predictor: PredictorFile,
    jobs: int,
    limit_s: float = LIMIT_S,
) -> FlowRun:
    """Compute the flow of every clip and write `flow.csv`, `maps.npz` and the regions.

    Parameters
    ----------
    rows
        One for each clip, with the columns of `IDENTITY`.
    tasks
        The same clips in the same order.
    out
        Folder for the results and the cache.
    settings
        What is made of every clip.
    predictor
        Landmark model.
    jobs
        Worker processes; the files are the same for any number.
    limit_s
        Longest time for one clip in seconds.

    Raises
    ------
    UserError
        When the folder cannot be written or the landmark model cannot be loaded.
    """
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    cache = out / CACHE_FOLDER
    store = _region_store(out, settings, n_clips=len(tasks))
    done: dict[int, ClipMaps] = {}
    first_at: float | None = None
    start = clip_reader(predictor, settings, cache)
    outcomes = supervised_map(read_clip, tasks, jobs=jobs, start=start, limit_s=limit_s)
    try:
        with (
            closing(outcomes),  # no worker outlives a Ctrl-C or a full disk
            JobProgress("micro flow", total=len(tasks)) as progress,
        ):
            for outcome in outcomes:
                first_at = first_at or time.monotonic()
                result: ClipMaps = outcome.value or _lost(outcome.error)
                if store is not None and result.regions is not None:
                    store.put(outcome.index, result.regions)
                done[outcome.index] = _without_regions(result)
                progress.advance(ok=result.facts.status == "ok")
        results = [done[index] for index in range(len(tasks))]
        table = _write(out, rows, results, store=store, settings=settings)
    finally:
        if store is not None:
            store.discard()
    remove_others(cache, {result.cache_file for result in results})
    ended = time.monotonic()
    tally = Counter(table["status"])
    return FlowRun(
        table=table,
        counts={status: tally[status] for status in STATUSES},
        from_cache=sum(result.from_cache for result in results),
        startup_s=(first_at or ended) - began,
        work_s=ended - (first_at or ended),
    )


def flow_table(rows: pd.DataFrame, facts: Sequence[ClipFacts]) -> pd.DataFrame:
    """Return `flow.csv`: the manifest's columns of `IDENTITY`, then what was found."""
    found = pd.DataFrame([asdict(one) for one in facts], columns=list(ClipFacts.__annotations__))
    identity = rows[list(IDENTITY)].reset_index(drop=True).astype("str")
    table = pd.concat([identity, found], axis=1)
    table["reason"] = [one.reason or None for one in facts]
    for name in ("onset", "apex", "offset"):
        table[name] = pd.array([getattr(one, name) for one in facts], dtype="Int64")
    table = table.astype({"reason": "str", "apex_source": "str", "status": "str"})
    return table[list(FLOW.columns)]


def _write(
    out: Path,
    rows: pd.DataFrame,
    results: Sequence[ClipMaps],
    *,
    store: RegionStore | None,
    settings: FlowSettings,
) -> pd.DataFrame:
    table = flow_table(rows, [result.facts for result in results])
    ok = [place for place, result in enumerate(results) if result.small is not None]
    chosen = table.iloc[ok]
    maps = np.zeros((len(ok), MAP_SIZE, MAP_SIZE, len(CHANNELS)), dtype=np.float32)
    centres = np.zeros((len(ok), len(CENTRES), 2), dtype=np.float32)
    for place, row in enumerate(ok):
        maps[place], centres[place] = results[row].small, results[row].centres
    if store is not None:
        store.close(ok, clip_id=[str(name) for name in chosen["image_id"]])
    else:  # of an earlier run that asked for them
        for name in (REGIONS_FILE, REGION_NAMES_FILE):
            (out / name).unlink(missing_ok=True)
    path = out / MAPS_FILE
    write_maps(path, maps=maps, centres=centres, rows=chosen, scaling=settings.scaling)
    write_table(table, out / FLOW_FILE, schema=FLOW)
    return table


def _region_store(out: Path, settings: FlowSettings, *, n_clips: int) -> RegionStore | None:
    if settings.regions is None:
        return None
    return RegionStore(
        out,
        n_clips=n_clips,
        regions=settings.regions,
        size=settings.region_size,
        scaling=settings.scaling,
    )


def _lost(error: str | None) -> ClipMaps:
    reason = (
        f"This clip could not be processed ({error}): run again, and leave it out if it fails "
        "again."
    )
    return ClipMaps(ClipFacts(status="failed", reason=reason))


def _without_regions(result: ClipMaps) -> ClipMaps:
    """Forget the regions once they are on disk: those of all clips would fill the memory."""
    return ClipMaps(
        facts=result.facts,
        small=result.small,
        centres=result.centres,
        cache_file=result.cache_file,
        from_cache=result.from_cache,
    )
