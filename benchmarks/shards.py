"""A cohort in shards, some of them killed in the middle: the bytes of one run, and what it costs.

`python -m benchmarks.shards [--patients 8] [--shards 20] [--kill 3]` draws simulated patients,
eight photographs each, and extracts them in one run, then shard by shard, each in its own process.
The first shards are killed (SIGKILL) as soon as they have measured a photograph. `merge` must
refuse them and name the command, by which they are then resumed. Every file of the merged folder
is compared with that of the one run. Printed, and written to `bench_output/shards.json`.

`python -m benchmarks.shards growth [--rows 1000 10000 100000]` times `merge` of tables made without
pictures, and its peak memory: written to `bench_output/merge_growth.json`.
"""

from __future__ import annotations

import json
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from cyclopts import App

from common.files import write_json
from common.provenance import RUN_FILE, package_versions, write_run_record
from common.shards import Shard, dealt
from common.tables import write_table
from datasets.simulated.cohort import simulate
from docs.drawing import schematic_face
from features.commands.features import write_feature_tables
from landmarks.points import POINT_COLUMNS
from landmarks.tables import LANDMARKS, LANDMARKS_FILE

OUTPUT = Path("bench_output") / "shards.json"
PROGRAM = (sys.executable, "run_pipeline.py")
_COMMAND = re.compile(r"`(.*)`")

app = App(help=__doc__, help_format="plaintext")


@app.default
def benchmark(*, patients: int = 8, shards: int = 20, kill: int = 3) -> int:
    """Extract in one run and in shards; 0 when the bytes are the same.

    Parameters
    ----------
    patients
        Simulated patients, of eight photographs each.
    shards
        Number of shards.
    kill
        How many of them are killed in the middle.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        simulate(folder / "photos", patients=patients, seed=3, width=300, height=400)
        extract = ["extract", str(folder / "photos"), "--tta", "0", "--overlays", "--jobs", "1"]
        one, many = folder / "one", folder / "many"
        one_s = _timed([*extract, "--out", str(one)])
        commands = {
            Shard(number, shards): [*extract, "--out", str(many), "--shard", f"{number}/{shards}"]
            for number in range(1, shards + 1)
        }
        killed: list[Shard] = []
        began = time.monotonic()
        for shard, words in commands.items():
            if len(killed) < kill:
                killed += [shard] if _kill_in_the_middle(words, shard.folder(many)) else []
            else:
                _timed(words)
        shards_s = time.monotonic() - began
        refused = _merge(many)
        told = _COMMAND.search(refused.stderr)
        print(refused.stderr.strip())
        assert told is not None and refused.returncode == 2
        line = told[1].replace("python run_pipeline.py", shlex.join(PROGRAM))
        subprocess.run(["bash", "-c", line], capture_output=True, check=True)
        began = time.monotonic()
        merged = _merge(many)
        merge_s = time.monotonic() - began
        print(merged.stdout.strip())
        others = _different(one, many)
        figures = {
            "photographs": 8 * patients,
            "shards": shards,
            "killed": [str(shard) for shard in killed],
            "different_files": others,
            "one_run_s": round(one_s, 1),
            "shards_one_after_another_s": round(shards_s, 1),
            "merge_s": round(merge_s, 1),
        }
    print(json.dumps(figures, indent=2))
    write_json(OUTPUT, {**figures, "versions": package_versions()})
    return 1 if others or len(killed) < kill else 0


def _timed(words: list[str]) -> float:
    began = time.monotonic()
    done = subprocess.run([*PROGRAM, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - began


def _kill_in_the_middle(words: list[str], folder: Path) -> bool:
    """Kill a run once it has measured a photograph; False when it had ended by then."""
    process = subprocess.Popen(
        [*PROGRAM, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    journal = folder / "journal.jsonl"
    while process.poll() is None and not (journal.is_file() and journal.stat().st_size):
        time.sleep(0.002)
    process.kill()
    return process.wait() < 0 and not (folder / RUN_FILE).is_file()


def _merge(folder: Path) -> subprocess.CompletedProcess[str]:
    words = [*PROGRAM, "merge", str(folder)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def _different(one: Path, many: Path) -> list[str]:
    """Return the files that differ; of run.json all but times and what had been known before."""

    def content(path: Path) -> bytes | str | None:
        if path.name != RUN_FILE or not path.is_file():
            return path.read_bytes() if path.is_file() else None
        record = json.loads(path.read_text(encoding="utf-8"))
        del record["seconds"], record["notes"]["resumed"]
        return json.dumps(record)

    names = {
        path.relative_to(folder)
        for folder in (one, many)
        for path in folder.rglob("*")
        if path.is_file() and "journal" not in path.name
    }
    names = {name for name in names if not name.parts[0].startswith("shard-")}
    assert names
    return sorted(str(name) for name in names if content(one / name) != content(many / name))


@app.command
def growth(*, rows: tuple[int, ...] = (1_000, 10_000, 100_000), shards: int = 20) -> None:
    """Time `merge` of tables of so many photographs, from the smallest, in processes of their own.

    Parameters
    ----------
    rows
        Photographs; points are a drawn face with noise.
    shards
        Number of shards.
    """
    figures = []
    for number in sorted(rows):
        with tempfile.TemporaryDirectory() as temporary:
            _write_shards(Path(temporary), rows=number, shards=shards)
            began = resource.getrusage(resource.RUSAGE_CHILDREN)
            assert _merge(Path(temporary)).returncode == 0
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
        figures.append(
            {
                "rows": number,
                "processor_s": round(used.ru_utime - began.ru_utime, 1),
                "peak_mb": round(used.ru_maxrss / 1024),  # the largest child is the latest
            }
        )
        print(json.dumps(figures[-1]), flush=True)
    write_json(OUTPUT.with_name("merge_growth.json"), {"merge": figures, "shards": shards})


def _write_shards(out: Path, *, rows: int, shards: int) -> None:
    """Write what `extract` would: landmarks, distances, features, measures, records."""
    names = [f"P{number // 8}/img{number % 8}.jpg" for number in range(rows)]
    noise = np.random.default_rng(0).normal(0, 1, (rows, len(POINT_COLUMNS)))
    points = pd.DataFrame(schematic_face().ravel() + noise, columns=list(POINT_COLUMNS))
    table = pd.DataFrame({"image_id": names, "status": "ok"}).join(points)
    for number in range(1, shards + 1):
        shard = Shard(number, shards)
        folder = shard.folder(out)
        mine = dealt(
            dict(zip(names, names, strict=True)),
            shard, out=folder, command="extract", call=_write_shards,
            given={"out": out, "rows": rows, "shards": shards},
        )  # fmt: skip
        part = table[table["image_id"].isin(mine)].reset_index(drop=True)
        write_table(part, folder / LANDMARKS_FILE, schema=LANDMARKS)
        write_feature_tables(part, out=folder)
        write_run_record(folder, command="extract", settings={}, counts={"ok": len(part)})


if __name__ == "__main__":
    sys.exit(app())
