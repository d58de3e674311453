"""Where clips come from: the published flow maps, or a folder made by `micro flow`.

The published file holds 28 x 28 maps stretched map by map to 0..255, in the channel order of
OpenCV (strain, v, u); here the channels are u, v, strain as everywhere.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError
from htnet.micro.classes import ClassSet, label_words
from htnet.micro.clips.maps import CENTRES, FlowMaps
from htnet.micro.clips.store import FLOW_FILE, FlowFolder, read_flow_folder, subjects_of, text_array

SIMULATED = "These clips are simulated: no person is on them, and results say nothing about people."
PUBLISHED_KEYS = ("flow", "centres", "dataset", "subject", "clip", "label")
_FROM_OPENCV = (2, 1, 0)  # strain, v, u -> u, v, strain


@dataclass(frozen=True)
class ClipSource:
    """Clips that are ready, and what has to be said about those that are not.

    Attributes
    ----------
    maps
        The clips that take part.
    complaints
        One sentence for each kind of clip that was left out.
    n_failed
        How many clips could not be used (no flow); those of other emotions do not count.
    folder
        What `micro flow` wrote, with regions if there are any; None for published maps.
    """

    maps: FlowMaps
    complaints: tuple[str, ...]
    n_failed: int = 0
    folder: FlowFolder | None = None


def read_clips(path: Path, *, class_set: ClassSet) -> ClipSource:
    """Read clips from a file of published maps or a folder of `micro flow`.

    Raises
    ------
    UserError
        When there is nothing to read, or what is read cannot be leave-one-subject-out data.
    """
    if path.suffix == ".npz" and path.is_file():
        source = _read_published(path, class_set)
    elif (path / FLOW_FILE).is_file():
        source = _read_folder(path, class_set)
    else:
        raise UserError(
            f"{path} holds no clips: give a folder made by micro flow, a manifest (.csv) or a file "
            "of published maps (.npz)."
        )
    _check(source.maps, path)
    return source


def _read_published(path: Path, class_set: ClassSet) -> ClipSource:
    if class_set.name != "composite3":
        raise UserError(
            f"{path.name} has the three classes of the composite: leave --classes at composite3."
        )
    try:
        with np.load(path, allow_pickle=False) as stored:
            content = {name: stored[name] for name in PUBLISHED_KEYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} cannot be read as published flow maps ({_reason(error)}): it needs the arrays "
            f"{', '.join(PUBLISHED_KEYS)}."
        ) from error
    flow, centres, label = content["flow"], content["centres"], content["label"]
    n = len(label)
    wanted = {"flow": (n, 28, 28, 3), "centres": (n, len(CENTRES), 2)}
    for name, shape in wanted.items():
        if content[name].shape != shape:
            raise UserError(f"{path}: {name} has the shape {content[name].shape}, not {shape}.")
    if not np.isin(label, range(len(class_set.classes))).all():
        raise UserError(f"{path}: label must be 0 negative, 1 positive or 2 surprise.")
    for name in ("dataset", "subject", "clip"):
        if len(content[name]) != n:
            raise UserError(f"{path}: {name} has {len(content[name])} entries for {n} clips.")
    dataset = content["dataset"].astype(np.str_)
    subject = np.array(
        [f"{a}/{b}" for a, b in zip(dataset, content["subject"], strict=True)], dtype=np.str_
    )
    clip_id = np.array(
        [f"{a}/{b}" for a, b in zip(subject, content["clip"], strict=True)], dtype=np.str_
    )
    maps = FlowMaps(
        maps=np.ascontiguousarray(flow[..., _FROM_OPENCV], dtype=np.float32),
        centres=centres.astype(np.float32),
        clip_id=clip_id,
        dataset=dataset,
        subject=subject,
        label=label.astype(np.int64),
        classes=class_set.classes,
        scaling="published",
    )
    return ClipSource(maps, complaints=())


def _read_folder(path: Path, class_set: ClassSet) -> ClipSource:
    folder = read_flow_folder(path)
    rows = folder.ok
    words = {
        name: rows[name].fillna("").astype(str).tolist()
        for name in ("emotion", "emotion3")
        if name in rows.columns
    }
    labels = label_words(
        words.get("emotion", [""] * len(rows)),
        class_set=class_set,
        emotion3=words.get("emotion3"),
        source=str(path / FLOW_FILE),
    )
    kept = np.flatnonzero(labels.label >= 0)
    chosen = rows.iloc[kept]
    maps = FlowMaps(
        maps=np.asarray(folder.maps[kept], dtype=np.float32),
        centres=np.asarray(folder.centres[kept], dtype=np.float32),
        clip_id=text_array(chosen["image_id"]),
        dataset=text_array(chosen["dataset"]),
        subject=subjects_of(chosen),
        label=labels.label[kept],
        classes=class_set.classes,
        scaling=folder.scaling,
        apex=None if folder.apex is None else folder.apex[kept],
    )
    failed = folder.table[folder.table["status"] != "ok"]
    complaints = [SIMULATED] if folder.simulated else []
    complaints += [_failed_sentence(failed)] if len(failed) else []
    left_out = labels.sentence(class_set)
    complaints += [left_out] if left_out else []
    return ClipSource(maps, tuple(complaints), n_failed=len(failed), folder=folder)


def _failed_sentence(failed: pd.DataFrame) -> str:
    kinds = failed["status"].value_counts().sort_index()
    parts = ", ".join(f"{number} {status}" for status, number in kinds.items())
    return f"{len(failed)} clips have no flow and were left out ({parts}): see {FLOW_FILE}."


def _check(maps: FlowMaps, path: Path) -> None:
    """Refuse what cannot be trained or held out."""
    if not len(maps):
        raise UserError(f"{path} has no clip of {', '.join(maps.classes)}: check the emotions.")
    if not np.isfinite(maps.maps).all():
        clip = maps.clip_id[np.flatnonzero(~np.isfinite(maps.maps).all(axis=(1, 2, 3)))[0]]
        raise UserError(f"{path}: the map of {clip} has a value that is no number: make it again.")
    if len(maps.subjects) < 3:
        raise UserError(
            f"{path} has clips of {len(maps.subjects)} subjects: leave-one-subject-out needs 3 or "
            "more."
        )
    if len(np.unique(maps.label)) < 2:
        raise UserError(f"{path}: all clips are {maps.classes[maps.label[0]]}; give two classes.")
    if len(np.unique(maps.clip_id)) < len(maps):
        names, times = np.unique(maps.clip_id, return_counts=True)
        raise UserError(f"{path}: the clip {names[times > 1][0]} occurs twice; name clips apart.")


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
