"""Where clips come from: published maps, a folder of micro flow, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.tables import write_table
from htnet.micro.clips.maps import CHANNELS
from htnet.micro.clips.sources import class_set_named, read_clips
from htnet.micro.clips.store import FLOW, FLOW_FILE, MAPS_FILE, write_maps
from tests.htnet.micro.drawn_maps import CENTRES, drawn_maps, stretched, write_published

COMPOSITE = class_set_named("composite3")


def test_published_maps_come_with_channels_in_our_order(tmp_path: Path) -> None:
    drawn = drawn_maps(subjects=3)
    read = read_clips(write_published(tmp_path / "maps.npz", drawn), class_set=COMPOSITE).maps
    assert CHANNELS == ("u", "v", "strain")
    np.testing.assert_array_equal(read.maps, stretched(drawn.maps))
    assert read.clip_id.tolist() == drawn.clip_id.tolist()
    assert read.subjects == drawn.subjects
    assert (read.scaling, read.classes) == ("published", COMPOSITE.classes)
    assert read.label.tolist() == drawn.label.tolist()


def test_the_third_channel_of_the_shared_file_is_strain(shared: Path) -> None:
    """Motion to the right changes sign in a mirror, strain and motion down do not."""
    read = read_clips(shared / "data" / "megc2019_flow.npz", class_set=COMPOSITE).maps
    u, v, strain = np.moveaxis(read.maps, -1, 0)
    u_y, u_x = np.gradient(u, axis=(1, 2))
    v_y, v_x = np.gradient(v, axis=(1, 2))
    made = np.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2)
    assert mean_correlation(made, strain) > 0.8
    assert mirror_likeness(u) < -0.1
    assert min(mirror_likeness(v), mirror_likeness(strain)) > 0.3


def mirror_likeness(channel: np.ndarray) -> float:
    return mean_correlation(channel, channel[:, :, ::-1])


def mean_correlation(one: np.ndarray, other: np.ndarray) -> float:
    pairs = zip(one, other, strict=True)
    return float(np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]))


def flow_folder(
    path: Path,
    emotions: list[str],
    *,
    statuses: list[str] | None = None,
    emotion3: bool = False,
    simulated: bool = False,
) -> Path:
    """Write what micro flow writes: clips of four subjects in turn."""
    n = len(emotions)
    statuses = statuses or ["ok"] * n
    table = pd.DataFrame(
        {
            "image_id": [f"clip{i:02d}" for i in range(n)],
            "patient_id": [f"sub{i % 4}" for i in range(n)],
            "dataset": "drawn",
            "emotion": [word or None for word in emotions],
            "emotion3": ["surprise" if emotion3 else None] * n,
            "status": statuses,
            "reason": [None if status == "ok" else "It was not there." for status in statuses],
            **dict.fromkeys(("onset", "apex", "offset"), 1),
            "apex_source": "annotated",
            **dict.fromkeys(("face_px", "head_px", "peak_px", "peak_fraction"), 1.0),
        }
    )
    for name in FLOW.columns:
        if name not in table:  # a column that was added to the table since
            table[name] = np.nan
    write_table(table, path / FLOW_FILE, schema=FLOW)
    ok = table[table["status"] == "ok"].reset_index(drop=True)
    maps = np.random.default_rng(0).normal(size=(len(ok), 28, 28, 3)).astype(np.float32)
    centres = np.repeat(CENTRES[None], len(ok), axis=0)
    apex = np.zeros((len(ok), 56, 56), dtype=np.uint8)
    write_maps(
        path / MAPS_FILE, maps=maps, centres=centres, apex=apex, rows=ok, scaling="physical",
        simulated=simulated,
    )  # fmt: skip
    return path


def test_a_flow_folder_gives_the_clips_that_have_flow_and_a_class(tmp_path: Path) -> None:
    emotions = ["happiness", "disgust", "others", "surprise", "", "fear", "surprise", "happiness"]
    statuses = ["ok", "ok", "ok", "ok", "ok", "ok", "no_face", "missing_frames"]
    folder = flow_folder(tmp_path / "flow", emotions, statuses=statuses)
    source = read_clips(folder, class_set=COMPOSITE)
    assert source.maps.clip_id.tolist() == ["clip00", "clip01", "clip03", "clip05"]
    assert source.maps.label.tolist() == [1, 0, 2, 0]
    assert source.maps.subject[0] == "drawn/sub0"
    assert source.n_failed == 2
    assert source.complaints == (
        "2 clips have no flow and were left out (1 missing_frames, 1 no_face): see flow.csv.",
        "2 clips belong to none of negative, positive, surprise and were left out: 1 without an "
        "emotion, 1 others.",
    )


def test_simulated_clips_say_so(tmp_path: Path) -> None:
    emotions = ["happiness", "disgust", "surprise", "fear"] * 2
    for simulated in (False, True):
        folder = flow_folder(tmp_path / str(simulated), emotions, simulated=simulated)
        said = read_clips(folder, class_set=COMPOSITE).complaints
        assert any("simulated: no person is on them" in one for one in said) == simulated


def test_other_classes_of_the_same_folder(tmp_path: Path) -> None:
    emotions = ["happiness", "disgust", "repression", "surprise", "fear", "disgust"]
    folder = flow_folder(tmp_path / "flow", emotions, emotion3=True)
    four = read_clips(folder, class_set=class_set_named("casme2-4")).maps
    assert four.label.tolist() == [0, 1, 3, 2, 1]
    seven = read_clips(folder, class_set=class_set_named("casme3-7")).maps
    assert [seven.classes[i] for i in seven.label] == [
        "happiness", "disgust", "surprise", "fear", "disgust",
    ]  # fmt: skip


def test_an_unknown_emotion_is_refused_by_clip(tmp_path: Path) -> None:
    folder = flow_folder(tmp_path / "flow", ["happiness", "disgust", "surprize", "fear"])
    with pytest.raises(UserError, match=r'flow.csv, clip 3: the emotion "surprize".*"surprise"'):
        read_clips(folder, class_set=COMPOSITE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": np.full(18, 3)}, "label must be 0 negative"),
        ({"flow": np.zeros((18, 28, 28), dtype=np.uint8)}, "flow has the shape"),
        ({"clip": np.array(["one"] * 18)}, "occurs twice"),
        ({"label": np.zeros(18, dtype=int)}, "all clips are negative"),
        ({"subject": np.array(["one"] * 18)}, "1 subjects|2 subjects"),
        ({"subject": np.array(["one"] * 3)}, "3 entries for 18 clips"),
    ],
)
def test_what_cannot_be_left_out_one_subject_at_a_time_is_refused(
    tmp_path: Path, change: dict[str, np.ndarray], words: str
) -> None:
    path = write_published(tmp_path / "maps.npz", drawn_maps(subjects=3))
    with np.load(path) as stored:
        content = {**stored, **change}
    if "subject" in change and len(change["subject"]) == 18:
        content["clip"] = np.array([f"c{i}" for i in range(18)])
    np.savez(path, **content)
    with pytest.raises(UserError, match=words):
        read_clips(path, class_set=COMPOSITE)


def test_a_map_with_a_hole_is_refused_by_name(tmp_path: Path) -> None:
    folder = flow_folder(tmp_path / "flow", ["happiness", "disgust", "surprise", "fear"])
    with np.load(folder / MAPS_FILE) as stored:
        content = dict(stored)
    content["maps"][2, 3, 3, 0] = np.nan
    np.savez(folder / MAPS_FILE, **content)
    with pytest.raises(UserError, match="clip02 has a value that is no number"):
        read_clips(folder, class_set=COMPOSITE)


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no clips: give a folder made by micro flow"):
        read_clips(tmp_path, class_set=COMPOSITE)
    (tmp_path / "maps.npz").write_bytes(b"PK no archive")
    with pytest.raises(UserError, match=r"cannot be read as published flow maps"):
        read_clips(tmp_path / "maps.npz", class_set=COMPOSITE)
    np.savez(tmp_path / "maps.npz", flow=np.zeros(3))
    with pytest.raises(UserError, match="centres"):
        read_clips(tmp_path / "maps.npz", class_set=COMPOSITE)
    path = write_published(tmp_path / "maps.npz", drawn_maps(subjects=3))
    with pytest.raises(UserError, match="leave --classes at composite3"):
        read_clips(path, class_set=class_set_named("casme3-7"))
