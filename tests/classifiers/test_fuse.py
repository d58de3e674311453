"""The command `fuse`: weights from training patients only, refusals, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from classifiers.branches.alignment import shared_inner, shared_levels
from classifiers.branches.branch import read_branches
from classifiers.branches.fusion import fuse_late, stands_for_fusion
from classifiers.branches.fusion_methods import METHODS, WEIGHT_COLUMNS
from classifiers.commands.fuse import fuse
from common.errors import UserError
from common.grading.predictions import (
    inner_predictions_schema,
    predictions_schema,
    read_predictions,
    to_patients,
)
from common.tables import write_table
from tests.classifiers.branch_tables import SIX, made_manifest, made_predictions, write_branch

CHANCES = list(SIX.probability_columns)


def two_branches(
    folder: Path, *errors: float, patients: int = 24, photographs: int = 2, **options
) -> list[Path]:
    """Write branches with these errors; the first is geometric, the others deep."""
    manifest = made_manifest(patients=patients, photographs=photographs)
    return [
        write_branch(
            folder / f"branch_{at}",
            made_predictions(
                manifest, error=error, branch="deep" if at else "geometric", seed=100 * at,
                model=f"model_{at}", **options,
            ),
        )
        for at, error in enumerate(errors)
    ]  # fmt: skip


def fused_weights(tables: list[Path], out: Path) -> pd.DataFrame:
    fuse(*tables, out=out)
    table = pd.read_csv(out / "weights.csv")
    learned = table[table["model"].isin(["fused_weighted", "fused_stacking"])]
    return learned.groupby(["level", "model", "branch"])["weight"].mean().unstack("branch")


def test_fuse_writes_grades_weights_sets_and_scores(tmp_path: Path):
    tables = two_branches(tmp_path, 0.7, 0.9)
    result = fuse(*tables, out=tmp_path / "out")
    patients = read_predictions(tmp_path / "out" / "predictions.csv", unit="patient")
    photographs = read_predictions(tmp_path / "out" / "photograph_predictions.csv")
    for table, n in ((patients, 24), (photographs, 48)):
        assert set(table["branch"]) == {"fused"}
        assert list(table["model"].unique()) == [f"fused_{method}" for method in METHODS]
        assert (table["model"].value_counts() == n).all()
        np.testing.assert_allclose(table[CHANCES].sum(axis=1), 1)
        np.testing.assert_array_equal(table["predicted"], SIX.answers(table[CHANCES].to_numpy()))
        assert (table["set_low"] <= table["predicted"]).all()
        assert (table["predicted"] <= table["set_high"]).all()
    weights = pd.read_csv(tmp_path / "out" / "weights.csv")
    assert tuple(weights.columns) == WEIGHT_COLUMNS
    summed = weights.groupby(["level", "model", "repeat", "fold"])["weight"].sum()
    np.testing.assert_allclose(summed, 1)
    assert len(summed) == 2 * 4 * 5
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())["per_patient"]
    assert {"geometric", "deep", "fused_mean", "majority"} < set(metrics["models"])
    assert metrics["chosen"] == "fused_stacking"
    beside = metrics["beside_the_better_branch"]
    assert {row["model"] for row in beside} == {f"fused_{method}" for method in METHODS}
    for row in beside:
        values = [metrics["models"][name].get(row["score"]) for name in ("geometric", "deep")]
        if None not in values:
            best = min if row["score"] in ("mae", "brier") else max
            assert row["branch_value"] == pytest.approx(best(v["value"] for v in values), abs=1e-6)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["files"]["inner predictions of deep"]["name"] == "inner_predictions.csv"
    assert "stacking" in (tmp_path / "out" / "report.html").read_text()
    assert result.levels[1].chosen == "fused_stacking"


def test_two_copies_of_a_branch_are_that_branch(tmp_path: Path):
    table = two_branches(tmp_path, 0.9)[0]
    fuse(table, table, out=tmp_path / "out")
    own = read_predictions(table)
    fused = read_predictions(tmp_path / "out" / "photograph_predictions.csv")
    pairs = [(own, fused)]
    patients = read_predictions(tmp_path / "out" / "predictions.csv", unit="patient")
    pairs.append((to_patients(own, target=SIX), patients))
    for one, both in pairs:
        key = "image_id" if "image_id" in one else "patient_id"
        for method in METHODS:
            rows = both[both["model"] == f"fused_{method}"].set_index(key).loc[one[key]]
            np.testing.assert_array_equal(rows["predicted"], one["predicted"])
            if method != "stacking":
                np.testing.assert_allclose(rows[CHANCES], one[CHANCES], atol=1e-12)


def test_a_random_branch_hardly_counts_and_a_perfect_one_alone(tmp_path: Path):
    random = fused_weights(
        two_branches(tmp_path / "r", 0.6, np.inf, patients=60, photographs=1), tmp_path / "random"
    )
    assert (random["deep"] < 0.15).all()
    perfect = fused_weights(two_branches(tmp_path / "p", 1.2, 0.0), tmp_path / "perfect")
    assert (perfect["deep"] > 0.75).all()
    assert perfect.loc[("photograph", "fused_weighted"), "deep"] > 0.97
    told = read_predictions(tmp_path / "perfect" / "predictions.csv", unit="patient")
    for model in ("fused_weighted", "fused_stacking"):
        own = told[told["model"] == model]
        np.testing.assert_array_equal(own["predicted"], own["hb_grade"])


def test_grades_of_tested_patients_change_no_answer(tmp_path: Path):
    """The tested patients' grades may be anything: probabilities, sets and weights stay."""
    tables = two_branches(tmp_path, 0.8, 1.0, patients=12)
    fuse(*tables, out=tmp_path / "true")
    rng = np.random.default_rng(1)
    grades = dict(zip([f"p{at:02d}" for at in range(12)], rng.integers(1, 7, 12), strict=True))
    for path in tables:
        frame = read_predictions(path)
        frame["hb_grade"] = frame["patient_id"].map(grades).astype("Int64")
        write_table(frame, path, schema=predictions_schema(SIX))
    branches = read_branches(tables, target=SIX)
    inner = [p.with_name("inner_predictions.csv") for p in tables]
    inside = read_branches(inner, target=SIX, inner=True)
    for level, name in zip(
        shared_levels(branches, target=SIX), ("photograph_predictions.csv", "predictions.csv"),
        strict=True,
    ):  # fmt: skip
        before = read_predictions(tmp_path / "true" / name, unit=level.unit)
        for model in fuse_late(level, inner=shared_inner(inside, level)):
            key = "image_id" if level.unit == "photograph" else "patient_id"
            own = before[before["model"] == model.name].set_index(key).loc[level.rows[key]]
            np.testing.assert_array_equal(own[CHANCES], model.chances)
            np.testing.assert_array_equal(own[["set_low", "set_high"]], model.sets)


def test_weights_come_from_the_inner_answers_of_their_own_fold(tmp_path: Path):
    """Where the image branch was good inside fold 2 only, it counts in fold 2 only."""
    tables = two_branches(tmp_path, 0.6, 1.5)
    path = tables[1].with_name("inner_predictions.csv")
    frame = pd.read_csv(path, dtype={"image_id": str, "patient_id": str})
    good = frame["outer_fold"] == 2
    frame.loc[good, CHANCES] = np.eye(6)[frame.loc[good, "hb_grade"] - 1]
    frame.loc[good, "predicted"] = frame.loc[good, "hb_grade"]
    write_table(frame, path, schema=inner_predictions_schema(SIX))
    fuse(*tables, out=tmp_path / "out", method=("weighted",))
    weights = pd.read_csv(tmp_path / "out" / "weights.csv")
    deep = weights[(weights["branch"] == "deep") & (weights["level"] == "photograph")]
    by_fold = deep.set_index("fold")["weight"]
    assert by_fold[2] > 0.9
    assert (by_fold.drop(2) < 0.5).all()


def test_without_inner_predictions_only_what_needs_no_weights(tmp_path: Path):
    tables = two_branches(tmp_path, 0.7, 0.9)
    tables[1].with_name("inner_predictions.csv").unlink()
    result = fuse(*tables, out=tmp_path / "out")
    table = read_predictions(tmp_path / "out" / "predictions.csv", unit="patient")
    assert list(table["model"].unique()) == ["fused_mean", "fused_product"]
    assert "set_low" not in table
    assert result.levels[1].chosen == "fused_mean"
    assert "Without inner predictions" in (tmp_path / "out" / "report.html").read_text()
    assert stands_for_fusion(["fused_product", "fused_mean", "fused_weighted"]) == "fused_weighted"
    assert stands_for_fusion(["fused_product", "fused_early_summary"]) == "fused_product"
    for method in ("weighted", "stacking"):
        with pytest.raises(UserError, match=f'"{method}" learns weights.*--inner-predictions'):
            fuse(*tables, out=tmp_path / "refused", method=(method,))
    assert not (tmp_path / "refused").exists()


def test_inner_tables_must_be_of_the_same_models_and_number(tmp_path: Path):
    tables = two_branches(tmp_path, 0.7, 0.9)
    inner = [path.with_name("inner_predictions.csv") for path in tables]
    with pytest.raises(UserError, match="1 inner table given for 2"):
        fuse(*tables, out=tmp_path / "out", inner=(inner[0],))
    with pytest.raises(UserError, match='no model "model_0"'):
        fuse(*tables, out=tmp_path / "out", inner=(inner[1], inner[0]))


def test_leave_one_patient_out_can_be_fused(tmp_path: Path):
    tables = two_branches(
        tmp_path, 0.7, 0.9, patients=12, photographs=1, method="leave_one_patient_out"
    )
    fuse(*tables, out=tmp_path / "out")
    weights = pd.read_csv(tmp_path / "out" / "weights.csv")
    assert weights["fold"].nunique() == 12
    table = read_predictions(tmp_path / "out" / "predictions.csv", unit="patient")
    assert (table["model"].value_counts() == 12).all()


def test_repeats_are_fused_each_on_their_own(tmp_path: Path):
    tables = two_branches(tmp_path, 0.7, 0.9, patients=12, photographs=1, n_folds=3, repeats=2)
    fuse(*tables, out=tmp_path / "out", method=("weighted",))
    weights = pd.read_csv(tmp_path / "out" / "weights.csv")
    assert len(weights.groupby(["level", "repeat", "fold"])) == 2 * 2 * 3


def test_sets_hold_the_reference_about_as_often_as_stated(tmp_path: Path):
    tables = two_branches(tmp_path, 0.9, 1.1, patients=150, photographs=1)
    fuse(*tables, out=tmp_path / "out")
    table = read_predictions(tmp_path / "out" / "predictions.csv", unit="patient")
    inside = (table["set_low"] <= table["hb_grade"]) & (table["hb_grade"] <= table["set_high"])
    coverage = inside.groupby(table["model"]).mean()
    assert coverage.between(0.85, 0.97).all(), coverage


def test_fusion_of_independent_branches_is_at_least_as_good_as_the_better(tmp_path: Path):
    tables = two_branches(tmp_path, 1.0, 1.0, patients=90, photographs=1)
    result = fuse(*tables, out=tmp_path / "out")
    found = result.levels[-1].differences
    errors = found[found["score"] == "mae"]
    assert (errors["difference"] < 0).all()
    assert (errors["high"] < 0.05).all()


def test_the_same_tables_give_the_same_bytes(tmp_path: Path):
    tables = two_branches(tmp_path, 0.7, 0.9, patients=12, photographs=1)
    for name in ("one", "two"):
        fuse(*tables, out=tmp_path / name, method=("stacking",))
    for file in ("predictions.csv", "weights.csv", "metrics.json", "report.html"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_early_fusion_says_what_it_needs(tmp_path: Path):
    tables = two_branches(tmp_path, 0.7, 0.9, patients=12)
    with pytest.raises(UserError, match="without the measurements"):
        fuse(*tables, out=tmp_path / "out", grader="svm")
    with pytest.raises(UserError, match=r'"model_0" is none|"" is none'):
        fuse(*tables, out=tmp_path / "out", features=tmp_path / "features.csv")
    with pytest.raises(UserError, match='exactly one prediction table whose branch is "deep"'):
        fuse(tables[0], tables[0], out=tmp_path / "out", features=tmp_path / "f.csv", grader="svm")
