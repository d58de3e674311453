"""Permutation importance: what carries the grade is found, an idle part is worth nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from classifiers.graders.cohort import Samples
from classifiers.graders.importance import (
    RegionImportance,
    columns_of_regions,
    exchanged_rows,
    region_importance,
)
from classifiers.graders.validation import Plan, cross_validate
from common.grading.folds import make_folds, splits
from common.grading.target import target_named
from features.registry import FEATURES

from .conftest import made_cohort


def plan_of(*, region: str | None, patients_per_grade: int = 4) -> Plan:
    cohort = made_cohort(grade_strength=0.0, patients_per_grade=patients_per_grade)
    grade = cohort.rows["hb_grade"].to_numpy()
    for entry in FEATURES:
        if entry.region == region:
            cohort.features[entry.name] += 3.0 * grade
    rows = cohort.rows.assign(task=["rest", "a", "b", "c"] * (len(grade) // 4))
    folds = make_folds(rows, n_folds=3)
    samples = Samples(rows, cohort.features, grade, rows["patient_id"].to_numpy(dtype=np.str_))
    return Plan(
        samples,
        list(splits(folds, rows["image_id"], patients=rows["patient_id"])),
        "six_grades",
        [],
        "standard",
        0,
    )


def importance_of(plan: Plan, *, grader: str, exchanges: int) -> RegionImportance:
    found = cross_validate(replace(plan, graders=[grader], exchanges=exchanges))
    return region_importance(
        found.exchanged[grader],
        columns=columns_of_regions(plan.samples.features),
        target=target_named(plan.target),
        unit=plan.unit,
        seed=plan.seed,
    )


@pytest.mark.parametrize("region", ["eye", "nose"])
def test_the_region_that_carries_the_grade_is_found(region):
    found = importance_of(plan_of(region=region), grader="mlp", exchanges=2)
    assert found.whole > 0.8
    assert found.falls[region].low > 0.5
    others = [fall for name, fall in found.falls.items() if name != region]
    assert all(abs(fall.value) < 0.3 for fall in others)
    assert next(iter(found.falls)) == region
    assert sum(found.columns.values()) == len(FEATURES)


def test_of_a_grader_that_knows_nothing_no_part_is_worth_anything():
    plan = plan_of(region=None, patients_per_grade=16)
    found = importance_of(plan, grader="mlp", exchanges=3)
    assert abs(found.whole) < 0.35  # chance, over 96 patients
    assert all(abs(fall.value) < 0.3 for fall in found.falls.values())


def test_importance_is_the_same_for_the_same_seed():
    plan = plan_of(region="eye")
    first, again = (importance_of(plan, grader="majority", exchanges=1) for _ in range(2))
    assert first == again
    assert all(fall.value == 0.0 for fall in first.falls.values())


def test_nobody_keeps_his_own_face_and_movements_are_kept():
    rows = plan_of(region=None).samples.rows
    donors = exchanged_rows(rows, rng=np.random.default_rng(0))
    patients, tasks = rows["patient_id"].to_numpy(), rows["task"].to_numpy()
    assert (patients[donors] != patients).all()
    assert (tasks[donors] == tasks).all()
    for patient in set(patients):  # whole patients are exchanged, not single photographs
        assert len(set(patients[donors][patients == patient])) == 1


def test_one_patient_alone_and_missing_movements_give_no_error():
    rows = plan_of(region=None).samples.rows
    alone = rows[rows["patient_id"] == "p00"].reset_index(drop=True)
    assert (np.sort(exchanged_rows(alone, rng=np.random.default_rng(0))) < len(alone)).all()
    uneven = rows[~((rows["patient_id"] == "p01") & (rows["task"] == "a"))].reset_index(drop=True)
    donors = exchanged_rows(uneven, rng=np.random.default_rng(1))
    assert (uneven["patient_id"].to_numpy()[donors] != uneven["patient_id"].to_numpy()).all()
