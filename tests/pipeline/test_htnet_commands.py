"""htnet train, evaluate, predict and explain, end to end on drawn faces."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import run_pipeline
from classifiers.folds import make_folds, write_folds
from classifiers.predictions import read_predictions
from common.errors import UserError
from htnet.training import WEIGHTS
from landmarks.points import POINT_COLUMNS
from pipeline.command_line import build_app, run
from pipeline.htnet import evaluate, train
from pipeline.htnet_explain import explain
from pipeline.htnet_predict import camera_frame
from tests.htnet.drawn_faces import RECIPE, drawn_face

PATIENTS, PHOTOS = 12, 2


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, manifest, landmarks, recipe and trained folds of a drawn cohort."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("study")
    rows, points = [], []
    for patient in range(PATIENTS):
        grade = patient % 6 + 1
        side = "none" if grade == 1 else ("right", "left")[patient // 6]
        for photo in range(PHOTOS):
            pixels, where = drawn_face(grade, side=side, seed=10 * patient + photo, size=80)
            name = f"P{patient}_{photo}.png"
            cv2.imwrite(str(folder / name), pixels[..., ::-1])
            rows.append(
                {"image_id": name, "path": name, "patient_id": f"P{patient}", "side": side,
                 "hb_grade": grade, "task": "full_smile"}
            )  # fmt: skip
            points.append(where.reshape(-1))
    manifest = pd.DataFrame(rows)
    landmarks = pd.DataFrame(points, columns=list(POINT_COLUMNS))
    landmarks.insert(0, "image_id", manifest["image_id"])
    landmarks.insert(1, "status", "ok")
    landmarks.insert(2, "reason", "")
    landmarks.loc[1, "status"], landmarks.loc[1, "reason"] = "no_face", "no face was found"
    landmarks.loc[1, list(POINT_COLUMNS)] = np.nan
    manifest.to_csv(folder / "manifest.csv", index=False)
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
    result = trained(study, out)
    assert result.exit_code == 3  # one photograph has no face
    assert result.complaints == (
        "P0_1.png is left out: its status is no_face (no face was found).",
    )
    return out


@pytest.fixture(scope="module")
def monkeypatch_module() -> object:
    """Allow a class to be missing: a dozen patients cannot fill six grades twice."""
    with pytest.MonkeyPatch.context() as patch:
        import htnet.training

        patch.setattr(htnet.training, "_check_classes", lambda *_, **__: None)
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
    metrics = json.loads((out / "metrics.json").read_text())
    assert "majority" in metrics["per_patient"]["models"]
    assert set(metrics["per_patient"]["per_class"]["htnet"]) == set("123456")
    assert (out / "confusion_per_patient.png").exists()
    assert result.exit_code == 3


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


def test_explain_writes_pictures_and_places(study: Path, folds: Path, tmp_path: Path) -> None:
    result = explain(
        folds / "repeat_1" / "fold_1" / WEIGHTS, study / "manifest.csv",
        landmarks=study / "landmarks.csv", out=tmp_path, image=("P5_0.png",), threads=1,
    )  # fmt: skip
    assert (tmp_path / "P5_0.png").stat().st_size > 10_000
    assert result.places["side"].tolist() == ["right"]
    assert result.report is not None
    assert (tmp_path / "asymmetry.csv").exists()
    with pytest.raises(UserError, match=r'no usable photograph "P5_9.png"\. Did you mean'):
        explain(
            folds / "repeat_1" / "fold_1" / WEIGHTS, study / "manifest.csv",
            landmarks=study / "landmarks.csv", out=tmp_path, image=("P5_9.png",),
        )  # fmt: skip


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
