"""The folds to read: how patients were held out, what folds cannot show, answers fold by fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa

from common.arrays import Ints
from common.grading.folds import HELD_OUT, Split
from common.grading.target import Target
from common.tables import choice, text
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
    parts: list[Split], *, labels: Ints, class_names: tuple[str, ...], unit: str = "photograph"
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


def fold_confusions_schema(target: Target) -> pa.DataFrameSchema:
    """Return the schema of `fold_confusions.csv`, the table of `fold_confusions`."""
    count = pa.Column("int64", pa.Check.ge(0, error="be 0 or more"))
    return pa.DataFrameSchema(
        {
            "unit": choice(("photograph", "patient")),
            "model": text(),
            "repeat": pa.Column("int64"),
            "fold": pa.Column("int64"),
            "reference": choice(target.classes),
            **{f"answered_{name}": count for name in target.classes},
        },
        name="fold confusions",
    )


def fold_confusions(predictions: pd.DataFrame, *, target: Target, unit: str) -> pd.DataFrame:
    """Return the counts of every model in every fold, as they are written for a spreadsheet.

    A row for each `unit`, `model`, `repeat`, `fold` and `reference` (class of the target), with a
    column `answered_<class>` for each class: how many were answered so.
    """
    names = target.named(np.arange(1, len(target.classes) + 1))
    answers = {name: f"answered_{of}" for name, of in zip(names, target.classes, strict=True)}
    where = ["model", "repeat", "fold"]
    rows = predictions[where].assign(
        reference=[target.classes[number - 1] for number in target.numbers(predictions)],
        answer=predictions["predicted"].map(answers),
    )
    counts = rows.groupby([*where, "reference"])["answer"].value_counts().unstack()
    every = rows[where].drop_duplicates().merge(
        pd.DataFrame({"reference": list(target.classes)}), how="cross"
    )  # fmt: skip
    found = counts.reindex(index=pd.MultiIndex.from_frame(every), columns=list(answers.values()))
    table = found.fillna(0).astype(np.int64).reset_index()
    table.insert(0, "unit", unit)
    return table
