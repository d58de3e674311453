"""The command `micro flow`: clips of faces to optical flow maps, ready for the recognisers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from common.errors import UserError
from common.provenance import RUN_FILE, write_run_record
from common.shards import ShardOption, dealt
from common.words import counted
from common.workers import jobs_asked
from htnet.micro.clips.flow import FlowEstimator, FlowMethod
from htnet.micro.clips.folder import (
    FlowRun,
    clip_tasks,
    is_simulated,
    make_flow_folder,
    read_clip_manifest,
)
from htnet.micro.clips.frames import FACE_SIZE
from htnet.micro.clips.maps import APART, REGION_SIZE, TOGETHER, Scaling
from htnet.micro.clips.reader import SPOTTED, FlowSettings
from htnet.micro.clips.sources import SIMULATED
from landmarks.predictor import find_predictor

_LEAST_REGION, _LARGEST_REGION = 16, 512


def flow(
    manifest: Path,
    *,
    out: Path,
    method: FlowMethod = "dis",
    scaling: Scaling = "physical",
    regions: bool = False,
    sides: Literal["together", "apart"] = "together",
    region_size: int = REGION_SIZE,
    spot: bool = False,
    pictures: bool = True,
    predictor: str = "ibug",
    jobs: int | None = None,
    shard: ShardOption = None,
) -> FlowRun:
    """Compute the optical flow of micro-expression clips: flow.csv, maps.npz, regions, pictures.

    The face is detected on the onset frame, all frames are cropped by the same box, and head motion
    is removed. Every clip gets one row in flow.csv, with a status, and a reason when it could not
    be used. Results are cached by the content of the frames: a run that was stopped continues where
    it was, and a changed frame is computed again.

    Parameters
    ----------
    manifest
        Manifest of clips (.csv), from prepare casme2, samm, smic, casme3 or megc2019.
    out
        Folder for the results.
    method
        Optical flow: dis (fast, default), tvl1 (smoother and slow), or farneback.
    scaling
        physical keeps real units (u and v as fractions of the face size); published rescales
        every map to 0..255 as earlier code did, which hides the strength of an expression.
    regions
        Also write the flow of eyes, eyebrows and mouth in four time windows from onset over apex to
        offset, for the ROI models. About 4 MB a clip.
    sides
        Three regions with right and left together, or five with right and left eye and brow apart.
    region_size
        Side of a region map in px.
    spot
        Find every apex from the motion, even where one is annotated.
    pictures
        Draw each clip's flow into OUT/pictures.
    predictor
        Landmark model: ibug (installed), mee, mee2, mee3, gtx (from models/), or a .dat file.
    jobs
        Worker processes. Default: the number of processors.
    shard
        Do one part of the clips, 3/20 the third of twenty, into OUT/shard-03-of-20; merge joins
        the parts.
    """
    given = dict(locals())
    jobs = jobs_asked(jobs)
    if not _LEAST_REGION <= region_size <= _LARGEST_REGION:
        raise UserError(
            f"--region-size is {region_size}: give {_LEAST_REGION} to {_LARGEST_REGION} px."
        )
    FlowEstimator(method)  # an unknown method is refused before workers start
    rows = read_clip_manifest(manifest)
    simulated = is_simulated(rows)
    model = find_predictor(predictor)
    names = TOGETHER if sides == "together" else APART
    settings = FlowSettings(
        method=method, scaling=scaling, regions=names if regions else (), region_size=region_size
    )
    if shard is not None:
        out = shard.folder(out)
        keys = {image_id: image_id for image_id in rows["image_id"]}
        mine = dealt(keys, shard, out=out, command="micro flow", call=flow, given=given)
        rows = rows[rows["image_id"].isin(mine)].reset_index(drop=True)
    # A stop between the tables and their record must not leave the record of other tables.
    (out / RUN_FILE).unlink(missing_ok=True)
    run = make_flow_folder(
        rows,
        clip_tasks(rows, pictures=out if pictures else None, spot=spot),
        out=out,
        settings=settings,
        predictor=model,
        jobs=jobs,
        simulated=simulated,
    )
    write_run_record(
        out,
        command="micro flow",
        settings={
            "manifest": manifest.name, "method": method, "scaling": scaling, "regions": regions,
            "sides": sides, "region_size": region_size, "spot": spot, "pictures": pictures,
            "predictor": predictor, "jobs": jobs, "shard": shard and str(shard),
        },
        files={"manifest": manifest, "predictor": model.path},
        counts=run.counts,
        seconds={"start_up": run.startup_s, "clips": run.work_s},
        notes={
            "unit": "u, v: fraction of the face size; strain: length per length"
            if scaling == "physical"
            else "0..255, each channel of each map by itself",
            "face_square_px": FACE_SIZE,
            "from_cache": run.from_cache,
            "device": "cpu",
            "simulated": simulated,
        },
    )  # fmt: skip
    _tell(run, out)
    if simulated:
        print(SIMULATED)
    return run


def _tell(run: FlowRun, out: Path) -> None:
    """Say what became of the clips; every complaint is one line."""
    table = run.table
    for row in table[table["status"] != "ok"].itertuples():
        print(f"{row.status}: {row.image_id}: {row.reason}", file=sys.stderr)
    ok = table[table["status"] == "ok"]
    for row in ok[ok["reason"].notna()].itertuples():
        print(f"note: {row.image_id}: {row.reason}", file=sys.stderr)
    said = [f"{len(ok)} of {counted(len(table), 'clip')} have flow."]
    if run.from_cache:
        said.append(f"{run.from_cache} had been computed before.")
    if spotted := int((ok["apex_source"] == SPOTTED).sum()):
        said.append(f"The apex of {spotted} was found from the motion.")
    if len(ok):
        said.append(
            f"Largest motion, median over clips: {ok['peak_px'].median():.2f} px, "
            f"{100 * ok['peak_fraction'].median():.2f} % of the face size."
        )
    print(*said, f"In {out}")
