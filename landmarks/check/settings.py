"""The settings that an earlier study compared, and their errors on the same photographs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.tables import number, text
from landmarks.check.errors import Evaluated, part_errors, patient_intervals
from landmarks.find.method import Method

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

WIDTHS = (200, 300)
PLAIN = "plain"


def grid_of(method: Method) -> dict[str, Method]:
    """Return the grid: detection width, grey or colour, with and without copies and levelling.

    Parameters
    ----------
    method
        Gives the augmentation that is tried.
    """
    choices = itertools.product((False, True), (False, True), (False, True), WIDTHS)
    return {
        _name(width, colour=colour, tta=tta, relevel=relevel): replace(
            method,
            detection_width=width,
            colour=colour,
            augmentation=method.augmentation if tta else None,
            relevel=relevel,
        )
        for tta, relevel, colour, width in choices
        if not tta or method.augmentation is not None
    }


def compare_settings(
    evaluated: Mapping[str, Evaluated], *, part: str = "inner", seed: int = 0
) -> pd.DataFrame:
    """Compare settings by NRMSE and mean error; the first is what the others are held against.

    Returns
    -------
    pandas.DataFrame
        `setting`, `photographs` with true points, `found` of them, `patients`; `nrmse_eye`,
        `mean_eye` and `nrmse_difference` to the first setting, each with `_low` and `_high`. A
        difference is taken over the photographs in which both settings found the face.
    """
    rows = []
    base: NDArray[np.float64] | None = None
    for name, one in evaluated.items():
        errors = part_errors(one)[part]
        base = errors["nrmse_eye"] if base is None else base
        values = np.column_stack(
            [errors["nrmse_eye"], errors["mean_eye"], errors["nrmse_eye"] - base]
        )
        found = patient_intervals(values, one.photographs["patient_id"].to_numpy(), seed=seed)
        row: dict[str, object] = {
            "setting": name,
            "photographs": len(one.photographs),
            "found": found["photographs"].tolist()[0],
            "patients": found["patients"].tolist()[0],
        }
        for k, measure in enumerate(("nrmse_eye", "mean_eye", "nrmse_difference")):
            row |= {
                measure: found["value"].iat[k],
                f"{measure}_low": found["low"].iat[k],
                f"{measure}_high": found["high"].iat[k],
            }
        rows.append(row)
    return pd.DataFrame(rows)


def _name(width: int, *, colour: bool, tta: bool, relevel: bool) -> str:
    parts = [f"{width} px", "colour" if colour else "grey"]
    parts += ["copies"] if tta else []
    parts += ["levelled"] if relevel else []
    return ", ".join(parts)
