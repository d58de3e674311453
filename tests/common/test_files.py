from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError, did_you_mean
from common.files import atomic_write, claimed, natural_key, sha256_of, write_json


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["img10.jpg", "img2.jpg", "Img1.jpg", "img02.jpg", "a/10/x", "a/9/x", "b"]
    expected = ["a/9/x", "a/10/x", "b", "Img1.jpg", "img02.jpg", "img2.jpg", "img10.jpg"]
    assert sorted(names, key=natural_key) == expected


@given(st.lists(st.text(max_size=8), max_size=8, unique=True), st.randoms())
def test_natural_order_does_not_depend_on_where_one_began(names: list[str], shuffler) -> None:
    once = sorted(names, key=natural_key)
    shuffler.shuffle(names)
    assert sorted(names, key=natural_key) == once


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "table.csv"
    with atomic_write(target) as temporary:
        temporary.write_text("new")
        assert temporary.parent == target.parent
        assert not target.exists()
    assert target.read_text() == "new"
    assert [file.name for file in target.parent.iterdir()] == ["table.csv"]


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be replaced on Windows")
def test_who_reads_the_old_file_goes_on_reading_it(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    with target.open() as reader:
        with atomic_write(target) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old"
    assert target.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), OSError(28, "full")])
def test_the_old_file_stays_when_the_block_raises(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    expected = UserError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), atomic_write(target) as temporary:
        temporary.write_text("half of")
        raise error
    assert target.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught, atomic_write(tmp_path / "table.csv"):
        raise OSError(28, "No space left on device")
    assert "No space left on device" in str(caught.value)
    assert "table.csv" in str(caught.value)
    assert "free some space" in str(caught.value)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Cannot write"), atomic_write(tmp_path / "file" / "t.csv"):
        pytest.fail("the block must not run")


def test_a_name_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 251 + ".csv")
    with atomic_write(target) as temporary:
        temporary.write_text("x")
    assert target.read_text() == "x"


@pytest.mark.skipif(os.name == "nt", reason="no such rights on Windows")
def test_a_new_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with atomic_write(tmp_path / "ours"):
        pass
    plain, ours = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "ours"))
    assert ours == plain


def test_json_keeps_letters_and_refuses_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"name": "Müller", "n": [1, 2.5, None]})
    content = (tmp_path / "run.json").read_text(encoding="utf-8")
    assert "Müller" in content
    assert json.loads(content) == {"name": "Müller", "n": [1, 2.5, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "run.json", {"n": float("nan")})
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["n"] == [1, 2.5, None]


def test_sha256_is_the_published_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # example of FIPS 180
    assert sha256_of(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_a_suggestion_is_made_only_when_something_is_near() -> None:
    assert did_you_mean("ibugg", ["mee", "ibug"]) == ' Did you mean "ibug"?'
    assert did_you_mean("qqq", ["mee", "ibug"]) == ""


# --- one run for an output folder ----------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from common.files import claimed

with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_runs_into_one_folder_are_one_too_many_and_a_killed_one_is_none(
    root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "out"
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)], cwd=root, stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=r"Another run is writing to .*out: wait"), claimed(out):
            pass
        with claimed(tmp_path / "other"):
            pass
    finally:
        first.kill()  # SIGKILL: nothing of the first run can clear up
        first.communicate()
    with claimed(out):
        (out / "table.csv").touch()
    assert [path.name for path in out.iterdir()] == ["table.csv"]


def test_a_claim_leaves_no_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wrong option"), claimed(tmp_path / "a" / "b"):
        raise ValueError("wrong option")
    with claimed(tmp_path / "a" / "m.csv", is_file=True):
        assert [path.name for path in (tmp_path / "a").iterdir()] == [".m.csv.lock"]
    assert not list(tmp_path.iterdir())


def test_a_file_where_a_folder_must_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is a file and must be a folder"):
        claimed(tmp_path / "file").__enter__()
    with pytest.raises(UserError, match="is a folder and must be a file"):
        claimed(tmp_path, is_file=True).__enter__()
    with pytest.raises(UserError, match=r"Cannot write to .*out"):
        claimed(tmp_path / "file" / "out").__enter__()
