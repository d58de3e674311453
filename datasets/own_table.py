"""A user's own table: its columns, a template to fill in, and grades put beside any dataset.

A table of grades is matched on every key column that it shares with the manifest: a photograph, a
patient, a patient and visit, or (for CK+) an emotion.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.worksheet.datavalidation import DataValidation

from common.errors import UserError, did_you_mean
from common.files import atomic_write
from common.movements import MOVEMENTS
from common.tables import GRADES, SIDES
from common.words import counted
from datasets.dataset import Dataset, Problems, say_list
from datasets.spreadsheet import Column, read_spreadsheet
from datasets.vocabulary import WORDS, read_cells, rows_of

IMAGE = Column("image_id", WORDS["headings"]["image"])
PATIENT = Column("patient_id", WORDS["headings"]["patient"])
TASK = Column("task", WORDS["headings"]["task"])
SIDE = Column("side", WORDS["headings"]["side"])
GRADE = Column("hb_grade", WORDS["headings"]["grade"])
VISIT = Column("visit", WORDS["headings"]["visit"])
DATE = Column("date", WORDS["headings"]["date"])
SCORES = (
    Column("eface", ("eFACE", "eFACE score", "eFACE total")),
    Column("sunnybrook", ("Sunnybrook", "Sunnybrook score", "SFGS", "SB", "composite score")),
)
"""Clinical scores, both from 0 (complete palsy) to 100 (normal)."""

_KEYS = (
    IMAGE, PATIENT, TASK, VISIT, Column("emotion"), Column("severity"), Column("group"),
    Column("sequence"), Column("clip"),
)  # fmt: skip
_WIDTHS = {"image": 48, "patient": 22, "task": 22, "side": 12, "grade": 10}  # of the template
_ALLOWED = {"task": MOVEMENTS, "side": SIDES, "grade": tuple(map(str, GRADES))}
_EXPLAINED = (
    ("column", "what to write"),
    ("image", "The photograph's path below the folder. Leave it; remove rows that you do not use."),
    ("patient", "Who it shows. Guessed from the folder or the file name: check it."),
    ("task", "The movement: choose from the list. Other words are kept as they are."),
    ("side", "The weak side, the patient's own left or right (their right is on your left); none "
             "when healthy, both, or unknown."),
    ("grade", "House-Brackmann, 1 (normal) to 6 (no movement). Leave empty what is not known."),
    ("other columns", "Add your own behind these: visit, date, sunnybrook and eface are "
                      "understood; others are carried through and used by nothing."),
)  # fmt: skip


def write_template(manifest: pd.DataFrame, path: Path) -> None:
    """Write an .xlsx with one row for each photograph, drop-down lists, and a sheet that explains.

    `manifest`: `image_id` and `patient_id` of the photographs.
    `path`: a new file: a table that somebody may have filled in is never written over.
    """
    if path.suffix.lower() != ".xlsx":
        raise UserError(f"{path} is no Excel file: give a name that ends in .xlsx.")
    if path.exists():
        raise UserError(f"{path} is there already and may be filled in: give another name.")
    book = Workbook()
    sheet = book.active
    sheet.title = "photographs"
    sheet.append(list(_WIDTHS))
    for row, words in enumerate(manifest[["image_id", "patient_id"]].to_numpy(), start=2):
        for column, word in enumerate(words, start=1):
            cell = sheet.cell(row, column, str(word))
            cell.data_type = "s"  # a name that begins with = is no formula
    for letter, (name, width) in zip("ABCDE", _WIDTHS.items(), strict=True):
        sheet.column_dimensions[letter].width = width
        sheet[f"{letter}1"].font = Font(bold=True)
        if name in _ALLOWED:
            rule = DataValidation(
                type="list", formula1=f'"{",".join(_ALLOWED[name])}"', allow_blank=True,
                showErrorMessage=True, errorStyle="warning" if name == "task" else "stop",
                error=f"Choose from {', '.join(_ALLOWED[name])}.",
            )  # fmt: skip
            sheet.add_data_validation(rule)
            rule.add(f"{letter}2:{letter}{max(len(manifest), 1) + 1}")
    sheet.freeze_panes = "A2"
    about = book.create_sheet("how to fill in")
    for line in _EXPLAINED:
        about.append(line)
    about.column_dimensions["A"].width, about.column_dimensions["B"].width = 16, 100
    with atomic_write(path) as temporary:
        book.save(temporary)


def apply_grades(dataset: Dataset, path: Path, *, zero_based_grades: bool = False) -> Dataset:
    """Return the dataset with the grades, sides and scores of a table.

    A House-Brackmann grade of the table takes the place of the dataset's own, and `grade_source`
    says so in that row; rows that the table does not tell keep what they had. UserError when the
    table shares no key column with the manifest, or holds no grade, score or side.
    """
    sheet = read_spreadsheet(path, columns=(*_KEYS, SIDE, GRADE, DATE, *SCORES))
    manifest, file = dataset.manifest.copy(), sheet.file
    keys = [key.name for key in _KEYS if key.name in sheet.rows and key.name in manifest]
    gives = [column.name for column in (GRADE, SIDE, DATE, *SCORES) if column.name in sheet.rows]
    if not keys or not gives:
        need = "a column patient (or image)" if not keys else "a column grade, eFACE or Sunnybrook"
        raise UserError(f"{file} has no {need[2:]}: add {need}, so that grades can be matched.")
    problems = Problems(dataset.problems)
    table = read_cells(sheet.rows[gives], problems, file=file, zero_based=zero_based_grades)
    table.insert(0, "_key", _joined(sheet.rows, keys))
    problems += sheet.problems
    table = _one_per_key(table, problems, file=file)
    own = _joined(manifest, keys)
    _tell_unmatched(table, own, problems, file=file)
    found = table.set_index("_key").reindex(own).set_index(manifest.index)
    for name in gives:
        known = found[name].notna()
        if name == GRADE.name:
            manifest[name] = found[name].where(known, manifest[name]).astype("Int64")
            unsaid = pd.Series(None, index=manifest.index, dtype="str")
            source = manifest.get("grade_source", unsaid)
            manifest["grade_source"] = source.mask(known, f"House-Brackmann grade from {file}")
        elif name == SIDE.name:
            _tell_differing_sides(manifest, found[name], problems, file=file)
            manifest[name] = manifest[name].mask(known & (found[name] != "unknown"), found[name])
        else:
            manifest[name] = found[name]
    return replace(dataset, manifest=manifest, problems=tuple(problems))


def _joined(frame: pd.DataFrame, keys: list[str]) -> pd.Series:
    """Return one text per row, of all its keys, without regard to case."""
    cells = frame[keys].astype("object").fillna("").astype(str).to_numpy()
    joined = ["\x1f".join(cell.strip().casefold() for cell in row) for row in cells]
    return pd.Series(joined, frame.index, dtype="str")


def _one_per_key(table: pd.DataFrame, problems: Problems, *, file: str) -> pd.DataFrame:
    """Keep one row per key; where rows contradict each other, none."""
    distinct = table.drop_duplicates()
    contradicted = distinct["_key"][distinct["_key"].duplicated(keep=False)]
    for key in contradicted.unique():
        what = f"{_say_key(key)} is told in several ways and none was used"
        at = {"file": file, "rows": rows_of(table[table["_key"] == key])}
        problems.error("contradicting_grades", what, "keep the right row", **at)
    return distinct[~distinct["_key"].isin(contradicted)]


def _tell_unmatched(table: pd.DataFrame, own: pd.Series, problems: Problems, *, file: str) -> None:
    known = set(own)
    for row, key in table["_key"].items():
        if key not in known:
            what = f"{_say_key(key)} is not in the dataset, so its grade was not used"
            advice = "check the spelling." + did_you_mean(_say_key(key), map(_say_key, known))
            at = {"file": file, "rows": (int(str(row)),)}
            problems.error("unknown_in_grades", what, advice.rstrip(".?"), **at)
    ungraded = sorted(known - set(table["_key"]))
    if ungraded:
        what = f"{counted(len(ungraded), 'key')} of the dataset not told: "
        advice = "they keep the dataset's own grade, or none; grade_source tells which"
        what += say_list(map(_say_key, ungraded))
        problems.warning("not_in_grades", what, advice, file=file)


def _tell_differing_sides(
    manifest: pd.DataFrame, sides: pd.Series, problems: Problems, *, file: str
) -> None:
    told = sides.notna() & (sides != "unknown") & (manifest["side"] != "unknown")
    differ = manifest.loc[told & (manifest["side"] != sides), "patient_id"]
    if len(differ):
        what = f"the side of {say_list(sorted(differ.unique()))} is not that of the dataset"
        advice = "check which is right"
        problems.warning("side_disagrees", f"{what}; the table's was taken", advice, file=file)


def _say_key(key: object) -> str:
    return str(key).replace("\x1f", ", ")
