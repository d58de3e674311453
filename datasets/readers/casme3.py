"""CAS(ME)³, part A: about 100 subjects, 30 frames per second, colour and depth.

Known of the sheet: subject and file name do not name a clip, for one video holds several
expressions, so that the onset belongs to the name; letters differ in case from the folders; some
rows are listed twice. Only colour frames are read. Source: Li et al. 2023, IEEE Trans Pattern Anal
Mach Intell 45:2782-2800, doi 10.1109/TPAMI.2022.3174895.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from datasets.dataset import Dataset, Problem, note, say_list
from datasets.layout import open_root
from datasets.readers.coded_clips import (
    Coding,
    codings_of,
    duplicate_rows,
    read_coded_clips,
    read_sheet,
    simple_name,
)

FPS = 30
_NOT_COLOUR = ("depth", "depth_align", "mask", "video")


def read_casme3(root: Path, *, table: Path | None = None) -> Dataset:
    """Read the micro-expression clips of CAS(ME)³ part A.

    Parameters
    ----------
    root
        Folder that holds the sheet and the frames: one folder per clip
        (`Part_A_ME_clip/frame/spNO.1_a_355/355.jpg`) or per video (`spNO.1/a/color/355.jpg`).
    table
        The coding sheet; None looks for `*label*.xlsx` below `root`.

    Returns
    -------
    Dataset
        Where several clips lie in one folder, `image_id` is the folder and the onset, parted
        by `#`.

    Raises
    ------
    UserError
        When there is no coding sheet.
    """
    root = open_root(root)
    sheet = read_sheet(
        root, table, patterns=("*label*", "*cas*me*", "*.xlsx"),
        usual="cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx",
    )  # fmt: skip
    folders = _colour_folders(root)
    codings, doubts = duplicate_rows(codings_of(sheet), by_onset=True)
    manifest, found = read_coded_clips(
        codings, lambda coding: _place(coding, folders), root=root, fps=FPS, dataset="casme3"
    )
    problems = (*sheet.problems, *_repeated_names(codings), *doubts, *found)
    return Dataset("casme3", root, manifest, problems)


def _colour_folders(root: Path) -> dict[str, Path]:
    """Return the folders that may hold a clip or a video, by simplified name, the deepest last."""
    folders: dict[str, Path] = {}
    for here, inside, _ in os.walk(root):
        inside[:] = sorted(n for n in inside if n.casefold() not in _NOT_COLOUR and n[0] != ".")
        path = Path(here)
        name = path.name
        if name.casefold() in ("color", "colour", "rgb"):
            name = f"{path.parent.parent.name}_{path.parent.name}"
        elif path.parent.name.casefold().startswith("spno"):
            name = f"{path.parent.name}_{name}"
        folders[simple_name(name)] = path
    return folders


def _place(coding: Coding, folders: dict[str, Path]) -> Path | None:
    """Find a clip's own folder, by onset, or else that of its video."""
    video = f"{coding.subject}_{coding.clip}"
    names = (f"{video}_{coding.onset}", f"{video}_{coding.onset}_{coding.offset}", video)
    return next(
        (folders[simple] for name in names if (simple := simple_name(name)) in folders), None
    )


def _repeated_names(codings: list[Coding]) -> list[Problem]:
    """Say which names stand for several clips."""
    count = Counter((coding.subject, coding.clip.casefold()) for coding in codings)
    repeated = [f"{subject}/{clip}" for (subject, clip), number in count.items() if number > 1]
    if not repeated:
        return []
    what = f"{len(repeated)} names stand for several clips: {say_list(repeated)}"
    return [note("repeated_name", f"{what}; the onset tells them apart")]
