"""Make the reference pages and the README's picture again: `python -m docs.build`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.files import atomic_write
from datasets.simulated.cohort import draw_cohort
from datasets.simulated.face import render_photo
from features.reference_page import reference_page
from landmarks.finder import LandmarkFinder
from landmarks.overlay import draw_overlay
from landmarks.predictor import find_predictor

FOLDER = Path(__file__).resolve().parent
FEATURES_PAGE, OVERVIEW = FOLDER / "features.md", FOLDER / "overview.jpg"
_PATIENTS = 24  # the demo's cohort, so that the README shows what a newcomer gets
_SHOWN = ((6, "rest"), (7, "full_smile"), (4, "brow_raise"), (11, "full_smile"))
_PHOTO_WIDTH = 300


def main() -> None:
    """Write every page and picture."""
    with atomic_write(FEATURES_PAGE) as temporary:
        temporary.write_text(reference_page(), encoding="utf-8")
    _, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(overview(), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88]
    )
    with atomic_write(OVERVIEW) as temporary:
        temporary.write_bytes(jpeg.tobytes())


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


if __name__ == "__main__":
    main()
