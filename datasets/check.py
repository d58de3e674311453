"""Every problem of a manifest at once: grades, sides, patients, tasks, and the photographs.

`check_manifest` takes any manifest, also one made by hand that breaks its own rules; rows are
counted as a spreadsheet shows the manifest, the header being row 1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from common.errors import PhotoError
from common.files import natural_key, sha256_of
from common.films import FILM_SUFFIXES
from common.grading.numeric_target import NUMERIC, other_unit_in_words
from common.photos import PHOTO_SUFFIXES, read_photo
from common.tables import GRADES, SIDES
from common.words import counted
from datasets.dataset import Problem, Problems, say_list
from datasets.vocabulary import parse_date

_THREADS = 4  # reading waits for the disk more than it computes
_MIN_SIDE = 16  # px; a JPEG is decoded to its end, but at an eighth of its size
_OF_A_PATIENT = {
    "hb_grade": (
        "grades",
        "give all photographs of a patient the same, or add a column visit if it changed",
    ),
    "side": ("sides", "check which is right; left and right are the patient's"),
    "date": ("dates", "give each visit one, and tell visits apart in a column visit"),
    **{name: (f"{name} scores", "give all photographs of a visit the same") for name in NUMERIC},
}
_VISIT_NAME = re.compile(
    r"(?P<person>.+?)[ _.-]+(?:v|t|visit|session|besuch|termin)[ _.-]*\d{1,3}", re.IGNORECASE
)
"""A patient's name that ends like a visit: `P01_v1`, `P01 visit 2`, `P01-T3`."""
_KEY_FRAMES = ["onset_file", "apex_file", "offset_file"]


@dataclass(frozen=True)
class PhotoCheck:
    """What a look into a photograph found: its SHA-256, or the reason why it cannot be read."""

    sha256: str | None
    reason: str | None


def check_manifest(
    manifest: pd.DataFrame,
    *,
    images: bool = True,
    tasks: Sequence[str] | None = None,
    file: str = "manifest",
) -> list[Problem]:
    """Return every problem of a manifest, in one list.

    `manifest`: as `common.tables.read_manifest` gives it, or any table with `image_id`, `path`
    and `patient_id`; values may be wrong.
    `images`: open every photograph: unreadable files and duplicates are found by it.
    `tasks`: what every patient must have done. None takes what at least half of the patients
    have done; an empty sequence expects nothing.
    `file`: name of the manifest, for the sentences.
    """
    table = manifest.set_axis(range(2, len(manifest) + 2))  # rows as a spreadsheet shows them
    problems = Problems()
    _check_cells(table, problems)
    for column, (name, advice) in _OF_A_PATIENT.items():
        if column in table:
            _tell_disagreeing(table, column, problems, name=name, advice=advice)
    _tell_visits_as_patients(table, problems)
    _tell_missing_tasks(table, tasks, problems)
    if images:
        _check_photos(table, problems)
    return [replace(problem, file=file) for problem in problems]


def check_photo(path: Path, key_frames: Sequence[str] = ()) -> PhotoCheck:
    """Read a photograph, a video, or the key frames of a clip's folder to the end of their data.

    The SHA-256 is that of the file, and of a clip that of its key frames' digests. A JPEG is
    decoded at an eighth of its size, which reads all of it; a video is hashed, not decoded.
    """
    try:
        if path.is_dir():
            frames = [path / name for name in key_frames] or _some_frames(path)
            digests = [read_photo(frame, grey=True, min_side=_MIN_SIDE).sha256 for frame in frames]
            return PhotoCheck(hashlib.sha256("".join(digests).encode()).hexdigest(), None)
        if path.suffix.lower() in FILM_SUFFIXES:
            return PhotoCheck(sha256_of(path), None)
        return PhotoCheck(read_photo(path, grey=True, min_side=_MIN_SIDE).sha256, None)
    except PhotoError as fault:
        return PhotoCheck(None, str(fault).rstrip("."))
    except OSError as fault:
        return PhotoCheck(None, f"{path.name} cannot be opened ({fault.strerror or fault})")


def _check_cells(table: pd.DataFrame, problems: Problems) -> None:
    """Name what stands in a cell and cannot: repeated names, no patient, what is no value."""
    empty = pd.Series(dtype="object")
    grades, sides, dates = (table.get(name, empty) for name in ("hb_grade", "side", "date"))
    for name, rows in _rows_by_value(table["image_id"]):
        if len(rows) > 1:
            what = f"the image_id {name} stands in {counted(len(rows), 'row')}"
            problems.error("repeated_image_id", what, "every photograph has one row", rows=rows)
    rows = tuple(table.index[table["patient_id"].isna() | table["patient_id"].eq("")])
    if rows:
        what = f"{counted(len(rows), 'photograph')} without a patient"
        problems.error("no_patient", what, "name one, to hold them out of training", rows=rows)
    right = grades.isna() | pd.to_numeric(grades, errors="coerce").isin(GRADES)
    for value, rows in _rows_by_value(grades[~right]):
        what = f'the grade "{value}" is no House-Brackmann grade'
        advice = "write 1 to 6, or leave it empty"
        problems.error("grade_out_of_range", what, advice, rows=rows)
    for value, rows in _rows_by_value(sides[~sides.isin(SIDES)]):
        what = f'the side "{value}" is none of {", ".join(SIDES)}'
        advice = "write one of them, meaning the patient's side"
        problems.error("unreadable_side", what, advice, rows=rows)
    _check_scores(table, problems)
    dates = dates.dropna()
    for value, rows in _rows_by_value(dates[[parse_date(str(one)) != one for one in dates]]):
        advice = "write year-month-day, 2024-04-03"
        problems.error("no_date", f'"{value}" is no date', advice, rows=rows)


def _check_scores(table: pd.DataFrame, problems: Problems) -> None:
    """Scores that are no number of their scale, and columns that seem to hold two units."""
    for scale in (scale for name, scale in NUMERIC.items() if name in table):
        cells = table[scale.column]
        values = pd.to_numeric(cells, errors="coerce").astype(float)
        right = cells.isna() | values.between(scale.low, scale.high)
        advice = f"write a number from {scale.low:g} to {scale.high:g}, or leave it empty"
        for value, rows in _rows_by_value(cells[~right]):
            what = f'the {scale.name} score "{value}" is out of its range'
            problems.error("score_out_of_range", what, advice, rows=rows)
        said = other_unit_in_words(values.where(right), target=scale)
        if said:
            what, _, advice = said.rstrip(".").rpartition(": ")
            problems.warning("two_units", what, advice)


def _tell_disagreeing(
    table: pd.DataFrame, column: str, problems: Problems, *, name: str, advice: str
) -> None:
    """Patients (or visits) with several values of what holds for the whole patient."""
    told = table[table[column].notna() & table[column].astype("object").ne("unknown")]
    keys = ["patient_id", *(["visit"] if "visit" in table else [])]
    pairs = told.drop_duplicates([*keys, column])
    several = pairs[pairs.duplicated(keys, keep=False)]
    rows = _rows_of(told, patients=several["patient_id"])
    for patient, own in several.groupby("patient_id"):
        what = f"{patient} has several {name}: {say_list(sorted(own[column].astype(str)))}"
        at = {"rows": rows[patient], "patient_id": str(patient)}
        problems.warning(f"two_{name.replace(' ', '_')}", what, advice, **at)


def _tell_visits_as_patients(table: pd.DataFrame, problems: Problems) -> None:
    """Patients whose names differ in the number of a visit only: one person, told apart."""
    people: dict[str, list[str]] = {}
    for name in table["patient_id"].dropna().astype(str).unique():
        match = _VISIT_NAME.fullmatch(name)
        if match:
            people.setdefault(match["person"].casefold(), []).append(name)
    advice = "give one patient_id and a column visit, or the same face may be learned and tested"
    for names in people.values():
        if len(names) > 1:
            what = f"{say_list(names)} look like visits of one patient"
            problems.warning("visits_as_patients", what, advice)


def _tell_missing_tasks(
    table: pd.DataFrame, tasks: Sequence[str] | None, problems: Problems
) -> None:
    if "task" not in table or (tasks is not None and not tasks):
        return
    told = table[table["task"].notna()]
    if told.empty:
        return
    if len(told) < len(table):
        rows = tuple(table.index[table["task"].isna()])
        what = f"{counted(len(rows), 'photograph')} without a task"
        problems.warning("no_task", what, "fill the column task", rows=rows)
    done = told.groupby(["patient_id", "task"]).size().unstack(fill_value=0).astype(bool)
    expected = list(tasks) if tasks else [str(task) for task in done if done[task].mean() >= 0.5]
    done = done.reindex(columns=expected, fill_value=False)
    lacking = done.index[~done.all(axis=1)]
    own_rows = _rows_of(table, patients=lacking)
    for patient in sorted(lacking, key=natural_key):
        absent = [task for task in expected if not done.at[patient, task]]
        what = f"{patient} has no photograph of {say_list(absent, at_most=8)}"
        advice = "look for it; nothing is put in its place"
        at = {"rows": own_rows[patient], "patient_id": str(patient)}
        problems.warning("missing_task", what, advice, **at)


def _check_photos(table: pd.DataFrame, problems: Problems) -> None:
    """Open every photograph once; name those that cannot be read and those that are the same."""
    clips = table.reindex(columns=_KEY_FRAMES).to_numpy()
    frames = [[name for name in names if isinstance(name, str)] for names in clips]
    with ThreadPoolExecutor(_THREADS) as pool:
        checks = list(pool.map(check_photo, map(Path, table["path"]), frames))
    patients = table["patient_id"].astype("object").fillna("").astype(str)
    for row, check in zip(table.index, checks, strict=True):
        if check.reason is not None:
            problems.error("unreadable", check.reason, rows=(row,), patient_id=patients[row])
    digests = pd.Series([check.sha256 for check in checks], table.index, dtype="object")
    for _, rows in _rows_by_value(digests.dropna()):
        if len(rows) > 1:
            _tell_duplicate(table.loc[list(rows)], problems)


def _tell_duplicate(same: pd.DataFrame, problems: Problems) -> None:
    names = " = ".join(same["image_id"].astype(str))
    patients = sorted(same["patient_id"].dropna().astype(str).unique(), key=natural_key)
    rows = tuple(same.index)
    if len(patients) > 1:
        what = f"one photograph stands for several patients ({say_list(patients)}): {names}"
        advice = "find out whose it is, for it may reach both training and test"
        problems.warning("duplicate_across_patients", what, advice, rows=rows)
    else:
        what = f"the same photograph twice: {names}"
        problems.warning("duplicate_photograph", what, "keep one of them", rows=rows)


def _rows_of(table: pd.DataFrame, *, patients: Iterable[object]) -> dict[object, tuple[int, ...]]:
    """Return the rows of each of these patients."""
    own = table[table["patient_id"].isin(list(patients))]
    return dict(_rows_by_value(own["patient_id"]))


def _rows_by_value(cells: pd.Series) -> list[tuple[object, tuple[int, ...]]]:
    """Return each value with its rows, in the order of the first row."""
    rows: dict[object, list[int]] = {}
    for row, value in zip(cells.index.tolist(), cells.astype("object").tolist(), strict=True):
        rows.setdefault("" if pd.isna(value) else value, []).append(row)
    return [(value, tuple(same)) for value, same in rows.items()]


def _some_frames(folder: Path) -> list[Path]:
    frames = sorted(
        (path for path in folder.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES),
        key=lambda path: natural_key(path.name),
    )
    if not frames:
        raise PhotoError(f"{folder.name} holds no frames.")
    return [frames[0], frames[len(frames) // 2], frames[-1]]
