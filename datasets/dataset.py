"""What every reader returns: a manifest, and the problems that it met on the way."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pandera.pandas as pa

from common.tables import choice, sort_by_image_id, text, write_table

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
ALWAYS = ("image_id", "path", "patient_id", "task", "side", "hb_grade", "dataset")
"""Columns that every manifest of a reader has, known or not."""

PROBLEMS = pa.DataFrameSchema(
    {
        "severity": choice(SEVERITIES),
        "kind": text(),
        "file": text(nullable=True),
        "rows": text(nullable=True),
        "patient_id": text(nullable=True),
        "what": text(),
        "advice": text(nullable=True),
    },
    name="problems",
)
"""`*_problems.csv`: one row per problem; `rows` are counted as a spreadsheet shows them."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong or was handled, in words for the person who can mend it.

    Attributes
    ----------
    severity
        `error`: a photograph, a row or a value was lost. `warning`: everything was kept, but
        look at it before you evaluate. `note`: a known peculiarity, and how it was handled.
    kind
        A short stable name such as `missing_photograph`, to sort and filter by.
    what
        What is wrong, as the beginning of a sentence.
    advice
        What to do, as the end of that sentence.
    file
        File or folder, relative to the dataset's folder.
    rows
        Rows of that file as a spreadsheet shows them: the header of a plain table is row 1.
    patient_id
        The patient concerned, where it is one.
    """

    severity: Severity
    kind: str
    what: str
    advice: str = ""
    file: str = ""
    rows: tuple[int, ...] = ()
    patient_id: str = ""

    def where(self) -> str:
        """Return `file, row 3` or what is known of it."""
        return ", ".join(part for part in (self.file, say_rows(self.rows)) if part)

    def sentence(self) -> str:
        """Return the problem as one sentence: where, what, and what to do."""
        where = self.where()
        end = f"; {self.advice}." if self.advice else "."
        return f"{where}: {self.what}{end}" if where else f"{self.what}{end}"


def error(kind: str, what: str, advice: str = "", **where: Any) -> Problem:
    """Return a `Problem` that lost something; `where` is `file`, `rows`, `patient_id`."""
    return Problem("error", kind, what, advice, **where)


def warning(kind: str, what: str, advice: str = "", **where: Any) -> Problem:
    """Return a `Problem` to look at; `where` is `file`, `rows`, `patient_id`."""
    return Problem("warning", kind, what, advice, **where)


def note(kind: str, what: str, advice: str = "", **where: Any) -> Problem:
    """Return a `Problem` that was handled; `where` is `file`, `rows`, `patient_id`."""
    return Problem("note", kind, what, advice, **where)


@dataclass(frozen=True)
class Dataset:
    """A dataset as read from disk.

    Attributes
    ----------
    name
        Name of the reader, `meei` for instance.
    root
        The folder that was read; `image_id` is relative to it.
    manifest
        `common.tables.MANIFEST`, natural order of `image_id`, with absolute `path`.
    problems
        In the order in which they were found.
    """

    name: str
    root: Path
    manifest: pd.DataFrame
    problems: tuple[Problem, ...] = ()

    def with_problems(self, problems: Iterable[Problem]) -> Dataset:
        """Return the dataset with further problems behind its own."""
        return replace(self, problems=(*self.problems, *problems))


def make_manifest(
    rows: Sequence[Mapping[str, Any]] | pd.DataFrame, *, dataset: str
) -> pd.DataFrame:
    """Make a manifest of `rows`: known columns first, the right types, natural order.

    What a row does not say is left empty; an unstated `side` is `unknown`.
    """
    frame = rows.copy() if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    frame["dataset"] = dataset
    for name in ALWAYS:
        if name not in frame:
            frame[name] = "unknown" if name == "side" else None
    frame["side"] = frame["side"].fillna("unknown").astype(str)
    frame["hb_grade"] = frame["hb_grade"].astype("Int64")
    for name in ("image_id", "path", "patient_id", "task"):
        frame[name] = frame[name].astype("str")
    extra = [name for name in frame.columns if name not in ALWAYS]
    return sort_by_image_id(frame[[*ALWAYS, *extra]])


def relative_to_folder(manifest: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Return the manifest with `path` as seen from `folder`, so that both can move together.

    Where no relative path exists (another drive on Windows) the absolute one stays.
    """
    here = folder.resolve()
    return manifest.assign(path=[_relative(Path(path), here) for path in manifest["path"]])


def write_problems(problems: Sequence[Problem], path: Path) -> None:
    """Write the problems as a table (`PROBLEMS`)."""
    rows = [
        {
            "severity": problem.severity,
            "kind": problem.kind,
            "file": problem.file or None,
            "rows": " ".join(map(str, problem.rows)) or None,
            "patient_id": problem.patient_id or None,
            "what": problem.what,
            "advice": problem.advice or None,
        }
        for problem in problems
    ]
    frame = pd.DataFrame(rows, columns=list(PROBLEMS.columns), dtype="str")
    write_table(frame, path, schema=PROBLEMS)


def say_rows(rows: Sequence[int]) -> str:
    """Return `row 3` or `rows 3, 4, 5 and 7 more`."""
    if not rows:
        return ""
    return ("row " if len(rows) == 1 else "rows ") + say_list(rows, at_most=6)


def say_list(items: Sequence[object], *, at_most: int = 4) -> str:
    """Return `a, b, c and 5 more`."""
    shown = [str(item) for item in items]
    if len(shown) <= at_most:
        return ", ".join(shown)
    return ", ".join(shown[: at_most - 1]) + f" and {len(shown) - at_most + 1} more"


def say_count(number: int, noun: str) -> str:
    """Return `1 photograph`, `2 photographs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.as_posix()
