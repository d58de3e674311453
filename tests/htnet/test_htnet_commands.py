"""htnet train, evaluate, predict and explain, end to end on drawn faces."""

from __future__ import annotations

import json
import re
import shutil
import types
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import run_pipeline
from common.command_line import build_app, run
from common.errors import UserError
from common.files import sha256_of, write_json
from common.grading.folds import make_folds, write_folds
from common.grading.predictions import (
    answer_rows,
    inner_predictions_schema,
    read_predictions,
    to_patients,
)
from common.grading.target import target_named
from common.provenance import write_run_record
from common.tables import read_table
from features.registry import FEATURE_NAMES
from htnet.commands.convert import convert
from htnet.commands.evaluate import evaluate
from htnet.commands.explain import explain
from htnet.commands.predict import camera_frame, predict
from htnet.commands.train import train
from htnet.network.htnet import HTNet
from htnet.network.weights import load_weights, save_weights
from htnet.palsy.answers import log_loss
from htnet.palsy.asking import Answers
from htnet.palsy.cohort import ImageCohort, read_image_cohort
from htnet.palsy.fold_training import FoldTrainer
from htnet.palsy.folds import fold_parts, trained_files
from htnet.palsy.new_patients import (
    SEEN,
    SeenInTraining,
    patient_grades,
    patient_grades_schema,
    photograph_grades,
    photograph_grades_schema,
)
from htnet.palsy.recipe import Recipe
from htnet.palsy.sureness import PatientTemperature, learn_sureness, made_sure, read_sureness
from htnet.palsy.training import PHOTOGRAPHS, SEEN_PHOTOGRAPHS, WEIGHTS, check_classes, check_rows
from htnet.recipe import read_recipe, recipe_from, with_changes
from landmarks.find.method import make_method
from landmarks.points import POINT_COLUMNS
from landmarks.predictor import PredictorFile
from tests.htnet.drawn_faces import RECIPE, cohort, write_cohort
from tests.htnet.test_htnet_network import as_published

PATIENTS, PHOTOS = 12, 2
MODEL_FILE = Path(__file__)  # stands for a landmark model's file: only its checksum is read
POINTS = {"predictor": "ibug", **make_method(tta=3).settings()}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, manifest, landmarks, recipe and trained folds of a drawn cohort."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("study")
    write_cohort(folder, patients=PATIENTS, photos=PHOTOS)
    manifest = pd.read_csv(folder / "manifest.csv")
    landmarks = pd.read_csv(folder / "landmarks.csv", keep_default_na=False)
    landmarks.loc[1, "status"], landmarks.loc[1, "reason"] = "no_face", "no face was found"
    landmarks.loc[1, list(POINT_COLUMNS)] = np.nan
    write_run_record(folder, command="extract", settings=POINTS, files={"predictor": MODEL_FILE})
    landmarks.to_csv(folder / "landmarks.csv", index=False)
    recipe = {**RECIPE, "training": {**RECIPE["training"], "epochs": 1, "validation_folds": 2}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    # Both patients of a grade must not be tested or held aside at once: three alike would be.
    write_folds(two_folds(manifest), folder / "folds.csv")
    return folder


def two_folds(manifest: pd.DataFrame) -> pd.DataFrame:
    """One patient tested in each of two folds, of different grades."""
    folds = make_folds(manifest, n_folds=12, seed=0)
    kept = folds[folds["fold"] <= 2]
    return kept.reset_index(drop=True)


def trained(study: Path, out: Path, **options: object) -> object:
    return train(
        study / "manifest.csv", landmarks=study / "landmarks.csv", out=out,
        recipe=str(study / "recipe.yaml"), fold_table=study / "folds.csv", threads=1, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folds(study: Path, monkeypatch_module: pytest.MonkeyPatch) -> Path:
    out = study / "trained"
    result = trained(study, out, inner_folds=2)
    assert result.exit_code == 3  # one photograph has no face
    assert result.complaints == (
        "P0_1.png is left out: its status is no_face (no face was found).",
    )
    return out


@pytest.fixture(scope="module")
def monkeypatch_module() -> object:
    """Allow a class to be missing: a dozen patients cannot fill six grades twice."""
    with pytest.MonkeyPatch.context() as patch:
        import htnet.palsy.training

        patch.setattr(htnet.palsy.training, "check_classes", lambda *_, **__: None)
        yield patch


def test_evaluate_answers_held_out_patients_only(study: Path, folds: Path) -> None:
    out = study / "scores"
    result = evaluate(
        folds, study / "manifest.csv", landmarks=study / "landmarks.csv", out=out, threads=1
    )
    predictions = read_predictions(out / "predictions.csv")
    table = pd.read_csv(folds / "folds.csv")
    tested = set(table["image_id"]) - {"P0_1.png"}
    assert set(predictions["image_id"]) == tested
    assert (predictions["branch"] == "deep").all()
    assert predictions[[f"p_{g}" for g in range(1, 7)]].sum(axis=1).to_numpy() == pytest.approx(1)
    kept = np.load(out / "predictions.npz")
    assert kept["image_id"].tolist() == predictions["image_id"].tolist()
    np.testing.assert_allclose(kept["probabilities"][:, 0], predictions["p_1"])
    patients = read_predictions(out / "patient_predictions.csv", unit="patient")
    asked = list(dict.fromkeys(predictions["patient_id"]))
    for model in ("htnet", "hog"):
        assert patients.loc[patients["model"] == model, "patient_id"].tolist() == asked
    metrics = json.loads((out / "metrics.json").read_text())
    assert {"htnet", "htnet_mean", "hog", "majority"} == set(metrics["per_patient"]["models"])
    assert metrics["calibration"]["validation_patients"]["repeat 1, fold 1"] > 0
    assert "majority" in metrics["per_patient"]["models"]
    assert set(metrics["per_patient"]["per_class"]["htnet"]) == set("123456")
    assert (out / "confusion_per_patient.png").exists()
    assert result.exit_code == 3


def test_inner_predictions_know_nothing_of_the_tested_patients(study: Path, folds: Path) -> None:
    target = target_named("six_grades")
    table = read_table(folds / "inner_predictions.csv", schema=inner_predictions_schema(target))
    assert (table["branch"] == "deep").all()
    tests = pd.read_csv(folds / "folds.csv")
    everyone = set(pd.read_csv(study / "manifest.csv")["patient_id"])
    assert set(table["outer_fold"]) == {1, 2}
    for outer, rows in table.groupby("outer_fold"):
        tested = set(tests["patient_id"][tests["fold"] == outer])
        assert set(rows["patient_id"]) == everyone - tested
        assert rows["image_id"].is_unique  # each answered once, by a network that held it out
        for inner, held_out in rows.groupby("fold"):
            folder = folds / "repeat_1" / f"fold_{outer}" / f"inner_{inner}"
            seen = set(pd.read_csv(folder / "patients.csv")["patient_id"])
            assert seen == everyone - tested - set(held_out["patient_id"])


def test_inner_patients_are_the_inner_photographs_summed_up(study: Path, folds: Path) -> None:
    target = target_named("six_grades")
    schema = inner_predictions_schema(target, unit="patient")
    patients = read_table(folds / "inner_patient_predictions.csv", schema=schema)
    photographs = read_table(
        folds / "inner_predictions.csv", schema=inner_predictions_schema(target)
    )
    key = ["outer_fold", "fold", "patient_id"]
    assert not patients.duplicated(["model", *key]).any()
    assert set(map(tuple, patients[key].to_numpy())) == set(map(tuple, photographs[key].to_numpy()))
    twin = patients[patients["model"] == "hog"]  # the same patients, by the same folds
    assert len(twin) == len(patients) / 2


GRADE_TARGET = target_named("six_grades")


def photographs_of(chances: np.ndarray, labels: np.ndarray, *, each: int = 4) -> pd.DataFrame:
    """Prediction rows: of `each` photographs of a patient, one tells and the others say nothing."""
    tables = []
    for patient, (chance, label) in enumerate(zip(chances, labels, strict=True)):
        values = np.full((each, 6), 1 / 6)
        values[0] = chance
        rows = pd.DataFrame(
            {"image_id": [f"{patient}/{n}" for n in range(each)], "patient_id": str(patient),
             "hb_grade": label}
        )  # fmt: skip
        tables.append(
            answer_rows(
                rows, target=GRADE_TARGET, unit="photograph", answers=values, repeat=1,
                fold=1, model="htnet", branch="deep",
            )
        )  # fmt: skip
    return pd.concat(tables)


def learned(rows: pd.DataFrame) -> tuple[PatientTemperature, pd.DataFrame]:
    """The temperature that photographs teach, and their patients by it."""
    means = to_patients(rows, target=GRADE_TARGET)
    found = learn_sureness(rows, means, target=GRADE_TARGET)
    assert isinstance(found, PatientTemperature)
    return found, made_sure(means, sureness=found, target=GRADE_TARGET)


def test_means_that_are_too_unsure_are_made_surer() -> None:
    """One photograph in four tells the grade surely; the mean says so with 0.375."""
    labels = np.tile(np.arange(1, 7), 4)
    rows = photographs_of(np.eye(6)[labels - 1] * 0.99 + 0.01 / 6, labels)
    temperature, patients = learned(rows)
    assert temperature.patients == 24
    assert temperature.value < 0.5
    assert patients["predicted"].tolist() == patients["hb_grade"].tolist()
    means = to_patients(rows, target=GRADE_TARGET)
    assert (means["predicted"] != means["hb_grade"]).any()  # the median of flat means is III or IV
    assert log_loss(patients, target=GRADE_TARGET) < log_loss(means, target=GRADE_TARGET)
    np.testing.assert_allclose(patients[list(GRADE_TARGET.probability_columns)].sum(axis=1), 1)


def test_a_network_that_knows_nothing_is_not_made_surer() -> None:
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(6), size=60)
    rows = photographs_of(chances, rng.integers(1, 7, 60))
    assert learned(rows)[0].value > 1


def test_too_few_patients_leave_the_mean_as_it_is() -> None:
    rows = photographs_of(np.eye(6)[:2], np.array([1, 2]))
    temperature, patients = learned(rows)
    assert (temperature.value, temperature.patients, temperature.photographs) == (1.0, 2, 4)
    pd.testing.assert_frame_equal(patients, to_patients(rows, target=GRADE_TARGET))


def test_the_temperature_knows_nothing_of_the_tested_patients(
    study: Path, folds: Path, tmp_path: Path
) -> None:
    """The known leak: other grades of a fold's tested patients must leave its temperature alone."""
    manifest = pd.read_csv(study / "manifest.csv")
    table = pd.read_csv(folds / "folds.csv")
    tested = manifest["image_id"].isin(table["image_id"][table["fold"] == 1])
    manifest["path"] = [str(study / path) for path in manifest["path"]]
    manifest.loc[tested, "hb_grade"] = 7 - manifest.loc[tested, "hb_grade"]
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    records = []
    for name, path in (("a", study / "manifest.csv"), ("b", tmp_path / "manifest.csv")):
        evaluate(folds, path, landmarks=study / "landmarks.csv", out=tmp_path / name, threads=1)
        records.append(json.loads((tmp_path / name / "metrics.json").read_text())["calibration"])
    first = "repeat 1, fold 1"
    assert records[0]["temperature"][first] == records[1]["temperature"][first]
    assert records[0]["log_loss"] != records[1]["log_loss"]


def test_a_network_that_reads_features_is_trained_evaluated_and_refuses_to_go_without(
    study: Path, tmp_path: Path, monkeypatch_module: pytest.MonkeyPatch
) -> None:
    landmarks = pd.read_csv(study / "landmarks.csv")
    table = landmarks[["image_id", "status"]].copy()
    rng = np.random.default_rng(0)
    for name in FEATURE_NAMES:
        table[name] = rng.normal(size=len(table))
    table.loc[3, "f5"] = np.nan  # missing, and said to be; no reason to leave the face out
    table = table.drop(index=5)
    table.to_csv(tmp_path / "features.csv", index=False)
    write_json(tmp_path / "run.json", {"notes": {"definition": "standard"}})
    out = tmp_path / "trained"
    result = trained(study, out, features=tmp_path / "features.csv")
    assert result.complaints[0] == "P2_1.png is left out: it has no row in the table of features."
    network, _ = load_weights(out / "repeat_1" / "fold_1" / WEIGHTS)
    assert network.config.features == FEATURE_NAMES
    tables = {"landmarks": study / "landmarks.csv", "out": tmp_path / "scores", "threads": 1}
    scored = evaluate(out, study / "manifest.csv", features=tmp_path / "features.csv", **tables)
    assert set(scored.predictions["fold"]) == {1, 2}
    with pytest.raises(UserError, match=r"reads the measured features f0 to f28 .*--features"):
        evaluate(out, study / "manifest.csv", **tables)
    with pytest.raises(UserError, match=r"reads the measured features f0 to f28 .*--features"):
        predict(study / "P3_0.png", weights=(out,), out=tmp_path / "answers")
    other = tmp_path / "other" / "features.csv"
    write_json(other.with_name("run.json"), {"notes": {"definition": "huo2022"}})
    shutil.copy(tmp_path / "features.csv", other)
    refused = "measured with the feature definition huo2022 and the model learned from standard"
    with pytest.raises(UserError, match=refused):
        evaluate(out, study / "manifest.csv", features=other, **tables)
    with pytest.raises(UserError, match=refused):
        predict(study / "P3_0.png", weights=(out,), features=other, out=tmp_path / "answers")
    weights = out / "repeat_1" / "fold_1" / WEIGHTS
    with pytest.raises(UserError, match=refused):
        explain(weights, study / "manifest.csv", features=other, **tables)


def test_three_classes_without_grades_are_trained_and_scored(
    study: Path, tmp_path: Path, monkeypatch_module: object, capsys: pytest.CaptureFixture
) -> None:
    manifest = pd.read_csv(study / "manifest.csv")
    palsy = manifest["hb_grade"].map({1: "healthy", 2: "slight", 3: "slight"}).fillna("strong")
    alone = manifest["patient_id"].isin(["P0", "P11"]).map({True: "photograph", False: "folder"})
    manifest = manifest.drop(columns="hb_grade").assign(palsy_class=palsy, patient_source=alone)
    manifest["path"] = [str(study / name) for name in manifest["path"]]
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    tables = {"landmarks": study / "landmarks.csv", "threads": 1}
    train(
        tmp_path / "manifest.csv", out=tmp_path / "out", recipe=str(study / "recipe.yaml"),
        fold_table=study / "folds.csv", target="three_classes", **tables,
    )  # fmt: skip
    scored = evaluate(
        tmp_path / "out", tmp_path / "manifest.csv", out=tmp_path / "scores", **tables
    )
    assert "photographs name no patient" in capsys.readouterr().err
    rows = scored.predictions.merge(manifest[["image_id", "palsy_class"]], on="image_id")
    assert len(rows) == 3 or len(rows) == 4  # of two patients
    assert (rows["palsy_class_x"] == rows["palsy_class_y"]).all()
    assert {"p_healthy", "p_slight", "p_strong"} < set(rows.columns)
    for folder in ("out", "scores"):
        record = json.loads((tmp_path / folder / "run.json").read_text())
        assert "photographs name no patient" in record["notes"]["warnings"][0]


def test_the_affected_side_is_refused_with_what_to_use(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mirror pooling.*side head.*--target affected_side"):
        train(Path("m.csv"), landmarks=Path("l.csv"), out=tmp_path, target="affected_side")


def test_inner_folds_need_two(study: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--inner-folds is 1: give 2 or more"):
        trained(study, tmp_path / "out", inner_folds=1)


def test_inner_folds_that_lack_a_class_are_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outer folds have every grade to learn from; inner ones have not, and fail in seconds."""
    monkeypatch.setattr("htnet.palsy.training.check_classes", check_classes)
    data = cohort(patients=18, photos=1, size=28)
    rows = pd.DataFrame(
        {"image_id": data.faces.image_ids, "patient_id": data.patients, "hb_grade": data.labels}
    )
    faces = ImageCohort(rows, data, GRADE_TARGET, (), labelled=rows)
    recipe = with_changes(recipe_from(Recipe, RECIPE, source="test"), ["training.epochs=1"])
    folds = make_folds(rows, n_folds=3, seed=0)
    parts = list(fold_parts(folds, faces, validation_folds=3, seed=0))
    for part in parts:
        check_rows(data, train=part.train, validation=part.validation)
    trainer = FoldTrainer(faces, recipe, tmp_path, seed=0)
    with pytest.raises(UserError, match=r"fold 1, inner fold \d has no training face of class \d"):
        trainer.train(parts, inner_folds=2)
    assert not list(tmp_path.iterdir())


def test_weights_in_a_folder_are_those_of_everyone_or_of_the_folds(folds: Path) -> None:
    """Networks of inner folds are not asked: they learned from fewer patients."""
    assert [file.parent.name for file in trained_files(folds)] == ["fold_1", "fold_2"]
    assert [file.parent.name for file in trained_files(folds / "repeat_1")] == ["fold_1", "fold_2"]


def test_a_patient_learned_from_is_not_tested(study: Path, folds: Path, tmp_path: Path) -> None:
    """The known leak: folds dealt anew after training."""
    copied = tmp_path / "trained"
    shutil.copytree(folds, copied)
    table = pd.read_csv(copied / "folds.csv")
    table["fold"] = 3 - table["fold"]
    table.to_csv(copied / "folds.csv", index=False)
    with pytest.raises(UserError, match="learned from patient"):
        evaluate(
            copied, study / "manifest.csv", landmarks=study / "landmarks.csv",
            out=tmp_path / "scores", threads=1,
        )  # fmt: skip


NEW = ("P3_0.png", "P3_1.png", "P4_0.png", "P1_0.png")


@pytest.fixture
def found_faces(study: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Landmarks without a detector: those drawn for each photograph; P1_0 has no face.

    The list holds the options of each extraction.
    """
    known = pd.read_csv(study / "landmarks.csv").set_index("image_id").assign(reason="")
    asked: list[dict[str, object]] = []

    def extract(photos: tuple[tuple[str, Path], ...], **options: object) -> object:
        asked.append(options)
        table = known.loc[[Path(image_id).name for image_id, _ in photos]].reset_index(drop=True)
        names = pd.Series([image_id for image_id, _ in photos], name="image_id")
        table = pd.concat([names, table], axis=1)
        lost = table["image_id"].str.endswith("P1_0.png")
        table.loc[lost, ["status", "reason"]] = "no_face", "no face was found"
        return types.SimpleNamespace(table=table)

    monkeypatch.setattr("htnet.commands.predict.extract_landmarks", extract)
    monkeypatch.setattr("htnet.palsy.points.find_predictor", no_predictor)
    return asked


def no_predictor(name: str) -> PredictorFile:
    return PredictorFile(name, MODEL_FILE, sha256_of(MODEL_FILE) if name == "ibug" else "other")


@pytest.mark.usefixtures("found_faces")
def test_predict_grades_photographs_and_patients_of_a_folder(
    study: Path, folds: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    new = tmp_path / "new"
    for name in NEW:
        folder = new / name.partition("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(study / name, folder)
    result = predict(new, weights=(folds,), out=tmp_path / "answers", threads=1)
    assert result.exit_code == 3
    grades = read_table(
        tmp_path / "answers" / "photograph_grades.csv",
        schema=photograph_grades_schema(GRADE_TARGET),
    )
    assert grades["image_id"].tolist() == [
        "P1/P1_0.png", "P3/P3_0.png", "P3/P3_1.png", "P4/P4_0.png",
    ]  # fmt: skip
    lost = grades.iloc[0]
    assert (lost["status"], lost["reason"]) == ("no_face", "no face was found")
    assert grades.iloc[0][["predicted", "p_1", "weak_side", "p_left"]].isna().all()
    chances = grades[list(GRADE_TARGET.probability_columns)].iloc[1:]
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    np.testing.assert_allclose(grades[["p_right", "p_left", "p_none"]].iloc[1:].sum(axis=1), 1)
    assert set(grades["weak_side"].iloc[1:]) <= {"right", "left", "none"}
    patients = read_table(
        tmp_path / "answers" / "patient_grades.csv", schema=patient_grades_schema(GRADE_TARGET)
    )
    assert patients["patient_id"].tolist() == ["P3", "P4"]
    assert patients["photographs"].tolist() == [2, 1]
    said = capsys.readouterr()
    assert re.search(r"3 of 4 photographs graded, of 2 patients \([1-6]: \d", said.out)
    assert "P3_0.png" not in said.out  # a line for each photograph is a table, and there is one
    assert "Points as in training: 3 altered copies of each face, levelled, model ibug" in said.err


@pytest.mark.usefixtures("found_faces")
def test_predict_takes_patients_from_a_manifest(study: Path, folds: Path, tmp_path: Path) -> None:
    manifest = pd.DataFrame(
        {"image_id": NEW[:3], "path": [str(study / name) for name in NEW[:3]],
         "patient_id": ["one", "two", "one"]}
    )  # fmt: skip
    manifest.to_csv(tmp_path / "new.csv", index=False)
    weights = (folds / "repeat_1" / "fold_1" / WEIGHTS,)
    result = predict(tmp_path / "new.csv", weights=weights, out=tmp_path / "answers", threads=1)
    assert result.exit_code == 0
    assert dict(result.patients[["patient_id", "photographs"]].to_numpy()) == {"one": 2, "two": 1}
    # Other names, but the very photographs of the training.
    learned = set(read_table(weights[0].parent / PHOTOGRAPHS, schema=SEEN_PHOTOGRAPHS)["image_id"])
    assert result.grades[SEEN].tolist() == [
        "photograph" if name in learned else "no" for name in NEW[:3]
    ]  # fmt: skip


def test_points_are_found_as_for_the_training(
    study: Path, folds: Path, tmp_path: Path, found_faces: list[dict[str, object]],
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    weights = folds / "repeat_1" / "fold_1" / WEIGHTS
    options = {"out": tmp_path / "answers", "threads": 1}
    predict(study / "P3_0.png", weights=(weights,), **options)
    assert found_faces[-1]["method"] == make_method(tta=3)
    predict(study / "P3_0.png", weights=(weights,), tta=0, **options)
    assert found_faces[-1]["method"] == make_method(tta=0)
    assert "trained on other points (3 altered copies" in capsys.readouterr().err
    predict(study / "P3_0.png", weights=(weights,), predictor="mee", **options)
    assert found_faces[-1]["predictor"].name == "mee"
    assert "trained on other points (3 altered copies" in capsys.readouterr().err
    network, notes = load_weights(weights)
    own = {**notes, "points": {**notes["points"], "sha256": "of another file"}}
    save_weights(network, tmp_path / WEIGHTS, notes=own)
    with pytest.raises(UserError, match='model "ibug" here is another file than the one'):
        predict(study / "P3_0.png", weights=(tmp_path / WEIGHTS,), **options)
    with pytest.raises(UserError, match="points that were found in different ways"):
        predict(study / "P3_0.png", weights=(weights, tmp_path / WEIGHTS), **options)
    save_weights(network, tmp_path / WEIGHTS, notes={"classes": notes["classes"]})
    predict(study / "P3_0.png", weights=(tmp_path / WEIGHTS,), **options)
    assert found_faces[-1]["method"] == make_method(tta=10)  # as extract does by default
    assert "do not say how the points of their training were found" in capsys.readouterr().err


@pytest.mark.usefixtures("found_faces")
def test_patients_whom_the_networks_learned_from_are_named(
    study: Path, folds: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """In a manifest by name, though the photograph is a new one; of weights alone nobody knows."""
    weights = folds / "repeat_1" / "fold_1" / WEIGHTS
    table = pd.read_csv(folds / "folds.csv")
    (tested,) = set(table["patient_id"][table["fold"] == 1])
    picture = cv2.imread(str(study / "P3_0.png"))
    cv2.imwrite(str(tmp_path / "P3_0.png"), 255 - picture)
    manifest = pd.DataFrame(
        {"image_id": ["P3_0.png", "P3_1.png"], "path": ["P3_0.png", str(study / "P3_1.png")],
         "patient_id": ["P9", tested]}
    )  # fmt: skip
    assert tested not in ("P3", "P9")
    manifest.to_csv(tmp_path / "new.csv", index=False)
    options = {"out": tmp_path / "answers", "threads": 1}
    result = predict(tmp_path / "new.csv", weights=(weights,), **options)
    assert result.grades[SEEN].tolist() == ["patient", "photograph"]
    assert f"learned from 2 of these 2 patients ({tested}, P9)" in capsys.readouterr().err
    shutil.copy(weights, tmp_path)
    result = predict(tmp_path / "new.csv", weights=(tmp_path / WEIGHTS,), **options)
    assert result.patients[SEEN].tolist() == ["unknown", "unknown"]
    assert "nobody can tell whether the networks learned" in capsys.readouterr().err


def answers_of(chances: list[list[float]]) -> Answers:
    values = np.array(chances)
    return Answers(values)


def test_new_patients_are_calibrated_when_they_have_as_many_photographs_as_the_known() -> None:
    table = pd.DataFrame({"image_id": list("abc"), "status": "ok", "reason": ""})
    target = target_named("healthy_palsy")
    answers = [answers_of([[0.4, 0.6], [0.4, 0.6], [0.4, 0.6]])]
    patients = {"a": "P", "b": "P", "c": "Q"}
    nobody = SeenInTraining(frozenset())
    grades = photograph_grades(table, answers, patients=patients, seen=nobody, target=target)
    assert grades["weak_side"].isna().all()  # the network has no side head
    found = patient_grades(
        grades, answers, target=target,
        sureness=[PatientTemperature(0.5, patients=9, photographs=2)],
    ).set_index("patient_id")  # fmt: skip
    assert found["calibrated"].to_dict() == {"P": True, "Q": False}
    assert found["p_palsy"]["P"] == pytest.approx(0.36 / (0.36 + 0.16))  # squared, brought to 1
    assert found["p_palsy"]["Q"] == pytest.approx(0.6)  # one photograph: the plain mean


def test_temperatures_are_kept_beside_the_weights(folds: Path, tmp_path: Path) -> None:
    kept = read_sureness(folds / "repeat_1" / "fold_1", target=GRADE_TARGET)
    assert kept.photographs == 2
    assert read_sureness(tmp_path, target=GRADE_TARGET) == PatientTemperature(1.0, 0, 0)
    (tmp_path / "calibration.json").write_text("{}")
    with pytest.raises(UserError, match=r"calibration\.json is damaged"):
        read_sureness(tmp_path, target=GRADE_TARGET)


OLD_SIZES = {
    "image_size": 28, "patch_size": 7, "dim": 12, "heads": 2, "num_hierarchies": 2,
    "block_repeats": [2, 2], "use_diagonal_attn": True, "use_roi": True, "num_roi_regions": 7,
    "compat": "as_released",
}  # fmt: skip


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.made,)


@pytest.mark.usefixtures("found_faces")
def test_old_weights_are_converted_evaluated_and_used(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A best_model.pth of earlier scripts, which showed ImageNet's scale of pixels."""
    torch.manual_seed(0)
    (tmp_path / "sizes.yaml").write_text(yaml.safe_dump({"network": OLD_SIZES}))
    network = HTNet.from_config(
        read_recipe(Recipe, tmp_path / "sizes.yaml").config(num_classes=6)
    ).eval()
    state = {f"module.{name}": value for name, value in as_published(network).items()}
    kept = {"model_state_dict": state, "epoch": 7, "best_acc": np.float64(0.5)}
    old = tmp_path / "best_model.pth"
    torch.save(kept, old)
    with pytest.raises(UserError, match=r"htnet convert best_model.pth --recipe FILE --target"):
        predict(study / "P3_0.png", weights=(old,), out=tmp_path / "answers")
    asked = {"recipe": str(tmp_path / "sizes.yaml"), "target": "six_grades", "pixels": "imagenet"}
    convert(old, out=tmp_path / "old", **asked)

    tables = {"landmarks": study / "landmarks.csv", "threads": 1}
    result = evaluate(tmp_path / "old", study / "manifest.csv", out=tmp_path / "scores", **tables)
    assert "nobody can tell whether this network learned from" in capsys.readouterr().err
    cohort = read_image_cohort(
        study / "manifest.csv", study / "landmarks.csv", target=GRADE_TARGET,
        config=network.config, quiet=True,
    )  # fmt: skip
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    with torch.no_grad():
        shown = network((cohort.data.faces.pixels / 255 - mean) / deviation).softmax(dim=1)
    answers = result.predictions[list(GRADE_TARGET.probability_columns)].to_numpy()
    np.testing.assert_allclose(answers, shown.numpy(), atol=1e-5)
    metrics = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert set(metrics["per_photograph"]["models"]) == {"htnet"}  # nobody knows a baseline

    used = predict(study / "P3_0.png", weights=(tmp_path / "old",), out=tmp_path / "a", threads=1)
    assert used.grades["seen_in_training"].tolist() == ["unknown"]
    row = cohort.rows["image_id"].tolist().index("P3_0.png")
    found = used.grades[list(GRADE_TARGET.probability_columns)].to_numpy()[0]
    np.testing.assert_allclose(found, answers[row], atol=1e-6)

    torch.save({**kept, "note": Malicious(tmp_path / "owned")}, old)
    with pytest.raises(UserError, match="holds more than weights, which could run code"):
        convert(old, out=tmp_path / "again", **asked)
    assert not (tmp_path / "owned").exists()


def test_one_network_is_evaluated_on_patients_from_whom_it_did_not_learn(
    study: Path, folds: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    weights = folds / "repeat_1" / "fold_1" / WEIGHTS
    tables = {"landmarks": study / "landmarks.csv", "out": tmp_path, "threads": 1}
    result = evaluate(weights, study / "manifest.csv", **tables)
    table = pd.read_csv(folds / "folds.csv")
    assert set(result.predictions["patient_id"]) == set(table["patient_id"][table["fold"] == 1])
    assert "One network is tested on 1 of 12 patients" in capsys.readouterr().err


class FakeCamera:
    """A camera that shows one picture, BGR as OpenCV gives it."""

    def __init__(self, picture: np.ndarray) -> None:
        self.picture, self.released = picture, False

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def read(self) -> tuple[bool, np.ndarray]:
        return True, self.picture

    def release(self) -> None:
        self.released = True


def test_a_camera_frame_is_graded_and_not_kept(
    study: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = cv2.imread(str(study / "P5_0.png"))
    camera = FakeCamera(picture)
    monkeypatch.setattr("htnet.commands.predict.cv2.VideoCapture", lambda number: camera)
    frame = camera_frame(0, tmp_path)
    np.testing.assert_array_equal(cv2.imread(str(frame)), picture)
    assert camera.released
    points = pd.read_csv(study / "landmarks.csv").set_index("image_id").loc[["P5_0.png"]]
    seen: list[Path] = []

    def extract(photos: tuple[tuple[str, Path], ...], **_: object) -> object:
        seen.extend(path for _, path in photos)
        table = points.reset_index(drop=True).assign(reason="")
        names = pd.Series([image_id for image_id, _ in photos], name="image_id")
        return types.SimpleNamespace(table=pd.concat([names, table], axis=1))

    monkeypatch.setattr("htnet.commands.predict.extract_landmarks", extract)
    monkeypatch.setattr("htnet.palsy.points.find_predictor", no_predictor)
    result = predict(weights=(folds,), out=tmp_path / "answers", camera=0, threads=1)
    assert result.grades["image_id"].tolist() == ["camera.png"]
    assert result.grades["status"].tolist() == ["ok"]
    assert len(seen) == 1
    assert not seen[0].exists()  # the face of whoever sat before the camera is not left behind


def test_no_camera_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Camera 99 gives no picture"):
        camera_frame(99, tmp_path)


def test_missing_column_is_one_sentence(study: Path, tmp_path: Path) -> None:
    manifest = pd.read_csv(study / "manifest.csv").drop(columns="patient_id")
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    with pytest.raises(UserError, match='has no column "patient_id"'):
        train(
            tmp_path / "manifest.csv", landmarks=study / "landmarks.csv", out=tmp_path / "out",
            recipe=str(study / "recipe.yaml"),
        )  # fmt: skip


def config_run(tmp_path: Path, content: object, capsys: pytest.CaptureFixture) -> tuple[int, str]:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
    app = build_app(run_pipeline.COMMANDS, name="run_pipeline.py", summary="")
    code = run(app, ["htnet", "train", "--config", str(tmp_path / "c.yaml")])
    return code, capsys.readouterr().err


def test_config_reaches_the_sub_command_and_unknown_keys_are_refused(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = {
        "manifest": str(study / "none.csv"), "landmarks": str(study / "landmarks.csv"),
        "out": str(tmp_path / "out"),
    }  # fmt: skip
    code, told = config_run(tmp_path, {"htnet": {"train": options}}, capsys)
    assert (code, "none.csv does not exist" in told) == (2, True)
    code, told = config_run(tmp_path, {"htnet": {"train": {**options, "recipee": "x"}}}, capsys)
    assert (code, 'no option "recipee". Did you mean "recipe"?' in told) == (2, True)
    code, told = config_run(tmp_path, {"htnet": {"trane": options}}, capsys)
    assert (code, 'no command "trane". Did you mean "train"?' in told) == (2, True)
