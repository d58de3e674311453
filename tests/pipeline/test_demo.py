"""The demo in small: the whole story runs, and its report says what happened."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from common.errors import UserError
from pipeline.demo import demo


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    result = demo(out=out, patients=12, seed=3)
    assert result.exit_code == 0
    assert result.report == out / "report.html"
    return out


def test_every_stage_leaves_its_tables(finished: Path) -> None:
    manifest = pd.read_csv(finished / "manifest.csv")
    features = pd.read_csv(finished / "measurements" / "features.csv")
    predictions = pd.read_csv(finished / "benchmark" / "predictions.csv")
    assert len(manifest) == 12 * 8
    assert list(features["image_id"]) == list(manifest["image_id"])
    assert (features["status"] == "ok").mean() >= 0.97
    assert set(predictions["image_id"]) == set(features.loc[features["status"] == "ok", "image_id"])
    assert sorted(manifest["hb_grade"].unique()) == [1, 2, 3, 4, 5, 6]


def test_no_patient_is_learned_from_and_tested(finished: Path) -> None:
    folds = pd.read_csv(finished / "benchmark" / "folds.csv")
    assert (folds.groupby(["repeat", "patient_id"])["fold"].nunique() == 1).all()


def test_the_report_is_one_offline_file_with_its_warning(finished: Path) -> None:
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "simulated" in page
    assert "does not diagnose" in page
    assert "<script" not in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(source.startswith(("data:image/", "#")) for source in sources)
    pictures = [source for source in sources if source.startswith("data:")]
    assert len(pictures) >= 1 + 1 + 6 + 1  # sheet, portrait, six grades, features
    for picture in pictures:
        assert len(base64.b64decode(picture.split(",")[1])) > 1000


def test_the_record_names_what_went_in(finished: Path) -> None:
    record = json.loads((finished / "measurements" / "run.json").read_text(encoding="utf-8"))
    assert record["counts"]["ok"] >= 93
    assert len(record["files"]["predictor"]["sha256"]) == 64
    assert str(finished) not in json.dumps(record)


def test_too_few_patients_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--patients is 5: give 12 or more"):
        demo(out=tmp_path / "x", patients=5)
    assert not (tmp_path / "x").exists()
