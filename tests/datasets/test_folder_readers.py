"""Readers of folders: by grade, by class, any folder with a table, YouTube Facial Palsy, CK+."""

from __future__ import annotations

import pandas as pd
import pytest

from common.errors import UserError
from common.truth import read_truth
from datasets.commands.prepare import prepare
from datasets.dataset import PatientPattern, side_in
from datasets.readers.ckplus import read_ckplus
from datasets.readers.folder import read_folder
from datasets.readers.sorted_photographs import read_fnp, read_three_class
from datasets.readers.youtube_palsy import read_yfp


def indexed(dataset) -> pd.DataFrame:
    return dataset.manifest.set_index("image_id")


# --- grade folders -----------------------------------------------------------------------------


@pytest.fixture
def by_grade(tmp_path, write_photo):
    for grade in range(1, 7):
        for patient in range(10):
            for shot in (1, 2):
                name = f"P{grade}{patient:02d}_{'left' if patient % 2 else 'R'}_{shot}.jpg"
                write_photo(tmp_path / f"grade_{grade}" / name)
    return tmp_path


def test_fnp_reads_grade_side_and_patient_and_splits_by_patient(by_grade):
    dataset = read_fnp(by_grade)
    manifest = dataset.manifest
    assert dataset.problems == ()
    assert len(manifest) == 120 and manifest["patient_id"].nunique() == 60
    assert manifest.groupby("hb_grade").size().tolist() == [20] * 6
    assert set(manifest["side"]) == {"left", "right"}
    assert (manifest.groupby("patient_id")["split"].nunique() == 1).all()
    patients = manifest.drop_duplicates("patient_id")
    assert patients["split"].value_counts().to_dict() == {"train": 42, "val": 9, "test": 9}
    table = pd.crosstab(patients["hb_grade"], patients["split"])
    assert table["train"].between(6, 8).all() and (table[["val", "test"]] >= 1).all(axis=None)


def test_fnp_split_follows_the_seed(by_grade):
    first, again = (read_fnp(by_grade, seed=3).manifest["split"] for _ in range(2))
    other = read_fnp(by_grade, seed=4).manifest["split"]
    assert first.equals(again) and not first.equals(other)


def test_fnp_counting_from_zero_must_be_said(tmp_path, write_photo):
    for grade in range(6):
        write_photo(tmp_path / f"grade_{grade}" / f"P{grade}_left.jpg")
    with pytest.raises(UserError, match=r"grade_0.*--zero-based-grades"):
        read_fnp(tmp_path)
    dataset = read_fnp(tmp_path, zero_based_grades=True)
    assert indexed(dataset).loc["grade_5/P5_left.jpg", "hb_grade"] == 6
    assert dataset.manifest["hb_grade"].tolist() == [1, 2, 3, 4, 5, 6]
    write_photo(tmp_path / "grade_6" / "P6_left.jpg")
    with pytest.raises(UserError, match="grade_6"):
        read_fnp(tmp_path, zero_based_grades=True)


def test_fnp_defects_are_named(by_grade, write_photo, problem_of):
    write_photo(by_grade / "grade_8" / "P900_left_1.jpg")
    write_photo(by_grade / "grade_3" / "left.jpg")
    write_photo(by_grade / "grade_4" / "P901.jpg")
    dataset = read_fnp(by_grade)
    assert problem_of(dataset, "no_grade_folder").file == "grade_8/P900_left_1.jpg"
    assert "grade_3/left.jpg" in problem_of(dataset, "no_patient").what
    assert "grade_4/P901.jpg" in problem_of(dataset, "no_side").what
    assert indexed(dataset).loc["grade_4/P901.jpg", "side"] == "unknown"


def test_fnp_doubts_a_pattern_that_gives_every_photograph_its_own_patient(
    tmp_path, write_photo, problem_of
):
    for i in range(12):
        write_photo(tmp_path / f"grade_{1 + i % 6}" / f"img{i}_left.jpg")
    doubt = problem_of(read_fnp(tmp_path), "doubtful_patients")
    assert "each of 12 photographs" in doubt.what and "--patient-pattern" in doubt.advice


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("P1_left_2", "left"),
        ("P1-R", "right"),
        ("Right 3", "right"),
        ("P1_left_right", "unknown"),
        ("bright_light", "unknown"),
        ("P1", "unknown"),
    ],
)
def test_side_of_a_name(name, side):
    assert side_in(name) == side


def test_a_pattern_that_is_no_regular_expression_is_refused():
    with pytest.raises(UserError, match="--patient-pattern"):
        PatientPattern("(unclosed")
    assert PatientPattern(r"case-(\d+)").patient_in("x_case-12_y") == "12"


# --- three classes -----------------------------------------------------------------------------


@pytest.fixture
def by_class(tmp_path, write_photo):
    for name in ("Normal", "mild", "Severe"):
        for patient in (1, 2):
            for shot in (1, 2):
                write_photo(tmp_path / name / f"{name[0]}{patient}_{shot}.jpg")
    return tmp_path


def test_three_classes_keep_their_ambiguity(by_class, problem_of):
    dataset = read_three_class(by_class)
    rows = indexed(dataset)
    assert rows.loc["Normal/N1_1.jpg", ["hb_grade", "grade_low", "grade_high"]].tolist() == [
        1,
        1,
        1,
    ]
    assert rows.loc["mild/m1_1.jpg", ["grade_low", "grade_high"]].tolist() == [2, 3]
    assert rows.loc["Severe/S2_2.jpg", ["grade_low", "grade_high"]].tolist() == [4, 6]
    assert rows.loc[["mild/m1_1.jpg", "Severe/S2_2.jpg"], "hb_grade"].isna().all()
    assert rows.loc["mild/m1_1.jpg", "patient_id"] == "m1"
    assert "Mild = 2-3, Severe = 4-6" in problem_of(dataset, "class_mapping").what


def test_three_classes_with_another_mapping(by_class, write_sheet):
    rows = [("class", "from", "to"), ("Normal", 1, 2), ("Mild", 3, 3), ("Severe", "IV", "VI")]
    mapping = write_sheet(by_class / "mapping.csv", rows)
    rows = indexed(read_three_class(by_class, grades=mapping))
    assert rows.loc["mild/m1_1.jpg", "hb_grade"] == 3
    assert pd.isna(rows.loc["Normal/N1_1.jpg", "hb_grade"])


def test_three_classes_from_a_table_name_what_has_no_class(by_class, write_sheet, problem_of):
    table = write_sheet(
        by_class / "t.csv",
        [
            ("photo", "patient", "Label"),
            ("N1_1.jpg", "a", "Normal"),
            ("S1_1.jpg", "b", "severe"),
            ("m1_1.jpg", "c", "middling"),
        ],
    )
    dataset = read_three_class(by_class, table=table)
    assert sorted(dataset.manifest["class"]) == ["Normal", "Severe"]
    assert "m1_1.jpg" in problem_of(dataset, "no_class").what


def test_three_classes_name_a_class_for_graders_and_never_take_it_for_a_patient(
    tmp_path, write_photo, write_sheet, problem_of
):
    for name in ("Normal/rest.jpg", "Severe/rest.jpg", "Mild/P1/1.jpg", "Mild/P1/2.jpg",
                 "Severe/P1/1.jpg", "Mild/P7_smile.jpg", "Mild/P7_rest.jpg"):  # fmt: skip
        write_photo(tmp_path / name)
    dataset = read_three_class(tmp_path)
    rows = indexed(dataset)
    assert rows["palsy_class"].to_dict() == {
        name: {"N": "healthy", "M": "slight", "S": "strong"}[name[0]] for name in rows.index
    }
    assert not set(rows["patient_id"]) & {"Normal", "Mild", "Severe"}
    assert set(rows.loc[["Mild/P1/1.jpg", "Mild/P1/2.jpg"], "patient_id"]) == {"P1"}
    assert set(rows.loc[["Mild/P7_smile.jpg", "Mild/P7_rest.jpg"], "patient_id"]) == {"P7"}
    alone = rows[rows["patient_source"] == "photograph"]
    assert alone["patient_id"].to_dict() == {
        "Normal/rest.jpg": "Normal/rest", "Severe/rest.jpg": "Severe/rest"
    }  # fmt: skip
    assert "2 of 7 photographs name no patient" in problem_of(dataset, "no_patients").what
    assert "P1 lies in several" in problem_of(dataset, "patient_in_several_classes").what
    mapping = [("class", "low", "high"), ("Normal", 1, 1), ("Mild", 2, 4), ("Severe", 5, 6)]
    other = read_three_class(tmp_path, grades=write_sheet(tmp_path / "m.csv", mapping))
    assert indexed(other).loc["Mild/P7_rest.jpg", ["palsy_class"]].isna().all()
    assert "Mild" in problem_of(other, "class_spans_several").what


# --- any folder --------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path, write_photo):
    for patient in ("007", "008"):
        for task in ("rest", "smile"):
            write_photo(tmp_path / patient / f"{task}_{patient}.jpg")
    return tmp_path


def test_folder_without_table_takes_the_first_folder_as_patient(photos):
    dataset = read_folder(photos)
    assert dataset.manifest["patient_id"].tolist() == ["007", "007", "008", "008"]
    assert dataset.manifest["hb_grade"].isna().all()
    assert set(dataset.manifest["side"]) == {"unknown"}


@pytest.mark.parametrize("names", [("Normal", "Mild", "Severe"), ("gesund", "leicht", "schwer")])
def test_folders_named_like_classes_hint_at_three_class(tmp_path, write_photo, problem_of, names):
    for name in names:
        for photo in (f"{name}/P{name[0]}1/rest.jpg", f"{name}/P{name[0]}2/rest.jpg"):
            write_photo(tmp_path / photo)
    hint = problem_of(read_folder(tmp_path), "class_folders")
    assert "prepare three-class" in hint.sentence()
    assert all(name in hint.what for name in names)
    followed = read_three_class(tmp_path)  # the reader that it names understands these folders
    assert sorted(followed.manifest["palsy_class"].unique()) == ["healthy", "slight", "strong"]
    assert "class_folders" not in {problem.kind for problem in followed.problems}


def test_one_folder_of_healthy_people_is_no_set_of_classes(photos, write_photo):
    write_photo(photos / "Normal" / "rest.jpg")
    assert not read_folder(photos).problems


def test_foreign_headers_and_a_file_column_known_by_its_cells(photos, write_sheet, problem_of):
    table = write_sheet(
        photos / "Liste.xlsx",
        [
            ("Ablage", "Patientin", "Bewegung", "Seite", "HB-Grad", "Alter", "Bemerkung"),
            ("rest_007.jpg", "Müller", "Ruhe", "links", "IV", 61, None),
            ("rest_008.jpg", "Weber", "Mund spitzen", "gesund", 1, 44, "Brille"),
        ],
    )
    dataset = read_folder(photos, table=table)
    rows = indexed(dataset).loc[["007/rest_007.jpg", "008/rest_008.jpg"]]
    assert rows["patient_id"].tolist() == ["Müller", "Weber"]
    assert rows["task"].tolist() == ["rest", "lip_pucker"]
    assert rows["side"].tolist() == ["left", "none"] and rows["hb_grade"].tolist() == [4, 1]
    assert '"Ablage" was taken for the photographs' in problem_of(dataset, "file_column").what
    assert problem_of(dataset, "unused_column").what.endswith('"Alter", "Bemerkung"')
    kinds = {problem.kind for problem in dataset.problems}
    assert kinds == {"file_column", "unused_column", "unlisted_photograph"}  # Alter is no Datei


def test_a_template_lists_the_photographs_and_reads_back_filled_in(photos, tmp_path, problem_of):
    from openpyxl import load_workbook

    written = tmp_path / "grades.xlsx"
    prepare("folder", photos, template=written)
    book = load_workbook(written)
    sheet = book["photographs"]
    found = {row[0].value: row for row in sheet.iter_rows(min_row=2)}
    assert list(found) == list(indexed(read_folder(photos)).index)
    assert found["007/rest_007.jpg"][1].value == "007"
    rules = {str(rule.sqref)[0]: rule.formula1 for rule in sheet.data_validations.dataValidation}
    assert rules["C"].startswith('"rest,brow_raise') and rules["E"] == '"1,2,3,4,5,6"'
    assert rules["D"] == '"left,right,none,both,unknown"'
    assert max(len(rule) for rule in rules.values()) <= 257  # Excel refuses longer lists
    assert "patient" in [row[0].value for row in book["how to fill in"].rows]
    for cell, value in zip(found["007/rest_007.jpg"][2:], ("rest", "left", 4), strict=True):
        cell.value = value
    book.save(written)
    row = indexed(read_folder(photos, table=written)).loc["007/rest_007.jpg"]
    assert row[["task", "side", "hb_grade"]].tolist() == ["rest", "left", 4]
    with pytest.raises(UserError, match="may be filled in"):
        prepare("folder", photos, template=written)
    with pytest.raises(UserError, match="--template is for folder"):
        prepare("fnp", photos, template=tmp_path / "other.xlsx")


def test_folder_with_a_table_of_photographs_in_peoples_own_words(photos, write_sheet):
    table = write_sheet(
        photos / "grades.xlsx",
        [
            ("My study", None, None, None, None, None),
            ("File Name", "Subject", "Movement", "Affected side", "House-Brackmann", "Nerve"),
            ("007/rest_007.jpg", "007", "rest", "L", "HB IV", "VII"),
            ("SMILE_007", "007", "smile", "left", 4, "VII"),
            ("008\\rest_008.jpg", "008", "rest", "Normal", "I", None),
        ],
    )
    dataset = read_folder(photos, table=table)
    rows = indexed(dataset)
    assert rows.loc["007/smile_007.jpg", ["patient_id", "task", "side"]].tolist() == [
        "007",
        "smile",
        "left",
    ]
    assert rows["hb_grade"].tolist() == [4, 4, 1]
    assert rows.loc["008/rest_008.jpg", "side"] == "none"
    assert rows.loc["007/rest_007.jpg", "Nerve"] == "VII"
    kinds = [problem.kind for problem in dataset.problems]
    assert kinds == ["unused_column", "own_movement", "unlisted_photograph"]
    assert '"Nerve"' in dataset.problems[0].what
    assert dataset.problems[1].what.endswith(": smile") and dataset.problems[1].rows == (4,)


def test_folder_with_visits_and_scores(photos, write_sheet, problem_of):
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.jpg"))[:3]
    table = write_sheet(
        photos.parent / "visits.csv",
        [("image", "patient", "Besuch", "Datum", "SFGS", "eFACE score"),
         (names[0], "P1", "1", "3.4.2024", 55, 61.5), (names[1], "P1", "2", "2024-06-01", 80, 70),
         (names[2], "P2", "1", "03/04/2024", 130, "")],
    )  # fmt: skip
    dataset = read_folder(photos, table=table)
    told = dataset.manifest.set_index("image_id")
    cells = ["visit", "date", "sunnybrook", "eface"]
    assert told.loc[names[0], cells].tolist() == ["1", "2024-04-03", 55.0, 61.5]
    assert told.loc[names[1], cells].tolist() == ["2", "2024-06-01", 80.0, 70.0]
    assert told.loc[names[2], cells].isna().tolist() == [False, True, True, True]
    assert problem_of(dataset, "no_date").rows == (4,)
    assert problem_of(dataset, "score_out_of_range").rows == (4,)


def test_folder_table_defects_are_all_named_with_their_rows(
    photos, write_photo, write_sheet, problem_of
):
    write_photo(photos / "009" / "rest_007.jpg")  # the same name as another patient's
    table = write_sheet(
        photos / "grades.csv",
        [
            ("image", "patient", "sied", "grade"),
            ("007/smile_007.jpg", "007", "left", 7),
            ("007/smile_007.jpg", "007", "left", 4),
            ("rest_007.jpg", "007", "left", 4),
            ("nowhere.jpg", "009", "left", 4),
            (None, "009", "left", "II-III"),
            ("008/rest_008.jpg", None, "left", 4),
        ],
    )
    dataset = read_folder(photos, table=table)
    bad = {problem.what[:15]: problem.rows for problem in dataset.problems
           if problem.kind == "grade_out_of_range"}  # fmt: skip
    assert bad == {'the grade "7" i': (2,), 'the grade "II-I': (6,)}
    lost = [p for p in dataset.problems if p.kind == "missing_photograph"]
    assert [p.rows for p in lost] == [(4,), (5,), (6,)]
    assert "fits several files" in lost[0].what and "is not in the folder" in lost[1].what
    assert problem_of(dataset, "photograph_twice").rows == (2, 3)
    assert "008/rest_008.jpg" in problem_of(dataset, "no_patient").what
    assert '"sied"' in problem_of(dataset, "unknown_column").what
    assert 'rename it to "side"' in problem_of(dataset, "unknown_column").advice
    assert "unused_column" not in {problem.kind for problem in dataset.problems}  # told once
    assert dataset.manifest["image_id"].tolist() == ["007/smile_007.jpg"]
    assert pd.isna(dataset.manifest["hb_grade"].iloc[0])


def test_folder_with_a_table_of_patients(photos, write_sheet, problem_of):
    table = write_sheet(
        photos / "patients.csv",
        [
            ("Patient", "Side", "HB"),
            ("007", "right", "3"),
            ("7", "left", "2"),
            ("007", "left", "3"),
        ],
    )
    dataset = read_folder(photos, table=table)
    rows = indexed(dataset)
    assert rows.loc["007/rest_007.jpg", ["side", "hb_grade"]].tolist() == ["right", 3]
    assert rows.loc["008/rest_008.jpg", "side"] == "unknown"
    assert problem_of(dataset, "missing_patient").rows == (3,)
    assert problem_of(dataset, "patient_twice").rows == (2, 4)
    assert "008" in problem_of(dataset, "unlisted_patient").what


def test_folder_refuses_what_is_no_folder(tmp_path):
    with pytest.raises(UserError, match="not a folder"):
        read_folder(tmp_path / "nowhere")


# --- YouTube Facial Palsy ----------------------------------------------------------------------

BOX_HEADER = ("video", "frame", "patient", "region", "x", "y", "w", "h", "intensity")


def test_yfp_joins_boxes_to_frames(tmp_path, write_photo, write_sheet, problem_of):
    for video in ("v1", "v2"):
        for frame in (1, 2):
            write_photo(tmp_path / "frames" / video / f"{frame:04d}.jpg")
    write_sheet(
        tmp_path / "boxes.csv",
        [
            BOX_HEADER,
            ("v1", 1, "p1", "Eyes", 10, 20, 30, 15, 0.5),
            ("v1", 1, "p1", "Mouth", 12, 60, 30, 15, "1.0"),
            ("v2", 2, "p1", "Nose", 1, 1, 5, 5, 1),
            ("v2", 2, "p1", "Mouth", 9, 9, -3, 5, 1),
            ("v2", 2, "p1", "Eyes", 9, 9, 3, 5, 0.7),
            ("v2", 77, "p1", "Eyes", 9, 9, 3, 5, 1),
            ("v2", 1, "p2", None, None, None, None, None, None),
        ],
    )
    dataset = read_yfp(tmp_path)
    rows = indexed(dataset)
    first = rows.loc["frames/v1/0001.jpg"]
    assert first[["eyes_left", "eyes_right", "mouth_bottom"]].tolist() == [10, 40, 75]
    assert first[["eyes_intensity", "mouth_intensity"]].tolist() == [0.5, 1.0]
    assert pd.isna(rows.loc["frames/v2/0002.jpg", "eyes_intensity"])
    assert set(rows["patient_id"]) == {"p1"} and rows["hb_grade"].isna().all()
    assert problem_of(dataset, "unknown_region").rows == (4,)
    assert problem_of(dataset, "unusable_box").rows == (5,)
    assert problem_of(dataset, "unknown_intensity").rows == (6,)
    assert "77" in problem_of(dataset, "frame_without_image").what
    assert problem_of(dataset, "two_patients").rows == (8,)


def test_yfp_of_videos_alone_says_what_it_does_not_know(tmp_path, problem_of):
    for name in ("12_1.mp4", "12_2.mp4", "noname.avi"):
        (tmp_path / name).write_bytes(b"video")
    dataset = read_yfp(tmp_path)
    assert dataset.manifest["patient_id"].tolist() == ["12", "12"]
    assert "noname" in problem_of(dataset, "no_patient").what
    assert problem_of(dataset, "no_boxes").severity == "warning"
    assert "names" in problem_of(dataset, "doubtful_patients").what


# --- CK+ ---------------------------------------------------------------------------------------


@pytest.fixture
def ckplus(tmp_path, write_photo):
    for subject, sequence, last in (("S005", "001", 11), ("S010", "002", 3)):
        for frame in range(1, last + 1):
            name = f"{subject}_{sequence}_{frame:08d}"
            write_photo(tmp_path / "cohn-kanade-images" / subject / sequence / f"{name}.png")
            points = tmp_path / "Landmarks" / subject / sequence / f"{name}_landmarks.txt"
            points.parent.mkdir(parents=True, exist_ok=True)
            points.write_text("".join(f"   {i + frame}.5e+00   {i}.0e+00\n" for i in range(68)))
    for folder, ending, text in (("Emotion", "emotion", "   3.0000000e+00\n"),
                                 ("FACS", "facs", "   9.0   4.0\n  17.0   0.0\n")):  # fmt: skip
        path = tmp_path / folder / "S005/001" / f"S005_001_00000011_{ending}.txt"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path


def test_ckplus_takes_neutral_and_peak(ckplus, problem_of):
    dataset = read_ckplus(ckplus)
    rows = indexed(dataset)
    neutral, peak = rows.iloc[0], rows.iloc[1]
    assert len(rows) == 4
    assert (neutral["phase"], neutral["frame"], neutral["task"]) == ("neutral", 1, "neutral")
    assert (peak["phase"], peak["frame"], peak["task"]) == ("peak", 11, "disgust")
    assert (peak["patient_id"], peak["facs"]) == ("S005", "AU9:4 AU17")
    assert rows["hb_grade"].isna().all()
    assert "1 of 2 sequences without an emotion" in problem_of(dataset, "no_emotion").what
    truth = read_truth(dataset.manifest)
    assert truth["x_0"].tolist() == [1.5, 11.5, 1.5, 3.5] and truth["y_67"].iloc[0] == 67


def test_ckplus_defects_are_named(ckplus, write_photo, problem_of):
    images = ckplus / "cohn-kanade-images"
    write_photo(images / "S011/001/S011_001_00000001.png")
    (images / "S005/001/S005_001_00000004.png").unlink()
    write_photo(images / "S005/001/portrait.png")
    emotions = ckplus / "Emotion"
    for name, text in (("S010/002/S010_002_00000003", "9.0"), ("S099/001/S099_001_00000009", "1")):
        path = emotions / f"{name}_emotion.txt"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (ckplus / "FACS/S005/001/S005_001_00000011_facs.txt").write_text("9 4\nnine four\n")
    landmarks = ckplus / "Landmarks/S010/002/S010_002_00000003_landmarks.txt"
    landmarks.write_text("1.0 2.0\n")

    dataset = read_ckplus(ckplus)

    assert problem_of(dataset, "single_frame").patient_id == "S011"
    assert "frames 4" in problem_of(dataset, "missing_frames").what
    assert problem_of(dataset, "unexpected_photograph").file.endswith("portrait.png")
    assert '"9.0"' in problem_of(dataset, "unreadable_emotion").what
    assert "S099/001" in problem_of(dataset, "missing_sequence").what
    assert problem_of(dataset, "unreadable_facs").rows == (2,)
    assert "found 2 values" in problem_of(dataset, "unreadable_annotation").what
    assert "S011" not in set(dataset.manifest["patient_id"])


def test_ckplus_without_images_finds_nothing(tmp_path, problem_of):
    dataset = read_ckplus(tmp_path)
    assert dataset.manifest.empty
    assert "cohn-kanade-images" in problem_of(dataset, "no_images").what
