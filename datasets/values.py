"""Cells of a spreadsheet as grades, sides and frame numbers, in the ways people write them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pandas as pd

from common.movements import MOVEMENTS
from common.tables import GRADES
from datasets.dataset import Problem, error, note, say_count, say_list
from datasets.vocabulary import MOVEMENT_OF, SIDE_OF, simplify

_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}
_GRADE = re.compile(
    r"(?:(?:house[\s_-]*brackmann|h-?b|grade)[\s_:-]*)*"
    r"(?P<value>\d+(?:\.0+)?|[ivx]+)(?:\s*/\s*(?:6|vi))?",
    re.IGNORECASE,
)


def parse_grade(cell: str, *, zero_based: bool = False) -> int | None:
    """Return a House-Brackmann grade 1..6 written as `4`, `4.0`, `IV`, `HB 4` or `Grade IV/VI`.

    Parameters
    ----------
    cell
        Text of the cell.
    zero_based
        The source counts from 0 (normal) to 5; one is added.

    Returns
    -------
    int or None
        None when it is no such grade (`0`, `7`, `3.5`, `II-III`).
    """
    match = _GRADE.fullmatch(cell.strip())
    if match is None:
        return None
    value = match["value"].lower()
    grade = _ROMAN.get(value, 0) if not value[0].isdigit() else int(float(value)) + zero_based
    return grade if grade in GRADES else None


def parse_side(cell: str) -> str | None:
    """Return the patient's `left`, `right`, `none`, `both` or `unknown`; None when unreadable."""
    return SIDE_OF.get(simplify(cell)) if re.search(r"\w", cell) else "unknown"


def parse_task(cell: str) -> str | None:
    """Return the standard movement that a cell names in one of six languages, else None."""
    return MOVEMENT_OF.get(simplify(cell))


def parse_frame(cell: str) -> int | None:
    """Return a frame number, or None when the cell holds none (`/`, `-`, empty, text)."""
    match = re.fullmatch(r"(\d+)(?:\.0+)?", cell.strip())
    return int(match[1]) if match else None


def grades_of(
    cells: pd.Series, *, file: str, zero_based: bool = False
) -> tuple[pd.Series, list[Problem]]:
    """Return the grades of a column (`Int64`, empty where there is none) and what was wrong.

    Parameters
    ----------
    cells
        Text or missing, indexed by spreadsheet row.
    file
        Name of the file, for the sentences.
    zero_based
        The file counts grades 0 to 5.
    """
    allowed = "0 to 5 with --zero-based-grades" if zero_based else "1 to 6 or I to VI"
    values, problems = _parsed(
        cells,
        lambda cell: parse_grade(cell, zero_based=zero_based),
        file=file,
        kind="grade_out_of_range",
        what='the grade "{cell}" is no House-Brackmann grade and was left empty',
        advice=f"write {allowed}",
    )
    return values.astype("Int64"), problems


def sides_of(cells: pd.Series, *, file: str) -> tuple[pd.Series, list[Problem]]:
    """Return the sides of a column (`unknown` where empty or unreadable) and what was wrong."""
    values, problems = _parsed(
        cells,
        parse_side,
        file=file,
        kind="unreadable_side",
        what='the side "{cell}" was not understood and was set to unknown',
        advice="write left, right, none, both or unknown, meaning the patient's side",
    )
    return values.fillna("unknown"), problems


def tasks_of(cells: pd.Series, *, file: str) -> tuple[pd.Series, list[Problem]]:
    """Return the movements of a column: standard names where understood, else as written."""
    values, problems = _parsed(
        cells,
        lambda cell: parse_task(cell) or cell,
        file=file, kind="", what="", advice="",
    )  # fmt: skip
    own = values[values.notna() & ~values.isin(MOVEMENTS)]
    if len(own):
        what = f"movements other than the standard ones stay: {say_list(list(own.unique()))}"
        advice = f"where one of these is meant, write {', '.join(MOVEMENTS)}"
        rows = tuple(int(row) for row in own.index)
        problems.append(note("own_movement", what, advice, file=file, rows=rows))
    return values, problems


def _parsed(
    cells: pd.Series,
    parse: Callable[[str], object],
    *,
    file: str,
    kind: str,
    what: str,
    advice: str,
) -> tuple[pd.Series, list[Problem]]:
    """Parse each distinct cell once; a cell that is not empty but gives None is a problem."""
    filled = cells.dropna()
    meaning = {cell: parse(cell) for cell in filled.unique()}
    values = cells.map(meaning).astype("object")
    problems = []
    for cell, value in meaning.items():
        if value is None:
            rows = tuple(int(row) for row in filled.index[filled == cell])
            more = f" ({say_count(len(rows), 'row')})" if len(rows) > 1 else ""
            problems.append(
                error(kind, what.format(cell=cell) + more, advice, file=file, rows=rows)
            )
    return values.where(values.notna(), None), problems
