"""Points in JSON and in tables: COCO keypoints, OpenFace's table, MediaPipe's face mesh.

COCO keypoints: one JSON of `images`, `annotations` and `categories`. The keypoints of an annotation
are x, y, v of each point; v is 0 where it is not marked, 1 where it is marked and hidden, 2 where
it is seen.

OpenFace: a table of `x_0` … `x_67`, `y_0` … `y_67`, a row for each photograph or frame. The points
are the 68 in the same order; `success` is 0 where OpenFace does not trust them.

MediaPipe: 478 points (468 without irises), of which ours are taken. It writes no file of its own.
Read are a table with `x_0` … `x_477`, `y_0` … `y_477`, one row per photograph, and JSON: one record
or a list of records `{"image": …, "width": …, "height": …, "faceLandmarks": [[{"x": …, "y": …},
…]]}`, the list of faces as MediaPipe gives it. Coordinates are shares of the picture's width and
height as MediaPipe gives them, or px if any is above 2.

Which of its points are ours, `landmarks.mesh` says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError
from common.files import write_json
from common.photos import upright_size
from landmarks.exchange.marked import (
    MarkedPhoto,
    marked_by,
    photograph_beside,
    size_in,
    text_of,
    without_face,
)
from landmarks.find.iris import Iris, Irises
from landmarks.mesh import MESH_OF_68
from landmarks.points import N_POINTS

_NAME_COLUMNS = ("image_id", "image", "file", "file_name", "filename", "name")
N_MESH, N_WITH_IRISES = 468, 478
FACES = ("faceLandmarks", "face_landmarks", "multi_face_landmarks", "landmarks")
"""Keys of a record under which the list of faces may stand."""
_IRISES = {"right": 468, "left": 473}  # centres; the four points of the rim follow each
_SHARES_UP_TO = 2.0  # a face may reach beyond the picture, but not by another whole picture


def read_coco(path: Path) -> list[MarkedPhoto]:
    """Read every photograph; one without a face of 68 points has a problem."""
    content = _json(path)
    faces: dict[Any, list[Any]] = {}
    try:
        for one in content["annotations"]:
            if one.get("keypoints"):
                faces.setdefault(one["image_id"], []).append(one["keypoints"])
        images = [
            (image["id"], str(image["file_name"]), size_in(image)) for image in content["images"]
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{path} is no COCO file of keypoints ({error!r} is missing or of another kind): "
            'export it as "COCO Keypoints 1.0".'
        ) from error
    return [
        marks
        for number, name, size in images
        for marks in [_coco_face(name, keypoints, size) for keypoints in faces.get(number, [])]
        or [without_face(name, size=size)]
    ]


def write_coco(marks: Sequence[MarkedPhoto], path: Path) -> None:
    """Write every photograph, those without points without a face."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, one in enumerate(marks, start=1):
        images.append({"id": number, "file_name": one.name, **one.size_columns()})
        if np.isfinite(one.points).all(axis=1).any():
            key = {"id": len(annotations) + 1, "image_id": number}
            annotations.append(key | _coco_points(one))
    category = {
        "id": 1, "name": "face", "keypoints": [str(i) for i in range(N_POINTS)],
        "supercategory": "person", "skeleton": [],
    }  # fmt: skip
    content = {"images": images, "annotations": annotations, "categories": [category]}
    write_json(path, content)


def _coco_points(one: MarkedPhoto) -> dict[str, Any]:
    there = np.isfinite(one.points.sum(axis=1))
    (left, top), (right, bottom) = one.points[there].min(axis=0), one.points[there].max(axis=0)
    values = np.column_stack([np.where(there[:, None], one.points, 0.0), 2.0 * there])
    width, height = right - left, bottom - top
    return {
        "category_id": 1,
        "keypoints": [round(value, 2) for value in values.ravel().tolist()],
        "num_keypoints": int(there.sum()),
        "bbox": [round(float(value), 2) for value in (left, top, width, height)],
        "area": round(float(width * height), 2),
        "iscrowd": 0,
    }


def _coco_face(name: str, keypoints: Any, size: tuple[int, int] | None) -> MarkedPhoto:
    try:
        triples = list(zip(*(keypoints[k::3] for k in range(3)), strict=True))
    except (TypeError, ValueError):
        problem = "has keypoints that are not x, y, v: export it anew"
        return MarkedPhoto(name, problem=problem, size=size)
    values = [(x, y) if seen else (np.nan, np.nan) for x, y, seen in triples]
    return marked_by(name, values, size=size)


def read_openface(path: Path) -> list[MarkedPhoto]:
    """Read every row; one that OpenFace does not trust has a problem."""
    found = []
    for name, points, row in _rows(path, n_points=N_POINTS):
        failed = str(row.get("success", "1")).strip() in ("0", "0.0")
        problem = "has success 0 here: OpenFace found no face that it trusts"
        found.append(MarkedPhoto(name, problem=problem) if failed else marked_by(name, points))
    return found


def read_mediapipe(path: Path) -> list[MarkedPhoto]:
    """Read every photograph; one without a face of 68 points has a problem."""
    if text_of(path, limit=100).lstrip()[:1] in ("{", "["):
        return [marks for record in _records(path) for marks in _of_record(record, path)]
    first, *_ = [*text_of(path).splitlines()[:1], ""]
    n_points = N_WITH_IRISES if f"x_{N_WITH_IRISES - 1}" in first else N_MESH
    rows = _rows(path, n_points=n_points)
    return [_mesh_face(name, mesh, size_in(row), path) for name, mesh, row in rows]


def _records(path: Path) -> Iterator[dict[str, Any]]:
    content = _json(path)
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
        found.append(_mesh_face(name, mesh, size_in(record), path))
    return found


def _mesh_face(
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


def _json(path: Path) -> Any:
    """Read a JSON file; UserError when it is none."""
    try:
        return json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is no whole JSON file ({error}): save or export it again."
        ) from error


def _rows(
    path: Path, *, n_points: int
) -> Iterator[tuple[str, NDArray[np.float64], dict[str, Any]]]:
    """Read a table with columns `x_0` and on, row by row: name, `(n_points, 2)`, all columns.

    The name is that of a column such as `image`; without one it is that of the photograph beside
    the file, or, of several frames, `STEM/000012`. What is no number is NaN.
    """
    try:
        table = pd.read_csv(
            path, encoding="utf-8-sig", skipinitialspace=True, dtype=str, keep_default_na=False
        )
    except (ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path} cannot be read as a CSV table ({reason}): save it anew."
        ) from error
    table.columns = [str(name).strip() for name in table.columns]
    columns = [f"{axis}_{i}" for i in range(n_points) for axis in "xy"]
    absent = [name for name in columns if name not in table]
    if absent:
        raise UserError(
            f'{path} has no column "{absent[0]}": give a table with commas between the columns, '
            f"x_0 to x_{n_points - 1} and y_0 to y_{n_points - 1}."
        )
    cells = table[columns].to_numpy(dtype=object).ravel()
    values = np.asarray(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
    named = next((name for name in _NAME_COLUMNS if name in table), None)
    faces = values.reshape(len(table), n_points, 2)
    for row, points in zip(table.to_dict("records"), faces, strict=True):
        if named is not None:
            name = str(row[named])
        elif len(table) > 1 and "frame" in table:
            name = f"{path.stem}/{str(row['frame']).zfill(6)}"
        else:
            name = photograph_beside(path)
        yield name, points, {str(key): value for key, value in row.items()}
