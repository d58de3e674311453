"""Predicted against true points: errors per photograph, region, grade and side, with intervals.

All errors are distances between a predicted and a true point. RMSE is the root mean square over the
points of a part of the face, in px; NRMSE divides it by the distance of the true outer eye corners,
by the diagonal of the true points' box, or by that box's size (the root of its area, as Bulat and
Tzimiropoulos 2017 do), in percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.tables import PLAIN_IMAGE, STATUSES, choice, number, text
from landmarks.points import (
    INNER,
    LEFT_EYE_OUTER,
    N_POINTS,
    POINT_COLUMNS,
    REGIONS,
    RIGHT_EYE_OUTER,
    side_of,
)

MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "rmse_px": "RMSE, px",
        "nrmse_eye": "NRMSE by outer-eye distance, %",
        "nrmse_diagonal": "NRMSE by box diagonal, %",
        "nrmse_size": "NRMSE by box size, %",
        "mean_eye": "mean error (NME) by outer-eye distance, %",
        "major_errors": "major errors, % of photographs",
    }
)
"""A photograph has a major error (100, else 0) in a part of the face where any point of it is off
by more than `MAJOR` of the outer-eye distance."""

MAJOR = 0.1
SIDE_PARTS = ("paralysed_side", "healthy_side")
PAIRED = ("brow", "eye", "nose", "mouth")  # regions that hold pairs of points
SIDE_REGIONS = tuple(f"{half}_{name}" for half in ("paralysed", "healthy") for name in PAIRED)
"""The points of a region on the paralysed, and on the healthy half of the face."""

ERRORS = pa.DataFrameSchema(
    {
        "image_id": text(unique=True),
        "patient_id": text(),
        "status": choice(STATUSES),
        "reason": text(nullable=True),
        **{f"inner_{name}": number() for name in MEASURES},
        **{f"{part}_nrmse_eye": number() for part in ("all", *REGIONS, *SIDE_PARTS)},
    },
    name="landmark errors",
)
"""`landmark_errors.csv`: one row per photograph of the manifest; errors are NaN unless `ok`."""


@dataclass(frozen=True)
class Evaluated:
    """Photographs with predicted and true points side by side: `(n, 68, 2)` px, NaN where none are.

    `photographs`: `image_id`, `patient_id`, `hb_grade`, `side`, `plain_image_id` (the last three
    where the manifest has them), `status`, `reason`, one row each.
    """

    photographs: pd.DataFrame
    predicted: NDArray[np.float64]
    true: NDArray[np.float64]

    @property
    def distances(self) -> NDArray[np.float64]:
        """`(n, 68)` px between predicted and true points."""
        off = self.predicted - self.true
        return np.asarray(np.hypot(off[..., 0], off[..., 1]))

    def only(self, rows: NDArray[np.bool_]) -> Evaluated:
        """Return the photographs where `rows` is true."""
        kept = self.photographs[rows].reset_index(drop=True)
        return Evaluated(kept, self.predicted[rows], self.true[rows])


def evaluate(landmarks: pd.DataFrame, truth: pd.DataFrame, manifest: pd.DataFrame) -> Evaluated:
    """Put predicted and true points side by side, in the manifest's order.

    A photograph without true points has the status of its truth, one that was not predicted that of
    its landmarks; `ok` rows have both. `truth` is a table as `common.truth` gives it.
    """
    ids = manifest["image_id"]
    found, true = landmarks.set_index("image_id").reindex(ids), truth.set_index("image_id").loc[ids]
    ours, theirs = (
        table.reindex(columns=["status", "reason"]).reset_index(drop=True)
        for table in (found, true)
    )
    missing = ours["status"].isna()
    ours.loc[missing, "status"] = "failed"
    ours["reason"] = ours["reason"].astype("str")
    ours.loc[missing, "reason"] = "the landmark table has no row for this photograph"
    names = ("image_id", "patient_id", "hb_grade", "side", PLAIN_IMAGE)
    kept = [name for name in names if name in manifest]
    photographs = manifest[kept].reset_index(drop=True)
    known = theirs["status"] == "ok"
    for name in ("status", "reason"):
        photographs[name] = ours[name].where(known, theirs[name]).astype("str")
    usable = (photographs["status"] == "ok").to_numpy()[:, None]
    predicted, points = (
        np.where(usable, table[list(POINT_COLUMNS)].to_numpy(dtype=np.float64), np.nan)
        for table in (found, true)
    )
    shape = (len(ids), N_POINTS, 2)
    return Evaluated(photographs, predicted.reshape(shape), points.reshape(shape))


def normalisers(true: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return `eye`, `diagonal` and `size` of `(n, 68, 2)` true points, each `(n,)` px."""
    across = true[:, LEFT_EYE_OUTER] - true[:, RIGHT_EYE_OUTER]
    extent = true.max(axis=1) - true.min(axis=1)
    return {
        "eye": np.hypot(across[:, 0], across[:, 1]),
        "diagonal": np.hypot(extent[:, 0], extent[:, 1]),
        "size": np.sqrt(extent[:, 0] * extent[:, 1]),
    }


def part_masks(evaluated: Evaluated) -> dict[str, NDArray[np.bool_]]:
    """Return which points belong to each part of the face, `(n, 68)` for each.

    Parts: `all` 68, the `inner` 51, the regions, and the inner points of the `paralysed_side` and
    the `healthy_side`, as a whole and by region, which are empty where the manifest's `side` is
    neither left nor right.
    """
    n = len(evaluated.photographs)
    parts = {"all": range(N_POINTS), "inner": INNER, **REGIONS}
    masks = {
        name: np.tile(np.isin(np.arange(N_POINTS), members), (n, 1))
        for name, members in parts.items()
    }
    sides = evaluated.photographs.get("side", pd.Series(["unknown"] * n))
    of_point = np.array([side_of(i) if i in INNER else "jaw" for i in range(N_POINTS)])
    healthy = sides.map({"left": "right", "right": "left"})
    paralysed = healthy.map({"left": "right", "right": "left"})
    for part, side in zip(SIDE_PARTS, (paralysed, healthy), strict=True):
        masks[part] = side.to_numpy(dtype=object)[:, None] == of_point
        for name in PAIRED:
            region = np.logical_or.reduce([masks[k] for k in REGIONS if k.endswith(name)])
            masks[f"{part.removesuffix('_side')}_{name}"] = masks[part] & region
    return masks


def part_errors(evaluated: Evaluated) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return `{part: {measure: (n,)}}`, NaN where a photograph has no such part or no points."""
    distances, scale = evaluated.distances, normalisers(evaluated.true)
    return {
        part: _measures(np.where(mask, distances, np.nan), scale)
        for part, mask in part_masks(evaluated).items()
    }


def error_table(evaluated: Evaluated) -> pd.DataFrame:
    """Return `landmark_errors.csv`: each photograph with its errors, NaN unless `ok`."""
    errors = part_errors(evaluated)
    columns = {f"inner_{name}": values for name, values in errors["inner"].items()}
    columns |= {
        f"{part}_nrmse_eye": errors[part]["nrmse_eye"] for part in ("all", *REGIONS, *SIDE_PARTS)
    }
    return pd.concat([evaluated.photographs, pd.DataFrame(columns)], axis=1)


def cumulative_share(
    values: NDArray[np.float64], at: NDArray[np.float64], *, n: int
) -> NDArray[np.float64]:
    """Return the share of all `n` photographs whose error is at most `at`; failures never are."""
    sound = np.sort(values[~np.isnan(values)])
    return np.asarray(np.searchsorted(sound, at, side="right") / max(1, n))


def _measures(
    distances: NDArray[np.float64], scale: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    there = ~np.isnan(distances)
    n = np.where(there.any(axis=1), there.sum(axis=1), np.nan)
    rmse = np.sqrt((np.where(there, distances, 0.0) ** 2).sum(axis=1) / n)
    mean = np.where(there, distances, 0.0).sum(axis=1) / n
    worst = np.where(there, distances, 0.0).max(axis=1)
    return {
        "rmse_px": rmse,
        **{f"nrmse_{name}": 100.0 * rmse / size for name, size in scale.items()},
        "mean_eye": 100.0 * mean / scale["eye"],
        "major_errors": np.where(there.any(axis=1), 100.0 * (worst > MAJOR * scale["eye"]), np.nan),
    }
