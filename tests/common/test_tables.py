from __future__ import annotations

import csv
import math
import tempfile
from pathlib import Path

import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from common.tables import (
    MANIFEST,
    join_manifest,
    number,
    read_manifest,
    read_table,
    sort_by_image_id,
    text,
    write_table,
)

HEADER = "image_id,path,patient_id,side,hb_grade\n"
NUMBERS = pa.DataFrameSchema({"image_id": text(unique=True), "value": number()}, name="numbers")


def table(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def refusal(path: Path, schema: pa.DataFrameSchema = MANIFEST) -> str:
    with pytest.raises(UserError) as caught:
        read_table(path, schema=schema)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert sentence.endswith((".", "?"))
    return sentence


# --- round trips -------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=20))
def test_floats_read_back_exactly(values: list[float]) -> None:
    frame = pd.DataFrame({"image_id": [f"i{n}" for n in range(len(values))], "value": values})
    with tempfile.TemporaryDirectory() as folder:
        write_table(frame, Path(folder) / "t.csv", schema=NUMBERS)
        back = read_table(Path(folder) / "t.csv", schema=NUMBERS)
    assert back["value"].dtype == float
    for wrote, read in zip(values, back["value"], strict=True):
        assert wrote == read or (math.isnan(wrote) and math.isnan(read))


NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), min_size=1, max_size=12
)


@settings(deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=8, unique=True))
def test_names_read_back_exactly(names: list[str]) -> None:
    frame = pd.DataFrame({"image_id": names, "value": 0.1})
    with tempfile.TemporaryDirectory() as folder:
        write_table(frame, Path(folder) / "t.csv", schema=NUMBERS)
        back = read_table(Path(folder) / "t.csv", schema=NUMBERS)
    assert list(back["image_id"]) == names


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image_id": ["a", "b"], "value": [0.1, float("nan")]})
    write_table(frame, tmp_path / "t.csv", schema=NUMBERS)
    assert (tmp_path / "t.csv").read_bytes() == b"image_id,value\na,0.1\nb,\n"


def test_rows_come_in_natural_order() -> None:
    frame = pd.DataFrame({"image_id": ["p10", "p9", "P1"], "value": [1.0, 2.0, 3.0]})
    ordered = sort_by_image_id(frame)
    assert list(ordered["image_id"]) == ["P1", "p9", "p10"]
    assert list(ordered.index) == [0, 1, 2]
    assert list(ordered["value"]) == [3.0, 2.0, 1.0]


# --- what spreadsheets and people make ---------------------------------------------------------


def test_patient_007_keeps_the_zeros(tmp_path: Path) -> None:
    path = table(tmp_path, HEADER + "001,a.jpg,007,left,3\n")
    row = read_table(path, schema=MANIFEST).iloc[0]
    assert (row["image_id"], row["patient_id"]) == ("001", "007")


def test_names_that_look_like_missing_values_are_names(tmp_path: Path) -> None:
    path = table(tmp_path, HEADER + "NA,None,nan,none,\n")
    row = read_table(path, schema=MANIFEST).iloc[0]
    assert list(row[["image_id", "path", "patient_id", "side"]]) == ["NA", "None", "nan", "none"]
    assert pd.isna(row["hb_grade"])


def test_grades_are_whole_numbers_even_beside_empty_ones(tmp_path: Path) -> None:
    path = table(tmp_path, HEADER + "a,a.jpg,7,left,3.0\nb,b.jpg,7,left,\n")
    grades = read_table(path, schema=MANIFEST)["hb_grade"]
    assert str(grades.dtype) == "Int64"
    assert grades[0] == 3
    assert pd.isna(grades[1])


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = table(tmp_path, b"\xef\xbb\xbf" + (HEADER + "a,a.jpg,7,left,3\r\n").encode())
    assert list(read_table(path, schema=MANIFEST)["image_id"]) == ["a"]


@pytest.mark.parametrize(("separator", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_another_separator_is_named(tmp_path: Path, separator: str, word: str) -> None:
    content = (HEADER + "a,a.jpg,7,left,3\n").replace(",", separator)
    sentence = refusal(table(tmp_path, b"\xef\xbb\xbf" + content.encode()))
    assert f"separated by {word}" in sentence
    assert "CSV UTF-8" in sentence


def test_a_file_of_another_encoding(tmp_path: Path) -> None:
    sentence = refusal(table(tmp_path, (HEADER + "ä,a.jpg,7,left,3\n").encode("latin-1")))
    assert "UTF-8" in sentence


def test_an_excel_workbook_renamed_to_csv(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(table(tmp_path, b"PK\x03\x04" + bytes(range(256))))


def test_an_empty_file(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(table(tmp_path, ""))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.csv")
    assert "is a folder" in refusal(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path, HEADER)

    def closed(self: Path, *args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", closed)  # the tests may run as root, who may read anything
    assert "Permission denied" in refusal(path)


def test_rows_longer_than_the_header(tmp_path: Path) -> None:
    assert "more values" in refusal(table(tmp_path, HEADER + "a,a.jpg,7,left,3,4,5\n"))
    assert "line 3" in refusal(table(tmp_path, HEADER + "a,a.jpg,7,left,3\nb,b.jpg,7,left,3,4,5\n"))


def test_a_column_that_stands_twice(tmp_path: Path) -> None:
    path = table(tmp_path, "image_id,path,patient_id,side,side\na,a.jpg,7,left,right\n")
    assert 'the column "side" twice' in refusal(path)


# --- sentences of the schema -------------------------------------------------------------------


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    path = table(tmp_path, "image_id,path,patientid\na,a.jpg,7\n")
    sentence = refusal(path)
    assert 'no column "patient_id"' in sentence
    assert 'Did you mean "patientid"?' in sentence


@pytest.mark.parametrize(
    ("row", "column", "value", "rule"),
    [
        ("b,b.jpg,8,left,7", "hb_grade", '"7"', "1 to 6"),
        ("b,b.jpg,8,left,IV", "hb_grade", '"IV"', "whole number"),
        ("b,b.jpg,8,left,2.5", "hb_grade", '"2.5"', "1 to 6"),
        ("b,b.jpg,8,Left,2", "side", '"Left"', "left, right, none, both, unknown"),
        ("b,b.jpg,,left,2", "patient_id", "empty", "not be empty"),
        ("a,b.jpg,8,left,2", "image_id", '"a"', "different in every row"),
    ],
)
def test_a_wrong_value_is_named_with_its_row_and_column(
    tmp_path: Path, row: str, column: str, value: str, rule: str
) -> None:
    content = HEADER + "x,x.jpg,1,left,1\na,a.jpg,7,left,3\n" + row + "\nc,c.jpg,8,right,2\n"
    sentence = refusal(table(tmp_path, content))
    # Rows count as a spreadsheet shows them: the header is row 1. Of two equal ids the first is
    # named.
    assert f"row {3 if column == 'image_id' else 4}" in sentence
    assert f'column "{column}" is {value}' in sentence
    assert rule in sentence
    assert ("more such problem" in sentence) == (column == "image_id")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1.5,2", 'column "share" is "1.5" but must be a share'),
        (",2", 'column "share" is empty but must not be empty'),
        ("0.5,0", 'column "fold" is "0" but must be 1 or more'),
    ],
)
def test_a_number_outside_its_range_is_named(tmp_path: Path, row: str, words: str) -> None:
    share = pa.Column(float, pa.Check.in_range(0, 1, error="be a share"))
    fold = pa.Column("int64", pa.Check.ge(1, error="be 1 or more"))
    schema = pa.DataFrameSchema({"share": share, "fold": fold}, name="shares")
    header = "share,fold\n0.0,1\n1.0,3\n"
    assert len(read_table(table(tmp_path, header), schema=schema)) == 2
    assert f"row 4: {words}" in refusal(table(tmp_path, header + row + "\n"), schema)


@pytest.mark.parametrize("word", ["abc", "NA", '"1,5"'])
def test_a_word_among_numbers_is_found(tmp_path: Path, word: str) -> None:
    path = table(tmp_path, f"image_id,value\na,1.5\nb,{word}\nc,2\n")
    sentence = refusal(path, NUMBERS)
    assert f'row 3: column "value" is "{word.strip(chr(34))}" but must be a number' in sentence


def test_several_problems_are_counted(tmp_path: Path) -> None:
    path = table(tmp_path, HEADER + "a,a,1,left,9\nb,b,1,left,8\nc,c,1,up,7\n")
    sentence = refusal(path)
    assert 'row 2: column "hb_grade" is "9"' in sentence
    assert "(3 more such problems)" in sentence


def test_a_wrong_table_is_not_written(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image_id": ["a", "a"], "value": [1.0, 2.0]})
    with pytest.raises(UserError, match="different in every row"):
        write_table(frame, tmp_path / "t.csv", schema=NUMBERS)
    assert not list(tmp_path.iterdir())


RUNS = [
    "=1+1", '=cmd|" /c calc"!A1', "+49 123", "-text", "- ", "@SUM(A1)", " =1", "\t=1",
    "'=1", "''-a",
]  # fmt: skip
HARMLESS = ["-3.2", "+1e-5", "007", "Müller, Jörg", "a=b", "'quoted'", "x\ny", "'-3.2"]


@pytest.mark.parametrize("header", ["note", "=note"])
def test_nothing_in_a_table_is_run_by_a_spreadsheet_and_all_reads_back(
    tmp_path: Path, header: str
) -> None:
    cells = RUNS + HARMLESS
    frame = pd.DataFrame(
        {
            "image_id": cells,
            "path": cells,
            "patient_id": [f"@{at}" for at in range(len(cells))],
            "task": pd.array([*cells[:-1], None], dtype="str"),
            header: cells,
            "change": ["-3.2"] * len(cells),
        }
    )
    write_table(frame, tmp_path / "m.csv", schema=MANIFEST)
    with (tmp_path / "m.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.reader(file))
    for cell in (cell for row in written for cell in row):
        assert not cell.lstrip().startswith(("=", "+4", "-t", "- ", "@")), cell
    assert [row[0] for row in written[-len(HARMLESS) :]] == [*HARMLESS[:-1], "''-3.2"]
    read = read_table(tmp_path / "m.csv", schema=MANIFEST)
    pd.testing.assert_frame_equal(read, frame.astype("str"), check_dtype=False)
    write_table(read, tmp_path / "again.csv", schema=MANIFEST)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "m.csv").read_bytes()


def test_numbers_are_written_as_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image_id": ["=a", "b"], "value": [-3.2, 1e-300]})
    write_table(frame, tmp_path / "t.csv", schema=NUMBERS)
    text = (tmp_path / "t.csv").read_text(encoding="utf-8")
    assert text == "image_id,value\n'=a,-3.2\nb,1e-300\n"
    pd.testing.assert_frame_equal(
        read_table(tmp_path / "t.csv", schema=NUMBERS), frame, check_dtype=False
    )


def test_every_table_is_written_by_the_one_writer(root: Path) -> None:
    others = [
        path.relative_to(root)
        for package in root.glob("[a-z]*/__init__.py")
        for path in package.parent.rglob("*.py")
        if ".to_csv(" in path.read_text(encoding="utf-8") and "tests" not in path.parts
    ]
    assert others == [Path("common/tables.py")]


# --- manifests ---------------------------------------------------------------------------------


def test_relative_paths_start_at_the_manifest(tmp_path: Path) -> None:
    content = "image_id,path,patient_id\na,photos/a.jpg,1\nb,/elsewhere/b.jpg,1\n"
    manifest = read_manifest(table(tmp_path, content))
    assert list(manifest["path"]) == [str(tmp_path / "photos" / "a.jpg"), "/elsewhere/b.jpg"]


def test_joined_columns_follow_their_image_and_leave_the_path_out() -> None:
    frame = pd.DataFrame({"image_id": ["a", "b", "c"], "value": [1.0, 2.0, 3.0]})
    manifest = pd.DataFrame(
        {"image_id": ["c", "a"], "path": ["c.jpg", "a.jpg"], "patient_id": ["7", "8"]}
    )
    joined = join_manifest(frame, manifest)
    assert list(joined.columns) == ["image_id", "value", "patient_id"]
    assert list(joined["image_id"]) == ["a", "b", "c"]
    assert list(joined["patient_id"].fillna("-")) == ["8", "-", "7"]
    assert list(joined["value"]) == [1.0, 2.0, 3.0]
