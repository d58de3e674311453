"""The command `grade`: new photographs to landmarks, features and grades, patient by patient."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pandas as pd

from common.errors import UserError, exit_code_for
from common.files import patient_of
from common.movements import MOVEMENTS, movement_of_number
from common.provenance import RUN_FILE, recorded, write_run_record
from common.shards import Shard, ShardOption, dealt
from common.tables import MANIFEST, read_manifest, write_table
from common.words import counted
from features.commands.extract import extract
from features.definitions import STANDARD, definition_named
from landmarks.find.method import OPTIONS
from landmarks.find.source import find_source

if TYPE_CHECKING:
    from classifiers.graders.model_store import StoredModel

    Asked = tuple[StoredModel, Path, str]

MEASURED, ASSIGNED, GRADES = "measurements", "manifest.csv", "grades.csv"
PRINTED = 10  # patients named on the console
_NUMBERED = re.compile(r"(?:^|\D)([1-8])$")


@dataclass(frozen=True)
class GradeResult:
    """The answers, by patient, and the exit code: 3 when somebody could not be graded.

    `measured` says whether every photograph was.
    """

    table: pd.DataFrame
    report: Path
    measured: bool

    @property
    def exit_code(self) -> int:
        """0 all graded, 3 some patients or photographs failed, 4 nobody was graded."""
        graded = int((self.table["status"] == "ok").sum())
        failed = len(self.table) - graded + (not self.measured)
        return exit_code_for(ok=graded, failed=failed)


def grade(
    photos: Path,
    *,
    model: Path,
    out: Path,
    numbered: bool = False,
    predictor: str | None = None,
    redact: bool = False,
    jobs: int | None = None,
    shard: ShardOption = None,
) -> GradeResult:
    """Grade new photographs with a grader that `fit` kept: one answer for each patient.

    Writes `grades.csv` (grade, probabilities, weaker side, what was measured), `report.html`, the
    tables of `extract` under OUT/measurements, and `run.json`. Photographs are measured as those
    that the model learned from; points that `review` OUT/measurements has corrected are taken when
    the same command runs again. A grader of patients needs the photograph at rest and at least
    three quarters of the movements that it learned from; else the patient is `abstained`.
    Research use only: no answer may decide about anybody's care.

    Parameters
    ----------
    photos
        A manifest (.csv) that names the patients, or a folder: then every folder that holds
        photographs is one patient, named by its path. A single photograph is one patient.
    model
        Folder that `fit` made.
    out
        Folder for the results; made if needed.
    numbered
        Names that end in 1 to 8 are the standard movements in their order: rest, brow raise,
        gentle and full eye closure, gentle and full smile, lip pucker, lower teeth. A manifest
        says so in its column task. Without movements the two sides are not compared.
    predictor
        Landmark model; the one that the grader's photographs were measured with when not given.
    redact
        Draw the points in place of the photographs in the report, and number the patients.
    jobs
        Photographs worked on at the same time; as many as there are processors when not given.
    shard
        Do one part of the patients, 3/20 the third of twenty, into OUT/shard-03-of-20; merge
        joins the parts, and makes one report of all.

    Raises
    ------
    UserError
        When the model was altered or does not fit, or there are no photographs.
    """
    given = dict(locals())
    if shard is not None:
        shard = replace(shard, by="patient_id")  # an answer is about a whole patient
        out = shard.folder(out)
    # Before the minutes of measuring: a model that cannot be used, and a source that has nothing.
    asked = _model_and_patients(photos, model=model, out=out, numbered=numbered)
    stored, manifest, _ = asked
    if shard is not None:
        keys = find_source(manifest).keys(shard)
        dealt(keys, shard, out=out, command="grade", call=grade, given=given)
    options = _as_measured(stored.card.data["measured"], predictor=predictor)
    definition = definition_named(stored.card.definition or STANDARD).name
    (out / RUN_FILE).unlink(missing_ok=True)  # or it would tell of other tables after a stop
    extraction = extract(
        manifest, out=out / MEASURED, definition=definition, jobs=jobs, shard=shard, **options
    )
    tables = extraction.corrected or extraction.tables
    return grade_measured(
        photos, features=tables.features, measured=extraction.exit_code == 0,
        model=model, out=out, numbered=numbered, predictor=predictor, redact=redact, shard=shard,
        asked=asked,
    )  # fmt: skip


def grade_measured(
    photos: Path,
    *,
    features: Path,
    measured: bool,
    model: Path,
    out: Path,
    numbered: bool = False,
    predictor: str | None = None,
    redact: bool = False,
    shard: Shard | None = None,
    asked: Asked | None = None,
) -> GradeResult:
    """Grade the patients whose photographs are measured in OUT/measurements; options of `grade`.

    `features` is the table to take, and `measured` says whether all photographs could be measured;
    `asked` are grader and patients where they are known already.
    """
    from classifiers.graders.model_store import model_folder
    from classifiers.graders.new_patients import grade_tables, grades_schema
    from classifiers.reports.grade import grade_report

    stored, manifest, found_by = asked or _model_and_patients(
        photos, model=model, out=out, numbered=numbered
    )
    grades = grade_tables(stored, features=features, manifest=manifest)
    other = _other_predictor(stored.card.data["sha256"], out / MEASURED)
    if other:
        grades.warnings.append(other)
    write_table(grades.table, out / GRADES, schema=grades_schema(grades.target))
    report = out / "report.html"
    grade_report(grades, model=stored, found_by=found_by, redact=redact).write(report)
    write_run_record(
        out,
        command="grade",
        settings={
            "photos": photos.name, "model": model.name, "numbered": numbered, "redact": redact,
            "measured": _as_measured(stored.card.data["measured"], predictor=predictor),
            "shard": shard and str(shard),
        },
        files={f"model {file.name}": file for file in sorted(model_folder(model).iterdir())
               if file.is_file()},
        counts={
            "patients": len(grades.table),
            "graded": int((grades.table["status"] == "ok").sum()),
            **grades.source.counts(),
        },
        notes={"patients": found_by, "definition": stored.card.definition},
    )  # fmt: skip
    for sentence in grades.warnings:
        print(f"Warning: {sentence}", file=sys.stderr)
    for sentence in _not_graded(grades.table):
        print(sentence)
    graded = int((grades.table["status"] == "ok").sum())
    patients = counted(len(grades.table), "patient")
    print(
        grades.source.added_to(f"{graded} of {patients} graded. {found_by}"), f"Report in {report}"
    )
    return GradeResult(table=grades.table, report=report, measured=measured)


def _model_and_patients(photos: Path, *, model: Path, out: Path, numbered: bool) -> Asked:
    """Return the grader, a manifest that names the patients, and how they were found."""
    from classifiers.graders.model_store import load_model, model_folder

    stored = load_model(model_folder(model))
    manifest, found_by = _patients(photos, out=out, numbered=numbered)
    if stored.card.unit == "patient":
        _refuse_without_movements(manifest, given=photos)
    return stored, manifest, found_by


def _not_graded(table: pd.DataFrame) -> list[str]:
    """Say who was not graded, and of whom movements are missing; the table has all of them."""
    lines = []
    for row in table[(table["status"] != "ok") | table["missing"].notna()].itertuples():
        if row.status == "ok":
            lines.append(f"{row.patient_id}: graded without {row.missing}.")
        else:
            lines.append(f"{row.patient_id}: not graded, {row.reason}.")
    more = len(lines) - PRINTED
    return lines[:PRINTED] + (
        [f"{counted(more, 'more patient')}: see {GRADES}."] if more > 0 else []
    )


def _patients(photos: Path, *, out: Path, numbered: bool) -> tuple[Path, str]:
    """Return a manifest that names the patients, and a sentence on where they come from."""
    source = find_source(photos)
    if source.manifest is not None:
        if numbered:
            raise UserError(
                "--numbered is for folders: a manifest names the movements in its column task."
            )
        return photos, "Patients are those of the manifest."
    rows = [
        {
            "image_id": image_id,
            "path": str(path.resolve()),
            "patient_id": patient_of(image_id, photos=photos),
            **({"task": movement_of(image_id)} if numbered else {}),
        }
        for image_id, path in source.photos
    ]
    table = pd.DataFrame(rows)
    if numbered and table["task"].isna().all():
        raise UserError(
            f"No photograph name of {photos} ends in a number from 1 to {len(MOVEMENTS)}, so "
            "--numbered cannot tell the movements: rename them, or give a manifest."
        )
    write_table(table, out / ASSIGNED, schema=MANIFEST)
    return out / ASSIGNED, (
        "No manifest was given, so each folder was taken for one patient and named by it "
        f"({ASSIGNED} lists them)."
    )


def _refuse_without_movements(manifest: Path, *, given: Path) -> None:
    """Say before anything is measured that a grader of patients must know the movements."""
    table = read_manifest(manifest)
    unnamed = table["task"].isna() if "task" in table else pd.Series(True, index=table.index)
    if unnamed.any():
        first = table.loc[unnamed, "image_id"].iloc[0]
        raise UserError(
            f'The model needs the movement of every photograph, and "{first}" of {given} has none: '
            "fill the column task of a manifest, or give --numbered when names end in 1 to 8."
        )


def movement_of(image_id: str) -> str | None:
    """Return the standard movement that a name ending in 1 to 8 stands for, else None."""
    found = _NUMBERED.search(PurePosixPath(image_id).stem)
    return movement_of_number(int(found.group(1))) if found else None


def _as_measured(settings: dict[str, Any], *, predictor: str | None) -> dict[str, Any]:
    """Return the options of `extract` that the model's own photographs were measured with."""
    kept = ("predictor", "faces", *OPTIONS)
    known = {name: settings[name] for name in kept if settings.get(name) is not None}
    return known | ({} if predictor is None else {"predictor": predictor})


def _other_predictor(hashes: dict[str, str], measured: Path) -> str | None:
    """Say when the photographs were measured with another landmark model than the grader's."""
    now = recorded(measured, "files")
    before = {role: hashes.get(f"{role} of extract") for role in ("predictor", "network")}
    if all(was in (None, now.get(role, {}).get("sha256")) for role, was in before.items()):
        return None
    return (
        "The photographs were measured with another landmark model than those that the grader "
        "learned from; its answers may be off."
    )
