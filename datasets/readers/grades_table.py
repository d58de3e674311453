"""A user's own grades, put beside any dataset: House-Brackmann, eFACE, Sunnybrook, side.

The table is matched on every key column that it shares with the manifest: a photograph, a
patient, a patient and visit, or (for CK+) an emotion.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from common.errors import UserError, did_you_mean
from datasets import vocabulary
from datasets.dataset import Dataset, Problem, error, say_count, say_list, warning
from datasets.spreadsheet import Column, Spreadsheet, read_spreadsheet
from datasets.values import grades_of, sides_of

IMAGE = Column("image_id", vocabulary.IMAGE)
PATIENT = Column("patient_id", vocabulary.PATIENT)
TASK = Column("task", vocabulary.TASK)
SIDE = Column("side", vocabulary.SIDE)
GRADE = Column("hb_grade", vocabulary.GRADE)
SCORES = (
    Column("eface", ("eFACE", "eFACE score", "eFACE total")),
    Column("sunnybrook", ("Sunnybrook", "Sunnybrook score", "SFGS", "SB", "composite score")),
)
"""Clinical scores, both from 0 (complete palsy) to 100 (normal)."""

_KEYS = (
    IMAGE, PATIENT, TASK, Column("visit", ("session",)), Column("emotion"), Column("severity"),
    Column("group"), Column("sequence"), Column("clip"),
)  # fmt: skip


def apply_grades(dataset: Dataset, path: Path, *, zero_based_grades: bool = False) -> Dataset:
    """Return the dataset with the grades and scores of a table.

    A House-Brackmann grade of the table takes the place of the dataset's own, and `grade_source`
    says so in that row; rows that the table does not tell keep what they had.

    Raises
    ------
    UserError
        When the table shares no key column with the manifest, or holds no grade, score or side.
    """
    sheet = read_spreadsheet(path, columns=(*_KEYS, SIDE, GRADE, *SCORES))
    manifest = dataset.manifest
    keys = [
        key.name for key in _KEYS if key.name in sheet.rows and manifest.get(key.name) is not None
    ]
    gives = [column.name for column in (GRADE, SIDE, *SCORES) if column.name in sheet.rows]
    if not keys or not gives:
        need = "a column patient (or image)" if not keys else "a column grade, eFACE or Sunnybrook"
        raise UserError(
            f"{path.name} has no {need[2:]}: add {need}, so that grades can be matched."
        )
    values, problems = _values(sheet, gives, zero_based_grades=zero_based_grades)
    table = values.assign(_key=_joined(sheet.rows, keys))
    table, doubled = _one_per_key(table, gives, file=sheet.file)
    own = _joined(manifest, keys)
    problems += [*sheet.problems, *doubled, *_unmatched(table, own, file=sheet.file)]
    found = table.set_index("_key").reindex(own).set_index(manifest.index)
    manifest, disagreements = _merged(manifest, found, gives, file=sheet.file)
    return replace(dataset, manifest=manifest).with_problems([*problems, *disagreements])


def _values(
    sheet: Spreadsheet, gives: list[str], *, zero_based_grades: bool
) -> tuple[pd.DataFrame, list[Problem]]:
    values, problems = pd.DataFrame(index=sheet.rows.index), []
    for name in gives:
        cells = sheet.rows[name]
        if name == GRADE.name:
            values[name], doubts = grades_of(cells, file=sheet.file, zero_based=zero_based_grades)
        elif name == SIDE.name:
            values[name], doubts = sides_of(cells, file=sheet.file)
        else:
            values[name], doubts = _scores(cells, name, file=sheet.file)
        problems += doubts
    return values, problems


def _scores(cells: pd.Series, name: str, *, file: str) -> tuple[pd.Series, list[Problem]]:
    scores = pd.to_numeric(cells, errors="coerce").astype(float)
    wrong = cells.notna() & ~scores.between(0, 100)
    problems = [
        error(
            "score_out_of_range",
            f"{name} is {say_list(list(cells[wrong]))}, and was left empty",
            "write a number from 0 to 100",
            file=file,
            rows=tuple(int(row) for row in cells.index[wrong]),
        )
    ]
    return scores.where(~wrong), problems if wrong.any() else []


def _joined(frame: pd.DataFrame, keys: list[str]) -> pd.Series:
    parts = [frame[key].astype("object").fillna("").astype(str).str.strip() for key in keys]
    joined = parts[0].str.casefold()
    for part in parts[1:]:
        joined = joined + "\x1f" + part.str.casefold()
    return joined


def _one_per_key(
    table: pd.DataFrame, gives: list[str], *, file: str
) -> tuple[pd.DataFrame, list[Problem]]:
    """Keep one row per key; where rows contradict each other, none."""
    distinct = table.drop_duplicates(["_key", *gives])
    contradicted = distinct["_key"][distinct["_key"].duplicated(keep=False)]
    problems = [
        error(
            "contradicting_grades",
            f"{_say_key(key)} is told in several ways and none was used",
            "keep the right row",
            file=file,
            rows=tuple(int(row) for row in table.index[table["_key"] == key]),
        )
        for key in contradicted.unique()
    ]
    return distinct[~distinct["_key"].isin(contradicted)], problems


def _unmatched(table: pd.DataFrame, own: pd.Series, *, file: str) -> list[Problem]:
    known = set(own)
    problems = []
    for row, key in table["_key"].items():
        if key not in known:
            what = f"{_say_key(key)} is not in the dataset, so its grade was not used"
            advice = "check the spelling." + did_you_mean(_say_key(key), map(_say_key, known))
            at = {"file": file, "rows": (int(str(row)),)}
            problems.append(error("unknown_in_grades", what, advice.rstrip(".?"), **at))
    ungraded = sorted(known - set(table["_key"]))
    if ungraded:
        what = f"{say_count(len(ungraded), 'key')} of the dataset not told: "
        advice = "they keep the dataset's own grade, or none; grade_source tells which"
        what += say_list([_say_key(key) for key in ungraded])
        problems.append(warning("not_in_grades", what, advice, file=file))
    return problems


def _merged(
    manifest: pd.DataFrame, found: pd.DataFrame, gives: list[str], *, file: str
) -> tuple[pd.DataFrame, list[Problem]]:
    manifest, problems = manifest.copy(), []
    for name in gives:
        if name == GRADE.name:
            told = found[name].notna()
            manifest[name] = found[name].where(told, manifest[name]).astype("Int64")
            source = manifest.get(
                "grade_source", pd.Series(None, index=manifest.index, dtype="str")
            )
            manifest["grade_source"] = source.mask(told, f"House-Brackmann grade from {file}")
        elif name == SIDE.name:
            told = found[name].notna() & (found[name] != "unknown")
            differ = told & (manifest[name] != "unknown") & (manifest[name] != found[name])
            manifest[name] = manifest[name].mask(told, found[name])
            if differ.any():
                who = say_list(sorted(manifest.loc[differ, "patient_id"].unique()))
                what = f"the side of {who} is not that of the dataset; the table's was taken"
                problems.append(warning("side_disagrees", what, "check which is right", file=file))
        else:
            manifest[name] = found[name]
    return manifest, problems


def _say_key(key: object) -> str:
    return str(key).replace("\x1f", ", ")
