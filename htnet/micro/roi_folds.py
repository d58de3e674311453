"""Who is learned from, who chooses the epoch, and who is held out: whole subjects, always."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from htnet.micro.roi_clips import RoiClips

_DRAWS = 50  # of validation subjects, to find some without whom every class is still learned


@dataclass(frozen=True)
class Fold:
    """Row numbers of one training.

    Attributes
    ----------
    train, validation
        Clips that are learned from, and clips that choose the epoch.
    held_out
        Clips that are only answered. No subject is in two of the three.
    """

    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    held_out: NDArray[np.intp]


def make_fold(clips: RoiClips, *, held_out: str | None, validation_folds: int, seed: int) -> Fold:
    """Hold a subject out and deal some of the others as validation subjects.

    Parameters
    ----------
    clips
        All clips.
    held_out
        Subject that is only answered; None holds nobody out, for a model that is kept.
    validation_folds
        One part in so many of the other subjects validates.
    seed
        Of the dealing. Draws that would leave a class without training clips are put back.

    Raises
    ------
    UserError
        When fewer than two subjects are left to learn from and to validate.
    """
    test = clips.subject == held_out
    others = list(dict.fromkeys(clips.subject[~test].tolist()))
    if len(others) < 2:
        raise UserError(
            "There are too few subjects to train on some, choose the epoch on others and test on "
            "one more: give clips of three or more."
        )
    count = max(1, round(len(others) / validation_folds))
    rng = np.random.default_rng(seed)
    best, most = test, -1
    for _ in range(_DRAWS):
        drawn = np.isin(clips.subject, rng.permutation(others)[:count])
        learned = len(np.unique(clips.label[~test & ~drawn]))
        if learned > most:
            best, most = drawn, learned
        if most == len(np.unique(clips.label[~test])):
            break
    return Fold(*(np.flatnonzero(part) for part in (~test & ~best, best, test)))


def check_fold(clips: RoiClips, fold: Fold) -> None:
    """Refuse a fold in which a subject has two parts, or a part that must not be empty is.

    Raises
    ------
    UserError
        With the subject.
    """
    parts = {"learned from": fold.train, "validated": fold.validation, "held out": fold.held_out}
    seen: dict[str, str] = {}
    for part, rows in parts.items():
        for subject in dict.fromkeys(clips.subject[rows].tolist()):
            if subject in seen:
                raise UserError(
                    f'The subject "{subject}" is both {seen[subject]} and {part}: whole subjects '
                    "must be kept apart."
                )
            seen[subject] = part
    if not len(fold.train) or not len(fold.validation):
        raise UserError("There are no training or no validation clips: give more subjects.")
