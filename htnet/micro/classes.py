"""Sets of emotion classes, and the class of each clip from the words of its manifest.

Which emotions make a class differs between studies: the composite of MEGC 2019 has three (See et
al. 2019, FG, doi 10.1109/FG.2019.8756611), CASME II is used with four of its own words (Yan et al.
2014, doi 10.1371/journal.pone.0086041), CAS(ME)3 with three, four or seven (Li et al. 2023,
doi 10.1109/TPAMI.2022.3174895).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from common.emotions import EMOTIONS, SAME_WORD, THREE_CLASSES
from common.errors import UserError, did_you_mean

ClassSetName = Literal["composite3", "casme2-4", "casme3-3", "casme3-4", "casme3-7"]


@dataclass(frozen=True)
class ClassSet:
    """Classes of a study.

    Attributes
    ----------
    name
        As it is asked for.
    words
        Emotion words of each class, by class in order.
    common_column
        Whether the manifest's `emotion3`, where it is filled, decides before its `emotion`: the
        organisers of a composite have the last word on its classes.
    """

    name: ClassSetName
    words: Mapping[str, tuple[str, ...]]
    common_column: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order in which they are numbered."""
        return tuple(self.words)


CLASS_SETS: dict[str, ClassSet] = {
    one.name: one
    for one in (
        ClassSet(
            "composite3",
            THREE_CLASSES,
            common_column=True,
        ),
        ClassSet(
            "casme2-4",
            {name: (name,) for name in ("happiness", "disgust", "surprise", "repression")},
        ),
        ClassSet(
            "casme3-3",
            THREE_CLASSES,
        ),
        ClassSet(
            "casme3-4",
            {**THREE_CLASSES, "others": ("others",)},
        ),
        ClassSet(
            "casme3-7",
            {
                name: (name,)
                for name in (
                    "happiness", "anger", "disgust", "fear", "sadness", "surprise", "others",
                )
            },
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Labels:
    """Class of each clip.

    Attributes
    ----------
    label
        `(n,)` int64, index into the set's classes; -1 where the clip takes no part.
    left_out
        How many clips take no part, by emotion word (empty: the manifest has none).
    """

    label: NDArray[np.int64]
    left_out: Mapping[str, int]

    def sentence(self, class_set: ClassSet) -> str | None:
        """Say how many clips were left out and why; None when none were."""
        if not self.left_out:
            return None
        number = sum(self.left_out.values())
        parts = [f"{count} {word or 'without an emotion'}" for word, count in self.left_out.items()]
        return (
            f"{number} clips belong to none of {', '.join(class_set.classes)} and were left out: "
            f"{', '.join(parts)}."
        )


def class_set_named(name: str) -> ClassSet:
    """Return a set of classes by name.

    Raises
    ------
    UserError
        When there is no such set.
    """
    if name not in CLASS_SETS:
        raise UserError(
            f'There are no classes "{name}": choose one of {", ".join(CLASS_SETS)}.'
            + did_you_mean(name, CLASS_SETS)
        )
    return CLASS_SETS[name]


def label_words(
    emotion: Sequence[str],
    *,
    class_set: ClassSet,
    emotion3: Sequence[str] | None = None,
    source: str = "the manifest",
) -> Labels:
    """Return the class of each clip.

    A clip whose emotion is known but belongs to none of the classes is left out and counted, and
    so is one without an emotion. A word that no dataset uses is refused: it is a slip of the pen.

    Parameters
    ----------
    emotion
        The datasets' own words; empty where there is none.
    class_set
        The classes.
    emotion3
        Classes of the composite, where the manifest gives them.
    source
        What an error names.

    Raises
    ------
    UserError
        For a word that is not in `EMOTIONS`.
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
