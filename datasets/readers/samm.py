"""SAMM: 32 subjects, 200 frames per second; 159 clips of which 133 are of three-class use.

Known of the sheet (`SAMM_Micro_FACS_Codes_v2.xlsx`): notes above the table put its header on
row 14, and the subject is `6` where the folder is `006`. Source: Davison et al. 2018, IEEE Trans
Affect Comput 9:116-129, doi 10.1109/TAFFC.2016.2573832.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from datasets.dataset import Dataset
from datasets.layout import folders_below, open_root
from datasets.readers.coded_clips import (
    codings_of,
    duplicate_rows,
    read_coded_clips,
    read_sheet,
    simple_name,
    unlisted_clips,
)

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
    sheet = read_sheet(
        root, table, patterns=("*facs*codes*", "*samm*", "*.xlsx"),
        usual="SAMM_Micro_FACS_Codes_v2.xlsx",
    )  # fmt: skip
    clips = {
        simple_name(clip.name): clip
        for subject in folders_below(root, depth=2)
        if subject.name.isdecimal()
        for clip in sorted(subject.iterdir())
        if clip.is_dir() and clip.name.startswith(subject.name)
    }
    every = [replace(coding, subject=coding.subject.zfill(3)) for coding in codings_of(sheet)]
    codings, doubts = duplicate_rows(every)
    manifest, found = read_coded_clips(
        codings,
        lambda coding: clips.get(simple_name(coding.clip)),
        root=root,
        fps=FPS,
        dataset="samm",
    )
    unlisted = unlisted_clips(clips, (simple_name(coding.clip) for coding in every), root)
    return Dataset("samm", root, manifest, (*sheet.problems, *doubts, *found, *unlisted))
