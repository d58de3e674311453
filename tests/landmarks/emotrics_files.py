"""Landmark files as the desktop program Emotrics writes them, for the tests of reading."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from landmarks.find.iris import Irises
from landmarks.tables import points_of


def emotrics_text(points, *, photo="Normal1_1.jpg", irises: Irises | None = None, box=None) -> str:
    """Sections, blanks and line ends of the program; -1 for what it did not place or find."""
    irises = irises or Irises()
    rows = [",".join(map(_whole, point)) for point in points]
    left, right = ([iris.x, iris.y, iris.radius] for iris in (irises.left, irises.right))
    corner = [box[0], box[1], box[2] - box[0], box[3] - box[1]] if box else [np.nan] * 4
    sections = {
        "File name": [photo],
        "68 facial Landmarks [x,y]": rows,
        "Left iris [x,y,r]": map(_whole, left),
        "Right iris [x,y,r]": map(_whole, right),
        "Face bounding Box [top(x), left(y), width, height]": map(_whole, corner),
    }
    return (
        "# } \n".join(
            f"# {title} {{ \n" + "".join(f"{line}\r\n" for line in lines)
            for title, lines in sections.items()
        )
        + "# }"
    )


def write_emotrics_folder(
    table: pd.DataFrame, folder: Path, irises: Mapping[str, Irises] | None = None
) -> None:
    """One file beside where each photograph with points of a landmark table would be."""
    table = table[table["status"] == "ok"]
    for image_id, points in zip(table["image_id"], points_of(table), strict=True):
        file = (folder / image_id).with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        own = (irises or {}).get(image_id)
        file.write_bytes(emotrics_text(points, photo=Path(image_id).name, irises=own).encode())


def _whole(value: float) -> str:
    return f"{value:.0f}" if np.isfinite(value) else "-1"
