"""CK+, the extended Cohn-Kanade dataset: posed expressions from neutral to peak.

`cohn-kanade-images/S005/001/*.png` with `Landmarks`, `FACS` and `Emotion` beside it. Of each
sequence the first frame (neutral) and the last (peak) are taken. These people have no palsy grade:
`hb_grade` stays empty unless a table gives one. Source: Lucey et al. 2010, CVPR Workshops,
doi 10.1109/CVPRW.2010.5543262.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import relative_path
from common.truth import read_point_list
from common.words import counted
from datasets.dataset import Dataset, Reading, folders_below, say_list
from datasets.vocabulary import simplify

EMOTIONS = (
    "neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise"
)  # fmt: skip
"""By code, 0 to 7."""

_FRAME = re.compile(
    r"(?P<subject>S\d+)_(?P<sequence>\d+)_(?P<frame>\d+)(?:_(?:emotion|facs|landmarks))?",
    re.IGNORECASE,
)
_Sequence = tuple[str, str]  # subject, sequence
_Files = dict[_Sequence, dict[int, Path]]  # by frame number


def read_ckplus(root: Path) -> Dataset:
    """Read the neutral and the peak frame of every sequence.

    `root`: folder that holds `cohn-kanade-images`, `Emotion`, `FACS` and `Landmarks`, at most
    two folders deep.

    The manifest has `phase` (neutral or peak), `sequence`, `frame`, `emotion` (of the peak: empty
    where the dataset has none; neutral for the first frame, so that grades by emotion are those of
    peak frames), `facs` (action units of the peak as `AU1 AU12:3`), `truth_file`.
    """
    read = Reading("ckplus", root)
    folders = reversed(folders_below(read.root, depth=2))
    parts = {simplify(folder.name): folder for folder in folders}
    images = parts.get("cohnkanadeimages", parts.get("extendedcohnkanadeimages"))
    if images is None:
        what = "there is no folder cohn-kanade-images"
        read.error("no_images", what, "give the folder that holds it")
        return read.dataset([])
    sequences = _sequences(images, read)
    emotions = _emotions(_files(parts, ("emotion", "emotionlabels"), "emotion"), read)
    facs = _action_units(_files(parts, ("facs", "facslabels"), "facs"), read)
    landmarks = _files(parts, ("landmarks",), "landmarks")
    orphans = [f"{s}/{q}" for s, q in emotions if (s, q) not in sequences]
    if orphans:
        what = f"sequences with an emotion but without images: {say_list(orphans)}"
        read.error("missing_sequence", what, "look for them in cohn-kanade-images")
    rows: list[dict[str, Any]] = []
    for (subject, sequence), frames in sequences.items():
        first, last = min(frames), max(frames)
        if first == last:
            what = f"{subject}/{sequence} has a single frame, so no peak can be told from neutral"
            at = {"file": read.id_of(frames[first].parent), "patient_id": subject}
            read.error("single_frame", what, "it was left out", **at)
            continue
        absent = sorted(set(range(1, last)) - set(frames))
        if absent:
            what = f"{subject}/{sequence} lacks the frames {say_list(absent, at_most=6)}"
            advice = "the neutral frame is the first that is there" if absent[0] == 1 else ""
            read.warning("missing_frames", what, advice, patient_id=subject)
        emotion = emotions.get((subject, sequence))
        for phase, number in (("neutral", first), ("peak", last)):
            path = frames[number]
            row = {
                "image_id": read.id_of(path),
                "path": str(path),
                "patient_id": subject,
                "task": emotion if phase == "peak" else "neutral",
                "phase": phase,
                "sequence": sequence,
                "frame": number,
                "emotion": emotion if phase == "peak" else "neutral",
                "facs": facs.get((subject, sequence)) if phase == "peak" else None,
            }
            truth = landmarks.get((subject, sequence), {}).get(number)
            if truth and _is_readable(truth, read):
                row["truth_file"] = relative_path(truth, path.parent)
            rows.append(row)
    unlabelled = [f"{s}/{q}" for s, q in sequences if (s, q) not in emotions]
    if unlabelled:
        what = f"{len(unlabelled)} of {counted(len(sequences), 'sequence')} without an emotion"
        read.note("no_emotion", f"{what}, which stays empty ({say_list(unlabelled)})")
    return read.dataset(rows)


def _sequences(images: Path, read: Reading) -> _Files:
    sequences: _Files = {}
    for _, path in read.photos(images):
        match = _FRAME.fullmatch(path.stem)
        if match is None:
            what = "this is no frame of CK+ and was left out"
            advice, file = "name it as in S005_001_00000011.png", read.id_of(path)
            read.error("unexpected_photograph", what, advice, file=file)
            continue
        key = match["subject"].upper(), match["sequence"]
        sequences.setdefault(key, {})[int(match["frame"])] = path
    return sequences


def _files(parts: dict[str, Path], names: tuple[str, ...], ending: str) -> _Files:
    folder = next((parts[name] for name in names if name in parts), None)
    found: _Files = {}
    for path in sorted(folder.rglob(f"*_{ending}.txt")) if folder else ():
        if match := _FRAME.fullmatch(path.stem):
            key = match["subject"].upper(), match["sequence"]
            found.setdefault(key, {})[int(match["frame"])] = path
    return found


def _emotions(files: _Files, read: Reading) -> dict[_Sequence, str]:
    emotions = {}
    for sequence, frames in files.items():
        for path in frames.values():
            content = path.read_text(errors="replace").strip()
            try:
                code = float(content)
            except ValueError:
                code = -1.0
            if code in range(len(EMOTIONS)):
                emotions[sequence] = EMOTIONS[int(code)]
                continue
            what = f'"{content[:20]}" is no emotion code from 0 to 7; the emotion is empty'
            at = {"file": read.id_of(path), "patient_id": sequence[0]}
            read.error("unreadable_emotion", what, "get the file anew", **at)
    return emotions


def _action_units(files: _Files, read: Reading) -> dict[_Sequence, str]:
    """Action units as `AU1 AU12:3`; intensity 0 means present without a stated intensity."""
    units = {}
    for sequence, frames in files.items():
        for path in frames.values():
            said = []
            for i, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
                numbers: list[int] = []
                with suppress(ValueError):
                    numbers = [int(float(field)) for field in line.split()]
                if len(numbers) == 2:
                    said.append(f"AU{numbers[0]}" + (f":{numbers[1]}" if numbers[1] else ""))
                elif line.strip():
                    what = (
                        f'"{line.strip()[:20]}" is no action unit and intensity; it was passed over'
                    )
                    at = {"file": read.id_of(path), "rows": (i,), "patient_id": sequence[0]}
                    read.error("unreadable_facs", what, "get the file anew", **at)
            units[sequence] = " ".join(said)
    return units


def _is_readable(path: Path, read: Reading) -> bool:
    try:
        read_point_list(path)
    except UserError as fault:
        what = f"{str(fault).rstrip('.')}; the photograph has no true points"
        read.error("unreadable_annotation", what, file=read.id_of(path))
        return False
    return True
