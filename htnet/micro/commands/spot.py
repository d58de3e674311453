"""The command `micro spot`: when an expression is strongest, and how well that is found."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from common.errors import exit_code_for
from common.files import CACHE_FOLDER, atomic_write, remove_others, write_json
from common.provenance import RUN_FILE, write_run_record
from common.report import figure_png
from common.tables import write_table
from common.words import counted
from common.workers import jobs_asked
from htnet.micro.clips.folder import (
    PICTURE_FOLDER,
    clip_tasks,
    do_clips,
    is_simulated,
    read_clip_manifest,
)
from htnet.micro.clips.reader import ClipReader, ClipSpot, FlowSettings, Within
from htnet.micro.clips.sources import SIMULATED
from htnet.micro.clips.spots import (
    CURVES,
    CURVES_FILE,
    SPOTS,
    SPOTS_FILE,
    SpottingScores,
    curves_figure,
    curves_table,
    spots_table,
    spotting_scores,
)
from htnet.micro.clips.store import STATUSES
from landmarks.predictor import find_predictor

METRICS_FILE = "metrics.json"


@dataclass(frozen=True)
class SpotResult:
    """Where the tables are, what was found, and the exit code that follows."""

    out: Path
    spots: pd.DataFrame
    scores: list[SpottingScores]

    @property
    def exit_code(self) -> int:
        """0 all ok, 3 some clips failed, 4 none worked."""
        ok = int((self.spots["status"] == "ok").sum())
        return exit_code_for(ok=ok, failed=len(self.spots) - ok)


def spot(
    manifest: Path,
    *,
    out: Path,
    within: Within = "expression",
    pictures: bool = True,
    predictor: str = "ibug",
    seed: int = 0,
    jobs: int | None = None,
) -> SpotResult:
    """Find the apex of every clip, and compare it with the annotated apex where there is one.

    The apex is the peak of the motion of brows or mouth since the onset, smoothed over time.
    Writes spots.csv, curves.csv, metrics.json and a figure of the motion curves of each subject.
    The middle frame of the clip is scored as a baseline.

    Parameters
    ----------
    manifest
        Manifest of clips (.csv), from prepare casme2, samm, smic, casme3 or megc2019.
    out
        Folder for the results.
    within
        expression searches from the annotated onset to the offset; clip searches all frames of the
        folder, and also finds onset and offset.
    pictures
        Draw the curves into OUT/pictures.
    predictor
        Landmark model: ibug (installed), mee, mee2, mee3, gtx (from models/), or a .dat file.
    seed
        Seed of the bootstrap intervals, which resample subjects.
    jobs
        Worker processes. Default: the number of processors.
    """
    jobs = jobs_asked(jobs)
    began = time.monotonic()
    rows = read_clip_manifest(manifest)
    tasks = clip_tasks(rows)
    model = find_predictor(predictor)
    (out / RUN_FILE).unlink(missing_ok=True)
    found = do_clips(
        "micro spot",
        partial(ClipReader.spot, within=within),
        tasks,
        start=partial(ClipReader, model, FlowSettings(), out / CACHE_FOLDER),
        jobs=jobs,
        lost=lambda reason: ClipSpot(status="failed", reason=reason),
    )
    spots = spots_table(rows, tasks, found)
    write_table(spots, out / SPOTS_FILE, schema=SPOTS)
    write_table(curves_table(spots, found), out / CURVES_FILE, schema=CURVES)
    scores = spotting_scores(spots, seed=seed)
    ends = mean_end_errors(spots) if within == "clip" else {}
    write_json(
        out / METRICS_FILE,
        {
            "within": within,
            "simulated": is_simulated(rows),
            "clips_scored": int(spots["error_frames"].notna().sum()),
            **{score.name.replace(" ", "_"): score.as_json() for score in scores},
            **ends,
        },
    )
    if pictures:
        _draw(out, spots, found)
    remove_others(out / CACHE_FOLDER, {one.cache_file for one in found})
    tally = Counter(spots["status"])
    write_run_record(
        out,
        command="micro spot",
        settings={
            "manifest": manifest.name, "within": within, "pictures": pictures,
            "predictor": predictor, "jobs": jobs,
        },
        seed=seed,
        files={"manifest": manifest, "predictor": model.path},
        counts={status: tally[status] for status in STATUSES},
        seconds={"all": time.monotonic() - began},
    )  # fmt: skip
    result = SpotResult(out=out, spots=spots, scores=scores)
    _tell(result, ends)
    if is_simulated(rows):
        print(SIMULATED)
    return result


def mean_end_errors(spots: pd.DataFrame) -> dict[str, float]:
    """Return the mean absolute errors of onset and offset in frames, where they are annotated."""
    errors = {}
    for name in ("onset", "offset"):
        off = (spots[name] - spots[f"annotated_{name}"]).abs().dropna()
        if len(off):
            errors[f"{name}_error_frames"] = float(off.mean())
    return errors


def _draw(out: Path, spots: pd.DataFrame, found: Sequence[ClipSpot]) -> None:
    """Draw one picture for each subject."""
    people = spots["dataset"].fillna("clips").astype(str) + "_" + spots["patient_id"]
    for person, rows in spots.groupby(people, sort=False):
        clips = [
            (row, one.spot)
            for place, row in rows.iterrows()
            if (one := found[place]).spot  # type: ignore[call-overload]
        ]
        if not clips:
            continue
        name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in person)
        with atomic_write(out / PICTURE_FOLDER / f"{name}.png") as temporary:
            temporary.write_bytes(figure_png(curves_figure(str(person), clips)))


def _tell(result: SpotResult, ends: dict[str, float]) -> None:
    """Say what was found; every complaint is one line."""
    spots = result.spots
    for row in spots[spots["status"] != "ok"].itertuples():
        print(f"{row.status}: {row.image_id}: {row.reason}", file=sys.stderr)
    ok = int((spots["status"] == "ok").sum())
    print(f"An apex was found in {ok} of {counted(len(spots), 'clip')}. In {result.out}")
    if not result.scores:
        print("No apex is annotated to compare with.")
        return
    n = int(spots["error_frames"].notna().sum())
    print(f"Against the annotated apex of {counted(n, 'clip')} (95 % intervals over subjects):")
    for score in result.scores:
        print(
            f"  {score.name + ':':<14} mean error {score.error_frames} frames, "
            f"{100 * score.error_share.value:.1f} % of the length; within 1 frame "
            f"{score.within_1}, within 3 {score.within_3}"
        )
    if ends:
        words = ", ".join(f"{name.split('_')[0]} {value:.2f}" for name, value in ends.items())
        print(f"  mean error of the ends, frames: {words}")
