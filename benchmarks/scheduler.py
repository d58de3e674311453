"""`extract` by worker processes and by a Dask cluster: the same bytes, and what Dask costs.

`python -m benchmarks.scheduler [--count 60] [--items 1000]` starts a Dask scheduler and workers as
processes of their own on this machine, and measures the same portraits with three worker processes
(the baseline) and with three Dask workers, of which one starts late and one is killed in the
middle. The tables must be the same bytes. Then items that sleep for 25 ms, about as long as a
photograph takes, go through both, with three workers each: what a run takes longer than three that
sleep side by side is the cost of an item.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from cyclopts import App
from distributed import Client

from benchmarks import face_photographs
from common.workers import supervised_map
from landmarks.find.extraction import extract_landmarks
from landmarks.predictor import find_predictor

ROOT = Path(__file__).resolve().parent.parent
WORKERS, ITEM_S = 3, 0.025
app = App(help=__doc__, help_format="plaintext")


@app.default
def scheduler(*, count: int = 60, items: int = 1000) -> None:
    """Measure, and end with an error when the tables differ."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photographs").mkdir()
        found = face_photographs.portraits(folder / "photographs", count=count)
        photos = [(path.name, path) for path in found]
        processes = [start(folder, "scheduler", "--host", "127.0.0.1", "--port", "0")]
        try:
            address = address_of(folder)
            processes += [start_worker(folder) for _ in range(WORKERS - 1)]
            here, as_here = extracted(photos, out=folder / "here", scheduler=None)
            print(f"{count} photographs, {WORKERS} worker processes: {here:.1f} s", flush=True)
            late = threading.Timer(here / 6, lambda: processes.append(start_worker(folder)))
            kill = threading.Timer(here / 2, lambda: end(processes[1]))
            late.start()
            kill.start()
            there, as_there = extracted(photos, out=folder / "there", scheduler=address)
            print(f"{WORKERS} Dask workers, one late, one killed: {there:.1f} s", flush=True)
            if as_here != as_there:
                raise SystemExit("The tables differ.")
            print("The tables are the same bytes.")
            processes.append(start_worker(folder))  # in the place of the killed one
            wait_for_workers(address)
            costs = {
                "worker processes": cost_ms(items, scheduler=None),
                "Dask workers": cost_ms(items, scheduler=address),
            }
            for name, (clock, processor) in costs.items():
                print(
                    f"{name}: a run takes {clock:.2f} ms longer per item, {clock * WORKERS:.2f} ms "
                    f"of a worker's time, and {processor:.2f} ms of processor in this process"
                )
        finally:
            for process in processes:
                end(process)


def extracted(
    photos: list[tuple[str, Path]], *, out: Path, scheduler: str | None
) -> tuple[float, bytes]:
    """Return the seconds from start to table, and the table."""
    began = time.monotonic()
    extract_landmarks(
        photos, out=out, predictor=find_predictor(), jobs=WORKERS, scheduler=scheduler
    )
    return time.monotonic() - began, (out / "landmarks.csv").read_bytes()


def cost_ms(items: int, *, scheduler: str | None) -> tuple[float, float]:
    """Return what a run takes longer per item, and its processor time in this process."""
    results = supervised_map(rest, [ITEM_S] * items, jobs=WORKERS, start=dict, scheduler=scheduler)
    for _ in range(items // 10):
        next(results)
    began, processor = time.monotonic(), time.process_time()
    done = sum(1 for _ in results)
    return (
        1000 * ((time.monotonic() - began) / done - ITEM_S / WORKERS),
        1000 * (time.process_time() - processor) / done,
    )


def wait_for_workers(address: str) -> None:
    """Wait until all are there."""
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(WORKERS, timeout=60)


def rest(_state: object, seconds: float) -> None:
    """What a worker does with an item: nothing, for so long."""
    time.sleep(seconds)


def start(folder: Path, kind: str, *words: str) -> subprocess.Popen[bytes]:
    """Start a scheduler or a worker as a user would."""
    file = ["--scheduler-file", str(folder / "scheduler.json"), "--no-dashboard"]
    return subprocess.Popen(
        [sys.executable, "-m", "dask", kind, *words, *file], cwd=ROOT,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def start_worker(folder: Path) -> subprocess.Popen[bytes]:
    """Start a worker with one thread, and with the nanny that comes with it."""
    return start(folder, "worker", "--nthreads", "1", "--local-directory", str(folder))


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def address_of(folder: Path) -> str:
    """Wait for the scheduler and return where it is."""
    file = folder / "scheduler.json"
    while not file.exists():
        time.sleep(0.1)
    with Client(scheduler_file=str(file), set_as_default=False) as client:
        return str(client.scheduler.address)


if __name__ == "__main__":
    app()
