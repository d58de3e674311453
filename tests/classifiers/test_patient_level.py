"""Grading whole patients: from landmark tables to answers, chosen and calibrated inside."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from classifiers.commands.benchmark import BenchmarkResult, benchmark
from classifiers.commands.explore import explore, profile
from classifiers.commands.fit import fit
from classifiers.graders.cohort import Samples, Study, read_cohort
from classifiers.graders.nested import InnerFolds, fit_nested, share_seen
from classifiers.graders.patients import rows_to_answer
from classifiers.graders.registry import GRADERS
from classifiers.graders.validation import Plan, cross_validate
from classifiers.reports.patient_pictures import read_material
from common.errors import UserError
from common.grading.folds import folds_of_patients, make_folds, splits
from common.grading.predictions import read_predictions
from common.grading.target import MAJORITY, TARGETS, median_class
from features.commands.features import features

from .conftest import MOVEMENTS, MadeCohort, made_cohort, write_faces

SIX = TARGETS["six_grades"]
QUICK = ("logistic", "ordinal_logistic")


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    return write_faces(tmp_path_factory.mktemp("faces"), patients_per_grade=6)


@pytest.fixture(scope="module")
def patients(faces) -> Samples:
    cohort = read_cohort(faces, target=SIX)
    return rows_to_answer(cohort, level="patient", target=SIX)


@pytest.fixture(scope="module")
def tested(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[BenchmarkResult, Path]:
    """The whole benchmark of these patients, and its folder."""
    out = tmp_path_factory.mktemp("tested")
    return benchmark(faces, out=out, level="patient", graders=QUICK, n_folds=3, jobs=1), out


def plan_of(samples: Samples, *, graders=QUICK, n_folds: int = 3) -> Plan:
    rows = samples.rows.assign(image_id=samples.rows["patient_id"])
    folds = make_folds(rows, n_folds=n_folds)
    own = folds_of_patients(folds)
    parts = list(splits(own, samples.rows["patient_id"], patients=samples.patients))
    return Plan(samples, parts, "six_grades", list(graders), "standard", 0, unit="patient")


def test_one_row_per_patient_with_all_movements(patients):
    assert len(patients.rows) == 36
    assert (patients.rows["photographs"] == len(MOVEMENTS)).all()
    assert (patients.rows["movements"] == len(MOVEMENTS)).all()
    assert patients.rows["hb_grade"].tolist() == patients.labels.tolist()
    assert set(patients.sides) == {-1.0, 0.0, 1.0}
    assert ((patients.sides == 0) == (patients.labels == 1)).all()
    assert (share_seen(patients) == 1).all()


def test_summaries_are_those_of_the_photographs(faces, patients):
    table = pd.read_csv(faces)
    own = table[table["patient_id"] == patients.rows["patient_id"].iat[4]]
    assert patients.features["mean.f14"].iat[4] == pytest.approx(own["f14"].mean())
    assert patients.features["worst.f14"].iat[4] == pytest.approx(own["f14"].max())


def test_patients_are_graded_without_being_seen(patients, tested):
    found = tested[0].predictions
    for grader in QUICK:
        own = found[found["model"] == grader]
        assert sorted(own["patient_id"]) == sorted(patients.patients)
        assert np.abs(own["predicted"] - own["hb_grade"]).mean() < 0.6


def test_shuffled_grades_are_at_chance(patients):
    order = np.random.default_rng(0).permutation(len(patients.labels))
    grades = patients.labels[order]
    shuffled = Samples(
        rows=patients.rows.assign(hb_grade=grades),
        features=patients.features,
        labels=grades,
        patients=patients.patients,
        grades=grades,
        sides=patients.sides,
    )
    found = cross_validate(plan_of(shuffled, n_folds=4)).predictions
    for grader in QUICK:
        own = found[found["model"] == grader]
        assert np.abs(np.corrcoef(own["predicted"], own["hb_grade"])[0, 1]) < 0.4


def with_labels(samples: Samples, rows: np.ndarray, labels: np.ndarray) -> Samples:
    changed = samples.labels.copy()
    changed[rows] = labels
    table = samples.rows.assign(hb_grade=changed)
    return Samples(table, samples.features, changed, samples.patients, changed, samples.sides)


@pytest.mark.parametrize("grader", [*QUICK, MAJORITY])
def test_grades_of_tested_patients_choose_nothing(patients, grader):
    """Hyperparameters, columns, calibration and sets must not depend on the tested patients."""
    test = plan_of(patients).parts[0].test
    turned = with_labels(patients, test, 7 - patients.labels[test])
    for made in (patients, turned):
        plan = Plan(
            made, plan_of(patients).parts[:1], "six_grades", [grader], "standard", 0, unit="patient"
        )
        found = cross_validate(plan).predictions.drop(columns="hb_grade")
        if made is patients:
            before = found
    pd.testing.assert_frame_equal(before, found)


def test_choosing_on_the_tested_patients_would_be_noticed():
    """A search over guesses that looks at the tested patients does not stay at chance.

    This is the leak that the two tests above exclude: with grades that mean nothing, the best of
    many guesses on the tested patients looks like skill, and the best on others does not.
    """
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 6 + 1
    tested = np.arange(60) < 12
    chosen_on_tested, chosen_on_others = [], []
    for _ in range(40):
        guesses = rng.integers(1, 7, size=(50, 60))
        right = guesses == truth
        for rows, found in ((tested, chosen_on_tested), (~tested, chosen_on_others)):
            best = right[:, rows].mean(axis=1).argmax()
            found.append(right[best, tested].mean())
    assert np.mean(chosen_on_others) == pytest.approx(1 / 6, abs=0.05)
    assert np.mean(chosen_on_tested) > 2 / 6


def test_missing_movements_leave_an_answer_that_is_less_sure(patients):
    part = plan_of(patients).parts[0]
    fitted = fit_nested(GRADERS["ordinal_logistic"], patients.at(part.train), target=SIX)
    tested = patients.at(part.test)
    features = tested.features.copy()
    gone = [name for name in features if ".brow_raise." in name or ".lip_pucker." in name]
    features[gone] = np.nan
    partly = Samples(
        tested.rows, features, tested.labels, tested.patients, tested.grades, tested.sides
    )
    whole, few = fitted.answers(tested), fitted.answers(partly)
    np.testing.assert_allclose(few.sum(axis=1), 1.0)
    assert np.abs(median_class(few) + 1 - tested.labels).mean() < 1.2

    def entropy(chances: np.ndarray) -> float:
        return float(-(chances * np.log(np.maximum(chances, 1e-12))).sum(axis=1).mean())

    assert entropy(few) > entropy(whole)


def test_the_inner_folds_hold_whole_patients(patients):
    twice = Samples(
        pd.concat([patients.rows] * 2, ignore_index=True),
        pd.concat([patients.features] * 2, ignore_index=True),
        np.tile(patients.labels, 2),
        np.tile(patients.patients, 2),
        np.tile(patients.grades, 2),
        np.tile(patients.sides, 2),
    )
    for split in InnerFolds(twice, target=SIX).splits:
        assert not set(split.train.patients) & set(twice.patients[split.test])


def test_few_patients_are_graded_without_a_search(patients):
    few = patients.at(np.arange(6))
    fitted = fit_nested(GRADERS["logistic"], few, target=SIX)
    assert fitted.ranges is None
    assert fitted.temperature == 1.0
    assert fitted.answers(patients).shape == (36, 6)


def test_the_whole_benchmark_of_patients(tested):
    found, out = tested
    assert found.exit_code == 0
    assert [evaluation.unit for evaluation in found.evaluations] == ["patient"]
    read = read_predictions(out / "predictions.csv", unit="patient")
    assert list(read.columns[:3]) == ["patient_id", "hb_grade", "predicted"]
    sets = read.dropna(subset=["set_low"])
    assert ((sets["set_low"] <= sets["predicted"]) & (sets["predicted"] <= sets["set_high"])).all()
    assert set(sets["model"]) == set(QUICK)
    page = (out / "report.html").read_text()
    for words in (
        "What was chosen on inner folds", "Ranges hold it", "Kanerva et al. 2006",
        "Is one grader better than another", "Macro error",
    ):  # fmt: skip
        assert words in page
    assert found.evaluations[0].estimates["ordinal_logistic"]["weighted_kappa"].value > 0.8


def test_the_side_is_found_and_healthy_patients_are_not_asked(faces, tmp_path):
    found = benchmark(
        faces, out=tmp_path, level="patient", target="affected_side", graders=("logistic",),
        n_folds=2, jobs=1,
    )  # fmt: skip
    own = found.predictions.query("model == 'logistic'")
    assert len(own) == 30  # without the six healthy patients
    strong = own[own["hb_grade"] >= 3]
    assert (strong["predicted"] == strong["side"]).mean() > 0.97
    assert "III to VI" in (tmp_path / "report.html").read_text()


def test_side_needs_whole_patients(faces, tmp_path):
    with pytest.raises(UserError, match="--level patient"):
        benchmark(faces, out=tmp_path, target="affected_side", jobs=1)


def change_task(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="task")


def change_grade(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[0, "hb_grade"] = 5
    return table


TWO_GRADES = 'Patient "patient00" has photographs of different grades .hb_grade 1 and 5.'


@pytest.mark.parametrize(
    ("change", "words"), [(change_task, 'column "task"'), (change_grade, TWO_GRADES)]
)
def test_what_patients_lack_is_one_sentence(tmp_path, change, words):
    path = write_faces(tmp_path / "faces", patients_per_grade=2)
    change(pd.read_csv(path)).to_csv(path, index=False)
    with pytest.raises(UserError, match=words):
        benchmark(path, out=tmp_path / "out", level="patient", n_folds=2, jobs=1)


@pytest.mark.parametrize("command", [explore, partial(benchmark, jobs=1), partial(fit, jobs=1)])
def test_two_grades_of_one_patient_and_one_class_alone_are_refused(
    feature_table, tmp_path, command
):
    """Every answer is one per patient; where nothing differs nothing can be told apart."""
    cohort = made_cohort(patients_per_grade=1)
    rows = cohort.rows.copy()
    rows.loc[0, "hb_grade"] = 5
    table = feature_table(MadeCohort(rows, cohort.features))
    with pytest.raises(UserError, match='Patient "p00" has photographs of different grades'):
        command(table, out=tmp_path / "out")
    one_class = feature_table(MadeCohort(rows.assign(hb_grade=3), cohort.features))
    if command is explore:
        assert explore(one_class, out=tmp_path / "out").patients.classes.tolist() == [3] * 6
    else:
        with pytest.raises(UserError, match=r"All 24 usable photographs .* are of one class, 3"):
            command(one_class, out=tmp_path / "out")


def test_landmarks_that_are_missing_or_of_others_are_refused(tmp_path):
    path = write_faces(tmp_path / "faces", patients_per_grade=2)
    landmarks = path.with_name("landmarks.csv")
    table = pd.read_csv(landmarks)
    table.iloc[1:].to_csv(landmarks, index=False)
    with pytest.raises(UserError, match="no row for"):
        benchmark(path, out=tmp_path / "out", level="patient", n_folds=2, jobs=1)
    landmarks.unlink()
    with pytest.raises(UserError, match=r"no landmarks\.csv"):
        benchmark(path, out=tmp_path / "out", level="patient", n_folds=2, jobs=1)


def test_every_next_command_takes_a_folder_of_corrected_points(tmp_path):
    """The loop of the README: correct landmarks.csv, measure again, go on from there."""
    source = write_faces(tmp_path / "measured", patients_per_grade=3)
    marks = pd.read_csv(source.with_name("landmarks.csv"))
    marks.loc[0, "x_36"] = 99999  # a slip beside what was corrected
    marks.to_csv(source.with_name("landmarks.csv"), index=False)
    again = features(source.with_name("landmarks.csv"), out=tmp_path / "corrected").features
    found = benchmark(
        again, out=tmp_path / "b", level="patient", graders=(MAJORITY,), n_folds=2, jobs=1
    )
    assert set(found.predictions["patient_id"]) == set(marks["image_id"].str.split("/").str[0])
    assert len(explore(again, out=tmp_path / "e").patients.names) == 18
    assert profile(again, patient="patient05", out=tmp_path / "p").healthy == 3
    assert len(read_material(Study(again)).readings("patient05"))


def test_a_search_over_photographs_keeps_patients_together(faces, tmp_path):
    found = benchmark(faces, out=tmp_path, search=True, graders=("logistic",), n_folds=2, jobs=1)
    assert "set_low" in found.predictions
    assert len(found.evaluations) == 2
