"""COCO keypoints: one JSON of `images`, `annotations` and `categories`.

The keypoints of an annotation are x, y, v of each point; v is 0 where it is not marked, 1 where it
is marked and hidden, 2 where it is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.files import write_json
from landmarks.exchange.marked import MarkedPhoto, json_of, marked_by, size_in, without_face
from landmarks.points import N_POINTS


def read(path: Path) -> list[MarkedPhoto]:
    """Read every photograph; one without a face of 68 points has a problem."""
    content = json_of(path)
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
        for marks in [_face(name, keypoints, size) for keypoints in faces.get(number, [])]
        or [without_face(name, size=size)]
    ]


def write(marks: Sequence[MarkedPhoto], path: Path) -> None:
    """Write every photograph, those without points without a face."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, one in enumerate(marks, start=1):
        images.append({"id": number, "file_name": one.name, **one.size_columns()})
        there = np.isfinite(one.points).all(axis=1)
        if there.any():
            annotations.append({"id": len(annotations) + 1, "image_id": number, **_points(one)})
    category = {"id": 1, "name": "face", "keypoints": [str(i) for i in range(N_POINTS)]}
    write_json(
        path,
        {
            "images": images,
            "annotations": annotations,
            "categories": [category | {"supercategory": "person", "skeleton": []}],
        },
    )


def _points(one: MarkedPhoto) -> dict[str, Any]:
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


def _face(name: str, keypoints: Any, size: tuple[int, int] | None) -> MarkedPhoto:
    try:
        x, y, seen = (keypoints[k::3] for k in range(3))
        triples = list(zip(x, y, seen, strict=True))
    except (TypeError, ValueError):
        return MarkedPhoto(
            name, problem="has keypoints that are not x, y, v: export it anew", size=size
        )
    values = [(px, py) if v else (np.nan, np.nan) for px, py, v in triples]
    return marked_by(name, values, size=size)
