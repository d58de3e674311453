"""The command `benchmark` from table to report."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest

from classifiers.commands.benchmark import benchmark
from classifiers.graders.registry import USUAL
from common.errors import UserError
from common.grading.fold_notes import fold_confusions_schema
from common.grading.folds import read_folds, write_folds
from common.grading.predictions import read_predictions
from common.grading.target import target_named
from common.tables import read_table
from common.words import unbroken

from .conftest import MadeCohort, made_cohort

TABLES = ("folds.csv", "predictions.csv", "metrics.json", "report.html")


def test_every_file_is_written_and_fits_together(feature_table, tmp_path, capsys):
    cohort = made_cohort(patients_per_grade=5, photographs=2)
    out = tmp_path / "out"
    found = benchmark(feature_table(cohort), out=out, n_folds=3, repeats=2, jobs=1)
    assert found.exit_code == 0
    assert found.problems == []

    predictions = read_predictions(out / "predictions.csv")
    folds = read_folds(out / "folds.csv")
    assert set(predictions["model"]) == set(USUAL)
    assert list(predictions.columns) == [
        "image_id", "patient_id", "hb_grade", "predicted", "p_1", "p_2", "p_3", "p_4", "p_5",
        "p_6", "repeat", "fold", "model", "branch",
    ]  # fmt: skip
    assert len(predictions) == len(USUAL) * len(folds)
    for _, rows in predictions.groupby("model"):
        tested = rows[["image_id", "patient_id", "repeat", "fold"]].reset_index(drop=True)
        pd.testing.assert_frame_equal(tested, folds, check_dtype=False)
    chances = predictions[[f"p_{grade}" for grade in range(1, 7)]].to_numpy()
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)
    median = (chances.cumsum(axis=1) < 0.5 - 1e-12).sum(axis=1) + 1
    assert (median == predictions["predicted"]).all()

    metrics = json.loads((out / "metrics.json").read_text())
    photographs = metrics["per_photograph"]
    assert (photographs["n"], photographs["n_patients"]) == (60, 30)
    assert metrics["per_patient"]["n"] == 30
    for scores in photographs["models"].values():
        recall = scores.pop("recall")
        assert sum(one["right"] for one in recall.values()) / 60 == pytest.approx(
            scores["accuracy"]["value"], abs=1e-6
        )
        for score in scores.values():
            if score["value"] is not None and score != scores["calibration_error"]:
                assert score["low"] <= score["value"] <= score["high"]
        assert scores["accuracy"]["majority_baseline"] == pytest.approx(1 / 6, abs=1e-6)
    svm = photographs["models"]["svm"]["accuracy"]
    right = predictions[predictions["model"] == "svm"].eval("hb_grade == predicted").mean()
    assert svm["value"] == pytest.approx(right, abs=1e-6)

    by_fold = read_table(
        out / "fold_confusions.csv", schema=fold_confusions_schema(target_named("six_grades"))
    )
    assert by_fold["fold"].nunique() * by_fold["repeat"].nunique() == 6
    ours = by_fold.query("model == 'svm' and unit == 'photograph' and repeat == 2 and fold == 3")
    rows = predictions.query("model == 'svm' and repeat == 2 and fold == 3")
    asked, answered = rows["hb_grade"].astype(int), rows["predicted"].astype(int)
    for grade in range(1, 7):
        counts = ours[ours["reference"] == str(grade)].iloc[0]
        for answer in range(1, 7):
            seen = int(((asked == grade) & (answered == answer)).sum())
            assert counts[f"answered_{answer}"] == seen

    run = json.loads((out / "run.json").read_text())
    assert run["command"] == "benchmark"
    assert run["counts"] == {
        "photographs": 60, "usable": 60,
        "photographs_with_points": 60, "photographs_corrected": 0, "points_corrected": 0,
    }  # fmt: skip
    assert (out / "confusion_svm_per_patient.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "SVM (RBF)" in printed
    assert f"{svm['value']:.2f}" in printed


def test_in_a_balanced_cohort_the_baseline_is_right_once_in_six(feature_table, tmp_path):
    """Held-out patients make their own class rarer; the rarest of all would always be wrong."""
    found = benchmark(
        feature_table(made_cohort(patients_per_grade=2)),
        out=tmp_path,
        graders=("logistic",),
        jobs=1,
    )
    for evaluation in found.evaluations:
        assert evaluation.estimates["majority"]["accuracy"].value == pytest.approx(1 / 6)


def test_the_report_needs_nothing_from_outside_and_says_research_use_once(feature_table, tmp_path):
    benchmark(feature_table(made_cohort()), out=tmp_path, graders=("svm",), jobs=1)
    page = (tmp_path / "report.html").read_text()
    for outside in ("http://", "https://", "<script", 'src="/', "@import", "url("):
        assert outside not in page
    assert page.count("does not diagnose") == 1
    assert page.index('class="warnings"') < page.index("<section")


def test_the_same_seed_gives_the_same_bytes_for_any_number_of_jobs(feature_table, tmp_path):
    table = feature_table(made_cohort(patients_per_grade=3, photographs=2))
    drawing_lots = ("svm", "xgboost", "mlp", "random_forest")
    for out, workers in (("first", 1), ("again", 2)):
        benchmark(table, out=tmp_path / out, graders=drawing_lots, n_folds=2, jobs=workers, seed=3)
    for name in TABLES:
        first, again = (tmp_path / out / name for out in ("first", "again"))
        assert first.read_bytes() == again.read_bytes(), name


def test_photographs_that_cannot_be_used_are_left_out_and_stated(feature_table, tmp_path):
    cohort = made_cohort()
    rows, values = cohort.rows.copy(), cohort.features.copy()
    rows.loc[0:2, "status"] = "no_face"
    rows["hb_grade"] = rows["hb_grade"].astype("Int64")
    rows.loc[10, "hb_grade"] = pd.NA
    rows.loc[20, "patient_id"] = None
    values.loc[[0, 1, 2, 30]] = np.nan
    found = benchmark(
        feature_table(MadeCohort(rows, values)), out=tmp_path, graders=("svm",), jobs=1
    )
    assert len(found.predictions.query("model == 'svm'")) == 96 - 6
    assert len(found.folds) == 96 - 2  # failed photographs keep their place in the folds
    page = (tmp_path / "report.html").read_text()
    for words in (
        "6 of 96 photographs were left out",
        "3 × status no_face",
        "1 × no patient_id",
        "1 × no usable hb_grade",
        "1 × all features are missing",
    ):
        assert words in page
    counts = json.loads((tmp_path / "run.json").read_text())["counts"]
    assert counts["usable"] + sum(n for name, n in counts.items() if "left out" in name) == 96


def test_the_manifest_brings_grades_and_wins_over_joined_ones(feature_table, tmp_path):
    cohort = made_cohort()
    wrong = MadeCohort(cohort.rows.assign(hb_grade=1), cohort.features)
    manifest = tmp_path / "manifest.csv"
    cohort.rows.assign(path=cohort.rows["image_id"]).drop(columns="status").to_csv(
        manifest, index=False
    )
    given = benchmark(
        feature_table(wrong), out=tmp_path / "a", manifest=manifest, graders=("svm",), jobs=1
    )
    joined = benchmark(feature_table(cohort), out=tmp_path / "b", graders=("svm",), jobs=1)
    pd.testing.assert_frame_equal(given.predictions, joined.predictions)


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        ("six_grades", ["1", "2", "3", "4", "5", "6"]),
        ("healthy_palsy", ["healthy", "palsy"]),
        ("three_classes", ["healthy", "slight", "strong"]),
    ],
)
def test_other_questions(feature_table, tmp_path, target, classes):
    found = benchmark(
        feature_table(made_cohort()), out=tmp_path, target=target, graders=("svm",), jobs=1
    )
    read = read_predictions(tmp_path / "predictions.csv", target=target)
    assert [name for name in read.columns if name.startswith("p_")] == [f"p_{c}" for c in classes]
    assert set(read["predicted"].astype(str)) <= set(classes)
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    for evaluation in found.evaluations:  # photographs and patients are decided alike
        assert report.count(f"The answer is {evaluation.target.rule}.") == 2
        assert unbroken(evaluation.recall_of("svm")) in report
    assert found.evaluations[0].estimates["svm"]["balanced_accuracy"].low > 1 / len(classes)


def test_folds_made_before_are_used_as_they_are(feature_table, tmp_path, capsys):
    cohort = made_cohort()
    table = feature_table(cohort)
    first = benchmark(table, out=tmp_path / "a", graders=("svm",), seed=1, jobs=1)
    again = benchmark(
        table,
        out=tmp_path / "b",
        graders=("svm",),
        seed=1,
        jobs=1,
        fold_table=tmp_path / "a" / "folds.csv",
    )
    pd.testing.assert_frame_equal(first.predictions, again.predictions)
    split = first.folds.copy()
    split.loc[0, "fold"] = split["fold"].iat[0] % 5 + 1
    write_folds(split, tmp_path / "split.csv")
    with pytest.raises(UserError, match="partly tested"):
        benchmark(table, out=tmp_path / "c", fold_table=tmp_path / "split.csv", jobs=1)

    write_folds(first.folds.iloc[1:], tmp_path / "partial.csv")
    partial = {"fold_table": tmp_path / "partial.csv", "graders": ("logistic",), "jobs": 1}
    benchmark(table, out=tmp_path / "d", **partial)
    metrics = json.loads((tmp_path / "d" / "metrics.json").read_text())
    assert metrics["missing_in_the_table_of_folds"] == 1
    sentence = "1 of 96 usable photographs are not in the table of folds"
    assert sentence in (tmp_path / "d" / "report.html").read_text()
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_one_grade_missing_from_training_is_a_warning_and_not_an_end(feature_table, tmp_path):
    cohort = made_cohort()
    one_patient_of_six = ~cohort.rows["patient_id"].isin(["p20", "p21", "p22"]).to_numpy()
    few = MadeCohort(
        cohort.rows[one_patient_of_six].reset_index(drop=True),
        cohort.features[one_patient_of_six].reset_index(drop=True),
    )
    found = benchmark(feature_table(few), out=tmp_path, n_folds=2, jobs=1)
    assert found.exit_code == 0
    assert any("without a single example of 6" in sentence for sentence in found.problems)
    rows = found.predictions.query("hb_grade == 6 and model == 'xgboost'")
    assert (rows["p_6"] == 0).all()


def test_a_grader_that_fails_is_stated_and_the_others_go_on(feature_table, tmp_path, monkeypatch):
    from classifiers.graders.estimators import XGBoostGrader

    def fails(self, *args):
        raise ValueError("planted")

    monkeypatch.setattr(XGBoostGrader, "_learn", fails)
    found = benchmark(
        feature_table(made_cohort()), out=tmp_path, graders=("svm", "xgboost"), jobs=1
    )
    assert found.exit_code == 3
    assert any("xgboost, 5 of 5 fits: failed: ValueError: planted" in p for p in found.problems)
    assert set(found.predictions["model"]) == {"svm", "majority"}


def test_no_better_than_guessing_is_said_first(feature_table, tmp_path):
    chance = made_cohort(grade_strength=0.0, patient_strength=4.0)
    benchmark(feature_table(chance), out=tmp_path, graders=("svm",), jobs=1)
    assert "no grader is clearly better than guessing" in (tmp_path / "report.html").read_text()


def one_patient(cohort: MadeCohort) -> MadeCohort:
    rows = cohort.rows[cohort.rows["hb_grade"] == 1].assign(patient_id="alone")
    return MadeCohort(rows, cohort.features.loc[rows.index])


def no_grades(cohort: MadeCohort) -> MadeCohort:
    return MadeCohort(cohort.rows.assign(hb_grade=None), cohort.features)


def all_failed(cohort: MadeCohort) -> MadeCohort:
    return MadeCohort(cohort.rows.assign(status="no_face"), cohort.features * np.nan)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (one_patient, r"are of one class, 1 .* nothing to tell apart"),
        (no_grades, "no usable hb_grade"),
        (all_failed, "status no_face"),
    ],
)
def test_what_cannot_be_benchmarked_is_one_sentence(feature_table, tmp_path, change, words):
    with pytest.raises(UserError, match=words) as caught:
        benchmark(feature_table(change(made_cohort())), out=tmp_path / "out", jobs=1)
    assert str(caught.value).count("\n") == 0
    assert not (tmp_path / "out").exists()


def test_a_table_without_patients_or_features_is_refused(feature_table, tmp_path):
    path = feature_table(made_cohort())
    table = pd.read_csv(path)
    table.drop(columns="patient_id").to_csv(path, index=False)
    with pytest.raises(UserError, match=r'no column "patient_id".*--manifest'):
        benchmark(path, out=tmp_path / "out")
    table.drop(columns="f3").to_csv(path, index=False)
    with pytest.raises(UserError, match='no column "f3"'):
        benchmark(path, out=tmp_path / "out")


def test_a_redacted_report_leaves_problems_that_name_a_patient_to_the_console(
    feature_table, tmp_path, monkeypatch, capsys
):
    told = ['Patient "p00" is in no fold.', "Fold 1.1 has few patients."]
    validation = sys.modules["classifiers.graders.validation"]
    monkeypatch.setattr(validation, "fold_problems", lambda *_, **__: list(told))
    table = feature_table(made_cohort(patients_per_grade=2))
    for redact in (False, True):
        benchmark(table, out=tmp_path, graders=("majority",), n_folds=2, redact=redact, jobs=1)
        page = (tmp_path / "report.html").read_text()
        assert ("is in no fold" in page) != redact
        assert "Fold 1.1 has few patients." in page
        assert told[0] in capsys.readouterr().err
    assert "told where the report was made" in page
