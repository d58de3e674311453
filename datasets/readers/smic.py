"""SMIC (high-speed part): 16 subjects, 100 frames per second, 164 clips in three classes.

There is no coding sheet: a clip's folder runs from onset to offset, its class is the folder above
and stands in its name (`s1_ne_01`: negative). No apex is annotated, so that it stays
empty and `apex_source` says so. Source: Li et al. 2013, FG, doi 10.1109/FG.2013.6553717.
"""

from __future__ import annotations

import re
from pathlib import Path

from common.clip_frames import read_frames
from datasets.dataset import Dataset, error, note, say_list, warning
from datasets.layout import below, folders_below, open_root
from datasets.readers.coded_clips import Coding, clip_manifest, clip_row

FPS = 100
_CLIP = re.compile(r"s0*(?P<subject>\d+)_(?P<emotion>ne|po|sur)_(?P<number>\d+)", re.IGNORECASE)
_EMOTIONS = {"ne": "negative", "po": "positive", "sur": "surprise"}


def read_smic(root: Path) -> Dataset:
    """Read the clips of SMIC's high-speed part.

    Parameters
    ----------
    root
        Folder that holds `HS/s1/micro/negative/s1_ne_01/*.bmp`, at any depth down to four folders
        above; the parts `VIS` and `NIR` and the folders `non_micro` are passed over.

    Returns
    -------
    Dataset
        `patient_id` is `s01` ... `s20`.
    """
    root = open_root(root)
    rows, problems = [], []
    middles: list[str] = []
    other_parts = set()
    for folder in folders_below(root, depth=7):
        match = _CLIP.fullmatch(folder.name)
        if match is None:
            continue
        name = below(folder, root)
        above = [part.casefold() for part in name.split("/")[:-1]]
        part = {"vis", "nir"} & set(above)
        if part or "non_micro" in above:
            other_parts |= part
            continue
        frames = read_frames(folder)
        emotion = _EMOTIONS[match["emotion"].lower()]
        subject = f"s{match['subject'].zfill(2)}"
        stated = next((word for word in above if word in _EMOTIONS.values()), emotion)
        if stated != emotion:
            what = f"the clip lies with {stated} but is named {emotion}, and was left out"
            problems.append(error("contradicting_clip", what, "move or rename it", file=name))
            continue
        if not frames.names:
            what = "the clip has no frames and was left out"
            problems.append(error("missing_clip", what, "look for them", file=name))
            continue
        numbers = sorted(frames.names)
        clip = f"s{match['subject'].zfill(2)}_{match['emotion'].lower()}_{match['number']}"
        coding = Coding(subject, clip, numbers[0], None, numbers[-1], emotion, name, 0, {})
        row, doubts = clip_row(coding, frames, root=root, fps=FPS)
        rows += [row] if row else []
        middles.append(name)
        if any(doubt.kind == "missing_frames" for doubt in doubts):
            gaps = sorted(set(range(numbers[0], numbers[-1])) - set(numbers))
            what = f"the clip lacks {len(gaps)} frames within it: {say_list(gaps)}"
            problems.append(warning("missing_frames", what, "the clip was kept", file=name))
    if middles:
        what = f"no apex is annotated; it stays empty in {len(middles)} clips"
        problems.append(note("missing_apex", what, "micro flow finds it from the motion"))
    if other_parts:
        what = (
            f"the parts {say_list(sorted(part.upper() for part in other_parts))} were passed over"
        )
        problems.append(note("other_parts", f"{what}; only HS is read"))
    return Dataset("smic", root, clip_manifest(rows, dataset="smic"), tuple(problems))
