"""What every reader returns: a manifest, and the problems that it met; and the manifest's split."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa

from common.errors import UserError
from common.files import natural_key
from common.photos import image_id_of, list_photos
from common.tables import choice, severities, sort_by_image_id, text, write_table

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
ALWAYS = ("image_id", "path", "patient_id", "task", "side", "hb_grade", "dataset")
"""Columns that every manifest of a reader has, known or not."""
PARTS = ("train", "val", "test")
SHARES = (0.70, 0.15, 0.15)
"""Of the patients in each part, unless others are asked for."""

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

    An `error` lost a photograph, a row or a value; a `warning` kept everything, but look at it
    before you evaluate; a `note` tells a known peculiarity, and how it was handled. `kind` is a
    short stable name such as `missing_photograph`, to sort and filter by; `what` begins a sentence
    that `advice` ends. `file` is relative to the dataset's folder, its `rows` are those that a
    spreadsheet shows: the header of a plain table is row 1.
    """

    severity: Severity
    kind: str
    what: str
    advice: str = ""
    file: str = ""
    rows: tuple[int, ...] = ()
    patient_id: str = ""

    def sentence(self) -> str:
        """Return the problem as one sentence: where, what, and what to do."""
        rows = ("row " if len(self.rows) == 1 else "rows ") + say_list(self.rows, at_most=6)
        where = ", ".join(part for part in (self.file, rows if self.rows else "") if part)
        end = f"; {self.advice}." if self.advice else "."
        return f"{where}: {self.what}{end}" if where else f"{self.what}{end}"


error: Callable[..., Problem] = partial(Problem, "error")
warning: Callable[..., Problem] = partial(Problem, "warning")
note: Callable[..., Problem] = partial(Problem, "note")


@dataclass(frozen=True)
class Dataset:
    """A dataset as its reader (`name`) read it from disk, below `root`.

    The manifest follows `common.tables.MANIFEST`, in natural order of `image_id`, which is relative
    to `root`; `path` is absolute. The problems stand in the order in which they were found.
    """

    name: str
    root: Path
    manifest: pd.DataFrame
    problems: tuple[Problem, ...] = ()


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


class Problems(list[Problem]):
    """Problems in the order in which they are met."""

    def error(self, *what: str, **where: Any) -> None:
        """Say what was lost, as `Problem` does."""
        self.append(error(*what, **where))

    def warning(self, *what: str, **where: Any) -> None:
        """Say what to look at."""
        self.append(warning(*what, **where))

    def note(self, *what: str, **where: Any) -> None:
        """Say what was handled."""
        self.append(note(*what, **where))


class Reading:
    """A dataset while it is read: its folder, `root`, and the problems met so far.

    UserError when the folder is none.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name, self.root = name, open_root(root)
        self.problems = problems = Problems()
        self.error, self.warning, self.note = problems.error, problems.warning, problems.note

    def photos(self, folder: Path | None = None) -> list[tuple[str, Path]]:
        """Return (`image_id`, path) of each photograph below a folder, the root when not given."""
        found = list_photos(folder or self.root)
        for sentence in found.problems:
            self.error("unsearched_folder", sentence.rstrip("."))
        for sentence in found.others:
            self.warning("unread_pictures", sentence.rstrip("."))
        return list(found.photos)

    def id_of(self, path: Path) -> str:
        """Return the path from the root."""
        return image_id_of(path, self.root)

    def dataset(self, rows: Sequence[Mapping[str, Any]] | pd.DataFrame) -> Dataset:
        """Return what was read, with the manifest of these rows."""
        manifest = make_manifest(rows, dataset=self.name)
        return Dataset(self.name, self.root, manifest, tuple(self.problems))


def write_problems(problems: Sequence[Problem], path: Path) -> None:
    """Write the problems as a table (`PROBLEMS`)."""
    rows = [{**vars(one), "rows": " ".join(map(str, one.rows))} for one in problems]
    frame = pd.DataFrame(rows, columns=list(PROBLEMS.columns), dtype="str")
    write_table(frame.mask(frame == ""), path, schema=PROBLEMS)


def split_by_patient(
    manifest: pd.DataFrame, *, shares: tuple[float, ...] = SHARES, seed: int = 0
) -> tuple[pd.DataFrame, list[Problem]]:
    """Add the column `split`; all photographs of a patient are in one part.

    Patients are shuffled, put in order of their highest grade, and each in turn goes to the part
    that is furthest behind its share of the patients, so that every part gets its share of every
    grade as nearly as whole patients allow. The problems name the grades that a part lacks.

    `manifest`: with `patient_id` and, where known, `hb_grade` or `palsy_class`.
    `shares`: of train, validation and test, as parts of 1 or in percent.
    """
    whole = sum(shares)
    summed = any(abs(whole - full) < 1e-6 * full for full in (1, 100))
    if len(shares) != len(PARTS) or min(shares) <= 0 or not summed:
        given = " ".join(f"{share:g}" for share in shares)
        raise UserError(
            "The shares of train, val and test must be three positive numbers that sum to 1 or to "
            f"100, not {given}: give for instance --shares 70 15 15."
        )
    patients = sorted(manifest["patient_id"].unique(), key=natural_key)
    shuffled = [patients[i] for i in np.random.default_rng(seed).permutation(len(patients))]
    strongest = severities(manifest).fillna(0.0).groupby(manifest["patient_id"]).max()
    ordered = sorted(shuffled, key=lambda patient: float(strongest[patient]))
    dealt = np.zeros(len(PARTS))
    part_of = {}
    for turn, patient in enumerate(ordered, start=1):
        behind = int(np.argmax(np.array(shares) / whole * turn - dealt))
        dealt[behind] += 1
        part_of[patient] = PARTS[behind]
    divided = manifest.assign(split=manifest["patient_id"].map(part_of))
    return divided, _grades_without_patients(divided)


def _grades_without_patients(manifest: pd.DataFrame) -> list[Problem]:
    grades = sorted(manifest["hb_grade"].dropna().unique())
    problems = []
    for part in PARTS:
        has = set(manifest.loc[manifest["split"] == part, "hb_grade"].dropna())
        absent = [int(grade) for grade in grades if grade not in has]
        if absent:
            what = f"the {part} part has no patient of grade {say_list(absent, at_most=6)}"
            advice = "there are too few such patients for three parts; prefer cross-validation"
            problems.append(warning("grade_not_in_split", what, advice))
    return problems


def say_list(items: Iterable[object], *, at_most: int = 4) -> str:
    """Return `a, b, c and 5 more`."""
    shown = [str(item) for item in items]
    if len(shown) <= at_most:
        return ", ".join(shown)
    return ", ".join(shown[: at_most - 1]) + f" and {len(shown) - at_most + 1} more"


DEFAULT_PATTERN = r"(?P<patient>[A-Za-z]*[-_]?\d+)"
"""Letters and the first number: `P012_left_3.jpg` is patient P012."""

_SIDE = re.compile(r"(?:^|[^a-z])(left|right|l|r)(?=$|[^a-z])", re.IGNORECASE)


def open_root(root: Path) -> Path:
    """Return `root` as an absolute path without links; UserError when it is no folder."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: give the folder that holds the dataset.")
    return root.resolve()


def folders_below(root: Path, *, depth: int) -> list[Path]:
    """Return `root` and the folders below it, at most `depth` deep, shallow ones first."""
    level, found = [root], [root]
    for _ in range(depth):
        level = [
            Path(entry.path)
            for folder in level
            for entry in sorted(os.scandir(folder), key=lambda entry: natural_key(entry.name))
            if entry.is_dir() and not entry.name.startswith((".", "__MACOSX"))
        ]
        found += level
    return found


class PatientPattern:
    """Finds the patient in a file or folder name.

    `pattern`: regular expression, searched in the name without its ending; the group `patient`,
    or else the first group, or else the whole match is the patient. None takes
    `DEFAULT_PATTERN`.
    """

    def __init__(self, pattern: str | None = None) -> None:
        self.pattern = pattern or DEFAULT_PATTERN
        try:
            self._regex = re.compile(self.pattern)
        except re.error as fault:
            raise UserError(
                f'--patient-pattern "{pattern}" is no regular expression ({fault}): write for '
                "instance (?P<patient>P[0-9]+)."
            ) from fault

    def patient_in(self, name: str) -> str | None:
        """Return the patient, or None when the name does not fit."""
        match = self._regex.search(name)
        if match is None:
            return None
        if "patient" in self._regex.groupindex:
            return match["patient"] or None
        return (match[1] if self._regex.groups else match[0]) or None

    def doubts(self, patients: Sequence[str]) -> list[Problem]:
        """Say when nearly every photograph got a patient of its own, or all got one."""
        shown, photographs, number = self.pattern, len(patients), len(set(patients))
        if photographs < 4 or number not in (1, photographs):
            return []
        what = f'"{shown}" gives all {photographs} photographs the same patient'
        if number > 1:
            what = f'"{shown}" gives each of {number} photographs a patient of its own'
        advice = "check with --patient-pattern, for a split must hold a patient's photographs"
        return [warning("doubtful_patients", what, f"{advice} together")]


def side_in(name: str) -> str:
    """Return the `left` or `right` that a name tells, `unknown` when it tells none or both."""
    words = {found.lower()[0] for found in _SIDE.findall(name.replace("_", " "))}
    return {"l": "left", "r": "right"}[words.pop()] if len(words) == 1 else "unknown"
