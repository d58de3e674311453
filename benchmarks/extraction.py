"""Speed and memory of extraction, beside the floor: decode, detect and predict, and nothing else.

`python -m benchmarks.extraction [--photos FOLDER] [--count 480]` measures in one run, interleaved
and repeated: a plain loop over the photographs (the floor, one thread), `extract --jobs 1`, and
`extract --jobs 2`; then the peak memory of the workers. Medians are printed beside the limits of
the project and written to `bench_output/extraction.json`. All are plain predictions (`--tta 0`);
`benchmarks.augmentation` measures altered copies.
"""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import dlib
import multiprocess
from cyclopts import App
from rich.console import Console
from rich.table import Table

from benchmarks import face_photographs
from common.files import write_json
from common.photos import list_photos
from common.provenance import package_versions
from features.commands.extract import extract
from landmarks.predictor import find_predictor

OUTPUT = Path("bench_output") / "extraction.json"
MAX_OVER_FLOOR, MIN_SPEED_UP, MAX_WORKER_MB = 1.4, 1.7, 450
_SAMPLE_S = 0.02

app = App(help=__doc__, help_format="plaintext")


@dataclass(frozen=True)
class Run:
    """One run of `extract`: seconds per photograph when it goes, apart from its start-up."""

    steady_s: float
    startup_s: float
    whole_s: float
    worker_mb: float


@dataclass(frozen=True)
class Limit:
    """A figure, what it must be, and whether it is."""

    name: str
    figure: float
    limit: float
    at_most: bool = True

    @property
    def met(self) -> bool:
        """Whether the figure keeps the limit."""
        return self.figure <= self.limit if self.at_most else self.figure >= self.limit


@app.default
def benchmark(*, photos: Path | None = None, count: int = 480, repeats: int = 3) -> int:
    """Measure the floor, extract with one and two jobs, and the memory of the workers.

    Parameters
    ----------
    photos
        Folder of photographs with one face each; variants of a portrait when not given.
    count
        Photographs to use, at least 60.
    repeats
        How often everything is measured; medians are reported.
    """
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder = work / "photos"
        folder.mkdir()
        if photos is None:
            face_photographs.portraits(folder, count=count)
        else:
            for number, (_, path) in enumerate(list_photos(photos).photos[:count]):
                (folder / f"{number}{path.suffix}").symlink_to(path.resolve())
        files = sorted(folder.iterdir())
        floor(files)  # once for nothing: files in the cache, code loaded
        floors, ones, twos = [], [], []
        for _ in range(repeats):
            floors.append(floor(files))
            ones.append(extraction(folder, work / "out", jobs=1))
            twos.append(extraction(folder, work / "out", jobs=2))
        memory = peak_memory(work, folder)
        memory[f"{len(files)} photographs"] = max(run.worker_mb for run in (*ones, *twos))
    limits = [
        Limit("extract --jobs 1 / floor", _ratio(ones, floors), MAX_OVER_FLOOR),
        Limit(
            "--jobs 1 / --jobs 2",
            statistics.median(o.steady_s / t.steady_s for o, t in zip(ones, twos, strict=True)),
            MIN_SPEED_UP,
            at_most=False,
        ),
        *[Limit(f"worker MB, {what}", mb, MAX_WORKER_MB) for what, mb in memory.items()],
    ]
    _report(len(files), floors, ones, twos, limits)
    return 0 if all(limit.met for limit in limits) else 1


def floor(files: list[Path]) -> float:
    """Seconds per photograph of a plain loop: decode grey, HOG at 200 px, 68 points; one thread."""
    cv2.setNumThreads(1)
    detector = dlib.get_frontal_face_detector()
    predictor = dlib.shape_predictor(str(find_predictor().path))
    began = time.perf_counter()
    for path in files:
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        h, w = grey.shape
        small = cv2.resize(grey, (200, round(h * 200 / w)), interpolation=cv2.INTER_AREA)
        found, _, _ = detector.run(small, 1, 0.0)
        for box in found[:1]:
            corners = (box.left(), box.top(), box.right(), box.bottom())
            predictor(grey, dlib.rectangle(*(round(value * w / 200) for value in corners)))
    return (time.perf_counter() - began) / len(files)


def extraction(source: Path, out: Path, *, jobs: int) -> Run:
    """Run the whole command into an empty folder."""
    _empty(out)
    quiet = io.StringIO()
    began = time.perf_counter()
    with (
        _watched_workers() as peak_mb,
        contextlib.redirect_stdout(quiet),
        contextlib.redirect_stderr(quiet),
    ):
        result = extract(source, out=out, tta=0, jobs=jobs)
    whole = time.perf_counter() - began
    done = result.extraction
    if not done.counts["ok"] and len(done.table) > 2:
        raise SystemExit(f"Nothing was measured in {source}: {done.table['reason'].iat[0]}")
    return Run(
        steady_s=done.work_s / max(1, len(done.table) - 1),
        startup_s=done.startup_s,
        whole_s=whole,
        worker_mb=peak_mb(),
    )


def peak_memory(work: Path, folder: Path) -> dict[str, float]:
    """Largest resident memory of a worker in MB for kinds of photographs, by kind."""
    makers: dict[str, Callable[[Path], object]] = {
        "60 photographs": lambda place: [
            (place / path.name).symlink_to(path.resolve()) for path in sorted(folder.iterdir())[:60]
        ],
        "no face, all three detectors": lambda place: face_photographs.faceless(
            place, width=1599, height=1199
        ),
    }
    for megapixels, width, height in ((12, 3000, 4000), (50, 6120, 8160)):
        for suffix in (".jpg", ".png"):
            makers[f"{megapixels} megapixels {suffix}"] = (
                lambda place, m=megapixels, s=suffix, w=width, h=height: face_photographs.large(
                    place, megapixels=m, suffix=s, width=w, height=h
                )
            )
    found = {}
    for number, (kind, make) in enumerate(makers.items()):
        place = work / f"memory{number}"
        place.mkdir()
        make(place)
        face_photographs.portraits(place, count=20)  # sorted behind: a peak is seen before the end
        found[kind] = extraction(place, work / "out", jobs=1).worker_mb
    return found


@contextmanager
def _watched_workers() -> Iterator[Callable[[], float]]:
    """Watch this process's workers; gives a function that tells their peak memory in MB.

    The kernel keeps the peak itself (`VmHWM`), so looking now and then misses next to nothing.
    Not a number where there is no `/proc`.
    """
    peaks: dict[int, float] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_SAMPLE_S):
            for process in multiprocess.active_children():
                with contextlib.suppress(OSError, ValueError, StopIteration):
                    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
                    line = next(x for x in status.splitlines() if x.startswith("VmHWM"))
                    peaks[process.pid] = int(line.split()[1]) / 1024

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: max(peaks.values(), default=float("nan"))
    finally:
        ended.set()
        watcher.join()


def _ratio(runs: list[Run], floors: list[float]) -> float:
    """Median over the repeats: what runs side by side meets the same load."""
    return statistics.median(run.steady_s / low for run, low in zip(runs, floors, strict=True))


def _report(
    count: int, floors: list[float], ones: list[Run], twos: list[Run], limits: list[Limit]
) -> None:
    console = Console(width=100)
    table = Table(title=f"{count} photographs, medians of {len(floors)}", title_justify="left")
    for heading in ("", "per photograph", "start-up", "end to end"):
        table.add_column(heading, justify="left" if not heading else "right")
    table.add_row("floor (plain loop)", f"{1000 * statistics.median(floors):.2f} ms", "", "")
    for name, runs in (("extract --jobs 1", ones), ("extract --jobs 2", twos)):
        table.add_row(
            name,
            f"{1000 * statistics.median(run.steady_s for run in runs):.2f} ms",
            f"{statistics.median(run.startup_s for run in runs):.2f} s",
            f"{statistics.median(run.whole_s for run in runs):.2f} s",
        )
    console.print(table)
    for limit in limits:
        word = "at most" if limit.at_most else "at least"
        verdict = "met" if limit.met else "MISSED"
        console.print(f"{verdict:7}{limit.name}: {limit.figure:.2f} ({word} {limit.limit:g})")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    console.print(f"Load of the machine at the end: {load}")
    write_json(
        OUTPUT,
        {
            "command": " ".join(["python -m benchmarks.extraction", *sys.argv[1:]]),
            "photographs": count,
            "floor_s": floors,
            "jobs_1": [vars(run) for run in ones],
            "jobs_2": [vars(run) for run in twos],
            "limits": [vars(limit) | {"met": limit.met} for limit in limits],
            "load": load,
            "versions": package_versions(),
        },
    )
    console.print(f"Written to {OUTPUT}")


def _empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True) if folder.exists() else []:
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()


if __name__ == "__main__":
    sys.exit(app())
