"""A manifest of clips, done by worker processes and written as one folder.

From the rows of the manifest to the files of `clips.store`. Whatever becomes of a clip, it has its
row.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from common.errors import UserError, exit_code_for
from common.files import CACHE_FOLDER, remove_others
from common.films import ANNOTATED, list_frames
from common.progress import JobProgress
from common.tables import read_manifest, sort_by_image_id, write_table
from common.workers import supervised_map
from htnet.micro.clips.frames import ClipTask
from htnet.micro.clips.maps import APEX_SIZE, CENTRES, CHANNELS, MAP_SIZE
from htnet.micro.clips.reader import ClipFacts, ClipMaps, ClipReader, ClipSpot, FlowSettings
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
from landmarks.predictor import PredictorFile

IDENTITY = ("image_id", "patient_id", "dataset", "emotion", "emotion3")
"""Columns of `flow.csv` that are the manifest's."""

MARKS = ("onset", "apex", "offset")
PICTURE_FOLDER = "pictures"
LIMIT_S = 600.0  # for one clip: TV-L1 on a long one takes minutes
_Result = TypeVar("_Result", ClipMaps, ClipSpot)


@dataclass(frozen=True)
class FlowRun:
    """What was made: `flow.csv`, clips by status, and how many had been computed before.

    `startup_s` and `work_s` are seconds until the first clip was done, and from there to the last.
    """

    table: pd.DataFrame
    counts: Mapping[str, int]
    from_cache: int
    startup_s: float
    work_s: float

    @property
    def exit_code(self) -> int:
        """0 all ok, 3 some clips failed, 4 none worked."""
        ok = self.counts["ok"]
        return exit_code_for(ok=ok, failed=len(self.table) - ok)


def read_clip_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest of clips, in natural order, with every column of `IDENTITY`.

    `dataset` becomes the part that a clip of a composite comes from (its column `source`).
    """
    rows = read_manifest(path)
    missing = [name for name in MARKS if name not in rows.columns]
    if missing:
        raise UserError(
            f"{path} has no column {missing[0]}: give a manifest of clips, made by prepare casme2, "
            "samm, smic, casme3 or megc2019."
        )
    if rows.empty:
        raise UserError(f"{path} holds no rows: list one clip per row.")
    for name in IDENTITY:
        if name not in rows.columns:
            rows[name] = None
    if "source" in rows.columns:
        rows["dataset"] = rows["source"].where(rows["source"].notna(), rows["dataset"])
    return sort_by_image_id(rows)


def clip_tasks(
    rows: pd.DataFrame, *, pictures: Path | None = None, spot: bool = False
) -> list[ClipTask]:
    """Return a task for each row of a manifest of clips; no frame is opened yet.

    Pictures are drawn below the folder `pictures`; `spot` forgets the annotated apexes, so that
    all are found.
    """
    return [
        _task(row, pictures=pictures, spot=spot)
        for row in rows.astype(object).to_dict(orient="records")
    ]


def _task(row: dict[Any, Any], *, pictures: Path | None, spot: bool) -> ClipTask:
    image_id = str(row["image_id"])
    marks: dict[str, int | None] = dict.fromkeys(MARKS)
    problem = ""
    for name in MARKS:
        try:
            marks[name] = frame_number(row[name])
        except (ValueError, OverflowError):
            problem = f'The manifest gives "{row[name]}" as {name}: write a frame number.'
    # A stand-in (the middle frame, where nobody marked the apex) is no apex.
    if spot or str(row.get("apex_source", ANNOTATED)) not in (ANNOTATED, "nan", "None"):
        marks["apex"] = None
    folder = Path(str(row["path"]))
    try:
        names = list_frames(folder).names
        frames = {number: folder / names[number] for number in sorted(names)}
    except OSError:
        frames = {}
        problem = problem or (
            f"The folder {folder.name} cannot be opened: the manifest must give a clip's folder of "
            "frames as its path."
        )
    picture = None if pictures is None else picture_path(pictures, image_id)
    return ClipTask(image_id, frames, picture=picture, problem=problem, **marks)


def frame_number(value: Any) -> int | None:
    """Return a cell of the manifest as a frame number, None when empty; else ValueError."""
    if value is None or pd.isna(value) or str(value).strip() == "":
        return None
    number = float(value)
    if number != int(number):
        raise ValueError(value)
    return int(number)


def picture_path(out: Path, image_id: str) -> Path:
    """Return `OUT/pictures/IMAGE_ID.png`; an id that climbs out with `..` stays inside."""
    below = [part for part in Path(image_id).parts if part not in ("..", "/", "\\")]
    *folders, name = below or ["clip"]
    return out.joinpath(PICTURE_FOLDER, *folders, f"{name}.png")


def is_simulated(rows: pd.DataFrame) -> bool:
    """Return whether a clip of a manifest was drawn and shows no person."""
    return "simulated" in rows.columns and bool((rows["simulated"] == "yes").any())


def make_flow_folder(
    rows: pd.DataFrame,
    tasks: Sequence[ClipTask],
    *,
    out: Path,
    settings: FlowSettings,
    predictor: PredictorFile,
    jobs: int,
    simulated: bool,
) -> FlowRun:
    """Compute the flow of every clip and write `flow.csv`, `maps.npz` and the regions.

    `rows` of the manifest and `tasks` are the same clips in the same order. The files are the same
    for any number of `jobs`; a clip that takes longer than `LIMIT_S` seconds has failed.
    `simulated` says whether a clip of the whole manifest, of which this may be a part, was drawn.
    """
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    cache = out / CACHE_FOLDER
    store = None
    if settings.regions:
        store = RegionStore(
            out,
            n_clips=len(tasks),
            regions=settings.regions,
            size=settings.region_size,
            scaling=settings.scaling,
        )
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
        )
        table = flow_table(rows, [result.facts for result in results])
        ok = [place for place, result in enumerate(results) if result.status == "ok"]
        if store is not None:
            store.close(ok, clip_id=table["image_id"].iloc[ok].tolist())
        else:  # of an earlier run that asked for them
            for name in (REGIONS_FILE, REGION_NAMES_FILE):
                (out / name).unlink(missing_ok=True)
    finally:
        if store is not None:
            store.discard()
    small = [results[place].small for place in ok]
    centres = [results[place].centres for place in ok]
    apex = [results[place].apex for place in ok]
    write_maps(
        out / MAPS_FILE,
        maps=np.array(small, np.float32).reshape(-1, MAP_SIZE, MAP_SIZE, len(CHANNELS)),
        centres=np.array(centres, np.float32).reshape(-1, len(CENTRES), 2),
        apex=np.array(apex, np.uint8).reshape(-1, APEX_SIZE, APEX_SIZE),
        rows=table.iloc[ok],
        scaling=settings.scaling,
        simulated=simulated,
    )
    write_table(table, out / FLOW_FILE, schema=FLOW)
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


def do_clips(
    title: str,
    do: Callable[[Any, ClipTask], _Result],
    tasks: Sequence[ClipTask],
    *,
    start: Callable[[], Any],
    jobs: int,
    lost: Callable[[str], _Result],
    done: Callable[[int, _Result], _Result] = lambda _, result: result,
) -> list[_Result]:
    """Do all clips in worker processes, and return the results in the order of the tasks.

    `start` makes the reader in a worker, `do` is an importable function of reader and task. `lost`
    makes the result of a clip whose worker died, of a reason; `done` is called with place and
    result as soon as a clip is done, and returns what is remembered of it.
    """
    found: dict[int, _Result] = {}
    outcomes = supervised_map(do, tasks, jobs=jobs, start=start, limit_s=LIMIT_S)
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


def flow_table(rows: pd.DataFrame, facts: Sequence[ClipFacts]) -> pd.DataFrame:
    """Return `flow.csv`: the manifest's columns of `IDENTITY`, then what was found."""
    found = pd.DataFrame([asdict(one) for one in facts], columns=list(ClipFacts.__annotations__))
    identity = rows[list(IDENTITY)].reset_index(drop=True).astype("str")
    table = pd.concat([identity, found], axis=1)
    table["reason"] = [one.reason or None for one in facts]
    for name in MARKS:
        table[name] = pd.array([getattr(one, name) for one in facts], dtype="Int64")
    table = table.astype({"reason": "str", "apex_source": "str", "status": "str"})
    return table[list(FLOW.columns)]
