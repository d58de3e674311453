"""`review` with 5,000 photographs: how soon the page is up, how soon the next photograph, memory.

`python -m benchmarks.review [--count 5000] [--requests 10000]` makes a cohort of simulated points
over hard links to a few portraits, every second of them 12 megapixels, starts the command as its
users do, and opens the page in a headless Chromium. It times until the page can be used; then going
on to the next photograph, fifty of each size, after half a second's look at each and without any;
and reads the server's memory and open files after 100 photographs, after 500, and after ten
thousand requests. What misses its limit is said.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from cyclopts import App

from benchmarks import face_photographs
from common.files import write_json
from common.provenance import package_versions
from common.tables import write_table
from datasets.simulated.shape import AVERAGE_POINTS
from landmarks.find.extraction import SPREADS_FILE
from landmarks.points import N_POINTS, POINT_COLUMNS
from landmarks.tables import LANDMARKS, LANDMARKS_FILE, SPREAD_COLUMNS, SPREADS
from tests.browser import find_browser, headless

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

OUTPUT = Path("bench_output") / "review.json"
LARGE_EVERY = 2  # of the photographs, one in so many is of 12 megapixels
MAX_UP_S, MAX_NEXT_MS, MAX_GROWTH_MB = 2.0, 150.0, 40.0
_GROWTH, _MORE_FILES = "growth after 100 photographs, MB", "growth of open files"
_STEPS = 50  # of each kind
LOOK_MS = 500  # a person looks at a photograph for longer than this

# Presses a key, and tells how many ms later the next photograph with its points was painted.
_NEXT = """
async (key) => {
  const name = document.getElementById("name"), before = name.textContent;
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  const began = performance.now();
  const pressed = new KeyboardEvent("keydown", { key, bubbles: true });
  document.getElementById("face").dispatchEvent(pressed);
  while (name.textContent === before) await painted();
  const image = new Image();
  image.src = document.querySelector("#face image").getAttribute("href");
  await image.decode();
  await painted();
  return performance.now() - began;
}
"""

app = App(help=__doc__, help_format="plaintext")


@dataclass(frozen=True)
class Server:
    """A running `review`."""

    process: subprocess.Popen[str]
    address: str
    started_s: float

    def mb(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return (
            int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
            / 1024
        )

    def files(self) -> int:
        """Open files and connections."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@app.default
def benchmark(*, count: int = 5000, photographs: int = 500, requests: int = 10_000) -> int:
    """Measure the page, the next photograph, and memory.

    Parameters
    ----------
    count
        Photographs of the cohort.
    photographs
        Gone through before memory is read again.
    requests
        Asked one after the other at the end.
    """
    executable = find_browser()
    if executable is None:
        raise SystemExit("No Chromium or Chrome is installed.")
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name, headless(executable) as browser:
        folder = Path(name)
        cohort(folder, count=count)
        with running(folder) as server:
            for what, value in measured(
                server, browser, count=count, photographs=photographs, requests=requests
            ):
                figures[what] = value
                _say(what, value)
    return _report(figures, count=count)


def measured(
    server: Server, browser: Browser, *, count: int, photographs: int, requests: int
) -> Iterator[tuple[str, float]]:
    """Measure one thing after the other: what, and the figure."""
    yield "address printed, s after the command", server.started_s
    yield "MB at the start", server.mb()
    page, seconds = opened(browser, server.address)
    yield "page up, s", seconds
    yield "page up again, s", opened(browser, server.address)[1]
    yield from next_ones(page, look_ms=LOOK_MS)
    yield "MB after 100 photographs", server.mb()
    yield "files open after 100 photographs", server.files()
    yield from next_ones(page, look_ms=0)
    for _ in range(photographs - 4 * _STEPS):
        page.evaluate(_NEXT, "n")
    yield f"MB after {photographs} photographs", server.mb()
    page.context.close()
    asked(server.address, count=requests, n_photographs=count)
    yield f"MB after {requests} requests more", server.mb()
    yield f"files open after {requests} requests more", server.files()


def cohort(folder: Path, *, count: int) -> None:
    """Write photographs, their points and spreads as `extract` lays them down."""
    portraits = folder / "portraits"
    portraits.mkdir()
    small = face_photographs.portraits(portraits, count=12)
    large = face_photographs.large(portraits, megapixels=12, suffix=".jpg", width=3000, height=4000)
    names = [f"patient{number // 8:04d}/{number % 8}.jpg" for number in range(count)]
    points, sizes = np.empty((count, N_POINTS, 2)), np.empty((count, 1))
    for number, image_id in enumerate(names):
        path = folder / "photos" / image_id
        path.parent.mkdir(parents=True, exist_ok=True)
        is_large = number % LARGE_EVERY == LARGE_EVERY - 1
        os.link(large if is_large else small[number % len(small)], path)
        centre, size = ((1700, 550), 6.0) if is_large else ((340, 110), 1.2)
        points[number], sizes[number] = AVERAGE_POINTS * size + centre, size
    table = pd.DataFrame(points.reshape(count, -1), columns=list(POINT_COLUMNS))
    table.insert(0, "image_id", names)
    table.insert(1, "status", "ok")
    write_table(table, folder / "tables" / LANDMARKS_FILE, schema=LANDMARKS)
    spreads = sizes * np.random.default_rng(0).uniform(0.1, 3.0, (count, 2 * N_POINTS))
    spread = pd.DataFrame(spreads, columns=list(SPREAD_COLUMNS))
    head = pd.DataFrame({"image_id": names, "status": "ok", "copies": 10, "copies_failed": 0})
    spread = pd.concat([head, spread], axis="columns")
    write_table(spread, folder / "tables" / SPREADS_FILE, schema=SPREADS)


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Start `review` as a program of its own, and end it as Ctrl-C does."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "run_pipeline.py", "review", str(folder / "tables"),
         "--photos", str(folder / "photos"), "--no-browser"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield Server(process, found[0], time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)


def opened(browser: Browser, address: str) -> tuple[Page, float]:
    """Open the page; seconds until its points can be taken hold of and the filmstrip stands."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    began = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("#face image")
    page.wait_for_selector('[data-point="67"] .dot')
    page.wait_for_selector("#film button")
    return page, time.perf_counter() - began


def next_ones(page: Page, *, look_ms: int) -> Iterator[tuple[str, float]]:
    """Go on to photographs not seen before: median and 95th percentile, ms, small and large."""
    times: dict[str, list[float]] = {"small": [], "12 megapixels": []}
    for _ in range(2 * _STEPS):
        took = float(page.evaluate(_NEXT, "n"))
        number = int(page.inner_text("#name").rpartition("/")[2].partition(".")[0])
        kind = "12 megapixels" if number % LARGE_EVERY == LARGE_EVERY - 1 else "small"
        times[kind].append(took)
        page.wait_for_timeout(look_ms)
    look = "after a look" if look_ms else "at once"
    for kind, values in times.items():
        for what, share in (("median", 50), ("95 %", 95)):
            yield f"next {look}, {kind}, {what}, ms", float(np.percentile(values, share))


def asked(address: str, *, count: int, n_photographs: int) -> None:
    """Ask for faces, small pictures, the page's files and nonsense, one after the other."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(str(parts.hostname), int(parts.port or 0), timeout=60)
    for number in range(count):
        one = number * 7 % n_photographs
        path = "../../etc/passwd" if number % 2 else "review.js"
        path = {0: f"face/{one}", 4: f"thumb/{one}.jpg"}.get(number % 8, path)
        connection.request("GET", f"{parts.path}{path}")
        connection.getresponse().read()
    connection.close()


def _report(figures: dict[str, float], *, count: int) -> int:
    memory = [value for what, value in figures.items() if what.startswith("MB after")]
    handles = [value for what, value in figures.items() if what.startswith("files open")]
    growth = {_GROWTH: max(memory) - memory[0], _MORE_FILES: handles[-1] - handles[0]}
    for what, value in growth.items():
        _say(what, value)
    figures = figures | growth
    load = os.getloadavg()[0]
    print(f"{count} photographs; load of the machine at the end: {load:.1f}")
    command = " ".join(["python -m benchmarks.review", *sys.argv[1:]])
    limits = {what: _limit(what) for what in figures}
    kept = {"command": command, "figures": figures, "limits": limits, "load": load}
    write_json(OUTPUT, kept | {"versions": package_versions()})
    print(f"Written to {OUTPUT}")
    return int(any(figures[what] > limit for what, limit in limits.items() if limit is not None))


def _limit(what: str) -> float | None:
    if what.startswith("page up"):
        return MAX_UP_S
    if what.startswith("next after a look"):
        return MAX_NEXT_MS
    return {_GROWTH: MAX_GROWTH_MB, _MORE_FILES: 0.0}.get(what)


def _say(what: str, value: float) -> None:
    limit = _limit(what)
    verdict = "" if limit is None else "met" if value <= limit else "MISSED"
    print(f"{verdict:7}{what}: {value:.4g}" + ("" if limit is None else f" (at most {limit:g})"))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(app())
