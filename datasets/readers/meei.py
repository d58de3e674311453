"""The MEEI Facial Palsy Photo and Video Standard Set.

60 people, 8 photographs each: 10 without palsy, 25 flaccid, 25 synkinetic (non-flaccid), in five
degrees of severity. The severity is a category made for the set; it stands here for a grade, and
`grade_source` says so in every row. Source: Greene et al. 2020, Laryngoscope 130:32-37,
doi 10.1002/lary.27986.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.files import relative_path
from common.films import list_films
from common.movements import MOVEMENTS, movement_of_number
from common.truth import TRUTH_TABLE
from common.words import counted
from datasets.dataset import Dataset, Reading, say_list
from datasets.own_table import DATE, SCORES, VISIT
from datasets.spreadsheet import Column, find_spreadsheet, read_spreadsheet
from datasets.vocabulary import parse_side, read_cells, simplify

CATEGORY_SOURCE = "category, not a clinician's House-Brackmann grade"
GRADE_OF_SEVERITY = {
    "Normal": 1, "NearNormal": 2, "Mild": 3, "Moderate": 4, "Severe": 5, "Complete": 6
}  # fmt: skip
N_PATIENTS = 60  # of the published set

_KINDS = {
    "normal": "Normal", "normals": "Normal", "flaccid": "Flaccid", "synkinetic": "Synkinetic",
    "synkinesis": "Synkinetic", "nonflaccid": "Synkinetic",
}  # fmt: skip
_SEVERITIES = {simplify(word): word for word in GRADE_OF_SEVERITY if word != "Normal"}
_NAME = re.compile(r"(?P<words>.*\D)(?P<number>\d+)")
_PHOTO = re.compile(r"(?P<patient>.+?)[_\- ](?P<movement>\d+)(?P<again>[b-z]?)", re.IGNORECASE)
_VISIT_FOLDER = re.compile(r"visit[_\- ]?(?P<visit>\w+)", re.IGNORECASE)
_COLUMNS = (
    Column("kind", ("Category",), required=True),
    Column("severity", ("Sub-category", "Subcategory")),
    Column("number", ("#", "No", "Number", "Patient"), required=True),
    Column("side", ("Side of palsy", "Affected side")),
    Column("gender", ("Sex",)),
    Column("age", ("Age (years)",)),
    VISIT,
    DATE,
    Column("hb_grade", ("House-Brackmann", "HB", "HB grade")),
    *SCORES,
)
_SCORES = tuple(score.name for score in SCORES)
_TOLD = ("gender", "age", "date", *_SCORES)  # carried through


@dataclass(frozen=True, order=True)
class Patient:
    """A patient as the set names them: `Flaccid`, `Severe`, 2 is SevereFlaccid2."""

    kind: str
    severity: str
    number: int

    @property
    def patient_id(self) -> str:
        """`SevereFlaccid2`, `Normal3`."""
        words = "Normal" if self.kind == "Normal" else self.severity + self.kind
        return f"{words}{self.number}"


@dataclass(frozen=True)
class _Person:
    """What the patient table says of a patient, and where."""

    side: str
    hb_grade: int | None
    told: dict[str, Any]
    file: str
    rows: tuple[int, ...]


_Visit = tuple[Patient, str]  # the visit is empty where the set has none
_Photos = dict[tuple[Patient, str, str, str], tuple[str, Path]]
"""`image_id` and path by patient, visit, movement, and letter of a repeated photograph."""


def read_meei(root: Path) -> Dataset:
    """Read the MEEI standard set.

    `root`: folder that holds `Normal` (or `Normals`), `Flaccid` and `Synkinetic`, at any depth,
    and `pat_info.xlsx`.

    Returns one row per photograph that exists, with `severity`, `kind`, `gender`, `age`,
    `video`, `grade_source`, and `truth_file` where the set has true landmarks. Where the
    patient table tells them: `date`, `sunnybrook`, `eface`, and `hb_grade` in place of the
    category. Of patients who come again, `visit` is the name of their folder `visit2` or `visit
    2`; the second photograph of a movement, `SevereFlaccid2_6b.jpg`, has `b` in `again`.
    """
    read = Reading("meei", root)
    photos = _place(read)
    people = _read_patient_table(read)
    found = {(patient, visit) for patient, visit, *_ in photos}
    _tell_missing_photographs(photos, read)
    _tell_missing_patients(found, people, read)
    videos = _videos_by_patient(read.root)
    truth = read.root / TRUTH_TABLE
    more = [name for name in _TOLD[2:] if any(p.told[name] is not None for p in people.values())]
    has = {"visit": any(visit for _, visit in found), "again": any(at[3] for at in photos)}
    rows = []
    for (patient, visit, task, again), (image_id, path) in photos.items():
        person, healthy = people.get((patient, visit)), patient.kind == "Normal"
        own_grade = person.hb_grade if person else None
        row = {
            "image_id": image_id,
            "path": str(path),
            "patient_id": patient.patient_id,
            "task": task,
            "side": person.side if person else "none" if healthy else "unknown",
            "hb_grade": own_grade or GRADE_OF_SEVERITY[patient.severity],
            "grade_source": f"House-Brackmann grade from {person.file}"
            if person and own_grade
            else CATEGORY_SOURCE,
            "severity": patient.severity,
            "kind": patient.kind,
            "gender": person.told["gender"] if person else None,
            "age": person.told["age"] if person else None,
            "video": videos.get(patient),
        }
        row |= {name: person.told[name] if person else None for name in more}
        row |= {k: v or None for k, v in (("visit", visit), ("again", again)) if has[k]}
        if truth.is_file():
            row["truth_file"] = relative_path(truth, path.parent)
        rows.append(row)
    return read.dataset(rows)


def parse_patient(name: str, *, above: Iterable[str] = ()) -> Patient | None:
    """Return the patient that a folder or file name means.

    `name`: `SevereFlaccid2`, `Severe_2`, `Synkinetic_Mild4`, `Normal10`.
    `above`: names of the folders above, nearest first; they say whether `Severe_2` is flaccid.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    kind, severity = _kind_of(simplify(match["words"]), above)
    if kind == "Normal" and severity == "":
        return Patient("Normal", "Normal", int(match["number"]))
    if kind in ("Flaccid", "Synkinetic") and severity in _SEVERITIES:
        return Patient(kind, _SEVERITIES[severity], int(match["number"]))
    return None


def _kind_of(words: str, above: Iterable[str]) -> tuple[str, str]:
    """Part `severeflaccid` into its kind and its severity; the kind may come from above."""
    for word in sorted(_KINDS, key=len, reverse=True):
        for rest in (words.removesuffix(word), words.removeprefix(word)):
            if rest != words and (rest in _SEVERITIES or rest == ""):
                return _KINDS[word], rest
    kinds = (_KINDS[simplify(part)] for part in above if simplify(part) in _KINDS)
    return next(kinds, ""), words


def _place(read: Reading) -> _Photos:
    """Give each photograph its patient, visit and movement; what has none is a problem."""
    photos: _Photos = {}
    for image_id, path in read.photos():
        match = _PHOTO.fullmatch(path.stem)
        above = image_id.split("/")[-2::-1]
        named = parse_patient(match["patient"], above=above) if match else None
        folder = _VISIT_FOLDER.fullmatch(path.parent.name)
        patient = parse_patient((path.parent.parent if folder else path.parent).name, above=above)
        patient = patient or named
        number = int(match["movement"]) if match else 0
        if match is None or patient is None or not 1 <= number <= len(MOVEMENTS):
            what = "this is no photograph of the standard set and was left out"
            advice = "name it as in SevereFlaccid2/SevereFlaccid2_6.jpg, with a number from 1 to 8"
            read.error("unexpected_photograph", what, advice, file=image_id)
            continue
        task, again = movement_of_number(number), match["again"].lower()
        about = {"file": image_id, "patient_id": patient.patient_id}
        if named not in (None, patient):
            what = f"this lies with {patient.patient_id}, and was read so, but is named otherwise"
            read.warning("misfiled_photograph", what, "move or rename it", **about)
        at = patient, folder["visit"] if folder else "", task, again
        if at in photos:
            what = f"this is a second photograph of {task} (_{number}); the first one was read"
            advice = f"keep one of the two, or name it with _{number}b if both belong to the visit"
            read.warning("second_photograph", what, advice, **about)
        else:
            photos[at] = image_id, path
    return photos


def _tell_missing_photographs(photos: _Photos, read: Reading) -> None:
    done = {at[:3] for at in photos}
    for patient, visit in sorted({at[:2] for at in photos}):
        wanted = [
            f"{t} (_{i})" for i, t in enumerate(MOVEMENTS, 1) if (patient, visit, t) not in done
        ]
        if wanted:
            name = patient.patient_id
            what = f"{name} has no photograph of {say_list(wanted, at_most=8)}"
            what += f" at visit {visit}" if visit else ""
            advice = "look for it in the original download; nothing was put in its place"
            read.error("missing_task", what, advice, patient_id=name)


def _tell_missing_patients(
    found: set[_Visit], people: dict[_Visit, _Person], read: Reading
) -> None:
    """Patients of the table, or of a gap in the numbers, without photographs; and the reverse."""
    patients = {patient for patient, _ in found}
    gaps = {replace(last, number=i) for last in patients for i in range(1, last.number)} - patients
    told = {patient for patient, _ in people}
    for patient, visit in sorted((set(people) - found) | {(gap, "") for gap in gaps - told}):
        person, name = people.get((patient, visit)), patient.patient_id
        what = f"{name} has no photographs"
        what += f" of visit {visit}" if visit and patient in patients else ""
        what += " though the patient table lists it" if person else " though the numbers go on"
        where = {"file": person.file, "rows": person.rows} if person else {}
        advice = "look for the folder in the original download"
        at = {"patient_id": name, **where}
        read.error("missing_patient", what, advice, **at)
    unlisted = [_say(*at) for at in sorted(found - set(people))] if people else []
    if unlisted:
        what = f"the patient table says nothing of {say_list(unlisted, at_most=12)}; their side is "
        what += "unknown, their age and gender are empty"
        file = next(iter(people.values())).file
        read.warning("unlisted_patient", what, "add them if you know them", file=file)
    if patients and len(patients) != N_PATIENTS:
        what = f"{counted(len(patients), 'patient')} found; the published set has {N_PATIENTS}"
        read.note("not_the_whole_set", what)


def _say(patient: Patient, visit: str) -> str:
    return f"{patient.patient_id} at visit {visit}" if visit else patient.patient_id


def _read_patient_table(read: Reading) -> dict[_Visit, _Person]:
    """Read side, gender, age, date and scores by patient and visit."""
    path = find_spreadsheet(read.root, "pat_info*", "*patient*info*")
    if path is None:
        what = "pat_info.xlsx was not found; side is unknown, age and gender are empty"
        read.warning("no_patient_table", what, "put it into the dataset's folder")
        return {}
    sheet = read_spreadsheet(path, columns=_COLUMNS)
    people: dict[_Visit, _Person] = {}
    table = sheet.rows.reindex(columns=[column.name for column in _COLUMNS])
    names = ["hb_grade", "date", *_SCORES]
    read.problems += sheet.problems
    table[names] = read_cells(table[names], read.problems, file=sheet.file)
    table["kind"] = table["kind"].ffill()  # merged cells hold their value in the first row only
    table["severity"] = table.groupby("kind")["severity"].ffill()
    table = table.astype("object").where(table.notna(), None)
    for row, cells in zip(table.index, table.to_dict("records"), strict=True):
        at: dict[str, Any] = {"file": sheet.file, "rows": (int(row),)}
        words = [cells[name] or "" for name in ("severity", "kind", "number")]
        healthy = simplify(words[1]).startswith("normal")
        patient = parse_patient("".join(words[1:] if healthy else words))
        if patient is None:
            what = '"{}", "{}", "{}" names no patient of the set and was not used'.format(*words)
            advice = "write category, sub-category and number as in the other rows"
            read.error("unknown_patient", what, advice, **at)
            continue
        side = _side_of(patient, cells["side"] or "", at, read)
        told = {name: cells[name] for name in _TOLD}
        person = _Person(side, cells["hb_grade"], told, **at)
        visit = patient, cells["visit"] or ""
        if visit in people:
            person = _one_of_two(_say(*visit), people[visit], person, read)
        people[visit] = person
    return people


def _side_of(patient: Patient, cell: str, at: dict[str, Any], read: Reading) -> str:
    """Side of the palsy: `none` for the healthy, never guessed for the others."""
    side, name = parse_side(cell), patient.patient_id
    healthy = patient.kind == "Normal"
    if healthy and side in ("none", "unknown"):
        return "none"
    if not healthy and side in ("left", "right", "both"):
        return side
    what = f'{name} has palsy but the side "{cell}"; side is unknown'
    advice = "write left or right, meaning the patient's side"
    if healthy:
        what = f'{name} has no palsy but the side "{cell}", which was not used'
        advice = "check the row"
    read.warning("unreadable_side", what, advice, patient_id=name, **at)
    return "none" if healthy else "unknown"


def _one_of_two(name: str, first: _Person, second: _Person, read: Reading) -> _Person:
    differ = first.side != second.side
    rows = (*first.rows, *second.rows)
    what = f"{name} has two rows, of which the first was used"
    what += "; their sides differ, so side is unknown" if differ else ""
    scores = [name for name in _SCORES if first.told[name] != second.told[name]]
    what += f"; {' and '.join(scores)} differ" if scores else ""
    at = {"file": first.file, "rows": rows, "patient_id": name}
    read.warning("patient_twice", what, "keep the right one", **at)
    return replace(first, rows=rows, side="unknown" if differ else first.side)


def _videos_by_patient(root: Path) -> dict[Patient, str]:
    videos: dict[Patient, str] = {}
    for name, path in list_films(root):
        for candidate in (path.stem, path.parent.name):
            patient = parse_patient(candidate, above=name.split("/")[-2::-1])
            if patient is not None:
                videos.setdefault(patient, name)
    return videos
