"""The classical twin of the network: grades or scores from histograms of oriented gradients.

It sees the same aligned faces, patient by patient and movement by movement: how far the histograms
of a face differ from those of its mirror image, and what both halves changed from rest. A ridge
regression sums that up, and the training patients' own held-out sums say which grade goes with
which; of a score the sum is the answer. It learns in seconds and is the bar that a network has to
pass.

Histograms: Dalal and Triggs 2005, doi 10.1109/CVPR.2005.177.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.feature import hog

from common.arrays import Floats, Names
from common.grading.calibration import learn_intervals
from common.grading.numeric_target import NumericTarget
from common.grading.predictions import TWIN, answer_rows
from common.movements import REST
from htnet.palsy.answers import BRANCH
from htnet.palsy.cohort import ImageCohort
from htnet.palsy.faces import Faces
from htnet.palsy.folds import FoldPart
from htnet.palsy.reader import learn_grades, learn_reader

CELLS = 8  # along a side of the face
ORIENTATIONS = 8
_BLOCK = 2  # cells along a side, over which contrast is made equal


@dataclass(frozen=True)
class PatientHistograms:
    """What the twin knows of each patient.

    `asked`: sorted names of patients, of scores with visits those of visits
    (`LabelledFaces.asked`). `patients`: whose each is. `labels`: class number or score of each.
    `values`: `(n, d)` differences, movement after movement; NaN for a movement that is missing.
    """

    asked: Names
    patients: Names
    labels: NDArray[Any]
    values: Floats

    def rows(self, asked: NDArray[np.str_]) -> NDArray[np.intp]:
        """Return where these patients or visits stand, each once."""
        return np.flatnonzero(np.isin(self.asked, asked))


def patient_histograms(cohort: ImageCohort) -> PatientHistograms:
    """Describe every patient of a cohort; photographs of one movement are averaged.

    Movements are those that occur in the column `task`; without it all photographs count as one.
    """
    own, mirrored = (_histograms(cohort.data.faces, mirror=mirror) for mirror in (False, True))
    data = cohort.data
    names, first = np.unique(data.asked, return_index=True)
    given = cohort.rows["task"] if "task" in cohort.rows else pd.Series("", cohort.rows.index)
    tasks = given.fillna("").to_numpy(dtype=np.str_)

    def mean_of(values: Floats, task: str) -> Floats:
        """Return `(n, d)`: each patient's mean in a movement, NaN without a photograph of it."""
        found = np.full((len(names), values.shape[1]), np.nan)
        for at, name in enumerate(names):
            rows = (data.asked == name) & (tasks == task)
            if rows.any():
                found[at] = values[rows].mean(axis=0)
        return found

    rest, rest_mirrored = mean_of(own, REST), mean_of(mirrored, REST)
    blocks = []
    for task in sorted(set(tasks)):
        face, image = mean_of(own, task), mean_of(mirrored, task)
        blocks.append(np.abs(face - image))
        if task != REST:  # what both halves do: the smaller of the two changes
            blocks.append(np.minimum(np.abs(face - rest), np.abs(image - rest_mirrored)))
    return PatientHistograms(names, data.patients[first], data.labels[first], np.hstack(blocks))


def _histograms(faces: Faces, *, mirror: bool) -> Floats:
    """Return the `(n, d)` histograms of the faces, or of their mirror images."""
    pixels = faces.pixels if faces.pixels.ndim == 4 else faces.pixels[:, -1]  # the whole face
    found = []
    for one in pixels.numpy():
        grey = cv2.cvtColor(np.ascontiguousarray(np.moveaxis(one, 0, -1)), cv2.COLOR_RGB2GRAY)
        found.append(describe(np.ascontiguousarray(grey[:, ::-1]) if mirror else grey))
    return np.stack(found)


def describe(grey: NDArray[np.uint8]) -> Floats:
    """Return the `(d,)` histograms of one grey face, `(s, s)`."""
    cell = len(grey) // CELLS
    return np.asarray(
        hog(
            grey,
            orientations=ORIENTATIONS,
            pixels_per_cell=(cell, cell),
            cells_per_block=(_BLOCK, _BLOCK),
        )
    )


def twin_rows(
    known: PatientHistograms, parts: Sequence[FoldPart], cohort: ImageCohort
) -> pd.DataFrame:
    """Let the twin learn from each fold's patients, those of validation too, and answer the rest.

    Returns prediction rows of the tested patients, model `hog`.
    """
    target, tables = cohort.target, []
    for part in parts:
        learn, ask = (known.rows(cohort.data.asked[rows]) for rows in (part.learned, part.test))
        reader = learn_reader(known.values[learn], known.labels[learn], known.patients[learn])
        sums = reader.sums(known.values[ask])
        _, first = np.unique(cohort.data.asked[part.test], return_index=True)
        rows = cohort.rows.iloc[part.test[first]].reset_index(drop=True)
        bounds = None
        if isinstance(target, NumericTarget):
            answers, unseen = target.clipped(sums), target.clipped(reader.unseen[0])
            reach = learn_intervals(
                unseen, known.labels[learn], known.patients[learn], target=target
            )
            bounds = reach.of(answers, target=target)
        else:
            grades = learn_grades(reader.unseen, known.labels[learn], classes=len(target.classes))
            answers = grades.chances(sums)
        table = answer_rows(
            rows, target=target, unit="patient", answers=answers, bounds=bounds, repeat=part.repeat,
            fold=part.fold, model=TWIN, branch=BRANCH, visits=bounds is not None,
        )  # fmt: skip
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
