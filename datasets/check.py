"""Every problem of a manifest at once: grades, sides, patients, tasks, and the photographs.

`check_manifest` takes any manifest, also one made by hand that breaks its own rules; rows are
counted as a spreadsheet shows the manifest, the header being row 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from common.errors import PhotoError
from common.files import natural_key, sha256_of
from common.photos import PHOTO_SUFFIXES, read_photo
from common.tables import GRADES, SIDES
from datasets.dataset import Problem, error, say_list, warning
from datasets.layout import VIDEO_SUFFIXES

_THREADS = 4  # reading waits for the disk more than it computes
_MIN_SIDE = 16  # px; a JPEG is decoded to its end, but at an eighth of its size
_ONE_GRADE = "give all photographs of a patient the same, or add a column visit if it changed"
_ONE_SIDE = "check which is right; left and right are the patient's"
_KEY_FRAMES = ("onset_file", "apex_file", "offset_file")


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

    Parameters
    ----------
    manifest
        As `common.tables.read_manifest` gives it, or any table with `image_id`, `path` and
        `patient_id`; values may be wrong.
    images
        Open every photograph: unreadable files and duplicates are found by it.
    tasks
        What every patient must have done. None takes what at least half of the patients have
        done; an empty sequence expects nothing.
    file
        Name of the manifest, for the sentences.
    """
    table = manifest.reset_index(drop=True)
    problems = [
        *_repeated_image_ids(table, file),
        *_missing_patients(table, file),
        *_bad_grades(table, file),
        *_bad_sides(table, file),
        *_disagreeing(table, "hb_grade", "two_grades", _ONE_GRADE, file),
        *_disagreeing(table, "side", "two_sides", _ONE_SIDE, file),
        *_missing_tasks(table, tasks, file),
    ]
    if images:
        problems += _photo_problems(table, file)
    return problems


def check_photo(path: Path, key_frames: Sequence[str] = ()) -> PhotoCheck:
    """Read a photograph, a video or a clip to the end of its data.

    Parameters
    ----------
    path
        File, or the folder of a clip.
    key_frames
        Of a clip: the frames that are read.

    Returns
    -------
    PhotoCheck
        The SHA-256 is that of the file, and of a clip that of its key frames' digests. A JPEG is
        decoded at an eighth of its size, which reads all of it; a video is hashed, not decoded.
    """
    try:
        if path.is_dir():
            frames = [path / name for name in key_frames] or _some_frames(path)
            digests = [read_photo(frame, grey=True, min_side=_MIN_SIDE).sha256 for frame in frames]
            return PhotoCheck(hashlib.sha256("".join(digests).encode()).hexdigest(), None)
        if path.suffix.lower() in VIDEO_SUFFIXES:
            return PhotoCheck(sha256_of(path), None)
        return PhotoCheck(read_photo(path, grey=True, min_side=_MIN_SIDE).sha256, None)
    except PhotoError as fault:
        return PhotoCheck(None, str(fault).rstrip("."))
    except OSError as fault:
        return PhotoCheck(None, f"{path.name} cannot be opened ({fault.strerror or fault})")


def _repeated_image_ids(table: pd.DataFrame, file: str) -> list[Problem]:
    say = partial("the image_id {0} stands in {1} rows".format)
    advice = "every photograph has one row"
    return [
        error("repeated_image_id", say(name, len(rows)), advice, file=file, rows=_shown(rows))
        for name, rows in _groups(table, "image_id")
        if len(rows) > 1
    ]


def _missing_patients(table: pd.DataFrame, file: str) -> list[Problem]:
    empty = table["patient_id"].isna() | (table["patient_id"].astype("object") == "")
    if not empty.any():
        return []
    what = f"{int(empty.sum())} photographs have no patient"
    advice = "without a patient they cannot be held out of training"
    rows = _shown(table.index[empty])
    return [error("no_patient", what, advice, file=file, rows=rows)]


def _bad_grades(table: pd.DataFrame, file: str) -> list[Problem]:
    if "hb_grade" not in table:
        return []
    cells = table["hb_grade"]
    wrong = cells.notna() & ~pd.to_numeric(cells, errors="coerce").isin(GRADES)
    return [
        error(
            "grade_out_of_range",
            f'the grade "{value}" is no House-Brackmann grade',
            "write 1 to 6, or leave it empty",
            file=file,
            rows=_shown(rows),
        )
        for value, rows in _groups(table[wrong], "hb_grade")
    ]


def _bad_sides(table: pd.DataFrame, file: str) -> list[Problem]:
    if "side" not in table:
        return []
    return [
        error(
            "unreadable_side",
            f'the side "{value}" is none of {", ".join(SIDES)}',
            "write one of them, meaning the patient's side",
            file=file,
            rows=_shown(rows),
        )
        for value, rows in _groups(table[~table["side"].isin(SIDES)], "side")
    ]


def _disagreeing(
    table: pd.DataFrame, column: str, kind: str, advice: str, file: str
) -> list[Problem]:
    """Patients who have several values of a column that holds for the whole patient (or visit)."""
    if column not in table:
        return []
    told = table[table[column].notna() & (table[column].astype("object") != "unknown")]
    keys = ["patient_id", *(["visit"] if "visit" in table else [])]
    pairs = told.drop_duplicates([*keys, column])
    several = pairs[pairs.duplicated(keys, keep=False)]
    own_rows = told.groupby("patient_id").groups
    problems = []
    for patient, own in several.groupby("patient_id"):
        values = say_list(sorted(own[column].astype(str)))
        name = "grades" if column == "hb_grade" else "sides"
        at = {"file": file, "rows": _shown(own_rows[patient]), "patient_id": str(patient)}
        problems.append(warning(kind, f"{patient} has several {name}: {values}", advice, **at))
    return problems


def _missing_tasks(table: pd.DataFrame, tasks: Sequence[str] | None, file: str) -> list[Problem]:
    if "task" not in table or (tasks is not None and not tasks):
        return []
    told = table[table["task"].notna()]
    problems = []
    if 0 < len(told) < len(table):
        rows = _shown(table.index[table["task"].isna()])
        what = f"{len(rows)} photographs have no task"
        problems.append(warning("no_task", what, "fill the column task", file=file, rows=rows))
    if told.empty:
        return problems
    done = pd.crosstab(told["patient_id"], told["task"]).astype(bool)
    expected = list(tasks) if tasks else [str(task) for task in done if done[task].mean() >= 0.5]
    done = done.reindex(columns=expected, fill_value=False)
    own_rows = table.groupby("patient_id").groups
    for patient in sorted(done.index[~done.all(axis=1)], key=natural_key):
        absent = [task for task in expected if not done.at[patient, task]]
        rows = _shown(own_rows[patient])
        what = f"{patient} has no photograph of {say_list(absent, at_most=8)}"
        advice = "look for it; nothing is put in its place"
        at = {"file": file, "rows": rows, "patient_id": str(patient)}
        problems.append(warning("missing_task", what, advice, **at))
    return problems


def _photo_problems(table: pd.DataFrame, file: str) -> list[Problem]:
    """Open every photograph once; name those that cannot be read and those that are the same."""
    clips = table.reindex(columns=list(_KEY_FRAMES))
    frames = [[name for name in names if isinstance(name, str)] for names in clips.to_numpy()]
    with ThreadPoolExecutor(_THREADS) as pool:
        checks = list(pool.map(check_photo, map(Path, table["path"]), frames))
    problems = [
        error(
            "unreadable",
            check.reason,
            file=file,
            rows=(row + 2,),
            patient_id=_text(table["patient_id"].iat[row]),
        )
        for row, check in enumerate(checks)
        if check.reason is not None
    ]
    digests = pd.Series([check.sha256 for check in checks], table.index, dtype="object")
    hashed = table.assign(sha256=digests)
    for _, rows in _groups(hashed[hashed["sha256"].notna()], "sha256"):
        if len(rows) > 1:
            problems.append(_duplicate(table.loc[rows], file))
    return problems


def _duplicate(same: pd.DataFrame, file: str) -> Problem:
    names = " = ".join(same["image_id"].astype(str))
    patients = sorted(same["patient_id"].dropna().astype(str).unique(), key=natural_key)
    at = {"file": file, "rows": _shown(same.index)}
    if len(patients) > 1:
        what = f"one photograph stands for several patients ({say_list(patients)}): {names}"
        advice = "find out whose it is, for it may reach both training and test"
        return warning("duplicate_across_patients", what, advice, **at)
    advice = "keep one of them"
    return warning("duplicate_photograph", f"the same photograph twice: {names}", advice, **at)


def _groups(table: pd.DataFrame, column: str) -> list[tuple[str, pd.Index]]:
    """Return (value, index of its rows) in the order of the first row."""
    grouped = table.groupby(table[column].astype("object"), sort=False, dropna=False)
    return [(_text(value), same.index) for value, same in grouped]


def _some_frames(folder: Path) -> list[Path]:
    frames = sorted(
        (path for path in folder.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES),
        key=lambda path: natural_key(path.name),
    )
    if not frames:
        raise PhotoError(f"{folder.name} holds no frames.")
    return [frames[0], frames[len(frames) // 2], frames[-1]]


def _shown(index: pd.Index | Sequence[int]) -> tuple[int, ...]:
    """Row numbers as a spreadsheet shows them."""
    return tuple(int(row) + 2 for row in index)


def _text(value: object) -> str:
    missing: Callable[[object], object] = pd.isna  # type: ignore[assignment]
    return "" if missing(value) else str(value)
