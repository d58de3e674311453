"""The image branch of the demo: the folds of a small HTNet trained beside each other.

One network of this size is trained faster by one processor than by two, so each processor gets a
fold of its own. What was trained is then gathered by `htnet train`, as if it had done it alone.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.grading.folds import read_folds
from common.progress import JobProgress
from common.workers import supervised_map
from pipeline.demo.layout import INNER_FOLDS

# Of the recipe small-cpu, for two dozen patients and a minute: fewer channels and layers, more
# steps, and a lower rate of the heads, which would learn the few patients by heart.
CHANGES = (
    "network.dim=24",
    "network.block_repeats=[1, 1, 1]",
    "training.epochs=50",
    "training.batch_size=16",
    "training.learning_rate=0.002",
    "training.patience=50",
)
_LIMIT_S = 3600.0  # for one fold, on a slow machine


@dataclass(frozen=True)
class NetworkTask:
    """What to train on: the arguments of `htnet train` that are the same in every fold."""

    manifest: Path
    landmarks: Path
    fold_table: Path
    out: Path
    seed: int
    changes: tuple[str, ...] = CHANGES
    inner_folds: int = INNER_FOLDS


def train_folds(task: NetworkTask, *, jobs: int) -> None:
    """Train all folds, `jobs` at a time, and write what `htnet train` writes.

    Raises
    ------
    UserError
        When a fold cannot be trained.
    """
    folds = sorted(read_folds(task.fold_table)["fold"].unique().tolist())
    with JobProgress("folds of the network", total=len(folds)) as progress:
        outcomes = supervised_map(
            _train_one, [(task, int(fold)) for fold in folds], jobs=jobs, start=_nothing,
            limit_s=_LIMIT_S,
        )  # fmt: skip
        for outcome in outcomes:
            if outcome.error:
                raise UserError(f"The network cannot be trained: {outcome.error}")
            progress.advance(ok=True)
    _train(task, only_fold=None)


def _nothing() -> None:
    return None


def _train_one(_: None, item: tuple[NetworkTask, int]) -> None:
    task, fold = item
    _train(task, only_fold=fold)


def _train(task: NetworkTask, *, only_fold: int | None) -> None:
    """Train one fold, or gather all that are trained; its messages would fill the screen."""
    from htnet.commands.train import train

    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        train(
            task.manifest,
            landmarks=task.landmarks,
            out=task.out,
            change=task.changes,
            fold_table=task.fold_table,
            inner_folds=task.inner_folds,
            only_fold=only_fold,
            seed=task.seed,
            threads=1,
        )
