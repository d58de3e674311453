"""The section of a report on where branches disagree: tables and thumbnails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from classifiers.branches.branch import SharedAnswers
from classifiers.branches.comparison import BranchComparison
from classifiers.reports.patient_pages import TELLING
from common.errors import PhotoError
from common.files import natural_key
from common.grading.plots import roman
from common.photos import read_photo
from common.report import Picture, Report, image_picture
from common.words import spoken

SHOWN = 12  # disagreements in the report; all of them are in the table
THUMBNAIL = 150  # px


def add_disagreements(
    report: Report,
    levels: list[BranchComparison],
    *,
    manifest: pd.DataFrame | None,
    redact: bool = False,
) -> None:
    """Add who was right where the branches disagree: tables and, unless redacted, photographs."""
    section = report.section("Where they disagree, and who was right")
    for level in reversed(levels):
        table = level.disagreements
        n = len(level.shared.rows)
        section.subheading(f"Per {level.shared.unit}")
        if table.empty:
            section.text(f"All {n} answers are the same.")
            continue
        section.text(
            f"{len(table)} of {n} answers differ; the farthest apart are shown, all of them are in "
            "disagreements.csv."
        )
        numbers = {
            name: number
            for number, name in enumerate(
                sorted(set(level.shared.patients.tolist()), key=natural_key), start=1
            )
        }
        top = table.head(SHOWN)
        section.table(_shown(top, level.shared, numbers=numbers if redact else None))
        if not redact and manifest is not None:
            section.gallery(_pictures(top, level.shared, manifest))


def _shown(
    table: pd.DataFrame, shared: SharedAnswers, *, numbers: dict[str, int] | None
) -> pd.DataFrame:
    place = _answer_names(shared)
    columns: dict[str, object] = {
        "Patient": [numbers[name] if numbers else name for name in table["patient_id"]]
    }
    if shared.unit == "photograph":
        columns["Movement"] = list(map(_task, table["task"]))
    columns["Side"] = table["side"]
    columns["Reference"] = [_class(shared, value) for value in table[shared.target.column]]
    for name in shared.names:
        columns[name] = [
            f"{place[answer]}\n{chance:.0%} sure"
            for answer, chance in zip(
                table[f"predicted_{name}"], table[f"certainty_{name}"], strict=True
            )
        ]
    columns["Correct"] = [
        f"none\nnearest: {nearest}" if right == "none" else right
        for right, nearest in zip(table["right"], table["nearest"], strict=True)
    ]
    return pd.DataFrame(columns)


def _pictures(table: pd.DataFrame, shared: SharedAnswers, manifest: pd.DataFrame) -> list[Picture]:
    """Return a thumbnail of every row whose photograph can be read."""
    names = _answer_names(shared)
    pictures = []
    for row in table.to_dict("records"):
        path = _photograph(row, shared, manifest)
        if path is None:
            continue
        try:
            photo = read_photo(path, min_side=2 * THUMBNAIL)
        except PhotoError:
            continue
        said = ", ".join(f"{name} {names[row[f'predicted_{name}']]}" for name in shared.names)
        task = "" if shared.unit == "patient" else f", {_task(row['task'])}"
        truth = _class(shared, row[shared.target.column])
        words = f"{row['patient_id']}{task}: reference {truth}, {said}; correct: {row['right']}"
        pictures.append(image_picture(photo.pixels, alt=words, caption=words, width=THUMBNAIL))
    return pictures


def _photograph(row: dict[Any, Any], shared: SharedAnswers, manifest: pd.DataFrame) -> Path | None:
    """Return the photograph of a row; of a patient, one of a telling movement."""
    if shared.unit == "photograph":
        own = manifest[manifest["image_id"] == row["image_id"]]
    else:
        own = manifest[manifest["patient_id"] == row["patient_id"]]
        if "task" in own:
            for task in TELLING:
                if (own["task"] == task).any():
                    return Path(str(own.loc[own["task"] == task, "path"].iat[0]))
    return Path(str(own["path"].iat[0])) if len(own) else None


def _answer_names(shared: SharedAnswers) -> dict[object, str]:
    """Return what a report calls each answer of a table."""
    numbers = np.arange(1, len(shared.target.classes) + 1)
    return dict(zip(shared.target.named(numbers), roman(shared.target), strict=True))


def _class(shared: SharedAnswers, truth: object) -> str:
    """Return the class of a truth as a clinician writes it."""
    return roman(shared.target)[shared.target.number_of[truth] - 1]


def _task(task: Any) -> str:
    return "–" if pd.isna(task) else spoken(task)
