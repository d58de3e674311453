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
from datasets.dataset import Problems, say_list
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
    def marks(self) -> dict[str, int | None]:
        """Its frames by what they mark."""
        return {"onset": self.onset, "apex": self.apex, "offset": self.offset}

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
) -> tuple[list[Coding], Problems]:
    """Drop rows that repeat a clip; of rows that contradict each other, all.

    `by_onset`: the onset is part of a clip's name, so that rows with different onsets are not the
    same.
    """
    by_clip: dict[tuple[str, str, int | None], list[Coding]] = {}
    for coding in codings:
        onset = coding.onset if by_onset else None
        key = simple_name(coding.subject), simple_name(coding.clip), onset
        by_clip.setdefault(key, []).append(coding)
    kept, problems = [], Problems()
    for first, *others in by_clip.values():
        at = {**first.at, "rows": tuple(coding.row for coding in (first, *others))}
        name = f"the clip {first.subject}/{first.clip}"
        name += f" (onset {first.onset})" if by_onset else ""
        if len({(c.onset, c.apex, c.offset, c.emotion) for c in (first, *others)}) > 1:
            what = f"{name} is listed with different frames or emotions and was left out"
            problems.error("contradicting_clip", what, "keep the right row", **at)
            continue
        kept.append(first)
        if others:
            problems.note("clip_twice", f"{name} is listed twice and was read once", **at)
    return kept, problems


def usable_frames(
    coding: Coding, frames: FrameFolder | None, problems: Problems
) -> FrameFolder | None:
    """Return the clip's folder of frames, None when it cannot be used; add what is wrong.

    A clip without folder, onset or apex frame is left out; one without its offset frame is kept.
    """
    name, at = f"the clip {coding.subject}/{coding.clip}", coding.at
    if frames is None or not frames.names:
        advice = "look for it in the original download"
        problems.error("missing_clip", f"{name} has no frames", advice, **at)
        return None
    if coding.onset is None or coding.offset is None or coding.onset > coding.offset:
        what = f"{name} has the onset {coding.onset} and offset {coding.offset}"
        advice = "correct the sheet; the clip was left out"
        problems.error("unusable_frames", what, advice, **at)
        return None
    if coding.apex is None:
        advice = "it stays empty, and micro flow finds it from the motion"
        problems.note("missing_apex", f"{name} has no apex", advice, **at)
    elif not coding.onset <= coding.apex <= coding.offset:
        what = f"{name} has its apex {coding.apex} outside {coding.onset} to {coding.offset}"
        problems.warning("apex_outside", what, "it was kept as it is", **at)
    absent = {k: n for k, n in coding.marks.items() if n is not None and n not in frames.names}
    if absent:
        what = f"{name} lacks its " + say_list([f"{key} frame {n}" for key, n in absent.items()])
        what += f"; its frames are {min(frames.names)} to {max(frames.names)}"
        if set(absent) - {"offset"}:
            problems.error("missing_frames", what, "the clip was left out", **at)
            return None
        problems.warning("missing_frames", what, "the clip was kept", **at)
    gaps = set(range(coding.onset, coding.offset + 1)) - set(frames.names) - set(absent.values())
    if gaps:
        what = f"{name} lacks {counted(len(gaps), 'frame')} within it: {say_list(sorted(gaps))}"
        problems.warning("missing_frames", what, "the clip was kept", **at)
    return frames


def clip_row(
    coding: Coding, frames: FrameFolder, *, root: Path, fps: int, shared: bool = False
) -> dict[str, Any]:
    """Return the manifest row of a clip in a dataset's folder, `root`; `fps` are the camera's.

    A missing apex stays empty, and `apex_source` says so (`micro flow` then finds it from the
    motion). `shared`: several clips lie in this folder; the onset is put behind it in `image_id`.
    """
    image_id = image_id_of(frames.folder, root)
    return {
        "image_id": f"{image_id}#{coding.onset}" if shared else image_id,
        "path": str(frames.folder),
        "patient_id": coding.subject,
        "clip": coding.clip,
        **coding.marks,
        "apex_source": NO_APEX if coding.apex is None else ANNOTATED,
        "emotion": coding.emotion,
        "emotion3": EMOTION3.get(coding.emotion or ""),
        "first_frame": min(frames.names),
        "last_frame": max(frames.names),
        "n_frames": len(frames.names),
        **{
            f"{k}_file": None if n is None else frames.names.get(n) for k, n in coding.marks.items()
        },
        "fps": fps,
        **coding.extra,
    }


def table_of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Make a table of clips; frame numbers stay whole where one is missing."""
    table = pd.DataFrame(list(rows))
    marks = [name for name in ("onset", "apex", "offset") if name in table]
    return table.astype(dict.fromkeys(marks, "Int64"))


def simple_name(name: str) -> str:
    """Return a subject's or clip's name for comparing: lower case, numbers without zeros."""
    return re.sub(r"0*(\d+)", r"\1", re.sub(r"[\s_\-.]+", "_", name.casefold()))
