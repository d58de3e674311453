"""MediaPipe's face mesh as a user has saved it: 478 points (468 without irises) to our 68.

MediaPipe writes no file of its own. Read are a table with `x_0` … `x_477`, `y_0` … `y_477`, one row
per photograph, and JSON: one record or a list of records `{"image": …, "width": …, "height": …,
"faceLandmarks": [[{"x": …, "y": …}, …]]}`, the list of faces as MediaPipe gives it. Coordinates are
shares of the picture's width and height as MediaPipe gives them, or px if any is above 2.

The mapping is this project's own. Of each line that MediaPipe publishes (oval, brows, eyes, lips,
middle of the nose: `face_mesh_connections.py`, `canonical_face_model.obj`) it takes the vertex that
lies nearest, in the canonical face seen from the front, to where our point lies on that line: ends
and corners at its ends, the lids at a third and two thirds, the brows at quarters, the jaw at
eighths between ear and chin, the lips where the 68-point model's mean shape has them. The mesh
knows no mark-up by hand, and its brow is the upper edge: measures of both kinds of points should
not be mixed in one study.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.photos import upright_size
from landmarks.exchange.marked import (
    MarkedPhoto,
    csv_rows,
    json_of,
    marked_by,
    photograph_beside,
    size_in,
    text_of,
    without_face,
)
from landmarks.find.iris import Iris, Irises

N_MESH, N_WITH_IRISES = 468, 478
FACES = ("faceLandmarks", "face_landmarks", "multi_face_landmarks", "landmarks")
"""Keys of a record under which the list of faces may stand."""
MESH_OF_68: tuple[int, ...] = (
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    6, 195, 5, 1, 98, 97, 2, 326, 327,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91,  # lips, outer edge
    78, 82, 13, 312, 308, 317, 14, 87,  # lips, inner edge
)  # fmt: skip
"""`MESH_OF_68[i]` is the vertex of the mesh that is our point `i`."""
_IRISES = {"right": 468, "left": 473}  # centres; the four points of the rim follow each
_SHARES_UP_TO = 2.0  # a face may reach beyond the picture, but not by another whole picture


def read(path: Path) -> list[MarkedPhoto]:
    """Read every photograph; one without a face of 68 points has a problem."""
    if text_of(path, limit=100).lstrip()[:1] in ("{", "["):
        return [marks for record in _records(path) for marks in _of_record(record, path)]
    rows = csv_rows(path, n_points=_points_in(path))
    return [_face(name, mesh, size_in(row), path) for name, mesh, row in rows]


def _points_in(path: Path) -> int:
    first = text_of(path).splitlines()[:1]
    return N_WITH_IRISES if f"x_{N_WITH_IRISES - 1}" in "".join(first) else N_MESH


def _records(path: Path) -> Iterator[dict[str, Any]]:
    content = json_of(path)
    records = content if isinstance(content, list) else [content]
    for record in records:
        if not (isinstance(record, dict) and any(name in record for name in FACES)):
            raise UserError(
                f'{path} has a record without "faceLandmarks": save the list of faces as MediaPipe '
                "gives it, with the name of the image beside it."
            )
        yield record


def _of_record(record: dict[str, Any], path: Path) -> list[MarkedPhoto]:
    name = str(record.get("image") or photograph_beside(path))
    faces = next(record[key] for key in FACES if key in record)
    if not isinstance(faces, list) or not faces:
        return [without_face(name)]
    if isinstance(faces[0], dict):  # one face, not in a list of faces
        faces = [faces]
    found = []
    for face in faces:
        try:
            mesh = np.array([(float(point["x"]), float(point["y"])) for point in face])
        except (TypeError, KeyError, ValueError):
            found.append(MarkedPhoto(name, problem="has points without x and y: save it anew"))
            continue
        found.append(_face(name, mesh, size_in(record), path))
    return found


def _face(
    name: str, mesh: NDArray[np.float64], size: tuple[int, int] | None, path: Path
) -> MarkedPhoto:
    if len(mesh) not in (N_MESH, N_WITH_IRISES):
        return MarkedPhoto(name, problem=f"holds {len(mesh)} points where 468 or 478 are needed")
    if np.nanmax(np.abs(mesh), initial=0.0) <= _SHARES_UP_TO:
        size = size or upright_size(path.parent / name)
        if size is None:
            return MarkedPhoto(
                name,
                problem="holds shares of the picture's size, which is not known: put the "
                "photographs beside it, or give width and height",
            )
        mesh = mesh * size
    return marked_by(name, mesh[list(MESH_OF_68)], irises=_irises(mesh), size=size)


def _irises(mesh: NDArray[np.float64]) -> Irises | None:
    if len(mesh) < N_WITH_IRISES:
        return None
    return Irises(**{side: _iris(mesh[first : first + 5]) for side, first in _IRISES.items()})


def _iris(points: NDArray[np.float64]) -> Iris:
    (x, y), rim = points[0], points[1:]
    if not np.isfinite(points).all():
        return Iris("unclear", "MediaPipe gives no iris of this eye.")
    return Iris("ok", x=x, y=y, radius=float(np.hypot(*(rim - points[0]).T).mean()))
