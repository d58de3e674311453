"""The command `compare`: prediction tables of two or more branches on the same folds."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from classifiers.branches.alignment import shared_levels
from classifiers.branches.branch import (
    Branch,
    read_branches,
    target_of,
    with_points_source,
    with_twin,
)
from classifiers.branches.comparison import BranchComparison, compare_branches
from classifiers.reports.branches import comparison_report
from common.errors import UserError
from common.files import natural_key
from common.grading.evaluation import write_metrics
from common.grading.numeric_target import AnyTarget
from common.grading.predictions import KEY
from common.provenance import write_run_record
from common.report import Report
from common.tables import nameless_patients, read_manifest, write_csv
from common.words import counted


@dataclass(frozen=True)
class CompareResult:
    """What a comparison found: per photograph (when all tables have photographs), per patient."""

    levels: list[BranchComparison]


def compare(
    *tables: Path,
    out: Path,
    manifest: Path | None = None,
    models: tuple[str, ...] = (),
    target: str = "six_grades",
    shared_only: bool = False,
    redact: bool = False,
    seed: int = 0,
) -> CompareResult:
    """Compare two or more branches that were tested on the same patients and folds.

    Writes `comparison.csv`, `disagreements.csv`, `metrics.json`, `report.html` and `run.json` into
    `out`. A network's classical twin (`hog`) stands beside it where its table holds one. Tables
    that test other patients, folds or grades are refused. Research use only.

    Parameters
    ----------
    tables
        `predictions.csv` of each branch, such as those of `benchmark` and `htnet evaluate`.
    out
        Folder for the results; made if needed.
    manifest
        `manifest.csv`, for scores by movement and side, and for pictures.
    models
        Which model of each table, in the order of the tables; needed where a table has several.
        Decide before you see the scores: the best of many looks better than it is.
    target
        What was graded: `six_grades`, `three_classes`, `healthy_palsy`, or a number: `sunnybrook`,
        `eface` or another column of the tables.
    shared_only
        Leave out photographs and patients that some table lacks, in place of refusing.
    redact
        Show no photographs in the report, and number patients and photographs.
    seed
        Of the resampling and of the permutation tests.

    Raises
    ------
    UserError
        When the tables cannot be compared; the sentence names the first differences.
    """
    started = time.perf_counter()
    refuse_one_table(tables, to="compare")
    question = target_of(target, tables)
    branches = with_twin(read_branches(tables, target=question, models=models), target=question)
    known = read_manifest(manifest) if manifest else None
    if known is not None:
        refuse_other_truth(branches, known, target=question)
    levels = [
        compare_branches(shared, manifest=known, seed=seed)
        for shared in shared_levels(branches, target=question, shared_only=shared_only)
    ]
    write_csv(pd.concat([level.table for level in levels]), out / "comparison.csv")
    write_csv(pd.concat([level.disagreements for level in levels]), out / "disagreements.csv")
    by_unit = {level.shared.unit: level.as_json() for level in levels}
    write_metrics(out, target=question, by_unit=by_unit)
    report = comparison_report(levels, manifest=known, redact=redact)
    report.summary = with_points_source(report.summary, branches)
    warn_of_nameless(report, known)
    report.write(out / "report.html")
    write_run_record(
        out,
        command="compare",
        settings={
            "target": target,
            "models": [branch.model for branch in branches],
            "shared_only": shared_only,
        },
        seed=seed,
        files=given_files(branches, manifest=manifest),
        counts={f"{level.shared.unit}s": len(level.shared.rows) for level in levels},
        seconds={"total": time.perf_counter() - started},
        notes={"warnings": report.warnings},
    )
    print(report.summary)
    return CompareResult(levels)


def refuse_one_table(tables: Sequence[Path], *, to: str) -> None:
    """Refuse fewer than two prediction tables."""
    if len(tables) < 2:
        raise UserError(
            f"Prediction tables given: {len(tables)}; give two or more to {to}, before the options."
        )


def refuse_other_truth(
    branches: list[Branch], manifest: pd.DataFrame, *, target: AnyTarget
) -> None:
    """Refuse a table whose truth is not the manifest's, photograph by photograph."""
    if not set(target.sources) & set(manifest.columns):
        return
    manifest = target.with_truth(manifest)
    known = manifest.drop_duplicates("image_id").set_index("image_id")[target.column].dropna()
    of_patient = {name: set(found) for name, found in manifest.groupby("patient_id")[target.column]}
    for branch in branches:
        rows = branch.rows
        if branch.unit == "photograph":
            said = rows["image_id"].map(known)
            wrong = said.notna() & (said.astype(object) != rows[target.column].astype(object))
        else:
            pairs = zip(rows["patient_id"], rows[target.column], strict=True)
            wrong = pd.Series(
                [name in of_patient and truth not in of_patient[name] for name, truth in pairs],
                index=rows.index,
            )
        if wrong.any():
            names = sorted(set(rows.loc[wrong, KEY[branch.unit]].astype(str)), key=natural_key)
            raise UserError(
                f"{branch.source} has another {target.column} than the manifest for "
                f'{counted(len(names), branch.unit)}, "{names[0]}" first: make the predictions '
                "again with this manifest, or give the one that they were made with."
            )


def warn_of_nameless(report: Report, manifest: pd.DataFrame | None) -> None:
    """Say at the top of a report and on the console when the manifest names no patients."""
    for sentence in [] if manifest is None else nameless_patients(manifest):
        report.warn(sentence)
        print(f"Warning: {sentence}", file=sys.stderr)


def given_files(branches: list[Branch], *, manifest: Path | None) -> dict[str, Path | None]:
    """Return what went in, by role, for `run.json`."""
    files = {f"predictions of {branch.name}": branch.source for branch in branches}
    return files | {"manifest": manifest}
