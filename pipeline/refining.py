"""A clinic's corrected photographs, and palsies imposed on them, as a refinement learns from them.

Corrections teach where points belong in the clinic's own light and at its camera. Palsies imposed
on the same photographs, whose points move by the same field, teach that the points follow.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.tables import PLAIN_IMAGE, photos_of, read_manifest
from common.truth import read_truth
from datasets.simulated.photo_cohort import MAX_TURN, Portrait, simulate_from_portraits
from landmarks.find.extraction import extract_landmarks
from landmarks.find.method import Method
from landmarks.points import turn_of
from landmarks.predictor import PredictorFile
from landmarks.refinement import Refinement
from landmarks.refinement_training import CorrectedFace, corrected_face, learn_rounds
from landmarks.tables import points_of
from landmarks.training import box_of

IMPOSED = 4
"""Palsies imposed on every corrected photograph."""


def refine_predictor(
    people: pd.DataFrame,
    truth: pd.DataFrame,
    found: pd.DataFrame,
    *,
    base: PredictorFile,
    method: Method,
    out: Path,
    seed: int = 0,
    jobs: int = 1,
) -> dict[str, Any]:
    """Learn how to move the points that a model finds, and write it to the file `out`.

    The points of what is imposed are kept in the folder `imposed` beside it, for another run. What
    the file says of itself is returned, too.

    `people`: photographs to learn from and their patients: rows of a manifest.
    `truth`: their corrected points, `image_id`, `x_0` ... `y_67`.
    `found`: their landmark table by the model and `method`, which serves what is imposed, too.
    `base`: the model; one of `PREDICTORS`, whose name is kept and finds it again.
    `seed`: of the imposed palsies and of what is chosen by held-out patients.

    UserError when there are photographs of fewer than two patients.
    """
    truth = truth.set_index("image_id")
    with tempfile.TemporaryDirectory() as scratch:
        imposed, moved = impose_on(
            people, truth, out=Path(scratch), seed=seed, movements=IMPOSED, jobs=jobs
        )
        imposed = imposed[imposed[PLAIN_IMAGE].notna()]
        there = extract_landmarks(
            photos_of(imposed), out=out.parent / "imposed", predictor=base,
            method=method, jobs=jobs,
        ).table  # fmt: skip
        faces = corrected_faces(
            pd.concat([people, imposed], ignore_index=True),
            pd.concat([truth, moved]),
            pd.concat([found, there], ignore_index=True).set_index("image_id"),
            seed=seed,
        )
    rounds = learn_rounds(faces, seed=seed)
    shown = found[found["image_id"].isin(people["image_id"])]
    about = {
        "base": base.name,
        "base_sha256": base.sha256,
        "points": method.points,
        "seed": seed,
        "rounds": [sorted(one) for one in rounds],
        "pictures": len(faces),
        "of_them_imposed": len(imposed),
        "learned_from": sorted(shown["photo_sha256"]),
    }
    Refinement(rounds, about).save(out)
    return about


def impose_on(
    people: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    out: Path,
    seed: int = 0,
    movements: int,
    jobs: int = 1,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Impose palsies on the photographs that are taken from the front, as `simulate` does.

    `people` are rows of a manifest, `truth` the points by `image_id`. Returns the manifest of the
    pictures in `out`, where a patient is still the same, and their points by `image_id`.
    """
    true = dict(zip(people["image_id"], points_of(truth.loc[people["image_id"]]), strict=True))
    patients = dict(zip(people["image_id"], people["patient_id"], strict=True))
    portraits = {
        image_id: Portrait(path, true[image_id], patient=patients[image_id])
        for image_id, path in photos_of(people)
        if turn_of(true[image_id]) <= MAX_TURN
    }
    if not portraits:
        return people.iloc[:0].assign(**{PLAIN_IMAGE: None}), truth.iloc[:0]
    simulate_from_portraits(portraits, out, seed=seed, movements=movements, jobs=jobs)
    manifest = read_manifest(out / "manifest.csv")
    return manifest, read_truth(manifest).set_index("image_id")


def corrected_faces(
    people: pd.DataFrame, truth: pd.DataFrame, found: pd.DataFrame, *, seed: int
) -> list[CorrectedFace]:
    """Read every photograph in which the model has found the face."""
    rng = np.random.default_rng(seed)
    found = found.loc[people["image_id"]]
    true, points = points_of(truth.loc[people["image_id"]]), points_of(found)
    faces = [
        corrected_face(
            path, patient=str(people["patient_id"].iat[k]), box=box_of(found.iloc[k]),
            found=points[k], true=true[k], rng=rng,
        )
        for k, (_, path) in enumerate(photos_of(people))
        if found["status"].iat[k] == "ok"
    ]  # fmt: skip
    return [face for face in faces if face is not None]
