"""The stages of the demo that grade: by measurements, by the network, and by both together.

Each leaves a folder that its command would leave, so that every part can be looked at alone.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

from classifiers.commands.benchmark import BenchmarkResult, benchmark
from classifiers.graders.registry import USUAL
from htnet.commands.train import EvaluateResult
from htnet.palsy.tables import INNER_PATIENT_PREDICTIONS, MODEL, PATIENT_PREDICTIONS
from pipeline.demo import network as demo_network
from pipeline.demo.layout import (
    BENCHMARK,
    COMPARED,
    FOLDS,
    FUSED,
    GEOMETRY,
    INNER_FOLDS,
    MANIFEST,
    MEASURED,
    NETWORK_SCORES,
    NETWORKS,
)
from pipeline.demo.network import NetworkTask, train_folds
from pipeline.joint_report.study import Ingredients


@dataclass(frozen=True)
class GradedByMeasurements:
    """Every grader, and the one that stands for the measurements with its inner answers."""

    everyone: BenchmarkResult
    chosen: BenchmarkResult


def grade_by_measurements(
    features: Path, *, out: Path, graders: tuple[str, ...], grader: str, seed: int, jobs: int
) -> GradedByMeasurements:
    """Compare graders on patients; let one answer inside the training patients as well."""
    named = graders or USUAL
    manifest = out / MANIFEST
    everyone = benchmark(
        features, manifest=manifest, out=out / BENCHMARK, level="patient", graders=named,
        n_folds=FOLDS, seed=seed, jobs=jobs,
    )  # fmt: skip
    folds = out / BENCHMARK / "folds.csv"
    with contextlib.redirect_stdout(io.StringIO()):  # the scores of this grader were just told
        chosen = benchmark(
            features, manifest=manifest, out=out / GEOMETRY, level="patient", graders=(grader,),
            fold_table=folds, inner_predictions=INNER_FOLDS, seed=seed, jobs=jobs,
        )  # fmt: skip
    return GradedByMeasurements(everyone, chosen)


def grade_by_network(out: Path, *, epochs: int, seed: int, jobs: int) -> EvaluateResult:
    """Train a small HTNet on the same folds, and answer the patients that each fold holds out."""
    from htnet.commands.train import evaluate

    task = NetworkTask(
        manifest=out / MANIFEST,
        landmarks=out / MEASURED / "landmarks.csv",
        fold_table=out / BENCHMARK / "folds.csv",
        out=out / NETWORKS,
        seed=seed,
        changes=(*demo_network.CHANGES, f"training.epochs={epochs}", f"training.patience={epochs}"),
        inner_folds=INNER_FOLDS,
    )
    train_folds(task, jobs=jobs)
    return evaluate(
        task.out, task.manifest, landmarks=task.landmarks, out=out / NETWORK_SCORES, seed=seed
    )


def join(out: Path, *, grader: str, seed: int) -> Ingredients:
    """Compare and fuse both; return where everything lies that the joint report is made from."""
    from classifiers.commands.compare import compare
    from classifiers.commands.fuse import fuse

    given = Ingredients(
        tables=(
            out / GEOMETRY / "predictions.csv",
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
            out / GEOMETRY / "inner_predictions.csv",
            out / NETWORKS / INNER_PATIENT_PREDICTIONS,
        ),
        manifest=given.manifest,
        models=given.models,
        seed=seed,
    )
    return given
