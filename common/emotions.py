"""The words for emotions that the micro-expression datasets use, and the class of three of each.

Three classes after MEGC 2019 (See et al. 2019, FG, doi 10.1109/FG.2019.8756611).
"""

from __future__ import annotations

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
