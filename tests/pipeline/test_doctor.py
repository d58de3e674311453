from __future__ import annotations

from pathlib import Path

import pytest

import landmarks.predictor as predictor_module
from landmarks.predictor import CNN_DETECTOR, PREDICTORS
from pipeline.commands.doctor import astronaut_portrait, doctor


def test_all_is_well_here(capsys: pytest.CaptureFixture) -> None:
    diagnosis = doctor()
    shown = capsys.readouterr().out
    assert (diagnosis.problems, diagnosis.exit_code) == ((), 0)
    for model in (*PREDICTORS.values(), CNN_DETECTOR):
        assert model.file_name in shown
        assert model.licence in shown
    for model in (PREDICTORS["ibug"], CNN_DETECTOR):
        assert f"{model.sha256} (as published)" in shown
    assert "excludes commercial use" in shown
    for package in ("python", "numpy", "opencv-python-headless"):
        assert package in shown
    assert "not installed" not in shown
    assert "Self-test on the portrait: face found by hog_200" in shown
    assert "29 features" in shown
    assert "does not diagnose" in shown


def test_a_model_file_that_was_changed_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "models [old]"
    folder.mkdir()
    for model in (PREDICTORS["ibug"], CNN_DETECTOR):
        (folder / model.file_name).write_bytes(b"damaged")
    (folder / CNN_DETECTOR.file_name).write_bytes(CNN_DETECTOR.path.read_bytes())
    monkeypatch.setattr(predictor_module, "_package_folder", lambda: folder)
    diagnosis = doctor()
    shown = capsys.readouterr().out
    assert diagnosis.exit_code == 4
    (problem,) = diagnosis.problems
    assert f"{PREDICTORS['ibug'].file_name} is not the published file" in problem
    assert f"Problem: {problem}" in shown
    assert "(WRONG)" in shown
    assert "All is well" not in shown
    assert "Self-test" not in shown


def test_a_model_file_that_is_missing_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(predictor_module, "_package_folder", lambda: tmp_path)
    diagnosis = doctor()
    assert diagnosis.exit_code == 4
    assert len(diagnosis.problems) == 2
    assert all("is missing" in problem for problem in diagnosis.problems)


def test_a_model_that_was_brought_shows_its_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(predictor_module, "MODELS_FOLDER", tmp_path)
    (tmp_path / PREDICTORS["mee"].file_name).write_bytes(b"abc")
    assert doctor().exit_code == 0
    shown = capsys.readouterr().out
    assert "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad (your copy)" in shown


def test_the_portrait_is_where_it_should_be() -> None:
    assert astronaut_portrait().name == "astronaut.png"
