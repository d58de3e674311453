"""SAMM: 32 subjects, 200 frames per second; 159 clips of which 133 are of three-class use.

Known of the sheet (`SAMM_Micro_FACS_Codes_v2.xlsx`): notes above the table put its header on
row 14, and the subject is `6` where the folder is `006`. Source: Davison et al. 2018, IEEE Trans
Affect Comput 9:116-129, doi 10.1109/TAFFC.2016.2573832.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from common.errors import UserError
from datasets.dataset import Dataset, make_manifest
from datasets.layout import folders_below, open_root
from datasets.micro_expression_clips import (
    CODING,
    clip_row,
    codings_of,
    duplicate_rows,
    read_frames,
    simple_name,
    unlisted_clips,
    without_class,
)
from datasets.spreadsheet import find_spreadsheet, read_spreadsheet

FPS = 200


def read_samm(root: Path, *, table: Path | None = None) -> Dataset:
    """Read the clips of the SAMM coding sheet.

    Parameters
    ----------
    root
        Folder that holds the sheet and the frames (`006/006_1_2/006_05562.jpg`).
    table
        The coding sheet; None looks for `*FACS*.xlsx` below `root`.

    Raises
    ------
    UserError
        When there is no coding sheet.
    """
    root = open_root(root)
    sheet_path = table or find_spreadsheet(root, "*facs*codes*", "*samm*", "*.xlsx")
    if sheet_path is None:
        raise UserError(
            f"{root.name} has no coding sheet (SAMM_Micro_FACS_Codes_v2.xlsx): put it there or "
            "give it with --table."
        )
    sheet = read_spreadsheet(sheet_path, columns=CODING)
    clips = {
        simple_name(clip.name): clip
        for subject in folders_below(root, depth=2)
        if subject.name.isdecimal()
        for clip in sorted(subject.iterdir())
        if clip.is_dir() and clip.name.startswith(subject.name)
    }
    every = [replace(coding, subject=coding.subject.zfill(3)) for coding in codings_of(sheet)]
    codings, doubts = duplicate_rows(every)
    problems = [*sheet.problems, *doubts]
    rows = []
    for coding in codings:
        folder = clips.get(simple_name(coding.clip))
        frames = read_frames(folder) if folder else None
        row, doubts = clip_row(coding, frames, root=root, fps=FPS)
        rows += [row] if row else []
        problems += doubts
    problems += [
        *unlisted_clips(clips, (simple_name(coding.clip) for coding in every), root),
        *without_class(rows),
    ]
    return Dataset("samm", root, make_manifest(rows, dataset="samm"), tuple(problems))
