"""The stages of the demo that grade: by measurements, by the network, and by both together.

Each leaves a folder that its command would leave, so that every part can be looked at alone.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError
from common.grading.folds import read_folds
from common.progress import JobProgress
from common.workers import supervised_map

if TYPE_CHECKING:
    from classifiers.commands.benchmark import BenchmarkResult
    from htnet.commands.evaluate import EvaluateResult
    from pipeline.joint_report.study import Ingredients

COHORT, MANIFEST, MEASURED, PORTRAIT = "cohort", "manifest.csv", "measurements", "portrait"
BENCHMARK = "benchmark"
NETWORKS, NETWORK_SCORES = "networks", "network_scores"
COMPARED, FUSED, REPORT = "comparison", "fusion", "report.html"

FOLDS, INNER_FOLDS = 4, 3
CHANGES = (
    "network.dim=24",
    "network.block_repeats=[1, 1, 1]",
    "training.batch_size=16",
    "training.learning_rate=0.002",
)
"""Of the recipe small-cpu, for two dozen patients and a minute: fewer channels and layers, more
steps, and a lower rate of the heads, which would learn the few patients by heart."""
_FOLD_LIMIT_S = 3600.0  # for one fold of the network, on a slow machine


def grade_by_measurements(
    out: Path, *, graders: tuple[str, ...], grader: str, seed: int, jobs: int
) -> BenchmarkResult:
    """Compare graders on patients; the chosen one answers inside the training patients as well."""
    from classifiers.commands.benchmark import benchmark
    from classifiers.graders.registry import USUAL

    return benchmark(
        out / MEASURED / "features.csv", manifest=out / MANIFEST, out=out / BENCHMARK,
        level="patient", graders=tuple(dict.fromkeys((*(graders or USUAL), grader))),
        n_folds=FOLDS, inner_predictions=INNER_FOLDS, inner_graders=(grader,), seed=seed, jobs=jobs,
    )  # fmt: skip


def grade_by_network(out: Path, *, epochs: int, seed: int, jobs: int) -> EvaluateResult:
    """Train a small HTNet on the same folds, and answer the patients that each fold holds out.

    One network of this size is trained faster by one processor than by two, so each processor gets
    a fold of its own; `htnet train` then gathers them. UserError when a fold cannot be trained.
    """
    from htnet.commands.evaluate import evaluate

    changes = (*CHANGES, f"training.epochs={epochs}", f"training.patience={epochs}")
    folds = sorted(read_folds(out / BENCHMARK / "folds.csv")["fold"].unique().tolist())
    with JobProgress("folds of the network", total=len(folds)) as progress:
        outcomes = supervised_map(
            _train_one, [(out, changes, seed, int(fold)) for fold in folds], jobs=jobs,
            start=_nothing, limit_s=_FOLD_LIMIT_S,
        )  # fmt: skip
        for outcome in outcomes:
            if outcome.error:
                raise UserError(f"The network cannot be trained: {outcome.error}")
            progress.advance(ok=True)
    _train(out, changes=changes, seed=seed, only_fold=None)
    return evaluate(
        out / NETWORKS, out / MANIFEST, landmarks=out / MEASURED / "landmarks.csv",
        out=out / NETWORK_SCORES, seed=seed,
    )  # fmt: skip


def _nothing() -> None:
    return None


def _train_one(_: None, item: tuple[Path, tuple[str, ...], int, int]) -> None:
    out, changes, seed, fold = item
    _train(out, changes=changes, seed=seed, only_fold=fold)


def _train(out: Path, *, changes: tuple[str, ...], seed: int, only_fold: int | None) -> None:
    """Train one fold, or gather all that are trained; its messages would fill the screen."""
    from htnet.commands.train import train

    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        train(
            out / MANIFEST,
            landmarks=out / MEASURED / "landmarks.csv",
            out=out / NETWORKS,
            change=changes,
            fold_table=out / BENCHMARK / "folds.csv",
            inner_folds=INNER_FOLDS,
            only_fold=only_fold,
            seed=seed,
            threads=1,
        )


def join(out: Path, *, grader: str, seed: int) -> Ingredients:
    """Compare and fuse both; return where everything lies that the joint report is made from."""
    from classifiers.commands.compare import compare
    from classifiers.commands.fuse import fuse
    from htnet.commands.evaluate import PATIENT_PREDICTIONS
    from htnet.palsy.answers import MODEL
    from htnet.palsy.fold_training import INNER_PATIENT_PREDICTIONS
    from pipeline.joint_report.study import Ingredients

    given = Ingredients(
        tables=(
            out / BENCHMARK / "predictions.csv",
            out / NETWORK_SCORES / PATIENT_PREDICTIONS,
        ),
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
