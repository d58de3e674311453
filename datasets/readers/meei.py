"""The MEEI Facial Palsy Photo and Video Standard Set.

60 people, 8 photographs each: 10 without palsy, 25 flaccid, 25 synkinetic (non-flaccid), in five
degrees of severity. The severity is a category made for the set; it stands here for a grade, and
`grade_source` says so in every row. Source: Greene et al. 2020, Laryngoscope 130:32-37,
doi 10.1002/lary.27986.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.movements import MOVEMENTS, movement_of_number
from common.truth import TRUTH_TABLE
from datasets.dataset import Dataset, Problem, error, make_manifest, note, say_list, warning
from datasets.layout import open_root, photos_below, videos_below
from datasets.readers.meei_patients import (
    GRADE_OF_SEVERITY,
    Patient,
    Person,
    parse_patient,
    read_patient_table,
)

CATEGORY_SOURCE = "category, not a clinician's House-Brackmann grade"
N_PATIENTS = 60  # of the published set

_PHOTO = re.compile(r"(?P<patient>.+?)[_\- ](?P<movement>\d+)")


@dataclass(frozen=True)
class _Photo:
    image_id: str
    path: Path
    patient: Patient
    task: str


def read_meei(root: Path, *, info: Path | None = None) -> Dataset:
    """Read the MEEI standard set.

    Parameters
    ----------
    root
        Folder that holds `Normal` (or `Normals`), `Flaccid` and `Synkinetic`, at any depth.
    info
        Patient table; None looks for `pat_info.xlsx` below `root`.

    Returns
    -------
    Dataset
        One row per photograph that exists, with `severity`, `kind`, `gender`, `age`, `video`,
        `grade_source`, and `truth_file` where the set has true landmarks.
    """
    root = open_root(root)
    files, problems = photos_below(root)
    photos, unplaced = _place(files)
    people, doubts = read_patient_table(root, info=info)
    patients = {photo.patient for photo in photos}
    problems += [*unplaced, *doubts]
    problems += [*_missing_photographs(photos), *_missing_patients(patients, people)]
    videos = _videos_by_patient(root)
    truth = root / TRUTH_TABLE
    rows = [
        _row(
            photo,
            people.get(photo.patient),
            video=videos.get(photo.patient),
            truth=truth if truth.is_file() else None,
        )
        for photo in photos
    ]
    return Dataset("meei", root, make_manifest(rows, dataset="meei"), tuple(problems))


def _place(files: list[tuple[str, Path]]) -> tuple[list[_Photo], list[Problem]]:
    """Give each photograph its patient and movement; what has none is a problem."""
    photos: dict[tuple[Patient, str], _Photo] = {}
    problems: list[Problem] = []
    for image_id, path in files:
        match = _PHOTO.fullmatch(path.stem)
        above = image_id.split("/")[-2::-1]
        named = parse_patient(match["patient"], above=above) if match else None
        patient = parse_patient(path.parent.name, above=above) or named
        number = int(match["movement"]) if match else 0
        if patient is None or not 1 <= number <= len(MOVEMENTS):
            what = "this is no photograph of the standard set and was left out"
            advice = "name it as in SevereFlaccid2/SevereFlaccid2_6.jpg, with a number from 1 to 8"
            problems.append(error("unexpected_photograph", what, advice, file=image_id))
            continue
        task = movement_of_number(number)
        about = {"file": image_id, "patient_id": patient.patient_id}
        if named not in (None, patient):
            what = f"this lies with {patient.patient_id}, and was read so, but is named otherwise"
            problems.append(warning("misfiled_photograph", what, "move or rename it", **about))
        if (patient, task) in photos:
            what = f"this is a second photograph of {task} (_{number}); the first one was read"
            problems.append(warning("second_photograph", what, "keep one of the two", **about))
            continue
        photos[patient, task] = _Photo(image_id, path, patient, task)
    return list(photos.values()), problems


def _missing_photographs(photos: Iterable[_Photo]) -> list[Problem]:
    done: dict[Patient, set[str]] = {}
    for photo in photos:
        done.setdefault(photo.patient, set()).add(photo.task)
    problems = []
    for patient, tasks in sorted(done.items()):
        absent = [f"{task} (_{i})" for i, task in enumerate(MOVEMENTS, 1) if task not in tasks]
        if absent:
            what = f"{patient.patient_id} has no photograph of {say_list(absent, at_most=8)}"
            advice = "look for it in the original download; nothing was put in its place"
            about = {"patient_id": patient.patient_id}
            problems.append(error("missing_task", what, advice, **about))
    return problems


def _missing_patients(found: set[Patient], people: dict[Patient, Person]) -> list[Problem]:
    """Patients of the table, or of a gap in the numbers, without photographs; and the reverse."""
    last: dict[tuple[str, str], int] = {}
    for patient in found:
        group = patient.kind, patient.severity
        last[group] = max(last.get(group, 0), patient.number)
    expected = {Patient(*group, number + 1) for group, top in last.items() for number in range(top)}
    problems = []
    for patient in sorted((expected | set(people)) - found):
        person = people.get(patient)
        what = f"{patient.patient_id} has no photographs"
        what += " though the patient table lists it" if person else " though the numbers go on"
        where = {"file": person.file, "rows": person.rows} if person else {}
        advice = "look for the folder in the original download"
        about = {"patient_id": patient.patient_id, **where}
        problems.append(error("missing_patient", what, advice, **about))
    unlisted = [patient.patient_id for patient in sorted(found - set(people))] if people else []
    if unlisted:
        what = f"the patient table says nothing of {say_list(unlisted, at_most=12)}; their side is "
        what += "unknown, their age and gender are empty"
        file = next(iter(people.values())).file
        problems.append(warning("unlisted_patient", what, "add them if you know them", file=file))
    if found and len(found) != N_PATIENTS:
        what = f"{len(found)} patients were found; the published set has {N_PATIENTS}"
        problems.append(note("not_the_whole_set", what))
    return problems


def _row(
    photo: _Photo, person: Person | None, *, video: str | None, truth: Path | None
) -> dict[str, Any]:
    healthy = photo.patient.kind == "Normal"
    row = {
        "image_id": photo.image_id,
        "path": str(photo.path),
        "patient_id": photo.patient.patient_id,
        "task": photo.task,
        "side": person.side if person else "none" if healthy else "unknown",
        "hb_grade": GRADE_OF_SEVERITY[photo.patient.severity],
        "grade_source": CATEGORY_SOURCE,
        "severity": photo.patient.severity,
        "kind": photo.patient.kind,
        "gender": person.gender if person else None,
        "age": person.age if person else None,
        "video": video,
    }
    if truth is not None:
        row["truth_file"] = Path(os.path.relpath(truth, photo.path.parent)).as_posix()
    return row


def _videos_by_patient(root: Path) -> dict[Patient, str]:
    videos: dict[Patient, str] = {}
    for name, path in videos_below(root):
        above = name.split("/")[-2::-1]
        for candidate in (path.stem, path.parent.name):
            patient = parse_patient(candidate, above=above)
            if patient is not None:
                videos.setdefault(patient, name)
    return videos
