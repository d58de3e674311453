"""CK+, the extended Cohn-Kanade dataset: posed expressions from neutral to peak.

`cohn-kanade-images/S005/001/*.png` with `Landmarks`, `FACS` and `Emotion` beside it. Of each
sequence the first frame (neutral) and the last (peak) are taken. These people have no palsy grade:
`hb_grade` stays empty unless a table gives one. Source: Lucey et al. 2010, CVPR Workshops,
doi 10.1109/CVPRW.2010.5543262.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.truth import read_point_list
from datasets.dataset import Dataset, Problem, error, make_manifest, note, say_list, warning
from datasets.layout import below, folders_below, open_root, photos_below
from datasets.vocabulary import simplify

EMOTIONS = (
    "neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise"
)  # fmt: skip
"""By code, 0 to 7."""

_FRAME = re.compile(
    r"(?P<subject>S\d+)_(?P<sequence>\d+)_(?P<frame>\d+)(?:_(?:emotion|facs|landmarks))?",
    re.IGNORECASE,
)
_Frame = tuple[str, str, int]  # subject, sequence, frame number


def read_ckplus(root: Path) -> Dataset:
    """Read the neutral and the peak frame of every sequence.

    Parameters
    ----------
    root
        Folder that holds `cohn-kanade-images`, `Emotion`, `FACS` and `Landmarks`, at most two
        folders deep.

    Returns
    -------
    Dataset
        `phase` (neutral or peak), `sequence`, `frame`, `emotion` (of the peak: empty where
        the dataset has none; neutral for the first frame, so that grades by emotion are those of
        peak frames), `facs` (action units of the peak as `AU1 AU12:3`), `truth_file`.
    """
    root = open_root(root)
    parts = {simplify(folder.name): folder for folder in reversed(folders_below(root, depth=2))}
    images = next((parts[name] for name in ("cohnkanadeimages", "extendedcohnkanadeimages")
                   if name in parts), None)  # fmt: skip
    if images is None:
        what = "there is no folder cohn-kanade-images"
        return Dataset(
            "ckplus",
            root,
            make_manifest([], dataset="ckplus"),
            (error("no_images", what, "give the folder that holds it"),),
        )
    sequences, problems = _sequences(images, root)
    emotions, doubts = _emotions(_files(parts, ("emotion", "emotionlabels"), "emotion"), root)
    facs, more = _action_units(_files(parts, ("facs", "facslabels"), "facs"), root)
    landmarks = _files(parts, ("landmarks",), "landmarks")
    problems += [*doubts, *more, *_orphans(emotions, sequences)]
    rows = []
    for (subject, sequence), frames in sequences.items():
        numbers = sorted(frames)
        if len(numbers) < 2:
            what = f"{subject}/{sequence} has a single frame, so no peak can be told from neutral"
            at = {"file": below(frames[numbers[0]].parent, root), "patient_id": subject}
            problems.append(error("single_frame", what, "it was left out", **at))
            continue
        problems += _gaps(subject, sequence, numbers)
        for phase, number in (("neutral", numbers[0]), ("peak", numbers[-1])):
            path = frames[number]
            row: dict[str, Any] = {
                "image_id": below(path, root),
                "path": str(path),
                "patient_id": subject,
                "task": emotions.get((subject, sequence)) if phase == "peak" else "neutral",
                "phase": phase,
                "sequence": sequence,
                "frame": number,
                "emotion": emotions.get((subject, sequence)) if phase == "peak" else "neutral",
                "facs": facs.get((subject, sequence)) if phase == "peak" else None,
            }
            truth = landmarks.get((subject, sequence, number))
            if truth is not None:
                problem = _unreadable_points(truth, root)
                problems += problem
                if not problem:
                    row["truth_file"] = Path(os.path.relpath(truth, path.parent)).as_posix()
            rows.append(row)
    unlabelled = [f"{s}/{q}" for s, q in sequences if (s, q) not in emotions]
    if unlabelled:
        what = f"{len(unlabelled)} of {len(sequences)} sequences have no emotion; theirs is empty"
        problems.append(note("no_emotion", f"{what} ({say_list(unlabelled)})"))
    return Dataset("ckplus", root, make_manifest(rows, dataset="ckplus"), tuple(problems))


def _sequences(
    images: Path, root: Path
) -> tuple[dict[tuple[str, str], dict[int, Path]], list[Problem]]:
    photos, problems = photos_below(images)
    sequences: dict[tuple[str, str], dict[int, Path]] = {}
    for _, path in photos:
        match = _FRAME.fullmatch(path.stem)
        if match is None:
            what = "this is no frame of CK+ and was left out"
            advice = "name it as in S005_001_00000011.png"
            problems.append(error("unexpected_photograph", what, advice, file=below(path, root)))
            continue
        key = match["subject"].upper(), match["sequence"]
        sequences.setdefault(key, {})[int(match["frame"])] = path
    return sequences, problems


def _files(parts: dict[str, Path], names: tuple[str, ...], ending: str) -> dict[_Frame, Path]:
    folder = next((parts[name] for name in names if name in parts), None)
    found: dict[_Frame, Path] = {}
    for path in sorted(folder.rglob(f"*_{ending}.txt")) if folder else ():
        match = _FRAME.fullmatch(path.stem)
        if match:
            found[match["subject"].upper(), match["sequence"], int(match["frame"])] = path
    return found


def _emotions(
    files: dict[_Frame, Path], root: Path
) -> tuple[dict[tuple[str, str], str], list[Problem]]:
    emotions, problems = {}, []
    for (subject, sequence, _), path in files.items():
        content = path.read_text(errors="replace").strip()
        try:
            code = float(content)
            emotions[subject, sequence] = EMOTIONS[range(len(EMOTIONS)).index(code)]  # type: ignore[arg-type]
        except ValueError:
            what = f'"{content[:20]}" is no emotion code from 0 to 7; the emotion is empty'
            at = {"file": below(path, root), "patient_id": subject}
            problems.append(error("unreadable_emotion", what, "get the file anew", **at))
    return emotions, problems


def _action_units(
    files: dict[_Frame, Path], root: Path
) -> tuple[dict[tuple[str, str], str], list[Problem]]:
    """Action units as `AU1 AU12:3`; intensity 0 means present without a stated intensity."""
    units, problems = {}, []
    for (subject, sequence, _), path in files.items():
        said = []
        for i, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            try:
                numbers = [int(float(field)) for field in line.split()]
            except ValueError:
                numbers = []
            if len(numbers) == 2:
                said.append(f"AU{numbers[0]}" + (f":{numbers[1]}" if numbers[1] else ""))
            elif line.strip():
                what = f'"{line.strip()[:20]}" is no action unit and intensity; it was passed over'
                at = {"file": below(path, root), "rows": (i,), "patient_id": subject}
                problems.append(error("unreadable_facs", what, "get the file anew", **at))
        units[subject, sequence] = " ".join(said)
    return units, problems


def _orphans(
    emotions: dict[tuple[str, str], str], sequences: dict[tuple[str, str], dict[int, Path]]
) -> list[Problem]:
    absent = [f"{s}/{q}" for s, q in emotions if (s, q) not in sequences]
    what = f"sequences with an emotion but without images: {say_list(absent)}"
    advice = "look for them in cohn-kanade-images"
    return [error("missing_sequence", what, advice)] if absent else []


def _gaps(subject: str, sequence: str, numbers: list[int]) -> list[Problem]:
    absent = sorted(set(range(1, numbers[-1])) - set(numbers))
    if not absent:
        return []
    what = f"{subject}/{sequence} lacks the frames {say_list(absent, at_most=6)}"
    advice = "the neutral frame is the first that is there" if absent[0] == 1 else ""
    return [warning("missing_frames", what, advice, patient_id=subject)]


def _unreadable_points(path: Path, root: Path) -> list[Problem]:
    try:
        read_point_list(path)
    except UserError as fault:
        what = f"{str(fault).rstrip('.')}; the photograph has no true points"
        return [error("unreadable_annotation", what, file=below(path, root))]
    return []
