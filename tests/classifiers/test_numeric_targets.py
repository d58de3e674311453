"""Graders that answer with a number: they learn it, hold out whole patients, and are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from classifiers.commands.benchmark import benchmark
from classifiers.commands.fit import fit
from classifiers.commands.recalibrate import recalibrate
from classifiers.graders.cohort import Samples, Study, read_cohort
from classifiers.graders.model_store import load_model
from classifiers.graders.new_patients import grade_tables, grades_schema
from classifiers.graders.patients import rows_to_answer
from classifiers.graders.registry import REGRESSORS, choose_graders, fit_grader
from classifiers.graders.validation import Plan, cross_validate
from classifiers.reports.grade import grade_report
from common.errors import UserError
from common.grading.calibration import learn_intervals
from common.grading.evaluation import BASELINES, evaluate_numbers
from common.grading.folds import make_folds, splits
from common.grading.numeric_target import NUMERIC
from common.grading.predictions import read_either_unit
from common.grading.target import TARGETS
from common.tables import read_table

from .conftest import MadeCohort, made_cohort, write_faces

pytestmark = pytest.mark.usefixtures("without_search")

SUNNYBROOK = NUMERIC["sunnybrook"]


def score_of(grade: pd.Series, *, noise: float = 4.0, seed: int = 0) -> pd.Series:
    """Made-up scores that fall with the grade."""
    rng = np.random.default_rng(seed)
    return (108 - 16 * grade + rng.normal(0, noise, len(grade))).clip(0, 100).round()


def samples_of(cohort: MadeCohort) -> Samples:
    score = cohort.rows["patient_id"].map(
        score_of(cohort.rows.drop_duplicates("patient_id").set_index("patient_id")["hb_grade"])
    )
    return Samples(
        rows=cohort.rows.assign(sunnybrook=score),
        features=cohort.features,
        labels=np.ones(len(score), dtype=np.int64),
        patients=cohort.rows["patient_id"].to_numpy(dtype=np.str_),
        scores=score.to_numpy(dtype=np.float64),
    )


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of 18 made-up patients with grades and scores; returns `features.csv`."""
    features = write_faces(tmp_path_factory.mktemp("scored"), patients_per_grade=3)
    manifest = pd.read_csv(features.with_name("manifest.csv"))
    of_patient = manifest.drop_duplicates("patient_id").set_index("patient_id")["hb_grade"]
    manifest["sunnybrook"] = manifest["patient_id"].map(score_of(of_patient))
    manifest.to_csv(features.with_name("manifest.csv"), index=False)
    return features


@pytest.fixture(scope="module")
def kept(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A ridge grader of patients that was fitted on them."""
    out = tmp_path_factory.mktemp("kept")
    made = fit(
        faces, out=out, manifest=faces.with_name("manifest.csv"), target="sunnybrook",
        grader="ridge", n_folds=2, jobs=1,
    )  # fmt: skip
    return SimpleNamespace(out=out, made=made, features=faces)


@pytest.mark.parametrize("name", list(REGRESSORS))
def test_a_grader_learns_scores_and_a_baseline_ignores_the_face(name: str) -> None:
    samples = samples_of(made_cohort(patients_per_grade=4, photographs=2))
    assert samples.scores is not None
    fitted = fit_grader(REGRESSORS[name], samples.features, samples, n_classes=0)
    answers = fitted.answers(samples.features)
    if name in BASELINES:
        of_patient = pd.Series(samples.scores).groupby(samples.patients).first()
        assert answers.tolist() == [getattr(of_patient, name)()] * len(answers)
    else:
        assert np.corrcoef(answers, samples.scores)[0, 1] > 0.9


def test_whole_patients_are_held_out_so_that_who_it_is_tells_nothing() -> None:
    cohort = made_cohort(
        patients_per_grade=4, photographs=4, grade_strength=0.0, patient_strength=4.0
    )
    samples = samples_of(cohort)
    parts = list(
        splits(make_folds(cohort.rows), samples.rows["image_id"], patients=samples.patients)
    )
    plan = Plan(samples, parts, SUNNYBROOK, ["random_forest"], "standard", 0)
    sound = evaluate_numbers(cross_validate(plan).predictions, target=SUNNYBROOK).estimates
    each = np.arange(len(samples.labels))
    leaking = [
        replace(part, train=each[each % 4 != 0], test=each[each % 4 == 0]) for part in parts[:1]
    ]
    leaky = cross_validate(replace(plan, parts=leaking)).predictions
    found = evaluate_numbers(leaky, target=SUNNYBROOK).estimates
    assert sound["random_forest"]["icc"].low <= 0.05
    assert found["random_forest"]["icc"].low > 0.6


def test_intervals_count_patients_and_not_their_rows() -> None:
    patients = np.array([f"p{at}" for at in range(19)])
    distance = np.arange(19.0)
    one = learn_intervals(distance, np.zeros(19), patients, target=SUNNYBROOK)
    assert one.reach == 17.0  # the 18th of 19: 90 % of 19 + 1
    again = np.repeat(np.arange(19), np.where(np.arange(19) == 0, 50, 1))
    many = learn_intervals(
        distance[again], np.zeros(len(again)), patients[again], target=SUNNYBROOK
    )
    assert many.reach == 17.0  # fifty easy rows of one patient make nobody surer
    few = learn_intervals(distance[:8], np.zeros(8), patients[:8], target=SUNNYBROOK)
    assert few.of(np.array([30.0]), target=SUNNYBROOK).tolist() == [[0.0, 100.0]]


def test_intervals_hold_a_new_patient_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(400):
        patient = np.repeat(np.arange(31), 3)
        off = 5 * rng.normal(size=31)[patient] + 3 * rng.normal(size=93)
        known = patient < 30
        made = learn_intervals(
            off[known], np.zeros(90), patient[known].astype(str), target=SUNNYBROOK
        )
        held.append((np.abs(off[~known]) <= made.reach).mean())
    assert 0.88 < np.mean(held) < 0.94


def test_benchmark_of_scores_uses_the_folds_of_grades(faces: Path, tmp_path: Path) -> None:
    manifest = faces.with_name("manifest.csv")
    found = benchmark(
        faces, out=tmp_path, manifest=manifest, target="sunnybrook", level="patient",
        graders=("ridge",), n_folds=2, jobs=1,
    )  # fmt: skip
    graded = read_cohort(faces, target=TARGETS["six_grades"], manifest=manifest)
    pd.testing.assert_frame_equal(found.folds, make_folds(graded.labelled, n_folds=2))
    table, unit = read_either_unit(tmp_path / "predictions.csv", target=SUNNYBROOK)
    assert unit == "patient"
    assert set(table["model"]) == {"ridge", *BASELINES}
    assert (table["low"] <= table["predicted"]).all() and (table["high"] <= 100).all()
    *_, patients = found.evaluations
    assert patients.estimates["ridge"]["icc"].value > 0.8
    assert patients.estimates["ridge"]["mae"].high < patients.estimates["median"]["mae"].low
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["range"] == [0.0, 100.0]
    assert {"covered", "limit_low", "spearman"} <= set(metrics["per_patient"]["models"]["ridge"])
    page = (tmp_path / "report.html").read_text()
    for said in ("Always the median", "Can the intervals be believed?", "true score"):
        assert said in page


def test_visits_keep_their_score_and_the_patient_stays_in_one_fold(
    faces: Path, tmp_path: Path
) -> None:
    """Every second patient is taken for a second visit of the one before."""
    manifest = pd.read_csv(faces.with_name("manifest.csv"))
    number = manifest["patient_id"].str[-2:].astype(int)
    manifest["visit"] = number % 2 + 1
    manifest["patient_id"] = [f"twice{at // 2:02d}" for at in number]
    path = tmp_path / "manifest.csv"
    manifest.to_csv(path, index=False)
    found = benchmark(
        faces, out=tmp_path / "out", manifest=path, target="sunnybrook", level="patient",
        graders=("ridge",), n_folds=2, jobs=1,
    )  # fmt: skip
    own = found.predictions[found.predictions["model"] == "ridge"]
    assert len(own) == 18 and own["patient_id"].nunique() == 9
    assert (own.groupby("patient_id")["fold"].nunique() == 1).all()
    truth = manifest.drop_duplicates(["patient_id", "visit"]).set_index(["patient_id", "visit"])
    for row in own.itertuples():
        assert row.sunnybrook == truth.loc[(row.patient_id, int(row.visit)), "sunnybrook"]
    with pytest.raises(UserError, match='Patient "twice00" has photographs of different scores'):
        benchmark(
            faces, out=tmp_path / "no", target="sunnybrook", level="patient", jobs=1,
            manifest=_without(manifest, "visit", tmp_path),
        )  # fmt: skip


def _without(manifest: pd.DataFrame, column: str, folder: Path) -> Path:
    path = folder / "other.csv"
    manifest.drop(columns=[column, "hb_grade"]).to_csv(path, index=False)
    return path


def test_which_end_is_healthy_is_found_where_nobody_said_it(faces: Path, tmp_path: Path) -> None:
    manifest = pd.read_csv(faces.with_name("manifest.csv"))
    manifest = manifest.assign(good=manifest["sunnybrook"], bad=100 - manifest["sunnybrook"])
    path = tmp_path / "manifest.csv"
    manifest.to_csv(path, index=False)
    severity = {}
    for name in ("good", "bad"):
        target = Study(faces, path).question(name)
        assert target.healthy is None
        cohort = read_cohort(faces, target=target, manifest=path)
        samples = rows_to_answer(cohort, level="patient", target=target)
        parts = list(splits(
            make_folds(cohort.labelled.assign(image_id=cohort.labelled["patient_id"])
                       .drop_duplicates("image_id"), n_folds=2),
            samples.rows["patient_id"], patients=samples.patients,
        ))  # fmt: skip
        plan = Plan(samples, parts, target, ["ridge"], "standard", 0, unit="patient")
        answers = cross_validate(plan).predictions
        severity[name] = answers.loc[answers["model"] == "ridge", "predicted"].to_numpy()
    np.testing.assert_allclose(severity["good"] + severity["bad"], 100.0, atol=1e-6)


@pytest.mark.parametrize("name", list(REGRESSORS))
def test_every_grader_of_scores_is_kept_without_pickle(
    name: str, kept: SimpleNamespace, tmp_path: Path
) -> None:
    from classifiers.graders.model_store import save_model
    from classifiers.graders.nested import fit_nested

    samples = samples_of(made_cohort(patients_per_grade=2, photographs=1))
    fitted = fit_nested(replace(REGRESSORS[name], search={}), samples, target=SUNNYBROOK)
    save_model(tmp_path / "model", grader=fitted, card=kept.made.card)
    again = load_model(tmp_path / "model").grader
    np.testing.assert_array_equal(again.answers(samples), fitted.answers(samples))


def test_a_kept_grader_answers_with_score_interval_and_card(
    kept: SimpleNamespace, tmp_path: Path
) -> None:
    model = load_model(kept.out / "model")
    assert model.card.question == SUNNYBROOK
    card = (kept.out / "model" / "CARD.md").read_text()
    assert "Always the median" in card and "Intervals that are meant to hold" in card
    manifest = kept.features.with_name("manifest.csv")
    grades = grade_tables(model, features=kept.features, manifest=manifest)
    schema = grades_schema(SUNNYBROOK)
    grades.table.to_csv(tmp_path / "grades.csv", index=False)
    table = read_table(tmp_path / "grades.csv", schema=schema)
    assert (table["status"] == "ok").all()
    assert ((table["low"] < table["predicted"]) & (table["predicted"] < table["high"])).all()
    assert "Interval (90 %)" in grades.answers["patient05"].summary[0]
    assert (
        grades.truth["patient05"]
        == pd.read_csv(manifest).set_index("patient_id").loc["patient05", "sunnybrook"].iloc[0]
    )
    page = grade_report(grades, model=model, found_by="").html()
    assert "How far are the answers from the scores in the tables?" in page


def test_what_takes_classes_only_refuses_a_number(kept: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="recalibrate works on classes, and sunnybrook is a number"):
        recalibrate(kept.out / "model", kept.features, out=tmp_path)
    with pytest.raises(UserError, match="--hold-out-by works on classes"):
        benchmark(
            kept.features, out=tmp_path, manifest=kept.features.with_name("manifest.csv"),
            target="sunnybrook", hold_out_by="dataset",
        )  # fmt: skip
    with pytest.raises(UserError, match=r"answers with classes.: choose from ridge"):
        choose_graders(["frank_hall"], target=SUNNYBROOK)
    with pytest.raises(UserError, match="it answers with numbers"):
        choose_graders(["gaussian_process"])
