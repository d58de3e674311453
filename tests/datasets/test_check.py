"""`check_manifest`: injected faults are found, each once, with the rows a spreadsheet shows."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from datasets.check import check_manifest, check_photo


@pytest.fixture
def manifest(tmp_path, write_photo):
    rows = []
    for patient in ("P1", "P2", "P10"):
        for task in ("rest", "smile"):
            path = write_photo(tmp_path / patient / f"{task}.jpg")
            rows.append((f"{patient}/{task}.jpg", str(path), patient, task, "left", 3))
    columns = ["image_id", "path", "patient_id", "task", "side", "hb_grade"]
    return pd.DataFrame(rows, columns=columns)


def test_a_sound_manifest_has_no_problems(manifest):
    assert check_manifest(manifest) == []


def test_grades_out_of_range_and_sides(manifest, problem_of):
    manifest["hb_grade"] = [3, 3, 7, 7, 3, "III"]
    manifest.loc[1, "side"] = "lft"
    problems = check_manifest(manifest, images=False)
    wrong = {p.what.split('"')[1]: p.rows for p in problems if p.kind == "grade_out_of_range"}
    assert wrong == {"7": (4, 5), "III": (7,)}
    assert problem_of(problems, "unreadable_side").rows == (3,)


def test_a_patient_with_two_grades_or_sides(manifest, problem_of):
    manifest.loc[3, "hb_grade"] = 5
    manifest.loc[5, "side"] = "right"
    problems = check_manifest(manifest, images=False)
    grades = problem_of(problems, "two_grades")
    assert grades.patient_id == "P2" and "3, 5" in grades.what and grades.rows == (4, 5)
    sides = problem_of(problems, "two_sides")
    assert sides.patient_id == "P10" and sides.rows == (6, 7)


def test_two_grades_at_two_visits_are_no_problem(manifest):
    manifest["visit"] = ["1", "2"] * 3
    manifest["hb_grade"] = [5, 2] * 3
    assert check_manifest(manifest, images=False) == []


def test_an_unknown_side_or_empty_grade_contradicts_nothing(manifest):
    manifest["hb_grade"] = pd.array([3, None, 3, 3, 3, 3], dtype="Int64")
    manifest.loc[1, "side"] = "unknown"
    assert check_manifest(manifest, images=False) == []


def test_missing_tasks_are_inferred_from_the_other_patients(manifest, problem_of):
    problems = check_manifest(manifest.drop(index=3), images=False)
    missing = problem_of(problems, "missing_task")
    assert missing.patient_id == "P2" and "smile" in missing.what
    named = check_manifest(manifest, images=False, tasks=("rest", "smile", "pout"))
    assert [p.patient_id for p in named] == ["P1", "P2", "P10"]  # natural order
    assert check_manifest(manifest.drop(index=3), images=False, tasks=()) == []


def test_empty_tasks_are_told(manifest, problem_of):
    manifest.loc[4, "task"] = None
    assert problem_of(check_manifest(manifest, images=False), "no_task").rows == (6,)


def test_missing_patient_and_repeated_image_id(manifest, problem_of):
    manifest.loc[0, "patient_id"] = None
    manifest.loc[2, "image_id"] = manifest.loc[1, "image_id"]
    problems = check_manifest(manifest, images=False)
    assert problem_of(problems, "no_patient").rows == (2,)
    assert problem_of(problems, "repeated_image_id").rows == (3, 4)


def test_the_same_photograph_of_one_patient_and_of_two(manifest, problem_of):
    shutil.copy(manifest["path"][0], manifest["path"][1])
    shutil.copy(manifest["path"][2], manifest["path"][5])
    problems = check_manifest(manifest)
    assert problem_of(problems, "duplicate_photograph").rows == (2, 3)
    across = problem_of(problems, "duplicate_across_patients")
    assert across.rows == (4, 7) and "P2, P10" in across.what
    assert "P2/rest.jpg = P10/smile.jpg" in across.what


def test_photographs_that_cannot_be_read(manifest, tmp_path):
    paths = [tmp_path / name for name in manifest["image_id"]]
    paths[0].write_bytes(b"")
    paths[1].write_bytes(b"GIF89a....")
    paths[2].write_bytes(paths[2].read_bytes()[:-40])  # cut short
    paths[3].unlink()
    problems = [p for p in check_manifest(manifest) if p.kind == "unreadable"]
    assert [p.rows for p in problems] == [(2,), (3,), (4,), (5,)]
    assert all(p.severity == "error" for p in problems)
    assert "0 bytes" in problems[0].what and "GIF" in problems[1].what
    assert "cut short" in problems[2].what and "exists" in problems[3].what


def test_no_images_opens_nothing(manifest):
    manifest["path"] = "nowhere.jpg"
    assert check_manifest(manifest, images=False) == []


def test_a_clip_is_checked_by_its_key_frames(tmp_path, write_photo):
    for i in range(5):
        write_photo(tmp_path / f"{i}.png")
    (tmp_path / "4.png").write_bytes(b"broken")
    assert check_photo(tmp_path, ("0.png", "1.png", "2.png")).reason is None
    assert "4.png" in str(check_photo(tmp_path).reason)  # first, middle, last
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no frames" in str(check_photo(empty).reason)


def test_scores_out_of_range_and_dates_that_are_none(manifest, problem_of):
    manifest["sunnybrook"] = [50, 50, 101, 101, "x", None]
    manifest["date"] = ["2024-01-31", "2024-01-31", "31/01/2024", None, "2024-02-30", None]
    problems = check_manifest(manifest, images=False)
    wrong = {p.what.split('"')[1]: p.rows for p in problems if p.kind == "score_out_of_range"}
    assert wrong == {"101": (4, 5), "x": (6,)}
    dates = {p.what.split('"')[1]: p.rows for p in problems if p.kind == "no_date"}
    assert dates == {"31/01/2024": (4,), "2024-02-30": (6,)}


def test_two_units_in_one_column(manifest, problem_of):
    manifest["eface"] = [0.81, 0.81, 64, 64, 0.5, 0.5]
    told = problem_of(check_manifest(manifest, images=False), "two_units")
    assert told.severity == "warning" and "eface" in told.what and "row 4" in told.what


def test_visits_under_patient_names_of_their_own(manifest, problem_of):
    manifest["patient_id"] = ["P01_v1", "P01_v1", "P01_v2", "P01_v2", "P02_v1", "P02_v1"]
    told = problem_of(check_manifest(manifest, images=False), "visits_as_patients")
    assert told.severity == "warning" and "P01_v1, P01_v2" in told.what
    for names in (["Dv1", "Dv2", "Dv3"], ["P1_1", "P1_2", "P1_3"], ["A_v1", "B_v1", "C_v2"]):
        manifest["patient_id"] = [name for name in names for _ in range(2)]
        assert check_manifest(manifest, images=False) == []


def test_the_same_visit_twice_with_other_scores_or_dates(manifest, problem_of):
    manifest["visit"] = ["1", "2"] * 3
    manifest["sunnybrook"], manifest["date"] = [30.0, 60.0] * 3, ["2024-01-01", "2024-03-01"] * 3
    assert check_manifest(manifest, images=False) == []
    again = manifest.iloc[[0]].assign(
        image_id="again", sunnybrook=40.0, date="2024-01-02", task="smile"
    )
    problems = check_manifest(pd.concat([manifest, again]), images=False)
    assert problem_of(problems, "two_sunnybrook_scores").patient_id == "P1"
    assert "2024-01-01, 2024-01-02" in problem_of(problems, "two_dates").what
