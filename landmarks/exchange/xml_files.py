"""XML of faces: dlib's, as dlib's own imglab and the one on the web write it, and CVAT's.

imglab: `dataset/images/image[file]/box[top left width height]/part[name x y]`; the parts are named
00 to 67, and dlib reads whole px only.

CVAT for images 1.1: `annotations/image[id name width height]/points[label points="x,y;x,y;…"]`, or
a `skeleton` of `points` named by what they are. A `points` shape cannot leave one out; in a
skeleton a point may be `outside`, which is not marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, TreeBuilder, indent
from xml.parsers import expat

import numpy as np

from common.errors import UserError
from common.files import atomic_write
from landmarks.exchange.marked import (
    MarkedPhoto,
    marked_by,
    no_points,
    number_in,
    size_in,
    without_face,
)
from landmarks.points import N_POINTS

CVAT_LABEL = "face"


def read_imglab(path: Path) -> list[MarkedPhoto]:
    """Read every face with parts; a photograph without one has a problem."""
    found = []
    for image in _tree(path).iter("image"):
        name = image.get("file", "")
        faces = [box for box in image.iter("box") if box.find("part") is not None]
        found += [_imglab_face(name, box) for box in faces] or [without_face(name)]
    return found


def write_imglab(marks: Sequence[MarkedPhoto], path: Path) -> None:
    """Write every photograph, those without points without a face, in whole px."""
    root = Element("dataset")
    images = SubElement(root, "images")
    for one in marks:
        image = SubElement(images, "image", file=one.name)
        if not np.isfinite(one.points).any():
            continue
        around = (*np.nanmin(one.points, axis=0), *np.nanmax(one.points, axis=0))
        left, top, right, bottom = (round(float(edge)) for edge in one.box or around)
        place = {"top": top, "left": left, "width": right - left + 1, "height": bottom - top + 1}
        box = SubElement(image, "box", {key: str(value) for key, value in place.items()})
        for i, (x, y) in enumerate(one.points):
            if np.isfinite(x) and np.isfinite(y):
                SubElement(box, "part", name=f"{i:02d}", x=f"{x:.0f}", y=f"{y:.0f}")
    _write(root, path)


def _imglab_face(name: str, box: Element) -> MarkedPhoto:
    points = no_points()
    for part in box.iter("part"):
        label = part.get("name", "")
        if not label.isdecimal() or int(label) >= N_POINTS:
            return MarkedPhoto(name, problem=f'has a part "{label}": name the parts 00 to 67')
        points[int(label)] = number_in(part.attrib, "x"), number_in(part.attrib, "y")
        if np.isnan(points[int(label)]).any():
            return MarkedPhoto(name, problem=f"has no x and y at part {label}: give each part both")
    left, top, width, height = (
        number_in(box.attrib, n) for n in ("left", "top", "width", "height")
    )
    has_box = min(width, height) > 0 and np.isfinite([left, top]).all()
    edges = (left, top, left + width - 1, top + height - 1)
    return MarkedPhoto(name, points, box=edges if has_box else None)


def read_cvat(path: Path) -> list[MarkedPhoto]:
    """Read every photograph; one without a face of 68 points has a problem."""
    root = _tree(path)
    if root.find("track") is not None:
        raise UserError(f'{path} holds tracks of a video: export it as "CVAT for images 1.1".')
    return [face for image in root.iter("image") for face in _cvat_faces(image)]


def write_cvat(marks: Sequence[MarkedPhoto], path: Path) -> None:
    """Write every photograph, those without points without a face."""
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    labels = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    label = SubElement(labels, "label")
    SubElement(label, "name").text = CVAT_LABEL
    SubElement(label, "type").text = "points"
    for number, one in enumerate(marks):
        size = {key: str(value) for key, value in one.size_columns().items()}
        image = SubElement(root, "image", {"id": str(number), "name": one.name, **size})
        if np.isfinite(one.points).all():
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in one.points)
            shape = {"label": CVAT_LABEL, "source": "file", "occluded": "0", "points": points}
            SubElement(image, "points", shape | {"z_order": "0"})
    _write(root, path)


def _cvat_faces(image: Element) -> list[MarkedPhoto]:
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
    if all(part.get("label", "").isdecimal() for part in parts):
        parts.sort(key=lambda part: int(part.get("label", "")))
    gone = [["nan", "nan"]]
    return [(gone if part.get("outside") == "1" else _pairs(part))[0] for part in parts]


def _tree(path: Path) -> Element:
    """Read an XML file; UserError when it is none, or declares entities, which may be a bomb."""
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data

    def refuse(*_: object) -> None:
        raise UserError(
            f"{path} has a document type of its own (DOCTYPE), which no file of points needs and "
            "which can hide a bomb: export it again."
        )

    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
        return builder.close()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path.") from error
    except expat.ExpatError as error:
        raise UserError(f"{path} is no whole XML file ({error}): save it again.") from error


def _write(root: Element, path: Path) -> None:
    indent(root, " ")
    with atomic_write(path) as temporary:
        ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)
