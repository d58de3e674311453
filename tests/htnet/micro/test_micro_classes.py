"""Class sets: which emotion belongs where, what is left out and counted, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import UserError
from htnet.micro.clips.sources import CLASS_SETS, EMOTIONS, SAME_WORD, class_set_named, label_words

WORDS = ["happy", "disgust", "fear", "sad", "surprise", "anger", "others", "repression", ""]


@pytest.mark.parametrize(
    ("name", "classes", "labels"),
    [
        ("composite3", 3, [1, 0, 0, 0, 2, 0, -1, 0, -1]),
        ("casme2-4", 4, [0, 1, -1, -1, 2, -1, -1, 3, -1]),
        ("casme3-3", 3, [1, 0, 0, 0, 2, 0, -1, 0, -1]),
        ("casme3-4", 4, [1, 0, 0, 0, 2, 0, 3, 0, -1]),
        ("casme3-7", 7, [0, 2, 3, 4, 5, 1, 6, -1, -1]),
    ],
)
def test_each_set_knows_its_emotions(name: str, classes: int, labels: list[int]) -> None:
    class_set = class_set_named(name)
    found = label_words(WORDS, class_set=class_set)
    assert len(class_set.classes) == classes
    assert found.label.tolist() == labels
    assert sum(found.left_out.values()) == labels.count(-1)


def test_what_is_left_out_is_counted_and_said() -> None:
    class_set = class_set_named("casme2-4")
    found = label_words(["fear", "fear", "", "surprise"], class_set=class_set)
    assert found.left_out == {"": 1, "fear": 2}
    assert found.sentence(class_set) == (
        "3 clips belong to none of happiness, disgust, surprise, repression and were left out: "
        "1 without an emotion, 2 fear."
    )
    assert label_words(["surprise"], class_set=class_set).sentence(class_set) is None


def test_a_slip_of_the_pen_is_refused_with_the_word_that_was_meant() -> None:
    with pytest.raises(UserError, match=r'clip 2: the emotion "hapiness".*"happiness"'):
        label_words(["surprise", "hapiness"], class_set=class_set_named("composite3"))


def test_the_composite_s_own_class_decides_before_the_dataset_s_word() -> None:
    emotion, emotion3 = ["fear", "happiness", "others"], ["surprise", "", "negative"]
    composite = label_words(emotion, class_set=class_set_named("composite3"), emotion3=emotion3)
    assert composite.label.tolist() == [2, 1, 0]
    four = label_words(emotion, class_set=class_set_named("casme2-4"), emotion3=emotion3)
    assert four.label.tolist() == [-1, 0, -1]


def test_no_word_belongs_to_two_classes_and_every_word_is_known() -> None:
    for class_set in CLASS_SETS.values():
        words = [word for members in class_set.words.values() for word in members]
        assert len(words) == len(set(words))
        assert set(words) <= set(EMOTIONS)
    assert set(SAME_WORD.values()) <= set(EMOTIONS)
    assert not set(SAME_WORD) & set(EMOTIONS)


def test_the_words_of_the_dataset_readers_are_known() -> None:
    from common.movements import EMOTION3

    known = [SAME_WORD.get(word, word) for word in EMOTION3]
    found = label_words(known, class_set=class_set_named("composite3"))
    names = np.array(class_set_named("composite3").classes)
    assert names[found.label].tolist() == list(EMOTION3.values())


def test_an_unknown_set_is_refused() -> None:
    with pytest.raises(UserError, match="casme2-4"):
        class_set_named("casme2_4")
