"""The command `follow-up`: scores of several visits, and which changes exceed their error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from common.errors import UserError
from common.files import found_table
from common.provenance import write_run_record
from common.tables import join_manifest, read_manifest, read_table, write_table
from common.words import counted
from features.follow_up import CHANGES, FOLLOWED, FollowUp, Healthy, follow
from features.follow_up_report import Album, follow_up_report, last_changes
from landmarks.tables import points_of, read_landmarks

CHANGES_FILE = "changes.csv"
_OF_A_VISIT = ("visit", "date")


@dataclass(frozen=True)
class FollowedUp:
    """What changed, and where it lies."""

    found: FollowUp
    report: Path

    @property
    def exit_code(self) -> int:
        """0 every change was judged, 3 some stand without a verdict."""
        return 3 if self.found.changes["verdict"].eq("cannot be told").any() else 0


def follow_up(
    table: Path,
    *,
    out: Path,
    again: tuple[Path, ...] = (),
    again_are: Literal["photographs", "copies"] = "photographs",
    manifest: Path | None = None,
    landmarks: Path | None = None,
    scores: tuple[str, ...] = (),
    higher_is_better: tuple[str, ...] = (),
    lower_is_better: tuple[str, ...] = (),
    redact: bool = False,
) -> FollowedUp:
    """Tell which changes from visit to visit are larger than the error of measurement.

    Takes any table with patients, visits and numbers: scales.csv, answers of grade or benchmark,
    measures.csv, features.csv, a manifest with scores, or ratings with a column rater. Writes
    changes.csv (every score of every patient: each visit against the first and the one before,
    with its smallest detectable change and a verdict), report.html with trajectories and a page for
    each patient, and run.json. The error comes from photographs repeated within a visit, from the
    same photographs measured again, or from raters; without any of these the changes stand
    without a verdict.

    Parameters
    ----------
    table
        One row per patient and visit, per photograph, or per rater.
    out
        Folder for the results; made if needed.
    again
        Tables with the same columns of the same visits, measured again: the error comes from them.
    again_are
        What these tables are of: photographs taken again at the visit, or copies, the same
        photographs measured again (extract with another --seed), which miss what differs between
        two photographs, so that their smallest detectable change is too small.
    manifest
        Says visits and dates where the table does not, and where the photographs lie.
    landmarks
        landmarks.csv: with --manifest the report shows each patient before and after, with points.
    scores
        Columns to follow; every column of numbers when not given.
    higher_is_better
        Further scores whose high end is healthy; those of our own tables are known.
    lower_is_better
        Further scores whose low end is healthy.
    redact
        Number the patients in the report, and draw points without photographs.

    Raises
    ------
    UserError
        When patients or visits are not named, or there is no score.
    """
    listed = None if manifest is None else read_manifest(manifest)
    rows = _read(table, listed)
    ends: dict[str, Healthy] = dict.fromkeys(higher_is_better, "high")
    ends |= dict.fromkeys(lower_is_better, "low")
    found = follow(
        rows, again=[_read(path, listed) for path in again], again_are=again_are, scores=scores,
        healthy=ends,
    )  # fmt: skip
    write_table(found.changes, out / CHANGES_FILE, schema=CHANGES)
    album = _album(landmarks, listed, found) if landmarks else None
    report = out / "report.html"
    follow_up_report(found, album=album, redact=redact, source=table.name).write(report)
    last = last_changes(found.changes)
    counts = {str(k): int(n) for k, n in last["verdict"].value_counts().items()}
    files = {"table": table, "manifest": manifest, "landmarks": landmarks}
    files |= {f"again {n}": path for n, path in enumerate(again, start=1)}
    write_run_record(
        out,
        command="follow-up",
        settings={"again_are": again_are, "scores": list(found.scores), "redact": redact},
        files=files,
        counts={"patients": found.changes["patient_id"].nunique(), **counts},
    )
    patients = counted(found.changes["patient_id"].nunique(), "patient")
    said = ", ".join(f"{n} {name}" for name, n in counts.items())
    for sentence in found.warnings:
        print(sentence)
    print(f"{patients}, first to last visit: {said}. Report in {report}")
    return FollowedUp(found, report)


def _read(path: Path, listed: pd.DataFrame | None) -> pd.DataFrame:
    """Read a table, with visits and dates of the manifest where it lacks them."""
    table = read_table(found_table(path), schema=FOLLOWED)
    lacking = [name for name in ("patient_id", "task", *_OF_A_VISIT) if name not in table]
    if listed is None or not lacking:
        return table
    if "image_id" in table:
        here = [name for name in lacking if name in listed]
        return join_manifest(table, listed[["image_id", *here]])
    if "visit" not in table or "patient_id" not in table:
        raise UserError(
            f"{path} has neither image_id nor patient_id and visit, so that the manifest cannot "
            "say which visit a row is of: add a column visit."
        )
    if "date" in lacking and "date" in listed and "visit" in listed:
        dates = listed[["patient_id", "visit", "date"]].dropna().drop_duplicates()
        dates = dates.drop_duplicates(["patient_id", "visit"])
        return table.merge(dates, on=["patient_id", "visit"], how="left")
    return table


def _album(landmarks: Path, listed: pd.DataFrame | None, found: FollowUp) -> Album:
    if listed is None or not {"visit", "task"} <= set(listed):
        raise UserError(
            "--landmarks shows photographs before and after: give the manifest that says where "
            "they lie, with visit and task (--manifest)."
        )
    table = read_landmarks(landmarks)
    table = table[table["status"] == "ok"]
    places = found.values[["patient_id", "visit", "place"]].drop_duplicates()
    photographs = listed.merge(places, on=["patient_id", "visit"])
    photographs = photographs.drop_duplicates(["patient_id", "visit", "task"])
    return Album(photographs, dict(zip(table["image_id"], points_of(table), strict=True)))
