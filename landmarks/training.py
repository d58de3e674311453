"""Training dlib's shape predictor on one's own photographs, with whole patients held out.

Predictors trained on healthy faces err on palsied ones, and training on some hundred photographs
of the population halves the error (Guarin et al. 2020, arXiv 1910.11497). Method: Kazemi and
Sullivan 2014, doi 10.1109/CVPR.2014.241, as dlib implements it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import dlib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError
from common.files import atomic_write
from common.photos import read_photo
from common.words import counted
from landmarks.find.detector import FaceBox
from landmarks.find.finder import DETECTION_MIN_SIDE
from landmarks.find.tta import cut_face
from landmarks.points import N_POINTS, map_points, swap_sides
from landmarks.tables import BOX_COLUMNS


@dataclass(frozen=True)
class TrainingOptions:
    """Options of dlib's trainer, as `train-landmarks` explains them; the defaults suit some hundred
    photographs. More or deeper trees remember the training faces better and cost time and file
    size."""

    cascades: int = 10
    trees: int = 300
    depth: int = 4
    nu: float = 0.1
    oversampling: int = 10
    jitter: float = 0.1
    test_splits: int = 20
    feature_pool: int = 400
    mirror: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        whole = ("cascades", "trees", "depth", "oversampling", "test_splits")
        rules = [(name, getattr(self, name) >= 1, "1 or more") for name in whole]
        rules += [
            ("depth", self.depth <= 8, "8 or less; 3 to 5 are usual"),
            ("feature_pool", self.feature_pool >= 2, "2 or more"),
            ("nu", 0 < self.nu <= 1, "more than 0 and at most 1"),
            ("jitter", 0 <= self.jitter < 0.5, "0 or more and less than 0.5"),
            ("seed", self.seed >= 0, "0 or more"),
        ]
        for name, is_kept, words in rules:
            if not is_kept:
                option = name.replace("_", "-")
                raise UserError(f"--{option} is {getattr(self, name):g}: give {words}.")


@dataclass(frozen=True)
class TrainingFace:
    """One face to learn from: a photograph, and in px of it the box as the detector draws it (what
    the predictor will be given later) and the corrected points, `(68, 2)`.
    """

    path: Path
    box: FaceBox
    points: NDArray[np.float64]


def held_out_patients(patients: Sequence[str], *, share: float, seed: int) -> frozenset[str]:
    """Choose whole patients to be held out, at least one, with at least one kept.

    `patients`: of every photograph, in any order, which does not change the choice.
    `share`: of the patients, above 0 and below 1. UserError for another one, or one patient alone.
    """
    if not 0 < share < 1:
        raise UserError(f"--held-out is {share:g}: give a share between 0 and 1, such as 0.25.")
    names = np.array(sorted(set(patients)))
    if len(names) < 2:
        raise UserError(
            f"There are photographs with points of {counted(len(names), 'patient')} and at least 2 "
            "are needed: "
            "one to learn from and one to be held out."
        )
    number = min(max(1, round(share * len(names))), len(names) - 1)
    chosen = np.random.default_rng(seed).choice(names, size=number, replace=False)
    return frozenset(str(name) for name in chosen)


def box_of(row: pd.Series) -> FaceBox:
    """Return the box in a row of a landmark table."""
    left, top, right, bottom, score = (float(row[n]) for n in (*BOX_COLUMNS, "detector_score"))
    return FaceBox(left, top, right, bottom, score, str(row["detector"]))


def train_predictor(faces: Sequence[TrainingFace], *, out: Path, options: TrainingOptions) -> Path:
    """Train a 68-point predictor and write it as a dlib model file.

    UserError when there are no faces, a photograph cannot be read, or the file cannot be written.
    """
    if not faces:
        raise UserError("There is no face to learn from: check that the photographs show faces.")
    images: list[NDArray[np.uint8]] = []
    marked: list[list[dlib.full_object_detection]] = []
    for face in faces:
        for mirrored in (False, True) if options.mirror else (False,):
            pixels, detection = _example(face, mirrored=mirrored)
            images.append(pixels)
            marked.append([detection])
    predictor = dlib.train_shape_predictor(images, marked, _dlib_options(options))
    with atomic_write(out) as temporary:
        predictor.save(str(temporary))
    return out


def _example(
    face: TrainingFace, *, mirrored: bool
) -> tuple[NDArray[np.uint8], dlib.full_object_detection]:
    """Cut out one face, all at one size so that memory stays small, and mark it for dlib."""
    photo = read_photo(face.path, grey=True, min_side=DETECTION_MIN_SIDE)
    box = face.box
    # Boxes and points are px of the photograph, and the picture may be decoded smaller.
    corners = photo.from_original(np.array([(box.left, box.top), (box.right, box.bottom)]))
    (left, top), (right, bottom) = corners.tolist()
    small = replace(box, left=left, top=top, right=right, bottom=bottom)
    crop = cut_face(photo.pixels, small).turned(0.0, mirrored=mirrored)
    points = map_points(photo.from_original(face.points), crop.to_crop)
    if mirrored:
        points = swap_sides(points)
    ends = map_points(corners, crop.to_crop)
    rectangle = dlib.rectangle(*(round(v) for v in (*ends.min(axis=0), *ends.max(axis=0))))
    parts = [dlib.point(round(float(x)), round(float(y))) for x, y in points]
    if len(parts) != N_POINTS:
        raise ValueError(f"{face.path.name} has {len(parts)} points in place of {N_POINTS}")
    return np.ascontiguousarray(crop.pixels), dlib.full_object_detection(rectangle, parts)


def _dlib_options(options: TrainingOptions) -> dlib.shape_predictor_training_options:
    ours = dlib.shape_predictor_training_options()
    ours.cascade_depth = options.cascades
    ours.num_trees_per_cascade_level = options.trees
    ours.tree_depth = options.depth
    ours.nu = options.nu
    ours.oversampling_amount = options.oversampling
    ours.oversampling_translation_jitter = options.jitter
    ours.num_test_splits = options.test_splits
    ours.feature_pool_size = options.feature_pool
    ours.random_seed = str(options.seed)
    ours.num_threads = 1  # with another number the same seed gives another model
    ours.be_verbose = False
    return ours
