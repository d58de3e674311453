"""Time until `extract` has measured its first photograph, for short and for long manifests.

`python -m benchmarks.start_up [--rows 100 50000]` writes manifests that name one portrait again and
again and starts `extract --jobs 1` on each: afresh, and resumed with all photographs but one known.
It prints seconds by the clock and of the processor (the command and its worker), which do not
depend on what else the machine does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cyclopts import App

from benchmarks import face_photographs
from common.command_line import LISTS

ROOT = Path(__file__).resolve().parent.parent
app = App(help=__doc__, help_format="plaintext", default_parameter=LISTS)


@dataclass(frozen=True)
class Start:
    """Seconds until the first photograph was measured."""

    clock_s: float
    processor_s: float


@app.default
def benchmark(*, rows: tuple[int, ...] = (100, 50_000)) -> None:
    """Measure the start of manifests of so many rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (photo,) = face_photographs.portraits(folder, count=1)
        for count in rows:
            manifest, out = folder / f"{count}.csv", folder / f"out{count}"
            lines = [f"{row}.jpg,{photo.name},{row // 8}\n" for row in range(count)]
            manifest.write_text("image_id,path,patient_id\n" + "".join(lines), encoding="utf-8")
            _tell(f"{count} photographs", first_photograph(manifest, out))
            journal = out / "journal.jsonl"
            line = journal.read_text(encoding="utf-8").splitlines(keepends=True)[0]
            with journal.open("w", encoding="utf-8") as file:
                for row in range(1, count):
                    file.write(line.replace('"0.jpg"', f'"{row}.jpg"', 1))
            _tell(f"{count} photographs, all but one known", first_photograph(manifest, out))


def first_photograph(manifest: Path, out: Path) -> Start:
    """Start `extract` in a process of its own and end it when its journal has grown."""
    journal = out / "journal.jsonl"
    size = journal.stat().st_size if journal.exists() else 0
    began = time.monotonic()
    command = [sys.executable, "run_pipeline.py", "extract", str(manifest), "--out", str(out)]
    with subprocess.Popen(
        [*command, "--jobs", "1"], cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        while not journal.exists() or journal.stat().st_size <= size:
            if process.poll() is not None:
                raise SystemExit("extract ended before it had measured anything.")
            time.sleep(0.01)
        start = Start(time.monotonic() - began, _processor_s(process.pid))
        os.killpg(process.pid, signal.SIGKILL)
    return start


def _processor_s(pid: int) -> float:
    """Seconds of processor that a process and its children have used; Linux only."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    ticks = 0
    for one in (str(pid), *children):
        with suppress(OSError):  # a short-lived child that has ended meanwhile
            content = Path(f"/proc/{one}/stat").read_text(encoding="ascii")
            fields = content.rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _tell(what: str, start: Start) -> None:
    print(f"{what}: {start.clock_s:.1f} s, {start.processor_s:.1f} s of processor", flush=True)


if __name__ == "__main__":
    app()
