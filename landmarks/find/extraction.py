"""Many photographs to one landmark table: in parallel, resumable, one row for every photograph."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np
import pandas as pd
import PIL

from common.files import remove_table, sha256_of
from common.progress import JobProgress
from common.tables import STATUSES, sort_by_image_id, write_table
from common.workers import default_jobs, supervised_map
from landmarks.find.finder import FaceLandmarks, Faces, LandmarkFinder, PhotoTask, do_photo
from landmarks.find.iris import IRIS_METHOD, Irises
from landmarks.find.journal import Journal, fingerprint
from landmarks.find.method import Method
from landmarks.find.network import NETWORK
from landmarks.overlay import OVERLAY_FOLDER, picture_path
from landmarks.points import POINT_COLUMNS
from landmarks.predictor import PredictorFile
from landmarks.scale import Scale
from landmarks.tables import (
    BOX_COLUMNS,
    IRISES,
    IRISES_FILE,
    LANDMARKS,
    LANDMARKS_FILE,
    SPREAD_COLUMNS,
    SPREADS,
    frame_columns,
    iris_table,
    points_source_columns,
)

METHOD = 2
"""Raise this when the same photograph and settings may give other points: it ends old journals."""

PHOTO_LIMIT_S = 120.0
SPREADS_FILE = "spreads.csv"


@dataclass(frozen=True)
class Extraction:
    """What one run of `extract_landmarks` did."""

    table: pd.DataFrame  # as written
    counts: dict[str, int]  # photographs per status, every status named
    resumed: int  # photographs taken over from an earlier run
    startup_s: float  # until the first result
    work_s: float  # from then to the last
    irises: dict[str, Irises] = field(default_factory=dict)  # by `image_id`


def no_photographs() -> Extraction:
    """Return what is extracted where there are no photographs."""
    return Extraction(
        landmark_table({}), counts=dict.fromkeys(STATUSES, 0), resumed=0, startup_s=0.0, work_s=0.0
    )


def extract_landmarks(
    photos: Sequence[tuple[str, Path]],
    *,
    out: Path,
    predictor: PredictorFile,
    faces: Faces = "largest",
    method: Method | None = None,
    scale: Scale | None = None,
    overlays: bool = False,
    jobs: int | None = None,
    scheduler: str | None = None,
) -> Extraction:
    """Find the landmarks of every photograph and write `OUT/landmarks.csv`.

    With altered copies their spread is written to `OUT/spreads.csv`, with the scale `iris` the
    irises to `OUT/irises.csv`, with `overlays` each photograph with its points to
    `OUT/overlays/IMAGE_ID.jpg`. Photographs are worked on at the same time, or the copies of one
    alone; the table is the same for any number of `jobs` (None: all processors).

    Runs that were stopped go on where they were: a photograph whose content, settings and library
    versions are unchanged and whose status was `ok` is not measured again. What is new is measured
    first, and what is known is compared with its file afterwards.

    `photos`: pairs of `image_id` (unique) and path.
    `faces`: `largest` takes the largest face, `error` refuses photographs with several.
    `method`: how points are found; a plain prediction when None.
    `scale`: fills `mm_per_px`; None leaves it empty.
    `scheduler`: of a Dask cluster that works in place of processes (`common.workers`).

    UserError when the output folder cannot be written or the predictor cannot be loaded.
    """
    began, first_at = time.monotonic(), None
    method, scale, jobs = method or Method(), scale or Scale(), jobs or default_jobs()
    predictor = replace(predictor, path=predictor.path.absolute())
    pictures = out.absolute() / OVERLAY_FOLDER
    tasks = [
        PhotoTask(
            image_id,
            path.absolute(),  # a worker elsewhere stands in another folder
            overlay=picture_path(pictures, image_id) if overlays else None,
            irises=scale.needs_irises,
            iris_radii=scale.iris_radii.get(image_id, (None, None)),
        )
        for image_id, path in photos
    ]
    settings = fingerprint(settings_of(predictor, faces=faces, method=method, scale=scale))
    found: dict[str, FaceLandmarks] = {}
    with closing(Journal(out, settings=settings)) as journal:
        measure = functools.partial(
            _measured,
            journal=journal,
            start=functools.partial(LandmarkFinder, predictor, faces=faces, method=method),
            jobs=jobs,
            scheduler=scheduler,
        )
        for image_id, result in measure([task for task in tasks if task.image_id not in journal]):
            first_at = first_at or time.monotonic()
            found[image_id] = result
        known = [task for task in tasks if task.image_id not in found]
        same = _unchanged(known, journal=journal, jobs=jobs)
        found |= {image_id: journal.read(image_id) for image_id in same}
        found |= dict(measure([task for task in known if task.image_id not in found]))
    table = landmark_table(found, scale=scale)
    write_table(table, out / LANDMARKS_FILE, schema=LANDMARKS)
    irises: dict[str, Irises] = {}
    if scale.needs_irises:
        irises = {image_id: result.irises or Irises() for image_id, result in found.items()}
        write_table(iris_table(irises), out / IRISES_FILE, schema=IRISES)
    else:
        (out / IRISES_FILE).unlink(missing_ok=True)  # of an earlier run that looked for them
    if method.augmentation:
        write_table(spread_table(found, method=method), out / SPREADS_FILE, schema=SPREADS)
    else:
        remove_table(out / SPREADS_FILE)  # of an earlier run with copies
    tally = Counter(table["status"])
    ended = time.monotonic()
    return Extraction(
        table=table,
        counts={status: tally[status] for status in STATUSES},
        resumed=len(same),
        startup_s=(first_at or ended) - began,
        work_s=ended - (first_at or ended),
        irises=irises,
    )


def _measured(
    tasks: Sequence[PhotoTask],
    *,
    journal: Journal,
    start: Callable[..., LandmarkFinder],
    jobs: int,
    scheduler: str | None,
) -> Iterator[tuple[str, FaceLandmarks]]:
    """Measure photographs in worker processes; a file is not touched before its turn comes."""
    if not tasks:
        return
    start = functools.partial(start, copy_threads=jobs if len(tasks) == 1 else 1)
    outcomes = supervised_map(
        do_photo, tasks, jobs=jobs, start=start, scheduler=scheduler, limit_s=PHOTO_LIMIT_S
    )
    with (
        closing(outcomes),  # no worker outlives a Ctrl-C or a full disk
        JobProgress("extract", total=len(tasks)) as progress,
    ):
        for outcome in outcomes:
            image_id = tasks[outcome.index].image_id
            result: FaceLandmarks = outcome.value or FaceLandmarks(
                status="failed",
                reason=f"This photograph could not be processed ({outcome.error}): run again, "
                "and leave it out if it fails again.",
            )
            if result.status == "ok":
                journal.add(image_id, result)
            progress.advance(ok=result.status == "ok")
            yield image_id, result


def _unchanged(tasks: Sequence[PhotoTask], *, journal: Journal, jobs: int) -> list[str]:
    """Return the `image_id` of photographs whose content, and overlay, are as in the journal."""

    def holds(task: PhotoTask) -> bool:
        try:
            drawn = task.overlay is None or task.overlay.is_file()
            return drawn and sha256_of(task.path) == journal.sha256_of(task.image_id)
        except OSError:
            return False  # a worker will say what is wrong with the file

    if not tasks:
        return []
    same = []
    with (
        ThreadPoolExecutor(jobs) as pool,
        JobProgress("known from an earlier run", total=len(tasks), note="") as progress,
    ):
        for task, held in zip(tasks, pool.map(holds, tasks), strict=True):
            progress.advance(ok=held)
            same += [task.image_id] if held else []
    return same


def landmark_table(found: dict[str, FaceLandmarks], *, scale: Scale | None = None) -> pd.DataFrame:
    """Return the landmark table of results by `image_id`, in natural order."""
    if not found:
        empty = pd.DataFrame({name: [] for name in LANDMARKS.columns})
        texts = ("image_id", "status", "reason", "detector", "photo_sha256")
        return empty.drop(columns=[*points_source_columns(), *frame_columns()]).astype(
            dict.fromkeys(texts, "str")
        )
    results = list(found.values())
    scale = scale or Scale()
    frame = pd.DataFrame(
        {
            "image_id": list(found),
            "status": [result.status for result in results],
            "reason": [result.reason or None for result in results],
            "n_faces": pd.array([result.n_faces for result in results], dtype="Int64"),
            "detector": [result.box.detector if result.box else None for result in results],
        }
    ).astype({"reason": "str", "detector": "str"})
    boxes = [_box_row(result) for result in results]
    quality = pd.DataFrame(boxes, columns=["detector_score", *BOX_COLUMNS])
    quality["tilt_deg"] = [result.tilt_deg for result in results]
    quality["spread_px"] = [result.spread_px for result in results]
    quality["brightness"] = [result.brightness for result in results]
    quality["sharpness"] = [result.sharpness for result in results]
    quality["mm_per_px"] = [
        scale.mm_per_px_of(result.irises, ok=result.status == "ok") for result in results
    ]
    quality["photo_sha256"] = pd.array([result.sha256 or None for result in results], dtype="str")
    points = np.stack([result.points for result in results]).reshape(len(results), -1)
    values = pd.DataFrame(points, columns=list(POINT_COLUMNS))
    return sort_by_image_id(pd.concat([frame, quality, values], axis=1))


def spread_table(found: dict[str, FaceLandmarks], *, method: Method) -> pd.DataFrame:
    """Return the table of spreads of results by `image_id`, in natural order."""
    results = list(found.values())
    frame = pd.DataFrame(
        {
            "image_id": pd.array(list(found), dtype="str"),
            "status": pd.array([result.status for result in results], dtype="str"),
            "copies": np.array([result.copies for result in results], dtype=int),
            "copies_failed": np.array([result.copies_failed for result in results], dtype=int),
        }
    )
    if method.sees_halves:
        frame["halves_share"] = np.array([result.halves_share for result in results], dtype=float)
    spreads = np.array([result.spread for result in results], dtype=np.float64)
    spreads = spreads.reshape(len(results), len(SPREAD_COLUMNS))
    frame = frame.join(pd.DataFrame(spreads, columns=list(SPREAD_COLUMNS)))
    columns = [name for name, column in SPREADS.columns.items() if column.required or name in frame]
    return sort_by_image_id(frame.reindex(columns=columns))


def _box_row(result: FaceLandmarks) -> list[float]:
    box = result.box
    return [box.score, box.left, box.top, box.right, box.bottom] if box else [np.nan] * 5


def settings_of(
    predictor: PredictorFile, *, faces: Faces, method: Method, scale: Scale
) -> dict[str, Any]:
    """Return everything beside the photograph, or film, that its result depends on."""
    irises = {"iris_method": IRIS_METHOD, "iris_radii": dict(scale.iris_radii)}
    return (irises if scale.needs_irises else {}) | {
        "method": METHOD,
        "predictor": predictor.sha256,
        "faces": faces,
        **method.settings(),
        **predictor.program,
        **({"network": sha256_of(NETWORK)} if method.asks_network else {}),
        "dlib": dlib.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }
