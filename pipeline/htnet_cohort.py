"""Photographs for the image branch: manifest, landmark table and folds joined, faces aligned.

Comes from `manifest.csv`, `landmarks.csv` and `folds.csv`; goes to training and evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from classifiers.folds import inner_splits, splits
from classifiers.graders import MAJORITY
from classifiers.predictions import prediction_rows
from classifiers.tasks import NO_LABEL, Target
from common.errors import UserError
from common.tables import read_manifest, sort_by_image_id
from htnet.configuration import HTNetConfig
from htnet.faces import read_faces, refused
from htnet.labelled_faces import LabelledFaces
from landmarks.tables import read_landmarks


@dataclass(frozen=True)
class ImageCohort:
    """The usable photographs, and one sentence for each that is not.

    Attributes
    ----------
    rows
        Manifest rows of the usable photographs, in natural order of `image_id`.
    data
        Their faces and labels, in the same order.
    complaints
        What is left out, and why.
    """

    rows: pd.DataFrame
    data: LabelledFaces
    complaints: tuple[str, ...]


@dataclass(frozen=True)
class FoldPart:
    """One fold: rows to learn from, rows that choose the epoch, rows to test; patients apart."""

    repeat: int
    fold: int
    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    test: NDArray[np.intp]


def read_image_cohort(
    manifest: Path, landmarks: Path, *, target: Target, config: HTNetConfig, quiet: bool = False
) -> ImageCohort:
    """Read the faces that a network of `config` can learn from.

    Raises
    ------
    UserError
        When a column is missing, or no photograph is left.
    """
    photographs = sort_by_image_id(read_manifest(manifest))
    points = read_landmarks(landmarks)
    labels = target.numbers(photographs)
    complaints = []
    for image_id in photographs["image_id"][~photographs["image_id"].isin(points["image_id"])]:
        complaints.append(f"{image_id} is left out: it is not in {landmarks.name}.")
    for image_id in photographs["image_id"][labels == NO_LABEL]:
        complaints.append(f"{image_id} is left out: it has no {target.column}.")
    known = photographs["image_id"].isin(points["image_id"]) & (labels != NO_LABEL)
    photographs, labels = photographs[known].reset_index(drop=True), labels[known]
    points = points.set_index("image_id", drop=False).loc[photographs["image_id"]]
    complaints += refused(points)
    ok = (points["status"] == "ok").to_numpy()
    photographs, labels = photographs[ok].reset_index(drop=True), labels[ok]
    if photographs.empty:
        raise UserError(
            f"No photograph of {manifest} can be used: {complaints[0] if complaints else 'none'}"
        )
    faces = read_faces(
        points[ok].reset_index(drop=True),
        [Path(path) for path in photographs["path"]],
        size=config.image_size,
        kind=config.input,
        quiet=quiet,
    )
    sides = photographs["side"] if "side" in photographs else ["unknown"] * len(photographs)
    data = LabelledFaces(
        faces=faces,
        labels=labels,
        sides=tuple(map(str, sides)),
        patients=photographs["patient_id"].to_numpy(dtype=np.str_),
        classes=target.classes,
    )
    return ImageCohort(photographs, data, tuple(complaints))


def fold_parts(
    folds: pd.DataFrame, cohort: ImageCohort, *, validation_folds: int, seed: int
) -> Iterator[FoldPart]:
    """Yield every fold; validation patients are dealt from among the training patients."""
    data = cohort.data
    for split in splits(folds, cohort.rows["image_id"]):
        inner = inner_splits(
            data.labels[split.train], data.patients[split.train],
            n_folds=validation_folds, seed=seed,
        )  # fmt: skip
        if not inner:
            raise UserError(
                f"Fold {split.fold} has a single training patient, so none is left to choose the "
                "epoch: use fewer folds."
            )
        learn, choose = inner[0]
        yield FoldPart(
            split.repeat, split.fold, split.train[learn], split.train[choose], split.test
        )


def majority_rows(folds: pd.DataFrame, cohort: ImageCohort, *, target: Target) -> pd.DataFrame:
    """Return the answers of the dumb baseline: always the commonest training class."""
    tables = []
    for split in splits(folds, cohort.rows["image_id"]):
        counts = np.bincount(cohort.data.labels[split.train] - 1, minlength=len(target.classes))
        answers = np.tile(np.eye(len(target.classes))[counts.argmax()], (len(split.test), 1))
        tables.append(
            prediction_rows(
                cohort.rows.iloc[split.test],
                target=target,
                unit="photograph",
                probabilities=answers,
                repeat=split.repeat,
                fold=split.fold,
                model=MAJORITY,
                branch="deep",
            )
        )
    return pd.concat(tables, ignore_index=True)
