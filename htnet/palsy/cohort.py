"""Photographs for the image branch: manifest and landmark table joined, faces aligned.

Comes from `manifest.csv`, `landmarks.csv` and, for networks that read them, `features.csv`; goes
to training and evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from common.errors import UserError, did_you_mean
from common.grading.numeric_target import AnyTarget, NumericTarget, answered_by, refuse_out_of_range
from common.grading.target import NO_LABEL, VISIT
from common.tables import read_manifest, sort_by_image_id
from features.tables import definition_of, read_features, refuse_other_definition
from htnet.network.configuration import HTNetConfig
from htnet.network.weights import read_notes
from htnet.palsy.faces import Faces, LabelledFaces, read_faces, refused
from landmarks.tables import PointsSource, points_source, read_landmarks


@dataclass(frozen=True)
class ImageCohort:
    """The usable photographs by `image_id` in natural order, and one sentence for each other one.

    `rows`: of the manifest. `data`: their faces and labels, in the same order. `target`: what is
    asked about them.
    `complaints`: what is left out, and why.
    `labelled`: manifest rows of every photograph with a label, usable or not: what folds are made
    over, so that another branch that can use more of them still tests in the same folds.
    `truth`: where the labels come from, in words.
    `source`: how many of the usable photographs have corrected points.
    """

    rows: pd.DataFrame
    data: LabelledFaces
    target: AnyTarget
    complaints: tuple[str, ...]
    labelled: pd.DataFrame
    truth: str = ""
    source: PointsSource = field(default_factory=lambda: PointsSource(0, 0, 0))


def read_image_cohort(
    manifest: Path,
    landmarks: Path,
    *,
    target: AnyTarget,
    config: HTNetConfig,
    features: Path | None = None,
    weights: Path | None = None,
    quiet: bool = False,
) -> ImageCohort:
    """Read the faces that a network of `config` can learn from.

    `features`: `features.csv`, for a network that reads measured features beside the image. A
    photograph that is not in it is left out; a value that is missing in it stays missing.
    `weights`: of the network, where it was trained before; see `read_measured`.

    UserError when a column is missing, no photograph is left, or the network reads features and no
    table of them was given.
    """
    given = sort_by_image_id(read_manifest(manifest))
    photographs = target.with_truth(given)
    if isinstance(target, NumericTarget):
        refuse_out_of_range(photographs[target.column], target=target, source=manifest)
    points = read_landmarks(landmarks)
    measured = read_measured(features, config, weights=weights)
    labels = target.numbers(photographs)
    ids = photographs["image_id"]
    reasons = {
        f"it is not in {landmarks.name}": ids.isin(points["image_id"]).to_numpy(),
        f"it has no {' or '.join(target.sources)}": labels != NO_LABEL,
    }
    if measured is not None:
        reasons["it has no row in the table of features"] = ids.isin(measured.index).to_numpy()
    complaints = [
        f"{image_id} is left out: {reason}."
        for reason, usable in reasons.items()
        for image_id in ids[~usable]
    ]
    known = np.logical_and.reduce(list(reasons.values()))
    points = points.set_index("image_id", drop=False).loc[ids[known]]
    complaints += refused(points)
    ok = (points["status"] == "ok").to_numpy()
    rows, labels = photographs[known][ok].reset_index(drop=True), labels[known][ok]
    if rows.empty:
        raise UserError(
            f"No photograph of {manifest} can be used: {complaints[0] if complaints else 'none'}"
        )
    faces = read_faces(
        points[ok].reset_index(drop=True),
        [Path(path) for path in rows["path"]],
        size=config.image_size,
        kind=config.input,
        quiet=quiet,
    )
    visits = VISIT in answered_by(rows, target=target)
    sides = rows["side"] if "side" in rows else ["unknown"] * len(rows)
    data = LabelledFaces(
        faces=with_measured(with_tasks(faces, rows), measured),
        labels=target.values(rows) if isinstance(target, NumericTarget) else labels,
        sides=tuple(map(str, sides)),
        patients=rows["patient_id"].to_numpy(dtype=np.str_),
        classes=target.classes,
        number=target if isinstance(target, NumericTarget) else None,
        visits=tuple(rows[VISIT].fillna("").astype(str)) if visits else (),
    )
    return ImageCohort(
        rows,
        data,
        target,
        tuple(complaints),
        labelled=photographs[target.numbers(photographs) != NO_LABEL].reset_index(drop=True),
        truth=target.truth_source(given),
        source=points_source(points),
    )


def with_tasks(faces: Faces, rows: pd.DataFrame | None) -> Faces:
    """Return the faces together with the movements that rows of a manifest name, if any."""
    if rows is None or "task" not in rows:
        return faces
    tasks = rows.set_index("image_id")["task"].reindex(list(faces.image_ids)).fillna("")
    return replace(faces, tasks=tuple(map(str, tasks)))


def read_measured(
    features: Path | None, config: HTNetConfig, *, weights: Path | None = None
) -> pd.DataFrame | None:
    """Read the features that a network reads, by `image_id`; None for one of images alone.

    `weights`: of a network that was trained before: its notes say which definition of the features
    it learned from. UserError when the network reads features and no table was given, or the table
    lacks one of them or was measured with another definition.
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
    values = torch.tensor(measured.loc[list(faces.image_ids)].to_numpy())
    return replace(faces, features=values.float())
