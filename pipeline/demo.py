"""The command `demo`: the whole story on simulated patients and one portrait, into a report."""

from __future__ import annotations

import sys
import time
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.exit_codes import SOME_FAILED

COHORT, MANIFEST, MEASURED, BENCHMARK = "cohort", "manifest.csv", "measurements", "benchmark"
PATIENT_BENCHMARK, PORTRAIT, REPORT = "benchmark_patients", "portrait", "report.html"


@dataclass(frozen=True)
class DemoResult:
    """Where the report is, and the exit code of the worst stage."""

    report: Path
    exit_code: int


def demo(
    *,
    out: Path = Path("demo_output"),
    patients: int = 24,
    seed: int = 0,
    jobs: int | None = None,
    open_report: bool = False,
) -> DemoResult:
    """Run the whole story: photographs, landmarks, features, grades, report.

    The patients are simulated: drawn by this project, with a known weakness on a known side. A
    portrait of an astronaut (NASA, public domain) is measured as well. Nothing is downloaded and
    nothing leaves this computer.

    Parameters
    ----------
    out
        Folder for everything that is made; report.html in it is the place to start.
    patients
        How many simulated patients, 12 or more, so that every grade has two.
    seed
        Another seed gives other patients.
    jobs
        Photographs worked on at the same time; as many as there are processors when not given.
    open_report
        Show the report in the web browser at the end.
    """
    # Each stage brings its own libraries; the ones before should not wait for them.
    from common.workers import default_jobs
    from datasets.prepare import prepare
    from datasets.simulated.cohort import simulate
    from pipeline.doctor import astronaut_portrait
    from pipeline.extract import extract

    if patients < 12:
        raise UserError(f"--patients is {patients}: give 12 or more, so that every grade has two.")
    began = time.monotonic()
    jobs = jobs or default_jobs()

    _stage(1, f"drawing {patients} simulated patients, eight photographs each")
    simulate(out / COHORT, patients=patients, seed=seed, jobs=jobs)
    _stage(2, "reading them as a dataset")
    prepare("meei", out / COHORT, out=out / MANIFEST)
    _stage(3, "measuring every photograph")
    portrait = extract(astronaut_portrait(), out=out / PORTRAIT, overlays=True, jobs=1)
    measured = extract(out / MANIFEST, out=out / MEASURED, overlays=True, jobs=jobs)
    _stage(4, "grading, with whole patients held out")
    from classifiers.benchmark import benchmark

    features = out / MEASURED / "features.csv"
    by_photograph = benchmark(features, out=out / BENCHMARK, seed=seed, jobs=jobs)
    graded = benchmark(features, out=out / PATIENT_BENCHMARK, level="patient", seed=seed, jobs=jobs)
    _stage(5, "writing the report")
    from pipeline.demo_report import demo_report

    report = out / REPORT
    demo_report(
        out,
        portrait=portrait,
        measured=measured,
        graded=graded,
        by_photograph=by_photograph,
        seconds=time.monotonic() - began,
    ).write(report)
    print(f"\nDone in {time.monotonic() - began:.0f} s. Open {report} in a web browser.")
    if open_report:
        webbrowser.open(report.resolve().as_uri())
    stages = (portrait, measured, by_photograph, graded)
    worst = max(stage.exit_code for stage in stages)
    return DemoResult(report=report, exit_code=SOME_FAILED if worst else 0)


def _stage(number: int, what: str) -> None:
    print(f"\n[{number}/5] {what}", file=sys.stderr, flush=True)
