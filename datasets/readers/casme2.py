"""CASME II: 26 subjects, 200 frames per second, a coding sheet with onset, apex, offset, emotion.

Known of the sheet: some clips have `/` in place of an apex, two columns have no heading, and the
subject is a number where the folder is `sub01`. Source: Yan et al. 2014, PLoS ONE 9:e86041,
doi 10.1371/journal.pone.0086041.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from datasets.dataset import Dataset, Problem, note
from datasets.layout import below, folders_below, open_root
from datasets.readers.coded_clips import (
    Coding,
    codings_of,
    duplicate_rows,
    read_coded_clips,
    read_sheet,
    simple_name,
    unlisted_clips,
)

FPS = 200
_SUBJECT = re.compile(r"sub0*(\d+)", re.IGNORECASE)


def read_casme2(root: Path, *, table: Path | None = None) -> Dataset:
    """Read the clips of the CASME II coding sheet.

    Parameters
    ----------
    root
        Folder that holds the sheet and the frames (`CASME2_RAW/sub01/EP02_01f/img46.jpg`).
    table
        The coding sheet; None looks for `*coding*.xlsx` below `root`.

    Raises
    ------
    UserError
        When there is no coding sheet.
    """
    root = open_root(root)
    sheet = read_sheet(
        root, table, patterns=("*coding*", "*casme2*", "*.xlsx"),
        usual="CASME2-coding-20140508.xlsx",
    )  # fmt: skip
    clips, problems = _clip_folders(root)
    every = [replace(c, subject=f"sub{_number(c.subject).zfill(2)}") for c in codings_of(sheet)]
    codings, doubts = duplicate_rows(every)
    manifest, found = read_coded_clips(
        codings, lambda coding: clips.get(_key(coding)), root=root, fps=FPS, dataset="casme2"
    )
    unlisted = unlisted_clips(clips, map(_key, every), root)
    problems += [*sheet.problems, *doubts, *found, *unlisted]
    return Dataset("casme2", root, manifest, tuple(problems))


def _number(subject: str) -> str:
    return subject.casefold().removeprefix("sub").lstrip("0")


def _key(coding: Coding) -> tuple[str, str]:
    return _number(coding.subject), simple_name(coding.clip)


def _clip_folders(root: Path) -> tuple[dict[tuple[str, str], Path], list[Problem]]:
    """Return the clip folders by subject number and clip; raw frames before cropped ones."""
    subjects = [
        folder for folder in folders_below(root, depth=3) if _SUBJECT.fullmatch(folder.name)
    ]
    parents = sorted({folder.parent for folder in subjects}, key=_preference)
    if not parents:
        return {}, []
    problems = []
    if len(parents) > 1:
        others = ", ".join(below(parent, root) for parent in parents[1:])
        what = f"the frames were taken from {below(parents[0], root)}, not from {others}"
        problems.append(note("several_versions", what))
    clips = {
        (match[1], simple_name(clip.name)): clip
        for folder in subjects
        if folder.parent == parents[0] and (match := _SUBJECT.fullmatch(folder.name))
        for clip in sorted(folder.iterdir())
        if clip.is_dir()
    }
    return clips, problems


def _preference(parent: Path) -> tuple[bool, str]:
    return "raw" not in parent.name.casefold(), parent.name
