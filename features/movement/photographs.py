"""The eight photographs of a film: rest, and the peak of each movement, as pictures and manifest.

Rest is the frame most alike the medians at rest, a movement the frame at the peak of its strongest
repetition, without a blink. So a film can be graded by whoever grades photographs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from PIL import Image

from common.errors import FilmError
from common.files import atomic_write
from common.films import open_film
from common.movements import MOVEMENTS

if TYPE_CHECKING:
    from landmarks.find.films import FilmTask

PHOTOGRAPHS_FOLDER = "photographs"


def write_photographs(
    movements: pd.DataFrame, films: Mapping[str, FilmTask], *, folder: Path
) -> tuple[pd.DataFrame, list[str]]:
    """Write the pictures of rest and of every movement that was measured, as PNG.

    `movements`: columns of `movements.csv`.
    `films`: each film as it lies there.
    `folder`: pictures go to `FOLDER/<film>/1_rest.png`, ….

    Returns a manifest of what was written, and one sentence for each film that could not be
    read.
    """
    wanted = movements[movements["movement"].isin(MOVEMENTS) & movements["frame"].notna()]
    rows, problems = [], []
    for name, of_film in wanted.groupby("film", sort=False):
        try:
            there = films[str(name)]
            film = open_film(there.path, mirrored=there.mirrored)
            for row in of_film.to_dict("records"):
                task, frame = str(row["movement"]), int(row["frame"])
                image_id = f"{name}/{MOVEMENTS.index(task) + 1}_{task}.png"
                picture = Image.fromarray(film.frame(frame).rgb)
                with atomic_write(folder / image_id) as temporary:
                    picture.save(temporary, format="PNG")
                rows.append(
                    {
                        "image_id": image_id,
                        "path": image_id,
                        "patient_id": row["patient_id"] if pd.notna(row["patient_id"]) else name,
                        "task": task,
                        "film": name,
                        "frame": frame,
                        "time_s": row["time_s"],
                    }
                )
        except FilmError as error:
            problems.append(str(error))
    words = ("image_id", "path", "patient_id", "task", "film")
    table = pd.DataFrame(rows, columns=[*words, "frame", "time_s"])
    return table.astype(dict.fromkeys(words, "str")), problems
