"""Scores over photographs, with intervals over patients: of a setting, and of several.

Every interval is of 95 % and resamples whole patients: the photographs of one are drawn together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.bootstrap import resampling_weights
from common.tables import choice, number, text
from landmarks.check.errors import MEASURES, SIDE_PARTS, SIDE_REGIONS, Evaluated, part_errors

SCORES = pa.DataFrameSchema(
    {
        "setting": text(),
        "group": text(),
        "part": text(),
        "measure": choice(tuple(MEASURES)),
        "photographs": pa.Column(int),
        "patients": pa.Column(int),
        **{name: number() for name in ("value", "low", "high")},
    },
    name="landmark scores",
)
"""`landmark_scores.csv`: mean over photographs with its 95 % interval over patients."""

GRID = pa.DataFrameSchema(
    {
        "setting": text(),
        **{name: pa.Column(int) for name in ("photographs", "found", "patients")},
        **{
            f"{measure}{limit}": number()
            for measure in ("nrmse_eye", "mean_eye", "nrmse_difference")
            for limit in ("", "_low", "_high")
        },
    },
    name="landmark grid",
)
"""`landmark_grid.csv`: one row per setting, percent of the outer-eye distance; see
`compare_settings`."""


def score_table(evaluated: Evaluated, *, setting: str, seed: int = 0) -> pd.DataFrame:
    """Return the scores of one setting: per part of the face over all, and per grade and side.

    Groups: `all`, `grade 1` ... `grade 6`, and `palsy left`, `palsy right`, `no palsy`.
    """
    errors = part_errors(evaluated)
    frames = []
    for group, rows in groups_of(evaluated.photographs).items():
        parts = (
            errors
            if group == "all"
            else {k: errors[k] for k in ("inner", *SIDE_PARTS, *SIDE_REGIONS)}
        )
        names = [(part, measure) for part in parts for measure in MEASURES]
        values = np.column_stack([errors[part][measure] for part, measure in names])[rows]
        patients = evaluated.photographs["patient_id"].to_numpy()[rows]
        frame = pd.DataFrame(names, columns=["part", "measure"])
        frame = pd.concat([frame, patient_intervals(values, patients, seed=seed)], axis=1)
        frame.insert(0, "group", group)
        frames.append(frame[frame["photographs"] > 0])
    table = pd.concat(frames, ignore_index=True)
    table.insert(0, "setting", setting)
    return table


def groups_of(photographs: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Return the groups of photographs that are scored, by name, each a mask of rows."""
    groups = {"all": np.ones(len(photographs), dtype=bool)}
    if "hb_grade" in photographs:
        grades = photographs["hb_grade"].fillna(0).astype(int).to_numpy()
        groups |= {f"grade {grade}": grades == grade for grade in np.unique(grades[grades > 0])}
    if "side" in photographs:
        names = {"left": "palsy left", "right": "palsy right", "none": "no palsy"}
        sides = photographs["side"].to_numpy()
        groups |= {name: sides == side for side, name in names.items() if (sides == side).any()}
    return groups


def patient_intervals(
    values: NDArray[np.float64], patients: Sequence[object] | NDArray, *, seed: int = 0
) -> pd.DataFrame:
    """Return means over photographs with 95 % percentile intervals over resampled patients.

    `values`: `(n, k)`, one column for each quantity; NaN is left out. `patients`: `(n,)`, of each
    row. Returns `k` rows: `photographs`, `patients`, `value`, `low`, `high`. The limits are NaN for
    a single patient, of whom nothing can be said about others.
    """
    there = ~np.isnan(values)
    codes, names = pd.factorize(np.asarray(patients, dtype=object), sort=True)
    member = np.equal.outer(np.arange(len(names)), codes).astype(np.float64)
    top, bottom = member @ np.where(there, values, 0.0), member @ there.astype(np.float64)
    n_patients = (bottom > 0).sum(axis=0)
    limits = np.full((2, values.shape[1]), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = top.sum(axis=0) / bottom.sum(axis=0)
        if (n_patients > 1).any():
            weights = resampling_weights(len(names), seed=seed)
            drawn = (weights @ top) / (weights @ bottom)
    for k in np.flatnonzero(n_patients > 1):
        limits[:, k] = np.nanquantile(drawn[:, k], [0.025, 0.975])
    return pd.DataFrame(
        {
            "photographs": there.sum(axis=0).astype(int),
            "patients": n_patients.astype(int),
            "value": value,
            "low": limits[0],
            "high": limits[1],
        }
    )


def compare_settings(evaluated: Mapping[str, Evaluated], *, seed: int = 0) -> pd.DataFrame:
    """Compare errors of the inner points; the first setting is what the others are held against.

    Returns `setting`, `photographs` with true points, `found` of them, `patients`; `nrmse_eye`,
    `mean_eye` and `nrmse_difference` to the first setting, each with `_low` and `_high`. A
    difference is taken over the photographs in which both settings found the face.
    """
    rows = []
    base: NDArray[np.float64] | None = None
    for name, one in evaluated.items():
        errors = part_errors(one)["inner"]
        base = errors["nrmse_eye"] if base is None else base
        values = np.column_stack(
            [errors["nrmse_eye"], errors["mean_eye"], errors["nrmse_eye"] - base]
        )
        found = patient_intervals(values, one.photographs["patient_id"].to_numpy(), seed=seed)
        row = {
            "setting": name,
            "photographs": len(one.photographs),
            "found": found["photographs"].tolist()[0],
            "patients": found["patients"].tolist()[0],
        }
        rows.append(row | in_one_row(found, ("nrmse_eye", "mean_eye", "nrmse_difference")))
    return pd.DataFrame(rows)


def in_one_row(intervals: pd.DataFrame, names: Sequence[str]) -> dict[str, float]:
    """Return `value`, `low`, `high` of each row as `NAME`, `NAME_low`, `NAME_high`."""
    return {
        f"{name}{end}": float(intervals[column].to_numpy(dtype=np.float64)[k])
        for k, name in enumerate(names)
        for end, column in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
