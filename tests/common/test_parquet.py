"""Large tables as Parquet: the same content as CSV, checked alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.parquet import large_tables_as
from common.tables import MANIFEST, read_table, write_table, write_table_in_parts
from docs.drawing import schematic_face
from features.registry import FEATURE_NAMES
from features.tables import FEATURES
from landmarks.exchange.tables import read_points
from landmarks.points import POINT_COLUMNS
from landmarks.tables import LANDMARKS

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
VALID = {"image_id": ["a.jpg"], "path": ["a.jpg"], "patient_id": ["007"]}


@pytest.fixture(scope="module")
def both_formats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`features.csv` and, in a folder beside it, `features.parquet` of the same awkward rows."""
    folder = tmp_path_factory.mktemp("both")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "image_id": ["007/1.jpg", "=b.jpg", "'c.jpg"],
            "status": ["ok", "ok", "failed"],
            **{name: rng.normal(size=3) / 3 for name in FEATURE_NAMES},
            "patient_id": ["007", "008", None],
            "hb_grade": pd.array([1, None, 6], dtype="Int64"),
            "note": ["", "1.50", "NA"],
            "nothing": None,
        }
    )
    frame.loc[2, list(FEATURE_NAMES)] = np.nan
    write_table(frame, folder / "features.csv", schema=FEATURES)
    with large_tables_as("parquet"):
        write_table(frame, folder / "other" / "features.csv", schema=FEATURES)
        write_table(pd.DataFrame(VALID), folder / "other" / "manifest.csv", schema=MANIFEST)
    return folder


def test_parquet_reads_back_as_csv_does(both_formats: Path) -> None:
    found = {path.name for path in (both_formats / "other").iterdir()}
    assert found == {"features.parquet", "manifest.csv"}  # only the large table
    csv = read_table(both_formats / "features.csv", schema=FEATURES)
    parquet = read_table(both_formats / "other" / "features.csv", schema=FEATURES)
    pd.testing.assert_frame_equal(csv, parquet, check_exact=True)
    assert parquet["patient_id"][0] == "007"


def test_parquet_is_checked_as_csv_is(both_formats: Path, tmp_path: Path) -> None:
    path = tmp_path / "features.parquet"
    table = pd.read_parquet(both_formats / "other" / "features.parquet")
    table.assign(hb_grade=[1, 9, 2]).to_parquet(path)
    with pytest.raises(UserError, match=r'row 3: column "hb_grade" is "9" but must be a House'):
        read_table(path, schema=FEATURES)
    path.write_bytes(b"no table")
    with pytest.raises(UserError, match="cannot be read as a Parquet table"):
        read_table(path, schema=FEATURES)


def test_points_in_parquet_are_our_own_and_of_no_other_tool(tmp_path: Path) -> None:
    values = dict(zip(POINT_COLUMNS, schematic_face().ravel(), strict=True))
    with large_tables_as("parquet"):
        write_table(
            pd.DataFrame([{"image_id": "a.jpg", "status": "ok", **values}]),
            tmp_path / "landmarks.csv", schema=LANDMARKS,
        )  # fmt: skip
    for name in ("landmarks.csv", "landmarks.parquet"):
        table, irises = read_points(tmp_path / name)
        assert table["image_id"].tolist() == ["a.jpg"]
        np.testing.assert_array_equal(table[list(POINT_COLUMNS)], [list(values.values())])
        assert irises == {}


def test_a_table_exists_in_one_format_only(both_formats: Path, tmp_path: Path) -> None:
    """A later run in the other format leaves no old table behind that could be read for it."""
    table = read_table(both_formats / "features.csv", schema=FEATURES)
    for kind, name in (("csv", "csv"), ("parquet", "parquet"), ("csv", "csv")):
        with large_tables_as(kind):
            write_table(table, tmp_path / "features.csv", schema=FEATURES)
        assert [path.name for path in tmp_path.iterdir()] == [f"features.{name}"]


def test_without_pyarrow_one_sentence_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("common.parquet.find_spec", lambda name: None)
    with (
        pytest.raises(UserError, match=r"^--format parquet needs pyarrow.*cluster\.txt$"),
        large_tables_as("parquet"),
    ):
        pass


def test_a_table_written_in_parts_is_the_whole_table(tmp_path: Path) -> None:
    parts = []
    for number, reason in enumerate((None, "=lost", "")):
        face = (schematic_face() + number).ravel()
        row = {"image_id": f"a.mp4#{number}", "status": "ok", "reason": reason, "frame": number}
        part = pd.DataFrame([row | dict(zip(POINT_COLUMNS, face, strict=True))])
        parts.append(part.astype({"reason": "str", "frame": "Int64"}))
    whole = pd.concat(parts, ignore_index=True)
    write_table(whole, tmp_path / "whole.csv", schema=LANDMARKS)
    write_table_in_parts(iter(parts), tmp_path / "parts.csv", schema=LANDMARKS)
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    with large_tables_as("parquet"):
        write_table_in_parts(iter(parts), tmp_path / "parts.csv", schema=LANDMARKS)
    assert not (tmp_path / "parts.csv").exists(), "of an earlier run"
    csv = read_table(tmp_path / "whole.csv", schema=LANDMARKS)
    parquet = read_table(tmp_path / "parts.parquet", schema=LANDMARKS)
    pd.testing.assert_frame_equal(csv, parquet, check_exact=True)
