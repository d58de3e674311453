"""A cohort of patients made from portraits of healthy people: real texture, imposed palsies.

Each portrait becomes a patient with a grade, a side and a kind of palsy, photographed in the eight
movements, beside the portrait as it was. The points move by the field that moves the picture, so
the truth of a change is exact, however the portrait's own points were found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import PhotoError, UserError
from common.files import atomic_write
from common.movements import MOVEMENTS
from common.photos import read_photo
from common.tables import PLAIN_IMAGE, write_csv
from common.truth import POINT_COLUMNS, TRUTH_TABLE
from common.workers import supervised_map
from datasets.simulated.canvas import FloatArray
from datasets.simulated.cohort import claim_folder, draw_cohort
from datasets.simulated.face import Patient
from datasets.simulated.folds import FOLDS_TRUTH, fold_depths, fold_row
from datasets.simulated.movement import express
from datasets.simulated.photo_warp import impose
from datasets.simulated.shape import AVERAGE_POINTS

MAX_TURN = 0.06
"""Portraits beyond this turn of the head (`landmarks.points.turn_of`, about 10 degrees of yaw) are
left out by who calls: the warp moves points as they move in a face seen from the front."""
_EYES_PX = 180  # outer-eye distance to which larger portraits are reduced
_SIDE = 4.5  # side of the picture, in outer-eye distances
_PLAIN = "plain"
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class Portrait:
    """A portrait's file, its 68 points, ``(68, 2)`` px, and whose it is, if not its own name's."""

    path: Path
    points: FloatArray
    patient: str | None = None


def simulate_from_portraits(
    portraits: Mapping[str, Portrait],
    out: Path,
    *,
    seed: int = 0,
    movements: int = len(MOVEMENTS),
    jobs: int = 1,
    folds: bool = False,
) -> tuple[list[Path], dict[str, str]]:
    """Write a cohort of imposed palsies with manifest.csv and true_landmarks.csv.

    Grades, sides and kinds are dealt as in a drawn cohort. The manifest has a row for each
    movement, whose column `plain_image_id` names the portrait that it was made from, and one for
    the portrait, which has no grade. The same arguments write the same bytes, for any `jobs`.

    `portraits` are by the person's name, best at rest and from the front; `out` is new, empty, or
    holds the same cohort; of `movements` fewer than all are drawn; `folds` shades folds that follow
    each movement into the pictures, by depths in `folds_truth.csv`. Returns the pictures, and why a
    person was left out, by name.
    """
    made = {"simulated": True, "from": sorted(portraits), "seed": seed}
    claim_folder(out, made | ({"folds": True} if folds else {}))
    names = list(portraits)
    rng = np.random.default_rng(seed)
    tasks = [
        (out, name, portraits[name], patient, _drawn(movements, rng=rng))
        for name, patient in zip(
            names, draw_cohort(len(names), seed=seed, folds=folds), strict=True
        )
    ]
    left_out: dict[str, str] = {}
    rows: dict[str, list[pd.DataFrame]] = {}  # manifest, true points, true folds
    for outcome in supervised_map(_person, tasks, jobs=jobs, start=partial(cv2.setNumThreads, 1)):
        name = names[outcome.index]
        if outcome.error is None:
            rows[name] = outcome.value
        else:
            left_out[name] = outcome.error
    if not rows:
        why = next(iter(left_out.values()), "there is no portrait")
        raise UserError(f"No palsy could be imposed: {why}. Give frontal portraits.")
    manifest, truth, depths = (
        pd.concat([rows[name][k] for name in names if name in rows], ignore_index=True)
        for k in (0, 1, 2)
    )
    write_csv(manifest, out / "manifest.csv")
    write_csv(truth, out / TRUTH_TABLE)
    if folds:
        write_csv(depths, out / FOLDS_TRUTH)
    return [out / name for name in manifest["image_id"]], left_out


def _drawn(movements: int, *, rng: np.random.Generator) -> list[str]:
    chosen = rng.permutation(len(MOVEMENTS))[:movements]
    return [name for number, name in enumerate(MOVEMENTS) if number in chosen]


def _person(_: object, task: tuple[Path, str, Portrait, Patient, list[str]]) -> list[pd.DataFrame]:
    """Write the pictures of one person; return rows of manifest, true points and true folds."""
    out, name, portrait, patient, movements = task
    try:
        rgb, points = _around_face(read_photo(portrait.path).pixels, portrait.points)
    except PhotoError as error:
        raise UserError(str(error)) from error
    palsy, truth, folds = patient.palsy, [], []
    up = "../" * (1 + name.count("/"))
    rows: list[dict[str, object]] = []
    for movement in (_PLAIN, *movements):
        image_id = f"{name}/{movement}.jpg"
        picture, moved = rgb, points
        if movement != _PLAIN:
            picture, moved = impose(
                rgb, points, palsy=palsy, vigour=patient.vigour, look=patient.look, task=movement
            )
            face = express(AVERAGE_POINTS, palsy, patient.vigour, movement)
            folds.append(fold_row(image_id, fold_depths(patient.look, face)))
        _write(picture, out / image_id)
        row: dict[str, object] = {"image_id": image_id, "path": image_id}
        row["patient_id"] = portrait.patient or name
        row |= {"task": movement, "side": palsy.side, "hb_grade": palsy.grade, "kind": palsy.kind}
        row |= {"truth_file": f"{up}{TRUTH_TABLE}", PLAIN_IMAGE: f"{name}/{_PLAIN}.jpg"}
        rows.append(row)
        truth.append([image_id, *moved.ravel().round(3)])
    # The portrait is of a healthy person: it has no grade and is nobody's rest.
    rows[0] |= {"task": None, "side": "unknown", "hb_grade": None, "kind": None, PLAIN_IMAGE: None}
    manifest = pd.DataFrame(rows).astype({"hb_grade": "Int64"}).assign(dataset="imposed")
    known = pd.DataFrame(truth, columns=["image", *POINT_COLUMNS])
    return [manifest, known, pd.DataFrame(folds)]


def _around_face(
    rgb: NDArray[np.uint8], points: FloatArray
) -> tuple[NDArray[np.uint8], FloatArray]:
    """Cut a square around the face, reduced where it is large; beyond the photograph its edge."""
    across = float(np.linalg.norm(points[45] - points[36]))
    scale = min(1.0, _EYES_PX / across)
    side = round(_SIDE * across * scale)
    shift = (side - 1) / 2 - scale * points.mean(axis=0)
    cut = cv2.warpAffine(
        rgb, np.column_stack([np.eye(2) * scale, shift]), (side, side),
        flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.asarray(cut, np.uint8), points * scale + shift


def _write(rgb: NDArray[np.uint8], path: Path) -> None:
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), quality)
    with atomic_write(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
