"""Spreadsheets as people make them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from common.movements import MOVEMENTS
from common.tables import PALSY_CLASSES, SIDES
from datasets.own_table import GRADE, IMAGE, PATIENT, SIDE, TASK
from datasets.spreadsheet import Column, find_spreadsheet, read_spreadsheet
from datasets.vocabulary import WORDS, parse_frame, parse_grade, parse_side, parse_task, simplify

COLUMNS = (
    Column("patient_id", ("patient", "subject"), required=True),
    Column("hb_grade", ("grade", "House-Brackmann")),
)


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_header_below_notes_is_found_and_rows_keep_their_numbers(tmp_path, write_sheet, ending):
    path = write_sheet(
        tmp_path / f"t.{ending}",
        [
            ("Study of 2020", None, None),
            (None, None, None),
            ("SUBJECT", "House Brackmann", "Age"),
            ("007", "IV", 31),
            (None, None, None),
            (8, 2, None),
        ],
    )
    sheet = read_spreadsheet(path, columns=COLUMNS)
    assert list(sheet.rows.columns) == ["patient_id", "hb_grade", "Age"]
    assert sheet.rows.index.tolist() == [4, 6]
    assert sheet.rows["patient_id"].tolist() == ["007", "8"]  # zeros stay, 8.0 is 8
    assert sheet.rows["Age"].isna().tolist() == [False, True]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_csv_of_any_country(tmp_path, separator, encoding):
    path = tmp_path / "t.csv"
    path.write_bytes(f"patient{separator}grade\nMüller{separator}3\n".encode(encoding))
    rows = read_spreadsheet(path, columns=COLUMNS).rows
    assert rows.to_dict("records") == [{"patient_id": "Müller", "hb_grade": "3"}]


def test_a_missing_column_is_named_with_what_was_found_and_the_nearest(tmp_path, write_sheet):
    path = write_sheet(tmp_path / "t.csv", [("Pateint", "grade"), ("1", "2")])
    with pytest.raises(
        UserError, match=r't\.csv has no column "patient_id".*Did you mean "Pateint"'
    ):
        read_spreadsheet(path, columns=COLUMNS)


def test_a_misspelt_optional_column_is_told(tmp_path, write_sheet):
    path = write_sheet(tmp_path / "t.csv", [("patient", "graed"), ("1", "2")])
    (problem,) = read_spreadsheet(path, columns=COLUMNS).problems
    assert '"graed"' in problem.what and '"hb_grade"' in problem.advice and problem.rows == (1,)


@pytest.mark.parametrize(
    ("heading", "meant"),
    [
        ("Sied", "side"), ("Patiennt", "patient_id"), ("Bwegung", "task"), ("Alter", None),
        ("Age", None), ("Date", None), ("Datum", None), ("Bemerkung", None), ("Gender", None),
    ],
)  # fmt: skip
def test_only_a_slip_of_the_pen_is_taken_for_a_misspelt_column(
    tmp_path, write_sheet, heading, meant
):
    path = write_sheet(tmp_path / "t.csv", [("HB", heading), ("1", "2")])
    sheet = read_spreadsheet(path, columns=(IMAGE, PATIENT, TASK, SIDE, GRADE))
    assert sheet.slips == ({heading: meant} if meant else {})


def test_the_sheet_with_the_columns_is_taken(tmp_path):
    import pandas as pd

    path = tmp_path / "t.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"legend": ["x"]}).to_excel(book, sheet_name="read me", index=False)
        pd.DataFrame({"Patient": ["a"], "Grade": [2]}).to_excel(book, sheet_name="d", index=False)
    assert read_spreadsheet(path, columns=COLUMNS).rows["patient_id"].tolist() == ["a"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.xls", b"old", "save it as"),
        ("t.xlsx", b"not a zip", "cannot be opened as an Excel workbook"),
        ("t.csv", b"", 'no column "patient_id"'),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        read_spreadsheet(tmp_path / name, columns=COLUMNS)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="does not exist"):
        read_spreadsheet(tmp_path / "none.csv", columns=COLUMNS)


def test_find_spreadsheet_passes_over_lock_files_and_prefers_the_shallow(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("a/Pat_Info.xlsx", "~$pat_info.xlsx", "._pat_info.xlsx", "pat_info.docx"):
        (tmp_path / name).touch()
    assert find_spreadsheet(tmp_path, "pat_info*") == tmp_path / "a/Pat_Info.xlsx"
    (tmp_path / "pat_info.csv").touch()
    assert find_spreadsheet(tmp_path, "pat_info*") == tmp_path / "pat_info.csv"
    assert find_spreadsheet(tmp_path, "*.nothing") is None


@given(st.integers(1, 6), st.sampled_from(["{}", "HB {}", "hb{}", "Grade {}", " {}.0", "{}/6"]))
def test_every_way_to_write_a_grade(grade, pattern):
    assert parse_grade(pattern.format(grade)) == grade


@pytest.mark.parametrize("cell", ["0", "7", "-1", "3.5", "II-III", "IIX", "mild", "", "44"])
def test_what_is_no_grade(cell):
    assert parse_grade(cell) is None


def test_grades_counted_from_zero_are_one_higher():
    assert [parse_grade(str(i), zero_based=True) for i in range(7)] == [1, 2, 3, 4, 5, 6, None]
    assert [parse_grade(roman) for roman in ("I", "ii", "III", "IV", "v", "HB VI")] == [
        1, 2, 3, 4, 5, 6
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "side"),
    [
        ("links", "left"), ("re.", "right"), ("Gauche", "left"), ("droit", "right"),
        ("les deux", "both"), ("izquierda", "left"), ("destra", "right"), ("esquerdo", "left"),
        ("saudável", "none"), ("gesund", "none"), ("n/a", "unknown"), ("?", "unknown"),
        ("d", None),
    ],
)  # fmt: skip
def test_sides_in_six_languages(cell, side):
    assert parse_side(cell) == side


@pytest.mark.parametrize(
    ("cell", "movement"),
    [
        ("In Ruhe", "rest"), ("Brow raise", "brow_raise"), ("Stirnrunzeln", "brow_raise"),
        ("Augen fest schliessen", "full_eye_closure"), ("léger sourire", "gentle_smile"),
        ("sonrisa amplia", "full_smile"), ("bacio", "lip_pucker"), ("full_smile", "full_smile"),
        ("Lächeln", None), ("smile", None), ("eye closure", None),
    ],
)  # fmt: skip
def test_movements_in_six_languages_and_none_that_could_be_two(cell, movement):
    assert parse_task(cell) == movement


def test_no_word_means_two_things():
    headings = [column.headings() for column in (IMAGE, PATIENT, TASK, SIDE, GRADE)]
    for at, own in enumerate(headings):
        assert not set(own) & {word for other in headings[at + 1 :] for word in other}
    for part, meanings in WORDS.items():
        meant = {(simplify(word), name) for name, words in meanings.items() for word in words}
        assert len(meant) == len({word for word, _ in meant}), part
    assert set(WORDS["sides"]) == set(SIDES) and set(WORDS["movements"]) == set(MOVEMENTS)
    assert set(WORDS["classes"]) == set(PALSY_CLASSES)


def test_frame_numbers():
    cells = ("12", "12.0", "/", "", "1a")
    assert [parse_frame(cell) for cell in cells] == [12, 12, None, None, None]


@given(st.text(alphabet=" _-()House-Brackmann", min_size=1))
def test_simplified_headings_do_not_change_again(title):
    assert simplify(simplify(title)) == simplify(title)
