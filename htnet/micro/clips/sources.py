"""Labelled clips: published flow maps or a folder of `micro flow`, and the class of each clip.

Which emotions make a class differs between studies: the composite of MEGC 2019 has three (See et
al. 2019, FG, doi 10.1109/FG.2019.8756611), CASME II is used with four of its own words (Yan et al.
2014, doi 10.1371/journal.pone.0086041), CAS(ME)3 with three, four or seven (Li et al. 2023,
doi 10.1109/TPAMI.2022.3174895).

The published file holds 28 x 28 maps stretched map by map to 0..255, in the channel order of
OpenCV (strain, v, u); here the channels are u, v, strain as everywhere.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError, did_you_mean, named
from common.movements import EMOTIONS, SAME_WORD, THREE_CLASSES
from common.words import counted
from htnet.micro.clips.maps import CENTRES, FlowMaps
from htnet.micro.clips.store import (
    FLOW_FILE,
    FlowFolder,
    read_flow_folder,
    reason_of,
    subjects_of,
    text_array,
)

SIMULATED = "These clips are simulated: no person is on them, and results say nothing about people."
PUBLISHED_KEYS = ("flow", "centres", "dataset", "subject", "clip", "label")
_FROM_OPENCV = (2, 1, 0)  # strain, v, u -> u, v, strain

ClassSetName = Literal["composite3", "casme2-4", "casme3-3", "casme3-4", "casme3-7"]


@dataclass(frozen=True)
class ClassSet:
    """Classes of a study: their names in order, and the emotion words of each.

    With `common_column` the manifest's `emotion3`, where it is filled, decides before its
    `emotion`: the organisers of a composite have the last word on its classes.
    """

    name: ClassSetName
    words: Mapping[str, tuple[str, ...]]
    common_column: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order in which they are numbered."""
        return tuple(self.words)


def _own_words(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: (name,) for name in names}


CLASS_SETS: dict[str, ClassSet] = {
    one.name: one
    for one in (
        ClassSet("composite3", THREE_CLASSES, common_column=True),
        ClassSet("casme2-4", _own_words("happiness", "disgust", "surprise", "repression")),
        ClassSet("casme3-3", THREE_CLASSES),
        ClassSet("casme3-4", {**THREE_CLASSES, "others": ("others",)}),
        ClassSet(
            "casme3-7",
            _own_words("happiness", "anger", "disgust", "fear", "sadness", "surprise", "others"),
        ),
    )
}


@dataclass(frozen=True)
class Labels:
    """Class of each clip, an index into the set's classes; -1 where the clip takes no part.

    `left_out` counts the clips that take no part, by emotion word (empty: the manifest has none).
    """

    label: NDArray[np.int64]
    left_out: Mapping[str, int]

    def sentence(self, class_set: ClassSet) -> str | None:
        """Say how many clips were left out and why; None when none were."""
        if not self.left_out:
            return None
        number = sum(self.left_out.values())
        belong, were = ("belongs", "was") if number == 1 else ("belong", "were")
        parts = [f"{count} {word or 'without an emotion'}" for word, count in self.left_out.items()]
        return (
            f"{counted(number, 'clip')} {belong} to none of {', '.join(class_set.classes)} and "
            f"{were} left out: {', '.join(parts)}."
        )


def class_set_named(name: str) -> ClassSet:
    """Return a set of classes by name; UserError when there is none."""
    return named(name, CLASS_SETS, what="set of classes")


def label_words(
    emotion: Sequence[str],
    *,
    class_set: ClassSet,
    emotion3: Sequence[str] | None = None,
    source: str = "the manifest",
) -> Labels:
    """Return the class of each clip by the datasets' own words, empty where there is none.

    A clip whose emotion is known but belongs to none of the classes is left out and counted, and
    so is one without an emotion. A word that no dataset uses is refused: it is a slip of the pen.
    `emotion3` are the classes of the composite, where the manifest gives them.
    """
    class_of = {word: i for i, words in enumerate(class_set.words.values()) for word in words}
    labels = np.full(len(emotion), -1, dtype=np.int64)
    left_out: Counter[str] = Counter()
    for row, own in enumerate(emotion):
        decided = emotion3[row] if emotion3 is not None and class_set.common_column else ""
        word = (decided or own or "").strip().lower()
        word = SAME_WORD.get(word, word)
        if word and word not in EMOTIONS:
            raise UserError(
                f'{source}, clip {row + 1}: the emotion "{word}" is unknown; correct it, or leave '
                "it empty to leave the clip out." + did_you_mean(word, EMOTIONS)
            )
        if word in class_of:
            labels[row] = class_of[word]
        else:
            left_out[word] += 1
    return Labels(labels, dict(sorted(left_out.items())))


@dataclass(frozen=True)
class ClipSource:
    """Clips that take part, and a sentence for each kind of clip that was left out.

    `n_failed` clips have no flow (those of other emotions do not count); `folder` is what
    `micro flow` wrote, with regions if there are any, None for published maps.
    """

    maps: FlowMaps
    complaints: tuple[str, ...]
    n_failed: int = 0
    folder: FlowFolder | None = None


def read_clips(path: Path, *, class_set: ClassSet) -> ClipSource:
    """Read clips from a file of published maps or a folder of `micro flow`.

    UserError when there is nothing to read, or it cannot be leave-one-subject-out data.
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
            f"{path} cannot be read as published flow maps ({reason_of(error)}): it needs the "
            f"arrays {', '.join(PUBLISHED_KEYS)}."
        ) from error
    label = content["label"]
    n = len(label)
    for name, shape in {"flow": (n, 28, 28, 3), "centres": (n, len(CENTRES), 2)}.items():
        if content[name].shape != shape:
            raise UserError(f"{path}: {name} has the shape {content[name].shape}, not {shape}.")
    if not np.isin(label, range(len(class_set.classes))).all():
        raise UserError(f"{path}: label must be 0 negative, 1 positive or 2 surprise.")
    for name in ("dataset", "subject", "clip"):
        if len(content[name]) != n:
            raise UserError(
                f"{path}: {name} has {counted(len(content[name]), 'entry', 'entries')} for "
                f"{counted(n, 'clip')}."
            )
    dataset = content["dataset"].astype(np.str_)
    subject = _joined(dataset, content["subject"])
    maps = FlowMaps(
        maps=np.ascontiguousarray(content["flow"][..., _FROM_OPENCV], dtype=np.float32),
        centres=content["centres"].astype(np.float32),
        clip_id=_joined(subject, content["clip"]),
        dataset=dataset,
        subject=subject,
        label=label.astype(np.int64),
        classes=class_set.classes,
        scaling="published",
    )
    return ClipSource(maps, complaints=())


def _joined(first: NDArray[np.str_], second: NDArray[np.str_]) -> NDArray[np.str_]:
    return np.array([f"{a}/{b}" for a, b in zip(first, second, strict=True)], dtype=np.str_)


def _read_folder(path: Path, class_set: ClassSet) -> ClipSource:
    folder = read_flow_folder(path)
    rows = folder.ok
    labels = label_words(
        text_array(rows["emotion"]).tolist(),
        class_set=class_set,
        emotion3=text_array(rows["emotion3"]).tolist(),
        source=str(path / FLOW_FILE),
    )
    kept = np.flatnonzero(labels.label >= 0)
    chosen = rows.iloc[kept]
    maps = FlowMaps(
        maps=folder.maps[kept],
        centres=folder.centres[kept],
        clip_id=text_array(chosen["image_id"]),
        dataset=text_array(chosen["dataset"]),
        subject=subjects_of(chosen),
        label=labels.label[kept],
        classes=class_set.classes,
        scaling=folder.scaling,
        apex=None if folder.apex is None else folder.apex[kept],
    )
    failed = folder.table[folder.table["status"] != "ok"]
    complaints = (
        SIMULATED if folder.simulated else None,
        _failed_sentence(failed) if len(failed) else None,
        labels.sentence(class_set),
    )
    said = tuple(sentence for sentence in complaints if sentence)
    return ClipSource(maps, said, n_failed=len(failed), folder=folder)


def _failed_sentence(failed: pd.DataFrame) -> str:
    kinds = failed["status"].value_counts().sort_index()
    parts = ", ".join(f"{number} {status}" for status, number in kinds.items())
    have, were = ("has", "was") if len(failed) == 1 else ("have", "were")
    return (
        f"{counted(len(failed), 'clip')} {have} no flow and {were} left out ({parts}): see "
        f"{FLOW_FILE}."
    )


def _check(maps: FlowMaps, path: Path) -> None:
    """Refuse what cannot be trained or held out."""
    if not len(maps):
        raise UserError(f"{path} has no clip of {', '.join(maps.classes)}: check the emotions.")
    if not np.isfinite(maps.maps).all():
        clip = maps.clip_id[np.flatnonzero(~np.isfinite(maps.maps).all(axis=(1, 2, 3)))[0]]
        raise UserError(f"{path}: the map of {clip} has a value that is no number: make it again.")
    if len(maps.subjects) < 3:
        raise UserError(
            f"{path} has clips of {counted(len(maps.subjects), 'subject')}: leave-one-subject-out "
            "needs 3 or more."
        )
    if len(np.unique(maps.label)) < 2:
        raise UserError(f"{path}: all clips are {maps.classes[maps.label[0]]}; give two classes.")
    if len(np.unique(maps.clip_id)) < len(maps):
        names, times = np.unique(maps.clip_id, return_counts=True)
        raise UserError(f"{path}: the clip {names[times > 1][0]} occurs twice; name clips apart.")
