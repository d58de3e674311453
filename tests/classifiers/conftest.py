"""Small made-up cohorts with a known truth, and the feature tables of such cohorts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from common.tables import write_table
from features.commands.features import features
from features.registry import FEATURE_NAMES
from landmarks.points import MIRROR_PARTNER, POINT_COLUMNS
from landmarks.tables import LANDMARKS

Written = Callable[..., Path]


@dataclass(frozen=True)
class MadeCohort:
    """Photographs with a patient, a grade and 29 made-up features."""

    rows: pd.DataFrame
    features: pd.DataFrame


def made_cohort(
    *,
    patients_per_grade: int = 4,
    photographs: int = 4,
    grade_strength: float = 1.0,
    patient_strength: float = 0.0,
    seed: int = 0,
) -> MadeCohort:
    """Make a cohort in which grade and patient shift the features as strongly as asked.

    With `grade_strength` 0 and a large `patient_strength`, the features name the patient and say
    nothing about the grade.
    """
    rng = np.random.default_rng(seed)
    n_patients = 6 * patients_per_grade
    grade = np.repeat(np.arange(1, 7), patients_per_grade)
    of_patient = rng.normal(size=(n_patients, len(FEATURE_NAMES))) * patient_strength
    of_patient += grade_strength * (grade[:, None] - 3.5) * rng.normal(size=len(FEATURE_NAMES))
    values = np.repeat(of_patient, photographs, axis=0)
    values += rng.normal(size=values.shape)
    patient = np.repeat([f"p{at:02d}" for at in range(n_patients)], photographs)
    rows = pd.DataFrame(
        {
            "image_id": [f"{name}/{at % photographs}.jpg" for at, name in enumerate(patient)],
            "status": "ok",
            "patient_id": patient,
            "hb_grade": np.repeat(grade, photographs),
        }
    )
    return MadeCohort(rows, pd.DataFrame(values, columns=list(FEATURE_NAMES)))


MOVEMENTS = ("rest", "brow_raise", "full_eye_closure", "full_smile", "lip_pucker")


def write_faces(
    folder: Path,
    *,
    patients_per_grade: int = 5,
    noise_px: float = 1.0,
    seed: int = 0,
    movements: Sequence[str] = MOVEMENTS,
) -> Path:
    """Write `landmarks.csv`, `dists.csv` and `features.csv` of made-up patients who move.

    The weak side moves the less the higher the grade; sides alternate. Grade, side and movement
    are joined to the features. Returns the path of `features.csv`.
    """
    rng = np.random.default_rng(seed)
    face, moves = _face_and_moves()
    rows, points = [], []
    for number in range(6 * patients_per_grade):
        grade = number % 6 + 1
        side = "none" if grade == 1 else ("left", "right")[number // 6 % 2]
        own = face + _symmetric(rng.normal(size=(68, 2)) * 2.0)
        vigour = rng.uniform(0.8, 1.2)
        for movement in movements:
            pull = moves[movement] * vigour
            share = np.ones((68, 1))
            weak = {"left": pull_side("left"), "right": pull_side("right")}.get(side, [])
            share[weak] = 1 - (grade - 1) / 5
            shown = own + share * pull + rng.normal(size=(68, 2)) * noise_px
            name = f"patient{number:02d}/{movement}.jpg"
            rows.append((name, name, f"patient{number:02d}", movement, side, grade, "made up"))
            points.append(shown.reshape(-1))
    table = pd.DataFrame(np.array(points), columns=list(POINT_COLUMNS))
    table.insert(0, "image_id", [row[0] for row in rows])
    table.insert(1, "status", "ok")
    folder.mkdir(parents=True, exist_ok=True)
    write_table(table, folder / "landmarks.csv", schema=LANDMARKS)
    manifest = folder / "manifest.csv"
    names = ["image_id", "path", "patient_id", "task", "side", "hb_grade", "dataset"]
    pd.DataFrame(rows, columns=names).to_csv(manifest, index=False)
    features(folder / "landmarks.csv", out=folder, manifest=manifest)
    return folder / "features.csv"


def pull_side(side: str) -> list[int]:
    """Points on one side of the patient's face."""
    right = [i for i in range(68) if MIRROR_PARTNER[i] > i]
    return right if side == "right" else [MIRROR_PARTNER[i] for i in right]


def _symmetric(shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mirror-symmetric part of a displacement of every point."""
    return (shift + shift[list(MIRROR_PARTNER)] * [-1, 1]) / 2


def _face_and_moves() -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """A symmetric face about x = 300 and a symmetric displacement for each movement, px."""
    rng = np.random.default_rng(7)
    jaw = [(300 - 150 * np.cos(a), 300 + 220 * np.sin(a)) for a in np.linspace(0, np.pi / 2, 9)]
    half = dict(enumerate(jaw))
    half |= {17 + i: (180 + 22 * i, 230 - 6 * (2 - abs(i - 2))) for i in range(5)}
    half |= {27 + i: (300, 270 + 25 * i) for i in range(4)} | {33: (300, 372)}
    half |= {31: (275, 365), 32: (288, 370), 36: (195, 275), 37: (210, 265), 38: (230, 265)}
    half |= {39: (248, 277), 40: (230, 283), 41: (210, 283), 48: (240, 430), 49: (262, 418)}
    half |= {50: (278, 412), 51: (300, 415), 60: (250, 430), 61: (280, 425), 62: (300, 427)}
    # The mouth is open, so that no movement brings the lower lip above the upper one.
    half |= {57: (300, 500), 58: (282, 495), 59: (260, 470), 66: (300, 475), 67: (280, 473)}
    face = np.zeros((68, 2))
    for point, place in half.items():
        face[point] = place
        if MIRROR_PARTNER[point] != point:
            face[MIRROR_PARTNER[point]] = (600 - place[0], place[1])
    moves = {"rest": np.zeros((68, 2))}
    for movement in MOVEMENTS[1:]:
        moves[movement] = _symmetric(rng.normal(size=(68, 2))) * 14.0
        moves[movement][:17] = 0.0
        moves[movement][[36, 39, 42, 45, *range(27, 36)]] = 0.0
        moves[movement][48:, 0] *= 0.5  # no lip crosses the midline
    return face, moves


@pytest.fixture(scope="module", autouse=True)
def quick_reports(figures_not_rendered: None) -> None:
    """Reports of these tests are read as text."""


@pytest.fixture()
def feature_table(tmp_path: Path) -> Written:
    """Write a made cohort as `features.csv` with the manifest's columns joined."""

    def write(cohort: MadeCohort, *, name: str = "features.csv") -> Path:
        table = pd.concat(
            [
                cohort.rows[["image_id", "status"]],
                cohort.features,
                cohort.rows[["patient_id", "hb_grade"]],
            ],
            axis=1,
        )
        path = tmp_path / name
        table.to_csv(path, index=False)
        return path

    return write
