"""Patients of the MEEI standard set: their names, and what `pat_info.xlsx` says of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from datasets.dataset import Problem, error, warning
from datasets.spreadsheet import Column, find_spreadsheet, read_spreadsheet
from datasets.values import parse_side
from datasets.vocabulary import simplify

GRADE_OF_SEVERITY = {
    "Normal": 1, "NearNormal": 2, "Mild": 3, "Moderate": 4, "Severe": 5, "Complete": 6
}  # fmt: skip

_KINDS = {
    "normal": "Normal", "normals": "Normal", "flaccid": "Flaccid", "synkinetic": "Synkinetic",
    "synkinesis": "Synkinetic", "nonflaccid": "Synkinetic",
}  # fmt: skip
_SEVERITIES = {simplify(word): word for word in GRADE_OF_SEVERITY if word != "Normal"}
_NAME = re.compile(r"(?P<words>.*\D)(?P<number>\d+)")
_COLUMNS = (
    Column("kind", ("Category",), required=True),
    Column("severity", ("Sub-category", "Subcategory")),
    Column("number", ("#", "No", "Number", "Patient"), required=True),
    Column("side", ("Side of palsy", "Affected side")),
    Column("gender", ("Sex",)),
    Column("age", ("Age (years)",)),
)


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
class Person:
    """What the patient table says of a patient, and where."""

    side: str
    gender: str | None
    age: str | None
    file: str
    rows: tuple[int, ...]


def parse_patient(name: str, *, above: Iterable[str] = ()) -> Patient | None:
    """Return the patient that a folder or file name means.

    Parameters
    ----------
    name
        `SevereFlaccid2`, `Severe_2`, `Synkinetic_Mild4`, `Normal10`.
    above
        Names of the folders above, nearest first; they say whether `Severe_2` is flaccid.
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


def read_patient_table(
    root: Path, *, info: Path | None = None
) -> tuple[dict[Patient, Person], list[Problem]]:
    """Read side, gender and age by patient.

    Parameters
    ----------
    root
        The dataset's folder, searched for `pat_info.xlsx` unless `info` names the table.
    """
    path = info or find_spreadsheet(root, "pat_info*", "*patient*info*")
    if path is None:
        what = "pat_info.xlsx was not found; side is unknown, age and gender are empty"
        return {}, [warning("no_patient_table", what, "put it into the dataset's folder")]
    sheet = read_spreadsheet(path, columns=_COLUMNS)
    problems = list(sheet.problems)
    people: dict[Patient, Person] = {}
    table = sheet.rows.reindex(columns=[column.name for column in _COLUMNS])
    table["kind"] = table["kind"].ffill()  # merged cells hold their value in the first row only
    table["severity"] = table.groupby("kind")["severity"].ffill()
    for row, cells in zip(table.index, table.to_dict("records"), strict=True):
        at = {"file": sheet.file, "rows": (int(row),)}
        words = [_text(cells[name]) or "" for name in ("severity", "kind", "number")]
        healthy = simplify(words[1]).startswith("normal")
        patient = parse_patient("".join(words[1:] if healthy else words))
        if patient is None:
            what = '"{}", "{}", "{}" names no patient of the set and was not used'.format(*words)
            advice = "write category, sub-category and number as in the other rows"
            problems.append(error("unknown_patient", what, advice, **at))
            continue
        side, doubts = _side_of(patient, _text(cells["side"]) or "", at)
        person = Person(side, _text(cells["gender"]), _text(cells["age"]), sheet.file, (int(row),))
        problems += doubts
        if patient in people:
            person, problem = _one_of_two(patient, people[patient], person)
            problems.append(problem)
        people[patient] = person
    return people, problems


def _kind_of(words: str, above: Iterable[str]) -> tuple[str, str]:
    """Part `severeflaccid` into its kind and its severity; the kind may come from above."""
    for word in sorted(_KINDS, key=len, reverse=True):
        for rest in (words.removesuffix(word), words.removeprefix(word)):
            if rest != words and (rest in _SEVERITIES or rest == ""):
                return _KINDS[word], rest
    kinds = (_KINDS[simplify(part)] for part in above if simplify(part) in _KINDS)
    return next(kinds, ""), words


def _side_of(patient: Patient, cell: str, at: dict[str, Any]) -> tuple[str, list[Problem]]:
    """Side of the palsy: `none` for the healthy, never guessed for the others."""
    side = parse_side(cell)
    advice = "write left or right, meaning the patient's side"
    at = {**at, "patient_id": patient.patient_id}
    if patient.kind == "Normal":
        if side in ("none", "unknown"):
            return "none", []
        what = f'{patient.patient_id} has no palsy but the side "{cell}", which was not used'
        return "none", [warning("unreadable_side", what, "check the row", **at)]
    if side in ("left", "right", "both"):
        return side, []
    what = f'{patient.patient_id} has palsy but the side "{cell}"; side is unknown'
    return "unknown", [warning("unreadable_side", what, advice, **at)]


def _one_of_two(patient: Patient, first: Person, second: Person) -> tuple[Person, Problem]:
    differ = first.side != second.side
    rows = (*first.rows, *second.rows)
    kept = replace(first, rows=rows, side="unknown" if differ else first.side)
    what = f"{patient.patient_id} has two rows, of which the first was used"
    what += "; their sides differ, so side is unknown" if differ else ""
    at = {"file": first.file, "rows": rows, "patient_id": patient.patient_id}
    return kept, warning("patient_twice", what, "keep the right one", **at)


def _text(cell: Any) -> str | None:
    return None if cell is None or pd.isna(cell) else str(cell)
