"""Facial nerve palsy photographs sorted into one folder per House-Brackmann grade.

`grade_1` ... `grade_6`, or `grade_0` ... `grade_5` where the source counts from 0, which must be
said. The side and the patient are in the file names.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.tables import GRADES
from datasets.dataset import Dataset, Problem, error, make_manifest, say_count, say_list, warning
from datasets.layout import open_root, photos_below
from datasets.readers.patient_names import PatientPattern, side_in, suspicious_patients
from datasets.split import split_by_patient

_FOLDER = re.compile(r"(?:hb|grade|hb[_\- ]?grade|class)[_\- ]?(?P<grade>\d+)", re.IGNORECASE)


def read_fnp(
    root: Path,
    *,
    zero_based_grades: bool = False,
    patient_pattern: str | None = None,
    seed: int = 0,
) -> Dataset:
    """Read photographs sorted by grade, with a train/val/test split by patient.

    Parameters
    ----------
    root
        Folder that holds `grade_1` ... `grade_6`.
    zero_based_grades
        The folders are `grade_0` (normal) ... `grade_5`; each is one grade higher.
    patient_pattern
        Regular expression that finds the patient in a file name (`PatientPattern`).
    seed
        Of the split.

    Raises
    ------
    UserError
        When there is a `grade_0` without the flag, or a `grade_6` with it.
    """
    root = open_root(root)
    photos, problems = photos_below(root)
    _check_counting({grade for image_id, _ in photos if (grade := _grade_of(image_id)) is not None},
                    zero_based_grades=zero_based_grades)  # fmt: skip
    pattern = PatientPattern(patient_pattern)
    rows: list[dict[str, Any]] = []
    nameless: list[str] = []
    for image_id, path in photos:
        named = _grade_of(image_id)
        patient = pattern.patient_in(path.stem)
        grade = None if named is None else named + zero_based_grades
        if grade not in GRADES:
            what = "this lies in no folder grade_1 to grade_6 and was left out"
            problems.append(error("no_grade_folder", what, "move it to its grade", file=image_id))
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
    problems += _doubts(rows, nameless, pattern)
    manifest = make_manifest(rows, dataset="fnp")
    manifest, uneven = split_by_patient(manifest, seed=seed)
    return Dataset("fnp", root, manifest, (*problems, *uneven))


def _check_counting(grades: set[int], *, zero_based_grades: bool) -> None:
    if 0 in grades and not zero_based_grades:
        raise UserError(
            "There is a folder grade_0, but House-Brackmann grades count from 1: if the dataset "
            "counts from 0 (normal) to 5, add --zero-based-grades."
        )
    if max(grades, default=0) > 5 and zero_based_grades:
        raise UserError(
            f"There is a folder grade_{max(grades)}, so the grades do not count from 0 to 5: leave "
            "out --zero-based-grades."
        )


def _grade_of(image_id: str) -> int | None:
    """Grade that the nearest folder above states, or None."""
    matches = (_FOLDER.fullmatch(part) for part in image_id.split("/")[-2::-1])
    return next((int(match["grade"]) for match in matches if match), None)


def _doubts(
    rows: list[dict[str, Any]], nameless: list[str], pattern: PatientPattern
) -> list[Problem]:
    problems = []
    if nameless:
        what = f"{say_count(len(nameless), 'photograph')} without a patient in the name left out: "
        advice = "tell with --patient-pattern where the name tells the patient"
        problems.append(error("no_patient", what + say_list(nameless), advice))
    sideless = [row["image_id"] for row in rows if row["side"] == "unknown" and row["hb_grade"] > 1]
    if sideless:
        what = f"{say_count(len(sideless), 'photograph')} whose name tells no side: "
        advice = "side is unknown; put left or right, meaning the patient's, into the name"
        problems.append(warning("no_side", what + say_list(sideless), advice))
    return [*problems, *suspicious_patients([row["patient_id"] for row in rows], pattern)]
