"""What the image branch writes for others: rows of predictions, inner predictions, embeddings.

Comes from trained networks and a cohort; goes to `evaluate`, `compare` and `fuse` as
`predictions.csv`, `inner_predictions.csv` and `embeddings.npz`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.files import atomic_write
from common.grading.baseline import MAJORITY, commonest_class
from common.grading.predictions import Unit, in_order, inner_predictions_schema, prediction_rows
from common.grading.target import Target
from common.tables import write_table
from htnet.palsy.cohort import ImageCohort
from htnet.palsy.folds import FoldPart
from htnet.training.answering import Answers

MODEL, BRANCH = "htnet", "deep"
PREDICTIONS, PATIENT_PREDICTIONS = "predictions.csv", "patient_predictions.csv"
INNER_PREDICTIONS = "inner_predictions.csv"
INNER_PATIENT_PREDICTIONS = "inner_patient_predictions.csv"
EMBEDDINGS = "embeddings.npz"
PARTS = ("train", "validation", "test")  # what a photograph was to a fold's network


@dataclass(frozen=True)
class FoldAnswers:
    """What one fold's network said of every photograph of the cohort."""

    part: FoldPart
    answers: Answers


def fold_rows(
    cohort: ImageCohort,
    part: FoldPart,
    probabilities: NDArray[np.float64],
    *,
    target: Target,
    model: str = MODEL,
    rows: NDArray[np.intp] | None = None,
) -> pd.DataFrame:
    """Return the prediction rows of the photographs that a fold tests, or of other rows.

    Parameters
    ----------
    probabilities
        `(n, k)` of these rows, in their order.
    """
    return prediction_rows(
        cohort.rows.iloc[part.test if rows is None else rows],
        target=target,
        unit="photograph",
        probabilities=probabilities,
        repeat=part.repeat,
        fold=part.fold,
        model=model,
        branch=BRANCH,
    )


def majority_rows(
    parts: Sequence[FoldPart], cohort: ImageCohort, *, target: Target
) -> pd.DataFrame:
    """Return the answers of the dumb baseline: the commonest class of the patients learned from."""
    tables = []
    for part in parts:
        data, learned = cohort.data, part.learned
        commonest = commonest_class(data.labels[learned] - 1, data.patients[learned])
        answers = np.tile(np.eye(len(target.classes))[commonest], (len(part.test), 1))
        tables.append(fold_rows(cohort, part, answers, target=target, model=MAJORITY))
    return pd.concat(tables, ignore_index=True)


def write_inner(rows: pd.DataFrame, path: Path, *, target: Target, unit: Unit) -> None:
    """Write `inner_predictions.csv`, outer fold by outer fold; 0 is the network of everyone."""
    in_turn = [
        in_order(one, unit=unit, models=[MODEL])
        for _, one in rows.groupby(["repeat", "outer_fold"])
    ]
    table = pd.concat(in_turn, ignore_index=True)
    write_table(table, path, schema=inner_predictions_schema(target, unit=unit))


def write_embeddings(answered: Sequence[FoldAnswers], cohort: ImageCohort, path: Path) -> None:
    """Write `embeddings.npz`: what each fold's network read of every photograph.

    `image_id` `(n,)`; `fold` and `repeat` `(F,)`; `embedding` `(F, n, d)` float32; `part`
    `(F, n)`, what each photograph was to that network: train, validation or test. Of the same
    photograph two networks' embeddings have nothing in common, so a grader on embeddings takes
    all its photographs from one network, and learns only from those that are not `test`.
    """
    n = len(cohort.rows)
    part = np.full((len(answered), n), PARTS[2], dtype="<U10")
    for row, one in enumerate(answered):
        part[row, one.part.train] = PARTS[0]
        part[row, one.part.validation] = PARTS[1]
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            image_id=cohort.rows["image_id"].to_numpy(dtype=np.str_),
            fold=np.array([one.part.fold for one in answered], dtype=np.int64),
            repeat=np.array([one.part.repeat for one in answered], dtype=np.int64),
            embedding=np.stack([one.answers.embeddings for one in answered]),
            part=part,
        )


def write_npz(predictions: pd.DataFrame, path: Path, *, target: Target) -> None:
    """Write the predictions as arrays: image_id, truth and probabilities, class names."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            image_id=predictions["image_id"].to_numpy(dtype=np.str_),
            truth=target.numbers(predictions),
            probabilities=predictions[list(target.probability_columns)].to_numpy(),
            classes=np.array(target.classes),
        )
