"""The extract command in a process of its own: killed, interrupted, without space, then resumed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from features.commands.extract import extract
from landmarks.tables import read_landmarks
from tests.common.photo_files import save, small_portrait

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signals here")

COUNT = 10
COPIES = 8  # of each photograph, so that a run lasts long enough to be caught in the middle
TABLES = ("landmarks.csv", "dists.csv", "features.csv")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """Photographs large enough that a run over them can be caught in the middle."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(1, COUNT + 1):
        save(folder / f"p{number}.jpg", small_portrait(portrait, side=1100, shift=number))
    return folder


Start = Callable[..., subprocess.Popen]


@contextlib.contextmanager
def hearing_ctrl_c() -> Iterator[None]:
    """Let processes started inside hear Ctrl-C, also when the tests run in the background.

    A shell gives what it starts in the background an ignored SIGINT, and that is inherited.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def start(root: Path, photos: Path) -> Iterator[Start]:
    started: list[subprocess.Popen] = []

    def begin(out: Path, *, jobs: int = 1, **settings: object) -> subprocess.Popen:
        command = [sys.executable, "run_pipeline.py", "extract", str(photos), "--out", str(out)]
        with hearing_ctrl_c():
            process = subprocess.Popen(
                [*command, "--tta", str(COPIES), "--jobs", str(jobs)],
                cwd=root,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
                **settings,
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with process:  # waits, and closes its pipes
            pass


@pytest.fixture(scope="module")
def expected(photos: Path, tmp_path_factory: pytest.TempPathFactory, workers_here: None) -> Path:
    """The tables of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert extract(photos, out=out, tta=COPIES, jobs=1).exit_code == 0
    return out


def finished_lines(out: Path) -> int:
    journal = out / "journal.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def wait_for_some(process: subprocess.Popen, out: Path) -> None:
    """Return when a few photographs are done and most are not."""
    give_up = time.monotonic() + 90
    while finished_lines(out) < 4:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up, "the run does not begin"
        time.sleep(0.005)


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split()]


def same_tables(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in TABLES)


def test_a_killed_run_goes_on_where_it_was_and_ends_in_the_same_bytes(
    start: Start, expected: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    killed = start(out)
    wait_for_some(killed, out)
    proc = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").exists()
    workers = children_of(killed.pid) if proc else []
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    done = finished_lines(out)
    assert 4 <= done < COUNT
    assert not (out / "landmarks.csv").exists()

    resumed = start(out)
    _, told = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, told
    assert same_tables(out, expected)
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["notes"]["resumed"] == done  # none of them was done again
    # The workers of the killed run have ended by themselves.
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_ctrl_c_says_one_sentence_and_loses_nothing(
    start: Start, photos: Path, expected: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    stopped = start(out, jobs=2)
    wait_for_some(stopped, out)
    os.killpg(stopped.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, told = stopped.communicate(timeout=60)
    assert stopped.returncode == 130
    lines = [line for line in told.splitlines() if not line.startswith("extract: ")]
    assert lines == ["Error: Stopped; run the same command again to go on."]
    done = finished_lines(out)
    assert 4 <= done < COUNT

    resumed = extract(photos, out=out, tta=COPIES, jobs=1)
    assert (resumed.exit_code, resumed.extraction.resumed) == (0, done)
    assert same_tables(out, expected)


def test_a_disk_that_fills_up_costs_nothing_that_was_done(
    start: Start, photos: Path, expected: Path, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource")
    out = tmp_path / "out"
    limit = 20_000  # bytes of any file; the journal of five photographs is longer

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    full = start(out, preexec_fn=small_files)
    _, told = full.communicate(timeout=120)
    assert full.returncode == 2
    (line,) = (line for line in told.splitlines() if not line.startswith("extract: "))
    assert line.startswith("Error: Cannot write ")
    assert "journal.jsonl" in line
    assert "run the same command again" in line

    with_space = extract(photos, out=out, tta=COPIES, jobs=1)
    assert with_space.exit_code == 0
    assert with_space.extraction.resumed > 0
    assert same_tables(out, expected)


def test_the_rows_are_all_there_in_natural_order(expected: Path) -> None:
    table = read_landmarks(expected / "landmarks.csv")
    assert list(table["image_id"]) == [f"p{number}.jpg" for number in range(1, COUNT + 1)]
    assert (table["status"] == "ok").all()
