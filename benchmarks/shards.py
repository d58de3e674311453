"""A cohort in shards, some of them killed in the middle: the bytes of one run, and what it costs.

`python -m benchmarks.shards [--patients 8] [--shards 20] [--kill 3]` draws simulated patients,
eight photographs each, and extracts them in one run, then shard by shard, each in its own process.
The first shards are killed (SIGKILL) as soon as they have measured a photograph. `merge` must
refuse them and name the command, by which they are then resumed. Every file of the merged folder
is compared with that of the one run. Printed, and written to `bench_output/shards.json`.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cyclopts import App

from common.files import write_json
from common.provenance import RUN_FILE, package_versions
from common.shards import Shard
from datasets.simulated.cohort import simulate

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


if __name__ == "__main__":
    sys.exit(app())
