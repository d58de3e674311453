"""Files as other tools write them, by what each tool says of a pixel; our writers are not used.

Points are given as columns and rows of pixels, the first of which is 0.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from landmarks.mesh import MESH_OF_68
from tests.landmarks.emotrics_files import emotrics_text


def pts(file: Path, points, size) -> Path:
    """As Matlab counts: the first pixel is 1, 1."""
    rows = "".join(f"{x + 1:.6f} {y + 1:.6f}\n" for x, y in points)
    file.with_suffix(".pts").write_text(f"version: 1\nn_points:  {len(points)}\n{{\n{rows}}}\n")
    return file.with_suffix(".pts")


def bare_pts(file: Path, points, size) -> Path:
    rows = "".join(f"{x + 1:.3f} {y + 1:.3f}\n" for x, y in points)
    file.with_suffix(".pts").write_text(rows)
    return file.with_suffix(".pts")


def imglab(file: Path, points, size) -> Path:
    """As dlib counts: columns and rows of an array, whole."""
    parts = "".join(
        f"<part name='{i:02d}' x='{x:.0f}' y='{y:.0f}'/>" for i, (x, y) in enumerate(points)
    )
    box = f"<box top='5' left='4' width='90' height='80'>{parts}</box>"
    text = f"<dataset><images><image file='{file.name}'>{box}</image></images></dataset>"
    file.with_suffix(".xml").write_text(f"<?xml version='1.0' encoding='UTF-8'?>\n{text}")
    return file.with_suffix(".xml")


def cvat(file: Path, points, size) -> Path:
    """As a drawing on the picture: its left edge is 0, and the middle of the first pixel 0.5."""
    pairs = ";".join(f"{x + 0.5:.2f},{y + 0.5:.2f}" for x, y in points)
    shape = f'<points label="face" source="manual" occluded="0" points="{pairs}" z_order="0"/>'
    return _cvat(file, shape, size)


def skeleton(file: Path, points, size) -> Path:
    """The same as a skeleton, whose parts are numbered from 1 and stand in any order."""
    parts = [
        f'<points label="{i}" source="manual" outside="0" occluded="0" '
        f'points="{x + 0.5:.2f},{y + 0.5:.2f}"></points>'
        for i, (x, y) in enumerate(points, start=1)
    ]
    return _cvat(
        file, f'<skeleton label="face" z_order="0">{"".join(reversed(parts))}</skeleton>', size
    )


def _cvat(file: Path, shape: str, size) -> Path:
    image = f'<image id="0" name="{file.name}" width="{size[0]}" height="{size[1]}">{shape}</image>'
    text = f"<annotations><version>1.1</version>{image}</annotations>"
    file.with_suffix(".xml").write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{text}')
    return file.with_suffix(".xml")


def coco(file: Path, points, size) -> Path:
    """By the index of the pixel, from 0."""
    keypoints = [value for x, y in points for value in (float(x), float(y), 2)]
    image = {"id": 7, "file_name": file.name, "width": size[0], "height": size[1]}
    content = {
        "images": [image],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "keypoints": keypoints}],
        "categories": [{"id": 1, "name": "face"}],
    }
    file.with_suffix(".json").write_text(json.dumps(content))
    return file.with_suffix(".json")


def emotrics(file: Path, points, size) -> Path:
    """As dlib counts, whole px."""
    file.with_suffix(".txt").write_text(emotrics_text(points, photo=file.name))
    return file.with_suffix(".txt")


def openface(file: Path, points, size) -> Path:
    """As OpenCV counts; older versions put a blank before every name."""
    names = [f"{axis}_{i}" for axis in "xy" for i in range(len(points))]
    values = [f"{value:.1f}" for value in np.asarray(points, dtype=float).T.ravel()]
    header = ["face", "confidence", *names]
    row = ["0", "0.98", *values]
    file.with_suffix(".csv").write_text(f"{', '.join(header)}\n{', '.join(row)}\n")
    return file.with_suffix(".csv")


def mesh_of(points, size) -> np.ndarray:
    """478 points as MediaPipe gives them: the pixel is the whole part of share times width."""
    mesh = np.full((478, 2), 0.5)
    mesh[list(MESH_OF_68)] = (np.asarray(points, dtype=float) + 0.5) / size
    for centre, (x, y) in ((468, (30.0, 40.0)), (473, (60.0, 41.0))):  # the patient's right, left
        rim = [(0, 0), (5, 0), (0, -5), (-5, 0), (0, 5)]
        mesh[centre : centre + 5] = (np.array(rim) + np.array([x, y]) + 0.5) / size
    return mesh


def mediapipe(file: Path, points, size) -> Path:
    faces = [[{"x": x, "y": y, "z": 0.0} for x, y in mesh_of(points, size).tolist()]]
    file.with_suffix(".json").write_text(json.dumps({"image": file.name, "faceLandmarks": faces}))
    return file.with_suffix(".json")


def mediapipe_table(file: Path, points, size) -> Path:
    names = [f"{axis}_{i}" for i in range(478) for axis in "xy"]
    values = map(repr, mesh_of(points, size).ravel().tolist())
    text = f"image,{','.join(names)}\n{file.name},{','.join(values)}\n"
    file.with_suffix(".csv").write_text(text)
    return file.with_suffix(".csv")


TOOLS = {
    "pts": (pts, bare_pts),
    "imglab": (imglab,),
    "cvat": (cvat, skeleton),
    "coco": (coco,),
    "emotrics": (emotrics,),
    "openface": (openface,),
    "mediapipe": (mediapipe, mediapipe_table),
}
