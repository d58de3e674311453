"""The command `demo`: the whole story on simulated patients and one portrait, into a report."""

from __future__ import annotations

import contextlib
import io
import sys
import time
import webbrowser
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import SOME_FAILED, UserError

if TYPE_CHECKING:
    from classifiers.commands.benchmark import BenchmarkResult
    from htnet.commands.evaluate import EvaluateResult
    from pipeline.joint_report.study import Ingredients

COHORT, MANIFEST, MEASURED, PORTRAIT = "cohort", "manifest.csv", "measurements", "portrait"
BENCHMARK, NETWORKS, NETWORK_SCORES = "benchmark", "networks", "network_scores"
COMPARED, FUSED = "comparison", "fusion"
FEWEST_PATIENTS = 24  # every grade in every inner training part
GRADER = "logistic"
"""The grader that stands for the measurements: the quickest, since it learns four times as often
as the others, for fusion."""

SHOWN = ("svm", "xgboost", "mlp", GRADER)
FOLDS, INNER_FOLDS = 4, 3
WIDTH, HEIGHT = 450, 600  # px of a drawn photograph, from which no face is larger than it is read

STAGES = (
    ("drawing the patients", 0.17),
    ("reading them as a dataset", 0.01),
    ("measuring every photograph", 0.13),
    ("grading by measurements", 0.31),
    ("grading by the image network", 0.18),
    ("comparing and fusing both", 0.04),
    ("writing the report", 0.16),
)
"""What is done, and the share of the whole time that each takes."""


@dataclass(frozen=True)
class DemoResult:
    """Where the report is, and the exit code of the worst stage."""

    report: Path
    exit_code: int


@dataclass
class _Clock:
    """Says what is done now and about how long the rest takes."""

    began: float = field(default_factory=time.monotonic)
    at: int = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def next(self) -> None:
        done = sum(share for _, share in STAGES[: self.at])
        left = f", about {self.seconds * (1 - done) / done:.0f} s left" if done > 0.05 else ""
        self.at += 1
        what = STAGES[self.at - 1][0]
        print(f"\n[{self.at}/{len(STAGES)}] {what}{left}", file=sys.stderr, flush=True)


def demo(
    *,
    out: Path = Path("demo_output"),
    patients: int = FEWEST_PATIENTS,
    graders: tuple[str, ...] = (),
    grader: str = GRADER,
    seed: int = 0,
    jobs: int | None = None,
    open_report: bool = False,
) -> DemoResult:
    """Run the whole story: photographs, measurements, network, both together, report.

    The patients are simulated: drawn by this project, with a known weakness on a known side. A
    portrait of an astronaut (NASA, public domain) is measured as well. Nothing is downloaded and
    nothing leaves this computer.

    Parameters
    ----------
    out
        Folder for everything that is made; report.html in it is the place to start.
    patients
        How many simulated patients, 24 or more: the network's inner folds need every grade.
    graders
        Which graders to compare on the measurements, of those of `benchmark`; a support vector
        machine, boosted trees, a neural network and a logistic regression when not given.
    grader
        Which of them is fused with the network; decide before you see the scores.
    seed
        Another seed gives other patients.
    jobs
        Photographs or folds worked on at the same time; as many as there are processors when not
        given.
    open_report
        Show the report in the web browser at the end.
    """
    # Each stage brings its own libraries; the ones before should not wait for them.
    from common.workers import default_jobs
    from datasets.commands.prepare import prepare
    from datasets.simulated.cohort import simulate
    from features.commands.extract import extract
    from pipeline.commands.doctor import astronaut_portrait

    if patients < FEWEST_PATIENTS:
        raise UserError(
            f"--patients is {patients}: give {FEWEST_PATIENTS} or more, so that the network can "
            "learn every grade in every fold."
        )
    jobs = jobs or default_jobs()
    clock = _Clock()
    manifest, report = out / MANIFEST, out / "report.html"
    clock.next()
    simulate(out / COHORT, patients=patients, seed=seed, jobs=jobs, width=WIDTH, height=HEIGHT)
    clock.next()
    prepare("meei", out / COHORT, out=manifest)
    clock.next()
    portrait = extract(astronaut_portrait(), out=out / PORTRAIT, overlays=True, jobs=1)
    measured = extract(manifest, out=out / MEASURED, overlays=True, jobs=jobs)
    clock.next()
    graded = _grade_by_measurements(out, graders=graders, grader=grader, seed=seed, jobs=jobs)
    clock.next()
    network = _grade_by_network(out, seed=seed)
    clock.next()
    given = _join(out, grader=grader, seed=seed)
    clock.next()
    from pipeline.demo_report import demo_report

    beside = {
        "the graders of the measurements": BENCHMARK,
        "measurements and network compared": COMPARED,
        "ways of fusing": FUSED,
    }
    demo_report(
        given, beside={words: f"{folder}/report.html" for words, folder in beside.items()},
        portrait=portrait, measured=measured, graded=graded, seed=seed,
    ).write(report)  # fmt: skip
    print(
        f"\nDone in {clock.seconds:.0f} s. Open {report} in a web browser: the first page says in "
        "a minute what was done and how well."
    )
    if open_report:
        webbrowser.open(report.resolve().as_uri())
    codes = (
        portrait.exit_code, measured.exit_code, graded.exit_code,
        network.exit_code,
    )  # fmt: skip
    return DemoResult(report=report, exit_code=SOME_FAILED if any(codes) else 0)


def _grade_by_measurements(
    out: Path, *, graders: tuple[str, ...], grader: str, seed: int, jobs: int
) -> BenchmarkResult:
    """Compare graders on patients; the chosen one answers inside the training patients as well."""
    from classifiers.commands.benchmark import benchmark

    return benchmark(
        out / MEASURED / "features.csv", manifest=out / MANIFEST, out=out / BENCHMARK,
        level="patient", graders=tuple(dict.fromkeys((*(graders or SHOWN), grader))),
        n_folds=FOLDS, inner_predictions=INNER_FOLDS, inner_graders=(grader,), seed=seed, jobs=jobs,
    )  # fmt: skip


def _grade_by_network(out: Path, *, seed: int) -> EvaluateResult:
    """Train the network on the same folds, and answer the patients that each fold holds out.

    Its messages would fill the screen.
    """
    from htnet.commands.evaluate import evaluate
    from htnet.commands.train import train

    landmarks = out / MEASURED / "landmarks.csv"
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        train(
            out / MANIFEST, landmarks=landmarks, out=out / NETWORKS, inner_folds=INNER_FOLDS,
            fold_table=out / BENCHMARK / "folds.csv", seed=seed,
        )  # fmt: skip
    return evaluate(
        out / NETWORKS, out / MANIFEST, landmarks=landmarks, out=out / NETWORK_SCORES, seed=seed
    )


def _join(out: Path, *, grader: str, seed: int) -> Ingredients:
    """Compare and fuse both; return where everything lies that the joint report is made from."""
    from classifiers.commands.compare import compare
    from classifiers.commands.fuse import fuse
    from htnet.commands.evaluate import PATIENT_PREDICTIONS
    from htnet.palsy.answers import MODEL
    from htnet.palsy.fold_training import INNER_PATIENT_PREDICTIONS
    from pipeline.joint_report.study import Ingredients

    given = Ingredients(
        tables=(out / BENCHMARK / "predictions.csv", out / NETWORK_SCORES / PATIENT_PREDICTIONS),
        fused=out / FUSED / "predictions.csv",
        features=out / MEASURED / "features.csv",
        manifest=out / MANIFEST,
        networks=out / NETWORKS,
        models=(grader, MODEL),
    )
    compare(
        *given.tables, out=out / COMPARED, manifest=given.manifest, models=given.models, seed=seed
    )
    fuse(
        *given.tables,
        out=out / FUSED,
        inner=(
            out / BENCHMARK / "inner_predictions.csv",
            out / NETWORKS / INNER_PATIENT_PREDICTIONS,
        ),
        manifest=given.manifest,
        models=given.models,
        seed=seed,
    )
    return given
