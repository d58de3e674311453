"""How uncertain the model is of a photograph: the order in which photographs are reviewed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.files import found_table
from common.tables import read_table
from landmarks.find.extraction import SPREADS_FILE
from landmarks.points import INNER, LEFT_EYE_OUTER, N_POINTS, RIGHT_EYE_OUTER
from landmarks.tables import SPREAD_COLUMNS, SPREADS, points_of


def uncertainty(points: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `(n,)`, larger is worse: infinite without points, 0 where nothing is known.

    The mean length of the spreads of the 51 inner points, in outer-eye distances: of the orders
    that `benchmarks/review_order.py` compares, the one that was best on simulated patients.

    `points`: `(n, 68, 2)` px as the model drew them; NaN where it found no face.
    `spread`: `(n, 68, 2)` px over the altered copies, of which half are mirrored, so that a
    model that treats the sides differently shows too; NaN without copies.
    """
    across = points[:, LEFT_EYE_OUTER] - points[:, RIGHT_EYE_OUTER]
    lengths = np.hypot(spread[..., 0], spread[..., 1])[:, list(INNER)].mean(axis=1)
    found = np.nan_to_num(lengths / np.hypot(across[:, 0], across[:, 1]), nan=0.0)
    return np.where(np.isfinite(points).all(axis=(1, 2)), found, np.inf)


def spreads_beside(landmarks: Path) -> pd.DataFrame | None:
    """Read the spreads that lie beside a landmark table; None where no copies were made."""
    path = landmarks.with_name(SPREADS_FILE)
    return read_table(path, schema=SPREADS) if found_table(path).is_file() else None


def uncertainty_of(table: pd.DataFrame, spreads: pd.DataFrame | None) -> pd.Series:
    """Return the uncertainty of each photograph of a landmark table, by `image_id`."""
    ids = table["image_id"]
    values = np.full((len(table), N_POINTS, 2), np.nan)
    if spreads is not None:
        known = spreads.set_index("image_id")[list(SPREAD_COLUMNS)].reindex(ids)
        values = known.to_numpy(dtype=np.float64).reshape(values.shape)
    return pd.Series(uncertainty(points_of(table), values), index=pd.Index(ids))
