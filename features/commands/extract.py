"""The command `extract`: photographs to points and all that is measured, films to points."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from common.errors import UserError, exit_code_for
from common.files import remove_table
from common.provenance import RUN_FILE, write_run_record
from common.shards import ShardOption, dealt
from common.tables import STATUSES
from common.words import counted
from common.workers import jobs_asked
from features.commands.features import FeatureTables, measure_corrected, write_feature_tables
from features.tables import DISTS_FILE, FEATURES_FILE, MEASURES_FILE
from landmarks.find.extraction import Extraction, extract_landmarks, no_photographs
from landmarks.find.film_tables import FilmExtraction, extract_films
from landmarks.find.method import DEFAULT_COPIES, DEFAULT_KIND, Points, make_method
from landmarks.find.network import NETWORK
from landmarks.find.source import find_source
from landmarks.predictor import find_predictor
from landmarks.review.corrections import CORRECTIONS_FILE, all_corrections_in
from landmarks.scale import Scale, iris_radii_of, unit_of
from landmarks.tables import LANDMARKS_FILE, failure_lines


@dataclass(frozen=True)
class ExtractResult:
    """Counts per status, where the tables are, and the exit code that follows.

    `corrected` are the tables measured with `corrections.csv`, None where nothing was corrected.
    Where there were films alone, `extraction` and `tables` are empty; `films` is None without any.
    """

    out: Path
    extraction: Extraction
    tables: FeatureTables
    problems: tuple[str, ...]
    corrected: FeatureTables | None = None
    films: FilmExtraction | None = None

    @property
    def exit_code(self) -> int:
        """0 all ok, 3 some photographs, films or corrections failed or a folder was closed, 4 none.

        A film is ok when every frame has points, or it announced more than it held.
        """
        ok = self.tables.counts["ok"]
        failed = sum(self.tables.counts.values()) - ok + len(self.problems)
        if self.films is not None:
            ok += self.films.ok
            failed += len(self.films.sentences)
        return exit_code_for(ok=ok, failed=failed)


def extract(
    source: Path,
    *,
    out: Path,
    definition: Literal["standard", "huo2022", "parra2021"] = "standard",
    predictor: str = "ibug",
    faces: Literal["largest", "error"] = "largest",
    tta: int | None = None,
    tta_kind: str = DEFAULT_KIND,
    tta_average: Literal["median", "trimmed_mean"] = "median",
    relevel: bool | None = None,
    points: Points = "whole",
    seed: int = 0,
    scale: Literal["none", "iris", "box"] = "none",
    mm_per_px: float | None = None,
    mirrored: bool = False,
    overlays: bool = False,
    jobs: int | None = None,
    scheduler: str | None = None,
    shard: ShardOption = None,
) -> ExtractResult:
    """Measure photographs: landmarks.csv, dists.csv, features.csv and measures.csv; follow films.

    Every photograph gets one row in every table, with a status and a reason when it could not be
    measured. Every frame of a film gets a row in landmarks.csv, with film, frame and time_s;
    movement goes on from there, and features LANDMARKS measures every frame (docs/films.md). A run
    that was stopped goes on where it was. Corrections that lie in OUT (review) are never touched:
    what was corrected is measured with them into OUT/corrected. Corrections of a photograph that is
    another file now are not used, and it is named; remove corrections.csv to be rid of all.

    Parameters
    ----------
    source
        A photograph, a film (MP4, MOV, AVI, WebM, ...), a folder (searched with all its
        subfolders), or a manifest (.csv). Of a clip in a manifest the onset frame is measured.
    out
        Folder for the tables, run.json and overlays.
    definition
        How distances and features are defined: see docs/definitions.md.
    predictor
        Landmark model: ibug (installed), mee, mee2, mee3, gtx (from models/), or a file of
        yours, of dlib or of MediaPipe (.task).
    faces
        With several faces in a photograph: take the largest, or make it an error.
    tta
        Altered copies of each face whose points are averaged, 0 for none; their spread, how well
        each point repeats, is written to spreads.csv and drawn on overlays. The error is larger.
        10 for photographs and none for frames of films when not given.
    tta_kind
        How copies are altered: names joined by +, each with a strength after a colon if wanted.
        rotation_uniform, rotation_normal or rotation_steps; intensity; noise_uniform,
        noise_normal, noise_uniform_rgb or noise_normal_rgb; box; mirror.
    tta_average
        Average of the copies: per-point median, or trimmed mean without 20 % at either end.
    relevel
        Level the head by its measured tilt, predict again, and map back; done with copies and not
        without, unless it is said.
    points
        Of the whole face; of its mirrored halves too, which keep more of a palsied face's asymmetry
        and take about twice the time; of this project's own network; or of both joined, which
        takes three to four times as long (docs/points.md).
    seed
        Seed of the copies; the same seed gives the same tables for any number of jobs.
    scale
        Unit of lengths: none leaves px; iris looks for the irises (irises.csv), 11.77 mm wide,
        and gives mm; box gives fractions of the face box's diagonal. Features do not change. Iris
        radii that are known stand in the manifest as iris_radius_right and iris_radius_left, px.
    mm_per_px
        Length of one px in mm when it is known, the same for all photographs.
    mirrored
        The films are stored as mirror images, as some front cameras do; of single films a manifest
        says it (column mirrored: yes). Points are those of the film mirrored back.
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
    options: dict[str, Any] = {
        "tta_kind": tta_kind, "tta_average": tta_average, "relevel": relevel, "points": points,
        "seed": seed,
    }  # fmt: skip
    method = make_method(tta=DEFAULT_COPIES if tta is None else tta, **options)
    unit = unit_of(scale, mm_per_px=mm_per_px)
    found = find_source(source, films=True, mirrored=mirrored)
    if found.films and scale == "iris":
        raise UserError(
            "--scale iris measures photographs, and the source holds films: give --mm-per-px, or "
            "the photographs alone."
        )
    with_films = bool(found.films)  # of a shard too that gets none of them: its table looks alike
    model = find_predictor(predictor)
    if shard is not None:
        out = shard.folder(out)
        found = found.only(
            dealt(found.keys(shard), shard, out=out, command="extract", call=extract, given=given)
        )
    extraction, films = no_photographs(), None
    if found.photos:
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
    film_method = make_method(tta=tta or 0, **options)
    if with_films:
        films = extract_films(
            found.films,
            out=out,
            photos=extraction.table,
            predictor=model,
            faces=faces,
            method=film_method,
            mm_per_px=mm_per_px,
            jobs=jobs,
            scheduler=scheduler,
        )
    began = time.monotonic()
    # A stop between the tables and their record must not leave the record of other tables.
    (out / RUN_FILE).unlink(missing_ok=True)
    tables = FeatureTables(out / FEATURES_FILE, dict.fromkeys(STATUSES, 0), (), unit=unit)
    if found.photos:
        tables = write_feature_tables(
            extraction.table,
            out=out,
            definition=definition,
            manifest=found.manifest,
            unit=unit,
            irises=extraction.irises,
        )
    else:
        for name in (DISTS_FILE, FEATURES_FILE, MEASURES_FILE):  # of an earlier run
            remove_table(out / name)
    corrected_for = None
    if model.base is not None:
        shown = list(extraction.table["photo_sha256"].dropna())
        corrected_for = model.learned_from(photographs=shown)
        print(f"The model has seen of these photographs: {corrected_for}")
    write_run_record(
        out,
        command="extract",
        settings={
            "source": source.name,
            "definition": definition,
            "predictor": predictor,
            "faces": faces,
            **(method if found.photos else film_method).settings(),
            "scale": scale,
            "mm_per_px": mm_per_px,
            **({"tta_films": tta or 0, "mirrored": mirrored} if with_films else {}),
            "overlays": overlays,
            "jobs": jobs,
            "scheduler": None if scheduler is None else scheduler.partition(":")[0],
            "shard": shard and str(shard),
        },
        seed=seed if (method if found.photos else film_method).augmentation else None,
        files={
            "predictor": model.path,
            "network": NETWORK if method.asks_network else None,
            "manifest": None if found.manifest is None else source,
        },
        counts=tables.counts | (films.counts() if films else {}),
        seconds={
            "start_up": extraction.startup_s,
            "photographs": extraction.work_s,
            **({"films": films.work_s} if films else {}),
            "features": time.monotonic() - began,
        },
        notes={
            "definition": definition,
            "unit": tables.unit,
            "without_scale": tables.without_scale,
            "resumed": extraction.resumed,
            "device": "cpu",
            "problems": list(found.problems),
            **({} if corrected_for is None else {"seen": corrected_for}),
        },
    )
    result = ExtractResult(
        out=out, extraction=extraction, tables=tables, problems=found.problems, films=films
    )
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


def _tell(result: ExtractResult) -> None:
    """Say what became of photographs and films; every complaint is one line."""
    films, extraction = result.films, result.extraction
    lines = failure_lines(extraction.table) + list(films.sentences if films else ())
    for line in lines:
        print(line, file=sys.stderr)
    for problem in result.problems:
        print(f"warning: {problem}", file=sys.stderr)
    if len(extraction.table):
        resumed = extraction.resumed
        again = f" {counted(resumed, 'photograph')} known from an earlier run." if resumed else ""
        print(f"{result.tables.sentence()}{again} Tables in {result.out}")
    if films is not None and films.tallies:
        frames = ", ".join(f"{count} {status}" for status, count in films.frames.items() if count)
        print(
            f"{counted(len(films.tallies), 'film')}: {frames} (frames). Points in "
            f"{result.out / LANDMARKS_FILE}; movement makes curves and movements of them, "
            "features measures every frame."
        )
