"""Are left and right treated alike? The points of a photograph against those of its mirror image.

The points found in the mirrored photograph, with their sides swapped back, should be those of the
photograph itself. Where they are not, the difference between the sides that is measured on a
face is partly made by the predictor.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.errors import PhotoError
from common.photos import read_photo
from common.tables import STATUSES, choice, number, sort_by_image_id, text
from common.workers import default_jobs, supervised_map
from landmarks.find.extraction import PHOTO_LIMIT_S
from landmarks.find.finder import DETECTION_MIN_SIDE, FaceLandmarks, LandmarkFinder
from landmarks.find.method import Method
from landmarks.points import LEFT_EYE_OUTER, REGIONS, RIGHT_EYE_OUTER, mirror_points
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


def mirror_check(
    photos: Sequence[tuple[str, Path]],
    *,
    predictor: PredictorFile,
    method: Method | None = None,
    jobs: int | None = None,
) -> pd.DataFrame:
    """Predict each photograph and its mirror image, and compare.

    Parameters
    ----------
    photos
        Pairs of `image_id` (unique) and path.
    predictor
        From `landmarks.find_predictor`.
    method
        How points are found; a plain prediction when None.
    jobs
        Worker processes; all processors when None.

    Returns
    -------
    pandas.DataFrame
        `image_id`, `status`, `reason`, and for each region the mean distance between its points
        found both ways, in percent of the outer-eye distance; NaN unless both ways are `ok`.
    """
    start = functools.partial(LandmarkFinder, predictor, method=method or Method())
    rows = []
    for outcome in supervised_map(
        find_both_ways,
        [path for _, path in photos],
        jobs=jobs or default_jobs(),
        start=start,
        limit_s=PHOTO_LIMIT_S,
    ):
        image_id = photos[outcome.index][0]
        if outcome.value is None:
            head: dict[str, str | None] = {
                "status": "failed",
                "reason": f"this photograph was lost ({outcome.error})",
            }
            difference = np.full(68, np.nan)
        else:
            plain, mirrored = outcome.value
            head = _both_statuses(plain, mirrored)
            difference = mirror_difference(plain.points, mirrored.points)
        regions = {name: difference[list(points)].mean() for name, points in REGIONS.items()}
        rows.append({"image_id": image_id, **head, **regions})
    columns = ["image_id", "status", "reason", *REGIONS]
    table = pd.DataFrame(rows, columns=columns).astype({"reason": "str"})
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


def _both_statuses(plain: FaceLandmarks, mirrored: FaceLandmarks) -> dict[str, str | None]:
    if plain.status != "ok":
        return {"status": plain.status, "reason": plain.reason}
    if mirrored.status != "ok":
        return {"status": mirrored.status, "reason": f"Mirrored: {mirrored.reason}"}
    return {"status": "ok", "reason": None}
