"""Predicted against true points: errors per photograph, region, grade and side, with intervals.

All errors are distances between a predicted and a true point. RMSE is the root mean square over the
points of a part of the face, in px; NRMSE divides it by the distance of the true outer eye corners,
by the diagonal of the true points' box, or by that box's size (the root of its area, as Bulat and
Tzimiropoulos 2017 do), in percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.tables import STATUSES, choice, number, text
from landmarks.points import (
    INNER,
    LEFT_EYE_OUTER,
    MIRROR_PARTNER,
    N_POINTS,
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
        "mean_eye": "mean error by outer-eye distance, %",
    }
)
RESAMPLES = 2000
SIDE_PARTS = ("paralysed_side", "healthy_side")

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


@dataclass(frozen=True)
class Evaluated:
    """Photographs with predicted and true points side by side.

    Attributes
    ----------
    photographs
        `image_id`, `patient_id`, `hb_grade`, `side`, `status`, `reason`, one row each.
    predicted, true
        `(n, 68, 2)` px; NaN rows where there are none.
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


def pair_up(landmarks: pd.DataFrame, truth: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the manifest's rows with what is known of each: status, reason, grade and side.

    A photograph without true points has the status of its truth, one that was not predicted that
    of its landmarks; `ok` rows have both.
    """
    keyed = landmarks.set_index("image_id")
    true = truth.set_index("image_id")
    rows = []
    for image_id in manifest["image_id"]:
        status, reason = str(true.at[image_id, "status"]), true.at[image_id, "reason"]
        if status == "ok" and image_id not in keyed.index:
            status, reason = "failed", "the landmark table has no row for this photograph"
        elif status == "ok":
            status = str(keyed.at[image_id, "status"])
            reason = keyed.at[image_id, "reason"] if "reason" in keyed else None
        rows.append((status, reason if isinstance(reason, str) else None))
    kept = [name for name in ("image_id", "patient_id", "hb_grade", "side") if name in manifest]
    frame = manifest[kept].reset_index(drop=True).copy()
    frame["status"] = [status for status, _ in rows]
    frame["reason"] = pd.array([reason for _, reason in rows], dtype="str")
    return frame


def evaluate(landmarks: pd.DataFrame, truth: pd.DataFrame, manifest: pd.DataFrame) -> Evaluated:
    """Put predicted and true points side by side, in the manifest's order.

    Parameters
    ----------
    landmarks
        A landmark table.
    truth
        `image_id`, `status`, `reason` and `x_0` ... `y_67`, as `common.truth` gives it.
    manifest
        Says which photographs, of which patients.
    """
    photographs = pair_up(landmarks, truth, manifest)
    ids = photographs["image_id"]
    columns = [f"{axis}_{i}" for i in range(N_POINTS) for axis in "xy"]

    def points(table: pd.DataFrame) -> NDArray[np.float64]:
        found = table.set_index("image_id").reindex(ids)[columns].to_numpy(dtype=np.float64)
        return found.reshape(len(ids), N_POINTS, 2)

    usable = (photographs["status"] == "ok").to_numpy()[:, None, None]
    return Evaluated(
        photographs,
        np.where(usable, points(landmarks), np.nan),
        np.where(usable, points(truth), np.nan),
    )


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
    the `healthy_side`, which are empty where the manifest's `side` is neither left nor right.
    """
    n = len(evaluated.photographs)
    masks = {"all": np.ones((n, N_POINTS), dtype=bool)}
    for name, members in {"inner": INNER, **REGIONS}.items():
        masks[name] = np.tile(np.isin(np.arange(N_POINTS), members), (n, 1))
    sides = evaluated.photographs.get("side", pd.Series(["unknown"] * n)).to_numpy()
    of_point = np.array([side_of(i) if i in INNER else "jaw" for i in range(N_POINTS)])
    other = {"left": "right", "right": "left"}
    masks["paralysed_side"] = np.array([of_point == side for side in sides]).reshape(n, N_POINTS)
    masks["healthy_side"] = np.array(
        [of_point == other.get(str(side), "nowhere") for side in sides]
    ).reshape(n, N_POINTS)
    masks["paralysed_side"] &= np.isin(sides, list(other))[:, None]
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
        f"{part}_nrmse_eye": errors[part]["nrmse_eye"] for part in errors if part != "inner"
    }
    return pd.concat([evaluated.photographs, pd.DataFrame(columns)], axis=1)


def score_table(evaluated: Evaluated, *, setting: str, seed: int = 0) -> pd.DataFrame:
    """Return the scores of one setting: per part of the face over all, and per grade and side.

    Groups: `all`, `grade 1` ... `grade 6`, and `palsy left`, `palsy right`, `no palsy`.
    """
    errors = part_errors(evaluated)
    frames = []
    for group, rows in groups_of(evaluated.photographs).items():
        parts = errors if group == "all" else {k: errors[k] for k in ("inner", *SIDE_PARTS)}
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

    Parameters
    ----------
    values
        `(n, k)`, one column for each quantity; NaN is left out.
    patients
        `(n,)` patient of each row; the photographs of a patient are drawn together.

    Returns
    -------
    pandas.DataFrame
        `k` rows: `photographs`, `patients`, `value`, `low`, `high`. The limits are NaN for a
        single patient, of whom nothing can be said about others.
    """
    codes, names = pd.factorize(np.asarray(patients, dtype=object), sort=True)
    there = ~np.isnan(values)
    member = np.equal.outer(np.arange(len(names)), codes).astype(np.float64)
    sums, counts = member @ np.where(there, values, 0.0), member @ there.astype(np.float64)
    rng = np.random.default_rng(seed)
    even = np.full(len(names), 1.0 / max(1, len(names)))
    weights = rng.multinomial(len(names), even, size=RESAMPLES).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = sums.sum(axis=0) / counts.sum(axis=0)
        drawn = (weights @ sums) / (weights @ counts)
    n_patients = (counts > 0).sum(axis=0)
    limits = np.full((2, values.shape[1]), np.nan)
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


def asymmetry_kept(evaluated: Evaluated, *, seed: int = 0) -> pd.DataFrame:
    """Return how much of the true asymmetry is left in the predicted points, per region.

    The asymmetry of a pair of points is how far one lies from the mirror image of the other, in
    a frame along the true outer eye corners and in units of their distance. The slope of predicted
    on true asymmetry, through the origin, is 1 for an unbiased predictor and less than 1 for one
    that is drawn towards symmetric faces. Only photographs of palsied patients count where `side`
    says who they are.

    Returns
    -------
    pandas.DataFrame
        `region`, `photographs`, `patients`, `slope`, `low`, `high`.
    """
    sides = evaluated.photographs.get("side")
    ok = (evaluated.photographs["status"] == "ok").to_numpy(copy=True)
    if sides is not None and sides.isin(["left", "right"]).any():
        ok &= sides.isin(["left", "right"]).to_numpy()
    chosen = evaluated.only(ok)
    true, predicted = _asymmetry(chosen.true, chosen), _asymmetry(chosen.predicted, chosen)
    regions = {
        "brows": (*REGIONS["right_brow"], *REGIONS["left_brow"]),
        "eyes": (*REGIONS["right_eye"], *REGIONS["left_eye"]),
        "nose": REGIONS["nose"],
        "mouth": REGIONS["mouth"],
    }
    patients = chosen.photographs["patient_id"].to_numpy()
    rows = []
    for region, members in regions.items():
        points = [i for i in members if side_of(i) == "right"]
        products = (true[:, points] * predicted[:, points]).sum(axis=(1, 2))
        squares = (true[:, points] ** 2).sum(axis=(1, 2))
        rows.append((region, *_slope(products, squares, patients, seed=seed)))
    columns = ["region", "photographs", "patients", "slope", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


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
    return {
        "rmse_px": rmse,
        **{f"nrmse_{name}": 100.0 * rmse / size for name, size in scale.items()},
        "mean_eye": 100.0 * mean / scale["eye"],
    }


def _asymmetry(points: NDArray[np.float64], evaluated: Evaluated) -> NDArray[np.float64]:
    """`(n, 68, 2)`: each point minus the mirror image of its partner, true eye line level."""
    right, left = evaluated.true[:, RIGHT_EYE_OUTER], evaluated.true[:, LEFT_EYE_OUTER]
    across = left - right
    length = np.hypot(across[:, 0], across[:, 1])
    x_axis = (across / length[:, None])[:, None]
    off = (points - ((right + left) / 2)[:, None]) / length[:, None, None]
    x = (off * x_axis).sum(axis=2)
    y = off[..., 1] * x_axis[..., 0] - off[..., 0] * x_axis[..., 1]
    partner = list(MIRROR_PARTNER)
    return np.stack([x + x[:, partner], y - y[:, partner]], axis=2)


def _slope(
    products: NDArray[np.float64], squares: NDArray[np.float64], patients: NDArray, *, seed: int
) -> tuple[int, int, float, float, float]:
    codes, names = pd.factorize(patients, sort=True)
    if not len(names):
        return 0, 0, float("nan"), float("nan"), float("nan")
    top = np.bincount(codes, weights=products)
    bottom = np.bincount(codes, weights=squares)
    rng = np.random.default_rng(seed)
    even = np.full(len(names), 1.0 / len(names))
    weights = rng.multinomial(len(names), even, size=RESAMPLES).astype(np.float64)
    low, high = np.quantile((weights @ top) / (weights @ bottom), [0.025, 0.975])
    value = float(top.sum() / bottom.sum())
    if len(names) == 1:
        low = high = np.nan
    return len(products), len(names), value, float(low), float(high)
