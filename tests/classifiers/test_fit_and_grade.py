"""fit keeps a grader as it answered; grade refuses other tables and names what is missing."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from classifiers.commands.explore import profile
from classifiers.commands.fit import MODEL_FOLDER, fit
from classifiers.graders.cohort import read_cohort
from classifiers.graders.model_store import load_model, model_folder
from classifiers.graders.new_patients import Grades, grade_tables
from classifiers.graders.patients import why_not_graded
from classifiers.graders.severity import SignedSeverity
from classifiers.reports.grade import grade_report
from common.errors import UserError
from common.grading.target import target_named
from common.movements import MOVEMENTS
from docs.drawing import schematic_face
from features.commands.features import features as features_again
from features.commands.features import write_feature_tables
from landmarks.points import POINT_COLUMNS
from landmarks.review.corrections import Journal, Move
from landmarks.tables import points_of, points_source_of_run, read_landmarks

pytestmark = pytest.mark.usefixtures("without_search")

TASKS = ("rest", "full_smile", "brow_raise")


def drawn_tables(folder: Path, *, per_grade: int = 4, weak: str = "right") -> Path:
    """Write tables of drawn faces whose weak mouth corner and brow move less with the grade."""
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(6 * per_grade):
        grade = patient % 6 + 1
        strength = {weak: 1 - (grade - 1) / 5, "left" if weak == "right" else "right": 1.0}
        for task in TASKS:
            face = schematic_face() + rng.normal(scale=0.25, size=(68, 2))
            if task == "full_smile":
                face[48] += np.array([-22.0, -14.0]) * strength["right"]
                face[54] += np.array([22.0, -14.0]) * strength["left"]
            if task == "brow_raise":
                face[17:22, 1] -= 14.0 * strength["right"]
                face[22:27, 1] -= 14.0 * strength["left"]
            rows.append(
                {
                    "image_id": f"p{patient}/{task}.jpg", "path": f"p{patient}/{task}.jpg",
                    "status": "ok", "patient_id": f"p{patient}", "task": task, "hb_grade": grade,
                    **dict(zip(POINT_COLUMNS, face.ravel(), strict=True)),
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    folder.mkdir(parents=True, exist_ok=True)
    landmarks = table[["image_id", "status", *POINT_COLUMNS]]
    landmarks.to_csv(folder / "landmarks.csv", index=False)
    columns = ["image_id", "path", "patient_id", "task", "hb_grade"]
    table[columns].to_csv(folder / "manifest.csv", index=False)
    write_feature_tables(landmarks, out=folder)
    record = {"command": "extract", "settings": {"predictor": "ibug"},
              "notes": {"definition": "standard"}}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))
    return folder / "features.csv"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of drawn faces, only to be read."""
    return drawn_tables(tmp_path_factory.mktemp("drawn"))


def fit_drawn(features: Path, out: Path, **options: object):
    """Tables, manifest and the fitted model of drawn faces."""
    manifest = features.with_name("manifest.csv")
    return features, manifest, fit(
        features, manifest=manifest, out=out, n_folds=2, jobs=1, **options
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(drawn: Path, tmp_path_factory: pytest.TempPathFactory):
    return fit_drawn(drawn, tmp_path_factory.mktemp("fit"), data="Drawn for a test.")


@pytest.fixture(scope="module")
def graded(made) -> Grades:
    """What the model answers of the patients that it learned from."""
    features, manifest, result = made
    return grade_tables(load_model(result.model), features=features, manifest=manifest)


def test_the_kept_grader_answers_as_the_card_says(made):
    _, _, result = made
    model = load_model(result.model)
    card = model.card
    assert card == result.card
    assert card.data["patients"] == 24
    assert card.data["photographs"] == 72
    assert result.evaluations[-1].recall_of(card.grader) in card.markdown()
    assert "Drawn for a test." in card.data["origin"]
    assert card.data["simulated"] == "unknown"
    assert card.definition == "standard"
    evaluation = result.evaluations[-1]
    kappa = evaluation.estimates["svm"]["weighted_kappa"]
    assert card.validation["scores"]["patient"]["Weighted kappa"]["value"] == round(kappa.value, 6)
    assert {"folds.csv", "predictions.csv", "report.html", "run.json", MODEL_FOLDER} == {
        path.name for path in result.model.parent.iterdir()
    }


def test_patients_are_graded_with_side_and_reasons(made, graded, tmp_path):
    model = load_model(model_folder(made[2].model.parent))
    features = drawn_tables(tmp_path, weak="left")
    mirrored = grade_tables(model, features=features, manifest=features.with_name("manifest.csv"))
    for weak, grades in (("right", graded), ("left", mirrored)):
        table = grades.table.set_index("patient_id")
        assert list(table.index) == [f"p{at}" for at in range(24)]
        assert set(grades.table["status"]) == {"ok"}
        chances = table[list(grades.target.probability_columns)].to_numpy()
        np.testing.assert_allclose(chances.sum(axis=1), 1.0)
        truth = np.array([at % 6 + 1 for at in range(24)])
        answered = table["predicted"].astype(int).to_numpy()
        assert np.abs(answered - truth).mean() < 1.0
        severe = table[(truth >= 5) & (answered > 1)]
        assert all(max(grades.answers[name].worth.values()) > 0 for name in severe.index)
        assert severe["p_side"].between(0.9, 1).all()
        assert set(severe["side"]) == {weak}
        assert severe["why"].str.contains("Full smile: the right mouth corner moves").all()
        assert set(table.loc[answered == 1, "side"]) <= {"none"}
        assert (table["p_side"].notna() == table["side"].isin(["left", "right"])).all()


def test_corrected_points_are_told_wherever_features_are_read(made, tmp_path, capsys):
    features = Path(shutil.copytree(made[0].parent, tmp_path / "drawn")) / "features.csv"
    manifest = features.with_name("manifest.csv")
    journal = Journal(features.with_name("corrections.csv"))
    landmarks = features.with_name("landmarks.csv")
    points = points_of(read_landmarks(landmarks))
    for row, name in ((0, "p0/rest.jpg"), (9, "p3/rest.jpg")):
        moves = [Move(k, tuple(points[row, k]), tuple(points[row, k] + 1.0)) for k in (50, 52)]
        journal.add(name, "move", moves)
    again = features_again(landmarks, out=tmp_path / "again", manifest=manifest).features
    sentence = "2 of 72 photographs with corrected points (4 points)."

    model = load_model(made[2].model)
    assert "corrected points were not tested" in model.card.limits[-1]
    warnings = grade_tables(model, features=again).warnings
    assert any(sentence in line and "own points" in line for line in warnings)

    capsys.readouterr()
    profile(again, patient="p1", out=tmp_path / "profile")
    assert sentence in capsys.readouterr().out
    assert sentence in (tmp_path / "profile" / "report.html").read_text()
    known = points_source_of_run(tmp_path / "profile")
    assert known is not None
    assert known.sentence() == sentence
    cohort = read_cohort(again, target=target_named("six_grades"))
    assert (cohort.source.corrected, cohort.source.points) == (2, 4)


def test_grades_do_not_depend_on_the_truth_in_the_manifest(made, graded, tmp_path):
    """The manifest may name grades; whoever is graded must not be graded by them."""
    features, manifest, result = made
    model = load_model(result.model)
    table = pd.read_csv(manifest)
    table.drop(columns="hb_grade").to_csv(tmp_path / "blind.csv", index=False)
    table.assign(hb_grade=7 - table["hb_grade"]).to_csv(tmp_path / "turned.csv", index=False)
    for path in (tmp_path / "blind.csv", tmp_path / "turned.csv"):
        answers = grade_tables(model, features=features, manifest=path).table
        pd.testing.assert_frame_equal(graded.table, answers)


def test_other_features_are_refused_in_a_sentence(made, tmp_path):
    features, manifest, result = made
    model = load_model(result.model)
    folder = Path(shutil.copytree(features.parent, tmp_path / "other"))
    write_feature_tables(pd.read_csv(folder / "landmarks.csv"), out=folder, definition="huo2022")
    (folder / "run.json").write_text(json.dumps({"notes": {"definition": "huo2022"}}))
    with pytest.raises(UserError, match="definition huo2022 and the model learned from standard"):
        grade_tables(model, features=folder / "features.csv", manifest=manifest)
    table = pd.read_csv(features)
    table.drop(columns="f7").to_csv(tmp_path / "features.csv", index=False)
    with pytest.raises(UserError, match='no column "f7"'):
        grade_tables(model, features=tmp_path / "features.csv", manifest=manifest)
    with pytest.raises(UserError, match='no column "patient_id"'):
        grade_tables(model, features=features)


def test_an_unrecorded_definition_is_said(made, tmp_path):
    features, manifest, result = made
    for name in ("features.csv", "landmarks.csv"):
        shutil.copy(features.with_name(name), tmp_path / name)
    grades = grade_tables(
        load_model(result.model), features=tmp_path / "features.csv", manifest=manifest
    )
    assert any("is not recorded" in sentence for sentence in grades.warnings)
    assert grades.material is None  # without distances there are no sides and no pages
    assert set(grades.table["status"]) == {"ok"}


def test_who_cannot_be_measured_keeps_a_row_and_a_reason(made, tmp_path):
    features, manifest, result = made
    folder = Path(shutil.copytree(features.parent, tmp_path / "holes"))
    marks = pd.read_csv(folder / "landmarks.csv")
    gone = marks["image_id"].str.startswith("p3/") | (marks["image_id"] == "p4/full_smile.jpg")
    marks.loc[gone, "status"] = "no_face"
    marks.loc[gone, list(POINT_COLUMNS)] = np.nan
    marks.to_csv(folder / "landmarks.csv", index=False)
    write_feature_tables(marks, out=folder)
    model = load_model(result.model)
    grades = grade_tables(model, features=folder / "features.csv", manifest=manifest)
    table = grades.table.set_index("patient_id")
    assert table.loc["p3", "status"] == "failed"
    assert table.loc["p3", "reason"] == "none of 3 photographs could be measured (no_face)"
    assert table.loc["p3", list(grades.target.probability_columns)].isna().all()
    assert table.loc["p4", ["used", "photographs", "missing"]].tolist() == [2, 3, "full_smile"]
    assert table.loc["p4", "status"] == "abstained"
    assert set(table.loc[table["status"] == "ok", "missing"].isna()) == {True}
    page = grade_report(grades, model=model, found_by="By manifest.", redact=True).html()
    assert "Not graded: none of 3 photographs" in page
    assert "Patient p3" not in page
    zones = page[page.index("Lower if healthy") :].split("</table>")[0]
    assert "midface" in zones and "full smile" in zones
    answered = table[table["status"] == "ok"]
    truth = [int(name[1:]) % 6 + 1 for name in answered.index]  # as the manifest was made
    wrong = (answered["predicted"].astype(int) != truth).mean()
    cells = re.findall(r"<td[^>]*>(\d+) %</td>", page[page.index("of the answers are wrong?") :])
    assert int(cells[16]) == round(100 * wrong)  # all accepted, the surest first


def test_a_photograph_alone_gets_no_grade_and_no_side(made, tmp_path):
    features, manifest, result = made
    table = pd.read_csv(features)
    table[table["image_id"] == "p5/rest.jpg"].to_csv(tmp_path / "features.csv", index=False)
    shutil.copy(features.with_name("landmarks.csv"), tmp_path / "landmarks.csv")
    model = load_model(result.model)
    grades = grade_tables(model, features=tmp_path / "features.csv", manifest=manifest)
    row = grades.table.iloc[0]
    assert (row["patient_id"], row["status"], row["side"]) == ("p5", "abstained", "unknown")
    assert row["missing"] == "brow_raise, full_smile"
    assert "2 of the 3 movements that the grader learned from are missing" in row["reason"]
    given = [*grades.target.probability_columns, "predicted", "set_low", "set_high", "p_side"]
    assert row[given].isna().all()
    page = grade_report(grades, model=model, found_by="").html()
    assert "brow_raise, full_smile" in page
    assert "of the answers are wrong?" not in page  # one patient tells no share


@pytest.mark.parametrize(
    ("missing", "enough"),
    [
        ((), True),
        (("full_smile", "lip_pucker"), True),
        (("full_smile", "lip_pucker", "lower_teeth"), False),
        (("rest",), False),
    ],
)
def test_rest_and_three_quarters_of_the_movements_are_needed(missing, enough):
    reason = why_not_graded(missing, MOVEMENTS)
    assert (reason is None) == enough
    if reason is not None:
        assert "it needs at least 6 of them, rest among them" in reason


def test_a_side_is_as_probable_as_its_severity_is_sure():
    """The error of the signed severity decides: at one standard error, 84 %."""

    class Severity(SignedSeverity):
        error_ = 2.0

        def transform(self, table):
            return table

    left, sure = Severity().weak_sides(pd.DataFrame({"signed_severity": [2.0, -2.0, -6.0]}))
    assert left.tolist() == [True, False, False]
    assert sure.round(3).tolist() == [0.841, 0.841, 0.999]


@pytest.mark.parametrize(
    ("grader", "level"),
    [("random_forest", "patient"), ("random_forest", "photograph"), ("majority", "patient")],
)
def test_other_graders_are_fitted_kept_and_read(drawn, tmp_path, grader, level):
    features, manifest, result = fit_drawn(drawn, tmp_path, grader=grader, level=level)
    grades = grade_tables(load_model(result.model), features=features, manifest=manifest)
    assert set(grades.table["status"]) == {"ok"}
    assert not grades.table["why"].str.contains("What spoke most").any()  # XGBoost alone tells
    sets = grades.table[["set_low", "set_high"]]
    assert sets.notna().all(axis=None) == (level == "patient" and grader == "random_forest")


def test_the_same_seed_gives_the_same_model(made, graded, tmp_path):
    features, manifest, first = made
    _, _, again = fit_drawn(features, tmp_path, data="Drawn for a test.")
    assert first.card == again.card
    grades = grade_tables(load_model(again.model), features=features, manifest=manifest)
    pd.testing.assert_frame_equal(graded.table, grades.table)
    for name in ("folds.csv", "predictions.csv"):
        one, other = (result.model.with_name(name).read_bytes() for result in (first, again))
        assert one == other


def test_one_class_and_unknown_graders_are_refused(drawn, tmp_path):
    features = Path(shutil.copytree(drawn.parent, tmp_path, dirs_exist_ok=True)) / "features.csv"
    table = pd.read_csv(tmp_path / "manifest.csv").assign(hb_grade=4)
    table.to_csv(tmp_path / "same.csv", index=False)
    with pytest.raises(UserError, match="are of one class"):
        fit(features, manifest=tmp_path / "same.csv", out=tmp_path / "out", jobs=1)
    with pytest.raises(UserError, match=r'Unknown grader "xgbost".*Did you mean "xgboost"'):
        fit(features, manifest=tmp_path / "manifest.csv", out=tmp_path / "out", grader="xgbost")
    with pytest.raises(UserError, match=r"photographs of different grades .hb_grade 2 and 5."):
        one = pd.read_csv(features)
        one[one["image_id"].str.startswith("p1/")].to_csv(tmp_path / "one.csv", index=False)
        table = pd.read_csv(tmp_path / "manifest.csv")
        table.loc[table["image_id"] == "p1/rest.jpg", "hb_grade"] = 5
        table.to_csv(tmp_path / "two.csv", index=False)
        fit(
            tmp_path / "one.csv", manifest=tmp_path / "two.csv", out=tmp_path / "out", jobs=1,
            level="photograph",
        )  # fmt: skip


def test_two_classes_are_graded_by_name_and_simulated_patients_called_simulated(drawn, tmp_path):
    copied = Path(shutil.copytree(drawn.parent, tmp_path / "drawn"))
    table = pd.read_csv(copied / "manifest.csv").assign(truth_file="../true_landmarks.csv")
    table.to_csv(copied / "manifest.csv", index=False)
    features, manifest, result = fit_drawn(
        copied / "features.csv", tmp_path / "out", target="healthy_palsy", grader="logistic"
    )
    assert "simulated" in (result.model / "CARD.md").read_text()
    grades = grade_tables(load_model(result.model), features=features, manifest=manifest)
    assert any("simulated patients" in sentence for sentence in grades.warnings)
    assert set(grades.table["predicted"]) <= {"healthy", "palsy"}
    assert "palsy" in grade_report(grades, model=load_model(result.model), found_by="").html()
