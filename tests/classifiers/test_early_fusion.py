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

from classifiers.branches.alignment import InnerAnswers, shared_inner, shared_levels
from classifiers.branches.branch import SharedAnswers, read_branches
from classifiers.branches.early_fusion import fuse_embedding, fuse_summary
from classifiers.branches.embeddings import Embeddings, read_embeddings
from classifiers.commands.benchmark import benchmark
from classifiers.commands.fuse import fuse
from classifiers.graders.cohort import Samples, read_cohort
from classifiers.graders.columns import COMPONENTS, columns_for
from classifiers.graders.patients import patient_samples
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


def laid_out(faces: Path, deep: Path) -> tuple[Samples, SharedAnswers, InnerAnswers]:
    tables = [faces / "geometric" / "predictions.csv", deep]
    models = [QUICK.name, "htnet"]
    (shared,) = shared_levels(read_branches(tables, target=SIX, models=models), target=SIX)
    paths = [path.with_name("inner_predictions.csv") for path in tables]
    inner = shared_inner(read_branches(paths, target=SIX, models=models, inner=True), shared)
    cohort = read_cohort(faces / "features.csv", target=SIX)
    return patient_samples(cohort.usable, landmarks=faces / "landmarks.csv"), shared, inner


def mean_error(shared: SharedAnswers, chances: np.ndarray) -> float:
    return float(np.abs(SIX.answers(chances) - shared.truth).mean())


@pytest.mark.parametrize("level", ["photograph", "patient"])
def test_inner_predictions_never_hold_the_patients_that_their_fold_tests(faces, tmp_path, level):
    benchmark(
        faces / "features.csv", out=tmp_path, level=level, graders=(QUICK.name,), n_folds=3,
        inner_predictions=2, redact=True, jobs=1,
    )  # fmt: skip
    outer = read_predictions(tmp_path / "predictions.csv", unit=level)
    path = tmp_path / "inner_predictions.csv"
    inner = read_table(path, schema=inner_predictions_schema(SIX, unit=level))
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


def made_embeddings(faces: Path, *, strength: float, d: int = 20) -> Embeddings:
    """Embeddings that show the grade as strongly as asked, in axes of each network's own."""
    folds = read_folds(faces / "geometric" / "folds.csv")
    grades = pd.read_csv(faces / "manifest.csv", dtype=str).set_index("image_id")["hb_grade"]
    truth = folds["image_id"].map(grades).to_numpy(dtype=float)
    rng = np.random.default_rng(0)
    values = np.stack(
        [
            strength * (truth - 3.5)[:, None] * rng.normal(size=d)
            + rng.normal(size=(len(truth), d))
            for _ in range(3)
        ]
    )
    parts = np.array([np.where(folds["fold"] == fold, "test", "train") for fold in (1, 2, 3)])
    ids = folds["image_id"].to_numpy(dtype=str)
    return Embeddings(
        ids, np.array([1, 1, 1]), np.array([1, 2, 3]), values, parts, Path("embeddings.npz")
    )


def write_embeddings(made: Embeddings, path: Path) -> Path:
    np.savez(
        path, image_id=made.image_ids, repeat=made.repeats, fold=made.folds,
        embedding=made.values, part=made.parts,
    )  # fmt: skip
    return path


def test_an_embedding_that_shows_the_grade_helps(faces):
    samples, shared, _ = laid_out(faces, deep_tables(faces, error=0.9))
    photographs = read_cohort(faces / "features.csv", target=SIX).usable.rows
    plain, noise = (
        fuse_embedding(
            samples, photographs, shared, made_embeddings(faces, strength=strength), grader=QUICK
        )
        for strength in (1.0, 0.0)
    )
    assert mean_error(shared, plain.chances) < 0.5 * mean_error(shared, noise.chances)
    assert plain.sets is None


def test_components_are_learned_from_training_rows_only(faces):
    samples, _, _ = laid_out(faces, deep_tables(faces, error=0.9, seed=9))
    rng = np.random.default_rng(0)
    names = [f"deep.embedding.{at}" for at in range(12)]
    deep = pd.DataFrame(rng.normal(size=(24, 12)), columns=names, index=samples.features.index)
    whole = replace(samples, features=pd.concat([samples.features, deep], axis=1))
    train, test = np.arange(16), np.arange(16, 24)
    columns = columns_for(whole, target=SIX)
    learned = columns.learn(whole.at(train))
    far = whole.features.copy()
    far.loc[far.index[test], names] *= 1000
    again = columns_for(whole, target=SIX).learn(replace(whole, features=far).at(train))
    asked = columns.make(whole.at(test))
    for name, found in learned.items():
        pd.testing.assert_frame_equal(found, again[name])
        assert list(found.columns) == list(asked[name].columns)
        assert sum(str(column).startswith("deep.") for column in found.columns) == COMPONENTS
        assert not any("embedding" in str(column) for column in found.columns)
    plain = columns_for(samples, target=SIX).learn(samples.at(train))
    for name, found in plain.items():
        pd.testing.assert_frame_equal(
            learned[name][list(found.columns)].reset_index(drop=True), found.reset_index(drop=True)
        )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda e: replace(e, parts=np.full_like(e.parts, "train")),
            "learned from .*which the fold",
        ),
        (lambda e: replace(e, folds=np.array([1, 2, 4])), "no network of fold 3 of repeat 1"),
        (
            lambda e: replace(e, image_ids=np.char.replace(e.image_ids, "patient03", "gone")),
            'no embedding of "patient03/',
        ),
    ],
)
def test_embeddings_of_other_folds_or_photographs_are_refused(faces, change, said):
    samples, shared, _ = laid_out(faces, deep_tables(faces, error=0.9, seed=len(said)))
    photographs = read_cohort(faces / "features.csv", target=SIX).usable.rows
    made = change(made_embeddings(faces, strength=1.0))
    with pytest.raises(UserError, match=said):
        fuse_embedding(samples, photographs, shared, made, grader=QUICK)


def test_a_file_of_something_else_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="cannot be read as embeddings"):
        read_embeddings(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("words")
    with pytest.raises(UserError, match="cannot be read as embeddings"):
        read_embeddings(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", image_id=np.array(["a"]))
    with pytest.raises(UserError, match='no array "fold"'):
        read_embeddings(tmp_path / "other.npz")
    np.savez(
        tmp_path / "shape.npz", image_id=np.array(["a"]), fold=[1], repeat=[1],
        embedding=np.zeros((2, 1, 3)),
    )  # fmt: skip
    with pytest.raises(UserError, match="shape"):
        read_embeddings(tmp_path / "shape.npz")


def test_the_command_fuses_early_and_late_at_once(faces, tmp_path: Path):
    deep = deep_tables(faces, error=0.7, seed=3)
    embeddings = write_embeddings(made_embeddings(faces, strength=0.5), tmp_path / "embeddings.npz")
    fuse(
        faces / "geometric" / "predictions.csv", deep, out=tmp_path / "out",
        models=(QUICK.name, "htnet"), features=faces / "features.csv",
        manifest=faces / "manifest.csv", embeddings=embeddings,
    )  # fmt: skip
    table = read_predictions(tmp_path / "out" / "predictions.csv", unit="patient")
    assert list(table["model"].unique()) == [
        "fused_mean", "fused_product", "fused_weighted", "fused_stacking", "fused_early_summary",
        "fused_early_embedding",
    ]  # fmt: skip
    assert table.loc[table["model"] == "fused_early_embedding", "set_low"].isna().all()
    assert table.loc[table["model"] == "fused_early_summary", "set_low"].notna().all()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "trusts the network too much" in page


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
