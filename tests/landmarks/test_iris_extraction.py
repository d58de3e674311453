"""Irises in an extraction: scales, given radii, resumed runs, and what must not change."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from features.commands.extract import extract
from features.commands.features import features
from features.registry import DISTANCE_NAMES
from landmarks.find.extraction import extract_landmarks
from landmarks.predictor import find_predictor
from landmarks.scale import IRIS_DIAMETER_MM, Scale
from landmarks.tables import read_irises, read_landmarks
from tests.landmarks.emotrics_files import write_emotrics_folder

pytestmark = pytest.mark.usefixtures("workers_here")


@pytest.fixture(scope="module")
def photos(tmp_path_factory, portrait) -> Path:
    """The portrait enlarged, with one eye painted over, and a picture without a face."""
    folder = tmp_path_factory.mktemp("photos")
    large = cv2.resize(portrait, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    shut = large.copy()
    shut[280:340, 700:780] = large[360, 700]  # the patient's left eye, in the colour of the cheek
    for name, rgb in (("a.png", large), ("b.png", shut), ("c.png", large[:200, :200])):
        cv2.imwrite(str(folder / name), rgb[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def in_mm(photos, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("mm")
    assert extract(photos, out=out, scale="iris", tta=0, jobs=1).exit_code == 3
    return out


def table(out: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(out / name, index_col="image_id")


def test_irises_give_the_scale(in_mm):
    irises = read_irises(in_mm / "irises.csv")
    landmarks = read_landmarks(in_mm / "landmarks.csv").set_index("image_id")
    radii = [irises["a.png"].right.radius, irises["a.png"].left.radius]
    assert landmarks.at["a.png", "mm_per_px"] == pytest.approx(IRIS_DIAMETER_MM / sum(radii))
    one = irises["b.png"]
    assert (one.right.status, np.isnan(one.left.radius)) == ("ok", True)
    assert one.left.reason
    assert landmarks.at["b.png", "mm_per_px"] == pytest.approx(
        IRIS_DIAMETER_MM / (2 * one.right.radius)
    )
    assert irises["c.png"].right.status == "no_face"
    assert np.isnan(landmarks.at["c.png", "mm_per_px"])
    assert json.loads((in_mm / "run.json").read_text())["notes"]["unit"] == "mm"


def test_distances_scale_and_features_do_not(photos, in_mm, tmp_path):
    extract(photos, out=tmp_path / "px", tta=0, jobs=1)
    extract(photos, out=tmp_path / "box", scale="box", tta=0, jobs=1)
    in_px = table(tmp_path / "px", "dists.csv")[list(DISTANCE_NAMES)]
    landmarks = table(in_mm, "landmarks.csv")
    by_mm = table(in_mm, "dists.csv")[list(DISTANCE_NAMES)]
    assert by_mm.to_numpy() == pytest.approx(
        in_px.mul(landmarks["mm_per_px"], axis="index").to_numpy(), nan_ok=True
    )
    size = landmarks[["box_right", "box_bottom"]].to_numpy() + 1
    size = size - landmarks[["box_left", "box_top"]].to_numpy()
    by_box = table(tmp_path / "box", "dists.csv")[list(DISTANCE_NAMES)]
    assert by_box.to_numpy() == pytest.approx(
        in_px.div(np.hypot(*size.T), axis="index").to_numpy(), nan_ok=True
    )
    same = {
        (folder / "features.csv").read_bytes()
        for folder in (tmp_path / "px", tmp_path / "box", in_mm)
    }
    assert len(same) == 1
    assert not (tmp_path / "px" / "irises.csv").exists()
    units = [
        set(table(out, "measures.csv")["unit"])
        for out in (tmp_path / "px", tmp_path / "box", in_mm)
    ]
    assert units == [{"px"}, {"box diagonal"}, {"mm"}]


def test_a_resumed_run_is_the_same_to_the_byte(photos, in_mm, tmp_path):
    out = tmp_path / "out"
    listed = [(name, photos / name) for name in ("a.png", "b.png", "c.png")]
    about = {"out": out, "predictor": find_predictor(), "scale": Scale("iris"), "jobs": 1}
    extract_landmarks(listed[:1], **about)
    assert extract_landmarks(listed, **about).resumed == 1
    for name in ("landmarks.csv", "irises.csv"):
        assert (out / name).read_bytes() == (in_mm / name).read_bytes()
    # Another scale is another question: what the journal holds does not answer it.
    assert extract_landmarks(listed[:1], **{**about, "scale": Scale()}).resumed == 0
    assert not (out / "irises.csv").exists()


def test_given_radii_and_given_mm_per_px(photos, tmp_path):
    ids = ["a.png", "b.png"]
    manifest = pd.DataFrame(
        {"image_id": ids, "path": [str(photos / name) for name in ids], "patient_id": ["1", "2"],
         "iris_radius_left": [np.nan, 12.5], "side": ["left", "right"]}
    )  # fmt: skip
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    extract(tmp_path / "manifest.csv", out=tmp_path / "iris", scale="iris", tta=0, jobs=1)
    irises = read_irises(tmp_path / "iris" / "irises.csv")
    assert irises["b.png"].left.radius == 12.5
    measures = table(tmp_path / "iris", "measures.csv")
    assert list(measures["healthy_side"]) == ["right", "left"]
    assert measures["brow_height_affected_minus_healthy"].notna().all()
    extract(photos / "a.png", out=tmp_path / "mm", mm_per_px=0.25, tta=0, jobs=1)
    assert table(tmp_path / "mm", "landmarks.csv")["mm_per_px"].tolist() == [0.25]


def test_scale_and_mm_per_px_exclude_each_other(photos, tmp_path):
    with pytest.raises(UserError, match="exclude each other"):
        extract(photos, out=tmp_path / "out", scale="iris", mm_per_px=0.2)
    assert not (tmp_path / "out").exists()


def test_features_takes_up_irises_and_unit(in_mm, tmp_path):
    features(in_mm / "landmarks.csv", out=tmp_path / "again", unit="mm")
    for name in ("dists.csv", "features.csv", "measures.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (in_mm / name).read_bytes()


def test_features_reads_a_folder_of_emotrics(in_mm, tmp_path):
    landmarks = read_landmarks(in_mm / "landmarks.csv")
    write_emotrics_folder(landmarks, tmp_path / "in", irises=read_irises(in_mm / "irises.csv"))
    features(tmp_path / "in", out=tmp_path / "out", unit="mm")
    ours, theirs = table(in_mm, "measures.csv"), table(tmp_path / "out", "measures.csv")
    assert list(theirs["frame"]) == ["irises", "eye_corners"]
    heights = [f"commissure_height_{side}" for side in ("right", "left")]
    found = theirs.rename(index=lambda name: name.replace(".jpg", ".png"))[heights]
    # Emotrics keeps whole px: an iris of 12 px is off by up to 4 %.
    assert found.to_numpy() == pytest.approx(ours.loc[found.index, heights].to_numpy(), rel=0.06)


def test_mm_without_any_scale_is_refused(photos, tmp_path):
    extract(photos / "a.png", out=tmp_path / "px", tta=0, jobs=1)
    with pytest.raises(UserError, match="no mm_per_px"):
        features(tmp_path / "px" / "landmarks.csv", out=tmp_path / "mm", unit="mm")
