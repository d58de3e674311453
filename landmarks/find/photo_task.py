"""What a worker process does with one photograph: find points and irises, draw the overlay.

Workers import this module and what it needs. It keeps away from pandas and the table schemas,
which would cost every worker 50 MB and a good part of its start-up time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common.photos import read_photo
from landmarks.find.finder import DETECTION_MIN_SIDE, FaceLandmarks, LandmarkFinder
from landmarks.find.iris import Iris, Irises, find_irises
from landmarks.overlay import write_overlay

OVERLAY_FOLDER = "overlays"
IRIS_MIN_SIDE = 1000
"""Photographs are decoded for the irises as long as the shorter side keeps this many px."""


@dataclass(frozen=True)
class PhotoTask:
    """One photograph, and what is wanted beside its points.

    Attributes
    ----------
    image_id, path
        The photograph.
    overlay
        Where its overlay goes.
    irises
        Look for the irises.
    iris_radii
        Given radii of the right and left iris in px of the photograph; None for those not known.
    """

    image_id: str
    path: Path
    overlay: Path | None = None
    irises: bool = False
    iris_radii: tuple[float | None, float | None] = (None, None)


def do_photo(finder: LandmarkFinder, task: PhotoTask) -> FaceLandmarks:
    """Find the points of one photograph and draw its overlay when there is something to draw."""
    result = finder.find_file(task.path)
    if task.irises:
        result = replace(result, irises=_irises_of(task, result))
    if task.overlay is not None:
        if result.status == "ok":
            _draw(task.path, task.overlay, result)
        else:
            task.overlay.unlink(missing_ok=True)  # of an earlier run with another outcome
    return result


def _irises_of(task: PhotoTask, result: FaceLandmarks) -> Irises:
    if result.status != "ok":
        return Irises()
    # The points came from grey pixels, perhaps smaller ones; irises need colour and detail.
    photo = read_photo(task.path, min_side=IRIS_MIN_SIDE)
    radii = [None if radius is None else radius / photo.scale for radius in task.iris_radii]
    found = find_irises(
        photo.pixels,
        photo.from_original(result.points),
        right_radius=radii[0],
        left_radius=radii[1],
    )

    def in_photograph(iris: Iris, given: float | None) -> Iris:
        x, y = photo.to_original(iris.centre)
        # A given radius holds although the eye is closed.
        radius = iris.radius * photo.scale if given is None else given
        return replace(iris, x=float(x), y=float(y), radius=radius)

    return Irises(
        right=in_photograph(found.right, task.iris_radii[0]),
        left=in_photograph(found.left, task.iris_radii[1]),
    )


def overlay_path(out: Path, image_id: str) -> Path:
    """Return `OUT/overlays/IMAGE_ID.jpg`; an id that climbs out with `..` stays inside."""
    below = [part for part in Path(image_id).parts if part not in ("..", "/", "\\")]
    *folders, name = below or ["photograph"]
    return out.joinpath(OVERLAY_FOLDER, *folders, f"{name}.jpg")


def _draw(path: Path, overlay: Path, result: FaceLandmarks) -> None:
    photo = read_photo(path, min_side=DETECTION_MIN_SIDE)
    spread = None if np.isnan(result.spread).any() else result.spread / photo.scale
    write_overlay(overlay, photo.pixels, photo.from_original(result.points), spread=spread)
