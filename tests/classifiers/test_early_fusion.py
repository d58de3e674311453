"""Measurements and the image branch in one grader: it learns what helps, and nothing of the tested.

Also the inner predictions that it takes from `benchmark`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from classifiers.branches.alignment import shared_inner, shared_levels
from classifiers.branches.branch import SharedAnswers, read_branches
from classifiers.branches.fusion_methods import fuse_summary
from classifiers.commands.benchmark import benchmark
from classifiers.commands.fuse import fuse
from classifiers.graders.cohort import Samples, read_cohort
from classifiers.graders.patients import columns_for, rows_to_answer
from classifiers.graders.registry import GRADERS
from common.errors import UserError
from common.grading.folds import make_folds, read_folds, write_folds
from common.grading.predictions import (
    inner_predictions_schema,
    predictions_schema,
    read_predictions,
    to_patients,
)
from common.tables import read_table, write_table
from tests.classifiers.branch_tables import SIX, chances_of, made_predictions, write_branch
from tests.classifiers.conftest import made_cohort, write_faces

QUICK = replace(GRADERS["ordinal_logistic"], search={}, scale_matters=False)


@pytest.fixture(scope="module", autouse=True)
def quick_grader() -> Iterator[None]:
    """Leave out the search, which is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(GRADERS, QUICK.name, QUICK)
        yield


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy faces of 24 patients, and a simulated geometric branch with inner predictions."""
    folder = tmp_path_factory.mktemp("faces")
    write_faces(folder, patients_per_grade=4, noise_px=6.0, seed=2)
    manifest = pd.read_csv(folder / "manifest.csv", dtype={"patient_id": str})
    tables = made_predictions(manifest, error=1.5, model=QUICK.name, n_folds=3, seed=4)
    (folder / "geometric").mkdir()
    write_folds(make_folds(manifest, n_folds=3), folder / "geometric" / "folds.csv")
    for name, table, schema in zip(
        ("predictions.csv", "inner_predictions.csv"), tables,
        (predictions_schema, inner_predictions_schema), strict=True,
    ):  # fmt: skip
        rows = to_patients(table, target=SIX)
        write_table(rows, folder / "geometric" / name, schema=schema(SIX, unit="patient"))
    return folder


def deep_tables(folder: Path, *, error: float, seed: int = 0) -> Path:
    """Write a simulated image branch on the folds of the geometric one, of photographs."""
    folds = read_folds(folder / "geometric" / "folds.csv")
    manifest = pd.read_csv(folder / "manifest.csv", dtype=str)
    grades = manifest.set_index("image_id")["hb_grade"].astype(int)
    inner = read_table(
        folder / "geometric" / "inner_predictions.csv",
        schema=inner_predictions_schema(SIX, unit="patient"),
    )
    photos = folds[["image_id", "patient_id"]].drop_duplicates("image_id")
    keys = ["patient_id", "repeat", "fold", "outer_fold"]
    out = folder / f"deep_{error}_{seed}"
    out.mkdir()
    for name, rows, schema in (
        ("predictions.csv", folds, predictions_schema(SIX)),
        ("inner_predictions.csv", inner[keys].merge(photos), inner_predictions_schema(SIX)),
    ):
        truth = rows["image_id"].map(grades).to_numpy(dtype=np.int64)
        chances = chances_of(truth, error=error, seed=seed + len(rows))
        table = rows.assign(
            hb_grade=pd.array(truth, dtype="Int64"),
            predicted=SIX.answers(chances), model="htnet", branch="deep",
        )  # fmt: skip
        table[list(SIX.probability_columns)] = chances
        write_table(table, out / name, schema=schema)
    return out / "predictions.csv"


def laid_out(faces: Path, deep: Path) -> tuple[Samples, SharedAnswers, SharedAnswers]:
    tables = [faces / "geometric" / "predictions.csv", deep]
    models = [QUICK.name, "htnet"]
    (shared,) = shared_levels(read_branches(tables, target=SIX, models=models), target=SIX)
    paths = [path.with_name("inner_predictions.csv") for path in tables]
    inner = shared_inner(read_branches(paths, target=SIX, models=models, inner=True), shared)
    cohort = read_cohort(faces / "features.csv", target=SIX)
    return rows_to_answer(cohort, level="patient", target=SIX), shared, inner


def mean_error(shared: SharedAnswers, chances: np.ndarray) -> float:
    return float(np.abs(SIX.answers(chances) - shared.truth).mean())


@pytest.mark.parametrize("level", ["photograph", "patient"])
def test_inner_predictions_never_hold_the_patients_that_their_fold_tests(faces, tmp_path, level):
    benchmark(
        faces / "features.csv", out=tmp_path, level=level,
        graders=(QUICK.name, "stratified_random"), n_folds=3, inner_predictions=2,
        inner_graders=(QUICK.name,), redact=True, jobs=1,
    )  # fmt: skip
    outer = read_predictions(tmp_path / "predictions.csv", unit=level)
    path = tmp_path / "inner_predictions.csv"
    inner = read_table(path, schema=inner_predictions_schema(SIX, unit=level))
    assert set(inner["model"]) == {QUICK.name, "majority"}
    key = "image_id" if level == "photograph" else "patient_id"
    for model, own in inner.groupby("model"):
        for (repeat, fold), rows in own.groupby(["repeat", "outer_fold"]):
            tested = outer[
                (outer["model"] == model) & (outer["repeat"] == repeat) & (outer["fold"] == fold)
            ]
            assert rows[key].is_unique
            assert not set(rows["patient_id"]) & set(tested["patient_id"])
            assert len(rows) + len(tested) == outer[key].nunique()
            assert set(rows["fold"]) == {1, 2}
            assert (rows.groupby("patient_id")["fold"].nunique() == 1).all()


def test_inner_answers_are_those_of_graders_that_had_not_seen_the_patient(tmp_path, feature_table):
    """On features that name the patient alone, seen patients would be answered right."""
    cohort = made_cohort(patients_per_grade=3, grade_strength=0.0, patient_strength=4.0)
    benchmark(
        feature_table(cohort), out=tmp_path, graders=(QUICK.name,), n_folds=3,
        inner_predictions=3, jobs=1,
    )  # fmt: skip
    inner = read_table(tmp_path / "inner_predictions.csv", schema=inner_predictions_schema(SIX))
    own = inner[inner["model"] == QUICK.name]
    assert (own["predicted"] == own["hb_grade"]).mean() < 0.35


def test_inner_predictions_need_two_folds(faces, tmp_path):
    with pytest.raises(UserError, match="--inner-predictions is 1"):
        benchmark(
            faces / "features.csv", out=tmp_path, graders=("majority",), inner_predictions=1,
            jobs=1, redact=True,
        )  # fmt: skip


def test_only_what_is_compared_can_answer_inside(faces, tmp_path):
    with pytest.raises(UserError, match="--inner-graders names svm, which is not compared"):
        benchmark(
            faces / "features.csv", out=tmp_path, graders=("majority",), inner_predictions=2,
            inner_graders=("svm",), jobs=1,
        )  # fmt: skip


def test_a_good_image_branch_helps_and_a_random_one_does_little_harm(faces):
    samples, shared, inner = laid_out(faces, deep_tables(faces, error=0.5))
    alone = mean_error(shared, shared.chances["geometric"])
    good = fuse_summary(samples, shared, inner, deep="deep", grader=QUICK)
    assert alone > 0.4
    assert mean_error(shared, good.chances) < 0.7 * alone
    assert good.sets is not None
    inside = (good.sets[:, 0] <= shared.truth) & (shared.truth <= good.sets[:, 1])
    assert inside.mean() > 0.7
    samples, shared, inner = laid_out(faces, deep_tables(faces, error=np.inf))
    random = fuse_summary(samples, shared, inner, deep="deep", grader=QUICK)
    assert mean_error(shared, random.chances) < alone + 0.4


def test_a_tested_grade_changes_no_answer_of_its_own_fold(faces):
    samples, shared, inner = laid_out(faces, deep_tables(faces, error=0.8, seed=5))
    fold = int(shared.rows["fold"].iat[0])
    tested = (shared.rows["fold"] == fold).to_numpy()
    one_fold = replace(
        shared,
        rows=shared.rows[tested].reset_index(drop=True),
        chances={name: found[tested] for name, found in shared.chances.items()},
        answers={name: found[tested] for name, found in shared.answers.items()},
    )
    own = np.isin(samples.patients, one_fold.patients)
    assert samples.grades is not None
    other = np.where(own, samples.labels % 6 + 1, samples.labels)
    lied = replace(samples, labels=other, grades=other, sides=np.where(own, 1.0, samples.sides))
    before, after = (
        fuse_summary(some, one_fold, inner, deep="deep", grader=QUICK) for some in (samples, lied)
    )
    np.testing.assert_array_equal(before.chances, after.chances)
    np.testing.assert_array_equal(before.sets, after.sets)


def test_what_the_image_branch_says_stands_beside_every_set_of_columns(faces):
    samples, _, _ = laid_out(faces, deep_tables(faces, error=0.9, seed=9))
    rng = np.random.default_rng(0)
    deep = pd.DataFrame(
        rng.normal(size=(24, 2)), columns=["deep.1", "deep.2"], index=samples.features.index
    )
    whole = replace(samples, features=pd.concat([samples.features, deep], axis=1))
    train, test = np.arange(16), np.arange(16, 24)
    columns, measured = columns_for(whole, target=SIX), columns_for(samples, target=SIX)
    plain = measured.learn(samples.at(train))
    for name, found in columns.learn(whole.at(train)).items():
        np.testing.assert_array_equal(found[list(deep.columns)], deep.iloc[train])
        pd.testing.assert_frame_equal(
            found.drop(columns=deep.columns).reset_index(drop=True),
            plain[name].reset_index(drop=True),
        )
    for found in columns.make(whole.at(test)).values():
        np.testing.assert_array_equal(found[list(deep.columns)], deep.iloc[test])


def test_the_command_fuses_early_and_late_at_once(faces, tmp_path: Path):
    deep = deep_tables(faces, error=0.7, seed=3)
    fuse(
        faces / "geometric" / "predictions.csv", deep, out=tmp_path / "out",
        models=(QUICK.name, "htnet"), features=faces / "features.csv",
        manifest=faces / "manifest.csv",
    )  # fmt: skip
    table = read_predictions(tmp_path / "out" / "predictions.csv", unit="patient")
    assert list(table["model"].unique()) == [
        "fused_mean", "fused_product", "fused_weighted", "fused_stacking", "fused_early_summary",
    ]  # fmt: skip
    assert table.loc[table["model"] == "fused_early_summary", "set_low"].notna().all()


def test_early_fusion_of_photographs_is_summed_up_to_patients(faces, tmp_path: Path):
    manifest = pd.read_csv(faces / "manifest.csv", dtype={"patient_id": str})
    tables = [
        write_branch(
            tmp_path / branch,
            made_predictions(manifest, error=1.0, branch=branch, model=model, n_folds=3),
        )
        for branch, model in (("geometric", QUICK.name), ("deep", "htnet"))
    ]
    result = fuse(*tables, out=tmp_path / "out", features=faces / "features.csv")
    photographs, patients = (level.predictions for level in result.levels)
    own = photographs[photographs["model"] == "fused_early_summary"]
    whole = patients[patients["model"] == "fused_early_summary"].set_index("patient_id")
    means = own.groupby("patient_id")[list(SIX.probability_columns)].mean()
    np.testing.assert_allclose(whole.loc[means.index, list(SIX.probability_columns)], means)
    assert len(own) == 24 * 5 and len(whole) == 24
