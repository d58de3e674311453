"""Asymmetry kept: what part of a known asymmetry comes back in the predicted points.

A model that has learned from healthy faces draws palsied ones more symmetric than they are, and
what is then measured is not the patient. The figure needs the truth of a *change*: photographs
altered by a known field (`simulate --from-photos`) beside those that they were made from, whose
own asymmetry and whose model's habits then fall out. Where a manifest names no such pairs, the
asymmetry itself is taken.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.bootstrap import Estimate, interval, resampling_weights, summed_by
from common.tables import PLAIN_IMAGE, choice, number, text
from landmarks.check.errors import Evaluated
from landmarks.points import REGIONS, side_of, swap_sides

_REGION_OF = {"brow": "right_brow", "eye": "right_eye", "nose": "nose", "mouth": "mouth"}
RIGHT_POINTS = {
    name: [i for i in REGIONS[part] if side_of(i) == "right"] for name, part in _REGION_OF.items()
}
"""The patient's right point of every pair, by region."""

CHANGE, ITSELF = "change", "asymmetry"

ASYMMETRY = pa.DataFrameSchema(
    {
        "setting": text(),
        "region": choice(tuple(RIGHT_POINTS)),
        "measured": choice((CHANGE, ITSELF)),
        **{name: pa.Column(int) for name in ("photographs", "patients")},
        **{f"{name}{end}": number() for name in ("kept", "r") for end in ("", "_low", "_high")},
    },
    name="landmark asymmetry",
)
"""`landmark_asymmetry.csv`: slope of predicted on true asymmetry through the origin, and their
correlation, each with its 95 % interval over patients."""


def antisymmetric(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the antisymmetric part of `(n, 68, 2)` points, same shape.

    Half the way of each point to the mirror image of its partner, in a frame of the eyes: along
    the line of the eye centres (middles of the corners), from its middle, their distance 1.
    """
    right, left = points[:, [36, 39]].mean(axis=1), points[:, [42, 45]].mean(axis=1)
    across = left - right
    length = np.hypot(across[:, 0], across[:, 1])[:, None]
    axis = (across / length)[:, None]
    off = (points - ((right + left) / 2)[:, None]) / length[..., None]
    x = (off * axis).sum(axis=2)
    y = off[..., 1] * axis[..., 0] - off[..., 0] * axis[..., 1]
    level = np.stack([x, y], axis=2)
    return np.asarray((level - swap_sides(level) * [-1.0, 1.0]) / 2)


def asymmetry_kept(evaluated: Evaluated, *, seed: int = 0) -> pd.DataFrame:
    """Return what part of the true asymmetry comes back in the predicted points, per region.

    Of photographs that name the one they were made from (`plain_image_id`), the change from that
    one; else, of all, the asymmetry itself. Where `side` says who is palsied, only those count.
    Columns are those of `ASYMMETRY` but `setting`: `kept` is 1 for an unbiased predictor, less for
    one that is drawn towards symmetric faces; `r` is Pearson's over all points and both axes.
    """
    photographs = evaluated.photographs
    ok = (photographs["status"] == "ok").to_numpy(copy=True)
    sides = photographs.get("side")
    if sides is not None and sides.isin(["left", "right"]).any():
        ok &= sides.isin(["left", "right"]).to_numpy()
    true, predicted = antisymmetric(evaluated.true), antisymmetric(evaluated.predicted)
    plain = plain_rows(photographs)
    measured = CHANGE if (plain >= 0).any() else ITSELF
    if measured == CHANGE:
        true, predicted = true - true[plain], predicted - predicted[plain]
        ok &= (plain >= 0) & ~np.isnan(predicted[:, 0, 0])
    people, at = np.unique(photographs["patient_id"].to_numpy(str)[ok], return_inverse=True)
    several = len(people) > 1
    weights = resampling_weights(len(people), seed=seed) if several else np.ones((1, len(people)))
    rows = []
    for region, own in RIGHT_POINTS.items():
        sums = summed_by(_sums(true[ok][:, own], predicted[ok][:, own]), at, n=len(people))
        found: dict[str, object] = {"region": region, "measured": measured}
        found |= {"photographs": int(ok.sum()), "patients": len(people)}
        for name, value, drawn in zip(
            ("kept", "r"), _kept_and_r(sums.sum(axis=0)), _kept_and_r(weights @ sums), strict=True
        ):
            one = interval(float(value), drawn) if several else _alone(float(value))
            found |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
        rows.append(found)
    return pd.DataFrame(rows)


def plain_rows(photographs: pd.DataFrame) -> NDArray[np.int64]:
    """Return the row of the photograph that each was made from, -1 where none is named or there."""
    names = photographs.get(PLAIN_IMAGE, pd.Series(None, index=photographs.index, dtype=object))
    rows = pd.Series(np.arange(len(photographs)), index=photographs["image_id"])
    return rows.reindex(names).fillna(-1).to_numpy(np.int64)


def _sums(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(n, 6)`: how many, and the sums of t, p, tt, pp and tp over the points of a photograph."""
    parts = (np.ones_like(true), true, predicted, true**2, predicted**2, true * predicted)
    return np.stack([part.sum(axis=(1, 2)) for part in parts], axis=1)


def _kept_and_r(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slope through the origin and correlation from sums `(..., 6)`."""
    n, t, p, tt, pp, tp = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (n * tp - t * p) / np.sqrt((n * tt - t**2) * (n * pp - p**2))
        return np.asarray(tp / tt), np.asarray(r)


def _alone(value: float) -> Estimate:
    """A value of one patient, of whom nothing can be said about others."""
    return Estimate(value, float("nan"), float("nan"))
