"""What faces do: the eight standard movements, and the words for emotions.

A neutral face and seven movements are numbered 1 to 8 in the photograph names of the MEEI standard
set (Greene et al. 2020, doi 10.1002/lary.27986). Three classes of emotions after MEGC 2019 (See et
al. 2019, FG, doi 10.1109/FG.2019.8756611).
"""

from __future__ import annotations

REST = "rest"
MOVEMENTS: tuple[str, ...] = (
    REST,
    "brow_raise",
    "gentle_eye_closure",
    "full_eye_closure",
    "gentle_smile",
    "full_smile",
    "lip_pucker",
    "lower_teeth",
)


def movement_of_number(number: int) -> str:
    """Return the movement of photograph `_1` to `_8`; anything else is a `KeyError`."""
    if not 1 <= number <= len(MOVEMENTS):
        raise KeyError(number)
    return MOVEMENTS[number - 1]


SAME_WORD = {
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "angry": "anger",
    "other": "others",
}
"""Spellings of the datasets, and the word that stands for them here."""

THREE_CLASSES = {
    "negative": ("negative", "disgust", "repression", "anger", "contempt", "fear", "sadness"),
    "positive": ("positive", "happiness"),
    "surprise": ("surprise",),
}
"""Words of each class; any other (`others`) has none and takes no part in a three-class study."""

EMOTIONS = (*(word for words in THREE_CLASSES.values() for word in words), "others")
"""Every word that a manifest may hold."""

EMOTION3 = {word: name for name, words in THREE_CLASSES.items() for word in words}
EMOTION3 |= {other: EMOTION3[word] for other, word in SAME_WORD.items() if word in EMOTION3}
"""Class of each word, in every spelling."""
