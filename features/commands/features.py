"""The command `features`: a landmark table becomes distances, features and clinical measures."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from common.errors import UserError, exit_code_for
from common.files import found_table, sha256_of
from common.provenance import read_run_record, write_run_record
from common.tables import STATUSES, join_manifest, read_manifest, sort_by_image_id, write_table
from common.words import counted
from features.definitions import STANDARD, DefinitionName, measure
from features.registry import FEATURE_NAMES
from features.tables import (
    DISTS,
    DISTS_FILE,
    FEATURES,
    FEATURES_FILE,
    MEASURES_FILE,
    MEASURES_SCHEMA,
    definition_of,
    landmark_run_of,
    measure_table,
    read_features,
    row_key,
)
from landmarks.exchange.tables import read_corrected
from landmarks.find.iris import Irises
from landmarks.scale import Unit, length_factors
from landmarks.tables import (
    IRISES,
    IRISES_FILE,
    LANDMARKS,
    LANDMARKS_FILE,
    OtherTool,
    PointsSource,
    failure_lines,
    iris_table,
    points_of,
    points_source,
    points_source_columns,
    with_slips_failed,
)


@dataclass(frozen=True)
class FeatureTables:
    """What was written, and what became of the photographs."""

    features: Path  # path of `features.csv`; the other tables lie beside it
    counts: dict[str, int]  # photographs per status, all statuses named
    # `image_id` of photographs that were `ok` in the landmark table but whose points are missing,
    # not finite or all in one place; they are `failed` in the tables
    newly_failed: tuple[str, ...]
    unit: Unit = "px"  # of the lengths in `dists.csv` and `measures.csv`
    # photographs that were measured but have no lengths, because nothing scales them
    without_scale: int = 0
    # how many were measured with corrected points
    source: PointsSource = field(default_factory=lambda: PointsSource(0, 0, 0))
    # photographs whose corrections were not taken, because they are other files now
    refused: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 everything was measured, 3 some photographs or corrections were not, 4 none was."""
        measured = self.counts["ok"]
        failed = sum(self.counts.values()) - measured + len(self.refused)
        return exit_code_for(ok=measured, failed=failed)

    def sentence(self) -> str:
        """Return the counts as one line of text."""
        parts = [f"{count} {status}" for status, count in self.counts.items() if count]
        line = f"{counted(sum(self.counts.values()), 'photograph')}: {', '.join(parts) or 'none'}."
        if self.newly_failed:
            first, *others = self.newly_failed
            line += (
                f" {counted(1 + len(others), 'photograph')} with status ok but without usable "
                f"points became failed ({first}{', ...' if others else ''})."
            )
        if self.without_scale:
            line += (
                f" {counted(self.without_scale, 'photograph')} without a scale: lengths are empty "
                f"({MEASURES_FILE} says why)."
            )
        return self.source.added_to(line)


def features(
    landmarks: Path,
    *,
    out: Path,
    definition: DefinitionName = STANDARD,
    unit: Literal["px", "mm", "box"] = "px",
    manifest: Path | None = None,
    corrections: Path | None = None,
    points_from: OtherTool | None = None,
) -> FeatureTables:
    """Compute dists.csv, features.csv and measures.csv from a landmark table.

    For another definition, or after points were corrected by hand. OUT holds all that the next
    commands take: the landmarks too, the irises (irises.csv beside the landmark table, or those of
    Emotrics and MediaPipe), and the patients, grades, movements and sides of the features.csv
    beside the landmark table. Photographs whose status is not ok keep it and have no values; so
    does a photograph whose points cannot be a face, after a slip of the hand for instance.
    Definition and unit are recorded in OUT/run.json.

    Parameters
    ----------
    landmarks
        The landmark table, landmarks.csv of extract; or points of another tool, a file or a folder
        of them: .pts, imglab, CVAT, COCO, Emotrics, OpenFace, MediaPipe (docs/exchange.md).
    out
        Folder for the tables and run.json; the folder of the landmark table may be taken.
    definition
        standard for new work; huo2022 or parra2021 to reproduce older results.
    unit
        Of lengths: px, mm (with the table's mm_per_px), or box (diagonals of the face box).
    manifest
        Table of patients and grades whose columns are put behind the measurements; they take the
        place of those that the features.csv beside the landmark table has.
    corrections
        Points moved by hand, as review keeps them; the corrections.csv beside the landmark table
        when not given.
    points_from
        The tool that wrote LANDMARKS; recognised by its content when not given.

    Raises
    ------
    UserError
        When a table is missing or damaged, has no rows, or the manifest is of other photographs;
        or when OUT holds the landmarks of something else.
    """
    began = time.monotonic()
    given, irises, moves = read_corrected(landmarks, corrections=corrections, tool=points_from)
    if given.empty:
        raise UserError(f"{landmarks} has no rows: give a table with one row per photograph.")
    table = with_slips_failed(given)
    grades = known_of(table, manifest=manifest, source=landmarks)
    in_place = _is_in_place(landmarks, out=out)
    if in_place and moves is not None:
        raise UserError(
            f"{moves.path.name} changes points, and {landmarks} keeps those of the model: give "
            "another folder with --out."
        )
    landmark_run = landmark_run_of(landmarks)  # before OUT, perhaps the same folder, is written
    if unit == "mm" and ("mm_per_px" not in table or table["mm_per_px"].isna().all()):
        raise UserError(
            f"{landmarks} has no mm_per_px for any photograph: fill that column, or run extract "
            "with --scale iris or --mm-per-px."
        )
    written = write_feature_tables(
        table,
        out=out,
        definition=definition,
        manifest=grades,
        unit="box diagonal" if unit == "box" else unit,
        irises=irises,
    )
    slips = (given["status"] == "ok") & (table["status"] != "ok")
    written = replace(
        written,
        newly_failed=(*given.loc[slips, "image_id"], *written.newly_failed),
        refused=moves.refused if moves else (),
    )
    if not in_place:
        if irises:
            write_table(iris_table(irises), out / IRISES_FILE, schema=IRISES)
        else:
            (out / IRISES_FILE).unlink(missing_ok=True)  # of an earlier run
        write_table(table, out / LANDMARKS_FILE, schema=LANDMARKS)
    files = {
        "landmarks": landmarks,
        "manifest": manifest,
        "corrections": moves.path if moves else None,
    }
    write_run_record(
        out,
        command="features",
        settings={"landmarks": landmarks.name, "definition": definition, "unit": unit},
        files=files,
        counts=written.counts | written.source.counts(),
        seconds={"features": time.monotonic() - began},
        notes={
            "definition": definition,
            "unit": written.unit,
            "without_scale": written.without_scale,
            "newly_failed": len(written.newly_failed),
            "landmark_run": landmark_run,
            "corrections_of_other_photographs": list(written.refused),
            "landmarks_sha256": None if in_place else sha256_of(found_table(out / LANDMARKS_FILE)),
        },
    )
    for line in moves.warnings() if moves else []:
        print(f"warning: {line}", file=sys.stderr)
    for line in failure_lines(table):
        print(line, file=sys.stderr)
    print(f"{written.sentence()} Tables in {out}")
    return written


def measure_corrected(corrections: Path, *, out: Path | None = None) -> FeatureTables:
    """Measure the landmark table beside `corrections` again with them, as it was measured before.

    The same definition and unit are taken. Without `out`, the tables of `corrections-ANNA.csv` go
    into the folder `corrected-ANNA` beside it.
    """
    tables = corrections.parent
    record = read_run_record(tables) or {}
    notes = record.get("notes") or {}
    counts = record.get("counts") or {}
    unit: Literal["px", "mm", "box"] = "box" if notes.get("unit") == "box diagonal" else "px"
    if notes.get("unit") == "mm" and notes.get("without_scale") != counts.get("ok"):
        unit = "mm"
    return features(
        tables / LANDMARKS_FILE,
        out=out or tables / corrections.stem.replace("corrections", "corrected", 1),
        definition=definition_of(tables / FEATURES_FILE) or STANDARD,
        unit=unit,
        corrections=corrections,
    )


def write_feature_tables(
    landmark_table: pd.DataFrame,
    *,
    out: Path,
    definition: DefinitionName = STANDARD,
    manifest: pd.DataFrame | None = None,
    unit: Unit = "px",
    irises: Mapping[str, Irises] | None = None,
) -> FeatureTables:
    """Write `dists.csv`, `features.csv` and `measures.csv`; the caller writes `run.json`.

    UserError when there is no such definition, the table lacks what `unit` needs, or a table cannot
    be written.

    `landmark_table`: columns of `landmarks.tables.LANDMARKS`, px.
    `definition`: callers record it in `run.json`, where `features.tables.definition_of` finds
    it.
    `manifest`: its columns are put behind the measurements; its `side` tells which side is
    healthy.
    `unit`: of lengths; callers record it in `run.json`.
    `irises`: by `image_id`; their centres make the frame of the clinical measures.
    """
    rows = sort_by_image_id(landmark_table)
    ok = (rows["status"] == "ok").to_numpy(dtype=bool)
    points = np.where(ok[:, np.newaxis, np.newaxis], points_of(rows), np.nan)
    measured = measure(points, definition=definition)
    newly_failed = ok & ~measured.measurable
    key = row_key(rows)
    key.loc[newly_failed, "status"] = "failed"
    factors = length_factors(rows, unit=unit)
    distances = measured.distances.mul(factors, axis="index")
    measures = measure_table(rows, unit=unit, irises=irises, manifest=manifest)

    def joined(table: pd.DataFrame) -> pd.DataFrame:
        if manifest is None:
            return table
        return join_manifest(table, manifest, measured=table.columns)

    distances = pd.concat([key, distances], axis="columns")
    features = pd.concat([key, measured.features], axis="columns")
    write_table(joined(distances), out / DISTS_FILE, schema=DISTS)
    write_table(joined(features), out / FEATURES_FILE, schema=FEATURES)
    write_table(joined(measures), out / MEASURES_FILE, schema=MEASURES_SCHEMA)
    found = Counter(key["status"])
    return FeatureTables(
        out / FEATURES_FILE,
        counts={status: found[status] for status in STATUSES},
        newly_failed=tuple(key.loc[newly_failed, "image_id"]),
        unit=unit,
        without_scale=int(((key["status"] == "ok") & np.isnan(factors)).sum()),
        source=points_source(key),
    )


def known_of(table: pd.DataFrame, *, manifest: Path | None, source: Path) -> pd.DataFrame | None:
    """Return what is known beside the points, by `image_id`: from the features that were measured
    before, and from the manifest, which wins; one that knows none of them is surely the wrong one.
    """
    known = table[["image_id"]]
    earlier = (source if source.is_dir() else source.parent) / FEATURES_FILE
    if found_table(earlier).is_file():
        measured = [*FEATURE_NAMES, *points_source_columns()]
        known = join_manifest(known, read_features(earlier).drop(columns=measured, errors="ignore"))
    if manifest is not None:
        grades = read_manifest(manifest)
        if not table["image_id"].isin(grades["image_id"]).any():
            raise UserError(
                f'{manifest} names none of the photographs of {source} (first "image_id" '
                f'"{next(iter(grades["image_id"]), "")}" and "{table["image_id"].iloc[0]}"): give '
                "the manifest that the landmarks were extracted from."
            )
        known = join_manifest(known, grades)
    return known if len(known.columns) > 1 else None


def _is_in_place(landmarks: Path, *, out: Path) -> bool:
    """Say whether the points already are OUT/landmarks.csv, which then stays as it is.

    UserError when OUT/landmarks.csv holds other points, or was changed since an earlier run.
    """
    target = found_table(out / LANDMARKS_FILE)
    if not target.is_file():
        return False
    if target.samefile(found_table(landmarks)):
        return True
    notes = (read_run_record(out) or {}).get("notes") or {}
    if notes.get("landmarks_sha256") != sha256_of(target):
        raise UserError(
            f"{target} holds points of its own, which those of {landmarks.name} would replace: "
            "give another folder with --out."
        )
    return False
