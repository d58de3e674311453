"""The command `fuse`: one grade of several branches, weights learned inside training patients."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from classifiers.branches.alignment import shared_inner, shared_levels
from classifiers.branches.branch import Branch, read_branches, target_of, with_points_source
from classifiers.branches.fusion import Fusion, fuse_late, fusion_of, methods_for
from classifiers.branches.fusion_methods import FusionMethod, fuse_summary, model_of_patients
from classifiers.commands.compare import (
    given_files,
    refuse_one_table,
    refuse_other_truth,
    warn_of_nameless,
)
from classifiers.graders.cohort import read_cohort
from classifiers.graders.patients import rows_to_answer
from classifiers.graders.registry import GRADERS, GraderEntry, is_baseline
from classifiers.reports.branches import fusion_report
from common.errors import UserError, did_you_mean
from common.files import found_table
from common.grading.evaluation import write_metrics
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.predictions import write_predictions
from common.grading.target import VISIT
from common.provenance import write_run_record
from common.tables import read_manifest, write_csv
from common.words import counted

DEEP, GEOMETRIC = "deep", "geometric"
PHOTOGRAPHS_FILE = "photograph_predictions.csv"


@dataclass(frozen=True)
class FuseResult:
    """Fused answers, per photograph (when all tables have photographs) and per patient."""

    levels: list[Fusion]


def fuse(
    *tables: Path,
    out: Path,
    inner: tuple[Path, ...] = (),
    method: tuple[FusionMethod, ...] = (),
    manifest: Path | None = None,
    features: Path | None = None,
    grader: str | None = None,
    models: tuple[str, ...] = (),
    target: str = "six_grades",
    shared_only: bool = False,
    seed: int = 0,
) -> FuseResult:
    """Fuse the answers of two or more branches that were tested on the same patients and folds.

    Writes `predictions.csv` (per patient; per photograph in `photograph_predictions.csv` where all
    tables have photographs), `weights.csv`, `metrics.json` with every branch beside the fused
    grades, `report.html` and `run.json` into `out`. The tested patients' grades are used for the
    scores only. Research use only.

    Parameters
    ----------
    tables
        `predictions.csv` of each branch.
    out
        Folder for the results; made if needed.
    inner
        `inner_predictions.csv` of each table in the same order, from `benchmark
        --inner-predictions` and `htnet train --inner-folds`; when not given, the file of the same
        name with `inner_` before it beside each table. Weights, stacking and sets are learned from
        them.
    method
        Ways of fusing probabilities: `mean`, `product`, `weighted`, `stacking`; all that are
        possible when not given.
    manifest
        `manifest.csv`, needed with `features` unless they have its columns.
    features
        `features.csv` of the geometric branch, for early fusion: the image branch's answers
        beside the measurements in one grader; needs inner predictions.
    grader
        Which grader takes both in early fusion; that of the geometric branch when not given.
    models
        Which model of each table, in the order of the tables; needed where a table has several.
    target
        What was graded: `six_grades`, `three_classes`, `healthy_palsy`, or a number: `sunnybrook`,
        `eface` or another column of the tables (`mean` and `weighted` only).
    shared_only
        Leave out photographs and patients that some table lacks, in place of refusing.
    seed
        Of the resampling, the permutation tests and early fusion.

    Raises
    ------
    UserError
        When the tables do not belong together, or a method lacks what it needs.
    """
    started = time.perf_counter()
    refuse_one_table(tables, to="fuse")
    question = target_of(target, tables)
    branches = read_branches(tables, target=question, models=models)
    known = None if manifest is None else read_manifest(manifest)
    if known is not None:
        refuse_other_truth(branches, known, target=question)
    inner_paths = _inner_paths(tables, inner)
    chosen = [branch.model for branch in branches]
    inside = []
    if inner_paths:
        inside = read_branches(inner_paths, target=question, models=chosen, inner=True)
    methods_for(method, inner=bool(inside), target=question)  # refuse before the long work
    if features is not None and isinstance(question, NumericTarget):
        raise UserError(
            f"Early fusion is made for classes, and {question.name} is a number: leave out "
            "--features."
        )
    early = _early_grader(branches, asked=grader, given=features is not None, inner=bool(inside))
    cohort = features and read_cohort(features, target=question, manifest=manifest)
    levels = shared_levels(branches, target=question, shared_only=shared_only)
    answered = [
        shared_inner(inside, shared, shared_only=shared_only) if inside else None
        for shared in levels
    ]
    fused = [
        fuse_late(shared, inner=unseen, methods=method)
        for shared, unseen in zip(levels, answered, strict=True)
    ]
    if early and cohort:
        cohort = cohort if VISIT in levels[0].rows else cohort.without_visits()
        samples = rows_to_answer(cohort, level=levels[0].unit, target=question)
        deep = next(branch.name for branch in branches if branch.branch == DEEP)
        unseen = answered[0]
        assert unseen is not None  # refused without inner predictions
        model = fuse_summary(samples, levels[0], unseen, deep=deep, grader=early, seed=seed)
        fused[0].append(model)
        if len(levels) > 1:  # answers to photographs, summed up to patients
            fused[1].append(model_of_patients(model, levels[0], levels[1]))
    found = [
        fusion_of(shared, models_of_level, seed=seed)
        for shared, models_of_level in zip(levels, fused, strict=True)
    ]
    _write(found, out, target=question)
    report = fusion_report(found, learned=bool(inside))
    report.summary = with_points_source(report.summary, branches)
    warn_of_nameless(report, known)
    report.write(out / "report.html")
    write_run_record(
        out,
        command="fuse",
        settings={
            "target": target,
            "models": [branch.model for branch in branches],
            "methods": [model.name for model in fused[-1]],
            "chosen": found[-1].chosen,
            "grader": early.name if early else None,
            "shared_only": shared_only,
        },
        seed=seed,
        files=given_files(branches, manifest=manifest)
        | {f"inner predictions of {b.name}": p for b, p in zip(branches, inner_paths, strict=False)}
        | {"features": features},
        counts={f"{level.shared.unit}s": len(level.shared.rows) for level in found},
        seconds={"total": time.perf_counter() - started},
        notes={"warnings": report.warnings},
    )
    print(report.summary)
    return FuseResult(found)


def _inner_paths(tables: Sequence[Path], inner: Sequence[Path]) -> list[Path]:
    """Return an inner table for each table, or none at all."""
    if inner:
        if len(inner) != len(tables):
            raise UserError(
                f"{counted(len(inner), 'inner table')} given for {len(tables)} prediction tables: "
                "give one for each, in the same order (--inner)."
            )
        return list(inner)
    beside = [path.with_name(f"inner_{path.name}") for path in tables]
    missing = [path for path in beside if not found_table(path).is_file()]
    if missing and len(missing) < len(beside):
        print(
            f"There is no {missing[0]}, so no weights are learned: name the inner predictions of "
            "every table with --inner.",
            file=sys.stderr,
        )
    return [] if missing else beside


def _early_grader(
    branches: Sequence[Branch], *, asked: str | None, given: bool, inner: bool
) -> GraderEntry | None:
    """Return the grader of early fusion, None when it was not asked for; refuse what it lacks.

    `given` and `inner` say whether measurements and inner predictions are there.
    """
    if not given:
        if asked is not None:
            raise UserError(
                "Early fusion was asked for (--grader) without the measurements: give the "
                "features.csv of the geometric branch (--features)."
            )
        return None
    if not inner:
        raise UserError(
            "Early fusion needs inner predictions of every branch: give them (--inner), or leave "
            "out --features."
        )
    if sum(branch.branch == DEEP for branch in branches) != 1:
        raise UserError(
            "Early fusion puts one image branch beside the measurements: give exactly one "
            f'prediction table whose branch is "{DEEP}".'
        )
    of_geometric = [b.model for b in branches if b.branch == GEOMETRIC and b.model in GRADERS]
    name = asked or next(iter(of_geometric), "")
    if name not in GRADERS or is_baseline(name):
        known = [entry.name for entry in GRADERS.values() if not entry.baseline]
        raise UserError(
            f'Early fusion needs a grader, and "{name}" is none: choose one of '
            f"{', '.join(known)} (--grader)." + did_you_mean(name, known)
        )
    return GRADERS[name]


def _write(levels: list[Fusion], out: Path, *, target: AnyTarget) -> None:
    for level in levels:
        name = "predictions.csv" if level.shared.unit == "patient" else PHOTOGRAPHS_FILE
        write_predictions(level.predictions, out / name, target=target, unit=level.shared.unit)
    write_csv(pd.concat([level.weights for level in levels]), out / "weights.csv")
    by_unit = {level.shared.unit: level.as_json() for level in levels}
    write_metrics(out, target=target, by_unit=by_unit)
