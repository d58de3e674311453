"""Spreadsheets of every making, read into one shape: columns by meaning, rows by number.

CSV (comma, semicolon or tab; UTF-8 or Windows) and Excel (`.xlsx`). The header row is found where
it is not the first. Columns are matched by name without regard to case, spaces and punctuation;
what is not known is carried through under its own name.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import SequenceMatcher
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd

from common.errors import UserError, did_you_mean
from datasets.dataset import Problem, say_list, warning
from datasets.vocabulary import simplify

SPREADSHEET_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".xlsm")
_HEADER_WITHIN = 40  # rows searched for the header; SAMM's is row 14


@dataclass(frozen=True)
class Column:
    """A column that a reader understands: the name it gets, and headings under which it is found.

    A table without a `required` column is refused.
    """

    name: str
    titles: tuple[str, ...] = ()
    required: bool = False

    def headings(self) -> tuple[str, ...]:
        """Return every heading, simplified, the best first."""
        return tuple(simplify(title) for title in (self.name, *self.titles))


@dataclass(frozen=True)
class Spreadsheet:
    """A table as text."""

    file: str
    # One row per non-empty line: text, or missing where the cell is empty. The index is the row
    # number that a spreadsheet shows. Understood columns have their own name, the others their
    # heading.
    rows: pd.DataFrame
    unknown: tuple[str, ...] = ()  # headings that no understood column has, as they are written
    # of these, each that looks like a misspelt column which the table lacks: its name
    slips: dict[str, str] = field(default_factory=dict)
    header_row: int = 1

    @property
    def problems(self) -> tuple[Problem, ...]:
        """A warning for each misspelt heading."""
        return tuple(
            warning(
                "unknown_column",
                f'the column "{heading}" was carried through but not understood',
                f'rename it to "{meant}" if that is what it holds',
                file=self.file,
                rows=(self.header_row,),
            )
            for heading, meant in self.slips.items()
        )


def read_spreadsheet(path: Path, *, columns: Sequence[Column]) -> Spreadsheet:
    """Read a table and find its header and its columns.

    Of an Excel workbook, the first sheet that has the required columns is taken. UserError when
    the file is missing, cannot be read, or lacks a required column; the sentence names the column,
    the headings that were found, and the nearest one.
    """
    sheets = _read_cells(path)
    tried = [_find_header(cells, columns) for cells in sheets]
    best = next((header for header in tried if not header.missing), tried[0])
    if best.missing:
        raise UserError(_missing_sentence(path, best))
    body = sheets[tried.index(best)][best.row + 1 :]
    width = len(best.names)
    padded = [(line + [""] * width)[:width] for line in body]
    index = pd.RangeIndex(best.row + 2, best.row + 2 + len(body), name="row")
    frame = pd.DataFrame(padded, columns=best.names, index=index, dtype="object")
    frame = frame.loc[:, [name for name in best.names if name]]
    frame = frame.where(frame != "", None).dropna(how="all")
    known = {column.name for column in columns}
    return Spreadsheet(
        path.name,
        frame,
        unknown=tuple(name for name in frame.columns if name not in known),
        slips=_misspelt(best, columns),
        header_row=best.row + 1,
    )


def find_spreadsheet(root: Path, *patterns: str) -> Path | None:
    """Return the first file below `root` (at most two folders deep) that fits a pattern.

    The patterns are those of the shell, without regard to case, and are tried in turn; shallow
    files come before deep ones.
    """
    files = [
        path
        for depth in ("*", "*/*", "*/*/*")
        for path in sorted(root.glob(depth))
        if path.suffix.lower() in SPREADSHEET_SUFFIXES and not path.name.startswith((".", "~$"))
    ]
    fits = (
        path
        for pattern in patterns
        for path in files
        if fnmatch(path.name.lower(), pattern.lower())
    )
    return next(fits, None)


@dataclass(frozen=True)
class _Header:
    row: int
    headings: list[str]
    names: list[str]  # the column each heading becomes; empty for a column without heading
    missing: list[Column]


def _find_header(cells: list[list[str]], columns: Sequence[Column]) -> _Header:
    """Find the row in which most columns are named; the first such row is the header."""
    candidates = [_name_columns(i, line, columns) for i, line in enumerate(cells[:_HEADER_WITHIN])]
    if not candidates:
        return _Header(0, [], [], [column for column in columns if column.required])
    known = {column.name for column in columns}
    return max(candidates, key=lambda header: sum(name in known for name in header.names))


def _name_columns(row: int, line: list[str], columns: Sequence[Column]) -> _Header:
    simple = [simplify(heading) if heading else "" for heading in line]
    names = list(line)
    missing = []
    for column in columns:
        found = next((title for title in column.headings() if title in simple), None)
        if found is None:
            missing += [column] if column.required else []
            continue
        at = simple.index(found)
        # Another heading of the very same name would hide the understood column.
        names = [f"{name} (other)" if name == column.name else name for name in names]
        names[at], simple[at] = column.name, ""
    for i, name in enumerate(names):
        if name and name in names[:i]:
            names[i] = f"{name} ({i + 1})"
    return _Header(row, [heading for heading in line if heading], names, missing)


def _missing_sentence(path: Path, header: _Header) -> str:
    column = header.missing[0]
    titles = (column.name, *column.titles)
    accepted = " or ".join(f'"{title}"' for title in titles[:4])
    found = say_list([f'"{heading}"' for heading in header.headings], at_most=8)
    guesses = (_near(title, header.headings) for title in titles)
    guess = next(filter(None, guesses), "")
    has = f"it has {found}" if found else "it is empty"
    return f"{path.name} has no column {accepted} ({has}): name one column so.{guess}"


def _misspelt(header: _Header, columns: Sequence[Column]) -> dict[str, str]:
    """Return the known column that each unknown heading nearly names, if it was not found."""
    absent = [column for column in columns if column.name not in header.names]
    titles = {title: column.name for column in absent for title in column.headings()}
    named = zip(header.headings, filter(None, header.names), strict=False)
    unknown = [heading for heading, name in named if heading == name]
    return {
        heading: titles[title]
        for heading in unknown
        if (title := next((t for t in titles if _slip_of(simplify(heading), t)), None))
    }


def _slip_of(word: str, title: str) -> bool:
    """Whether a word is a slip of the pen: letters exchanged, or a few of a longer word wrong.

    `Alter` and `Age` are no slips of `Datei` and `image`, nor `Date` of `Datei`.
    """
    if word[0] != title[0] or min(len(word), len(title)) < 4:
        return False
    if sorted(word) == sorted(title):
        return True
    longer = min(len(word), len(title)) >= 5
    return longer and SequenceMatcher(None, word, title).ratio() >= 0.8


def _near(name: str, headings: Sequence[str]) -> str:
    simple = {simplify(heading): heading for heading in headings}
    near = did_you_mean(simplify(name), simple)
    return f' Did you mean "{simple[near.split(chr(34))[1]]}"?' if near else ""


def _read_cells(path: Path) -> list[list[list[str]]]:
    """Return the sheets of a file, each a list of lines of text."""
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the path of a CSV or Excel table.")
    suffix = path.suffix.lower()
    if suffix not in SPREADSHEET_SUFFIXES:
        raise UserError(
            f"{path} is neither CSV nor .xlsx: open it in your spreadsheet program and save it as "
            "one of them."
        )
    return _read_excel(path) if suffix in (".xlsx", ".xlsm") else [_read_csv(path)]


def _read_excel(path: Path) -> list[list[list[str]]]:
    try:
        sheets = pd.read_excel(
            path, sheet_name=None, header=None, dtype=object, na_filter=False, engine="openpyxl"
        )
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise UserError(
            f"{path} cannot be opened as an Excel workbook ({error}): save it again as .xlsx "
            "without a password."
        ) from error
    return [
        [[_cell_text(value) for value in line] for line in sheet.to_numpy()]
        for sheet in sheets.values()
    ]


def _read_csv(path: Path) -> list[list[str]]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    lines = text.splitlines(keepends=True)
    # csv.Sniffer is led astray by notes above the header.
    widest = {
        mark: max((s.count(mark) for s in lines[:_HEADER_WITHIN]), default=0) for mark in ",;\t"
    }
    try:
        table = csv.reader(lines, delimiter=max(widest, key=lambda mark: widest[mark]))
        return [[_cell_text(value) for value in line] for line in table]
    except csv.Error as error:
        raise UserError(
            f"{path} cannot be read as a table ({error}): save it as comma-separated UTF-8."
        ) from error


def _cell_text(value: object) -> str:
    if value is None or value != value:  # NaN: an Excel error value such as #N/A
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, date):
        return value.isoformat()
    return str(value).replace("\xa0", " ").strip()
