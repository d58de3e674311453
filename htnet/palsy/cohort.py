"""Photographs for the image branch: manifest and landmark table joined, faces aligned.

Comes from `manifest.csv`, `landmarks.csv` and, for networks that read them, `features.csv`; goes
to training and evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from common.errors import UserError, did_you_mean
from common.grading.target import NO_LABEL, Target
from common.tables import read_manifest, sort_by_image_id
from features.tables import definition_of, read_features, refuse_other_definition
from htnet.network.configuration import HTNetConfig
from htnet.network.weights import read_notes
from htnet.palsy.faces import Faces, read_faces, refused
from htnet.palsy.labelled_faces import LabelledFaces
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
    labelled
        Manifest rows of every photograph with a label, usable or not: what folds are made over,
        so that another branch that can use more of them still tests in the same folds.
    """

    rows: pd.DataFrame
    data: LabelledFaces
    complaints: tuple[str, ...]
    labelled: pd.DataFrame


def read_image_cohort(
    manifest: Path,
    landmarks: Path,
    *,
    target: Target,
    config: HTNetConfig,
    features: Path | None = None,
    weights: Path | None = None,
    quiet: bool = False,
) -> ImageCohort:
    """Read the faces that a network of `config` can learn from.

    Parameters
    ----------
    features
        `features.csv`, for a network that reads measured features beside the image. A photograph
        that is not in it is left out; a value that is missing in it stays missing.
    weights
        Of the network, where it was trained before; see `read_measured`.

    Raises
    ------
    UserError
        When a column is missing, no photograph is left, or the network reads features and no
        table of them was given.
    """
    photographs = target.with_truth(sort_by_image_id(read_manifest(manifest)))
    points = read_landmarks(landmarks)
    labels = target.numbers(photographs)
    labelled = photographs[labels != NO_LABEL].reset_index(drop=True)
    complaints = []
    for image_id in photographs["image_id"][~photographs["image_id"].isin(points["image_id"])]:
        complaints.append(f"{image_id} is left out: it is not in {landmarks.name}.")
    for image_id in photographs["image_id"][labels == NO_LABEL]:
        complaints.append(f"{image_id} is left out: it has no {' or '.join(target.sources)}.")
    known = photographs["image_id"].isin(points["image_id"]) & (labels != NO_LABEL)
    measured = read_measured(features, config, weights=weights)
    if measured is not None:
        inside = photographs["image_id"].isin(measured.index)
        for image_id in photographs["image_id"][~inside]:
            complaints.append(f"{image_id} is left out: it has no row in the table of features.")
        known &= inside
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
    faces = with_measured(faces, measured)
    sides = photographs["side"] if "side" in photographs else ["unknown"] * len(photographs)
    data = LabelledFaces(
        faces=faces,
        labels=labels,
        sides=tuple(map(str, sides)),
        patients=photographs["patient_id"].to_numpy(dtype=np.str_),
        classes=target.classes,
    )
    return ImageCohort(photographs, data, tuple(complaints), labelled)


def read_measured(
    features: Path | None, config: HTNetConfig, *, weights: Path | None = None
) -> pd.DataFrame | None:
    """Read the features that a network reads, by `image_id`; None for one of images alone.

    Parameters
    ----------
    weights
        Of a network that was trained before: its notes say which definition of the features it
        learned from.

    Raises
    ------
    UserError
        When the network reads features and no table was given, or the table lacks one of them or
        was measured with another definition.
    """
    if not config.features:
        return None
    names = list(config.features)
    shown = f"{names[0]} to {names[-1]}" if len(names) > 3 else ", ".join(names)
    if features is None:
        raise UserError(
            f"This network reads the measured features {shown} beside each face: give the table "
            "that extract or features wrote of the same photographs (--features features.csv)."
        )
    if weights is not None:
        learned = read_notes(weights).get("feature_definition")
        refuse_other_definition(features, found=definition_of(features), learned=learned)
    table = read_features(features)
    for name in names:
        if name not in table:
            raise UserError(
                f'{features} has no column "{name}", which the network reads.'
                + did_you_mean(name, map(str, table.columns))
            )
    return table.set_index("image_id")[names].astype(float)


def with_measured(faces: Faces, measured: pd.DataFrame | None) -> Faces:
    """Return the faces together with their rows of the table that `read_measured` gave."""
    if measured is None:
        return faces
    missing = [image_id for image_id in faces.image_ids if image_id not in measured.index]
    if missing:
        raise UserError(
            f"The table of features has no row for {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + ": give the table that was measured from the same photographs."
        )
    values: Tensor = torch.tensor(measured.loc[list(faces.image_ids)].to_numpy()).float()
    return replace(faces, features=values)
