"""A table to fill in: the photographs of a folder, with lists of what may stand in a cell."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.worksheet.datavalidation import DataValidation

from common.errors import UserError
from common.files import atomic_write
from common.movements import MOVEMENTS
from common.tables import GRADES, SIDES

COLUMNS = ("image", "patient", "task", "side", "grade")
_WIDTHS = (48, 22, 22, 12, 10)
_ALLOWED = {"task": MOVEMENTS, "side": SIDES, "grade": tuple(map(str, GRADES))}
_EXPLAINED = (
    ("image", "The photograph's path below the folder. Leave it; remove rows that you do not use."),
    ("patient", "Who it shows. Guessed from the folder or the file name: check it."),
    ("task", "The movement: choose from the list. Other words are kept as they are."),
    ("side", "The weak side, the patient's own left or right (their right is on your left); none "
             "when healthy, both, or unknown."),
    ("grade", "House-Brackmann, 1 (normal) to 6 (no movement). Leave empty what is not known."),
    ("other columns", "Add your own behind these: they are carried through and used by nothing."),
)  # fmt: skip


def write_template(manifest: pd.DataFrame, path: Path) -> None:
    """Write an .xlsx with one row for each photograph, drop-down lists, and a sheet that explains.

    Parameters
    ----------
    manifest
        `image_id` and `patient_id` of the photographs, from `read_folder`.
    path
        A new file: a table that somebody may have filled in is never written over.
    """
    if path.suffix.lower() != ".xlsx":
        raise UserError(f"{path} is no Excel file: give a name that ends in .xlsx.")
    if path.exists():
        raise UserError(f"{path} is there already and may be filled in: give another name.")
    book = Workbook()
    sheet = book.active
    sheet.title = "photographs"
    sheet.append(COLUMNS)
    for row, (image, patient) in enumerate(
        zip(manifest["image_id"], manifest["patient_id"], strict=True), start=2
    ):
        for column, words in enumerate((image, patient), start=1):
            cell = sheet.cell(row, column, str(words))
            cell.data_type = "s"  # a name that begins with = is no formula
    for at, (name, width) in enumerate(zip(COLUMNS, _WIDTHS, strict=True)):
        letter = "ABCDE"[at]
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
    for line in (("column", "what to write"), *_EXPLAINED):
        about.append(line)
    about.column_dimensions["A"].width, about.column_dimensions["B"].width = 16, 100
    with atomic_write(path) as temporary:
        book.save(temporary)
