"""The pictures of pages and README: drawn faces, simulated patients, and a palsy on a portrait."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from common.photos import read_photo
from common.report import figure_png
from common.tables import ROMAN
from datasets.contact_sheet import contact_sheet
from datasets.simulated.cohort import draw_cohort
from datasets.simulated.face import render_photo
from datasets.simulated.movement import Side
from datasets.simulated.photo_warp import simulate_from_photo
from docs.drawing import draw_measurements
from features.commands.draw_measures import draw_measures
from features.registry import DISTANCES, FEATURES
from landmarks.find.finder import LandmarkFinder
from landmarks.overlay import draw_overlay
from landmarks.predictor import find_predictor
from pipeline.commands.doctor import astronaut_portrait

Pixels = NDArray[np.uint8]

_PATIENTS = 24  # the demo's cohort, so that the README shows what a newcomer gets
_SHOWN = ((6, "rest"), (7, "full_smile"), (4, "brow_raise"), (11, "full_smile"))
_PHOTO_WIDTH = 300
_MEASURED = (11, "full_smile")
_PORTRAIT_FACE = np.s_[20:220, 130:320]  # rows and columns of the portrait that hold the head
_IMPOSED: tuple[tuple[int, Side], ...] = ((1, "none"), (4, "left"), (6, "left"), (6, "right"))
_IMPOSED_TASKS = ("rest", "brow_raise", "full_eye_closure", "full_smile")
_MIRROR_PAIRS = {"Bl", "D", "F", "H", "J", "M", "N", "Pl", "R", "T", "Vl", "Wl", "W", "A", "C", "X"}


def overview() -> bytes:
    """Return simulated patients side by side, each with the points found, as JPEG."""
    cohort = draw_cohort(_PATIENTS, seed=0)
    finder = LandmarkFinder(find_predictor())
    shown = []
    for number, task in _SHOWN:
        rgb, _ = render_photo(cohort[number], task, width=600, height=800)
        found = finder.find(rgb)
        picture = draw_overlay(rgb, found.points) if found.status == "ok" else rgb
        height = round(_PHOTO_WIDTH * 800 / 600)
        shown.append(cv2.resize(picture, (_PHOTO_WIDTH, height), interpolation=cv2.INTER_AREA))
    return _jpeg(np.hstack(shown))


def palsy_on_a_portrait() -> bytes:
    """Return the astronaut portrait (NASA, public domain) with palsies of rising grade, as JPEG."""
    rgb = read_photo(astronaut_portrait()).pixels
    points = LandmarkFinder(find_predictor()).find(rgb).points
    rows, labels = [], []
    for grade, side in _IMPOSED:
        warped = [
            simulate_from_photo(
                rgb, points, grade=grade, side=side, task=task, photo_task="full_smile"
            )[0]
            for task in _IMPOSED_TASKS
        ]
        rows.append([picture[_PORTRAIT_FACE] for picture in warped])
        labels.append("grade I" if grade == 1 else f"{ROMAN[grade - 1]} {side}")
    return _jpeg(
        contact_sheet(rows, row_labels=labels, column_labels=_IMPOSED_TASKS, photo_width=180)
    )


def clinical_measures() -> bytes:
    """Return one simulated patient with the clinical measures drawn in, as JPEG."""
    number, task = _MEASURED
    rgb, _ = render_photo(draw_cohort(_PATIENTS, seed=0)[number], task, width=600, height=800)
    found = LandmarkFinder(find_predictor()).find(rgb)
    return _jpeg(draw_measures(rgb, found.points))


def distances() -> bytes:
    """Return one distance of each mirror pair on the drawn face, as PNG."""
    names = [one.name for one in DISTANCES if one.name in _MIRROR_PAIRS]
    return figure_png(draw_measurements(names, columns=4, panel_inches=2.6))


def features_of(regions: tuple[str, ...]) -> Callable[[], bytes]:
    """Return what draws the features of some parts of the face, as PNG."""

    def draw() -> bytes:
        names = [one.name for one in FEATURES if one.region in regions]
        return figure_png(draw_measurements(names, columns=4, panel_inches=2.6))

    return draw


def _jpeg(rgb: Pixels) -> bytes:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return bytes(jpeg.tobytes())


FEATURE_FIGURES: dict[str, tuple[str, ...]] = {
    "features_brow.png": ("brow",),
    "features_eye.png": ("eye",),
    "features_mouth.png": ("mouth",),
    "features_nose_face_jaw.png": ("nose", "face", "jaw"),
}

FIGURES: dict[str, Callable[[], bytes]] = {
    "overview.jpg": overview,
    "from_photo.jpg": palsy_on_a_portrait,
    "measures.jpg": clinical_measures,
    "distances.png": distances,
    **{name: features_of(regions) for name, regions in FEATURE_FIGURES.items()},
}
"""File below `docs/` to what draws it."""
