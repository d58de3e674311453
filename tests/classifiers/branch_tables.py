"""Simulated prediction tables of branches whose quality is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from common.grading.folds import inner_splits, make_folds
from common.grading.predictions import inner_predictions_schema, predictions_schema
from common.grading.target import TARGETS
from common.tables import write_table

SIX = TARGETS["six_grades"]
TASKS = ("rest", "brow_raise", "full_smile")


def made_manifest(*, patients: int = 30, photographs: int = 3) -> pd.DataFrame:
    """Patients of all grades; the name of the patient tells nothing."""
    names = [f"p{at:02d}" for at in range(patients) for _ in range(photographs)]
    number = np.repeat(np.arange(patients), photographs)
    return pd.DataFrame(
        {
            "image_id": [f"{p}/{at % photographs}.jpg" for at, p in enumerate(names)],
            "path": [f"{p}/{at % photographs}.jpg" for at, p in enumerate(names)],
            "patient_id": names,
            "task": [TASKS[at % photographs % len(TASKS)] for at in range(len(names))],
            "side": np.where(number % 6 == 0, "none", np.where(number // 6 % 2, "left", "right")),
            "hb_grade": pd.array(number % 6 + 1, dtype="Int64"),
        }
    )


def chances_of(truth: np.ndarray, *, error: float, seed: int) -> np.ndarray:
    """Probabilities around the truth moved by a normal error of this many grades, calibrated.

    Error 0 is always right and sure; infinite says nothing: any grade with any sureness.
    """
    rng = np.random.default_rng(seed)
    if np.isinf(error):
        return rng.dirichlet(np.ones(6), size=len(truth))
    centre = truth + rng.normal(size=len(truth)) * error
    width = max(error, 0.05)
    logits = -((np.arange(1, 7)[None, :] - centre[:, None]) ** 2) / (2 * width**2)
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True)


def made_predictions(
    manifest: pd.DataFrame,
    *,
    error: float,
    branch: str = "geometric",
    model: str = "",
    n_folds: int = 5,
    method: str = "stratified",
    repeats: int = 1,
    seed: int = 0,
    folds_seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return predictions of the tested photographs and of training photographs (inner folds)."""
    folds = make_folds(
        manifest, method=method, n_folds=n_folds, repeats=repeats, seed=folds_seed
    ).merge(manifest[["image_id", "hb_grade"]], on="image_id")
    outer = _rows(folds, error=error, branch=branch, model=model or branch, seed=seed)
    inner = []
    for (repeat, fold), tested in folds.groupby(["repeat", "fold"]):
        train = manifest[~manifest["patient_id"].isin(tested["patient_id"])].reset_index(drop=True)
        labels = train["hb_grade"].to_numpy(dtype=np.int64)
        patients = train["patient_id"].to_numpy(dtype=str)
        part = np.zeros(len(train), dtype=np.int64)
        for number, (_, test) in enumerate(inner_splits(labels, patients, n_folds=4), start=1):
            part[test] = number
        rows = train.assign(repeat=repeat, fold=part, outer_fold=fold)
        inner.append(
            _rows(
                rows, error=error, branch=branch, model=model or branch,
                seed=seed + 1000 * int(repeat) + int(fold) + 1,
            )
        )  # fmt: skip
    return outer, pd.concat(inner, ignore_index=True)


def _rows(rows: pd.DataFrame, *, error: float, branch: str, model: str, seed: int) -> pd.DataFrame:
    truth = rows["hb_grade"].to_numpy(dtype=np.int64)
    chances = chances_of(truth, error=error, seed=seed)
    table = pd.DataFrame(
        {
            "image_id": rows["image_id"],
            "patient_id": rows["patient_id"],
            "hb_grade": pd.array(truth, dtype="Int64"),
            "predicted": SIX.answers(chances),
        }
    )
    table[list(SIX.probability_columns)] = chances
    kept = ["repeat", "fold", *(["outer_fold"] if "outer_fold" in rows else [])]
    return table.assign(
        **{name: rows[name].to_numpy(dtype=np.int64) for name in kept}, model=model, branch=branch
    )


def write_branch(
    folder: Path, tables: tuple[pd.DataFrame, pd.DataFrame], *, inner: bool = True
) -> Path:
    """Write `predictions.csv`, and `inner_predictions.csv` beside it; return the former's path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(tables[0], folder / "predictions.csv", schema=predictions_schema(SIX))
    if inner:
        write_table(
            tables[1], folder / "inner_predictions.csv", schema=inner_predictions_schema(SIX)
        )
    return folder / "predictions.csv"
