"""The command `joint-report`: measurements, network and fused grade on one page and by patient."""

from __future__ import annotations

import time
from pathlib import Path

from common.errors import UserError
from common.grading.target import TargetName
from common.provenance import write_run_record
from features.tables import read_features
from landmarks.tables import points_source
from pipeline.joint_report.report import build_joint_report
from pipeline.joint_report.study import Ingredients


def joint_report(
    *tables: Path,
    fused: Path,
    features: Path,
    manifest: Path,
    out: Path,
    networks: Path | None = None,
    models: tuple[str, ...] = (),
    fused_model: str | None = None,
    target: TargetName = "six_grades",
    shared_only: bool = False,
    redact: bool = False,
    seed: int = 0,
) -> Path:
    """Join measurements, image network and fused grade into one report with a page per patient.

    Writes `report.html` and `run.json` into `out`. The first page says in a minute what was done
    and whether the network adds anything to the measurements. Research use only.

    Parameters
    ----------
    tables
        `predictions.csv` of the measurements, then of the network, as given to `fuse`.
    fused
        `predictions.csv` that `fuse` wrote; `weights.csv` beside it is shown.
    features
        `features.csv` of `extract`, with landmarks.csv, dists.csv and measures.csv beside it.
    manifest
        `manifest.csv` of the same photographs.
    out
        Folder for the report; made if needed.
    networks
        Folder that `htnet train` wrote, for maps of what the network looked at.
    models
        Which model of each table, in their order; needed where a table has several.
    fused_model
        Which model of `fused` is reported; stacking, else weighted, else mean when not given.
    target
        What was graded: `six_grades`, `three_classes` or `healthy_palsy`.
    shared_only
        Compare only patients whom all tables hold; the others keep their page.
    redact
        Show no photographs, and number the patients.
    seed
        Of the resampling and of the permutation tests.

    Raises
    ------
    UserError
        When the tables do not belong together, or something is missing.
    """
    started = time.perf_counter()
    if len(tables) != 2:
        raise UserError(
            f"Prediction tables given: {len(tables)}; give that of the measurements, then that of "
            "the network, before the options."
        )
    given = Ingredients(
        tables=tuple(tables), fused=fused, features=features, manifest=manifest,
        networks=networks, models=models, fused_model=fused_model, shared_only=shared_only,
    )  # fmt: skip
    report = build_joint_report(given, target=target, redact=redact, seed=seed)
    path = out / "report.html"
    report.write(path)
    write_run_record(
        out,
        command="joint-report",
        settings={
            "target": target, "models": models, "fused_model": fused_model,
            "shared_only": shared_only, "redact": redact,
        },
        seed=seed,
        files={
            "measurements": tables[0], "network": tables[1], "fused": fused, "features": features,
            "manifest": manifest,
        },
        counts=points_source(read_features(features)).counts(),
        seconds={"total": time.perf_counter() - started},
        notes={"warnings": report.warnings},
    )  # fmt: skip
    print(f"{report.summary} Report in {path}")
    return path
