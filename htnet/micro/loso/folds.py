"""Who learns, who chooses the epoch, who is held out, what is answered: always whole subjects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from htnet.micro.clips.maps import FlowMaps

# honest: everything was chosen on subjects inside the training fold.
# published: for each held-out subject the epoch that scored best on that same subject; optimistic.
Rule = Literal["honest", "published"]
OPTIMISTIC = "best epoch on the held-out subject: optimistic"
_DRAWS = 50  # of validation subjects, to find some without whom every class is still learned


@dataclass(frozen=True)
class LosoAnswers:
    """Answers of one model by one rule to all clips, for each seed (0 where nothing is random).

    `probabilities` are `(seeds, n, k)`, rows sum to one; the row of a clip comes from the model
    that was trained without the clip's subject.
    """

    model: str
    rule: Rule
    seeds: tuple[int, ...]
    probabilities: NDArray[np.float64]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """`(seeds, n)` index of the most probable class; the first of equals."""
        return np.argmax(self.probabilities, axis=2)

    @property
    def label(self) -> str:
        """The model as it is printed: an optimistic figure never goes by its bare name."""
        return self.model if self.rule == "honest" else f"{self.model} ({OPTIMISTIC})"


class Recogniser(Protocol):
    """Anything that can answer every clip leave-one-subject-out."""

    @property
    def name(self) -> str:
        """Name as printed in tables."""
        ...

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        """Return the answers by each rule that the model has."""
        ...


def published_epoch(predicted: NDArray[np.int64], label: NDArray[np.int64]) -> int:
    """Return the epoch with most of the held-out clips right, the last of equals, from 0.

    So did the published code. Optimistic: the held-out clips choose the network that answers them.
    `predicted` are `(epochs, m)` answers to the m clips, whose classes are `label`.
    """
    right = (predicted == label).sum(axis=1)
    return len(right) - 1 - int(np.argmax(right[::-1]))


def folds_of(clips: FlowMaps) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the rows of each held-out subject, and those of all others."""
    fold = clips.fold
    for number in range(len(clips.subjects)):
        yield np.flatnonzero(fold == number), np.flatnonzero(fold != number)


@dataclass(frozen=True)
class Fold:
    """Row numbers of one training: clips to learn from, to choose the epoch, only to answer.

    No subject is in two of the three.
    """

    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    held_out: NDArray[np.intp]


def make_fold(
    subject: NDArray[np.str_],
    label: NDArray[np.int64],
    *,
    held_out: str | None,
    validation_folds: int,
    seed: int,
) -> Fold:
    """Hold a subject out and draw some of the others as validation subjects.

    One part in `validation_folds` of the other subjects validates; draws that would leave a class
    without training clips are put back. None holds nobody out. UserError when fewer than two
    subjects are left to learn from and to validate.
    """
    test = subject == held_out
    others = list(dict.fromkeys(subject[~test].tolist()))
    if len(others) < 2:
        raise UserError(
            "There are too few subjects to train on some, choose the epoch on others and test on "
            "one more: give clips of three or more."
        )
    count = max(1, round(len(others) / validation_folds))
    rng = np.random.default_rng(seed)
    best, most = test, -1
    for _ in range(_DRAWS):
        drawn = np.isin(subject, rng.permutation(others)[:count])
        learned = len(np.unique(label[~test & ~drawn]))
        if learned > most:
            best, most = drawn, learned
        if most == len(np.unique(label[~test])):
            break
    return Fold(*(np.flatnonzero(part) for part in (~test & ~best, best, test)))


def deal_folds(
    subject: NDArray[np.str_], label: NDArray[np.int64], *, parts: int, seed: int
) -> list[Fold]:
    """Deal all subjects into parts; each part validates once, and nobody is held out.

    There are at most as many parts as subjects. Of several dealings that in which most folds learn
    every class is taken.
    """
    people = list(dict.fromkeys(subject.tolist()))
    if len(people) < 2:
        raise UserError("All clips are of one subject: give clips of two or more.")
    rng = np.random.default_rng(seed)
    best: list[NDArray[np.bool_]] = []
    most = -1
    for _ in range(_DRAWS):
        hands = np.array_split(rng.permutation(people), min(parts, len(people)))
        dealt = [np.isin(subject, hand) for hand in hands]
        learned = sum(len(np.unique(label[~part])) for part in dealt)
        if learned > most:
            best, most = dealt, learned
        if most == len(dealt) * len(np.unique(label)):
            break
    none = np.arange(0)
    return [Fold(np.flatnonzero(~part), np.flatnonzero(part), none) for part in best]


def check_fold(subject: NDArray[np.str_], fold: Fold, *, validated: bool = True) -> None:
    """Refuse a fold in which a subject has two parts, or a part that is needed is empty."""
    parts = {"learned from": fold.train, "validated": fold.validation, "held out": fold.held_out}
    seen: dict[str, str] = {}
    for part, rows in parts.items():
        for name in dict.fromkeys(subject[rows].tolist()):
            if name in seen:
                raise UserError(
                    f'The subject "{name}" is both {seen[name]} and {part}: whole subjects '
                    "must be kept apart."
                )
            seen[name] = part
    if not len(fold.train) or (validated and not len(fold.validation)):
        raise UserError("There are no training or no validation clips: give more subjects.")
