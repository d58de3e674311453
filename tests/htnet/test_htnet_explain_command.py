"""htnet explain on drawn faces, with a network that nobody trained: what it writes, for whom."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from common.errors import UserError
from common.grading.target import target_named
from features.registry import FEATURE_NAMES
from htnet.commands.explain import ExplainResult, explain
from htnet.network.configuration import ROI_REGIONS
from htnet.network.htnet import HTNet
from htnet.network.weights import save_weights
from htnet.palsy.recipe import Recipe
from htnet.palsy.training import PATIENTS, WEIGHTS
from htnet.recipe import recipe_from
from tests.htnet.drawn_faces import RECIPE, write_cohort

CLASSES = target_named("six_grades").classes


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawn patients, measured features, and a network that reads them and knows three."""
    folder = tmp_path_factory.mktemp("study")
    torch.set_num_threads(1)
    write_cohort(folder, patients=8, photos=1)
    manifest = pd.read_csv(folder / "manifest.csv")
    table = pd.DataFrame({"image_id": manifest["image_id"], "status": "ok"})
    for name in FEATURE_NAMES:
        table[name] = np.linspace(0, 1, len(table))
    table.loc[3, "f5"] = np.nan
    table.to_csv(folder / "features.csv", index=False)
    torch.manual_seed(0)
    config = recipe_from(Recipe, RECIPE, source="test").config(num_classes=6)
    network = HTNet(**{**vars(config), "features": FEATURE_NAMES})
    torch.nn.init.normal_(network.feature_reader.to_logits.weight, std=0.3)
    save_weights(network, folder / WEIGHTS, notes={"classes": CLASSES})
    known = pd.DataFrame({"patient_id": ["P0", "P1", "P2"], "part": "train"})
    known.to_csv(folder / PATIENTS, index=False)
    return folder


def explained(study: Path, out: Path, *, weights: Path | None = None, **options: object):
    return explain(
        weights or study / WEIGHTS, study / "manifest.csv", landmarks=study / "landmarks.csv",
        features=study / "features.csv", out=out, threads=1, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def written(study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ExplainResult, Path]:
    """Figures are made but not turned into PNG, which takes most of the time."""
    out = tmp_path_factory.mktemp("maps")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("htnet.palsy.pictures.figure_png", lambda figure: b"not drawn")
        return explained(study, out), out


def test_pictures_of_a_named_photograph_whoever_learned_from_it(
    study: Path, tmp_path: Path
) -> None:
    result = explained(study, tmp_path, image=("P2_0.png",))
    assert result.places["image_id"].tolist() == ["P2_0.png"]
    whole = cv2.imread(str(tmp_path / "P2_0.png"))
    assert whole.shape[1] > 2 * whole.shape[0]
    mouth = cv2.imread(str(tmp_path / "regions" / "P2_0_mouth.png"))
    assert mouth.std() > 20
    with pytest.raises(UserError, match=r'no usable photograph "P5_9.png"\. Did you mean'):
        explained(study, tmp_path, image=("P5_9.png",))


def test_patients_whom_the_network_did_not_learn_from_are_shown(
    written: tuple[ExplainResult, Path],
) -> None:
    """Of P3 to P7, grades IV, V, VI, I, II, one photograph of each."""
    result, out = written
    assert result.places["image_id"].tolist() == [f"P{at}_0.png" for at in (6, 7, 3, 4, 5)]
    assert result.places["side"].tolist() == ["none", "left", "right", "right", "right"]
    assert result.report is not None
    assert set(result.report.photographs["patient_id"]) == {"P3", "P4", "P5", "P6", "P7"}
    assert {path.name for path in out.glob("P*.png")} == set(result.places["image_id"])


def test_each_roi_region_has_its_picture_and_its_overlap(
    written: tuple[ExplainResult, Path],
) -> None:
    result, out = written
    found = {path.name for path in (out / "regions").iterdir()}
    stems = [name.removesuffix(".png") for name in result.places["image_id"]]
    assert found == {f"{stem}_{region}.png" for stem in stems for region in ROI_REGIONS}
    for region in ROI_REGIONS:
        assert result.places[f"overlap_{region}"].between(0, 1).all()


def test_measured_features_reach_the_answers_and_the_record(
    study: Path, written: tuple[ExplainResult, Path]
) -> None:
    result, out = written
    assert "features" in json.loads((out / "run.json").read_text())["files"]
    table = pd.read_csv(study / "features.csv")
    changed = study / "changed.csv"
    table.assign(f0=5.0).to_csv(changed, index=False)
    other = explain(
        study / WEIGHTS, study / "manifest.csv", landmarks=study / "landmarks.csv",
        features=changed, out=out / "changed", image=("P5_0.png",), threads=1,
    )  # fmt: skip
    before = result.explanations[-1].probabilities
    assert np.abs(other.explanations[0].probabilities - before).max() > 0.05
    with pytest.raises(UserError, match=r"reads the measured features f0 to f28 .*--features"):
        explain(
            study / WEIGHTS, study / "manifest.csv", landmarks=study / "landmarks.csv",
            out=out / "none", threads=1,
        )  # fmt: skip


def test_the_table_of_grades_says_how_far_patients_spread(
    written: tuple[ExplainResult, Path],
) -> None:
    result, out = written
    table = pd.read_csv(out / "asymmetry_by_grade.csv")
    assert list(table.columns) == [
        "hb_grade", "patients", "mean", "low", "high", "std", "min", "max",
    ]  # fmt: skip
    assert table["patients"].tolist() == [1, 1, 1, 1, 1]
    assert table[["low", "high", "std"]].isna().all(axis=None)  # of one patient nobody knows
    kept = json.loads((out / "asymmetry.json").read_text())
    assert kept["by_grade"][0]["std"] is None
    assert result.report is not None
    assert result.report.by_grade["hb_grade"].tolist() == [1, 2, 4, 5, 6]


def test_of_weights_alone_nobody_knows_whom_they_learned_from(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("htnet.palsy.pictures.figure_png", lambda figure: b"not drawn")
    with pytest.raises(UserError, match='No photograph shows the task "rest"'):
        explained(study, tmp_path / "a", task="rest")
    shutil.copy(study / WEIGHTS, tmp_path)
    result = explained(
        study, tmp_path / "b", weights=tmp_path / WEIGHTS, image=("P0_0.png", "P7_0.png")
    )
    assert result.places["side"].tolist() == ["none", "left"]
    assert result.report is not None
    assert len(result.report.photographs) == 8
