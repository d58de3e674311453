"""What readers need of a folder tree: its files, and how deep the dataset lies in it."""

from __future__ import annotations

import os
from pathlib import Path

from common.errors import UserError
from common.files import natural_key
from common.photos import image_id_of, list_photos
from datasets.dataset import Problem, error, warning

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".m4v", ".mkv", ".mpg", ".mpeg", ".wmv", ".webm")


def open_root(root: Path) -> Path:
    """Return `root` as an absolute path without links.

    Raises
    ------
    UserError
        When it is no folder.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: give the folder that holds the dataset.")
    return root.resolve()


def photos_below(root: Path) -> tuple[list[tuple[str, Path]], list[Problem]]:
    """Return (`image_id`, path) of each photograph, in natural order; what was not searched."""
    found = list_photos(root)
    problems = [error("unsearched_folder", sentence.rstrip(".")) for sentence in found.problems]
    problems += [warning("unread_pictures", sentence.rstrip(".")) for sentence in found.others]
    return list(found.photos), problems


def videos_below(root: Path) -> list[tuple[str, Path]]:
    """Return (path below `root` with `/`, path) of every video, in natural order."""
    videos = [
        (image_id_of(path, root), path)
        for here, _, files in os.walk(root)
        for path in (Path(here) / name for name in files)
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")
    ]
    return sorted(videos, key=lambda video: natural_key(video[0]))


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


def below(path: Path, root: Path) -> str:
    """Return `path` relative to `root`, with `/`, for sentences and columns."""
    return image_id_of(path, root)
