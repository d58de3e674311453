"""CASME II, SAMM, SMIC, CAS(ME)³ and their composite, with the errors of their sheets."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from common.errors import UserError
from datasets.commands.prepare import prepare
from datasets.readers.clips import NO_APEX
from datasets.readers.megc2019 import N_CLIPS, read_megc2019
from datasets.readers.micro_expressions import read_casme2, read_casme3, read_samm, read_smic

CASME2_HEADER = ("Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None,
                 "Action Units", "Estimated Emotion")  # fmt: skip


def write_frames(folder: Path, frames: range, pattern: str = "img{}.jpg") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for frame in frames:
        (folder / pattern.format(frame)).write_bytes(b"frame")


def clips_of(dataset) -> pd.DataFrame:
    return dataset.manifest.set_index("clip")


def casme2_row(subject, clip, onset, apex, offset, emotion="happiness"):
    return (subject, clip, None, onset, apex, offset, None, "4+L10", emotion)


@pytest.fixture
def casme2(tmp_path, write_sheet):
    root = tmp_path / "CASME2"
    write_frames(root / "CASME2_RAW/sub01/EP02_01f", range(40, 91))
    write_frames(root / "CASME2_RAW/sub12/EP03_02", range(1, 31))
    rows = [
        CASME2_HEADER,
        casme2_row("01", "EP02_01f", 46, 59, 86),
        casme2_row(12, "EP03_02", 3, "/", 20, "repression"),
    ]
    write_sheet(root / "CASME2-coding-20140508.xlsx", rows)
    return root


def test_simulated_clips_are_marked_in_their_manifest(casme2: Path, tmp_path: Path) -> None:
    """By the true points that only a drawn cohort has, or by the folder's name."""
    named = casme2.rename(tmp_path / "sim_casme2")
    with_truth = tmp_path / "other"
    shutil.copytree(named, with_truth)
    plain = prepare("casme2", with_truth, out=tmp_path / "plain.csv").manifest
    assert "simulated" not in plain
    (with_truth / "true_landmarks.csv").write_text("image\n", encoding="utf-8")
    for root in (named, with_truth):
        manifest = prepare("casme2", root, out=tmp_path / "m.csv").manifest
        assert set(manifest["simulated"]) == {"yes"}


def test_casme2_reads_clips_and_leaves_a_missing_apex_empty(casme2, problem_of):
    dataset = read_casme2(casme2)
    clips = clips_of(dataset)
    first = clips.loc["EP02_01f"]
    assert first["image_id"] == "CASME2_RAW/sub01/EP02_01f" and first["patient_id"] == "sub01"
    assert first[["onset", "apex", "offset", "first_frame", "last_frame", "n_frames"]].tolist() == [
        46, 59, 86, 40, 90, 51
    ]  # fmt: skip
    assert first[["apex_file", "emotion", "emotion3", "fps", "action_units"]].tolist() == [
        "img59.jpg", "happiness", "positive", 200, "4+L10"
    ]  # fmt: skip
    second = clips.loc["EP03_02"]
    assert second["patient_id"] == "sub12" and second["emotion3"] == "negative"
    assert pd.isna(second["apex"]) and second["apex_source"] == NO_APEX
    assert second["apex_file"] is None or pd.isna(second["apex_file"])
    missing = problem_of(dataset, "missing_apex")
    assert missing.rows == (3,) and missing.severity == "note"
    assert len(dataset.problems) == 1


def test_casme2_defects_are_named(casme2, write_sheet, problem_of):
    raw = casme2 / "CASME2_RAW"
    write_frames(casme2 / "Cropped/sub01/EP02_01f", range(40, 91), "reg_img{}.jpg")
    for clip, frames in {
        "EP07_01": range(1, 10), "EP08_01": range(1, 30), "EP09_01": range(1, 10),
        "EP10_01": range(1, 30), "EP11_01": range(1, 30),
    }.items():  # fmt: skip
        write_frames(raw / "sub02" / clip, frames)
    (raw / "sub02/EP08_01/img7.jpg").unlink()
    rows = [
        CASME2_HEADER,
        casme2_row("01", "EP02_01f", 46, 59, 86),
        casme2_row("01", "EP02_01f", 46, 59, 86),
        casme2_row(12, "EP03_02", 3, 40, 20, "others"),
        casme2_row(2, "EP07_01", 2, 15, 20),
        casme2_row(2, "EP08_01", 5, 10, 35),
        casme2_row(2, "EP09_01", 9, 5, 3),
        casme2_row(2, "EP10_01", 2, 8, 20, "fear"),
        casme2_row(2, "EP10_01", 2, 8, 20, "happiness"),
        casme2_row(3, "EP01_01", 2, 8, 20),
    ]
    write_sheet(casme2 / "CASME2-coding-20140508.xlsx", rows)

    dataset = read_casme2(casme2)

    assert "CASME2_RAW, not from Cropped" in problem_of(dataset, "several_versions").what
    assert problem_of(dataset, "clip_twice").rows == (2, 3)
    assert problem_of(dataset, "apex_outside").rows == (4,)
    frames = {p.rows: p for p in dataset.problems if p.kind == "missing_frames"}
    assert set(frames) == {(4,), (5,), (6,)}
    assert "apex frame 15" in frames[5,].what and frames[5,].severity == "error"
    assert "frames are 1 to 9" in frames[5,].what
    assert problem_of(dataset, "unusable_frames").rows == (7,)
    assert problem_of(dataset, "contradicting_clip").rows == (8, 9)
    assert problem_of(dataset, "missing_clip").rows == (10,)
    assert "1 folder of frames not in the coding sheet: CASME2_RAW/sub02/EP11_01" in (
        problem_of(dataset, "unlisted_clip").what
    )
    assert sorted(clips_of(dataset).index) == ["EP02_01f", "EP08_01"]


def test_casme2_offset_alone_missing_keeps_the_clip_and_gaps_are_told(
    casme2, write_sheet, problem_of
):
    write_frames(casme2 / "CASME2_RAW/sub02/EP08_01", range(1, 30))
    (casme2 / "CASME2_RAW/sub02/EP08_01/img7.jpg").unlink()
    rows = [CASME2_HEADER, casme2_row(2, "EP08_01", 5, 10, 35)]
    write_sheet(casme2 / "CASME2-coding-20140508.xlsx", rows)
    dataset = read_casme2(casme2)
    said = [p.what for p in dataset.problems if p.kind == "missing_frames"]
    assert "offset frame 35" in said[0] and "lacks 6 frames within it: 7" in said[1]
    row = clips_of(dataset).loc["EP08_01"]
    assert row["offset"] == 35 and pd.isna(row["offset_file"]) and row["apex_file"] == "img10.jpg"


def test_casme2_without_a_sheet_is_refused(tmp_path):
    with pytest.raises(UserError, match="coding sheet"):
        read_casme2(tmp_path)


def test_casme2_others_have_no_class(casme2, write_sheet, problem_of):
    rows = [CASME2_HEADER, casme2_row(1, "EP02_01f", 46, 59, 86, "Others")]
    write_sheet(casme2 / "CASME2-coding-20140508.xlsx", rows)
    dataset = read_casme2(casme2)
    assert dataset.manifest["emotion3"].isna().all()
    assert "1 clip (others)" in problem_of(dataset, "no_emotion_class").what


@pytest.fixture
def samm(tmp_path, write_sheet):
    root = tmp_path / "SAMM"
    write_frames(root / "006/006_1_2", range(5562, 5600), "006_{:05d}.jpg")
    write_frames(root / "011/011_2_1", range(100, 120), "011_{:05d}.jpg")
    notes = [("Notes on the coding",) + (None,) * 9] + [(None,) * 10] * 12
    rows = [
        *notes,
        ("Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame",
         "Duration", "Micro", "Action Units", "Estimated Emotion"),
        (6, "006_1_2", 1, 5562, 5580, 5595, 33, "Micro - 1/2", "4", "Anger"),
        ("011", "011_2_1", 2, 101, 110, 115, 14, "Micro - 1/2", "12", "Other"),
    ]  # fmt: skip
    write_sheet(root / "SAMM_Micro_FACS_Codes_v2.xlsx", rows)
    return root


def test_samm_header_on_row_14_is_found(samm):
    dataset = read_samm(samm)
    clips = clips_of(dataset)
    assert clips.loc["006_1_2", ["patient_id", "onset", "apex", "offset"]].tolist() == [
        "006", 5562, 5580, 5595
    ]  # fmt: skip
    assert clips.loc["006_1_2", ["emotion3", "apex_file"]].tolist() == ["negative", "006_05580.jpg"]
    assert clips.loc["011_2_1", "patient_id"] == "011"
    assert [problem.kind for problem in dataset.problems] == ["no_emotion_class"]


def test_samm_missing_clip_is_named_by_its_row_in_the_sheet(samm, problem_of):
    for frame in (samm / "006/006_1_2").iterdir():
        frame.unlink()
    assert problem_of(read_samm(samm), "missing_clip").rows == (15,)


@pytest.fixture
def smic(tmp_path):
    root = tmp_path / "SMIC_all_raw"
    write_frames(root / "HS/s1/micro/negative/s1_ne_01", range(100, 131), "image{:06d}.bmp")
    write_frames(root / "HS/s3/micro/surprise/s3_sur_02", range(7, 20), "reg_image{:06d}.bmp")
    write_frames(root / "HS/s1/non_micro/s1_ne_09", range(1, 5), "image{:06d}.bmp")
    write_frames(root / "VIS/s11/micro/positive/s11_po_01", range(1, 5), "image{:06d}.bmp")
    return root


def test_smic_takes_first_and_last_frame_and_no_apex(smic, problem_of):
    dataset = read_smic(smic)
    clips = clips_of(dataset)
    assert sorted(clips.index) == ["s01_ne_01", "s03_sur_02"]
    first = clips.loc["s01_ne_01"]
    assert first[["onset", "offset"]].tolist() == [100, 130] and pd.isna(first["apex"])
    assert first[["apex_source", "emotion3", "fps", "patient_id"]].tolist() == [
        NO_APEX, "negative", 100, "s01"
    ]  # fmt: skip
    assert "stays empty in 2 clips" in problem_of(dataset, "missing_apex").what
    assert "VIS" in problem_of(dataset, "other_parts").what


def test_smic_defects_are_named(smic, problem_of):
    write_frames(smic / "HS/s4/micro/positive/s4_ne_01", range(1, 9))
    (smic / "HS/s5/micro/positive/s5_po_01").mkdir(parents=True)
    (smic / "HS/s1/micro/negative/s1_ne_01/image000110.bmp").unlink()
    dataset = read_smic(smic)
    conflict = problem_of(dataset, "contradicting_clip")
    assert "lies with positive but is named negative" in conflict.what
    assert problem_of(dataset, "missing_clip").file.endswith("s5_po_01")
    assert "1 frame within it: 110" in problem_of(dataset, "missing_frames").what
    assert len(dataset.manifest) == 2


CASME3_HEADER = ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class",
                 "emotion")  # fmt: skip


def test_casme3_repeated_names_are_told_apart_by_onset(tmp_path, write_sheet, problem_of):
    clips = tmp_path / "Part_A_ME_clip"
    write_frames(clips / "frame/spNO.1_a_355", range(350, 370), "{}.jpg")
    write_frames(clips / "frame/spNO.1_a_500", range(495, 520), "{}.jpg")
    write_frames(clips / "depth/spNO.1_a_355", range(350, 370), "{}.png")
    rows = [
        CASME3_HEADER,
        ("spNO.1", "A", 355, 360, 365, "4", 1, "disgust"),
        ("spNO.1", "a", 500, 505, 510, "12", 1, "happy"),
        ("spNO.1", "a", 500, 505, 510, "12", 1, "happy"),
        ("spNO.1", "a", 700, 705, 710, "12", 1, "happy"),
    ]
    write_sheet(tmp_path / "annotation/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", rows)
    dataset = read_casme3(tmp_path)
    assert dataset.manifest["image_id"].tolist() == [
        "Part_A_ME_clip/frame/spNO.1_a_355",
        "Part_A_ME_clip/frame/spNO.1_a_500",
    ]
    assert dataset.manifest["emotion3"].tolist() == ["negative", "positive"]
    assert "spNO.1" in problem_of(dataset, "repeated_name").what
    assert problem_of(dataset, "clip_twice").rows == (3, 4)
    assert problem_of(dataset, "missing_clip").rows == (5,)


def test_casme3_clips_of_one_video_share_its_folder(tmp_path, write_sheet):
    write_frames(tmp_path / "part_A/spNO.1/a/color", range(800), "{}.jpg")
    write_frames(tmp_path / "part_A/spNO.1/a/depth", range(800), "{}.png")
    rows = [
        CASME3_HEADER,
        ("spNO.1", "a", 355, 360, 365, "4", 1, "disgust"),
        ("spNO.1", "a", 500, 505, 510, "12", 1, "others"),
    ]
    write_sheet(tmp_path / "label.xlsx", rows)
    dataset = read_casme3(tmp_path)
    assert dataset.manifest["image_id"].tolist() == [
        "part_A/spNO.1/a/color#355",
        "part_A/spNO.1/a/color#500",
    ]
    assert set(dataset.manifest["path"]) == {str(tmp_path.resolve() / "part_A/spNO.1/a/color")}


def test_composite_joins_three_datasets_without_mixing_subjects(
    tmp_path, casme2, samm, smic, problem_of
):
    casme2.rename(tmp_path / "casme2")
    dataset = read_megc2019(tmp_path)
    manifest = dataset.manifest
    assert manifest["source"].value_counts().to_dict() == {"casme2": 2, "samm": 1, "smic": 2}
    assert "casme2_sub01" in set(manifest["patient_id"])
    assert manifest["emotion3"].notna().all()  # "Other" of SAMM is left out
    assert manifest["image_id"].is_unique
    counts = [p.what for p in dataset.problems if p.kind == "not_the_official_list"]
    assert any("2 clips of casme2 taken; the composite has 145" in what for what in counts)


def test_composite_by_the_organisers_list(tmp_path, casme2, samm, smic, problem_of):
    listed = tmp_path / "combined_3class_gt.csv"
    listed.write_text("casme2,sub01,EP02_01f,1\nsmic,s03,s03_sur_02,0\nsamm,006,006_9_9,0\n")
    dataset = read_megc2019(tmp_path, table=listed)
    assert sorted(dataset.manifest["clip"]) == ["EP02_01f", "s03_sur_02"]
    assert clips_of(dataset).loc["s03_sur_02", "emotion3"] == "negative"
    missing = [p for p in dataset.problems if p.kind == "missing_clip"]
    assert [p.rows for p in missing] == [(3,)]
    assert "s03_sur_02" in problem_of(dataset, "class_disagrees").what


def test_composite_names_the_dataset_that_is_not_there(tmp_path, samm, problem_of):
    dataset = read_megc2019(tmp_path)
    absent = [p.what for p in dataset.problems if p.kind == "missing_dataset"]
    assert absent == ["there is no folder casme2", "there is no folder smic"]
    with pytest.raises(UserError, match="casme2, samm and smic"):
        read_megc2019(samm)


def test_official_counts_are_those_of_the_published_flow_maps(shared):
    import numpy as np

    names = np.load(shared / "data/megc2019_flow.npz")["dataset"]
    assert {name: int((names == name).sum()) for name in np.unique(names)} == N_CLIPS
