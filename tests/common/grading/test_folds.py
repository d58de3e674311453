"""Folds hold whole patients, spread the grades, and say when they cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from common.grading.fold_notes import fold_problems, folds_in_words
from common.grading.folds import (
    inner_splits,
    make_folds,
    photograph_level_folds_for_leak_demonstration,
    read_folds,
    splits,
    write_folds,
)


def photographs(grades: list[int], *, each: int = 3) -> pd.DataFrame:
    patient = np.repeat([f"p{at}" for at in range(len(grades))], each)
    return pd.DataFrame(
        {
            "image_id": [f"{name}/img{at}.jpg" for at, name in enumerate(patient)],
            "patient_id": patient,
            "hb_grade": pd.Series(np.repeat(grades, each), dtype="Int64"),
        }
    )


cohorts = st.lists(st.integers(1, 6), min_size=6, max_size=40)
methods = st.sampled_from(["stratified", "shuffled", "leave_one_patient_out", "repeated_holdout"])


@settings(deadline=None, max_examples=40)
@given(grades=cohorts, method=methods, n_folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_no_patient_is_learned_from_and_tested_at_once(grades, method, n_folds, seed):
    table = photographs(grades)
    folds = make_folds(table, method=method, n_folds=n_folds, repeats=2, seed=seed)
    for part in splits(folds, table["image_id"], patients=table["patient_id"]):
        learned = set(table["patient_id"].iloc[part.train])
        tested = set(table["patient_id"].iloc[part.test])
        assert not learned & tested
        assert len(part.train) + len(part.test) == len(table)


@settings(deadline=None, max_examples=40)
@given(grades=cohorts, n_folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_stratified_folds_test_everyone_once_and_spread_patients_evenly(grades, n_folds, seed):
    table = photographs(grades)
    folds = make_folds(table, n_folds=n_folds, repeats=2, seed=seed)
    assert (folds.groupby(["repeat", "image_id"]).size() == 1).all()
    assert len(folds) == 2 * len(table)
    patients = folds.drop_duplicates(["repeat", "patient_id"]).merge(
        table.drop_duplicates("patient_id")[["patient_id", "hb_grade"]], on="patient_id"
    )
    sizes = patients.groupby(["repeat", "fold"]).size()
    assert len(sizes) == 2 * n_folds
    assert sizes.max() - sizes.min() <= 1
    per_grade = patients.pivot_table(
        index=["repeat", "fold"], columns="hb_grade", values="patient_id", aggfunc="count"
    ).fillna(0)
    assert (per_grade.max() - per_grade.min() <= 1).all()


def test_folds_depend_on_the_seed_and_not_on_the_order_of_rows():
    table = photographs([1, 2, 3, 4, 5, 6] * 4)
    mixed = table.sample(frac=1, random_state=3)
    first = make_folds(table, seed=7, repeats=2)
    pd.testing.assert_frame_equal(first, make_folds(mixed, seed=7, repeats=2))
    assert not first["fold"].equals(make_folds(table, seed=8, repeats=2)["fold"])
    by_repeat = [rows["fold"].tolist() for _, rows in first.groupby("repeat")]
    assert by_repeat[0] != by_repeat[1]


def test_leave_one_patient_out_tests_one_patient_at_a_time():
    table = photographs([1, 2, 3, 4])
    folds = make_folds(table, method="leave_one_patient_out", repeats=5, n_folds=2)
    assert folds.groupby("fold")["patient_id"].nunique().tolist() == [1, 1, 1, 1]
    assert folds["repeat"].unique().tolist() == [1]


def test_shuffled_folds_are_independent_draws():
    table = photographs([3] * 20, each=1)
    folds = make_folds(table, method="shuffled", n_folds=5, seed=1)
    assert (folds.groupby("fold").size() == 4).all()
    assert folds["image_id"].duplicated().any()  # k-fold would test everyone exactly once


def test_repeated_holdout_draws_a_quarter_ten_times():
    table = photographs([3] * 20)
    folds = make_folds(table, method="repeated_holdout", n_folds=2, seed=1)
    draws = folds.groupby(["repeat", "fold"])["patient_id"].nunique()
    assert draws.tolist() == [5] * 10
    assert folds["repeat"].nunique() == 10
    times = folds.groupby("patient_id")["repeat"].nunique()
    assert times.max() > 2
    parts = list(splits(folds, table["image_id"], patients=table["patient_id"]))
    assert all(len(part.train) == 45 and len(part.test) == 15 for part in parts)
    said = fold_problems(parts, labels=np.ones(60, dtype=np.int64), class_names=("1",))
    assert any(f"tested {times.min()} to {times.max()} times" in sentence for sentence in said)
    assert ("never tested" in said[0]) == (len(times) < 20)
    assert "10 random draws of 25%" in folds_in_words(folds, method="repeated_holdout")
    assert make_folds(table, method="repeated_holdout", repeats=3)["repeat"].max() == 3


def test_the_demonstration_of_the_leak_does_part_patients():
    table = photographs([1, 2, 3, 4, 5, 6])
    folds = photograph_level_folds_for_leak_demonstration(table, n_folds=3)
    assert (folds.groupby("patient_id")["fold"].nunique() > 1).any()


def test_a_table_that_parts_a_patient_is_refused(tmp_path: Path):
    table = photographs([1, 2, 3, 4, 5, 6])
    path = tmp_path / "folds.csv"
    write_folds(photograph_level_folds_for_leak_demonstration(table, n_folds=3), path)
    with pytest.raises(UserError, match="learned from and tested at once"):
        read_folds(path)
    good = make_folds(table, n_folds=3)
    write_folds(good, path)
    pd.testing.assert_frame_equal(read_folds(path), good)
    write_folds(pd.concat([good, good.head(1)]), path)
    with pytest.raises(UserError, match="row 20"):
        read_folds(path)


def test_all_visits_of_a_patient_are_in_one_fold_or_the_table_is_refused(tmp_path: Path):
    visits = pd.DataFrame(
        [(f"{p}/{v}.jpg", p, v, 1 + (int(p[1]) + int(v)) % 6) for p in ("P0", "P1", "P2", "P3")
         for v in "12"],
        columns=["image_id", "patient_id", "visit", "hb_grade"],
    )  # fmt: skip
    folds = make_folds(visits, n_folds=2)
    assert (folds.groupby("patient_id")["fold"].nunique() == 1).all()
    path = tmp_path / "folds.csv"
    later = folds["image_id"] == "P2/2.jpg"
    write_folds(folds.assign(fold=folds["fold"].where(~later, 3 - folds["fold"])), path)
    with pytest.raises(UserError, match='"P2"'):
        read_folds(path)


def test_folds_of_another_cohort_are_refused():
    folds = make_folds(photographs([1, 2, 3, 4]), n_folds=2)
    with pytest.raises(UserError, match="None of the photographs"):
        list(splits(folds, pd.Series(["stranger.jpg"]), patients=pd.Series(["p9"])))


def test_unusable_photographs_are_left_out_of_a_fold_and_not_moved():
    table = photographs([1, 2, 3, 4, 5, 6])
    folds = make_folds(table, n_folds=3)
    rest = table[table["patient_id"] != "p0"].reset_index(drop=True)
    usable = rest["image_id"]
    parts = splits(folds, table["image_id"], patients=table["patient_id"])
    whole = {part.fold: part for part in parts}
    for part in splits(folds, usable, patients=rest["patient_id"]):
        tested = set(usable.iloc[part.test])
        assert tested == set(table["image_id"].iloc[whole[part.fold].test]) & set(usable)


@pytest.mark.parametrize(
    ("grades", "n_folds", "words"),
    [
        ([1, 2], 3, "2 patients for 3 folds"),
        ([1], 1, "at least 2 folds"),
        ([1], 2, "1 patient for 2 folds"),
    ],
)
def test_too_few_patients_is_one_sentence(grades, n_folds, words):
    with pytest.raises(UserError, match=words):
        make_folds(photographs(grades), n_folds=n_folds)


def test_folds_that_cannot_show_what_is_expected_are_named():
    table = photographs([1, 1, 1, 2, 2, 6])
    folds = make_folds(table, n_folds=3)
    labels = table["hb_grade"].to_numpy(dtype=np.int64)
    names = ("1", "2", "3", "4", "5", "6")
    whole = list(splits(folds, table["image_id"], patients=table["patient_id"]))
    said = fold_problems(whole, labels=labels, class_names=names)
    assert len([sentence for sentence in said if "labelled" in sentence]) == 3  # 3, 4 and 5
    lacking = [sentence for sentence in said if "without a single example of 6" in sentence]
    fold_of_6 = folds["fold"][folds["patient_id"] == "p5"].iat[0]
    assert len(lacking) == 1
    assert f"1.{fold_of_6} " in lacking[0]

    keep = folds["fold"].to_numpy() != 2
    rest = table["image_id"].isin(folds["image_id"][keep]).to_numpy()
    parts = list(splits(folds, table["image_id"][rest], patients=table["patient_id"][rest]))
    said = fold_problems(parts, labels=labels[rest], class_names=("1", "2"))
    assert any("1.2 test nothing" in sentence for sentence in said)


def test_photographs_in_no_fold_are_counted():
    table = photographs([1, 1, 2, 2])
    folds = make_folds(table, n_folds=2)
    shortened = folds[folds["patient_id"] != "p0"]
    parts = list(splits(shortened, table["image_id"], patients=table["patient_id"]))
    assert all(set(range(3)) <= set(part.train) for part in parts)
    labels = table["hb_grade"].to_numpy(dtype=np.int64)
    said = fold_problems(parts, labels=labels, class_names=("1", "2"))
    assert said[0].startswith("3 of 12 usable photographs are in no fold")
    said = fold_problems(parts, labels=labels, class_names=("1", "2", "3"), unit="patient")
    assert said[0].startswith("3 of 12 usable patients are in no fold")
    assert said[-1].startswith("No usable patient is labelled 3")


def test_photographs_of_a_tested_patient_that_the_table_lacks_are_dropped_and_counted():
    table = photographs([1, 1, 2, 2])
    folds = make_folds(table, n_folds=2)
    shortened = folds[folds["image_id"] != "p0/img0.jpg"]
    parts = list(splits(shortened, table["image_id"], patients=table["patient_id"]))
    tests_p0 = int(folds["fold"][folds["patient_id"] == "p0"].iat[0])
    for part in parts:
        assert part.dropped.tolist() == ([0] if part.fold == tests_p0 else [])
        assert (0 in part.train) == (part.fold != tests_p0)
    labels = table["hb_grade"].to_numpy(dtype=np.int64)
    said = fold_problems(parts, labels=labels, class_names=("1", "2"))
    assert len(said) == 1
    assert said[0].startswith("1 of 12 usable photographs are not in the table of folds")


@settings(deadline=None, max_examples=30)
@given(grades=st.lists(st.integers(1, 6), min_size=2, max_size=20), n_folds=st.integers(2, 5))
def test_inner_splits_hold_whole_patients_and_cover_every_row(grades, n_folds):
    labels = np.repeat(grades, 2)
    patients = np.repeat([f"p{at}" for at in range(len(grades))], 2)
    tested = []
    for train, test in inner_splits(labels, patients, n_folds=n_folds):
        assert not set(patients[train]) & set(patients[test])
        tested.extend(test)
    assert sorted(tested) == list(range(len(labels)))


def test_one_patient_alone_has_no_inner_splits():
    assert inner_splits(np.ones(4, dtype=np.int64), np.array(["a"] * 4)) == []
