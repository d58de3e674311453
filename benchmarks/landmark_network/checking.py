"""Figures of a network on renderings with known points: errors, and asymmetry kept."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.landmark_network.losses import SIDES
from benchmarks.landmark_network.networks import Looks
from benchmarks.landmark_network.rendering import Pictures
from common.arrays import Floats
from landmarks.find.network import View, face_map
from landmarks.points import INNER, LEFT_EYE_OUTER, RIGHT_EYE_OUTER

_REGIONS = {"brow": (17, 22), "eye": (36, 42), "nose": (31, 36), "mouth": (48, 68)}
_UPPER, _LOWER = [37, 38, 43, 44], [41, 40, 47, 46]  # lids


def figures(looks: Looks, pictures: Pictures, *, every: int = 1) -> pd.DataFrame:
    """Figures of the looks at the face, and of those with the eyes; see `compared`.

    The first look starts from the true points, moved, turned and scaled a little.
    """
    rng = np.random.default_rng(0)
    faces, both = [], []
    grey, true = pictures.grey[::every], pictures.points[::every].astype(np.float64)
    for picture, points in zip(grey, true, strict=True):
        angle = 0.07 * rng.standard_normal()
        scale = np.exp(0.05 * rng.standard_normal())
        start = face_map(points, View(angle, scale, 0.03 * rng.standard_normal(2)))
        face, eyes = looks.at_both(picture, start)
        faces.append(face)
        both.append(eyes)
    rows = {"face only": np.array(faces), "face and eyes": np.array(both)}
    return pd.DataFrame({name: compared(true, found) for name, found in rows.items()}).T.round(3)


def compared(true: Floats, found: Floats) -> dict[str, float]:
    """Errors and asymmetry of points `(n, 68, 2)`, in % of the distance of the outer eye corners.

    NRMSE of the 51 inner points, mean and median. For each region kept and r: slope through 0, and
    correlation, of the differences of height between the sides, found on true. `opening`: mean
    error of the distance between the lids.
    """
    across = true[:, LEFT_EYE_OUTER] - true[:, RIGHT_EYE_OUTER]
    unit = np.linalg.norm(across, axis=-1)
    down = np.stack([-across[:, 1], across[:, 0]], -1) / unit[:, None]
    squares = ((found - true)[:, list(INNER)] ** 2).sum(-1)
    error = 100 * np.sqrt(squares.mean(1)) / unit
    told = {"NRMSE51": error.mean(), "median": np.median(error)}

    def heights(points: Floats) -> Floats:
        return (points * down[:, None]).sum(-1) / unit[:, None]

    right, left = (np.array(side) for side in SIDES)
    true, found = heights(true), heights(found)
    for region, (first, end) in _REGIONS.items():
        own = (right >= first) & (right < end)
        one = (true[:, right[own]] - true[:, left[own]]).ravel()
        other = (found[:, right[own]] - found[:, left[own]]).ravel()
        told[f"{region} kept"] = (one @ other) / (one @ one)
        told[f"{region} r"] = np.corrcoef(one, other)[0, 1]
    opening = found[:, _LOWER] - found[:, _UPPER] - (true[:, _LOWER] - true[:, _UPPER])
    told["opening"] = 100 * np.abs(opening).mean()
    return told
