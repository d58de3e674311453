"""The supervised map over a Dask cluster: the same outcomes, whatever becomes of its workers.

Scheduler and workers are processes of their own on this machine, started as a user starts them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from common.errors import UserError
from common.processes import Outcome
from common.workers import supervised_map
from tests.common.worker_functions import Item, square, start, start_with_a_user_error

if TYPE_CHECKING:
    from distributed import Client

pytest.importorskip("distributed", reason="Dask is not installed")
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")


@dataclass
class OwnCluster:
    """A scheduler on a free port of this machine, and the processes of its workers."""

    folder: Path
    root: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, *words: str) -> subprocess.Popen[bytes]:
        file = ["--scheduler-file", str(self.folder / "scheduler.json")]
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words, *file], cwd=self.root,
            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def add_worker(self) -> subprocess.Popen[bytes]:
        return self.run(
            "worker", "--nthreads", "1", "--no-dashboard",
            "--local-directory", str(self.folder),
        )  # fmt: skip

    @contextmanager
    def client(self) -> Iterator[Client]:
        from distributed import Client

        file = str(self.folder / "scheduler.json")
        with Client(scheduler_file=file, set_as_default=False) as client:
            yield client

    def close(self) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[OwnCluster]:
    own = OwnCluster(tmp_path_factory.mktemp("cluster"), root)
    own.run("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    own.add_worker()
    try:
        while not (own.folder / "scheduler.json").exists():
            time.sleep(0.05)
        yield own
    finally:
        own.close()


@pytest.fixture(scope="module")
def address(cluster: OwnCluster) -> str:
    with cluster.client() as client:
        return str(client.scheduler.address)


def outcomes(items: list[Item], *, scheduler: str, limit_s: float = 30.0) -> list[Outcome]:
    found = supervised_map(square, items, jobs=1, start=start, scheduler=scheduler, limit_s=limit_s)
    return sorted(found, key=lambda outcome: outcome.index)


def test_lost_stuck_and_faulty_items_end_as_they_do_here(address: str, tmp_path: Path) -> None:
    faults = {4: ("raise", 9), 5: ("die", 9)}
    items = [Item(n, tmp_path, *faults.get(n, ("none", 0))) for n in range(9)]
    found = outcomes(items, scheduler=address)
    assert [outcome.index for outcome in found] == list(range(9))
    assert {o.index: o.error for o in found if o.error} == {
        4: "ValueError: an unlucky number",
        5: "its worker was lost, 2 times in a row",
    }
    assert [o.value[0] for o in found if not o.error] == [
        n**2 + 100 for n in range(9) if n not in (4, 5)
    ]


def test_a_stuck_worker_is_ended_and_a_late_one_used(
    cluster: OwnCluster, address: str, tmp_path: Path
) -> None:
    items = [Item(n, tmp_path, "hang" if n == 0 else "slow", 1) for n in range(24)]
    results = supervised_map(square, items, jobs=1, start=start, scheduler=address, limit_s=1.5)
    found = [next(results)]
    cluster.add_worker()
    with cluster.client() as client:  # on a busy machine it takes longer than all items
        client.wait_for_workers(2, timeout=120)
    found += results
    assert sorted(o.index for o in found) == list(range(24))
    assert not [o for o in found if o.error]  # the second time it was not stuck
    assert len({o.value[1] for o in found}) >= 2  # processes that did something


def test_a_start_that_fails_is_told_in_its_own_words(address: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^The model is broken: get it again\.$"):
        list(
            supervised_map(
                square, [Item(0, tmp_path)], jobs=1, start=start_with_a_user_error,
                scheduler=address,
            )
        )  # fmt: skip


def test_no_scheduler_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.cluster._CONNECT_S", 0.3)
    with pytest.raises(UserError, match=r"^No Dask scheduler answers at tcp://127\.0\.0\.1:9: "):
        outcomes([Item(0, Path())], scheduler="tcp://127.0.0.1:9")


def test_without_dask_one_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "common.cluster", None)
    with pytest.raises(UserError, match=r"needs Dask.*requirements-cluster\.txt$"):
        outcomes([Item(0, Path())], scheduler="local")
