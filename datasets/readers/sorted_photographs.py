"""Photographs sorted into folders: one per House-Brackmann grade, or Normal, Mild and Severe.

By grade (`fnp`): `grade_1` ... `grade_6`, or `grade_0` ... `grade_5` where the source counts from
0, which must be said; side and patient are in the file names.

By class (`three-class`): the three words say less than a grade, and the manifest keeps that.
`palsy_class` is what graders learn (healthy, slight, strong), `grade_low` and `grade_high` bound
the grade, and `hb_grade` is filled only where both are the same.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from common.errors import UserError
from common.tables import CLASS_OF_GRADE, GRADES, PHOTOGRAPH, nameless_patients
from common.words import counted
from datasets.dataset import (
    Dataset,
    PatientPattern,
    Problems,
    Reading,
    say_list,
    side_in,
    split_by_patient,
)
from datasets.own_table import PATIENT, apply_grades
from datasets.readers.folder import read_folder
from datasets.spreadsheet import Column, read_spreadsheet
from datasets.vocabulary import MEANING, parse_grade, simplify

CLASS_GRADES = {"Normal": (1, 1), "Mild": (2, 3), "Severe": (4, 6)}
"""Lowest and highest grade of each class, after the scale's own words: II and III are weakness
without disfigurement, IV to VI disfiguring weakness to none of movement (House and Brackmann 1985,
doi 10.1177/019459988509300202). A table of `class`, `grade_low`, `grade_high` replaces it."""

_NAME_OF_CLASS = {"healthy": "Normal", "slight": "Mild", "strong": "Severe"}
_GRADE_FOLDER = re.compile(r"(?:hb|grade|hb[_\- ]?grade|class)[_\- ]?(?P<grade>\d+)", re.IGNORECASE)
_ALONE = r"(?P<patient>.+)$"  # the whole path, until the patients are named
_IN_NAME = re.compile(r"(?P<patient>.*\d.*?)[_\- ][^_\- ]*$")  # P012 of P012_smile.jpg
_CLASS = Column("class", ("label", "category", "severity"), required=True)
_LIMITS = (
    Column("grade_low", ("low", "from", "lowest grade"), required=True),
    Column("grade_high", ("high", "to", "highest grade"), required=True),
)


def read_fnp(
    root: Path,
    *,
    zero_based_grades: bool = False,
    patient_pattern: str | None = None,
    seed: int = 0,
) -> Dataset:
    """Read photographs sorted by grade, with a train/val/test split by patient.

    `root`: folder that holds `grade_1` ... `grade_6`.
    `zero_based_grades`: the folders are `grade_0` (normal) ... `grade_5`; each is one grade
    higher. UserError when there is a `grade_0` without the flag, or a `grade_6` with it.
    `patient_pattern`: regular expression that finds the patient in a file name
    (`PatientPattern`).
    """
    read = Reading("fnp", root)
    photos = read.photos()
    pattern = PatientPattern(patient_pattern)
    named = [_grade_of(image_id) for image_id, _ in photos]
    _check_counting({grade for grade in named if grade is not None}, zero_based=zero_based_grades)
    rows: list[dict[str, Any]] = []
    nameless: list[str] = []
    for (image_id, path), folder in zip(photos, named, strict=True):
        patient = pattern.patient_in(path.stem)
        grade = None if folder is None else folder + zero_based_grades
        if grade not in GRADES:
            what = "this lies in no folder grade_1 to grade_6 and was left out"
            read.error("no_grade_folder", what, "move it to its grade", file=image_id)
        elif patient is None:
            nameless.append(image_id)
        else:
            rows.append(
                {
                    "image_id": image_id,
                    "path": str(path),
                    "patient_id": patient,
                    "side": side_in(path.stem),
                    "hb_grade": grade,
                    "grade_source": "folder of the dataset",
                }
            )
    if nameless:
        what = f"{counted(len(nameless), 'photograph')} without a patient in the name left out: "
        advice = "tell with --patient-pattern where the name tells the patient"
        read.error("no_patient", what + say_list(nameless), advice)
    sideless = [row["image_id"] for row in rows if row["side"] == "unknown" and row["hb_grade"] > 1]
    if sideless:
        what = f"{counted(len(sideless), 'photograph')} whose name tells no side: "
        advice = "side is unknown; put left or right, meaning the patient's, into the name"
        read.warning("no_side", what + say_list(sideless), advice)
    read.problems += pattern.doubts([row["patient_id"] for row in rows])
    dataset = read.dataset(rows)
    manifest, uneven = split_by_patient(dataset.manifest, seed=seed)
    return replace(dataset, manifest=manifest, problems=(*dataset.problems, *uneven))


def read_three_class(
    root: Path,
    *,
    table: Path | None = None,
    grades: Path | None = None,
    patient_pattern: str | None = None,
) -> Dataset:
    """Read photographs in three classes, from folders `Normal`, `Mild`, `Severe` or from a table.

    `root`: folder of the photographs; its folders may also be called healthy, slight, strong
    and the like, in the languages of `datasets.vocabulary`.
    `table`: spreadsheet with `image`, `class` and what else is known
    (`datasets.readers.folder`); None takes the class from the folder names. UserError when it
    has no column `class`.
    `grades`: spreadsheet of `class`, `grade_low`, `grade_high` in place of `CLASS_GRADES`, or a
    table of true grades (`datasets.own_table`).
    `patient_pattern`: finds the patient in the path. Without it and without a column patient,
    the folder below that of the class is the patient (`Normal/P01/…`), or else the beginning of
    a file name with a number (`P01_smile.jpg`); any other photograph counts as a patient of its
    own, and `patient_source` says so.
    """
    told = patient_pattern is not None or (
        table is not None and PATIENT.name in read_spreadsheet(table, columns=(PATIENT,)).rows
    )
    dataset = read_folder(root, table=table, patient_pattern=patient_pattern if told else _ALONE)
    hushed = {"class_folders"} if told else {"class_folders", "doubtful_patients"}
    problems = Problems(one for one in dataset.problems if one.kind not in hushed)
    own = _read_mapping(grades)
    limits = own or CLASS_GRADES
    known = {simplify(name): name for name in limits}
    if not own:
        known |= {word: _NAME_OF_CLASS[name] for word, name in MEANING["classes"].items()}
    classes = _classes(dataset.manifest, known, list(limits), table, problems)
    low = classes.map({name: low for name, (low, _) in limits.items()}).astype("Int64")
    high = classes.map({name: high for name, (_, high) in limits.items()}).astype("Int64")
    manifest = dataset.manifest.assign(
        hb_grade=low.where(low == high),
        dataset="three-class",
        **{"class": classes, "grade_low": low, "grade_high": high},
        grade_source="one of three classes",
    )
    _set_palsy_classes(manifest, problems)
    manifest = manifest[classes.notna()].reset_index(drop=True)
    if not told:
        manifest = _with_patients(manifest, known)
    _tell_about_patients(manifest, problems)
    said = ", ".join(f"{name} = {low}-{high}" for name, (low, high) in limits.items())
    what = f"the classes were read as House-Brackmann grades {said}; hb_grade is empty where that "
    advice = "grade with --target three_classes, or give true grades with --grades"
    problems.note("class_mapping", what + "leaves several", advice)
    result = Dataset("three-class", dataset.root, manifest, tuple(problems))
    return result if grades is None or own else apply_grades(result, grades)


def _grade_of(image_id: str) -> int | None:
    """Grade that the nearest folder above states, or None."""
    matches = map(_GRADE_FOLDER.fullmatch, image_id.split("/")[-2::-1])
    return next((int(match["grade"]) for match in matches if match), None)


def _check_counting(grades: set[int], *, zero_based: bool) -> None:
    if 0 in grades and not zero_based:
        raise UserError(
            "There is a folder grade_0, but House-Brackmann grades count from 1: if the dataset "
            "counts from 0 (normal) to 5, add --zero-based-grades."
        )
    if max(grades, default=0) > 5 and zero_based:
        raise UserError(
            f"There is a folder grade_{max(grades)}, so the grades do not count from 0 to 5: leave "
            "out --zero-based-grades."
        )


def _set_palsy_classes(manifest: pd.DataFrame, problems: Problems) -> None:
    """Fill `palsy_class` where all grades of a photograph's class are in one; name the others."""
    low, high = (manifest[name].map(CLASS_OF_GRADE) for name in ("grade_low", "grade_high"))
    one = (low == high).fillna(False).astype(bool)
    manifest["palsy_class"] = low.where(one).astype("str")
    several = sorted(set(manifest.loc[~one, "class"].dropna()))
    if several:
        what = f"{say_list(several)} spans several of healthy (I), slight (II, III), "
        what += "strong (IV to VI)"
        advice = "its photographs have no palsy_class and take no part in --target three_classes"
        problems.warning("class_spans_several", what, advice)


def _with_patients(manifest: pd.DataFrame, classes: dict[str, str]) -> pd.DataFrame:
    """Name the patients by the folder below their class, else by the beginning of the file name.

    The class is nobody's name, and of what names nobody each photograph is a patient of its own.
    """
    found = []
    for image_id in manifest["image_id"]:
        parts = PurePosixPath(image_id).with_suffix("").parts
        at = next((at for at, part in enumerate(parts[:-1]) if simplify(part) in classes), -1)
        below, named = parts[at + 1 : -1], _IN_NAME.match(parts[-1])
        if below:
            found.append((below[0], "folder"))
        elif named:
            found.append((named["patient"], "file name"))
        else:
            found.append(("/".join(parts), PHOTOGRAPH))
    names = ["patient_id", "patient_source"]
    return manifest.assign(**pd.DataFrame(found, manifest.index, names, dtype="str"))


def _tell_about_patients(manifest: pd.DataFrame, problems: Problems) -> None:
    """Say when patients are not known, or one of them lies in several classes."""
    for sentence in nameless_patients(manifest):
        advice = "put each patient's photographs into a folder below the class, or tell with "
        advice += "--patient-pattern where the file name has the patient"
        problems.warning("no_patients", sentence.rstrip("."), advice)
    classes = manifest.groupby("patient_id")["class"].nunique()
    several = classes.index[classes > 1]
    if len(several):
        what = f"{say_list(several)} lies in several classes and was taken for the same person"
        advice = "rename the folders if these are different people"
        problems.warning("patient_in_several_classes", what, advice)


def _classes(
    manifest: pd.DataFrame,
    known: dict[str, str],
    names: list[str],
    table: Path | None,
    problems: Problems,
) -> pd.Series:
    """Return the class of each photograph, missing where there is none."""
    if table is None:
        above = [map(simplify, name.split("/")[-2::-1]) for name in manifest["image_id"]]
        found = [next((known[part] for part in parts if part in known), None) for parts in above]
    else:
        heading = next(
            (name for name in manifest if simplify(str(name)) in _CLASS.headings()), None
        )
        if heading is None:
            raise UserError(f'{table.name} has no column "class": add one with {say_list(names)}.')
        cells = manifest[heading].astype("object").fillna("").astype(str)
        found = [known.get(simplify(cell)) for cell in cells]
    classes = pd.Series(found, index=manifest.index, dtype="str")
    lost = manifest.loc[classes.isna(), "image_id"]
    if len(lost):
        what = f"{counted(len(lost), 'photograph')} of no class left out: {say_list(lost)}"
        advice = f"the classes are {say_list(names)}"
        problems.error("no_class", what, advice, file=table.name if table else "")
    return classes


def _read_mapping(path: Path | None) -> dict[str, tuple[int, int]]:
    """Return the user's own mapping, or nothing when the table holds grades of patients."""
    if path is None:
        return {}
    try:
        sheet = read_spreadsheet(path, columns=(_CLASS, *_LIMITS))
    except UserError:
        return {}
    mapping = {}
    for row, cells in sheet.rows.iterrows():
        low, high = (parse_grade(str(cells[column.name])) for column in _LIMITS)
        if low is None or high is None or low > high:
            raise UserError(
                f"{sheet.file}, row {row}: grade_low and grade_high must be grades from "
                f"{GRADES[0]} to {GRADES[-1]}, the low one first."
            )
        mapping[str(cells["class"])] = (low, high)
    return mapping
