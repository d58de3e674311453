"""Networks and their twin where the target is a number: from the scale and back, end to end."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from classifiers.commands.compare import compare
from classifiers.commands.fuse import fuse
from common.errors import UserError
from common.grading.numeric_target import NUMERIC, AnyTarget
from common.grading.predictions import inner_predictions_schema, predictions_schema, to_patients
from common.grading.target import TARGETS
from common.tables import read_table, write_table
from htnet.commands.evaluate import evaluate
from htnet.commands.explain import explain
from htnet.commands.predict import predict
from htnet.commands.train import train
from htnet.network.losses import classes_of, scores_of, steps_of_scores
from htnet.palsy.answers import answered_fold, read_trained
from htnet.palsy.cohort import ImageCohort, read_image_cohort
from htnet.palsy.folds import evaluated_parts
from htnet.palsy.histograms import patient_histograms, twin_rows
from htnet.palsy.new_patients import (
    SeenInTraining,
    patient_grades,
    patient_grades_schema,
    photograph_grades,
    photograph_grades_schema,
)
from htnet.palsy.sureness import PatientReach, learn_sureness, made_sure, read_sureness
from htnet.palsy.training import WEIGHTS
from tests.htnet.drawn_faces import RECIPE, write_cohort
from tests.htnet.test_htnet_commands import no_predictor

SUNNYBROOK = NUMERIC["sunnybrook"]
INSIDE = {"low": SUNNYBROOK.low, "high": SUNNYBROOK.high}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawn patients with two visits each, trained on two folds; one score is not known."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("scores")
    write_cohort(folder, patients=12, photos=4, size=56)
    manifest = pd.read_csv(folder / "manifest.csv")
    visit = [("first", "second")[row // 2 % 2] for row in range(len(manifest))]
    score = 105.0 - 17 * manifest["hb_grade"] - 2.5 * (np.array(visit) == "second")
    score[manifest["image_id"] == "P0_0.png"] = np.nan
    manifest = manifest.assign(visit=visit, sunnybrook=score).drop(columns="hb_grade")
    manifest.to_csv(folder / "manifest.csv", index=False)
    changed = {**RECIPE["training"], "epochs": 2, "validation_folds": 3}
    recipe = {**RECIPE, "training": changed}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    result = train(
        folder / "manifest.csv", landmarks=folder / "landmarks.csv", out=folder / "trained",
        recipe=str(folder / "recipe.yaml"), target="sunnybrook", n_folds=2, inner_folds=2,
        threads=1,
    )  # fmt: skip
    assert result.complaints == ("P0_0.png is left out: it has no sunnybrook.",)
    evaluate(
        folder / "trained", folder / "manifest.csv", landmarks=folder / "landmarks.csv",
        out=folder / "scores", threads=1,
    )  # fmt: skip
    return folder


def table(path: Path, *, unit: str = "patient") -> pd.DataFrame:
    return read_table(path, schema=predictions_schema(SUNNYBROOK, unit=unit))


def test_a_score_is_the_steps_that_it_passes() -> None:
    scores = np.array([0.0, 0.01, 9.1, 50.0, 87.3, 100.0])
    steps = steps_of_scores(scores, **INSIDE)
    assert ((steps >= 0) & (steps <= 1)).all()
    assert (steps[:, :-1] >= steps[:, 1:]).all()  # nobody passes a step before the one below it
    back = scores_of(classes_of(steps).double().numpy(), **INSIDE)
    np.testing.assert_allclose(back, scores, atol=1e-4)
    ends = {"low": -3.0, "high": 5.0}
    shifted = steps_of_scores(scores / 100 * 8 - 3, **ends)
    np.testing.assert_allclose(shifted, steps, atol=1e-5)  # whatever the scale


def test_visits_are_answered_within_the_range_beside_twin_and_baselines(study: Path) -> None:
    out = study / "scores"
    photographs = table(out / "predictions.csv", unit="photograph")
    patients = table(out / "patient_predictions.csv")
    assert len(photographs) == 47 and photographs["low"].isna().all()
    for _, rows in patients.groupby("model"):
        assert len(rows) == 24 and not rows.duplicated(["patient_id", "visit"]).any()
        assert (rows["low"] <= rows["predicted"]).all() and (
            rows["predicted"] <= rows["high"]
        ).all()
    means = photographs.groupby(["patient_id", "visit"])["predicted"].mean()
    own = patients[patients["model"] == "htnet"].set_index(["patient_id", "visit"])["predicted"]
    pd.testing.assert_series_equal(own.sort_index(), means.sort_index())
    metrics = json.loads((out / "metrics.json").read_text())
    models = metrics["per_patient"]["models"]
    assert set(models) == {"htnet", "hog", "median", "mean"}
    assert models["hog"]["mae"]["value"] < 0.5 * models["mean"]["mae"]["value"]
    assert metrics["range"] == [0, 100] and "per_class" not in metrics["per_patient"]
    assert metrics["calibration"]["reach"]["repeat 1, fold 1"] == 100  # too few to say less
    assert (out / "scatter_per_patient.png").exists()


def test_both_visits_of_a_patient_are_held_out_together(study: Path) -> None:
    folds = pd.read_csv(study / "trained" / "folds.csv")
    assert (folds.groupby("patient_id")["fold"].nunique() == 1).all()
    inner = read_table(
        study / "trained" / "inner_patient_predictions.csv",
        schema=inner_predictions_schema(SUNNYBROOK, unit="patient"),
    )
    for outer, rows in inner.groupby("outer_fold"):
        tested = set(folds["patient_id"][folds["fold"] == outer])
        assert not tested & set(rows["patient_id"])


def test_compare_and_fuse_take_the_answers(study: Path, tmp_path: Path) -> None:
    answers, inner = study / "scores" / "patient_predictions.csv", study / "trained"
    options = {"models": ("htnet", "hog"), "target": "sunnybrook"}
    compare(answers, answers, out=tmp_path / "compared", **options)
    assert "mae" in set(pd.read_csv(tmp_path / "compared" / "comparison.csv")["score"])
    known = inner / "inner_patient_predictions.csv"
    fuse(answers, answers, inner=(known, known), out=tmp_path / "fused", **options)
    fused = table(tmp_path / "fused" / "predictions.csv")
    assert {"weighted", "mean"} <= {name.split("_")[-1] for name in fused["model"]}


def test_the_scores_of_who_is_tested_have_no_say(study: Path) -> None:
    files = study / "manifest.csv", study / "landmarks.csv"
    parts = evaluated_parts(study / "trained", cohort := _cohort(*files))
    weights, part = next(iter(parts.items()))
    network, _ = read_trained(weights)
    lying = cohort.data.labels.copy()
    lying[part.test] = 100 - lying[part.test]
    other = replace(
        cohort, data=replace(cohort.data, labels=lying), rows=cohort.rows.assign(sunnybrook=lying)
    )
    said = ["predicted", "low", "high"]
    for one in (
        lambda of: answered_fold(network, of, part).patients[said],
        lambda of: twin_rows(patient_histograms(of), [part], of)[said],
    ):
        pd.testing.assert_frame_equal(one(cohort), one(other))


def _cohort(manifest: Path, landmarks: Path) -> ImageCohort:
    network, _ = read_trained(manifest.parent / "trained" / "repeat_1" / "fold_1" / WEIGHTS)
    return read_image_cohort(
        manifest, landmarks, target=SUNNYBROOK, config=network.config, quiet=True
    )


def test_the_reach_is_that_of_nine_patients_in_ten_whatever_their_visits() -> None:
    """Nineteen patients 1 to 19 points off, the last with thirty visits that are all right."""
    off = np.concatenate([np.arange(1.0, 20.0), np.zeros(30)])
    names = [f"P{at}" for at in range(1, 20)] + ["P20"] * 30
    rows = pd.DataFrame(
        {"image_id": [f"{at}.png" for at in range(49)], "patient_id": names, "sunnybrook": 50.0,
         "visit": [str(at) for at in range(49)], "predicted": 50 + off, "low": np.nan,
         "high": np.nan, "repeat": 1, "fold": 1, "model": "htnet", "branch": "deep"}
    )  # fmt: skip
    patients = to_patients(rows, target=SUNNYBROOK)
    found = learn_sureness(rows, patients, target=SUNNYBROOK)
    assert isinstance(found, PatientReach)
    assert (found.reach, found.patients, found.photographs) == (18.0, 20, 1)
    sure = made_sure(rows.head(2).assign(predicted=[50.0, 95.0]), sureness=found, target=SUNNYBROOK)
    np.testing.assert_allclose(sure[["low", "high"]], [[32, 68], [77, 100]])


def test_predict_gives_the_numbers_of_evaluate(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = pd.read_csv(study / "landmarks.csv").set_index("image_id").assign(reason="")

    def extract(photos: tuple[tuple[str, Path], ...], **_: object) -> object:
        return SimpleNamespace(table=known.loc[[name for name, _ in photos]].copy().reset_index())

    monkeypatch.setattr("htnet.commands.predict.extract_landmarks", extract)
    monkeypatch.setattr("htnet.palsy.points.find_predictor", no_predictor)
    weights = study / "trained" / "repeat_1" / "fold_1" / WEIGHTS
    tested = table(study / "scores" / "predictions.csv", unit="photograph").query("fold == 1")
    manifest = pd.read_csv(study / "manifest.csv").set_index("image_id").loc[tested["image_id"]]
    manifest["path"] = [str(study / name) for name in manifest["path"]]
    manifest.drop(columns="sunnybrook").to_csv(tmp_path / "new.csv")
    found = predict(tmp_path / "new.csv", weights=(weights,), out=tmp_path / "out", threads=1)
    photographs = read_table(
        tmp_path / "out" / "photograph_grades.csv", schema=photograph_grades_schema(SUNNYBROOK)
    )
    ours = photographs.set_index("image_id")["predicted"].loc[tested["image_id"]]
    np.testing.assert_allclose(ours, tested["predicted"], atol=1e-3)
    patients = read_table(
        tmp_path / "out" / "patient_grades.csv", schema=patient_grades_schema(SUNNYBROOK)
    )
    own = table(study / "scores" / "patient_predictions.csv")
    own = own.query("fold == 1 and model == 'htnet'").set_index(["patient_id", "visit"])
    same = patients.set_index(["patient_id", "visit"]).loc[own.index]
    whole = same[same["photographs"] == 2]
    for name in ("predicted", "low", "high"):
        np.testing.assert_allclose(whole[name], own.loc[whole.index, name], atol=1e-3)
    assert same.loc[same["photographs"] < 2, "low"].isna().all()
    assert (found.patients["calibrated"] == (found.patients["photographs"] >= 2)).all()


@pytest.mark.parametrize("target", [SUNNYBROOK, TARGETS["six_grades"]])
def test_where_no_face_is_found_the_table_of_patients_is_empty(
    target: AnyTarget, tmp_path: Path
) -> None:
    lost = pd.DataFrame({"image_id": ["a.png"], "status": ["no_face"], "reason": ["none found"]})
    photographs = photograph_grades(
        lost, [], patients={"a.png": "a"}, seen=SeenInTraining(None), target=target
    )
    sureness = [read_sureness(tmp_path, target=target)]
    patients = patient_grades(photographs, [], sureness=sureness, target=target)
    schema = patient_grades_schema(target)
    write_table(patients, tmp_path / "patients.csv", schema=schema)
    assert read_table(tmp_path / "patients.csv", schema=schema).empty


def test_what_works_on_classes_or_is_out_of_range_is_refused(study: Path, tmp_path: Path) -> None:
    weights = study / "trained" / "repeat_1" / "fold_1" / WEIGHTS
    tables = {"landmarks": study / "landmarks.csv", "out": tmp_path / "out", "threads": 1}
    with pytest.raises(UserError, match="htnet explain works on classes, and sunnybrook is a"):
        explain(weights, study / "manifest.csv", **tables)
    manifest = pd.read_csv(study / "manifest.csv")
    manifest.loc[3, "sunnybrook"] = 120
    manifest["path"] = [str(study / name) for name in manifest["path"]]
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    with pytest.raises(UserError, match=r"row 5: .*is 120 but the scale goes from 0 to 100"):
        evaluate(study / "trained", tmp_path / "manifest.csv", **tables)
    copied = shutil.copytree(study / "trained", tmp_path / "trained")
    with pytest.raises(UserError, match=r"target\.name: sunnybrook there, eface now"):
        train(
            _renamed(study, tmp_path / "eface.csv"), landmarks=study / "landmarks.csv", out=copied,
            recipe=str(study / "recipe.yaml"), target="eface", n_folds=2, threads=1,
        )  # fmt: skip


def _renamed(study: Path, path: Path) -> Path:
    manifest = pd.read_csv(study / "manifest.csv").rename(columns={"sunnybrook": "eface"})
    manifest["path"] = [str(study / name) for name in manifest["path"]]
    manifest.to_csv(path, index=False)
    return path
