"""CASME II, SAMM, CAS(ME)³ (each with a coding sheet) and SMIC (without one).

CASME II: 26 subjects, 200 frames per second. Some clips have `/` in place of an apex, two columns
have no heading, and the subject is a number where the folder is `sub01`. Yan et al. 2014, PLoS ONE
9:e86041, doi 10.1371/journal.pone.0086041.

SAMM: 32 subjects, 200 frames per second; 159 clips of which 133 are of three-class use. Notes above
the table put its header on row 14, and the subject is `6` where the folder is `006`. Davison et al.
2018, IEEE Trans Affect Comput 9:116-129, doi 10.1109/TAFFC.2016.2573832.

CAS(ME)³, part A: about 100 subjects, 30 frames per second, colour and depth, of which only colour
is read. Subject and file name do not name a clip, for one video holds several expressions, so that
the onset belongs to the name; letters differ in case from the folders. Li et al. 2023, IEEE Trans
Pattern Anal Mach Intell 45:2782-2800, doi 10.1109/TPAMI.2022.3174895.

SMIC, high-speed part: 16 subjects, 100 frames per second, 164 clips in three classes. A clip's
folder runs from onset to offset, its class is the folder above and stands in its name (`s1_ne_01`:
negative); no apex is annotated. Li et al. 2013, FG, doi 10.1109/FG.2013.6553717.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.films import list_frames
from common.words import counted
from datasets.dataset import Dataset, Reading, folders_below, say_list
from datasets.readers.clips import (
    CODING,
    Coding,
    clip_row,
    codings_of,
    one_per_clip,
    simple_name,
    table_of,
    usable_frames,
)
from datasets.spreadsheet import find_spreadsheet, read_spreadsheet

SMIC_FPS = 100
_CASME2_SUBJECT = re.compile(r"sub0*(\d+)", re.IGNORECASE)
_NOT_COLOUR = ("depth", "depth_align", "mask", "video")
_SMIC_CLIP = re.compile(r"s0*(?P<subject>\d+)_(?P<emotion>ne|po|sur)_(?P<number>\d+)", re.I)
_SMIC_EMOTIONS = {"ne": "negative", "po": "positive", "sur": "surprise"}


@dataclass(frozen=True)
class _Coded:
    """A dataset with a coding sheet."""

    name: str
    fps: int
    # the sheet's usual name, and what it is looked for by below the root
    usual: str
    patterns: tuple[str, ...]
    subject: Callable[[str], str]  # the manifest's name of a subject of the sheet
    # folders that may hold a clip, each under a name
    folders: Callable[[Reading], dict[str, Path]]
    # the names under which a clip's folder may be, the best first
    names: Callable[[Coding], Iterable[str]]
    # the onset belongs to a clip's name, and one folder may hold several clips
    by_onset: bool = False


def read_smic(root: Path) -> Dataset:
    """Read the clips of SMIC's high-speed part; `patient_id` is `s01` ... `s20`.

    `root`: folder that holds `HS/s1/micro/negative/s1_ne_01/*.bmp`, at any depth down to four
    folders above; the parts `VIS` and `NIR` and the folders `non_micro` are passed over.
    """
    read = Reading("smic", root)
    rows: list[dict[str, Any]] = []
    other_parts: set[str] = set()
    for folder in folders_below(read.root, depth=7):
        name = read.id_of(folder)
        above = [part.casefold() for part in name.split("/")[:-1]]
        match = _SMIC_CLIP.fullmatch(folder.name)
        part = {"vis", "nir"} & set(above)
        if match is None or part or "non_micro" in above:
            other_parts |= part if match else set()
            continue
        emotion = _SMIC_EMOTIONS[match["emotion"].lower()]
        stated = next((word for word in above if word in _SMIC_EMOTIONS.values()), emotion)
        frames = list_frames(folder)
        if stated != emotion:
            what = f"the clip lies with {stated} but is named {emotion}, and was left out"
            read.error("contradicting_clip", what, "move or rename it", file=name)
            continue
        if not frames.names:
            what = "the clip has no frames and was left out"
            read.error("missing_clip", what, "look for them", file=name)
            continue
        subject, first, last = f"s{match['subject'].zfill(2)}", min(frames.names), max(frames.names)
        clip = f"{subject}_{match['emotion'].lower()}_{match['number']}"
        coding = Coding(subject, clip, first, None, last, emotion, name, 0, {})
        rows.append(clip_row(coding, frames, root=read.root, fps=SMIC_FPS))
        gaps = sorted(set(range(first, last)) - set(frames.names))
        if gaps:
            what = f"the clip lacks {counted(len(gaps), 'frame')} within it: {say_list(gaps)}"
            read.warning("missing_frames", what, "the clip was kept", file=name)
    if rows:
        what = f"no apex is annotated; it stays empty in {counted(len(rows), 'clip')}"
        read.note("missing_apex", what, "micro flow finds it from the motion")
    if other_parts:
        parts = say_list(sorted(part.upper() for part in other_parts))
        read.note("other_parts", f"the parts {parts} were passed over; only HS is read")
    return read.dataset(table_of(rows))


def _read_coded(coded: _Coded, root: Path, *, table: Path | None = None) -> Dataset:
    """Read the clips of a coding sheet, `table` or one that is found; UserError without any."""
    read = Reading(coded.name, root)
    path = table or find_spreadsheet(read.root, *coded.patterns)
    if path is None:
        raise UserError(
            f"{read.root.name} has no coding sheet ({coded.usual}): put it there or give it with "
            "--table."
        )
    sheet = read_spreadsheet(path, columns=CODING)
    folders = coded.folders(read)
    every = [replace(one, subject=coded.subject(one.subject)) for one in codings_of(sheet)]
    codings, doubts = one_per_clip(every, by_onset=coded.by_onset)
    named = [next((n for n in coded.names(one) if n in folders), None) for one in codings]
    users = Counter(named)
    known = {name: list_frames(folders[name]) for name in users if name is not None}
    read.problems += sheet.problems
    count = Counter((coding.subject, coding.clip.casefold()) for coding in codings)
    repeated = [f"{subject}/{clip}" for (subject, clip), number in count.items() if number > 1]
    if repeated:
        what = f"{counted(len(repeated), 'name')} for several clips each: {say_list(repeated)}"
        read.note("repeated_name", f"{what}; the onset tells them apart")
    read.problems += doubts
    rows = []
    for coding, name in zip(codings, named, strict=True):
        frames = usable_frames(coding, None if name is None else known[name], read.problems)
        if frames:
            shared = users[name] > 1
            rows.append(clip_row(coding, frames, root=read.root, fps=coded.fps, shared=shared))
    others = [str(row["emotion"]) for row in rows if row["emotion3"] is None]
    if others:
        what = f"{counted(len(others), 'clip')} ({say_list(sorted(set(others)))}) outside the "
        what += "classes negative, positive, surprise; emotion3 is empty"
        read.note("no_emotion_class", what)
    listed = {name for coding in every for name in coded.names(coding)}
    unlisted = [read.id_of(path) for name, path in folders.items() if name not in listed]
    if unlisted and not coded.by_onset:
        what = f"{counted(len(unlisted), 'folder')} of frames not in the coding sheet: "
        read.warning("unlisted_clip", what + say_list(unlisted), "not read")
    return read.dataset(table_of(rows))


def _subject_number(subject: str) -> str:
    return subject.casefold().removeprefix("sub").lstrip("0")


def _casme2_folders(read: Reading) -> dict[str, Path]:
    """Return the clip folders by subject number and clip; raw frames before cropped ones."""
    subjects = {
        folder: match[1]
        for folder in folders_below(read.root, depth=3)
        if (match := _CASME2_SUBJECT.fullmatch(folder.name))
    }
    versions = sorted(
        {folder.parent for folder in subjects},
        key=lambda parent: ("raw" not in parent.name.casefold(), parent.name),
    )
    if len(versions) > 1:
        taken, *others = map(read.id_of, versions)
        what = f"the frames were taken from {taken}, not from {', '.join(others)}"
        read.note("several_versions", what)
    return {
        f"{number}/{simple_name(clip.name)}": clip
        for folder, number in subjects.items()
        if folder.parent == versions[0]
        for clip in sorted(folder.iterdir())
        if clip.is_dir()
    }


def _samm_folders(read: Reading) -> dict[str, Path]:
    return {
        simple_name(clip.name): clip
        for subject in folders_below(read.root, depth=2)
        if subject.name.isdecimal()
        for clip in sorted(subject.iterdir())
        if clip.is_dir() and clip.name.startswith(subject.name)
    }


def _casme3_folders(read: Reading) -> dict[str, Path]:
    """Return the folders that may hold a clip or a video in colour, the deepest of a name."""
    folders: dict[str, Path] = {}
    for here, inside, _ in os.walk(read.root):
        inside[:] = sorted(n for n in inside if n.casefold() not in _NOT_COLOUR and n[0] != ".")
        path = Path(here)
        name = path.name
        if name.casefold() in ("color", "colour", "rgb"):
            name = f"{path.parent.parent.name}_{path.parent.name}"
        elif path.parent.name.casefold().startswith("spno"):
            name = f"{path.parent.name}_{name}"
        folders[simple_name(name)] = path
    return folders


def _casme3_names(coding: Coding) -> Iterable[str]:
    """A clip's own folder, by onset, or else that of its video."""
    video = f"{coding.subject}_{coding.clip}"
    names = (f"{video}_{coding.onset}", f"{video}_{coding.onset}_{coding.offset}", video)
    return map(simple_name, names)


_CASME2 = _Coded(
    "casme2", 200, "CASME2-coding-20140508.xlsx", ("*coding*", "*casme2*", "*.xlsx"),
    subject=lambda subject: f"sub{_subject_number(subject).zfill(2)}", folders=_casme2_folders,
    names=lambda one: [f"{_subject_number(one.subject)}/{simple_name(one.clip)}"],
)  # fmt: skip
_SAMM = _Coded(
    "samm", 200, "SAMM_Micro_FACS_Codes_v2.xlsx", ("*facs*codes*", "*samm*", "*.xlsx"),
    subject=lambda subject: subject.zfill(3), folders=_samm_folders,
    names=lambda one: [simple_name(one.clip)],
)  # fmt: skip
_CASME3 = _Coded(
    "casme3", 30, "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", ("*label*", "*cas*me*", "*.xlsx"),
    subject=str, folders=_casme3_folders, names=_casme3_names, by_onset=True,
)  # fmt: skip

# Root: the folder that holds the sheet and the frames. Several clips of CAS(ME)³ may lie in one
# folder: its `image_id` is then the folder and the onset, parted by `#`.
read_casme2 = partial(_read_coded, _CASME2)  # CASME2_RAW/sub01/EP02_01f/img46.jpg
read_samm = partial(_read_coded, _SAMM)  # 006/006_1_2/006_05562.jpg
read_casme3 = partial(_read_coded, _CASME3)  # frame/spNO.1_a_355/355.jpg, spNO.1/a/color/355.jpg
