"""A film written again with its points, frame number and time, to check what was followed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.films import Film, film_writer
from landmarks.overlay import draw_overlay
from landmarks.tables import points_of

_INK, _SHADE = (255, 255, 255), (0, 0, 0)


def write_overlay_film(path: Path, film: Film, landmarks: pd.DataFrame) -> None:
    """Write a film with the points of its rows of the landmark table, at its mean frame rate.

    A frame without points shows its status. Sound is left out.
    """
    rows = landmarks.set_index("frame")
    points = dict(zip(rows.index.tolist(), points_of(landmarks), strict=True))
    seconds = float(film.times_s[-1] - film.times_s[0])
    fps = (len(film) - 1) / seconds if seconds > 0 else 1.0
    with film_writer(path, width=film.width, height=film.height, fps=fps) as write:
        for frame in film.frames():
            found = points.get(frame.number)
            said = f"{frame.number}  {frame.time_s:.2f} s"
            if found is not None and np.isfinite(found).all():
                picture = draw_overlay(frame.rgb, found, legend=False)
            else:
                picture = np.ascontiguousarray(frame.rgb).copy()
                status = rows["status"].get(frame.number, "no row")
                said += f"  {str(status).replace('_', ' ')}"
            write(_labelled(picture, said))


def _labelled(picture: NDArray[np.uint8], words: str) -> NDArray[np.uint8]:
    """Write words into the upper left corner, readable on any ground; in place."""
    scale = max(picture.shape[0] / 900, 0.4)
    place = (round(14 * scale), round(34 * scale))
    for colour, weight in ((_SHADE, 3), (_INK, 1)):
        cv2.putText(
            picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, weight, cv2.LINE_AA
        )
    return picture
