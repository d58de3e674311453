"""Faces with corrected points in dlib's XML, as its tool imglab writes and its trainer reads."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from landmarks.points import N_POINTS


@dataclass(frozen=True)
class MarkedFace:
    """One face of an XML file.

    Attributes
    ----------
    image
        File name as it stands in the XML, relative to the XML's folder.
    path
        The same, resolved.
    box
        Left, top, right, bottom in px, first and last pixel included.
    points
        `(68, 2)` px; NaN for a part that is not marked.
    """

    image: str
    path: Path
    box: tuple[float, float, float, float]
    points: NDArray[np.float64]


def read_imglab(path: Path) -> list[MarkedFace]:
    """Read every face of a dlib XML file.

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
        _face(image, box, path)
        for image in root.iter("image")
        for box in image.iter("box")
        if box.find("part") is not None
    ]
    if not faces:
        raise UserError(f"{path} holds no face with points: mark them in imglab first.")
    return faces


def _face(image: ElementTree.Element, box: ElementTree.Element, source: Path) -> MarkedFace:
    name = image.get("file", "")
    points = np.full((N_POINTS, 2), np.nan)
    try:
        left, top, width, height = (
            float(box.attrib[k]) for k in ("left", "top", "width", "height")
        )
        for part in box.iter("part"):
            index = int(part.attrib["name"])
            if not 0 <= index < N_POINTS:
                raise ValueError(f"part {index}")
            points[index] = float(part.attrib["x"]), float(part.attrib["y"])
    except (KeyError, ValueError) as error:
        raise UserError(
            f'{source}: the face of "{name}" cannot be used ({error}): give a box and parts named '
            "00 to 67 with x and y."
        ) from error
    return MarkedFace(
        image=name,
        path=(source.parent / name).resolve(),
        box=(left, top, left + width - 1, top + height - 1),
        points=points,
    )
