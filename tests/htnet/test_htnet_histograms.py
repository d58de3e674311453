"""The classical twin: blind to which side is weak, honest about whom it learned from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from common.grading.folds import make_folds
from common.grading.predictions import TWIN
from common.grading.target import TARGETS
from htnet.palsy.cohort import ImageCohort
from htnet.palsy.faces import LabelledFaces
from htnet.palsy.folds import fold_parts
from htnet.palsy.histograms import patient_histograms, twin_rows
from tests.htnet.drawn_faces import cohort

GRADES = TARGETS["six_grades"]


def joined(data: LabelledFaces) -> ImageCohort:
    """The drawn faces as a cohort: each patient's first photograph at rest, the second smiling."""
    rows = pd.DataFrame(
        {
            "image_id": data.faces.image_ids,
            "patient_id": data.patients,
            "hb_grade": data.labels,
            "task": ["rest", "full_smile"] * (len(data.labels) // 2),
        }
    )
    return ImageCohort(rows, data, GRADES, complaints=(), labelled=rows)


@pytest.fixture(scope="module")
def faces() -> ImageCohort:
    return joined(cohort(patients=36))


def answers(faces: ImageCohort) -> pd.DataFrame:
    folds = make_folds(faces.rows, n_folds=3, seed=0)
    parts = list(fold_parts(folds, faces, validation_folds=3, seed=0))
    return twin_rows(patient_histograms(faces), parts, faces)


def error(rows: pd.DataFrame) -> float:
    return float((rows["predicted"] - rows["hb_grade"]).abs().mean())


def test_a_mirrored_cohort_is_described_alike(faces: ImageCohort) -> None:
    turned = replace(faces.data.faces, pixels=faces.data.faces.pixels.flip(-1))
    mirrored = replace(faces, data=replace(faces.data, faces=turned))
    one, other = patient_histograms(faces), patient_histograms(mirrored)
    np.testing.assert_allclose(one.values, other.values, atol=1e-12)
    assert one.values.max() > 0.1


def test_every_patient_is_answered_once_by_who_never_saw_them(faces: ImageCohort) -> None:
    rows = answers(faces)
    assert sorted(rows["patient_id"]) == sorted(set(faces.data.patients))
    assert set(rows["model"]) == {TWIN}
    rng = np.random.default_rng(0)
    names = np.unique(faces.data.patients)
    grades = faces.rows.drop_duplicates("patient_id").set_index("patient_id")["hb_grade"]
    dealt = dict(zip(names, rng.permutation(grades.loc[names]), strict=True))
    labels = np.array([dealt[name] for name in faces.data.patients])
    shuffled = replace(
        faces, rows=faces.rows.assign(hb_grade=labels), data=replace(faces.data, labels=labels)
    )
    assert error(rows) < 0.8 < 1.2 < error(answers(shuffled))


def test_the_grade_of_who_is_tested_has_no_say(faces: ImageCohort) -> None:
    part = next(
        fold_parts(make_folds(faces.rows, n_folds=3, seed=0), faces, validation_folds=3, seed=0)
    )
    labels = faces.data.labels.copy()
    labels[part.test] = 7 - labels[part.test]
    other = replace(faces, data=replace(faces.data, labels=labels))
    one, two = (twin_rows(patient_histograms(of), [part], of) for of in (faces, other))
    chances = list(GRADES.probability_columns)
    np.testing.assert_array_equal(one[chances], two[chances])


def test_a_missing_movement_is_answered_without(faces: ImageCohort) -> None:
    kept = np.arange(1, len(faces.rows))  # the first patient has no photograph at rest
    some = replace(
        faces,
        rows=faces.rows.iloc[kept].reset_index(drop=True),
        data=LabelledFaces(
            faces=faces.data.faces.subset(kept),
            labels=faces.data.labels[kept],
            sides=tuple(faces.data.sides[row] for row in kept),
            patients=faces.data.patients[kept],
            classes=faces.data.classes,
        ),
    )
    known = patient_histograms(some)
    assert np.isnan(known.values[0]).any() and not np.isnan(known.values[1:]).any()
    rows = answers(some)
    np.testing.assert_allclose(rows[list(GRADES.probability_columns)].sum(axis=1), 1)
