"""Clips as the micro-expression datasets have them: folders of frames and a coding sheet.

A clip has an onset (the expression begins), an apex (it is strongest) and an offset (it has gone),
as frame numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from common.films import ANNOTATED, FrameFolder
from common.movements import EMOTION3
from common.photos import image_id_of
from common.words import counted
from datasets.dataset import Problem, error, make_manifest, note, say_list, warning
from datasets.spreadsheet import Column, Spreadsheet
from datasets.vocabulary import parse_frame

NO_APEX = "no apex was annotated"

CODING = (
    Column("subject", ("Sub", "Participant"), required=True),
    Column("clip", ("Filename", "File name", "Video", "Clip name"), required=True),
    Column("onset", ("OnsetFrame", "Onset Frame", "OnsetF"), required=True),
    Column("apex", ("ApexFrame", "Apex Frame", "ApexF")),
    Column("offset", ("OffsetFrame", "Offset Frame", "OffsetF"), required=True),
    Column("emotion", ("Estimated Emotion", "Emotion label")),
)
"""What is read of a coding sheet; its other columns are carried through."""


@dataclass(frozen=True)
class Coding:
    """One row of a coding sheet, and where it stands.

    Subject and clip as the manifest shall name them; frame numbers, None where the cell holds none;
    the emotion in the dataset's own word, lower case; further columns to be carried through.
    """

    subject: str
    clip: str
    onset: int | None
    apex: int | None
    offset: int | None
    emotion: str | None
    file: str
    row: int
    extra: Mapping[str, Any]

    @property
    def at(self) -> dict[str, Any]:
        """Where a problem of this row lies."""
        return {"file": self.file, "rows": (self.row,), "patient_id": self.subject}


def codings_of(sheet: Spreadsheet) -> list[Coding]:
    """Return the rows of a coding sheet that name a clip."""
    known = [column.name for column in CODING]
    extra = {
        name: re.sub(r"\W+", "_", name.strip()).strip("_").lower()
        for name in map(str, sheet.rows)
        if name and name not in known and not name.casefold().startswith("unnamed")
    }
    codings = []
    for row, cells in zip(sheet.rows.index, sheet.rows.to_dict("records"), strict=True):
        subject, clip, onset, apex, offset, emotion = (str(cells.get(name) or "") for name in known)
        if subject and clip:
            codings.append(
                Coding(
                    subject,
                    clip,
                    parse_frame(onset),
                    parse_frame(apex),
                    parse_frame(offset),
                    emotion.strip().lower() or None,
                    sheet.file,
                    int(row),
                    {column: cells[name] for name, column in extra.items()},
                )
            )
    return codings


def one_per_clip(
    codings: Sequence[Coding], *, by_onset: bool = False
) -> tuple[list[Coding], list[Problem]]:
    """Drop rows that repeat a clip; of rows that contradict each other, all.

    `by_onset`: the onset is part of a clip's name, so that rows with different onsets are not the
    same.
    """
    by_clip: dict[tuple[str, str, int | None], list[Coding]] = {}
    for coding in codings:
        onset = coding.onset if by_onset else None
        key = simple_name(coding.subject), simple_name(coding.clip), onset
        by_clip.setdefault(key, []).append(coding)
    kept, problems = [], []
    for first, *others in by_clip.values():
        at = {**first.at, "rows": tuple(coding.row for coding in (first, *others))}
        name = f"the clip {first.subject}/{first.clip}"
        name += f" (onset {first.onset})" if by_onset else ""
        if len({(c.onset, c.apex, c.offset, c.emotion) for c in (first, *others)}) > 1:
            what = f"{name} is listed with different frames or emotions and was left out"
            problems.append(error("contradicting_clip", what, "keep the right row", **at))
            continue
        kept.append(first)
        if others:
            problems.append(note("clip_twice", f"{name} is listed twice and was read once", **at))
    return kept, problems


def clip_row(
    coding: Coding, frames: FrameFolder | None, *, root: Path, fps: int, shared: bool = False
) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Return the manifest row of a clip, or None when it cannot be used, and what was wrong.

    A missing apex stays empty, and `apex_source` says so (`micro flow` then finds it from the
    motion). A clip without folder, onset or apex frame is left out; one without its offset frame
    is kept.

    `frames`: the clip's folder; None when it was not found.
    `root`: the dataset's folder.
    `fps`: frames per second of the camera.
    `shared`: several clips lie in this folder; the onset is put behind it in `image_id`.
    """
    name, at = f"the clip {coding.subject}/{coding.clip}", coding.at
    if frames is None or not frames.names:
        advice = "look for it in the original download"
        return None, [error("missing_clip", f"{name} has no frames", advice, **at)]
    if coding.onset is None or coding.offset is None or coding.onset > coding.offset:
        what = f"{name} has the onset {coding.onset} and offset {coding.offset}"
        advice = "correct the sheet; the clip was left out"
        return None, [error("unusable_frames", what, advice, **at)]
    problems = []
    if coding.apex is None:
        advice = "it stays empty, and micro flow finds it from the motion"
        problems.append(note("missing_apex", f"{name} has no apex", advice, **at))
    elif not coding.onset <= coding.apex <= coding.offset:
        what = f"{name} has its apex {coding.apex} outside {coding.onset} to {coding.offset}"
        problems.append(warning("apex_outside", what, "it was kept as it is", **at))
    wanted = {"onset": coding.onset, "apex": coding.apex, "offset": coding.offset}
    absent = {k: n for k, n in wanted.items() if n is not None and n not in frames.names}
    if absent:
        what = f"{name} lacks its " + say_list([f"{key} frame {n}" for key, n in absent.items()])
        what += f"; its frames are {min(frames.names)} to {max(frames.names)}"
        if set(absent) - {"offset"}:
            advice = "the clip was left out"
            return None, [*problems, error("missing_frames", what, advice, **at)]
        problems.append(warning("missing_frames", what, "the clip was kept", **at))
    gaps = set(range(coding.onset, coding.offset + 1)) - set(frames.names) - set(absent.values())
    if gaps:
        what = f"{name} lacks {counted(len(gaps), 'frame')} within it: {say_list(sorted(gaps))}"
        problems.append(warning("missing_frames", what, "the clip was kept", **at))
    image_id = image_id_of(frames.folder, root)
    row: dict[str, Any] = {
        "image_id": f"{image_id}#{coding.onset}" if shared else image_id,
        "path": str(frames.folder),
        "patient_id": coding.subject,
        "clip": coding.clip,
        **wanted,
        "apex_source": NO_APEX if coding.apex is None else ANNOTATED,
        "emotion": coding.emotion,
        "emotion3": EMOTION3.get(coding.emotion or ""),
        "first_frame": min(frames.names),
        "last_frame": max(frames.names),
        "n_frames": len(frames.names),
        **{f"{k}_file": None if n is None else frames.names.get(n) for k, n in wanted.items()},
        "fps": fps,
        **coding.extra,
    }
    return row, problems


def clip_manifest(rows: Sequence[Mapping[str, Any]], *, dataset: str) -> pd.DataFrame:
    """Make a manifest of clips; frame numbers stay whole where one is missing."""
    manifest = make_manifest(rows, dataset=dataset)
    marks = [name for name in ("onset", "apex", "offset") if name in manifest]
    return manifest.astype(dict.fromkeys(marks, "Int64"))


def without_class(rows: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Say how many clips have an emotion outside the three classes."""
    others = [str(row["emotion"]) for row in rows if row["emotion3"] is None]
    if not others:
        return []
    what = f"{counted(len(others), 'clip')} ({say_list(sorted(set(others)))}) outside the classes "
    return [note("no_emotion_class", f"{what}negative, positive, surprise; emotion3 is empty")]


def simple_name(name: str) -> str:
    """Return a subject's or clip's name for comparing: lower case, numbers without zeros."""
    return re.sub(r"0*(\d+)", r"\1", re.sub(r"[\s_\-.]+", "_", name.casefold()))
