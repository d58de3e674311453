"""Frames of a clip, as they lie in a folder: read for datasets and for flow alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.files import natural_key
from common.photos import PHOTO_SUFFIXES

ANNOTATED = "annotated"
"""Source of an apex that somebody marked."""


@dataclass(frozen=True)
class Frames:
    """The frames of a folder: file name by frame number."""

    folder: Path
    names: Mapping[int, str]

    def between(self, first: int, last: int) -> list[int]:
        """Return the numbers of the frames that are there, from `first` to `last`."""
        return [number for number in sorted(self.names) if first <= number <= last]


def read_frames(folder: Path) -> Frames:
    """List the frames of a folder: the last number of a file name is the frame's."""
    names: dict[int, str] = {}
    for path in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
        numbers = re.findall(r"\d+", path.stem)
        if path.suffix.lower() in PHOTO_SUFFIXES and numbers and not path.name.startswith("."):
            names.setdefault(int(numbers[-1]), path.name)
    return Frames(folder, names)
