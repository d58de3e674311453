"""What a reader must know of the folds: how patients were held out, and what folds cannot show."""

from __future__ import annotations

import numpy as np
import pandas as pd

from common.arrays import Ints
from common.grading.folds import HELD_OUT, Split
from common.words import counted, spoken


def folds_in_words(folds: pd.DataFrame, *, method: str) -> str:
    """Return the folds in words, `stratified, 5 folds × 2 repeats` for instance."""
    n_folds, repeats = folds["fold"].nunique(), folds["repeat"].nunique()
    if method == "repeated_holdout":
        return (
            f"repeated holdout, {repeats} random draws of {HELD_OUT:.0%} of the patients, some "
            "tested several times and some perhaps never"
        )
    times = f" × {repeats} repeats" if repeats > 1 else ""
    return f"{spoken(method)}, {counted(n_folds, 'fold')}{times}"


def n_dropped(parts: list[Split]) -> int:
    """Return how many rows some fold tests the patient of and does not name itself."""
    return len(np.unique(np.concatenate([part.dropped for part in parts])))


def fold_problems(
    parts: list[Split],
    *,
    labels: Ints,
    class_names: tuple[str, ...],
    unit: str = "photograph",
) -> list[str]:
    """Say, one sentence each, which folds cannot show what a reader would expect of them.

    `labels` are `(n,)` class numbers from 1 of the rows that the folds point to, `unit` what a row
    is.
    """
    sentences = []
    dropped, usable = n_dropped(parts), counted(len(labels), f"usable {unit}")
    if dropped:
        sentences.append(
            f"{dropped} of {usable} are not in the table of folds "
            "though their patients are: where these are tested, such a photograph is neither "
            "tested nor learned from."
        )
    named = np.unique(np.concatenate([[*part.test, *part.dropped] for part in parts]))
    if len(named) < len(labels):
        sentences.append(
            f"{len(labels) - len(named)} of {usable} are in no fold: "
            "they are learned from and never tested."
        )
    times = np.bincount(np.concatenate([part.test for part in parts]), minlength=len(labels))
    if times.max() > times[times > 0].min():
        sentences.append(
            f"Patients were drawn at random: those tested were tested {times[times > 0].min()} to "
            f"{times.max()} times. Each counts once in the scores, with the mean of their answers."
        )
    empty = [part for part in parts if not len(part.test)]
    if empty:
        sentences.append(
            f"{_listed(empty)} test nothing, because none of their photographs is usable."
        )
    for number, name in enumerate(class_names, start=1):
        if not (labels == number).any():
            sentences.append(f"No usable {unit} is labelled {name}, so it is never learned.")
            continue
        without = [part for part in parts if not (labels[part.train] == number).any()]
        if without:
            sentences.append(
                f"{_listed(without)} must learn without a single example of {name}, so "
                "they can never answer it: use fewer folds or more patients."
            )
    return sentences


def _listed(parts: list[Split]) -> str:
    shown = ", ".join(f"{part.repeat}.{part.fold}" for part in parts[:5])
    more = "" if len(parts) <= 5 else f" and {len(parts) - 5} more"
    return f"Folds (repeat.fold) {shown}{more}"
