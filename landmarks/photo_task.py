"""What a worker process does with one photograph: find the points, and draw the overlay.

Workers import this module and what it needs. It keeps away from pandas and the table schemas,
which would cost every worker 50 MB and a good part of its start-up time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.photos import read_photo
from landmarks.finder import DETECTION_MIN_SIDE, FaceLandmarks, LandmarkFinder
from landmarks.overlay import write_overlay

OVERLAY_FOLDER = "overlays"


@dataclass(frozen=True)
class PhotoTask:
    """One photograph, and where its overlay goes when one is wanted."""

    image_id: str
    path: Path
    overlay: Path | None = None


def do_photo(finder: LandmarkFinder, task: PhotoTask) -> FaceLandmarks:
    """Find the points of one photograph and draw its overlay when there is something to draw."""
    result = finder.find_file(task.path)
    if task.overlay is not None:
        if result.status == "ok":
            _draw(task.path, task.overlay, result)
        else:
            task.overlay.unlink(missing_ok=True)  # of an earlier run with another outcome
    return result


def overlay_path(out: Path, image_id: str) -> Path:
    """Return `OUT/overlays/IMAGE_ID.jpg`; an id that climbs out with `..` stays inside."""
    below = [part for part in Path(image_id).parts if part not in ("..", "/", "\\")]
    *folders, name = below or ["photograph"]
    return out.joinpath(OVERLAY_FOLDER, *folders, f"{name}.jpg")


def _draw(path: Path, overlay: Path, result: FaceLandmarks) -> None:
    photo = read_photo(path, min_side=DETECTION_MIN_SIDE)
    spread = None if np.isnan(result.spread).any() else result.spread / photo.scale
    write_overlay(overlay, photo.pixels, photo.from_original(result.points), spread=spread)
