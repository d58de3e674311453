"""`micro fit` and `micro predict`: a kept model; clips from a folder, a video and a camera."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from common.errors import UserError
from common.files import write_json
from common.tables import read_table, write_table
from htnet.micro.clips import reader
from htnet.micro.clips.maps import TOGETHER, FlowMaps
from htnet.micro.clips.reader import FlowSettings
from htnet.micro.clips.sources import class_set_named, read_clips
from htnet.micro.clips.store import FLOW, FLOW_FILE, RegionStore, write_maps
from htnet.micro.commands import predict as micro_predict
from htnet.micro.commands.fit import fit
from htnet.micro.commands.predict import find_clip, predict, prediction_schema, record_clip
from htnet.micro.models.baselines import KernelRidge
from htnet.micro.models.htnet import flow_model
from htnet.micro.models.kept import (
    CARD,
    WEIGHTS,
    HTNetGrader,
    KeptGrader,
    KernelRidgeGrader,
    RoiGrader,
    load_grader,
    save_grader,
)
from htnet.micro.models.roi import RoiConfig, build_roi
from landmarks.find.finder import LandmarkFinder

pytestmark = pytest.mark.usefixtures("workers_here")

CLASSES = ("brows up", "brows down")
FIRST, APEX, LAST = 8, 13, 18  # frame numbers with one and two digits
MARKED = {"onset": FIRST, "apex": APEX, "offset": LAST}  # so that they need not be found


@pytest.fixture(autouse=True)
def one_thread_and_one_finder(finder: LandmarkFinder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The landmark model is loaded once for all tests, for it takes longer than a clip."""
    torch.set_num_threads(1)
    for module in (micro_predict, reader):
        monkeypatch.setattr(module, "LandmarkFinder", lambda _: finder)


@pytest.fixture(scope="session")
def clip(portrait: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The portrait raising the brows and lowering them again: frames 8 to 18, strongest in 13."""
    folder = tmp_path_factory.mktemp("clips") / "raised"
    folder.mkdir()
    for number, frame in drawn_frames(portrait).items():
        cv2.imwrite(str(folder / f"img{number}.png"), frame)
    return folder


def drawn_frames(portrait: NDArray[np.uint8]) -> dict[int, NDArray[np.uint8]]:
    """BGR frames by number."""
    bgr = cv2.cvtColor(portrait, cv2.COLOR_RGB2BGR)
    rows, columns = np.mgrid[: bgr.shape[0], : bgr.shape[1]].astype(np.float32)
    brows = np.exp(-(((rows - 82) / 16) ** 2 + ((columns - 225) / 50) ** 2)).astype(np.float32)
    frames = {}
    for number in range(FIRST, LAST + 1):
        strength = 4 * np.cos(np.pi * (number - APEX) / 10) ** 2  # px, upwards
        frames[number] = cv2.remap(
            bgr, columns, rows + np.float32(strength) * brows, cv2.INTER_CUBIC
        )
    return frames


def brow_maps(count: int = 6) -> NDArray[np.float32]:
    """Flow maps of brows that go up and down in turn."""
    rows = np.mgrid[:28, :28][0]
    brows = np.exp(-(((rows - 8) / 2.0) ** 2)).astype(np.float32)
    maps = 0.0005 * np.random.default_rng(0).standard_normal((count, 28, 28, 3))
    maps[:, :, :, 1] += 0.01 * brows * np.where(np.arange(count) % 2, 1, -1)[:, None, None]
    return maps.astype(np.float32)


def brow_clips(count: int = 6) -> FlowMaps:
    names = np.array([f"clip{number}" for number in range(count)])
    return FlowMaps(
        maps=brow_maps(count),
        centres=np.zeros((count, 5, 2), np.float32),
        clip_id=names,
        dataset=np.full(count, "drawn"),
        subject=np.array([f"drawn/s{number // 2}" for number in range(count)]),
        label=np.arange(count, dtype=np.int64) % 2,
        classes=CLASSES,
        scaling="physical",
    )


@pytest.fixture(scope="session")
def ridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ridge")
    grader = KernelRidgeGrader.fit(brow_clips())
    needs = FlowSettings(method="dis", scaling="physical")
    save_grader(KeptGrader(grader, CLASSES, needs, {"model": "kernel-ridge"}), folder)
    return folder


SMALL = RoiConfig(
    model="graph", num_classes=2, regions=TOGETHER, size=16, channels=(4, 4, 4, 8), feed_forward=8
)


def kept_roi(folder: Path, config: RoiConfig = SMALL) -> Path:
    torch.manual_seed(0)
    networks = tuple(build_roi(config).eval() for _ in range(2))
    needs = FlowSettings(method="dis", scaling="physical", regions=config.regions, region_size=32)
    save_grader(KeptGrader(RoiGrader(networks), CLASSES, needs, {"model": "graph"}), folder)
    return folder


# --- predict -----------------------------------------------------------------------------------


def test_a_clip_is_found_in_time_answered_and_drawn(
    clip: Path, ridge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = predict(clip, model=ridge, out=tmp_path)
    row = result.prediction.iloc[0]
    assert (result.exit_code, row["status"], row["clip"]) == (0, "ok", "raised")
    assert abs(row["apex"] - APEX) <= 1
    assert FIRST <= row["onset"] < row["apex"] < row["offset"] <= LAST
    assert row["predicted"] == "brows up"
    assert pd.isna(row["reason"])
    assert row["p_brows up"] + row["p_brows down"] == pytest.approx(1)
    written = read_table(tmp_path / "prediction.csv", schema=prediction_schema(CLASSES))
    assert written["p_brows up"].iloc[0] == row["p_brows up"]
    for name in ("flow.png", "motion.png"):
        assert cv2.imread(str(tmp_path / name)).std() > 5
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["counts"] == {"frames": LAST - FIRST + 1}
    assert set(record["files"]) == {"model", "weights"}
    assert str(clip.parent) not in (tmp_path / "run.json").read_text(encoding="utf-8")
    assert "brows up" in capsys.readouterr().out


def test_a_roi_model_answers_with_the_share_of_its_regions(clip: Path, tmp_path: Path) -> None:
    result = predict(clip, model=kept_roi(tmp_path / "model"), out=tmp_path, **MARKED)
    row = result.prediction.iloc[0]
    assert (row["onset"], row["apex"], row["offset"]) == (FIRST, APEX, LAST)
    assert row[["p_brows up", "p_brows down"]].sum() == pytest.approx(1)
    assert tuple(result.importance) == TOGETHER
    assert sum(result.importance.values()) == pytest.approx(1)
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["notes"]["region_importance"] == result.importance


def test_a_video_is_read_with_its_frames_from_one(
    portrait: NDArray[np.uint8], ridge: Path, tmp_path: Path
) -> None:
    path = tmp_path / "clip.avi"
    size = portrait.shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, size)
    for frame in drawn_frames(portrait).values():
        writer.write(frame)
    writer.release()
    row = predict(path, model=ridge, out=tmp_path).prediction.iloc[0]
    assert abs(row["apex"] - (APEX - FIRST + 1)) <= 1
    assert row["predicted"] == "brows up"


class DrawnCamera:
    """A camera that shows given frames and notes that it was let go."""

    def __init__(self, frames: list[NDArray[np.uint8]]) -> None:
        self.frames, self.shown, self.released = frames, 0, False

    def isOpened(self) -> bool:  # noqa: N802
        return bool(self.frames)

    def read(self) -> tuple[bool, Any]:
        self.shown += 1
        return True, self.frames[(self.shown - 1) % len(self.frames)]

    def release(self) -> None:
        self.released = True


def test_a_camera_records_for_as_long_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = DrawnCamera([np.full((4, 6, 3), shade, np.uint8) for shade in (10, 20, 30)])
    asked = []
    monkeypatch.setattr("cv2.VideoCapture", lambda n: asked.append(n) or camera)
    ticks = iter(np.arange(0, 100, 0.5))
    clip = record_clip(2, seconds=2.0, folder=tmp_path, clock=lambda: float(next(ticks)))
    assert (asked, camera.released) == ([2], True)
    assert list(clip.frames) == [1, 2, 3, 4]  # half a second each
    assert cv2.imread(str(clip.frames[2]))[0, 0].tolist() == [20, 20, 20]


def test_what_a_camera_sees_is_answered(
    portrait: NDArray[np.uint8], ridge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = DrawnCamera([frame[..., ::-1] for frame in drawn_frames(portrait).values()])
    monkeypatch.setattr(camera, "isOpened", lambda: camera.shown < len(camera.frames))
    monkeypatch.setattr("cv2.VideoCapture", lambda _: camera)
    row = predict(model=ridge, out=tmp_path, camera=0).prediction.iloc[0]
    assert (row["clip"], row["predicted"]) == ("camera", "brows up")


def test_a_clip_without_a_face_gets_its_reason_and_no_class(ridge: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((300, 300, 3), 90 + number, np.uint8))
    (tmp_path / "flow.png").write_bytes(b"of an earlier clip")
    result = predict(folder, model=ridge, out=tmp_path)
    row = result.prediction.iloc[0]
    assert (result.exit_code, row["status"]) == (4, "no_face")
    assert row["reason"]
    assert row[["predicted", "onset", "p_brows up"]].isna().all()
    assert not (tmp_path / "flow.png").exists()


def test_a_face_that_does_not_move_is_told(
    portrait: NDArray[np.uint8], ridge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "still"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        noisy = np.clip(portrait + rng.normal(0, 1.5, portrait.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(noisy, cv2.COLOR_RGB2BGR))
    row = predict(folder, model=ridge, out=tmp_path).prediction.iloc[0]
    assert row["peak_fraction"] < 0.002
    assert "hardly moves" in row["reason"]
    assert "hardly moves" in capsys.readouterr().err


def test_frames_that_are_given_must_be_there_and_in_order(
    clip: Path, ridge: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"--apex 40 is no frame of raised.*8 to 18"):
        predict(clip, model=ridge, out=tmp_path, apex=40)
    with pytest.raises(UserError, match="not in order"):
        predict(clip, model=ridge, out=tmp_path, onset=15, apex=12)


def test_sources_that_are_no_clips_are_told_apart(
    ridge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nothing").mkdir()
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "notes.txt").write_text("no clip")
    for name, words in (
        ("nothing", "no numbered frames"),
        ("absent", "does not exist"),
        ("broken.mp4", "cannot be read as a video"),
        ("notes.txt", "is no clip"),
    ):
        with pytest.raises(UserError, match=words):
            find_clip(tmp_path / name, folder=tmp_path)
    with pytest.raises(UserError, match="Give a clip's folder"):
        predict(model=ridge, out=tmp_path)
    monkeypatch.setattr("cv2.VideoCapture", lambda _: DrawnCamera([]))
    with pytest.raises(UserError, match="Camera 3 gives no picture"):
        record_clip(3, seconds=1, folder=tmp_path)
    monkeypatch.setattr("htnet.micro.commands.predict.MOST_BYTES", 100)
    camera = DrawnCamera([np.zeros((4, 6, 3), np.uint8)])
    monkeypatch.setattr("cv2.VideoCapture", lambda _: camera)
    with pytest.raises(UserError, match="too long: more than 1 frame of 6 x 4"):
        record_clip(0, seconds=0.01, folder=tmp_path, clock=iter([0.0, 0.0, 1.0]).__next__)


# --- kept models -------------------------------------------------------------------------------


def test_a_kept_model_answers_as_before_it_was_kept(tmp_path: Path, ridge: Path) -> None:
    maps = brow_maps(4)
    expected = KernelRidgeGrader.fit(brow_clips()).answers(maps)
    np.testing.assert_allclose(load_grader(ridge).grader.answers(maps), expected)
    windows = 0.01 * np.random.default_rng(0).standard_normal((3, 4, 3, 3, 32, 32))
    kept_roi(tmp_path)
    first, second = load_grader(tmp_path), load_grader(tmp_path)
    np.testing.assert_array_equal(first.grader.answers(windows), second.grader.answers(windows))
    assert first.needs == FlowSettings(
        method="dis", scaling="physical", regions=TOGETHER, region_size=32
    )


def test_kernel_ridge_fits_its_training_clips_and_is_that_of_the_baseline() -> None:
    clips = brow_clips()
    grader = KernelRidgeGrader.fit(clips)
    assert grader.answers(clips.maps).argmax(axis=1).tolist() == clips.label.tolist()
    held_out = clips.fold == 1
    kept = {
        name: value[~held_out]
        for name, value in vars(clips).items()
        if isinstance(value, np.ndarray)
    }
    inside = KernelRidgeGrader.fit(replace(clips, **kept))
    loso = KernelRidge().leave_one_subject_out(clips, seeds=(0,))[0].probabilities[0]
    np.testing.assert_allclose(inside.answers(clips.maps[held_out]), loso[held_out], atol=1e-5)


def test_weights_of_another_configuration_are_refused(tmp_path: Path) -> None:
    one = kept_roi(tmp_path / "one")
    other = kept_roi(tmp_path / "other", SMALL.model_copy(update={"channels": (4, 4, 4, 16)}))
    shutil.copy(other / WEIGHTS, one / WEIGHTS)
    with pytest.raises(UserError, match="another configuration"):
        load_grader(one)


def test_a_damaged_or_absent_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"holds no {CARD}"):
        load_grader(tmp_path)
    folder = kept_roi(tmp_path)
    (folder / WEIGHTS).write_bytes(b"half")
    with pytest.raises(UserError, match="cannot be read as a kept grader"):
        load_grader(folder)
    card = json.loads((kept_roi(tmp_path) / CARD).read_text(encoding="utf-8"))
    write_json(folder / CARD, {**card, "kind": "oracle"})
    with pytest.raises(UserError, match='no grader of the kind "oracle"'):
        load_grader(folder)


# --- fit ---------------------------------------------------------------------------------------


@pytest.fixture
def flow_folder(tmp_path: Path) -> Path:
    """What `micro flow` would write of six drawn clips of three subjects."""
    folder = tmp_path / "flow"
    maps = brow_clips()
    rows = pd.DataFrame(
        {
            "image_id": maps.clip_id,
            "patient_id": [f"s{number // 2}" for number in range(6)],
            "dataset": "drawn",
            "emotion": np.where(maps.label == 0, "surprise", "disgust"),
            "emotion3": np.where(maps.label == 0, "surprise", "negative"),
            "status": "ok",
            "reason": None,
            **dict.fromkeys(("onset", "apex", "offset"), 1),
            "apex_source": "annotated",
            **dict.fromkeys(("face_px", "head_px", "peak_px", "peak_fraction"), 1.0),
        }
    ).astype({"reason": object})
    write_table(rows, folder / FLOW_FILE, schema=FLOW)
    write_maps(
        folder / "maps.npz",
        maps=maps.maps,
        centres=maps.centres,
        rows=rows,
        scaling="physical",
        apex=np.zeros((6, 56, 56), np.uint8),
    )
    write_json(folder / "run.json", {"settings": {"method": "dis"}})
    return folder


def add_regions(folder: Path) -> None:
    store = RegionStore(folder, n_clips=6, regions=TOGETHER, size=16, scaling="physical")
    for row in range(6):
        store.put(row, np.full((4, 3, 3, 16, 16), 0.01 if row % 2 else -0.01, np.float16))
    store.close(range(6), clip_id=[f"clip{row}" for row in range(6)])


def test_a_fitted_kernel_ridge_can_predict(flow_folder: Path, tmp_path: Path, clip: Path) -> None:
    result = fit(flow_folder, out=tmp_path / "model", model="kernel-ridge")
    assert (result.exit_code, result.clips) == (0, 6)
    found = predict(clip, model=tmp_path / "model", out=tmp_path / "out", **MARKED)
    row = found.prediction.iloc[0]
    assert row["predicted"] == "surprise"
    assert row["p_positive"] < 0.1  # a class that was never shown


@pytest.mark.parametrize("inputs", ["whole", "mosaic"])
def test_a_fitted_htnet_is_kept_with_its_recipe_and_can_predict(
    inputs: str, flow_folder: Path, tmp_path: Path, clip: Path
) -> None:
    changes = (
        "network.dim=6", "network.heads=2", "network.block_repeats=[1,1,1]", "training.epochs=15",
        "training.learning_rate=0.01", f"training.input={inputs}",
    )  # fmt: skip
    out = tmp_path / "model"
    fit(flow_folder, out=out, model="htnet", change=changes, seed=3)
    assert sorted(path.name for path in out.iterdir()) == [CARD, "run.json", WEIGHTS]
    grader = load_grader(out).grader
    assert isinstance(grader, HTNetGrader)
    assert grader.model.recipe.training.input == inputs
    row = predict(clip, model=out, out=tmp_path / "out", **MARKED).prediction.iloc[0]
    assert row["status"] == "ok"
    assert row[["p_negative", "p_positive", "p_surprise"]].sum() == pytest.approx(1)
    clips = read_clips(flow_folder, class_set=class_set_named("composite3")).maps
    seen = grader.model.clips(clips).values
    answers = grader.answers(seen)
    assert answers.argmax(axis=1).tolist() == clips.label.tolist()  # learned by heart
    again = HTNetGrader.fit(clips, model=flow_model("small", changes=changes), seed=3)
    np.testing.assert_allclose(answers, again.answers(seen), atol=1e-6)


def test_a_fitted_roi_model_holds_a_network_for_each_validation_part(
    flow_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no region windows: run micro flow again with --regions"):
        fit(flow_folder, out=tmp_path / "model")
    add_regions(flow_folder)
    changes = (
        "network.size=16", "network.channels=[4,4,4,8]", "network.feed_forward=8",
        "training.epochs=2",
    )  # fmt: skip
    for name in ("one", "again"):
        fit(flow_folder, out=tmp_path / name, change=changes, seed=3, threads=1)
    kept = load_grader(tmp_path / "one")
    assert isinstance(kept.grader, RoiGrader)
    assert len(kept.grader.networks) == 3  # as many as subjects, less than five
    assert kept.needs.region_size == 16
    assert (tmp_path / "one" / WEIGHTS).read_bytes() == (tmp_path / "again" / WEIGHTS).read_bytes()
    with pytest.raises(UserError, match='Did you mean "epochs"'):
        fit(flow_folder, out=tmp_path / "model", change=("training.epoch=2",))


def test_maps_of_unknown_origin_are_no_ground_for_new_clips(flow_folder: Path) -> None:
    (flow_folder / "run.json").unlink()
    with pytest.raises(UserError, match="does not say by which method"):
        fit(flow_folder, out=flow_folder / "model", model="kernel-ridge")


# --- simulated clips, where they are at hand ---------------------------------------------------


def test_onset_apex_and_offset_of_a_simulated_clip(
    shared: Path, ridge: Path, tmp_path: Path
) -> None:
    """Its sheet says 99, 103, 109; `test_a_clip_is_found_in_time...` needs no shared data."""
    source = shared / "data" / "sim_casme2" / "CASME2_RAW" / "sub01" / "EP01_03"
    row = predict(source, model=ridge, out=tmp_path).prediction.iloc[0]
    assert np.abs(np.array([row["onset"], row["apex"], row["offset"]]) - [99, 103, 109]).max() <= 2
    assert row["predicted"] == "brows up"  # a surprise
