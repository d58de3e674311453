"""The command `prepare`: files, exit codes, printed problems, grades, split."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from common.tables import read_manifest, read_table
from datasets.commands.prepare import prepare
from datasets.dataset import PARTS, PROBLEMS, split_by_patient
from datasets.registry import DATASETS, dataset_entry


@pytest.fixture
def photos(tmp_path, write_photo, write_sheet):
    root = tmp_path / "photos"
    for patient in ("P1", "P2"):
        for task in ("rest", "smile"):
            write_photo(root / patient / f"{task}.jpg")
    write_sheet(
        tmp_path / "grades.csv",
        [
            ("image", "patient", "task", "side", "grade"),
            *(
                (f"{patient}/{name}.jpg", patient, task, "left", grade)
                for patient, grade in (("P1", 3), ("P2", 4))
                for name, task in (("rest", "rest"), ("smile", "full_smile"))
            ),
        ],
    )
    return root


def test_manifest_is_written_with_relative_paths_and_read_back(photos, tmp_path, capsys):
    out = tmp_path / "study/manifest.csv"
    result = prepare("folder", photos, table=tmp_path / "grades.csv", out=out)
    assert result.exit_code == 0 and result.out == out
    assert pd.read_csv(out)["path"].iloc[0] == "../photos/P1/rest.jpg"
    manifest = read_manifest(out)
    assert manifest["image_id"].tolist() == [
        "P1/rest.jpg", "P1/smile.jpg", "P2/rest.jpg", "P2/smile.jpg"
    ]  # fmt: skip
    assert all(Path(path).is_file() for path in manifest["path"])
    printed = capsys.readouterr().out
    assert "4 photographs, 2 patients" in printed and "No problems." in printed
    assert not (tmp_path / "study/manifest_problems.csv").exists()


def test_check_writes_every_problem_and_prints_the_same(photos, tmp_path, capsys):
    (photos / "P1/rest.jpg").write_bytes(b"")
    table = tmp_path / "grades.csv"
    table.write_text(table.read_text() + "P3/rest.jpg,P3,rest,left,9\n")
    out = tmp_path / "manifest.csv"
    result = prepare("folder", photos, table=table, out=out, check=True)
    assert result.exit_code == 3
    written = read_table(tmp_path / "manifest_problems.csv", schema=PROBLEMS)
    assert written["kind"].tolist() == ["grade_out_of_range", "missing_photograph", "unreadable"]
    assert written["rows"].tolist() == ["6", "6", "2"]
    printed = capsys.readouterr().out
    for problem in result.problems:
        assert f"{problem.severity}: {problem.sentence()}" in printed
    assert "3 errors" in printed
    unopened = prepare("folder", photos, table=table, out=out, check=True, images=False)
    assert "unreadable" not in {problem.kind for problem in unopened.problems}


def test_nothing_found_writes_no_manifest(tmp_path, capsys):
    out = tmp_path / "manifest.csv"
    result = prepare("meei", tmp_path, out=out)
    assert result.exit_code == 4 and result.out is None and not out.exists()
    assert "it needs folders Normal, Flaccid and Synkinetic" in capsys.readouterr().out


def test_a_flood_of_one_kind_is_cut_on_screen_and_whole_in_the_table(
    photos, tmp_path, write_photo, capsys
):
    for i in range(30):
        write_photo(tmp_path / f"set/holiday{i}.jpg")
    for i in range(1, 9):
        write_photo(tmp_path / f"set/Normals/Normal1/Normal1_{i}.jpg")
    prepare("meei", tmp_path / "set", out=tmp_path / "m.csv", check=True)
    printed = capsys.readouterr().out
    assert printed.count("is no photograph of the standard set") == 20
    assert "10 more of the kind unexpected_photograph; see" in printed
    written = read_table(tmp_path / "m_problems.csv", schema=PROBLEMS)
    assert (written["kind"] == "unexpected_photograph").sum() == 30
    prepare("meei", tmp_path / "photos", out=tmp_path / "n.csv")
    printed = capsys.readouterr().out
    assert printed.index("nothing of MEEI") < printed.index("is no photograph")


def test_an_option_that_means_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="--patient-pattern means nothing to meei"):
        prepare("meei", tmp_path, patient_pattern="x")
    with pytest.raises(UserError, match='Did you mean "neuroface"'):
        prepare("neurofaces", tmp_path)  # type: ignore[arg-type]


def test_a_meei_patient_with_a_missing_photograph_is_told_once(tmp_path, write_photo):
    for i in range(1, 8):
        write_photo(tmp_path / f"Normals/Normal1/Normal1_{i}.jpg")
    result = prepare("meei", tmp_path, out=tmp_path / "m.csv", check=True)
    assert [p.patient_id for p in result.problems if p.kind == "missing_task"] == ["Normal1"]
    assert result.exit_code == 3


def test_own_grades_take_the_place_of_the_category(tmp_path, write_photo, write_sheet, problem_of):
    for name in ("MildFlaccid1", "MildFlaccid2", "MildFlaccid3"):
        for i in range(1, 9):
            write_photo(tmp_path / f"Flaccid/MildFlaccid/{name}/{name}_{i}.jpg")
    grades = write_sheet(
        tmp_path / "own.xlsx",
        [
            ("Patient", "House-Brackmann", "eFACE", "Sunnybrook", "Side"),
            ("mildflaccid1", "IV", 61.5, 48, "left"),
            ("MildFlaccid2", None, 120, "x", "right"),
            ("MildFlacid3", 2, 90, 80, "left"),
        ],
    )
    result = prepare("meei", tmp_path, out=tmp_path / "m.csv", grades=grades)
    first = result.manifest.drop_duplicates("patient_id").set_index("patient_id")
    assert first["hb_grade"].tolist() == [4, 3, 3]
    assert first["grade_source"].str.contains("own.xlsx").tolist() == [True, False, False]
    assert first["grade_source"].iloc[1].startswith("category")
    assert first.loc["MildFlaccid1", ["eface", "sunnybrook", "side"]].tolist() == [61.5, 48, "left"]
    assert first.loc["MildFlaccid3", ["eface", "sunnybrook"]].isna().all()
    unknown = problem_of(result.problems, "unknown_in_grades")
    assert unknown.rows == (4,) and '"mildflaccid3"' in unknown.advice
    scores = {p.what[:10]: p.rows for p in result.problems if p.kind == "score_out_of_range"}
    assert scores == {"eface is 1": (3,), "sunnybrook": (3,)}
    assert "mildflaccid3" in problem_of(result.problems, "not_in_grades").what


def test_contradicting_grades_are_not_used(photos, tmp_path, write_sheet, problem_of):
    grades = write_sheet(tmp_path / "g.csv", [("patient", "HB"), ("P1", 2), ("P1", 4), ("P2", 5)])
    result = prepare("folder", photos, grades=grades, out=tmp_path / "m.csv")
    assert problem_of(result.problems, "contradicting_grades").rows == (2, 3)
    assert result.manifest["hb_grade"].isna().tolist() == [True, True, False, False]


def test_grades_by_emotion_serve_ckplus(tmp_path, write_photo, write_sheet):
    for frame in (1, 2):
        write_photo(tmp_path / f"cohn-kanade-images/S005/001/S005_001_0000000{frame}.png")
    label = tmp_path / "Emotion/S005/001/S005_001_00000002_emotion.txt"
    label.parent.mkdir(parents=True)
    label.write_text("5.0")
    plain = prepare("ckplus", tmp_path, out=tmp_path / "m.csv")
    assert plain.manifest["hb_grade"].isna().all()
    grades = write_sheet(tmp_path / "g.csv", [("emotion", "grade"), ("happy", 1)])
    mapped = prepare("ckplus", tmp_path, grades=grades, out=tmp_path / "m.csv")
    graded = mapped.manifest.set_index("phase")["hb_grade"]
    assert graded["peak"] == 1 and pd.isna(graded["neutral"])  # the neutral face does not smile


def test_grades_without_a_key_are_refused(photos, tmp_path, write_sheet):
    grades = write_sheet(tmp_path / "g.csv", [("name", "HB"), ("P1", 2)])
    with pytest.raises(UserError, match=r"g\.csv has no column patient \(or image\)"):
        prepare("folder", photos, grades=grades, out=tmp_path / "m.csv")


def test_shares_of_the_split_are_as_asked_and_seeded(tmp_path, write_photo):
    for grade in range(1, 7):
        for patient in range(10):
            write_photo(tmp_path / f"photos/grade_{grade}/P{grade}{patient}_left.jpg")
    options = {"out": tmp_path / "m.csv", "shares": (60, 20, 20)}
    parts = [
        prepare("fnp", tmp_path / "photos", seed=seed, **options).manifest for seed in (1, 1, 2)
    ]
    table = pd.crosstab(parts[0]["hb_grade"], parts[0]["split"])
    assert table.sum().to_dict() == {"test": 12, "train": 36, "val": 12}
    assert (table["train"].between(5, 7)).all() and (table[["val", "test"]] >= 1).all(axis=None)
    assert parts[0]["split"].equals(parts[1]["split"])
    assert not parts[0]["split"].equals(parts[2]["split"])
    with pytest.raises(UserError, match=r"three positive numbers.*--shares 70 15 15"):
        prepare("fnp", tmp_path / "photos", out=tmp_path / "m.csv", shares=(80, 20))


@given(
    grades=st.lists(st.integers(1, 6), min_size=3, max_size=60),
    photos=st.integers(1, 4),
    seed=st.integers(0, 5),
)
def test_no_patient_is_in_two_parts_and_shares_are_kept(grades, photos, seed):
    manifest = pd.DataFrame(
        [(f"P{i}", grade) for i, grade in enumerate(grades) for _ in range(photos)],
        columns=["patient_id", "hb_grade"],
    )
    divided, _ = split_by_patient(manifest, seed=seed)
    assert (divided.groupby("patient_id")["split"].nunique() == 1).all()
    count = divided.drop_duplicates("patient_id")["split"].value_counts()
    for part, share in zip(PARTS, (0.7, 0.15, 0.15), strict=True):
        assert abs(count.get(part, 0) - share * len(grades)) <= 1


def test_split_names_the_grades_a_part_lacks(problem_of):
    patients = [f"P{i}" for i in range(10)]
    manifest = pd.DataFrame({"patient_id": patients, "hb_grade": [1] * 9 + [6]})
    _, problems = split_by_patient(manifest)
    assert all("grade 6" in problem.what for problem in problems) and len(problems) == 2
    with pytest.raises(UserError, match="sum to 1"):
        split_by_patient(manifest, shares=(0.5, 0.5, 0.5))


def test_every_dataset_says_what_it_needs_and_how_it_is_obtained():
    for name, entry in DATASETS.items():
        assert dataset_entry(name) is entry
        assert entry.needs.endswith(".") and entry.obtain.endswith(".")


def test_the_command_offers_every_dataset():
    from typing import get_args

    from datasets.commands.prepare import DatasetName

    assert set(get_args(DatasetName)) == set(DATASETS)


def test_simulated_cohorts_are_called_so(photos, tmp_path, problem_of):
    (photos / "true_landmarks.csv").write_text("image\n")
    result = prepare("folder", photos, out=tmp_path / "m.csv")
    assert "simulated" in problem_of(result.problems, "simulated_cohort").what


@pytest.mark.parametrize(("name", "rows"), [("meei", 480), ("neuroface", 132), ("casme2", 72)])
def test_shared_datasets_are_prepared_and_checked_whole(shared, tmp_path, name, rows):
    out = tmp_path / "m.csv"
    result = prepare(name, shared / f"data/sim_{name}", out=out, check=True)
    assert len(result.manifest) == rows and result.exit_code == 0
    assert {problem.kind for problem in result.problems} <= {"simulated_cohort"}
    manifest = read_manifest(out)
    assert len(manifest) == rows and all(Path(path).exists() for path in manifest["path"])
    again = tmp_path / "again.csv"
    prepare(name, shared / f"data/sim_{name}", out=again)
    assert again.read_bytes() == out.read_bytes()
