"""Drawn faces with a weak side, and a recipe for networks of a few thousand values."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from htnet.alignment import AlignedFace
from htnet.palsy.faces import LabelledFaces, faces_of
from landmarks.points import MIRROR_PARTNER, POINT_COLUMNS

SIZE = 28

RECIPE = {
    "network": {
        "image_size": SIZE, "patch_size": 7, "dim": 12, "heads": 2, "num_hierarchies": 2,
        "block_repeats": [2, 2], "use_micro_attention": True, "use_roi_module": True,
        "side_head": True, "face_position": True, "pooling": "mirror",
    },
    "augmentation": {"mirror": 0.5, "mixup": 0.3},
    "training": {
        "epochs": 3, "batch_size": 8, "side_weight": 0.5, "region_weight": 0.5,
        "learning_rate": 0.003, "validation_folds": 3, "accelerator": "cpu",
    },
}  # fmt: skip


def face_points(size: int) -> NDArray[np.float64]:
    """A symmetric face of 68 points, already aligned in a square of `size` px."""
    half = {
        0: (0.08, 0.35), 1: (0.09, 0.45), 2: (0.1, 0.55), 3: (0.12, 0.66), 4: (0.16, 0.76),
        5: (0.23, 0.85), 6: (0.32, 0.92), 7: (0.41, 0.97), 8: (0.5, 0.98),
        17: (0.16, 0.27), 18: (0.2, 0.24), 19: (0.26, 0.23), 20: (0.33, 0.24), 21: (0.4, 0.26),
        27: (0.5, 0.35), 28: (0.5, 0.44), 29: (0.5, 0.52), 30: (0.5, 0.6),
        31: (0.42, 0.64), 32: (0.46, 0.66), 33: (0.5, 0.67),
        36: (0.22, 0.38), 37: (0.26, 0.35), 38: (0.33, 0.35), 39: (0.38, 0.38),
        40: (0.33, 0.4), 41: (0.26, 0.4),
        48: (0.36, 0.8), 49: (0.41, 0.78), 50: (0.46, 0.77), 51: (0.5, 0.78),
        57: (0.5, 0.87), 58: (0.46, 0.86), 59: (0.41, 0.84), 60: (0.38, 0.8), 61: (0.46, 0.8),
        62: (0.5, 0.8), 66: (0.5, 0.83), 67: (0.46, 0.83),
    }  # fmt: skip
    points = np.zeros((68, 2))
    for index, (x, y) in half.items():
        points[index] = x, y
        points[MIRROR_PARTNER[index]] = 1 - x, y
    return points * size - 0.5


def drawn_face(
    grade: int, *, side: str, seed: int, size: int = SIZE
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A face whose mouth and eye differ between the sides the more, the higher the grade."""
    rng = np.random.default_rng(seed)
    base = rng.integers(90, 170, 3)
    pixels = np.tile(base, (size, size, 1)) + rng.normal(0, 4, (size, size, 3))
    points = face_points(size)
    weak = (grade - 1) / 5
    for name, sign in (("right", 1), ("left", -1)):
        drop = weak if name == side else 0.0
        eye = points[36:42].mean(0) if sign == 1 else points[42:48].mean(0)
        corner = points[48] if sign == 1 else points[54]
        for centre, height in ((eye, 1.2 + 2 * drop), (corner + np.array([0, 4 * drop]), 1.5)):
            y, x = np.ogrid[:size, :size]
            inside = (np.abs(x - centre[0]) < 3) & (np.abs(y - centre[1]) < height)
            pixels[inside] = 20
    if side == "right":
        points[48, 1] += 4 * weak
    elif side == "left":
        points[54, 1] += 4 * weak
    return np.clip(pixels, 0, 255).astype(np.uint8), points


def cohort(patients: int = 12, photos: int = 2, size: int = SIZE) -> LabelledFaces:
    """Drawn faces of `patients` patients; grades go round I to VI, sides alternate."""
    faces, labels, sides, names, ids = [], [], [], [], []
    for patient in range(patients):
        grade = patient % 6 + 1
        side = "none" if grade == 1 else ("right", "left")[patient // 6 % 2]
        for photo in range(photos):
            pixels, points = drawn_face(grade, side=side, seed=100 * patient + photo, size=size)
            faces.append(AlignedFace(pixels, points))
            labels.append(grade)
            sides.append(side)
            names.append(f"P{patient}")
            ids.append(f"P{patient}/{photo}.jpg")
    return LabelledFaces(
        faces=faces_of(faces, image_ids=ids),
        labels=np.array(labels, dtype=np.int64),
        sides=tuple(sides),
        patients=np.array(names),
        classes=tuple("123456"),
    )


def write_cohort(folder: Path, *, patients: int, photos: int, size: int = 80) -> None:
    """Write photographs with `manifest.csv` and `landmarks.csv`; grades go round I to VI."""
    rows, points = [], []
    for patient in range(patients):
        grade = patient % 6 + 1
        side = "none" if grade == 1 else ("right", "left")[patient // 6]
        for photo in range(photos):
            pixels, where = drawn_face(grade, side=side, seed=10 * patient + photo, size=size)
            name = f"P{patient}_{photo}.png"
            cv2.imwrite(str(folder / name), pixels[..., ::-1])
            rows.append(
                {"image_id": name, "path": name, "patient_id": f"P{patient}", "side": side,
                 "hb_grade": grade, "task": "full_smile"}
            )  # fmt: skip
            points.append(where.reshape(-1))
    manifest = pd.DataFrame(rows)
    landmarks = pd.DataFrame(points, columns=list(POINT_COLUMNS))
    landmarks.insert(0, "image_id", manifest["image_id"])
    landmarks.insert(1, "status", "ok")
    landmarks.insert(2, "reason", "")
    manifest.to_csv(folder / "manifest.csv", index=False)
    landmarks.to_csv(folder / "landmarks.csv", index=False)
