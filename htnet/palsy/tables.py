"""What the image branch writes for others: rows of predictions and inner predictions.

Comes from trained networks and a cohort; goes to `evaluate`, `compare` and `fuse` as
`predictions.csv` and `inner_predictions.csv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.files import atomic_write
from common.grading.predictions import Unit, in_order, inner_predictions_schema, prediction_rows
from common.grading.target import MAJORITY, Target, commonest_class
from common.tables import write_table
from htnet.palsy.cohort import ImageCohort
from htnet.palsy.folds import FoldPart

MODEL, BRANCH = "htnet", "deep"
PREDICTIONS, PATIENT_PREDICTIONS = "predictions.csv", "patient_predictions.csv"
INNER_PREDICTIONS = "inner_predictions.csv"
INNER_PATIENT_PREDICTIONS = "inner_patient_predictions.csv"


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
