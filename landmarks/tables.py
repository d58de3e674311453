"""The landmark table: one row per photograph, always, whatever became of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.tables import STATUSES, choice, number, read_table, text
from landmarks.points import N_POINTS, POINT_COLUMNS

DETECTORS = ("hog_200", "hog_full", "cnn")
BOX_COLUMNS = ("box_left", "box_top", "box_right", "box_bottom")
QUALITY_COLUMNS = ("detector_score", *BOX_COLUMNS, "tilt_deg", "spread_px", "mm_per_px")

LANDMARKS = pa.DataFrameSchema(
    {
        "image_id": text(unique=True),
        "status": choice(STATUSES),
        "reason": text(nullable=True, required=False),
        "n_faces": pa.Column("Int64", nullable=True, coerce=True, required=False),
        "detector": text(nullable=True, required=False),
        **{name: number(required=False) for name in QUALITY_COLUMNS},
        **{name: number() for name in POINT_COLUMNS},
    },
    name="landmarks",
)
"""`landmarks.csv`. px of the original photograph after EXIF rotation; points are NaN unless `ok`.

`detector` is the one that found the face. `detector_score` is comparable within one detector
only. `spread_px` is the mean length of the spreads in `spreads.csv`.
`spread_px` and `mm_per_px` stay empty until augmentation or a scale is asked for.
"""

SPREAD_COLUMNS = tuple(f"spread_{name}" for name in POINT_COLUMNS)

SPREADS = pa.DataFrameSchema(
    {
        "image_id": text(unique=True),
        "status": choice(STATUSES),
        "copies": pa.Column(int),
        "copies_failed": pa.Column(int),
        **{name: number() for name in SPREAD_COLUMNS},
    },
    name="spreads",
)
"""`spreads.csv`, written with test-time augmentation: copies made, copies without a face, and the
spread of each point over the others in x and y, px (median absolute deviation times 1.4826)."""


def read_landmarks(path: Path) -> pd.DataFrame:
    """Read a landmark table, for instance one corrected by hand in a spreadsheet."""
    return read_table(path, schema=LANDMARKS)


def points_of(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return a landmark table's points as `(n, 68, 2)` float64 px; NaN where there are none."""
    values = table[list(POINT_COLUMNS)].to_numpy(dtype=np.float64)
    return values.reshape(len(table), N_POINTS, 2)
