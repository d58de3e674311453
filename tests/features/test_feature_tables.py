"""The command `features` and its tables, from file to file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from common.errors import UserError
from common.provenance import write_run_record
from common.tables import write_table
from features.commands.features import features, write_feature_tables
from features.definitions import DEFINITIONS, measure
from features.registry import DISTANCE_NAMES, FEATURE_NAMES
from features.tables import definition_of, read_dists, read_features, read_measures
from landmarks.find.iris import Irises
from landmarks.points import POINT_COLUMNS
from landmarks.tables import IRISES, iris_table, read_landmarks

IDS = ["p10/b.jpg", "p2/a.jpg", "p2/ä, b.jpg", "p1/c.jpg", "p1/d.jpg", "p3/e.jpg"]


@pytest.fixture
def table(faces: NDArray) -> pd.DataFrame:
    """Six photographs in no order; the second was unreadable, the last has no chin."""
    points = faces.copy()
    points[1] = np.nan
    points[5, 8] = np.nan
    columns = pd.DataFrame(points.reshape(6, 136), columns=list(POINT_COLUMNS))
    key = pd.DataFrame({"image_id": IDS, "status": "ok", "reason": None})
    key.loc[1, ["status", "reason"]] = ["unreadable", "it is empty"]
    return pd.concat([key, columns], axis="columns")


@pytest.fixture
def landmarks(table: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "in" / "landmarks.csv"
    path.parent.mkdir()
    table.to_csv(path, index=False)
    return path


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.csv"
    pd.DataFrame(
        {
            "image_id": IDS[:5],
            "path": IDS[:5],
            "patient_id": ["010", "002", "002", "001", "001"],
            "hb_grade": [1, 2, None, 6, 3],
            "visit": ["a", "b", "c", "d", "e"],
        }
    ).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_tables_hold_what_was_measured(
    landmarks: Path, faces: NDArray, tmp_path: Path, definition: str
) -> None:
    out = tmp_path / "out"
    result = features(landmarks, out=out, definition=definition)
    dists, table = read_dists(out / "dists.csv"), read_features(out / "features.csv")
    assert list(dists.columns) == ["image_id", "status", *DISTANCE_NAMES]
    assert list(table.columns) == ["image_id", "status", *FEATURE_NAMES]
    order = ["p1/c.jpg", "p1/d.jpg", "p2/a.jpg", "p2/ä, b.jpg", "p3/e.jpg", "p10/b.jpg"]
    assert list(table["image_id"]) == list(dists["image_id"]) == order
    assert list(table["status"]) == ["ok", "ok", "unreadable", "ok", "failed", "ok"]

    expected = measure(faces[[3, 4, 2, 0]], definition=definition)
    measured = table["status"] == "ok"
    assert np.array_equal(table.loc[measured, list(FEATURE_NAMES)], expected.features)
    assert np.array_equal(dists.loc[measured, list(DISTANCE_NAMES)], expected.distances)
    assert table.loc[~measured, list(FEATURE_NAMES)].isna().all(axis=None)
    assert dists.loc[~measured, list(DISTANCE_NAMES)].isna().all(axis=None)

    assert result.newly_failed == ("p3/e.jpg",)
    assert result.exit_code == 3
    assert (
        definition_of(result.features)
        == definition_of(result.features.with_name("dists.csv"))
        == definition
    )


def test_the_run_record_and_the_line_say_what_became_of_the_photographs(
    landmarks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    features(landmarks, out=out)
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["command"] == "features"
    assert record["counts"]["ok"] == 4
    assert record["counts"]["failed"] == record["counts"]["unreadable"] == 1
    assert record["notes"]["definition"] == "standard" and record["notes"]["unit"] == "px"
    assert record["files"]["landmarks"]["name"] == "landmarks.csv"
    line = capsys.readouterr().out
    assert "6 photographs: 4 ok, 1 unreadable, 1 failed." in line
    assert "without usable points became failed (p3/e.jpg)" in line


def test_the_record_of_the_landmark_run_is_kept_when_ours_takes_its_place(landmarks: Path) -> None:
    folder = landmarks.parent
    write_run_record(folder, command="extract", settings={"predictor": "ibug"})
    for definition in ("huo2022", "standard"):
        features(landmarks, out=folder, definition=definition)
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        assert record["command"] == "features"
        assert record["notes"]["landmark_run"]["command"] == "extract"
        assert record["notes"]["landmark_run"]["settings"] == {"predictor": "ibug"}


def test_a_status_other_than_ok_has_no_values_even_with_points(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    table["status"] = "several_faces"
    result = write_feature_tables(table, out=tmp_path)
    assert result.counts["several_faces"] == 6
    assert result.newly_failed == () and result.exit_code == 4
    assert read_features(result.features)[list(FEATURE_NAMES)].isna().all(axis=None)


def test_all_ok_is_exit_code_0(table: pd.DataFrame, tmp_path: Path) -> None:
    result = write_feature_tables(table.iloc[[0, 2]], out=tmp_path)
    assert result.exit_code == 0 and result.sentence() == "2 photographs: 2 ok."


def test_the_manifest_is_joined_behind(landmarks: Path, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = features(landmarks, out=out, manifest=manifest)
    for table, names in (
        (read_features(result.features), FEATURE_NAMES),
        (read_dists(result.features.with_name("dists.csv")), DISTANCE_NAMES),
    ):
        assert list(table.columns) == [
            "image_id", "status", *names, "patient_id", "hb_grade", "visit",
        ]  # fmt: skip
        by_id = table.set_index("image_id")
        assert by_id.loc["p10/b.jpg", "patient_id"] == "010"  # text, with its zero
        assert by_id.loc["p10/b.jpg", "hb_grade"] == 1
        assert pd.isna(by_id.loc["p2/ä, b.jpg", "hb_grade"])
        assert pd.isna(by_id.loc["p3/e.jpg", "patient_id"])  # not in the manifest
    assert ",001,6,d\n" in result.features.read_text(encoding="utf-8")  # 6, not 6.0


TABLES = ("landmarks.csv", "irises.csv", "dists.csv", "features.csv", "measures.csv")


def test_a_corrected_folder_holds_all_that_the_source_folder_had(
    landmarks: Path, manifest: Path, table: pd.DataFrame, tmp_path: Path
) -> None:
    known = pd.read_csv(manifest, dtype=str).assign(side="left", ward="0042", frame="1.50")
    known.to_csv(manifest, index=False)
    first, folder = landmarks.parent, tmp_path / "corrected"
    irises = {name: Irises() for name in table["image_id"]}
    write_table(iris_table(irises), first / "irises.csv", schema=IRISES)
    features(landmarks, out=first, manifest=manifest)
    features(landmarks, out=folder)
    for name in TABLES[1:]:
        assert (folder / name).read_bytes() == (first / name).read_bytes(), name
    assert ",0042,1.50\n" in (folder / "features.csv").read_text(encoding="utf-8")
    # From the corrected folder on, once more; and a manifest wins over what was joined before.
    known.assign(side="right").to_csv(manifest, index=False)
    features(folder / "landmarks.csv", out=tmp_path / "again", manifest=manifest)
    again = read_features(tmp_path / "again" / "features.csv")
    assert list(again["ward"].dropna().unique()) == ["0042"]
    assert list(again["side"].dropna().unique()) == ["right"]
    again = read_measures(tmp_path / "again" / "measures.csv")
    assert list(again["healthy_side"].dropna().unique()) == ["left"]


def test_the_table_of_the_points_stays_as_it_is_when_its_folder_is_written_to(
    landmarks: Path, tmp_path: Path
) -> None:
    content = landmarks.read_bytes()
    features(landmarks, out=landmarks.parent)
    features(landmarks, out=landmarks.parent)
    assert landmarks.read_bytes() == content
    other = landmarks.with_name("other.csv")
    other.write_bytes(content)
    with pytest.raises(UserError, match=r"holds points of its own, which those of other\.csv"):
        features(other, out=landmarks.parent)
    # What we wrote ourselves is written anew, unless somebody has corrected it since.
    out = tmp_path / "out"
    features(landmarks, out=out)
    features(landmarks, out=out)
    corrected = out / "landmarks.csv"
    corrected.write_text(corrected.read_text(encoding="utf-8").replace(",ok,", ",failed,", 1))
    with pytest.raises(UserError, match="holds points of its own"):
        features(landmarks, out=out)


def test_a_slip_of_the_hand_is_named_and_the_others_are_measured(
    landmarks: Path, faces: NDArray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt = pd.read_csv(landmarks)
    spoilt.loc[0, "x_36"] = 99999
    spoilt.to_csv(landmarks, index=False)
    result = features(landmarks, out=tmp_path / "out")
    assert result.exit_code == 3 and result.counts["ok"] == 3
    assert result.newly_failed == ("p10/b.jpg", "p3/e.jpg")
    told = capsys.readouterr().err
    assert "failed: p10/b.jpg: Point 36 (right eye) lies 99" in told
    written = read_landmarks(tmp_path / "out" / "landmarks.csv").set_index("image_id")
    assert written.loc["p10/b.jpg", "status"] == "failed"
    assert "check x_36, y_36" in written.loc["p10/b.jpg", "reason"]
    values = read_features(tmp_path / "out" / "features.csv").set_index("image_id")
    assert values.loc["p10/b.jpg", list(FEATURE_NAMES)].isna().all()
    assert values.loc["p1/c.jpg", "f8"] == measure(faces[3:4]).features["f8"].iloc[0]


def test_a_manifest_of_other_photographs_is_refused(
    landmarks: Path, manifest: Path, tmp_path: Path
) -> None:
    other = pd.read_csv(manifest, dtype=str)
    other["image_id"] = "MEEI/" + other["image_id"]
    other.to_csv(manifest, index=False)
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r'names none of the photographs.*"MEEI/p10/b.jpg"'):
        features(landmarks, out=out, manifest=manifest)
    assert not out.exists()


def test_a_table_saved_by_excel_gives_the_same_bytes(landmarks: Path, tmp_path: Path) -> None:
    """Excel's UTF-8 CSV begins with a byte-order mark and ends its lines with CR LF."""
    plain = features(landmarks, out=tmp_path / "plain")
    excel = tmp_path / "excel.csv"
    text = landmarks.read_text(encoding="utf-8")
    excel.write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    saved = features(excel, out=tmp_path / "excel")
    assert saved.features.read_bytes() == plain.features.read_bytes()
    one, other = (tables.features.with_name("dists.csv") for tables in (saved, plain))
    assert one.read_bytes() == other.read_bytes()
    assert not plain.features.read_bytes().startswith(b"\xef\xbb\xbf")


def test_row_order_of_the_input_does_not_matter(table: pd.DataFrame, tmp_path: Path) -> None:
    forward = write_feature_tables(table, out=tmp_path / "a")
    backward = write_feature_tables(table.iloc[::-1], out=tmp_path / "b")
    assert forward.features.read_bytes() == backward.features.read_bytes()


def _features_instead(landmarks: Path) -> Path:
    return features(landmarks, out=landmarks.parent / "made").features


def _without_a_column(landmarks: Path) -> Path:
    table = pd.read_csv(landmarks)
    table.drop(columns="y_41").to_csv(landmarks, index=False)
    return landmarks


def _with_a_word(landmarks: Path) -> Path:
    table = pd.read_csv(landmarks, dtype=str)
    table.loc[0, "x_3"] = "about 12"
    table.to_csv(landmarks, index=False)
    return landmarks


def _without_rows(landmarks: Path) -> Path:
    pd.read_csv(landmarks).iloc[:0].to_csv(landmarks, index=False)
    return landmarks


def _missing(landmarks: Path) -> Path:
    return landmarks.with_name("other.csv")


def _photograph(landmarks: Path) -> Path:
    landmarks.write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)))
    return landmarks


def _empty(landmarks: Path) -> Path:
    landmarks.write_bytes(b"")
    return landmarks


def _twice(landmarks: Path) -> Path:
    table = pd.read_csv(landmarks)
    pd.concat([table, table.iloc[:1]]).to_csv(landmarks, index=False)
    return landmarks


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_features_instead, 'no column "x_0"'),
        (_without_a_column, 'no column "y_41"'),
        (_with_a_word, 'column "x_3"'),
        (_without_rows, "has no rows"),
        (_missing, "other.csv"),
        (_photograph, "landmarks.csv"),
        (_empty, "landmarks.csv"),
        (_twice, 'column "image_id" is "p10/b.jpg"'),
    ],
)
def test_a_wrong_file_is_one_sentence_and_writes_nothing(
    landmarks: Path, tmp_path: Path, spoil: object, says: str
) -> None:
    wrong = spoil(landmarks)  # type: ignore[operator]
    out = tmp_path / "out"
    with pytest.raises(UserError) as caught:
        features(wrong, out=out)
    sentence = str(caught.value)
    assert says in sentence and wrong.name in sentence and "\n" not in sentence
    assert not out.exists()


def test_an_unknown_definition_writes_nothing(landmarks: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose one of standard, huo2022, parra2021"):
        features(landmarks, out=tmp_path / "out", definition="huo")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_table_without_a_run_record_has_no_known_definition(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    written = write_feature_tables(table, out=tmp_path)
    assert definition_of(written.features) is None
    write_run_record(tmp_path, command="extract", settings={})
    assert definition_of(written.features) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "cannot be read"),
        ("[1]", "no record of a run"),
        ('{"notes": {"definition": "parra2031"}}', 'no definition "parra2031"'),
    ],
)
def test_a_damaged_run_record_is_one_sentence(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "run.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=says):
        definition_of(tmp_path / "features.csv")


def test_floats_round_trip(table: pd.DataFrame, faces: NDArray, tmp_path: Path) -> None:
    written = write_feature_tables(table, out=tmp_path)
    got = read_features(written.features).set_index("image_id")
    expected = measure(faces[:1]).features.iloc[0]
    assert (got.loc["p10/b.jpg", list(FEATURE_NAMES)].to_numpy(float) == expected).all()
