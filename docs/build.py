"""Make the reference pages and the README's picture again: `python -m docs.build`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.files import atomic_write
from common.photos import read_photo
from datasets.contact_sheet import contact_sheet
from datasets.simulated.cohort import draw_cohort
from datasets.simulated.face import render_photo
from datasets.simulated.movement import Side
from datasets.simulated.photo_warp import simulate_from_photo
from features.reference_page import reference_page
from landmarks.finder import LandmarkFinder
from landmarks.overlay import draw_overlay
from landmarks.predictor import find_predictor
from pipeline.demo_report import ROMAN
from pipeline.doctor import astronaut_portrait

FOLDER = Path(__file__).resolve().parent
FEATURES_PAGE, OVERVIEW = FOLDER / "features.md", FOLDER / "overview.jpg"
FROM_PHOTO = FOLDER / "from_photo.jpg"
_PATIENTS = 24  # the demo's cohort, so that the README shows what a newcomer gets
_SHOWN = ((6, "rest"), (7, "full_smile"), (4, "brow_raise"), (11, "full_smile"))
_PHOTO_WIDTH = 300
_PORTRAIT_FACE = np.s_[20:220, 130:320]  # rows and columns of the portrait that hold the head
_IMPOSED: tuple[tuple[int, Side], ...] = ((1, "none"), (4, "left"), (6, "left"), (6, "right"))
_IMPOSED_TASKS = ("rest", "brow_raise", "full_eye_closure", "full_smile")


def main() -> None:
    """Write every page and picture."""
    with atomic_write(FEATURES_PAGE) as temporary:
        temporary.write_text(reference_page(), encoding="utf-8")
    _write_jpeg(OVERVIEW, overview())
    _write_jpeg(FROM_PHOTO, palsy_on_a_portrait())


def overview() -> NDArray[np.uint8]:
    """Return simulated patients side by side, each with the points found, as RGB."""
    cohort = draw_cohort(_PATIENTS, seed=0)
    finder = LandmarkFinder(find_predictor())
    shown = []
    for number, task in _SHOWN:
        rgb, _ = render_photo(cohort[number], task, width=600, height=800)
        found = finder.find(rgb)
        picture = draw_overlay(rgb, found.points) if found.status == "ok" else rgb
        height = round(_PHOTO_WIDTH * 800 / 600)
        shown.append(cv2.resize(picture, (_PHOTO_WIDTH, height), interpolation=cv2.INTER_AREA))
    return np.hstack(shown)


def palsy_on_a_portrait() -> NDArray[np.uint8]:
    """Return the astronaut portrait (NASA, public domain) with palsies of rising grade, as RGB."""
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
        labels.append("grade I" if grade == 1 else f"{ROMAN[grade]} {side}")
    return contact_sheet(rows, row_labels=labels, column_labels=_IMPOSED_TASKS, photo_width=180)


def _write_jpeg(path: Path, rgb: NDArray[np.uint8]) -> None:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])
    with atomic_write(path) as temporary:
        temporary.write_bytes(jpeg.tobytes())


if __name__ == "__main__":
    main()
