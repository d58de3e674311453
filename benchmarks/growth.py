"""How time and memory of the commands that read tables grow with the cohort.

`python -m benchmarks.growth [--rows 1000 10000 100000] [--plot docs/growth.png]` makes landmark
tables of simulated patients (ten photographs each, drawn as points, no pictures), and runs
`prepare folder --check --no-images`, `features` and `benchmark --level patient` on each, in a
process of its own. The smallest table is the baseline of the larger ones: where time is
proportional to rows, seconds per 1000 rows stay what they were or fall. `benchmark` runs one
grader (`--grader`) in two folds, since how the learners grow is theirs. The figures go to `--out`
too; with `--out` of an earlier run, that run's figures stay and are drawn beside the new ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from cyclopts import App
from matplotlib.figure import Figure

from common.command_line import LISTS
from common.figures import GRID, MARKERS, OKABE_ITO, SOFT
from common.movements import MOVEMENTS
from common.tables import write_csv, write_table
from docs.drawing import WIDTH, schematic_face
from landmarks.points import POINT_COLUMNS, mirror_points
from landmarks.tables import LANDMARKS

ROOT = Path(__file__).resolve().parent.parent
PHOTOGRAPHS = 10  # of each patient: every movement once, the first two twice
NOISE_PX = 1.0
app = App(help=__doc__, help_format="plaintext", default_parameter=LISTS)


@app.default
def growth(
    *,
    rows: tuple[int, ...] = (1_000, 10_000, 100_000),
    grader: str = "ordinal_logistic",
    out: Path | None = None,
    plot: Path | None = None,
) -> None:
    """Measure every command on every size."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        for count in rows:
            folder = Path(name) / str(count)
            write_cohort(folder, patients=count // PHOTOGRAPHS)
            for command, words in commands(folder, grader=grader).items():
                seconds, peak_mb = measured(words)
                report = folder / command / "report.html"
                size = report.stat().st_size / 1e6 if report.is_file() else np.nan
                found.append((command, count, seconds, peak_mb, size))
                print(f"{command}, {count} rows: {seconds:.1f} s, {peak_mb:.0f} MB", flush=True)
    table = pd.DataFrame(found, columns=["command", "rows", "seconds", "peak_mb", "report_mb"])
    table["s_per_1000_rows"] = 1000 * table["seconds"] / table["rows"]
    print(table.round(2).to_string(index=False))
    if out is not None:
        earlier = pd.read_csv(out) if out.is_file() else table[:0]
        both = pd.concat([earlier, table]).drop_duplicates(["command", "rows"], keep="last")
        table = both.sort_values(["command", "rows"], ignore_index=True)
        write_csv(table, out)
    if plot is not None:
        draw(table, plot)


def commands(folder: Path, *, grader: str) -> dict[str, list[str]]:
    """Return the commands, by name, in the order in which they need each other's tables."""
    manifest, tables = str(folder / "manifest.csv"), str(folder / "features")
    prepare = ["folder", str(folder / "photographs"), "--table", str(folder / "grades.csv")]
    return {
        "prepare --check": ["prepare", *prepare, "--check", "--no-images", "--out", manifest],
        "features": ["features", str(folder / "landmarks.csv"), "--manifest", manifest,
                     "--out", tables],
        "benchmark": ["benchmark", f"{tables}/features.csv", "--level", "patient",
                      "--graders", grader, "--n-folds", "2", "--jobs", "1",
                      "--out", str(folder / "benchmark")],
    }  # fmt: skip


def measured(words: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds by the clock and the most memory it held, MB."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "run_pipeline.py", *words], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}.")
    return time.monotonic() - began, usage.ru_maxrss / 1024


def write_cohort(folder: Path, *, patients: int, seed: int = 0) -> None:
    """Write `landmarks.csv`, `grades.csv` and empty photographs of simulated patients.

    Each movement shifts the points of a schematic face alike on both sides; the weak side moves
    the less, the higher the grade.
    """
    rng = np.random.default_rng(seed)
    face = schematic_face()
    moves = {name: np.zeros((68, 2)) for name in MOVEMENTS}
    for name in MOVEMENTS[1:]:
        shift = rng.normal(scale=6.0, size=(68, 2))
        moves[name] = (shift + mirror_points(shift, width=1)) / 2
        moves[name][[*range(17), *range(27, 36)]] = 0.0
        moves[name][48:, 0] *= 0.3
    tasks = [MOVEMENTS[at % len(MOVEMENTS)] for at in range(PHOTOGRAPHS)]
    grade = np.arange(patients) % 6 + 1
    weak = np.where(np.arange(patients) // 6 % 2, "left", "right").astype(object)
    on_the_right = face[:, 0] < WIDTH // 2
    points = np.empty((patients, PHOTOGRAPHS, 68, 2))
    for at, task in enumerate(tasks):
        share = np.ones((patients, 68, 1))
        for side, own in (("right", on_the_right), ("left", ~on_the_right)):
            rows = weak == side
            share[np.ix_(rows, own)] = 1 - (grade[rows, None, None] - 1) / 5
        points[:, at] = face + share * moves[task]
    points += rng.normal(scale=NOISE_PX, size=points.shape)
    patient = np.repeat([f"P{number:05d}" for number in range(patients)], PHOTOGRAPHS)
    names = [f"{own}/{at % PHOTOGRAPHS}.jpg" for at, own in enumerate(patient)]
    table = pd.DataFrame(points.reshape(len(names), -1), columns=list(POINT_COLUMNS))
    table.insert(0, "image_id", names)
    table.insert(1, "status", "ok")
    write_table(table, folder / "landmarks.csv", schema=LANDMARKS)
    grades = pd.DataFrame(
        {
            "image": names,
            "patient": patient,
            "task": tasks * patients,
            "side": np.repeat(np.where(grade == 1, "none", weak), PHOTOGRAPHS),
            "grade": np.repeat(grade, PHOTOGRAPHS),
        }
    )
    write_csv(grades, folder / "grades.csv")
    for name in names:
        path = folder / "photographs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw seconds and memory over rows, on logarithmic axes, beside what is proportional."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (command, own) in enumerate(table.groupby("command", sort=False)):
        for axes, column in ((left, "seconds"), (right, "peak_mb")):
            axes.plot(
                own["rows"], own[column], marker=MARKERS[number], color=OKABE_ITO[number],
                label=command,
            )  # fmt: skip
    rows = np.array([table["rows"].min(), table["rows"].max()])
    per_row = table["seconds"].max() / rows[1]
    left.plot(rows, per_row * rows, color=SOFT, linestyle=":", label="proportional to rows")
    for axes, title in ((left, "Seconds"), (right, "Most memory, MB")):
        axes.set(xscale="log", yscale="log", xlabel="Rows (photographs)", title=title)
        axes.grid(color=GRID)
    left.legend(frameon=False)
    figure.savefig(path, dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    app()
