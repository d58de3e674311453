"""Confusion counts of each patient: what every score is computed from.

A score needs only how often class i was answered with class j. Kept apart by patient, these
counts can be summed over any resample of patients at once, which makes the bootstrap one matrix
product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.grading.target import Target
from common.tables import choice, text


@dataclass(frozen=True)
class Confusion:
    """Answers of one model.

    Attributes
    ----------
    counts
        `(n_patients, k, k)`: for each patient how often class i (row) was answered with class j
        (column). The mean over all times that the patient was tested, so that everybody counts
        the number of photographs (or 1), however often repeats or random draws tested them.
    patients
        `(n_patients,)` names, sorted.
    """

    counts: NDArray[np.float64]
    patients: NDArray[np.str_]

    @property
    def total(self) -> NDArray[np.float64]:
        """`(k, k)` counts over all patients."""
        total: NDArray[np.float64] = self.counts.sum(axis=0)
        return total


def recall_line(total: NDArray[np.float64], names: Sequence[str]) -> str:
    """Return how many of each class were answered exactly: `I 0/10 · II 6/10`.

    The one way in which recall stands beside a kappa, which can be high although a whole class is
    never answered. Classes that do not occur are left out.

    Parameters
    ----------
    total
        `(k, k)` counts, truth in rows; means over repeats, so they need not be whole.
    names
        Of the classes, as a reader calls them.
    """
    right, of = np.diagonal(total), total.sum(axis=1)
    return " · ".join(
        f"{name} {shown_count(hits)}/{shown_count(n)}"
        for name, hits, n in zip(names, right, of, strict=True)
        if n > 0
    )


def recall_json(total: NDArray[np.float64], classes: Sequence[str]) -> dict[str, object]:
    """Return the same for `metrics.json`: `right` and `of` of each class that occurs."""
    right, of = np.diagonal(total), total.sum(axis=1)
    return {
        name: {"right": round(float(hits), 6), "of": round(float(n), 6)}
        for name, hits, n in zip(classes, right, of, strict=True)
        if n > 0
    }


def shown_count(value: float) -> str:
    """Return a count that may be a mean over repeats: whole where it is, else one decimal."""
    return f"{value:.0f}" if abs(value - round(value)) < 0.05 else f"{value:.1f}"


def confusion_of(predictions: pd.DataFrame, *, target: Target) -> Confusion:
    """Count one model's answers.

    Parameters
    ----------
    predictions
        Rows of one model, of photographs or of patients, by `predictions_schema`.
    """
    k = len(target.classes)
    truth = target.numbers(predictions) - 1
    place = {answer: at for at, answer in enumerate(target.named(np.arange(1, k + 1)))}
    answer = predictions["predicted"].map(place).to_numpy(dtype=np.int64)
    patients, at = np.unique(predictions["patient_id"].to_numpy(dtype=np.str_), return_inverse=True)
    counts = np.zeros((len(patients), k, k))
    np.add.at(counts, (at, truth, answer), 1.0)
    drawn = [name for name in ("repeat", "fold") if name in predictions.columns]
    times = predictions[["patient_id", *drawn]].astype({"patient_id": str}).drop_duplicates()
    tested = times.groupby("patient_id").size().loc[patients].to_numpy(dtype=np.float64)
    return Confusion(counts=counts / tested[:, None, None], patients=patients)


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

    Returns
    -------
    DataFrame
        `unit` (photograph or patient), `model`, `repeat`, `fold`, `reference` (each class of the
        target), and a column `answered_<class>` for each: how many were answered so.
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
