"""All clips of a manifest, done by worker processes and written as one folder.

From clip tasks to the files of `clips.store`. Whatever becomes of a clip, it has its row.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from common.tables import write_table
from htnet.micro.clips.maps import APEX_SIZE, CENTRES, CHANNELS, MAP_SIZE
from htnet.micro.clips.results import LIMIT_S, ClipFacts, ClipMaps, FlowSettings, do_clips
from htnet.micro.clips.store import (
    FLOW,
    FLOW_FILE,
    MAPS_FILE,
    REGION_NAMES_FILE,
    REGIONS_FILE,
    STATUSES,
    RegionStore,
    write_maps,
)
from htnet.micro.clips.task import ClipTask
from htnet.micro.clips.worker import ClipReader
from htnet.micro.finished import CACHE_FOLDER, remove_others
from landmarks.predictor import PredictorFile

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
    first_at: list[float] = []

    def put(place: int, result: ClipMaps) -> ClipMaps:
        """Write the regions down and forget them: those of all clips would fill the memory."""
        first_at.append(time.monotonic())
        if store is not None and result.regions is not None:
            store.put(place, result.regions)
        return replace(result, regions=None)

    try:
        results = do_clips(
            "micro flow",
            ClipReader.read,
            tasks,
            start=partial(ClipReader, predictor, settings, cache),
            jobs=jobs,
            lost=lambda reason: ClipMaps(ClipFacts(status="failed", reason=reason)),
            done=put,
            limit_s=limit_s,
        )
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
        startup_s=(first_at or [ended])[0] - began,
        work_s=ended - (first_at or [ended])[0],
    )


def is_simulated(rows: pd.DataFrame) -> bool:
    """Return whether a clip of a manifest was drawn and shows no person."""
    return "simulated" in rows.columns and bool((rows["simulated"] == "yes").any())


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
    apex = np.zeros((len(ok), APEX_SIZE, APEX_SIZE), dtype=np.uint8)
    for place, row in enumerate(ok):
        one = results[row]
        assert one.small is not None and one.centres is not None and one.apex is not None
        maps[place], centres[place], apex[place] = one.small, one.centres, one.apex
    if store is not None:
        store.close(ok, clip_id=[str(name) for name in chosen["image_id"]])
    else:  # of an earlier run that asked for them
        for name in (REGIONS_FILE, REGION_NAMES_FILE):
            (out / name).unlink(missing_ok=True)
    path = out / MAPS_FILE
    write_maps(
        path,
        maps=maps,
        centres=centres,
        apex=apex,
        rows=chosen,
        scaling=settings.scaling,
        simulated=is_simulated(rows),
    )
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
