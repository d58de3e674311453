"""Points of altered photographs against those of the photographs themselves: mirrored, or turned.

The points found in the mirrored photograph, with their sides swapped back, should be those of the
photograph itself. Where they are not, the difference between the sides that is measured on a
face is partly made by the predictor. Photographs that are turned by known angles say whether a
tilted head changes the points.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.errors import PhotoError
from common.photos import read_photo
from common.processes import Outcome
from common.tables import STATUSES, choice, number, sort_by_image_id, text
from common.workers import default_jobs, supervised_map
from landmarks.check.errors import evaluate, part_errors
from landmarks.check.scores import patient_intervals
from landmarks.find.extraction import PHOTO_LIMIT_S, landmark_table
from landmarks.find.finder import DETECTION_MIN_SIDE, FaceLandmarks, LandmarkFinder
from landmarks.find.method import Method
from landmarks.points import (
    LEFT_EYE_OUTER,
    REGIONS,
    RIGHT_EYE_OUTER,
    map_points,
    mirror_points,
    turn_about,
)
from landmarks.predictor import PredictorFile

MIRROR = pa.DataFrameSchema(
    {
        "image_id": text(unique=True),
        "status": choice(STATUSES),
        "reason": text(nullable=True),
        **{name: number() for name in REGIONS},
    },
    name="landmark mirror",
)
"""`landmark_mirror.csv`: mean difference per region, percent of the outer-eye distance."""

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

Photos = Sequence[tuple[str, Path]]


def mirror_check(
    photos: Photos,
    *,
    predictor: PredictorFile,
    method: Method | None = None,
    jobs: int | None = None,
) -> pd.DataFrame:
    """Predict each photograph and its mirror image, and compare; without `method` plainly.

    `photos`: pairs of `image_id` (unique) and path. Returns `image_id`, `status`, `reason`, and for
    each region the mean distance between its points found both ways, in percent of the outer-eye
    distance; NaN unless both ways are `ok`.
    """
    rows = []
    for image_id, outcome in _outcomes(find_both_ways, photos, predictor, method, jobs=jobs):
        plain, mirrored = outcome.value or (_lost(outcome), _lost(outcome))
        head: dict[str, str | None] = {"status": "ok", "reason": None}
        if plain.status != "ok":
            head = {"status": plain.status, "reason": plain.reason}
        elif mirrored.status != "ok":
            head = {"status": mirrored.status, "reason": f"Mirrored: {mirrored.reason}"}
        difference = mirror_difference(plain.points, mirrored.points)
        regions = {name: difference[list(points)].mean() for name, points in REGIONS.items()}
        rows.append({"image_id": image_id, **head, **regions})
    table = pd.DataFrame(rows, columns=list(MIRROR.columns)).astype({"reason": "str"})
    return sort_by_image_id(table)


def find_both_ways(finder: LandmarkFinder, path: Path) -> tuple[FaceLandmarks, FaceLandmarks]:
    """Find the points of a photograph, and those of its mirror image mapped back onto it.

    Both are in px of the photograph as it was decoded, perhaps at a reduced size.
    """
    try:
        rgb = read_photo(path, min_side=DETECTION_MIN_SIDE).pixels
    except PhotoError as error:
        lost = FaceLandmarks(status="unreadable", reason=str(error))
        return lost, lost
    mirrored = finder.find(np.ascontiguousarray(rgb[:, ::-1]))
    return finder.find(rgb), FaceLandmarks(
        status=mirrored.status,
        reason=mirrored.reason,
        points=mirror_points(mirrored.points, width=rgb.shape[1]),
    )


def mirror_difference(
    points: NDArray[np.float64], mirrored: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the distance of each of the 68 points found both ways, percent of the eye distance.

    The eye distance is the mean of both ways, so that neither is the measure of the other.
    """
    eyes = [p[LEFT_EYE_OUTER] - p[RIGHT_EYE_OUTER] for p in (points, mirrored)]
    scale = float(np.mean([np.hypot(*across) for across in eyes]))
    off = points - mirrored
    return np.asarray(100.0 * np.hypot(off[:, 0], off[:, 1]) / scale)


def tilt_scores(
    photos: Photos,
    manifest: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    setting: str,
    method: Method,
    predictor: PredictorFile,
    seed: int = 0,
    jobs: int | None = None,
) -> pd.DataFrame:
    """Turn each photograph about its middle, find the points, turn them back, and score them.

    Returns the rows of `landmark_tilt.csv` of one setting; truth as `common.truth` gives it.
    """
    points: dict[str, list[FaceLandmarks]] = {}
    limit_s = PHOTO_LIMIT_S * len(ANGLES)
    for image_id, outcome in _outcomes(
        _find_turned, photos, predictor, method, jobs=jobs, limit_s=limit_s
    ):
        points[image_id] = outcome.value or [_lost(outcome)] * len(ANGLES)
    rows = []
    for place, angle in enumerate(ANGLES):
        table = landmark_table({image_id: found[place] for image_id, found in points.items()})
        turned = evaluate(table, truth, manifest)
        errors = part_errors(turned)["inner"]["nrmse_eye"][:, None]
        patients = turned.photographs["patient_id"].to_numpy()
        found = patient_intervals(errors, patients, seed=seed)
        found = found.rename(columns={"photographs": "found"})
        head = {"setting": setting, "angle_deg": angle, "photographs": len(photos)}
        rows.append(pd.concat([pd.DataFrame([head]), found], axis=1))
    return pd.concat(rows, ignore_index=True)


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


def _find_turned(finder: LandmarkFinder, path: Path) -> list[FaceLandmarks]:
    try:
        photo = read_photo(path, min_side=DETECTION_MIN_SIDE)
    except PhotoError as error:
        return [FaceLandmarks(status="unreadable", reason=str(error))] * len(ANGLES)
    found = []
    for angle in ANGLES:
        pixels, turn = turn_picture(photo.pixels, angle)
        result = finder.find(pixels)
        back = photo.to_original(map_points(result.points, turn, inverse=True))
        found.append(FaceLandmarks(status=result.status, reason=result.reason, points=back))
    return found


def _outcomes(
    work: Callable[..., Any],
    photos: Photos,
    predictor: PredictorFile,
    method: Method | None,
    *,
    jobs: int | None,
    limit_s: float = PHOTO_LIMIT_S,
) -> Iterator[tuple[str, Outcome]]:
    """Give each photograph to a worker with a finder; yield its `image_id` and what came of it."""
    for outcome in supervised_map(
        work,
        [path for _, path in photos],
        jobs=jobs or default_jobs(),
        start=functools.partial(LandmarkFinder, predictor, method=method),
        limit_s=limit_s,
    ):
        yield photos[outcome.index][0], outcome


def _lost(outcome: Outcome) -> FaceLandmarks:
    return FaceLandmarks(status="failed", reason=f"this photograph was lost ({outcome.error})")
