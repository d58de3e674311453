"""The command `extract`: photographs to landmarks, distances, features and overlays."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from common.errors import UserError
from common.exit_codes import exit_code_for
from common.files import PARQUET
from common.photos import HEIC_SUFFIXES, PHOTO_SUFFIXES, RAW_SUFFIXES, list_photos
from common.provenance import RUN_FILE, write_run_record
from common.shards import Shard, ShardOption, dealt
from common.tables import photos_of, read_manifest
from common.words import counted
from common.workers import jobs_asked
from features.commands.features import FeatureTables, measure_corrected, write_feature_tables
from landmarks.find.extraction import Extraction, extract_landmarks
from landmarks.find.method import DEFAULT_COPIES, DEFAULT_KIND, make_method
from landmarks.predictor import find_predictor
from landmarks.review.corrections import CORRECTIONS_FILE, all_corrections_in
from landmarks.scale import Scale, iris_radii_of, unit_of
from landmarks.tables import failure_lines

ONSET_FILE = "onset_file"  # column of a manifest of clips, see datasets.readers.clips
_VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".m4v", ".wmv", ".mpg")


@dataclass(frozen=True)
class Source:
    """What is to be extracted: (`image_id`, path) pairs, the manifest if any, and complaints."""

    photos: tuple[tuple[str, Path], ...]
    manifest: pd.DataFrame | None = None
    problems: tuple[str, ...] = ()

    def keys(self, shard: Shard) -> dict[str, str]:
        """Return for every `image_id` what it is dealt to shards by."""
        if shard.by == "patient_id" and self.manifest is not None:
            return dict(zip(self.manifest["image_id"], self.manifest["patient_id"], strict=True))
        return {image_id: image_id for image_id, _ in self.photos}

    def only(self, images: Collection[str]) -> Source:
        """Return these photographs alone."""
        manifest = self.manifest
        if manifest is not None:
            manifest = manifest[manifest["image_id"].isin(images)].reset_index(drop=True)
        photos = tuple(photo for photo in self.photos if photo[0] in images)
        return replace(self, photos=photos, manifest=manifest)


@dataclass(frozen=True)
class ExtractResult:
    """Counts per status, where the tables are, and the exit code that follows.

    `corrected` are the tables measured with `corrections.csv`, None where nothing was corrected.
    """

    out: Path
    extraction: Extraction
    tables: FeatureTables
    problems: tuple[str, ...]
    corrected: FeatureTables | None = None

    @property
    def exit_code(self) -> int:
        """0 all ok, 3 some photographs or corrections failed or a folder was closed, 4 none."""
        ok = self.tables.counts["ok"]
        failed = sum(self.tables.counts.values()) - ok + len(self.problems)
        return exit_code_for(ok=ok, failed=failed)


def extract(
    source: Path,
    *,
    out: Path,
    definition: Literal["standard", "huo2022", "parra2021"] = "standard",
    predictor: str = "ibug",
    faces: Literal["largest", "error"] = "largest",
    tta: int = DEFAULT_COPIES,
    tta_kind: str = DEFAULT_KIND,
    tta_average: Literal["median", "trimmed_mean"] = "median",
    relevel: bool | None = None,
    seed: int = 0,
    scale: Literal["none", "iris", "box"] = "none",
    mm_per_px: float | None = None,
    overlays: bool = False,
    jobs: int | None = None,
    scheduler: str | None = None,
    shard: ShardOption = None,
) -> ExtractResult:
    """Measure photographs: landmarks.csv, dists.csv, features.csv and measures.csv.

    Every photograph gets one row in every table, with a status and a reason when it could not be
    measured. A run that was stopped goes on where it was. Corrections that lie in OUT (review) are
    never touched: what was corrected is measured with them into OUT/corrected. Corrections of a
    photograph that is another file now are not used, and it is named; remove corrections.csv to be
    rid of all.

    Parameters
    ----------
    source
        A photograph, a folder (searched with all its subfolders), or a manifest (.csv). Of a
        clip in a manifest the onset frame is measured.
    out
        Folder for the tables, run.json and overlays.
    definition
        How distances and features are defined: see docs/definitions.md.
    predictor
        Landmark model: ibug (installed), mee, mee2, mee3, gtx (from models/), or a .dat file.
    faces
        With several faces in a photograph: take the largest, or make it an error.
    tta
        Altered copies of each face whose points are averaged, 0 for none; their spread, how well
        each point repeats, is written to spreads.csv and drawn on overlays. The error is larger.
    tta_kind
        How copies are altered: names joined by +, each with a strength after a colon if wanted.
        rotation_uniform, rotation_normal or rotation_steps; intensity; noise_uniform,
        noise_normal, noise_uniform_rgb or noise_normal_rgb; box; mirror.
    tta_average
        Average of the copies: per-point median, or trimmed mean without 20 % at either end.
    relevel
        Level the head by its measured tilt, predict again, and map back; done with copies and not
        without, unless it is said.
    seed
        Seed of the copies; the same seed gives the same tables for any number of jobs.
    scale
        Unit of lengths: none leaves px; iris looks for the irises (irises.csv), 11.77 mm wide,
        and gives mm; box gives fractions of the face box's diagonal. Features do not change. Iris
        radii that are known stand in the manifest as iris_radius_right and iris_radius_left, px.
    mm_per_px
        Length of one px in mm when it is known, the same for all photographs.
    overlays
        Draw every photograph with its points into OUT/overlays.
    jobs
        Photographs worked on at the same time; as many as there are processors when not given.
    scheduler
        Of a Dask cluster whose workers are used: `tcp://HOST:PORT`, or `local` to start one here
        (docs/large_cohorts.md). Worker processes when not given; the results are the same.
    shard
        Do one part of the photographs, 3/20 the third of twenty, into OUT/shard-03-of-20; merge
        joins the parts.
    """
    given = dict(locals())
    jobs = jobs_asked(jobs)
    method = make_method(
        tta=tta, tta_kind=tta_kind, tta_average=tta_average, relevel=relevel, seed=seed
    )
    unit = unit_of(scale, mm_per_px=mm_per_px)
    found = find_source(source)
    model = find_predictor(predictor)
    if shard is not None:
        out = shard.folder(out)
        found = found.only(
            dealt(found.keys(shard), shard, out=out, command="extract", call=extract, given=given)
        )
    extraction = extract_landmarks(
        found.photos,
        out=out,
        predictor=model,
        faces=faces,
        method=method,
        scale=Scale(scale, mm_per_px=mm_per_px, iris_radii=iris_radii_of(found.manifest)),
        overlays=overlays,
        jobs=jobs,
        scheduler=scheduler,
    )
    began = time.monotonic()
    # A stop between the tables and their record must not leave the record of other tables.
    (out / RUN_FILE).unlink(missing_ok=True)
    tables = write_feature_tables(
        extraction.table,
        out=out,
        definition=definition,
        manifest=found.manifest,
        unit=unit,
        irises=extraction.irises,
    )
    files = {"predictor": model.path}
    if found.manifest is not None:
        files["manifest"] = source
    write_run_record(
        out,
        command="extract",
        settings={
            "source": source.name,
            "definition": definition,
            "predictor": predictor,
            "faces": faces,
            **method.settings(),
            "scale": scale,
            "mm_per_px": mm_per_px,
            "overlays": overlays,
            "jobs": jobs,
            "scheduler": None if scheduler is None else scheduler.partition(":")[0],
            "shard": shard and str(shard),
        },
        seed=seed if tta else None,
        files=files,
        counts=tables.counts,
        seconds={
            "start_up": extraction.startup_s,
            "photographs": extraction.work_s,
            "features": time.monotonic() - began,
        },
        notes={
            "definition": definition,
            "unit": tables.unit,
            "without_scale": tables.without_scale,
            "resumed": extraction.resumed,
            "device": "cpu",
            "problems": list(found.problems),
        },
    )
    result = ExtractResult(out=out, extraction=extraction, tables=tables, problems=found.problems)
    _tell(result)
    corrected, problems = measure_all_corrected(out)
    return replace(result, problems=(*result.problems, *problems), corrected=corrected)


def measure_all_corrected(out: Path) -> tuple[FeatureTables | None, list[str]]:
    """Measure again with the corrections of each rater in OUT.

    Returns the tables by `corrections.csv`, of nobody in particular, and what hindered.
    """
    corrected: FeatureTables | None = None
    problems: list[str] = []
    for corrections in all_corrections_in(out):
        try:
            again = measure_corrected(corrections)
        except UserError as error:  # the tables themselves are whole
            print(f"warning: {corrections.name} was not taken: {error}", file=sys.stderr)
            problems.append(str(error))
            continue
        problems += again.refused
        if corrections.name == CORRECTIONS_FILE:
            corrected = again
    return corrected, problems


def find_source(source: Path) -> Source:
    """Find the photographs of a file, folder or manifest.

    Raises
    ------
    UserError
        When the source does not exist, is of an unknown kind, or holds no photograph.
    """
    suffix = source.suffix.lower()
    try:
        is_folder, is_there = source.is_dir(), source.exists()
    except OSError as error:  # a folder above it is closed, or the name is too long
        raise UserError(
            f"{source} cannot be opened ({error.strerror}): check the path and your right to read."
        ) from error
    if is_folder:
        folder = list_photos(source)
        problems = (*folder.problems, *folder.others)
        if not folder.photos:
            if problems:
                raise UserError(problems[0])
            raise UserError(
                f"{source} holds no photograph ({', '.join(PHOTO_SUFFIXES)}): check the folder."
            )
        return Source(photos=folder.photos, problems=problems)
    if not is_there:
        raise UserError(f"{source} does not exist: give a photograph, a folder or a manifest.")
    if suffix in (".csv", PARQUET):
        manifest = read_manifest(source)
        if manifest.empty:
            raise UserError(f"{source} holds no rows: list one photograph per row.")
        return Source(photos=_photos_of(manifest), manifest=manifest)
    if suffix in (*PHOTO_SUFFIXES, *HEIC_SUFFIXES, *RAW_SUFFIXES):
        return Source(photos=((source.name, source),))
    if suffix in _VIDEO_SUFFIXES:
        raise UserError(
            f"{source} is a video, which is not read yet: save its frames as photographs first."
        )
    raise UserError(
        f"{source} is neither a photograph, a folder nor a manifest (.csv): check the name."
    )


def _photos_of(manifest: pd.DataFrame) -> tuple[tuple[str, Path], ...]:
    """Return `image_id` and file of each row; of a clip, which is a folder, the onset frame."""
    photos = photos_of(manifest)
    if ONSET_FILE not in manifest:
        return photos
    onsets = manifest[ONSET_FILE].fillna("")
    return tuple((name, path / onset) for (name, path), onset in zip(photos, onsets, strict=True))


def _tell(result: ExtractResult) -> None:
    """Say what became of the photographs; every complaint is one line."""
    for line in failure_lines(result.extraction.table):
        print(line, file=sys.stderr)
    for problem in result.problems:
        print(f"warning: {problem}", file=sys.stderr)
    resumed = result.extraction.resumed
    again = f" {counted(resumed, 'photograph')} known from an earlier run." if resumed else ""
    print(f"{result.tables.sentence()}{again} Tables in {result.out}")
