"""CVAT for images 1.1: one XML of all photographs, faces as 68 points or as a skeleton.

`annotations/image[id name width height]/points[label points="x,y;x,y;…"]`, or a `skeleton` of
`points` named by what they are. A `points` shape cannot leave one out; in a skeleton a point may be
`outside`, which is not marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

import numpy as np

from common.errors import UserError
from common.files import atomic_write
from landmarks.exchange.marked import MarkedPhoto, marked_by, size_in, without_face, xml_of
from landmarks.points import N_POINTS

LABEL = "face"


def read(path: Path) -> list[MarkedPhoto]:
    """Read every photograph; one without a face of 68 points has a problem."""
    root = xml_of(path)
    if root.find("track") is not None:
        raise UserError(f'{path} holds tracks of a video: export it as "CVAT for images 1.1".')
    return [face for image in root.iter("image") for face in _faces(image)]


def write(marks: Sequence[MarkedPhoto], path: Path) -> None:
    """Write every photograph, those without points without a face."""
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    labels = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    label = SubElement(labels, "label")
    SubElement(label, "name").text = LABEL
    SubElement(label, "type").text = "points"
    for number, one in enumerate(marks):
        size = {key: str(value) for key, value in one.size_columns().items()}
        image = SubElement(root, "image", {"id": str(number), "name": one.name, **size})
        if np.isfinite(one.points).all():
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in one.points)
            shape = {"label": LABEL, "source": "file", "occluded": "0", "points": points}
            SubElement(image, "points", shape | {"z_order": "0"})
    indent(root, " ")
    with atomic_write(path) as temporary:
        ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def _faces(image: Element) -> list[MarkedPhoto]:
    name, size = image.get("name", ""), size_in(image.attrib)
    shapes = [_pairs(shape) for shape in image.findall("points")]
    shapes += [_skeleton(shape) for shape in image.findall("skeleton")]
    whole = [shape for shape in shapes if len(shape) == N_POINTS]
    if not shapes:
        return [without_face(name, size=size)]
    return [marked_by(name, shape, size=size) for shape in whole or shapes[:1]]


def _pairs(shape: Element) -> list[list[str]]:
    return [pair.split(",") for pair in shape.get("points", "").split(";")]


def _skeleton(shape: Element) -> list[list[str]]:
    """Points of a skeleton by their labels where these are numbers, else as they stand."""
    parts = shape.findall("points")
    labels = [part.get("label", "") for part in parts]
    if all(label.isdecimal() for label in labels):
        parts = [part for _, part in sorted(zip(map(int, labels), parts, strict=True), key=_first)]
    gone = [["nan", "nan"]]
    return [(gone if part.get("outside") == "1" else _pairs(part))[0] for part in parts]


def _first(pair: tuple[int, Element]) -> int:
    return pair[0]
