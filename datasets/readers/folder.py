"""Any folder of photographs, with or without a spreadsheet of patient, task, side and grade."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pandas as pd

from common.tables import MANIFEST
from common.words import counted
from datasets.dataset import Dataset, PatientPattern, Reading, say_list
from datasets.own_table import DATE, GRADE, IMAGE, PATIENT, SCORES, SIDE, TASK, VISIT
from datasets.spreadsheet import Column, Spreadsheet, read_spreadsheet
from datasets.vocabulary import MEANING, read_cells, rows_of, simplify

_COLUMNS = (
    Column("image_id", (*IMAGE.titles, "path")), PATIENT, TASK, SIDE, GRADE, VISIT, DATE, *SCORES
)  # fmt: skip
_FRAME = ["image_id", "path", "patient_id"]


def read_folder(
    root: Path,
    *,
    table: Path | None = None,
    patient_pattern: str | None = None,
    zero_based_grades: bool = False,
) -> Dataset:
    """Read a folder of photographs.

    `root`: the folder; photographs may lie at any depth.
    `table`: CSV or Excel: one row per photograph (a column `image`), or per patient (no such
    column). `patient`, `task`, `side`, `grade`, `visit`, `date`, scores and everything else go
    into the manifest.
    `patient_pattern`: finds the patient in the path below `root` where the table does not tell
    it. Without pattern and table, the first folder below `root` is the patient, or else the
    beginning of the file name up to its first number.
    `zero_based_grades`: the table counts grades from 0 to 5.

    A photograph that has no patient is left out and named.
    """
    read = Reading("folder", root)
    photos = read.photos()
    pattern = PatientPattern(patient_pattern)

    def patient_of(image_id: str) -> str | None:
        folder = image_id.split("/")[0] if "/" in image_id else None
        stem = str(PurePosixPath(image_id).with_suffix(""))
        return folder if folder and patient_pattern is None else pattern.patient_in(stem)

    rows = [(image_id, str(path), patient_of(image_id)) for image_id, path in photos]
    frame = pd.DataFrame(rows, columns=_FRAME)
    if table is not None:
        sheet = read_spreadsheet(table, columns=_COLUMNS)
        frame = _from_table(sheet, frame, read, zero_based_grades=zero_based_grades)
    else:
        _hint_at_classes(frame, read)
        if patient_pattern or all("/" not in image_id for image_id, _ in photos):
            read.problems += pattern.doubts(list(frame["patient_id"].dropna()))
    nameless = frame.loc[frame["patient_id"].isna(), "image_id"]
    if len(nameless):
        what = f"{counted(len(nameless), 'photograph')} without a patient left out: "
        advice = "fill the column patient, or tell with --patient-pattern where the name has it"
        read.error("no_patient", what + say_list(nameless), advice)
    return read.dataset(frame.dropna(subset=["patient_id"]))


def _hint_at_classes(frame: pd.DataFrame, read: Reading) -> None:
    """Hint at `three-class` where the folders are named like its classes."""
    folders = dict.fromkeys(part for name in frame["image_id"] for part in name.split("/")[:-1])
    named = {name: MEANING["classes"].get(simplify(name)) for name in folders}
    named = {name: meaning for name, meaning in named.items() if meaning}
    if len(set(named.values())) > 1:
        what = f"the folders {say_list(named)} are named like classes of palsy, not like patients"
        read.warning("class_folders", what, "prepare three-class reads the class from the folder")


def _from_table(
    sheet: Spreadsheet, photographs: pd.DataFrame, read: Reading, *, zero_based_grades: bool
) -> pd.DataFrame:
    """Join the table to the photographs, by photograph or else by patient."""
    table, file = sheet.rows.copy(), sheet.file
    unused = [name for name in sheet.unknown if name not in MANIFEST.columns]
    find = _Finder(photographs["image_id"])
    if "image_id" not in table and (named := _file_column(table, unused, find)):
        table = table.rename(columns={named: "image_id"})
        unused.remove(named)
        what = f'the column "{named}" was taken for the photographs, since its cells name files'
        read.note("file_column", what, 'call it "image" to be sure', file=file)
    slips = {
        heading: meant
        for heading, meant in sheet.slips.items()
        if meant not in table.columns and heading in unused
    }
    read.problems += replace(sheet, slips=slips).problems
    if unused := [name for name in unused if name not in slips]:
        shown = say_list([f'"{name}"' for name in unused], at_most=12)
        what = f"columns that nothing uses were carried into the manifest: {shown}"
        advice = "the words that are understood stand in docs/datasets.md"
        read.note("unused_column", what, advice, file=file)
    table = table.drop(columns=["path", "dataset"], errors="ignore")  # the manifest's are made here
    table = read_cells(table, read.problems, file=file, zero_based=zero_based_grades)
    if "image_id" in table:
        frame = _by_photograph(table, photographs, find, read, file=file)
    else:
        frame = _by_patient(table, photographs, read, file=file)
    columns = [name for name in MANIFEST.columns if name in frame]
    extra = [name for name in frame.columns if name not in MANIFEST.columns]
    return frame[[*columns, *extra]]


def _file_column(
    table: pd.DataFrame, columns: list[str], find: Callable[[str], str | None]
) -> str | None:
    """Return the column of which most cells name a photograph of the folder, if there is one."""
    shares = {}
    for name in columns:
        cells = table[name].dropna().astype(str)
        shares[name] = sum(find(cell) is not None for cell in cells) / max(len(cells), 1)
    best = max(columns, key=lambda name: shares[name], default=None)
    return best if best is not None and shares[best] > 0.5 else None


def _by_photograph(
    table: pd.DataFrame, photographs: pd.DataFrame, find: _Finder, read: Reading, *, file: str
) -> pd.DataFrame:
    written = table["image_id"].astype("object").fillna("").astype(str)
    table["image_id"] = written.map(find).astype("object")
    for row, name in written[table["image_id"].isna()].items():
        what, advice = "names no photograph", "fill the cell or remove the row"
        if name:
            what, advice = f'the photograph "{name}" {find.why_not(name)}', "write its path below"
            advice += " the folder"
        at = {"file": file, "rows": (int(str(row)),)}
        read.error("missing_photograph", what, advice, **at)
    table = table.dropna(subset=["image_id"])
    for image_id, same in table[table["image_id"].duplicated(keep=False)].groupby("image_id"):
        what = f"{image_id} has several rows, of which the first was used"
        at = {"file": file, "rows": rows_of(same)}
        read.error("photograph_twice", what, "keep the right one", **at)
    table = table.drop_duplicates("image_id")
    unlisted = photographs.loc[~photographs["image_id"].isin(table["image_id"]), "image_id"]
    if len(unlisted):
        what = f"{counted(len(unlisted), 'photograph')} of the folder not in the table: "
        advice = "they were left out; add rows if they belong to the study"
        what += say_list(unlisted)
        read.warning("unlisted_photograph", what, advice, file=file)
    # Where the table tells the patient, an empty cell is told and not filled.
    told = [name for name in _FRAME if name == "image_id" or name not in table]
    return table.merge(photographs[told], on="image_id", validate="one_to_one")


def _by_patient(
    table: pd.DataFrame, photographs: pd.DataFrame, read: Reading, *, file: str
) -> pd.DataFrame:
    if PATIENT.name not in table:
        what = "the table has neither a column image nor patient, so nothing of it was used"
        advice = "name one column image or patient"
        read.error("unusable_table", what, advice, file=file)
        return photographs
    table = table.dropna(subset=["patient_id"])
    there = set(photographs["patient_id"].dropna())
    for patient, same in table.groupby("patient_id"):
        at = {"file": file, "rows": rows_of(same), "patient_id": str(patient)}
        if len(same) > 1:
            what = f"{patient} has {counted(len(same), 'row')}, of which the first was used"
            read.error("patient_twice", what, "keep one, or add a column image", **at)
        if patient not in there:
            what = f"{patient} has no photographs in the folder"
            read.error("missing_patient", what, "check the folder's name", **at)
    untold = sorted(there - set(table["patient_id"]))
    if untold:
        what = f"the table says nothing of {say_list(untold)}, who keep no side and no grade"
        read.warning("unlisted_patient", what, "add a row for each", file=file)
    first = table.drop_duplicates("patient_id")
    return photographs.merge(first, on="patient_id", how="left", validate="many_to_one")


class _Finder:
    """Finds a photograph by what people write: its path, its name, or its name without ending."""

    def __init__(self, photos: pd.Series) -> None:
        self._exact = set(photos)
        self._loose: dict[str, str] = {}
        self._count: Counter[str] = Counter()
        for image_id in photos:
            path = PurePosixPath(image_id.casefold())
            for form in {str(path), str(path.with_suffix("")), path.name, path.stem}:
                self._count[form] += 1
                self._loose.setdefault(form, image_id)

    def __call__(self, written: str) -> str | None:
        name = _plain(written)
        if name in self._exact:
            return name
        form = name.casefold()
        return self._loose[form] if self._count[form] == 1 else None

    def why_not(self, written: str) -> str:
        """Return why a name was not found."""
        several = self._count[_plain(written).casefold()] > 1
        return "fits several files" if several else "is not in the folder"


def _plain(written: str) -> str:
    return written.replace("\\", "/").removeprefix("./")
