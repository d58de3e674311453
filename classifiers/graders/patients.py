"""One row per patient: the patient's photographs in all movements, side by side.

Takes the usable photographs of a cohort and the landmark table beside `features.csv`. A movement
that was not photographed stays missing; several photographs of one movement are averaged.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from classifiers.graders.cohort import Samples
from classifiers.graders.severity import REST, block_columns
from common.errors import UserError
from common.grading.target import refuse_two_grades
from common.tables import severities
from features.mirror_difference import N_PARTS, mirror_parts
from landmarks.tables import points_of, read_landmarks

SIGN = {"left": 1.0, "right": -1.0}


def patient_samples(photographs: Samples, *, landmarks: Path) -> Samples:
    """Gather the photographs of each patient into one row.

    Parameters
    ----------
    photographs
        Usable photographs with `patient_id`, `task` and the label.
    landmarks
        The `landmarks.csv` from which the features were measured.

    Returns
    -------
    Samples
        Rows with `patient_id`, `hb_grade`, `palsy_class` and `side` (when known), `photographs`
        (how many) and `movements` (how many different ones). Columns: the blocks of
        `classifiers.graders.severity`, then `mean.` and `worst.` (largest) of every feature over
        the photographs.

    Raises
    ------
    UserError
        When movements are not named, the landmark table is missing or of other photographs, or a
        patient has more than one grade.
    """
    rows = photographs.rows
    if "task" not in rows.columns or rows["task"].isna().any():
        raise UserError(
            'Grading patients needs the movement of every photograph: fill the column "task" of '
            "the manifest, or grade photographs (--level photograph)."
        )
    for column in ("hb_grade", "palsy_class"):
        if column in rows.columns:
            refuse_two_grades(rows, column=column)
    strength = severities(rows)
    if strength.isna().any():
        raise UserError(
            f'Patient "{rows.loc[strength.isna(), "patient_id"].iloc[0]}" has no hb_grade and no '
            "palsy_class, from which graders of patients learn how strong a palsy is: fill one of "
            "them, or leave the patient out."
        )
    parts = _parts_of(rows, landmarks=landmarks)
    tasks = rows["task"].to_numpy(dtype=str)
    movements = sorted(set(tasks), key=lambda name: (name != REST, name))
    patients, first, at = np.unique(photographs.patients, return_index=True, return_inverse=True)
    blocks = np.stack(
        [
            _mean_by(parts[:, part], at, tasks == movement, n=len(patients))
            for part in range(2)
            for movement in movements
        ],
        axis=1,
    )
    shape = pd.DataFrame(blocks.reshape(len(patients), -1), columns=block_columns(movements))
    by_patient = photographs.features.groupby(at)
    features = pd.concat(
        [
            shape,
            by_patient.mean().add_prefix("mean."),
            by_patient.max().add_prefix("worst."),
        ],
        axis=1,
    )
    table = rows.iloc[first].reset_index(drop=True)
    side = table["side"].map(SIGN).fillna(0.0) if "side" in table else pd.Series(0.0, table.index)
    kept = [
        name for name in ("patient_id", "hb_grade", "palsy_class", "side") if name in table.columns
    ]
    counted = pd.DataFrame(
        {
            "photographs": np.bincount(at),
            "movements": (~np.isnan(blocks[:, : len(movements), 0])).sum(axis=1),
        }
    )
    return Samples(
        rows=pd.concat([table[kept], counted], axis=1),
        features=features,
        labels=photographs.labels[first],
        patients=patients,
        grades=severities(table).to_numpy(),
        sides=np.asarray(side, dtype=np.float64),
    )


def _parts_of(rows: pd.DataFrame, *, landmarks: Path) -> NDArray[np.float64]:
    """Odd and even part of each photograph, `(n, 2, 51)`."""
    if not landmarks.is_file():
        raise UserError(
            f"There is no {landmarks.name} in {landmarks.parent}: grading patients needs the "
            "landmark table that extract wrote beside the features, or give --level photograph."
        )
    table = read_landmarks(landmarks).set_index("image_id")
    missing = pd.Index(rows["image_id"]).difference(table.index)
    if len(missing):
        raise UserError(
            f'{landmarks} has no row for "{missing[0]}": give the landmark table from which the '
            "features were measured."
        )
    found = mirror_parts(points_of(table.loc[list(rows["image_id"])]))
    return np.stack([found.odd, found.even], axis=1)


def _mean_by(
    values: NDArray[np.float64], at: NDArray[np.intp], chosen: NDArray[np.bool_], *, n: int
) -> NDArray[np.float64]:
    """Mean over the chosen photographs of each patient, `(n, 51)`; NaN without one."""
    total, count = np.zeros((n, N_PARTS)), np.zeros(n)
    good = chosen & ~np.isnan(values[:, 0])
    np.add.at(total, at[good], values[good])
    np.add.at(count, at[good], 1.0)
    means = np.full((n, N_PARTS), np.nan)
    found: NDArray[np.float64] = np.divide(
        total, count[:, None], out=means, where=count[:, None] > 0
    )
    return found
