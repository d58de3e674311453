"""Patients with several visits and a grade at each: an answer for each visit, whole patients."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from classifiers.branches.alignment import shared_levels
from classifiers.branches.branch import Branch
from classifiers.commands.benchmark import benchmark
from classifiers.commands.fit import fit
from classifiers.graders.model_store import load_model
from classifiers.graders.new_patients import grade_tables
from classifiers.reports.grade import grade_report
from common.errors import UserError
from common.grading.evaluation import evaluate
from common.grading.folds import make_folds, write_folds
from common.grading.predictions import to_patients
from common.grading.target import TARGETS
from tests.classifiers.conftest import MOVEMENTS, write_faces

GRADES = TARGETS["six_grades"]
WHOSE = ["patient_id", "visit"]


@pytest.fixture(scope="module")
def twice(tmp_path_factory) -> SimpleNamespace:
    """Six patients; every second one of the made-up faces is another visit of the one before."""
    features = write_faces(tmp_path_factory.mktemp("faces"), patients_per_grade=2)
    known = pd.read_csv(features.with_name("manifest.csv"))
    number = known["patient_id"].str[-2:].astype(int)
    known["patient_id"] = [f"twice{at // 2:02d}" for at in number]
    known["visit"] = number % 2 + 1
    manifest = features.with_name("visits.csv")
    known.to_csv(manifest, index=False)
    truth = known.drop_duplicates(WHOSE).astype({"visit": str}).set_index(WHOSE)["hb_grade"]
    assert (truth.groupby("patient_id").nunique() == 2).all()
    return SimpleNamespace(features=features, manifest=manifest, known=known, truth=truth)


@pytest.mark.parametrize(("level", "grader"), [("patient", "logistic"), ("photograph", "majority")])
def test_every_visit_is_answered_and_the_patient_stays_in_one_fold(twice, tmp_path, level, grader):
    found = benchmark(
        twice.features, out=tmp_path, manifest=twice.manifest, level=level, graders=(grader,),
        n_folds=2, jobs=1,
    )  # fmt: skip
    scored = found.evaluations[-1]
    own = scored.predictions[scored.predictions["model"] == grader]
    assert scored.unit == "patient" and not own.duplicated(WHOSE).any()
    pd.testing.assert_series_equal(
        own.set_index(WHOSE)["hb_grade"].astype(int).sort_index(), twice.truth, check_dtype=False
    )
    assert (own.groupby("patient_id")["fold"].nunique() == 1).all()
    said = scored.as_json()
    assert (said["n"], said["n_patients"]) == (12, 6)
    if level == "patient":
        assert "reference 1: III, 2: IV" in (tmp_path / "report.html").read_text(encoding="utf-8")
    written = pd.read_csv(tmp_path / "predictions.csv")
    assert set(written["visit"]) == {1, 2}
    confusion = scored.confusions[grader]  # whole patients are resampled, a row for each
    assert len(confusion.patients) == 6
    assert (confusion.counts.sum(axis=(1, 2)) == 2).all()


def test_a_visit_of_a_tested_patient_is_never_learned_from(twice, tmp_path):
    folds = make_folds(twice.known, n_folds=2)
    moved = twice.known.loc[twice.known["visit"] == 2, "image_id"].iloc[: len(MOVEMENTS)]
    leak = folds["image_id"].isin(moved)
    write_folds(folds.assign(fold=folds["fold"].mask(leak, 3 - folds["fold"])), tmp_path / "f.csv")
    with pytest.raises(UserError, match='"twice00" is only partly tested'):
        benchmark(
            twice.features, out=tmp_path / "out", manifest=twice.manifest, level="patient",
            graders=("logistic",), fold_table=tmp_path / "f.csv", jobs=1,
        )  # fmt: skip


def test_without_visits_nothing_is_other_and_two_grades_are_refused(twice, tmp_path):
    """An empty column tells nothing apart: the very bytes of a manifest without it."""
    for name in ("none", "empty"):
        known = pd.read_csv(twice.features.with_name("manifest.csv"))
        known = known.assign(visit=np.nan) if name == "empty" else known
        known.to_csv(tmp_path / f"{name}.csv", index=False)
        benchmark(
            twice.features, out=tmp_path / name, manifest=tmp_path / f"{name}.csv",
            level="patient", graders=("majority",), n_folds=2, jobs=1,
        )  # fmt: skip
    one, other = ((tmp_path / name / "predictions.csv").read_bytes() for name in ("none", "empty"))
    assert one == other and b"visit" not in one
    twice.known.drop(columns="visit").to_csv(tmp_path / "lost.csv", index=False)
    with pytest.raises(UserError, match=r'photographs of different grades .* column "visit"'):
        benchmark(twice.features, out=tmp_path / "out", manifest=tmp_path / "lost.csv", jobs=1)


def test_grade_answers_every_visit(twice, tmp_path):
    made = fit(
        twice.features, out=tmp_path, manifest=twice.manifest, level="patient", grader="logistic",
        n_folds=2, jobs=1,
    )  # fmt: skip
    model = load_model(made.model)
    grades = grade_tables(model, features=twice.features, manifest=twice.manifest)
    assert list(map(tuple, grades.table[WHOSE].to_numpy())) == sorted(twice.truth.index)
    chances = grades.table[list(GRADES.probability_columns)].to_numpy(dtype=np.float64)
    first, second = (chances @ np.arange(1, 7)).reshape(6, 2).T
    assert (second > first).all()  # every second visit is one grade worse
    page = grade_report(grades, model=model, found_by="By manifest.").html()
    assert "The tables tell the grade of 12 visits with an answer" in page
    assert "Visit 2. Answer: " in page


def rows(visits: bool, *, unit: str = "photograph") -> pd.DataFrame:
    """Answers to two patients with two visits each, a photograph each; grades as certain."""
    table = pd.DataFrame({"patient_id": list("aabb"), "hb_grade": [2, 4, 3, 3]})
    if unit == "photograph":
        table.insert(0, "image_id", ["a1", "a2", "b1", "b2"])
    if visits:
        table["visit"] = ["1", "2", "1", "2"]
    chances = np.eye(6)[table["hb_grade"] - 1]
    table[list(GRADES.probability_columns)] = chances
    return table.assign(
        predicted=table["hb_grade"], repeat=1, fold=[1, 1, 2, 2], model="m", branch="geometric"
    )


def branch(name: str, table: pd.DataFrame, *, unit: str = "photograph") -> Branch:
    return Branch(name, "geometric", "m", unit, table, Path(f"{name}.csv"))


def test_photographs_are_summed_up_to_visits_and_scored_by_patient():
    patients = to_patients(rows(visits=True), target=GRADES)
    assert list(patients["hb_grade"]) == [2, 4, 3, 3] == list(patients["predicted"])
    assert evaluate(patients, target=GRADES, unit="patient").as_json()["n"] == 4
    with pytest.raises(UserError, match="hb_grade 2 and 4"):
        to_patients(rows(visits=False), target=GRADES)


def test_tables_that_tell_visits_are_compared_with_their_like():
    two = [branch("x", rows(visits=True)), branch("y", rows(visits=True))]
    photographs, patients = shared_levels(two, target=GRADES)
    assert list(patients.rows["visit"]) == ["1", "2", "1", "2"] == list(photographs.rows["visit"])
    plain = branch("y", rows(visits=False).iloc[2:].reset_index(drop=True))
    told = rows(visits=True).iloc[2:].reset_index(drop=True)
    assert len(shared_levels([branch("x", told), plain], target=GRADES)[-1].rows) == 1
    by_visit = branch("x", told.drop(columns="image_id"), unit="patient")
    with pytest.raises(UserError, match=r"x\.csv answers every visit and y\.csv every patient"):
        shared_levels([by_visit, plain], target=GRADES)
