"""The command `raters`: several raters of the same patients, and a model beside them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from classifiers.branches.branch import target_of
from classifiers.raters.agreement import (
    BESIDE,
    PAIRS,
    RATERS,
    Agreement,
    agreement_of,
    answers_by_case,
)
from classifiers.raters.mistakes import mistakes
from classifiers.raters.ratings import TARGETS, Ratings, read_ratings, with_targets
from classifiers.reports.raters import raters_report, raters_summary
from common.errors import UserError
from common.grading.predictions import read_either_unit, to_patients
from common.provenance import write_run_record
from common.tables import MANIFEST, read_manifest, relative_to_folder, write_table


@dataclass(frozen=True)
class RatersResult:
    """What was found for each score, one target for everybody who was rated, and mistakes."""

    scores: list[Agreement]
    targets: pd.DataFrame
    warnings: list[str]


def raters(
    ratings: Path,
    *,
    out: Path,
    predictions: Path | None = None,
    target: str = "six_grades",
    manifest: Path | None = None,
    redact: bool = False,
    seed: int = 0,
) -> RatersResult:
    """Compare several raters of the same patients with each other, and a model with them.

    Writes `rater_pairs.csv`, `raters.csv`, `rater_targets.csv`, `report.html` and `run.json` into
    `out`: ICC(A,1), for grades weighted kappa, limits of agreement, smallest detectable change and
    the bias of each rater, for every score in the table. Ratings may be missing. Exchanged
    patients and raters on another unit are named. Research use only.

    Parameters
    ----------
    ratings
        `ratings.csv`: one row per patient and rater (and `visit`, where there are several), with
        `patient_id`, `rater`, and columns of scores such as `hb_grade`, `sunnybrook`, `eface`.
    out
        Folder for the results; made if needed.
    predictions
        `predictions.csv` of `benchmark`, `fuse` or `htnet evaluate`: does the model disagree with
        the raters more than they with each other? (`model_beside_raters.csv`)
    target
        What was predicted: `six_grades`, `sunnybrook`, `eface` or another column of the ratings.
    manifest
        `manifest.csv`: written into `out` with the raters' target of every score in its column
        (mean of numbers, median of grades) and the number of raters behind it (`hb_grade_raters`),
        to be given to `benchmark --manifest` and all others.
    redact
        Number raters and patients in the report.
    seed
        Of the resampling.

    Raises
    ------
    UserError
        For a score out of range, two ratings of a patient by one rater, or a table of one rater.
    """
    scores, words = read_ratings(ratings)
    answers = {} if predictions is None else _answers(predictions, scores, target=target)

    def compared(scores: list[Ratings]) -> list[Agreement]:
        return [agreement_of(one, answers=answers.get(one.score), seed=seed) for one in scores]

    found = compared(scores)
    targets = pd.concat([one.targets() for one in scores], ignore_index=True)
    warnings = mistakes(found)
    pairs, each = (
        pd.concat([getattr(one, name) for one in found], ignore_index=True)
        for name in ("pairs", "raters")
    )
    write_table(pairs, out / "rater_pairs.csv", schema=PAIRS)
    write_table(each, out / "raters.csv", schema=RATERS)
    write_table(targets, out / "rater_targets.csv", schema=TARGETS)
    for one in found:
        if one.beside is not None:
            write_table(one.beside, out / "model_beside_raters.csv", schema=BESIDE)
    if manifest is not None:
        told = with_targets(read_manifest(manifest), scores)
        write_table(relative_to_folder(told, out), out / "manifest.csv", schema=MANIFEST)
    shown = compared([one.redacted() for one in scores]) if redact else found
    raters_report(shown, warnings=mistakes(shown), left_aside=words).write(out / "report.html")
    write_run_record(
        out,
        command="raters",
        settings={"scores": [one.score for one in scores], "target": target},
        seed=seed,
        files={"ratings": ratings, "predictions": predictions, "manifest": manifest},
        counts={one.score: int(one.counts.sum()) for one in scores},
        notes={"warnings": warnings},
    )
    for sentence in warnings:
        print(f"Warning: {sentence}", file=sys.stderr)
    print(f"{raters_summary(found)} Report in {out / 'report.html'}")
    return RatersResult(found, targets, warnings)


def _answers(path: Path, scores: list[Ratings], *, target: str) -> dict[str, dict]:
    """Return what the models of a prediction table said of the rated, by the score they answer."""
    asked = target_of(target, [path])
    own = next((one for one in scores if one.score == asked.column), None)
    if own is None:
        raise UserError(f"Nobody has rated {asked.column}, which {path} answers (--target).")
    table, unit = read_either_unit(path, target=asked)
    patients = to_patients(table, target=asked) if unit == "photograph" else table
    return {own.score: answers_by_case(own, patients, source=path)}
