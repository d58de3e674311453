"""Does a tilted head change the points? Photographs turned by known angles, points turned back."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.errors import PhotoError
from common.photos import read_photo
from common.tables import number, sort_by_image_id, text
from common.workers import default_jobs, supervised_map
from landmarks.find.extraction import PHOTO_LIMIT_S
from landmarks.find.finder import DETECTION_MIN_SIDE, LandmarkFinder
from landmarks.find.method import Method
from landmarks.points import POINT_COLUMNS, map_points, turn_about
from landmarks.predictor import PredictorFile

TILT = pa.DataFrameSchema(
    {
        "setting": text(),
        **{name: number() for name in ("angle_deg", "value", "low", "high")},
        **{name: pa.Column(int) for name in ("photographs", "found", "patients")},
    },
    name="landmark tilt",
)
"""`landmark_tilt.csv`: NRMSE of the inner points, percent of the outer-eye distance, by angle."""

ANGLES = (-20.0, -15.0, -10.0, -5.0, 0.0, 5.0, 10.0, 15.0, 20.0)
"""Degrees, counter-clockwise positive as seen."""


@dataclass(frozen=True)
class _Turned:
    status: str
    reason: str
    points: NDArray[np.float64]


def tilt_check(
    photos: Sequence[tuple[str, Path]],
    *,
    predictor: PredictorFile,
    method: Method | None = None,
    angles: Sequence[float] = ANGLES,
    jobs: int | None = None,
) -> dict[float, pd.DataFrame]:
    """Turn each photograph about its middle, find the points, and turn them back.

    Returns
    -------
    dict
        For each angle a table of `image_id`, `status`, `reason`, `x_0` ... `y_67` in px of the
        photograph as it is, so that it can be evaluated as any landmark table.
    """
    start = functools.partial(LandmarkFinder, predictor, method=method or Method())
    work = functools.partial(_find_turned, angles=tuple(angles))
    rows: dict[float, list[tuple[str, _Turned]]] = {angle: [] for angle in angles}
    for outcome in supervised_map(
        work,
        [path for _, path in photos],
        jobs=jobs or default_jobs(),
        start=start,
        limit_s=PHOTO_LIMIT_S * len(angles),
    ):
        lost = _Turned("failed", f"this photograph was lost ({outcome.error})", _no_points())
        for k, angle in enumerate(angles):
            found = outcome.value[k] if outcome.value is not None else lost
            rows[angle].append((photos[outcome.index][0], found))
    return {angle: _table(found) for angle, found in rows.items()}


def turn_picture(
    pixels: NDArray[np.uint8], angle_deg: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Turn a picture about its middle on a larger canvas; return it and the map that led there."""
    h, w = pixels.shape[:2]
    turn = turn_about(((w - 1) / 2, (h - 1) / 2), angle_deg=angle_deg)
    corners = map_points(np.array([[0, 0], [w - 1, 0], [0, h - 1], [w - 1, h - 1.0]]), turn)
    first = np.floor(corners.min(axis=0) + 1e-6)
    size = np.ceil(corners.max(axis=0) - 1e-6) - first + 1
    turn[:, 2] -= first
    turned = cv2.warpAffine(
        pixels,
        turn,
        (int(size[0]), int(size[1])),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(turned, dtype=np.uint8), turn


def _find_turned(finder: LandmarkFinder, path: Path, *, angles: Sequence[float]) -> list[_Turned]:
    try:
        photo = read_photo(path, min_side=DETECTION_MIN_SIDE)
    except PhotoError as error:
        return [_Turned("unreadable", str(error), _no_points())] * len(angles)
    found = []
    for angle in angles:
        pixels, turn = turn_picture(photo.pixels, angle)
        result = finder.find(pixels)
        back = photo.to_original(map_points(result.points, turn, inverse=True))
        found.append(_Turned(result.status, result.reason, back))
    return found


def _table(found: list[tuple[str, _Turned]]) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "image_id": [image_id for image_id, _ in found],
            "status": [turned.status for _, turned in found],
            "reason": [turned.reason or None for _, turned in found],
        }
    )
    points = np.array([turned.points for _, turned in found]).reshape(len(found), -1)
    table = pd.concat([frame, pd.DataFrame(points, columns=list(POINT_COLUMNS))], axis=1)
    return sort_by_image_id(table)


def _no_points() -> NDArray[np.float64]:
    return np.full((68, 2), np.nan)
