"""dlib's XML of faces with parts, as dlib's own imglab and the one on the web write it.

`dataset/images/image[file]/box[top left width height]/part[name x y]`; the parts are named 00 to
67, and dlib reads whole px only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

import numpy as np

from common.files import atomic_write
from landmarks.exchange.marked import MarkedPhoto, no_points, number_in, without_face, xml_of
from landmarks.points import N_POINTS


def read(path: Path) -> list[MarkedPhoto]:
    """Read every face with parts; a photograph without one has a problem."""
    found = []
    for image in xml_of(path).iter("image"):
        name = image.get("file", "")
        faces = [box for box in image.iter("box") if box.find("part") is not None]
        found += [_face(name, box) for box in faces]
        if not faces:
            found.append(without_face(name))
    return found


def write(marks: Sequence[MarkedPhoto], path: Path) -> None:
    """Write every photograph, those without points without a face, in whole px."""
    root = Element("dataset")
    images = SubElement(root, "images")
    for one in marks:
        image = SubElement(images, "image", file=one.name)
        if not np.isfinite(one.points).any():
            continue
        left, top, right, bottom = (round(edge) for edge in one.box or _around(one))
        place = {"top": top, "left": left, "width": right - left + 1, "height": bottom - top + 1}
        box = SubElement(image, "box", {key: str(value) for key, value in place.items()})
        for i, (x, y) in enumerate(one.points):
            if np.isfinite(x) and np.isfinite(y):
                SubElement(box, "part", name=f"{i:02d}", x=f"{x:.0f}", y=f"{y:.0f}")
    indent(root, " ")
    with atomic_write(path) as temporary:
        ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def _face(name: str, box: Element) -> MarkedPhoto:
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


def _around(one: MarkedPhoto) -> tuple[float, float, float, float]:
    """Return the box of the points of a face whose own is not known."""
    (left, top), (right, bottom) = np.nanmin(one.points, axis=0), np.nanmax(one.points, axis=0)
    return float(left), float(top), float(right), float(bottom)
