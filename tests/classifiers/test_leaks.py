"""Known leaks, planted on purpose: each would be noticed, and the project's way has none.

A cohort in which features name the patient and say nothing about the grade is the detector: any
score clearly above chance on it is a leak.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from classifiers.commands.benchmark import benchmark
from classifiers.graders.cohort import Samples
from classifiers.graders.registry import GRADERS
from classifiers.graders.scaling import RankScaler
from classifiers.graders.validation import Plan, answer_fold, cross_validate
from common.grading.evaluation import evaluate
from common.grading.folds import (
    Split,
    make_folds,
    photograph_level_folds_for_leak_demonstration,
    read_folds,
    splits,
)
from common.grading.target import TARGETS

from .conftest import MadeCohort, made_cohort

SIX = TARGETS["six_grades"]
LEAKING = ("xgboost", "mlp", "random_forest")
LEARNERS = [name for name, entry in GRADERS.items() if not entry.baseline]


def samples_of(cohort: MadeCohort) -> Samples:
    return Samples(
        rows=cohort.rows,
        features=cohort.features,
        labels=cohort.rows["hb_grade"].to_numpy(dtype=np.int64),
        patients=cohort.rows["patient_id"].to_numpy(dtype=np.str_),
    )


def parts_of(cohort: MadeCohort, folds: pd.DataFrame) -> Iterator[Split]:
    return splits(folds, cohort.rows["image_id"], patients=cohort.rows["patient_id"])


def plan_of(cohort: MadeCohort, folds: pd.DataFrame, *, graders: list[str]) -> Plan:
    parts = list(parts_of(cohort, folds))
    return Plan(samples_of(cohort), parts, "six_grades", graders, "standard", 0)


@pytest.fixture(scope="module")
def names_patients() -> MadeCohort:
    return made_cohort(
        patients_per_grade=8, photographs=6, grade_strength=0.0, patient_strength=4.0, seed=5
    )


@pytest.fixture(scope="module")
def leaky(names_patients):
    """Every photograph passes for a patient of its own, or `splits` would not let it leak."""
    folds = photograph_level_folds_for_leak_demonstration(names_patients.rows)
    ids = names_patients.rows["image_id"]
    parts = list(splits(folds.assign(patient_id=folds["image_id"]), ids, patients=ids))
    plan = plan_of(names_patients, folds, graders=list(LEAKING))
    found = cross_validate(replace(plan, parts=parts))
    return evaluate(found.predictions, target=SIX)


@pytest.fixture(scope="module")
def sound(names_patients):
    folds = make_folds(names_patients.rows)
    found = cross_validate(plan_of(names_patients, folds, graders=LEARNERS))
    return evaluate(found.predictions, target=SIX)


# Not the SVM, whose calibration on inner patient-grouped folds sees through this very leak; and
# not the graders with one straight boundary per grade, which cannot learn patients by heart.
@pytest.mark.parametrize("grader", LEAKING)
def test_photograph_level_folds_look_good_where_nothing_can_be_learned(leaky, grader):
    assert leaky.estimates[grader]["balanced_accuracy"].low > 0.6
    assert leaky.estimates[grader]["weighted_kappa"].low > 0.6


@pytest.mark.parametrize("grader", LEARNERS)
def test_patient_grouped_folds_show_chance(sound, grader):
    found = sound.estimates[grader]
    assert found["balanced_accuracy"].low <= 1 / 6 <= found["balanced_accuracy"].high + 0.05
    assert found["balanced_accuracy"].value < 0.3
    assert found["weighted_kappa"].low <= 0
    assert found["weighted_kappa"].value < 0.3


def test_a_table_of_folds_that_names_some_photographs_of_a_patient_leaks_nothing(names_patients):
    folds = make_folds(names_patients.rows)
    partial = folds[~folds["image_id"].str.endswith("/5.jpg")]
    plan = plan_of(names_patients, partial, graders=["random_forest"])
    for part in plan.parts:
        patients = plan.samples.patients
        assert not set(patients[part.train]) & set(patients[part.test])
    found = evaluate(cross_validate(plan).predictions, target=SIX).estimates["random_forest"]
    assert found["accuracy"].value < 0.25  # 0.43 where the sixth photographs were learned from


@pytest.mark.parametrize("folds", ["stratified", "shuffled", "leave_one_patient_out"])
def test_the_benchmark_uses_the_patient_grouped_folds(
    names_patients, feature_table, tmp_path, folds
):
    table = feature_table(names_patients)
    found = benchmark(table, out=tmp_path / "out", graders=("mlp",), folds=folds, jobs=1)
    read_folds(tmp_path / "out" / "folds.csv")  # refuses folds that part a patient
    photographs = found.evaluations[0].estimates["mlp"]
    assert photographs["weighted_kappa"].value < 0.35  # the leak gives more than 0.6
    assert photographs["balanced_accuracy"].value < 0.3


def test_grades_shuffled_over_patients_are_at_chance():
    cohort = made_cohort(patients_per_grade=8, grade_strength=1.0)
    by_patient = cohort.rows.drop_duplicates("patient_id").set_index("patient_id")["hb_grade"]
    shuffled = pd.Series(
        np.random.default_rng(2).permutation(by_patient.to_numpy()), index=by_patient.index
    )
    rows = cohort.rows.assign(hb_grade=cohort.rows["patient_id"].map(shuffled))
    made = MadeCohort(rows, cohort.features)
    found = cross_validate(plan_of(made, make_folds(rows), graders=LEARNERS))
    for grader, scores in evaluate(found.predictions, target=SIX).estimates.items():
        assert scores["weighted_kappa"].low <= 0 <= scores["weighted_kappa"].high + 0.1, grader
        low, high = scores["balanced_accuracy"].low, scores["balanced_accuracy"].high
        # A margin: among eight graders' intervals of 95 % one may well miss by a little.
        assert low - 0.03 <= 1 / 6 <= high + 0.05, grader


def strangely_changed(cohort: MadeCohort, row: int) -> MadeCohort:
    """The same cohort with one photograph whose features are absurd."""
    features = cohort.features.copy()
    features.iloc[row] = 1e4
    return MadeCohort(cohort.rows, features)


def test_what_is_tested_beside_a_photograph_does_not_change_its_answer():
    """Anything fitted outside the fold (a scaler above all) would carry one row to another."""
    cohort = made_cohort()
    folds = make_folds(cohort.rows)
    parts = list(parts_of(cohort, folds))
    row = int(parts[0].test[0])
    for grader in LEARNERS:
        before, after = (
            answer_fold(plan_of(made, folds, graders=[grader]), (grader, 0)).answers[1:]
            for made in (cohort, strangely_changed(cohort, row))
        )
        np.testing.assert_array_equal(before, after, err_msg=grader)


def test_a_scaler_fitted_outside_the_fold_would_be_noticed():
    cohort = made_cohort()
    folds = make_folds(cohort.rows)
    row = int(next(parts_of(cohort, folds)).test[0])

    def scaled_outside(made: MadeCohort) -> MadeCohort:
        scaled = RankScaler(output_distribution="normal").fit_transform(made.features)
        return MadeCohort(made.rows, pd.DataFrame(scaled, columns=made.features.columns))

    before, after = (
        answer_fold(plan_of(scaled_outside(made), folds, graders=["svm"]), ("svm", 0)).answers[1:]
        for made in (cohort, strangely_changed(cohort, row))
    )
    assert np.abs(before - after).max() > 1e-4


def test_grades_of_the_tested_patients_are_not_looked_at():
    cohort = made_cohort()
    folds = make_folds(cohort.rows)
    test = next(parts_of(cohort, folds)).test
    rows = cohort.rows.copy()
    rows.loc[test, "hb_grade"] = 7 - rows.loc[test, "hb_grade"]
    for grader in GRADERS:
        before, after = (
            answer_fold(plan_of(made, folds, graders=[grader]), (grader, 0)).answers
            for made in (cohort, MadeCohort(rows, cohort.features))
        )
        np.testing.assert_array_equal(before, after, err_msg=grader)
