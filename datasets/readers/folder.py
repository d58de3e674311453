"""Any folder of photographs, with or without a spreadsheet of patient, task, side and grade."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from common.tables import MANIFEST
from datasets.dataset import (
    Dataset,
    Problem,
    error,
    make_manifest,
    note,
    say_count,
    say_list,
    warning,
)
from datasets.layout import open_root, photos_below
from datasets.readers.grades_table import GRADE, IMAGE, PATIENT, SIDE, TASK
from datasets.readers.patient_names import PatientPattern, suspicious_patients
from datasets.spreadsheet import Column, Spreadsheet, read_spreadsheet
from datasets.values import grades_of, sides_of, tasks_of

_IMAGE = Column("image_id", (*IMAGE.titles, "path"))
_COLUMNS = (_IMAGE, PATIENT, TASK, SIDE, GRADE)


def read_folder(
    root: Path,
    *,
    table: Path | None = None,
    patient_pattern: str | None = None,
    zero_based_grades: bool = False,
) -> Dataset:
    """Read a folder of photographs.

    Parameters
    ----------
    root
        The folder; photographs may lie at any depth.
    table
        CSV or Excel: one row per photograph (a column `image`), or per patient (no such column).
        `patient`, `task`, `side`, `grade` and everything else go into the manifest.
    patient_pattern
        Finds the patient in the path below `root` where the table does not tell it. Without
        pattern and table, the first folder below `root` is the patient, or else the beginning of
        the file name up to its first number.
    zero_based_grades
        The table counts grades from 0 to 5.

    Returns
    -------
    Dataset
        A photograph that has no patient is left out and named.
    """
    root = open_root(root)
    photos, problems = photos_below(root)
    pattern = PatientPattern(patient_pattern)

    def patient_of(image_id: str) -> str | None:
        folder = image_id.split("/")[0] if "/" in image_id else None
        stem = str(PurePosixPath(image_id).with_suffix(""))
        return folder if folder and patient_pattern is None else pattern.patient_in(stem)

    if table is None:
        rows: list[dict[str, Any]] = [
            {"image_id": image_id, "path": str(path), "patient_id": patient_of(image_id)}
            for image_id, path in photos
        ]
        frame = pd.DataFrame(rows, columns=["image_id", "path", "patient_id"])
        if all("/" not in image_id for image_id, _ in photos) or patient_pattern:
            known = [str(patient) for patient in frame["patient_id"].dropna()]
            problems += suspicious_patients(known, pattern)
    else:
        sheet = read_spreadsheet(table, columns=_COLUMNS)
        frame, doubts = _from_table(sheet, dict(photos), patient_of, zero_based_grades)
        problems += doubts
    nameless = frame.loc[frame["patient_id"].isna(), "image_id"]
    if len(nameless):
        what = f"{say_count(len(nameless), 'photograph')} without a patient left out: "
        advice = "fill the column patient, or tell with --patient-pattern where the name has it"
        problems.append(error("no_patient", what + say_list(list(nameless)), advice))
    manifest = make_manifest(frame.dropna(subset=["patient_id"]), dataset="folder")
    return Dataset("folder", root, manifest, tuple(problems))


def _from_table(
    sheet: Spreadsheet,
    photos: dict[str, Path],
    patient_of: Callable[[str], str | None],
    zero_based_grades: bool,
) -> tuple[pd.DataFrame, list[Problem]]:
    """Join the table to the photographs, by photograph or else by patient."""
    table, problems = sheet.rows.copy(), []
    unused = [name for name in sheet.unknown if name not in MANIFEST.columns]
    if "image_id" not in table and (named := _file_column(table, unused, photos)):
        table = table.rename(columns={named: "image_id"})
        unused.remove(named)
        what = f'the column "{named}" was taken for the photographs, since its cells name files'
        problems.append(note("file_column", what, 'call it "image" to be sure', file=sheet.file))
    slips = {heading: meant for heading, meant in sheet.slips.items() if meant not in table.columns}
    problems += replace(sheet, slips={h: m for h, m in slips.items() if h in unused}).problems
    unused = [name for name in unused if name not in slips]
    if unused:
        shown = say_list([f'"{name}"' for name in unused], at_most=12)
        what = f"columns that nothing uses were carried into the manifest: {shown}"
        advice = "the words that are understood stand in the README"
        problems.append(note("unused_column", what, advice, file=sheet.file))
    for name in ("path", "dataset"):  # those of the manifest are made here
        if name in table:
            table = table.drop(columns=name)
    if GRADE.name in table:
        table[GRADE.name], doubts = grades_of(
            table[GRADE.name], file=sheet.file, zero_based=zero_based_grades
        )
        problems += doubts
    if TASK.name in table:
        table[TASK.name], doubts = tasks_of(table[TASK.name], file=sheet.file)
        problems += doubts
    if SIDE.name in table:
        table[SIDE.name], doubts = sides_of(table[SIDE.name], file=sheet.file)
        problems += doubts
    if "image_id" in table:
        frame, doubts = _by_photograph(table, photos, patient_of, file=sheet.file)
    else:
        frame, doubts = _by_patient(table, photos, patient_of, file=sheet.file)
    columns = [name for name in MANIFEST.columns if name in frame]
    extra = [name for name in frame.columns if name not in MANIFEST.columns]
    return frame[[*columns, *extra]], [*problems, *doubts]


def _file_column(table: pd.DataFrame, columns: list[str], photos: dict[str, Path]) -> str | None:
    """Return the column of which most cells name a photograph of the folder, if there is one."""
    find, shares = _Finder(photos), {}
    for name in columns:
        cells = table[name].dropna().astype(str)
        shares[name] = sum(find(cell) is not None for cell in cells) / max(len(cells), 1)
    best = max(columns, key=lambda name: shares[name], default=None)
    return best if best is not None and shares[best] > 0.5 else None


def _by_photograph(
    table: pd.DataFrame,
    photos: dict[str, Path],
    patient_of: Callable[[str], str | None],
    *,
    file: str,
) -> tuple[pd.DataFrame, list[Problem]]:
    find = _Finder(photos)
    written = table["image_id"].astype("object").fillna("").astype(str)
    table["image_id"] = pd.Series([find(name) for name in written], table.index, dtype="object")
    problems = []
    for row, name in written[table["image_id"].isna()].items():
        what = (
            "names no photograph" if not name else f'the photograph "{name}" {find.why_not(name)}'
        )
        advice = "write its path below the folder" if name else "fill the cell or remove the row"
        at = {"file": file, "rows": (int(str(row)),)}
        problems.append(error("missing_photograph", what, advice, **at))
    table = table.dropna(subset=["image_id"])
    twice = table["image_id"].duplicated(keep=False)
    for image_id, same in table[twice].groupby("image_id"):
        at = {"file": file, "rows": tuple(int(row) for row in same.index)}
        what = f"{image_id} has several rows, of which the first was used"
        problems.append(error("photograph_twice", what, "keep the right one", **at))
    table = table.drop_duplicates("image_id")
    listed = set(table["image_id"])
    unlisted = [image_id for image_id in photos if image_id not in listed]
    if unlisted:
        what = f"{say_count(len(unlisted), 'photograph')} of the folder not in the table: "
        advice = "they were left out; add rows if they belong to the study"
        problems.append(
            warning("unlisted_photograph", what + say_list(unlisted), advice, file=file)
        )
    table = table.assign(path=[str(photos[image_id]) for image_id in table["image_id"]])
    if PATIENT.name not in table:  # where it is there, an empty cell is told and not filled
        guessed = [patient_of(image_id) for image_id in table["image_id"]]
        table["patient_id"] = pd.Series(guessed, table.index, dtype="object")
    return table, problems


def _by_patient(
    table: pd.DataFrame,
    photos: dict[str, Path],
    patient_of: Callable[[str], str | None],
    *,
    file: str,
) -> tuple[pd.DataFrame, list[Problem]]:
    rows = [(image_id, str(path), patient_of(image_id)) for image_id, path in photos.items()]
    frame = pd.DataFrame(rows, columns=["image_id", "path", "patient_id"])
    if PATIENT.name not in table:
        what = "the table has neither a column image nor patient, so nothing of it was used"
        advice = "name one column image or patient"
        return frame, [error("unusable_table", what, advice, file=file)]
    problems = []
    table = table.dropna(subset=["patient_id"])
    there = set(frame["patient_id"].dropna())
    for patient, same in table.groupby("patient_id"):
        at: dict[str, Any] = {"file": file, "rows": tuple(int(row) for row in same.index)}
        at |= {"patient_id": str(patient)}
        if len(same) > 1:
            what = f"{patient} has {len(same)} rows, of which the first was used"
            problems.append(error("patient_twice", what, "keep one, or add a column image", **at))
        if patient not in there:
            what = f"{patient} has no photographs in the folder"
            problems.append(error("missing_patient", what, "check the folder's name", **at))
    untold = sorted(there - set(table["patient_id"]))
    if untold:
        what = f"the table says nothing of {say_list(untold)}, who keep no side and no grade"
        problems.append(warning("unlisted_patient", what, "add a row for each", file=file))
    first = table.drop_duplicates("patient_id")
    return frame.merge(first, on="patient_id", how="left", validate="many_to_one"), problems


class _Finder:
    """Finds a photograph by what people write: its path, its name, or its name without ending."""

    def __init__(self, photos: dict[str, Path]) -> None:
        self._exact = {image_id: image_id for image_id in photos}
        self._loose: dict[str, str] = {}
        self._count: Counter[str] = Counter()
        for image_id in photos:
            for form in self._forms(image_id):
                self._count[form] += 1
                self._loose.setdefault(form, image_id)

    @staticmethod
    def _forms(image_id: str) -> set[str]:
        path = PurePosixPath(image_id.casefold())
        return {str(path), str(path.with_suffix("")), path.name, path.stem}

    def __call__(self, written: str) -> str | None:
        name = written.replace("\\", "/").removeprefix("./")
        if name in self._exact:
            return name
        form = name.casefold()
        return self._loose[form] if self._count[form] == 1 else None

    def why_not(self, written: str) -> str:
        """Return why a name was not found."""
        if self._count[written.replace("\\", "/").removeprefix("./").casefold()] > 1:
            return "fits several files"
        return "is not in the folder"
