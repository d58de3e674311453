"""What people write in tables of photographs: grades, sides, movements and the like as values.

The words, in six languages, stand in `vocabulary.yaml`.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import yaml

from common.grading.numeric_target import NUMERIC
from common.movements import MOVEMENTS
from common.tables import GRADES
from common.words import counted
from datasets.dataset import Problems, say_list

_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}
_GRADE = re.compile(
    r"(?:(?:house[\s_-]*brackmann|h-?b|grade)[\s_:-]*)*"
    r"(?P<value>\d+(?:\.0+)?|[ivx]+)(?:\s*/\s*(?:6|vi))?",
    re.IGNORECASE,
)


def simplify(words: str) -> str:
    """Return words without case, accents, spaces and punctuation, for comparing."""
    plain = unicodedata.normalize("NFKD", words.casefold())
    return re.sub(r"[\W_]+", "", re.sub("[\u0300-\u036f]", "", plain)) or words.strip()


def _vocabulary() -> dict[str, dict[str, tuple[str, ...]]]:
    parts = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {
        part: {meaning: tuple(re.split(r",\s*", words)) for meaning, words in meanings.items()}
        for part, meanings in parts.items()
    }


WORDS = _vocabulary()
"""By part (headings, sides, movements, classes) and meaning: every word that means it."""
MEANING = {
    part: {simplify(word): meaning for meaning, words in meanings.items() for word in words}
    for part, meanings in WORDS.items()
}
"""By part: what each word means, simplified."""
MEANING["movements"] |= {simplify(movement): movement for movement in MOVEMENTS}


def parse_grade(cell: str, *, zero_based: bool = False) -> int | None:
    """Return a House-Brackmann grade 1..6 written as `4`, `4.0`, `IV`, `HB 4` or `Grade IV/VI`.

    None when it is no such grade (`0`, `7`, `3.5`, `II-III`). Where the source counts from 0
    (normal) to 5, `zero_based` adds one.
    """
    match = _GRADE.fullmatch(cell.strip())
    if match is None:
        return None
    value = match["value"].lower()
    grade = _ROMAN.get(value, 0) if not value[0].isdigit() else int(float(value)) + zero_based
    return grade if grade in GRADES else None


def parse_side(cell: str) -> str | None:
    """Return the patient's `left`, `right`, `none`, `both` or `unknown`; None when unreadable."""
    return MEANING["sides"].get(simplify(cell)) if re.search(r"\w", cell) else "unknown"


def parse_task(cell: str) -> str | None:
    """Return the standard movement that a cell names in one of six languages, else None."""
    return MEANING["movements"].get(simplify(cell))


def parse_frame(cell: str) -> int | None:
    """Return a frame number, or None when the cell holds none (`/`, `-`, empty, text)."""
    match = re.fullmatch(r"(\d+)(?:\.0+)?", cell.strip())
    return int(match[1]) if match else None


def parse_date(cell: str) -> str | None:
    """Return the ISO date that `2024-04-03`, `20240403` or `3.4.2024` means; None when unclear.

    `03/04/2024` is March or April, so it is none.
    """
    day_first = re.fullmatch(r"(\d{1,2})\.\s*(\d{1,2})\.\s*(\d{4})", cell.strip())
    iso = "{2}-{1:0>2}-{0:0>2}".format(*day_first.groups()) if day_first else cell.strip()
    try:
        return datetime.datetime.fromisoformat(iso).date().isoformat()
    except ValueError:
        return None


_UNDERSTOOD: dict[str, tuple[Callable[[str], object], str, str, str]] = {
    "hb_grade": (
        parse_grade,
        "grade_out_of_range",
        'the grade "{cell}" is no House-Brackmann grade and was left empty',
        "write 1 to 6 or I to VI",
    ),
    "side": (
        parse_side,
        "unreadable_side",
        'the side "{cell}" was not understood and was set to unknown',
        "write left, right, none, both or unknown, meaning the patient's side",
    ),
    "date": (
        parse_date,
        "no_date",
        '"{cell}" is no date and was left empty',
        "write year-month-day, 2024-04-03",
    ),
}
"""By column: what reads a cell; kind, words and advice of the problem where that gives None."""


def read_cells(
    table: pd.DataFrame, problems: Problems, *, file: str, zero_based: bool = False
) -> pd.DataFrame:
    """Return a table of text with its grades, movements, sides, dates and scores as values.

    Empty where a cell is missing or not understood (`unknown` for a side); what was wrong is added
    to the problems, rows those of a spreadsheet. `zero_based`: grades count from 0 (normal) to 5.
    """
    table = table.copy()
    for name in ("hb_grade", "task", "side", "date", *NUMERIC):
        if name not in table:
            continue
        read = _scores if name in NUMERIC else _tasks if name == "task" else _parsed
        table[name] = read(table[name], problems, file=file, zero_based=zero_based)
    return table


def _scores(cells: pd.Series, problems: Problems, *, file: str, **_: object) -> pd.Series:
    scale = NUMERIC[str(cells.name)]
    scores = pd.to_numeric(cells, errors="coerce").astype(float)
    wrong = cells.notna() & ~scores.between(scale.low, scale.high)
    if wrong.any():
        what = f"{cells.name} is {say_list(cells[wrong])}, and was left empty"
        advice = f"write a number from {scale.low:g} to {scale.high:g}"
        at = {"file": file, "rows": rows_of(cells[wrong])}
        problems.error("score_out_of_range", what, advice, **at)
    return scores.where(~wrong)


def _tasks(cells: pd.Series, problems: Problems, *, file: str, **_: object) -> pd.Series:
    """Standard names where understood, else as written."""
    meaning = {cell: parse_task(cell) or cell for cell in cells.dropna().unique()}
    values = cells.map(meaning).astype("object")
    values = values.where(values.notna(), None)
    own = values[values.notna() & ~values.isin(MOVEMENTS)]
    if len(own):
        what = f"movements other than the standard ones stay: {say_list(own.unique())}"
        advice = f"where one of these is meant, write {', '.join(MOVEMENTS)}"
        problems.note("own_movement", what, advice, file=file, rows=rows_of(own))
    return values


def rows_of(table: pd.Series | pd.DataFrame) -> tuple[int, ...]:
    """Return the rows of a table, or of a column, that a spreadsheet shows for it."""
    return tuple(int(row) for row in table.index)


def _parsed(cells: pd.Series, problems: Problems, *, file: str, zero_based: bool) -> pd.Series:
    """Parse each distinct cell once; a cell that is not empty but gives None is a problem."""
    parse, kind, what, advice = _UNDERSTOOD[str(cells.name)]
    if cells.name == "hb_grade" and zero_based:
        parse = partial(parse_grade, zero_based=True)
        advice = "write 0 to 5 with --zero-based-grades"
    filled = cells.dropna()
    meaning = {cell: parse(cell) for cell in filled.unique()}
    for cell in (cell for cell, value in meaning.items() if value is None):
        rows = rows_of(filled[filled == cell])
        more = f" ({counted(len(rows), 'row')})" if len(rows) > 1 else ""
        problems.error(kind, what.format(cell=cell) + more, advice, file=file, rows=rows)
    values = cells.map(meaning).astype("object")
    if cells.name == "side":
        return values.fillna("unknown")
    values = values.where(values.notna(), None)
    return values.astype("Int64") if cells.name == "hb_grade" else values
