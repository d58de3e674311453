"""What the micro-expression datasets share: clips as folders of frames, a coding sheet, emotions.

A clip has an onset (the expression begins), an apex (it is strongest) and an offset (it has gone),
as frame numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from common.clip_frames import ANNOTATED, Frames, read_frames
from common.emotions import EMOTION3
from common.errors import UserError
from datasets.dataset import Problem, error, make_manifest, note, say_list, warning
from datasets.layout import below
from datasets.spreadsheet import Column, Spreadsheet, find_spreadsheet, read_spreadsheet
from datasets.values import parse_frame

_Key = TypeVar("_Key")

NO_APEX = "no apex was annotated"

SUBJECT = Column("subject", ("Sub", "Participant"), required=True)
CLIP = Column("clip", ("Filename", "File name", "Video", "Clip name"), required=True)
ONSET = Column("onset", ("OnsetFrame", "Onset Frame", "OnsetF"), required=True)
APEX = Column("apex", ("ApexFrame", "Apex Frame", "ApexF"))
OFFSET = Column("offset", ("OffsetFrame", "Offset Frame", "OffsetF"), required=True)
EMOTION = Column("emotion", ("Estimated Emotion", "Emotion label"))
CODING = (SUBJECT, CLIP, ONSET, APEX, OFFSET, EMOTION)


@dataclass(frozen=True)
class Coding:
    """One row of a coding sheet, as written.

    Attributes
    ----------
    subject, clip
        As the manifest shall name them.
    onset, apex, offset
        Frame numbers; None where the cell holds none.
    emotion
        In the dataset's own word, lower case.
    file, row
        Where it stands.
    extra
        Columns to be carried through.
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
    known = {column.name for column in CODING}
    extra = [str(name) for name in sheet.rows if name not in known and not _is_unnamed(str(name))]
    codings = []
    for row, cells in zip(sheet.rows.index, sheet.rows.to_dict("records"), strict=True):
        text = {name: "" if cells.get(name) is None else str(cells[name]) for name in known}
        if text["subject"] and text["clip"]:
            codings.append(
                Coding(
                    text["subject"],
                    text["clip"],
                    parse_frame(text["onset"]),
                    parse_frame(text["apex"]),
                    parse_frame(text["offset"]),
                    text["emotion"].strip().lower() or None,
                    sheet.file,
                    int(row),
                    {_column_name(name): cells[name] for name in extra},
                )
            )
    return codings


def clip_row(
    coding: Coding, frames: Frames | None, *, root: Path, fps: int | None, shared: bool = False
) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Return the manifest row of a clip, or None when it cannot be used, and what was wrong.

    A missing apex stays empty, and `apex_source` says so (`micro flow` then finds it from the
    motion). A clip without folder, onset or apex frame is left out; one without its offset frame
    is kept.

    Parameters
    ----------
    frames
        The clip's folder; None when it was not found.
    root
        The dataset's folder.
    fps
        Frames per second of the camera, where known.
    shared
        Several clips lie in this folder; the onset is put behind it in `image_id`.
    """
    name = f"the clip {coding.subject}/{coding.clip}"
    if frames is None or not frames.names:
        advice = "look for it in the original download"
        return None, [error("missing_clip", f"{name} has no frames", advice, **coding.at)]
    if coding.onset is None or coding.offset is None or coding.onset > coding.offset:
        what = f"{name} has the onset {coding.onset} and offset {coding.offset}"
        advice = "correct the sheet; the clip was left out"
        return None, [error("unusable_frames", what, advice, **coding.at)]
    problems = _about_apex(coding, name)
    wanted = {"onset": coding.onset, "apex": coding.apex, "offset": coding.offset}
    absent = {
        key: number
        for key, number in wanted.items()
        if number is not None and number not in frames.names
    }
    if absent:
        what = f"{name} lacks its " + say_list([f"{key} frame {n}" for key, n in absent.items()])
        there = f"; its frames are {min(frames.names)} to {max(frames.names)}"
        at = coding.at
        if set(absent) - {"offset"}:
            advice = "the clip was left out"
            return None, [*problems, error("missing_frames", what + there, advice, **at)]
        problems.append(warning("missing_frames", what + there, "the clip was kept", **at))
    gaps = set(range(coding.onset, coding.offset + 1)) - set(frames.names) - set(absent.values())
    if gaps:
        what = f"{name} lacks {len(gaps)} frames within it: {say_list(sorted(gaps))}"
        problems.append(warning("missing_frames", what, "the clip was kept", **coding.at))
    image_id = below(frames.folder, root)
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
        **{
            f"{key}_file": None if number is None else frames.names.get(number)
            for key, number in wanted.items()
        },
        "fps": fps,
        **coding.extra,
    }
    return row, problems


def clip_manifest(rows: Sequence[Mapping[str, Any]], *, dataset: str) -> pd.DataFrame:
    """Make a manifest of clips; frame numbers stay whole where one is missing."""
    manifest = make_manifest(rows, dataset=dataset)
    marks = [name for name in ("onset", "apex", "offset") if name in manifest]
    return manifest.astype(dict.fromkeys(marks, "Int64"))


def read_sheet(
    root: Path, table: Path | None, *, patterns: Sequence[str], usual: str
) -> Spreadsheet:
    """Read the coding sheet that was given, or the first below `root` that fits a pattern.

    Raises
    ------
    UserError
        When there is none; the sentence names the file as it is `usual`.
    """
    path = table or find_spreadsheet(root, *patterns)
    if path is None:
        raise UserError(
            f"{root.name} has no coding sheet ({usual}): put it there or give it with --table."
        )
    return read_spreadsheet(path, columns=CODING)


def read_coded_clips(
    codings: Sequence[Coding],
    place_of: Callable[[Coding], Path | None],
    *,
    root: Path,
    fps: int | None,
    dataset: str,
) -> tuple[pd.DataFrame, list[Problem]]:
    """Return the manifest of the clips of a coding sheet, and what was wrong with them.

    Parameters
    ----------
    place_of
        The folder that holds a clip's frames, or None. Where several clips have the same folder,
        the onset is put behind it in `image_id`.
    """
    places = [place_of(coding) for coding in codings]
    users = Counter(place for place in places if place is not None)
    known = {place: read_frames(place) for place in users}
    rows: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for coding, place in zip(codings, places, strict=True):
        frames = None if place is None else known[place]
        shared = place is not None and users[place] > 1
        row, doubts = clip_row(coding, frames, root=root, fps=fps, shared=shared)
        rows += [row] if row else []
        problems += doubts
    return clip_manifest(rows, dataset=dataset), [*problems, *without_class(rows)]


def simple_name(name: str) -> str:
    """Return a subject's or clip's name for comparing: lower case, numbers without zeros."""
    return re.sub(r"0*(\d+)", r"\1", re.sub(r"[\s_\-.]+", "_", name.casefold()))


def duplicate_rows(
    codings: Sequence[Coding], *, by_onset: bool = False
) -> tuple[list[Coding], list[Problem]]:
    """Drop rows that repeat a clip; of rows that contradict each other, all.

    Parameters
    ----------
    by_onset
        The onset is part of a clip's name, so that rows with different onsets are not the same.
    """
    by_clip: dict[tuple[str, str, int | None], list[Coding]] = {}
    for coding in codings:
        onset = coding.onset if by_onset else None
        key = simple_name(coding.subject), simple_name(coding.clip), onset
        by_clip.setdefault(key, []).append(coding)
    kept, problems = [], []
    for same in by_clip.values():
        first = same[0]
        if len(same) == 1:
            kept.append(first)
            continue
        at = {**first.at, "rows": tuple(coding.row for coding in same)}
        name = f"the clip {first.subject}/{first.clip}"
        name += f" (onset {first.onset})" if by_onset else ""
        if len({(c.onset, c.apex, c.offset, c.emotion) for c in same}) == 1:
            kept.append(first)
            problems.append(note("clip_twice", f"{name} is listed twice and was read once", **at))
        else:
            what = f"{name} is listed with different frames or emotions and was left out"
            problems.append(error("contradicting_clip", what, "keep the right row", **at))
    return kept, problems


def unlisted_clips(
    folders: Mapping[_Key, Path], listed: Iterable[_Key], root: Path
) -> list[Problem]:
    """Say which folders of frames the coding sheet does not name."""
    named = set(listed)
    absent = [below(folder, root) for key, folder in folders.items() if key not in named]
    if not absent:
        return []
    what = f"{len(absent)} folders of frames are not in the coding sheet: {say_list(absent)}"
    return [warning("unlisted_clip", what, "they were not read")]


def without_class(rows: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Say how many clips have an emotion outside the three classes."""
    others = sorted({str(row["emotion"]) for row in rows if row["emotion3"] is None})
    number = sum(row["emotion3"] is None for row in rows)
    if not number:
        return []
    what = f"{number} clips ({say_list(others)}) belong to none of negative, positive, surprise"
    return [note("no_emotion_class", f"{what}; their emotion3 is empty")]


def _about_apex(coding: Coding, name: str) -> list[Problem]:
    """Say when no apex was annotated, or one that is not in the clip."""
    assert coding.onset is not None and coding.offset is not None  # the caller has made sure
    if coding.apex is None:
        advice = "it stays empty, and micro flow finds it from the motion"
        return [note("missing_apex", f"{name} has no apex", advice, **coding.at)]
    if coding.onset <= coding.apex <= coding.offset:
        return []
    what = f"{name} has its apex {coding.apex} outside {coding.onset} to {coding.offset}"
    return [warning("apex_outside", what, "it was kept as it is", **coding.at)]


def _is_unnamed(heading: str) -> bool:
    return not heading or heading.casefold().startswith("unnamed")


def _column_name(heading: str) -> str:
    return re.sub(r"\W+", "_", heading.strip()).strip("_").lower()
