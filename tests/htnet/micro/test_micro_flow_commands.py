"""`micro flow` and `micro spot` from frames to files: any jobs, resumed, fault by fault."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.errors import UserError
from common.photos import read_photo
from common.tables import read_table
from common.workers import Outcome
from htnet.micro.clips.folder import clip_tasks, picture_path, read_clip_manifest
from htnet.micro.clips.maps import APART, TOGETHER
from htnet.micro.clips.spots import CURVES, CURVES_FILE, SPOTS, SPOTS_FILE
from htnet.micro.clips.store import FLOW, FLOW_FILE, MAPS_FILE, REGIONS_FILE, read_flow_folder
from htnet.micro.commands.flow import flow
from htnet.micro.commands.spot import spot
from landmarks.find.finder import LandmarkFinder
from tests.conftest import backwards_here
from tests.htnet.micro.drawn_motion import (
    AMOUNTS,
    APEX,
    OFFSET,
    ONSET,
    clip_manifest,
    portrait_face,
    smiling,
    write_clip,
)

pytestmark = pytest.mark.usefixtures("workers_here")

WHOLE, HALF = "smile", "half_smile"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, portrait_path: Path, finder: LandmarkFinder):
    """A folder with two clips of one face, the second smiling half as much, and a manifest."""
    folder = tmp_path_factory.mktemp("clips")
    face = portrait_face(portrait_path)
    points = finder.find(face).points
    for name, share in ((WHOLE, 1.0), (HALF, 0.5)):
        amounts = [share * amount for amount in AMOUNTS]
        write_clip(folder / "clips" / name, smiling(face, points, amounts=amounts))
    clip_manifest(folder / "m.csv", [WHOLE, HALF])
    return folder


@pytest.fixture(scope="module")
def done(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("flow")
    result = flow(clips / "m.csv", out=out, regions=True, region_size=32, jobs=1)
    assert result.exit_code == 0
    return out


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, finder: LandmarkFinder) -> None:
    """Clips done here and now: starting workers takes longer than the clips of these tests."""

    def plain_map(function, items, *, jobs, start, limit_s):
        state = start()
        yield from (Outcome(row, value=function(state, item)) for row, item in enumerate(items))

    monkeypatch.setattr("htnet.micro.clips.folder.supervised_map", plain_map)
    monkeypatch.setattr("htnet.micro.clips.reader.LandmarkFinder", lambda predictor: finder)


def copy_of(clips: Path, to: Path, **changes: object) -> Path:
    """The clips with a manifest of its own, to be broken."""
    shutil.copytree(clips / "clips", to / "clips")
    names = changes.pop("names", [HALF, WHOLE])
    return clip_manifest(to / "m.csv", list(names), **changes)  # type: ignore[arg-type]


def test_every_clip_has_its_row_its_map_and_its_picture(done: Path) -> None:
    folder = read_flow_folder(done)
    assert folder.table["status"].tolist() == ["ok", "ok"]
    assert folder.table["image_id"].tolist() == [f"clips/{HALF}", f"clips/{WHOLE}"]
    assert folder.table["apex"].tolist() == [APEX, APEX]
    assert folder.table["emotion3"].tolist() == ["positive", "positive"]
    assert folder.maps.shape == (2, 28, 28, 3)
    assert folder.maps.dtype == np.float32
    assert np.isfinite(folder.maps).all()
    assert folder.apex.shape == (2, 56, 56) and folder.apex.std(axis=(1, 2)).min() > 20
    assert folder.regions is not None
    assert folder.regions.values.shape == (2, 4, 3, 3, 32, 32)
    assert folder.regions.regions == TOGETHER
    for name in (HALF, WHOLE):
        assert read_photo(picture_path(done, f"clips/{name}")).width > 900
    record = json.loads((done / "run.json").read_text())
    assert record["counts"]["ok"] == 2
    assert set(record["files"]) == {"manifest", "predictor"}


def test_half_a_smile_is_half_as_large_in_every_number(done: Path) -> None:
    folder = read_flow_folder(done)
    half, whole = folder.table["peak_px"]
    assert whole / half == pytest.approx(2.0, rel=0.2)
    assert whole == pytest.approx(3.2 * 1.12, rel=0.25)  # px of the frames, as drawn
    fraction = folder.table["peak_px"] / folder.table["face_px"]
    assert folder.table["peak_fraction"].to_numpy() == pytest.approx(fraction.to_numpy())
    assert folder.maps[0, ..., 1].min() == pytest.approx(folder.maps[1, ..., 1].min() / 2, rel=0.2)


def test_corners_of_the_mouth_go_up_in_the_maps_and_come_back_down_after_the_apex(
    done: Path,
) -> None:
    folder = read_flow_folder(done)
    whole = folder.maps[1]
    for corner in (3, 4):
        x, y = folder.centres[1, corner].round().astype(int)
        assert whole[y, x, 1] < -0.008
        assert np.sign(whole[y, x, 0]) == (-1 if corner == 3 else 1)
    assert folder.regions is not None
    mouth = folder.regions.values[1, :, 2].astype(np.float64)
    down = mouth[:, 1].mean(axis=(-2, -1))
    assert (down[:2] < 0).all()
    assert (down[2:] > 0).all()


def test_any_number_of_jobs_gives_the_same_files(clips: Path, done: Path, tmp_path: Path) -> None:
    flow(clips / "m.csv", out=tmp_path, regions=True, region_size=32, jobs=2)
    for name in (FLOW_FILE, MAPS_FILE, REGIONS_FILE, "regions.json"):
        assert (tmp_path / name).read_bytes() == (done / name).read_bytes(), name


@pytest.mark.usefixtures("in_process")
def test_what_was_computed_is_not_computed_again_and_a_changed_frame_is(
    clips: Path, tmp_path: Path
) -> None:
    manifest = copy_of(clips, tmp_path)
    out = tmp_path / "out"
    first = flow(manifest, out=out, pictures=False, jobs=1)
    maps = (out / MAPS_FILE).read_bytes()
    again = flow(manifest, out=out, pictures=False, jobs=1)
    assert (first.from_cache, again.from_cache) == (0, 2)
    assert (out / MAPS_FILE).read_bytes() == maps
    # Another scaling uses the same flow; another method does not.
    assert flow(manifest, out=out, scaling="published", jobs=1).from_cache == 2
    apex = tmp_path / "clips" / WHOLE / f"img{APEX}.png"
    shutil.copy(apex.with_name(f"img{ONSET}.png"), apex)
    changed = flow(manifest, out=out, pictures=False, jobs=1)
    assert changed.from_cache == 1
    assert changed.table["peak_px"].iat[1] < 0.2
    assert len(list((out / "cache").glob("*.npz"))) == 2  # the old one is gone
    for kept in (out / "cache").glob("*.npz"):
        kept.write_bytes(kept.read_bytes()[:100])
    assert flow(manifest, out=out, pictures=False, jobs=1).from_cache == 0


@pytest.mark.usefixtures("in_process")
def test_a_missing_apex_is_found_and_a_stand_in_is_not_believed(
    clips: Path, tmp_path: Path
) -> None:
    manifest = copy_of(
        clips,
        tmp_path,
        apex=[None, ONSET + 1],
        apex_source=["annotated", "middle frame, no apex was annotated"],
    )
    table = flow(manifest, out=tmp_path / "out", pictures=False, jobs=1).table
    assert table["apex"].tolist() == [APEX, APEX]
    assert table["apex_source"].tolist() == ["spotted", "spotted"]
    manifest = clip_manifest(tmp_path / "n.csv", [HALF], apex=[ONSET + 1])
    assert flow(manifest, out=tmp_path / "o", pictures=False, jobs=1).table["apex"].iat[0] == 9
    again = flow(manifest, out=tmp_path / "o", spot=True, pictures=False, jobs=1).table
    assert again["apex"].iat[0] == APEX


def test_each_fault_is_a_row_with_a_sentence_and_the_others_go_on(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["a_broken", "b_blank", "c_gone", "d_empty", "e_word", "f_short", "g_sizes", WHOLE]
    for name in (*names[:2], *names[4:7]):
        shutil.copytree(clips / "clips" / WHOLE, tmp_path / "clips" / name)
    (tmp_path / "clips" / "d_empty").mkdir()
    shutil.copytree(clips / "clips" / WHOLE, tmp_path / "clips" / WHOLE)
    frame = tmp_path / "clips" / "a_broken" / f"img{APEX}.png"
    frame.write_bytes(frame.read_bytes()[:3000])
    blank = np.full((360, 340, 3), 128, dtype=np.uint8)
    Image.fromarray(blank).save(tmp_path / "clips" / "b_blank" / f"img{ONSET}.png")
    (tmp_path / "clips" / "f_short" / f"img{APEX}.png").unlink()
    Image.fromarray(blank[:99]).save(tmp_path / "clips" / "g_sizes" / f"img{APEX}.png")
    onsets = [ONSET] * 8
    manifest = clip_manifest(tmp_path / "m.csv", names, onset=[*onsets[:4], "soon", *onsets[5:]])
    result = flow(manifest, out=tmp_path / "out", pictures=False, regions=True, jobs=1)
    table = read_table(tmp_path / "out" / FLOW_FILE, schema=FLOW)
    assert table["status"].tolist() == [
        "unreadable", "no_face", "failed", "missing_frames", "failed", "missing_frames", "failed",
        "ok",
    ]  # fmt: skip
    parts = [
        "cut short", "In the onset frame img8.png: No face", "c_gone cannot be opened",
        "holds no frames", '"soon" as onset', "apex frame 11 is missing", "another size",
    ]  # fmt: skip
    told = capsys.readouterr().err
    for reason, part in zip(table["reason"], parts, strict=False):
        assert part in reason
        assert reason in told
    assert table.loc[table["status"] != "ok", "peak_px"].isna().all()
    assert result.exit_code == 3
    folder = read_flow_folder(tmp_path / "out")
    assert len(folder.maps) == 1
    assert folder.regions is not None
    assert folder.regions.clip_id.tolist() == [f"clips/{WHOLE}"]


@pytest.mark.usefixtures("in_process")
def test_sides_apart_keeps_right_and_left_apart(clips: Path, tmp_path: Path) -> None:
    flow(
        clips / "m.csv", out=tmp_path, regions=True, sides="apart", region_size=16, jobs=1,
        scaling="published",
    )  # fmt: skip
    regions = read_flow_folder(tmp_path).regions
    assert regions is not None
    assert regions.regions == APART
    assert regions.scaling == "published"
    assert regions.values.max() == 255.0
    flow(clips / "m.csv", out=tmp_path, pictures=False, jobs=1)
    assert read_flow_folder(tmp_path).regions is None  # those of the earlier run are gone


def test_frames_are_taken_in_natural_order(clips: Path) -> None:
    tasks = clip_tasks(read_clip_manifest(clips / "m.csv"))
    assert [path.name for path in tasks[0].frames.values()] == [
        f"img{number}.png" for number in range(ONSET, OFFSET + 1)
    ]  # img9 before img10


def test_a_composite_keeps_its_datasets_apart(clips: Path, tmp_path: Path) -> None:
    manifest = copy_of(clips, tmp_path, dataset=["megc2019"] * 2, source=["casme2", "smic"])
    rows = read_clip_manifest(manifest)
    assert rows["dataset"].tolist() == ["casme2", "smic"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"jobs": 0}, "--jobs is 0"),
        ({"region_size": 4}, "--region-size is 4"),
        ({"method": "tvl2"}, "no flow method"),
        ({"predictor": "ibg"}, "ibg"),
    ],
)
def test_wrong_options_are_refused_in_one_sentence(
    clips: Path, tmp_path: Path, options: dict, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        flow(clips / "m.csv", out=tmp_path, **options)


def test_a_manifest_of_photographs_is_refused(tmp_path: Path) -> None:
    table = pd.DataFrame({"image_id": ["a.jpg"], "path": ["a.jpg"], "patient_id": ["1"]})
    table.to_csv(tmp_path / "m.csv", index=False)
    with pytest.raises(UserError, match="has no column onset: give a manifest of clips"):
        flow(tmp_path / "m.csv", out=tmp_path / "out")


@pytest.mark.usefixtures("in_process")
def test_spot_finds_the_drawn_apex_and_stands_beside_the_middle(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = copy_of(
        clips, tmp_path, names=[HALF, WHOLE, "gone"], offset=[OFFSET - 1, OFFSET, OFFSET]
    )
    out = tmp_path / "out"
    result = spot(manifest, out=out, jobs=1)
    assert result.exit_code == 3
    spots = read_table(out / SPOTS_FILE, schema=SPOTS)
    assert spots["status"].tolist() == ["failed", "ok", "ok"]
    assert spots["error_frames"].tolist()[1:] == [0.0, 0.0]
    curves = read_table(out / CURVES_FILE, schema=CURVES)
    assert len(curves) == 6 + 7
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["spotted"]["error_frames"]["value"] == 0.0
    assert "middle_frame" in metrics
    told = capsys.readouterr().out
    assert "found in 2 of 3 clips" in told
    assert "middle frame:" in told
    assert len(list((out / "pictures").glob("*.png"))) == 2


def test_spot_gives_the_same_in_any_order(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spot(clips / "m.csv", out=tmp_path / "one", jobs=1, pictures=False)
    monkeypatch.setattr("htnet.micro.clips.folder.supervised_map", backwards_here)
    spot(clips / "m.csv", out=tmp_path / "other", jobs=1, pictures=False)
    for name in (SPOTS_FILE, CURVES_FILE, "metrics.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@pytest.mark.usefixtures("in_process")
def test_spot_within_the_whole_clip_finds_the_ends_too(clips: Path, tmp_path: Path) -> None:
    spots = spot(clips / "m.csv", out=tmp_path, within="clip", jobs=1).spots
    assert spots["apex"].tolist() == [APEX, APEX]
    assert ((spots["onset"] - ONSET).abs() <= 1).all()
    assert ((spots["offset"] - OFFSET).abs() <= 1).all()
    assert "onset_error_frames" in json.loads((tmp_path / "metrics.json").read_text())


@pytest.mark.usefixtures("in_process")
def test_simulated_clips_go_through_and_their_apexes_are_found(
    shared: Path, tmp_path: Path
) -> None:
    """Twin of the tests on the portrait, on rendered clips with a coding sheet."""
    from datasets.readers.micro_expressions import read_casme2

    dataset = read_casme2(shared / "data" / "sim_casme2")
    few = dataset.manifest.groupby("emotion", sort=False).head(1)
    few.to_csv(tmp_path / "m.csv", index=False)
    result = flow(tmp_path / "m.csv", out=tmp_path / "flow", pictures=False, jobs=1)
    assert result.counts["ok"] == len(few) == 4
    assert result.table["face_px"].between(150, 200).all()
    assert result.table["peak_px"].between(0.5, 6).all()
    spots = spot(tmp_path / "m.csv", out=tmp_path / "spot", pictures=False, jobs=1).spots
    assert (spots["error_frames"].abs() <= 1).all()
