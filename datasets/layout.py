"""What readers take from a folder tree: its files, and patient and side from their names."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from common.files import natural_key
from common.photos import list_photos
from datasets.dataset import Problem, error, warning

DEFAULT_PATTERN = r"(?P<patient>[A-Za-z]*[-_]?\d+)"
"""Letters and the first number: `P012_left_3.jpg` is patient P012."""

_SIDE = re.compile(r"(?:^|[^a-z])(left|right|l|r)(?=$|[^a-z])", re.IGNORECASE)


def open_root(root: Path) -> Path:
    """Return `root` as an absolute path without links; UserError when it is no folder."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: give the folder that holds the dataset.")
    return root.resolve()


def photos_below(root: Path) -> tuple[list[tuple[str, Path]], list[Problem]]:
    """Return (`image_id`, path) of each photograph, in natural order; what was not searched."""
    found = list_photos(root)
    problems = [error("unsearched_folder", sentence.rstrip(".")) for sentence in found.problems]
    problems += [warning("unread_pictures", sentence.rstrip(".")) for sentence in found.others]
    return list(found.photos), problems


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
