"""Faces with corrected points in dlib's XML, as its tool imglab writes and its trainer reads."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError
from common.tables import sort_by_image_id
from landmarks.points import N_POINTS, POINT_COLUMNS


def read_imglab(path: Path) -> pd.DataFrame:
    """Read the points of a dlib XML file, one row for each photograph with a marked face.

    Returns
    -------
    pandas.DataFrame
        `image_id` (the file name in the XML), `path` of the photograph, `status`, `reason`, and
        `x_0` ... `y_67` in px. `failed` are photographs with a point that is not marked, or with
        several faces.

    Raises
    ------
    UserError
        When the file is missing, is no such XML, or holds no marked face or a part that is not
        one of the 68.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path.") from error
    except ElementTree.ParseError as error:
        raise UserError(
            f"{path} is no whole XML file ({error}): save it again in imglab."
        ) from error
    faces = [
        (image.get("file", ""), _points(image.get("file", ""), box, path))
        for image in root.iter("image")
        for box in image.iter("box")
        if box.find("part") is not None
    ]
    if not faces:
        raise UserError(f"{path} holds no face with points: mark them in imglab first.")
    names = [name for name, _ in faces]
    points = np.array([marked for _, marked in faces]).reshape(len(faces), -1)
    head = pd.DataFrame({"image_id": names, "status": "ok"})
    head.insert(1, "path", [str((path.parent / name).resolve()) for name in names])
    head["reason"] = pd.Series(None, index=head.index, dtype="str")
    table = pd.concat([head, pd.DataFrame(points, columns=list(POINT_COLUMNS))], axis=1)
    for bad, reason in (
        (np.isnan(points).any(axis=1), "does not mark all 68 points of this photograph"),
        (table["image_id"].duplicated(keep=False), "marks several faces in this photograph"),
    ):
        table.loc[bad, ["status", "reason"]] = "failed", f"the file {reason}"
    return sort_by_image_id(table.drop_duplicates("image_id"))


def _points(name: str, box: ElementTree.Element, source: Path) -> NDArray[np.float64]:
    """`(68, 2)` points of one face; NaN for a part that is not marked."""
    points = np.full((N_POINTS, 2), np.nan)
    try:
        for part in box.iter("part"):
            index = int(part.attrib["name"])
            if not 0 <= index < N_POINTS:
                raise ValueError(f"part {index}")
            points[index] = float(part.attrib["x"]), float(part.attrib["y"])
    except (KeyError, ValueError) as error:
        raise UserError(
            f'{source}: the face of "{name}" cannot be used ({error}): name its parts 00 to 67 and '
            "give each an x and a y."
        ) from error
    return points
