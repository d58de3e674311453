"""Photographs sorted as Normal, Mild or Severe, with the House-Brackmann grades this may mean.

The three words say less than a grade, and the manifest keeps that: `palsy_class` is what graders
learn (healthy, slight, strong), `grade_low` and `grade_high` bound the grade, and `hb_grade` is
filled only where both are the same.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pandas as pd

from common.errors import UserError
from common.tables import CLASS_OF_GRADE, GRADES, PHOTOGRAPH, nameless_patients
from datasets.dataset import Dataset, Problem, error, note, say_count, say_list, warning
from datasets.readers.folder import read_folder
from datasets.readers.grades_table import PATIENT, apply_grades
from datasets.spreadsheet import Column, read_spreadsheet
from datasets.values import parse_grade
from datasets.vocabulary import simplify

CLASS_GRADES = {"Normal": (1, 1), "Mild": (2, 3), "Severe": (4, 6)}
"""Lowest and highest grade of each class, after the scale's own words: II and III are weakness
without disfigurement, IV to VI disfiguring weakness to none of movement (House and Brackmann 1985,
doi 10.1177/019459988509300202). A table of `class`, `grade_low`, `grade_high` replaces it."""

_ALONE = r"(?P<patient>.+)$"  # the whole path, until the patients are named
_IN_NAME = re.compile(r"(?P<patient>.*\d.*?)[_\- ][^_\- ]*$")  # P012 of P012_smile.jpg
_CLASS = Column("class", ("label", "category", "severity"), required=True)
_LIMITS = (
    Column("grade_low", ("low", "from", "lowest grade"), required=True),
    Column("grade_high", ("high", "to", "highest grade"), required=True),
)


def read_three_class(
    root: Path,
    *,
    table: Path | None = None,
    grades: Path | None = None,
    patient_pattern: str | None = None,
) -> Dataset:
    """Read photographs in three classes, from folders `Normal`, `Mild`, `Severe` or from a table.

    Parameters
    ----------
    root
        Folder of the photographs.
    table
        Spreadsheet with `image`, `class` and what else is known (`datasets.readers.folder`); None
        takes the class from the folder names.
    grades
        Spreadsheet of `class`, `grade_low`, `grade_high` in place of `CLASS_GRADES`, or a table
        of true grades (`datasets.readers.grades_table`).
    patient_pattern
        Finds the patient in the path. Without it and without a column patient, the folder below
        that of the class is the patient (`Normal/P01/…`), or else the beginning of a file name with
        a number (`P01_smile.jpg`); any other photograph counts as a patient of its own, and
        `patient_source` says so.

    Raises
    ------
    UserError
        When the table has no column `class`.
    """
    told = patient_pattern is not None or (table is not None and _names_patients(table))
    dataset = read_folder(root, table=table, patient_pattern=patient_pattern if told else _ALONE)
    mapping = _read_mapping(grades)
    manifest = dataset.manifest
    problems = [one for one in dataset.problems if told or one.kind != "doubtful_patients"]
    classes, doubts = _classes(manifest, list(mapping or CLASS_GRADES), table)
    limits = {
        name: mapping[name] if mapping else CLASS_GRADES[name] for name in set(classes.dropna())
    }
    low = classes.map({name: low for name, (low, _) in limits.items()}).astype("Int64")
    high = classes.map({name: high for name, (_, high) in limits.items()}).astype("Int64")
    manifest = manifest.assign(
        hb_grade=low.where(low == high),
        dataset="three-class",
        **{"class": classes, "grade_low": low, "grade_high": high},
        grade_source="one of three classes",
    )
    problems += _set_palsy_classes(manifest)
    manifest = manifest[classes.notna()].reset_index(drop=True)
    if not told:
        manifest = _with_patients(manifest, list(mapping or CLASS_GRADES))
    problems += _about_patients(manifest)
    said = ", ".join(
        f"{name} = {low}-{high}" for name, (low, high) in (mapping or CLASS_GRADES).items()
    )
    what = f"the classes were read as House-Brackmann grades {said}; hb_grade is empty where that "
    advice = "grade with --target three_classes, or give true grades with --grades"
    problems += [*doubts, note("class_mapping", what + "leaves several", advice)]
    result = Dataset("three-class", dataset.root, manifest, tuple(problems))
    return result if grades is None or mapping else apply_grades(result, grades)


def _names_patients(table: Path) -> bool:
    """Return whether a table has a column of patients."""
    return PATIENT.name in read_spreadsheet(table, columns=(PATIENT,)).rows


def _set_palsy_classes(manifest: pd.DataFrame) -> list[Problem]:
    """Fill `palsy_class` where all grades of a photograph's class are in one; name the others."""
    low, high = (manifest[name].map(CLASS_OF_GRADE) for name in ("grade_low", "grade_high"))
    one = (low == high).fillna(False).astype(bool)
    manifest["palsy_class"] = low.where(one).astype("str")
    several = sorted(set(manifest.loc[~one, "class"].dropna()))
    if not several:
        return []
    what = f"{say_list(several)} spans several of healthy (I), slight (II, III), strong (IV to VI)"
    advice = "its photographs have no palsy_class and take no part in --target three_classes"
    return [warning("class_spans_several", what, advice)]


def _with_patients(manifest: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Name the patients by the folder below their class, else by the beginning of the file name.

    The class is nobody's name, and of what names nobody each photograph is a patient of its own.
    """
    names = {simplify(name) for name in classes}
    found: list[tuple[str, str]] = []
    for image_id in manifest["image_id"]:
        parts = PurePosixPath(image_id).with_suffix("").parts
        at = next((at for at, part in enumerate(parts[:-1]) if simplify(part) in names), -1)
        below, named = parts[at + 1 : -1], _IN_NAME.match(parts[-1])
        if below:
            found.append((below[0], "folder"))
        elif named:
            found.append((named["patient"], "file name"))
        else:
            found.append(("/".join(parts), PHOTOGRAPH))
    patients, sources = zip(*found, strict=True) if found else ((), ())
    return manifest.assign(
        patient_id=pd.Series(patients, manifest.index, dtype="str"),
        patient_source=pd.Series(sources, manifest.index, dtype="str"),
    )


def _about_patients(manifest: pd.DataFrame) -> list[Problem]:
    """Say when patients are not known, or one of them lies in several classes."""
    problems = [
        warning(
            "no_patients",
            sentence.rstrip("."),
            "put each patient's photographs into a folder below the class, or tell with "
            "--patient-pattern where the file name has the patient",
        )
        for sentence in nameless_patients(manifest)
    ]
    classes = manifest.groupby("patient_id")["class"].nunique()
    several = [str(name) for name in classes.index[classes > 1]]
    if several:
        what = f"{say_list(several)} lies in several classes and was taken for the same person"
        advice = "rename the folders if these are different people"
        problems.append(warning("patient_in_several_classes", what, advice))
    return problems


def _classes(
    manifest: pd.DataFrame, names: list[str], table: Path | None
) -> tuple[pd.Series, list[Problem]]:
    """Return the class of each photograph, missing where there is none."""
    known = {simplify(name): name for name in names}
    if table is None:
        parts = [image_id.split("/")[-2::-1] for image_id in manifest["image_id"]]
        found = [
            next((known[s] for p in part if (s := simplify(p)) in known), None) for part in parts
        ]
    else:
        heading = next(
            (name for name in manifest if simplify(str(name)) in _CLASS.headings()), None
        )
        if heading is None:
            raise UserError(f'{table.name} has no column "class": add one with {say_list(names)}.')
        cells = manifest[heading].astype("object").fillna("")
        found = [known.get(simplify(str(cell))) for cell in cells]
    classes = pd.Series(found, index=manifest.index, dtype="str")
    lost = manifest.loc[classes.isna(), "image_id"]
    if lost.empty:
        return classes, []
    what = f"{say_count(len(lost), 'photograph')} of no class left out: {say_list(list(lost))}"
    advice = f"the classes are {say_list(names)}"
    return classes, [error("no_class", what, advice, file=table.name if table else "")]


def _read_mapping(path: Path | None) -> dict[str, tuple[int, int]]:
    """Return the user's own mapping, or nothing when the table holds grades of patients."""
    if path is None:
        return {}
    try:
        sheet = read_spreadsheet(path, columns=(_CLASS, *_LIMITS))
    except UserError:
        return {}
    mapping = {}
    for row, cells in zip(sheet.rows.index, sheet.rows.to_dict("records"), strict=True):
        low, high = (parse_grade(str(cells[column.name])) for column in _LIMITS)
        if low is None or high is None or low > high:
            raise UserError(
                f"{path.name}, row {row}: grade_low and grade_high must be grades from {GRADES[0]} "
                f"to {GRADES[-1]}, the low one first."
            )
        mapping[str(cells["class"])] = (low, high)
    return mapping
