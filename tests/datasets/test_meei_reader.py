"""The MEEI layout: a whole one, one with every known defect, and the shared simulated one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from common.movements import MOVEMENTS
from common.tables import MANIFEST
from common.truth import read_truth
from datasets.dataset import Dataset
from datasets.readers.meei import CATEGORY_SOURCE, parse_patient, read_meei

HEADER = ("Category", "Sub-category", "#", "Side", "Gender", "Age")


@pytest.fixture
def whole(tmp_path, write_photo, write_sheet) -> Path:
    for folder in (
        "Normals/Normal1",
        "Flaccid/SevereFlaccid/SevereFlaccid1",
        "Flaccid/SevereFlaccid/SevereFlaccid2",
        "Synkinetic/NearNormalSynkinetic/NearNormalSynkinetic1",
    ):
        name = folder.split("/")[-1]
        for i in range(1, 9):
            write_photo(tmp_path / folder / f"{name}_{i}.jpg")
    (tmp_path / "Flaccid/SevereFlaccid/SevereFlaccid2/SevereFlaccid2.mp4").write_bytes(b"video")
    write_sheet(
        tmp_path / "pat_info.xlsx",
        [
            HEADER,
            ("Normal", None, 1, None, "Male", 30),
            ("Flaccid", "Severe", 1, "Left", "Female", 61),
            (None, None, 2, "R", "Male", 25),  # merged cells
            ("Synkinetic", "Near-Normal", 1, "Right", "Female", 40),
        ],
    )
    return tmp_path


def of_patient(dataset: Dataset, patient: str) -> pd.DataFrame:
    return dataset.manifest[dataset.manifest["patient_id"] == patient]


def test_whole_layout_gives_every_photograph_its_patient_task_side_and_category(whole):
    dataset = read_meei(whole)

    MANIFEST.validate(dataset.manifest)
    assert len(dataset.manifest) == 32
    assert [problem.kind for problem in dataset.problems] == ["not_the_whole_set"]
    severe = of_patient(dataset, "SevereFlaccid2")
    assert tuple(severe["task"]) == MOVEMENTS
    assert severe["side"].unique() == ["right"]
    assert severe["hb_grade"].unique() == [5]
    assert severe["grade_source"].unique() == [CATEGORY_SOURCE]
    assert severe["video"].unique() == ["Flaccid/SevereFlaccid/SevereFlaccid2/SevereFlaccid2.mp4"]
    assert list(severe[["kind", "severity", "gender", "age"]].iloc[0]) == [
        "Flaccid",
        "Severe",
        "Male",
        "25",
    ]
    near = of_patient(dataset, "NearNormalSynkinetic1")
    assert near["hb_grade"].unique() == [2] and near["side"].unique() == ["right"]
    normal = of_patient(dataset, "Normal1")
    assert normal["hb_grade"].unique() == [1] and normal["side"].unique() == ["none"]
    assert "truth_file" not in dataset.manifest


def test_upper_case_endings_and_a_folder_around_it_are_read(whole, write_photo, tmp_path):
    outer = tmp_path / "outer"
    outer.mkdir()
    for entry in list(whole.iterdir()):
        if entry != outer:
            shutil.move(entry, outer / entry.name)
    photo = outer / "Normals/Normal1/Normal1_4.jpg"
    photo.rename(photo.with_suffix(".JPG"))
    dataset = read_meei(tmp_path)
    assert len(dataset.manifest) == 32
    assert dataset.manifest["image_id"].str.startswith("outer/").all()


def test_every_defect_is_found_and_named(whole, write_photo, write_sheet, problem_of):
    severe = whole / "Flaccid/SevereFlaccid"
    (severe / "SevereFlaccid1/SevereFlaccid1_3.jpg").unlink()
    (severe / "SevereFlaccid1/SevereFlaccid1_8.jpg").unlink()
    write_photo(severe / "SevereFlaccid4/SevereFlaccid4_1.jpg")  # 3 is missing, 4 is not listed
    for i in range(2, 9):
        write_photo(severe / f"SevereFlaccid4/SevereFlaccid4_{i}.jpg")
    write_photo(whole / "Normals/Normal1/Normal1_4.tif")
    write_photo(whole / "Normals/Normal1/Normal1_9.jpg")
    misfiled = severe / "SevereFlaccid2/SevereFlaccid2_5.jpg"
    misfiled.rename(misfiled.with_name("SevereFlaccid1_5.jpg"))
    write_sheet(
        whole / "pat_info.xlsx",
        [
            ("Patients of the set", None, None, None, None, None),
            HEADER,
            ("Normal", None, 1, "Left", "Male", 30),
            ("Flaccid", "Severe", 1, "Left", "Female", 61),
            ("Flaccid", "Severe", 1, "Right", "Female", 61),
            ("Flaccid", "Severe", 2, "leftish", "Male", 25),
            ("Flaccid", "Awful", 1, "Left", "Male", 25),
            ("Synkinetic", "NearNormal", 1, "Right", "Female", 40),
            ("Synkinetic", "Mild", 1, "Right", "Female", 40),
        ],
    )

    dataset = read_meei(whole)

    missing = problem_of(dataset, "missing_task")
    assert missing.patient_id == "SevereFlaccid1" and missing.severity == "error"
    assert "gentle_eye_closure (_3), lower_teeth (_8)" in missing.what
    absent = {p.patient_id: p for p in dataset.problems if p.kind == "missing_patient"}
    assert set(absent) == {"SevereFlaccid3", "MildSynkinetic1"}
    assert absent["MildSynkinetic1"].rows == (9,)
    assert "Normal1_4.tif" in problem_of(dataset, "second_photograph").file
    assert "Normal1_9.jpg" in problem_of(dataset, "unexpected_photograph").file
    assert "SevereFlaccid1_5.jpg" in problem_of(dataset, "misfiled_photograph").file
    assert "SevereFlaccid4" in problem_of(dataset, "unlisted_patient").what
    assert problem_of(dataset, "unknown_patient").rows == (7,)
    twice = problem_of(dataset, "patient_twice")
    assert twice.rows == (4, 5) and "side is unknown" in twice.what
    assert of_patient(dataset, "SevereFlaccid1")["side"].unique() == ["unknown"]
    assert of_patient(dataset, "SevereFlaccid4")["side"].unique() == ["unknown"]
    sides = {p.patient_id: p.rows for p in dataset.problems if p.kind == "unreadable_side"}
    assert sides == {"Normal1": (3,), "SevereFlaccid2": (6,)}
    assert len(of_patient(dataset, "SevereFlaccid1")) == 6  # nothing is padded


def test_visits_have_scores_dates_and_grades_of_their_own(whole, write_sheet, problem_of):
    folder = whole / "Normals/Normal1"
    for name, files in {"visit1": range(1, 9), "Visit 2": range(1, 8)}.items():
        (folder / name).mkdir()
        for i in files:
            shutil.copy(folder / f"Normal1_{i}.jpg", folder / name / f"Normal1_{i}.jpg")
    shutil.copy(folder / "Normal1_6.jpg", folder / "visit1/Normal1_6b.jpg")
    for i in range(1, 9):
        (folder / f"Normal1_{i}.jpg").unlink()
    shutil.rmtree(whole / "Flaccid")
    shutil.rmtree(whole / "Synkinetic")
    write_sheet(
        whole / "pat_info.xlsx",
        [
            (*HEADER, "Visit", "Date of visit", "HB", "Sunnybrook", "eFACE score"),
            ("Normal", None, 1, None, "Male", 30, 1, "3.4.2024", "I", 98, 101),
            ("Normal", None, 1, None, "Male", 30, 2, "04/05/2024", "II", 71.5, 80),
            ("Normal", None, 1, None, "Male", 30, 3, None, None, None, None),
        ],
    )
    dataset = read_meei(whole)
    first, second = (of[1] for of in dataset.manifest.groupby("visit"))
    assert len(first) == 9 and first["again"].notna().sum() == 1
    told = ["date", "hb_grade", "sunnybrook", "eface"]
    assert first[told].drop_duplicates().astype("object").fillna("").values.tolist() == [
        ["2024-04-03", 1, 98.0, ""]
    ]
    assert second[told].drop_duplicates().astype("object").fillna("").values.tolist() == [
        ["", 2, 71.5, 80.0]
    ]
    assert second["grade_source"].unique() == ["House-Brackmann grade from pat_info.xlsx"]
    assert problem_of(dataset, "score_out_of_range").rows == (2,)
    assert problem_of(dataset, "no_date").rows == (3,)
    assert "at visit 2" in problem_of(dataset, "missing_task").what
    assert "of visit 3" in problem_of(dataset, "missing_patient").what


def test_without_patient_table_sides_are_unknown_and_it_is_said(whole, problem_of):
    (whole / "pat_info.xlsx").unlink()
    dataset = read_meei(whole)
    assert "pat_info.xlsx" in problem_of(dataset, "no_patient_table").what
    assert set(of_patient(dataset, "SevereFlaccid1")["side"]) == {"unknown"}
    assert set(of_patient(dataset, "Normal1")["side"]) == {"none"}


@pytest.mark.parametrize(
    ("name", "above", "patient_id"),
    [
        ("SevereFlaccid2", (), "SevereFlaccid2"),
        ("Synkinetic_Complete5", (), "CompleteSynkinetic5"),
        ("Near-Normal 3", ("Flaccid",), "NearNormalFlaccid3"),
        ("Mild_4", ("x", "Synkinetic"), "MildSynkinetic4"),
        ("Normal10", (), "Normal10"),
        ("Mild_4", (), None),
        ("SevereFlaccid", (), None),
        ("AwfulFlaccid2", (), None),
    ],
)
def test_names_of_patients(name, above, patient_id):
    patient = parse_patient(name, above=above)
    assert (patient.patient_id if patient else None) == patient_id


def test_shared_simulated_set_is_read_whole(shared):
    dataset = read_meei(shared / "data/sim_meei")
    assert len(dataset.manifest) == 480
    assert dataset.problems == ()
    assert dataset.manifest["patient_id"].nunique() == 60
    assert dataset.manifest["hb_grade"].value_counts().eq(80).all()
    true = pd.read_csv(shared / "data/sim_meei/true_landmarks.csv").set_index("image")
    manifest = dataset.manifest.set_index("image_id")
    assert (true["grade"].reindex(manifest.index) == manifest["hb_grade"]).all()
    assert (true["task"].reindex(manifest.index) == manifest["task"]).all()
    points = read_truth(dataset.manifest).set_index("image_id")
    assert (points["status"] == "ok").all()
    assert (points["x_36"] == true["x36"].reindex(points.index)).all()
