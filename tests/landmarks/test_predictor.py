from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dlib
import numpy as np
import pytest

import landmarks.predictor as predictor_module
from common.errors import UserError
from common.files import sha256_of
from landmarks.predictor import PREDICTORS, PredictorFile, find_predictor


def refusal(name_or_path: str | Path) -> str:
    with pytest.raises(UserError) as caught:
        find_predictor(str(name_or_path)).load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def five_points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole dlib shape predictor, of five points; trained in a moment on noise."""
    noise = np.random.default_rng(0).integers(0, 256, (80, 80), dtype=np.uint8)
    box = dlib.rectangle(10, 10, 69, 69)
    shapes = [
        dlib.full_object_detection(
            box, dlib.points([dlib.point(20 + 8 * i, 30 + s) for i in range(5)])
        )
        for s in range(3)
    ]
    options = dlib.shape_predictor_training_options()
    options.cascade_depth = options.tree_depth = options.num_trees_per_cascade_level = 1
    options.feature_pool_size, options.num_threads = 4, 1
    path = tmp_path_factory.mktemp("models") / "five_points.dat"
    dlib.train_shape_predictor([noise] * 3, [[s] for s in shapes], options).save(str(path))
    return path


def test_the_installed_predictor_is_the_published_file() -> None:
    found = find_predictor("ibug")
    assert found.sha256 == PREDICTORS["ibug"].sha256 == sha256_of(found.path)
    assert found.load().__class__ is dlib.shape_predictor


def test_a_predictor_is_taken_by_path_too() -> None:
    path = find_predictor("ibug").path
    assert find_predictor(str(path)) == PredictorFile(path.name, path, sha256_of(path))


def test_an_unknown_name_gets_the_list_and_a_suggestion() -> None:
    sentence = refusal("ibgu")
    assert "ibug, mee, mee2, mee3, gtx" in sentence
    assert 'Did you mean "ibug"?' in sentence


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    assert "none.dat does not exist" in refusal(tmp_path / "none.dat")
    assert "does not exist" in refusal(tmp_path)


def test_a_named_model_that_was_not_brought_says_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor_module, "MODELS_FOLDER", tmp_path)
    sentence = refusal("mee2")
    assert str(tmp_path / PREDICTORS["mee2"].file_name) in sentence
    assert "put your copy there" in sentence


def test_a_named_model_is_found_once_it_was_brought(
    tmp_path: Path, five_points: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor_module, "MODELS_FOLDER", tmp_path)
    (tmp_path / PREDICTORS["mee2"].file_name).write_bytes(five_points.read_bytes())
    assert find_predictor("mee2").sha256 == sha256_of(five_points)


def test_a_truncated_model(tmp_path: Path) -> None:
    whole = find_predictor("ibug").path.read_bytes()
    for share in (0.0, 0.3, 0.9999):
        cut = tmp_path / "cut.dat"
        cut.write_bytes(whole[: int(share * len(whole))])
        sentence = refusal(cut)
        assert "not a whole dlib shape predictor" in sentence
        assert str(cut) in sentence
        assert "--predictor" in sentence


@pytest.mark.parametrize("content", [b"not a model at all", bytes(1000), b"\x01" * 5000])
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "wrong.dat").write_bytes(content)
    assert "not a whole dlib shape predictor" in refusal(tmp_path / "wrong.dat")


def test_a_face_detector_is_no_predictor() -> None:
    assert "not a whole dlib shape predictor" in refusal(predictor_module.CNN_DETECTOR.path)


def test_a_model_of_five_points_is_refused(five_points: Path) -> None:
    assert "predicts 5 points and 68 are needed" in refusal(five_points)


def test_an_installed_file_that_was_changed_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / PREDICTORS["ibug"].file_name).write_bytes(b"something else")
    monkeypatch.setattr(predictor_module, "_package_folder", lambda: tmp_path)
    assert "is not the file that was published" in refusal("ibug")
    (tmp_path / PREDICTORS["ibug"].file_name).unlink()
    assert "install face_recognition_models again" in refusal("ibug")


def test_a_missing_model_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor_module, "MODEL_PACKAGE", "no_such_package_anywhere")
    assert "no_such_package_anywhere is missing" in refusal("ibug")


def test_every_model_states_purpose_and_licence() -> None:
    for model in (*PREDICTORS.values(), predictor_module.CNN_DETECTOR):
        assert model.purpose
        assert model.licence
        assert replace(model, packaged=False).path.name == model.file_name
    assert "excludes commercial use" in PREDICTORS["ibug"].licence
