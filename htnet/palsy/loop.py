"""Levels taught by Lightning: rows in a seeded order, checkpoints, early stop, progress, logs.

Nothing that a training reads back can run code: the best weights are safetensors, and the state
of the last epoch is read as tensors and plain values alone (`weights_only`).
"""

from __future__ import annotations

import logging
import math
import pickle
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from common.errors import UserError
from common.progress import JobProgress
from htnet.network.htnet import GradingNetwork
from htnet.network.weights import load_weights, save_weights
from htnet.palsy.faces import BATCH, LabelledFaces
from htnet.palsy.grader import PalsyGrader
from htnet.palsy.recipe import Recipe, Training

BEST, LAST = "best.safetensors", "last.ckpt"
"""Weights of the best epoch so far, and everything that a training needs to go on."""


class SeededOrder(Sampler[int]):
    """A new order each epoch, drawn from the seed and the epoch's number alone.

    Rows of one of the `groups` `(n,)` follow each other.
    """

    def __init__(self, groups: NDArray[Any], *, seed: int) -> None:
        self.groups, self.seed, self.epoch = groups, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning says which epoch begins."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self.groups))
        names, first = np.unique(self.groups[order], return_index=True)
        turn = dict(zip(names.tolist(), first.tolist(), strict=True))
        return iter(sorted(order.tolist(), key=lambda row: turn[self.groups[row]]))


def train_levels(
    network: GradingNetwork,
    data: LabelledFaces,
    *,
    train: NDArray[np.intp],
    validation: NDArray[np.intp],
    recipe: Recipe,
    out: Path,
    weights: Path,
    notes: Mapping[str, object],
    seed: int,
    title: str | None,
) -> tuple[GradingNetwork, tuple[float, ...]]:
    """Teach a network everything, levels included; return its best epoch and the score of each.

    The best epoch's `weights` mean that the training is finished: its checkpoints go then. `notes`
    are kept with them.
    """
    grader = PalsyGrader(network, data, recipe=recipe, train=train, seed=seed)
    trainer = make_trainer(recipe.training, out, title=title)
    together = recipe.config(num_classes=data.num_classes).pooling == "patient"
    groups = data.number_asked[train].numpy() if together else np.arange(len(train))
    with quiet():
        trainer.fit(
            grader,
            DataLoader(  # of row numbers: the faces themselves are gathered on the device
                train.tolist(),
                batch_size=recipe.training.batch_size,
                sampler=SeededOrder(groups, seed=seed),
                drop_last=len(train) >= recipe.training.batch_size,
            ),
            DataLoader(validation.tolist(), batch_size=BATCH),
            ckpt_path=found_checkpoint(out),
            weights_only=True,
        )
    if trainer.interrupted:
        raise KeyboardInterrupt
    best, _ = load_weights(out / BEST)
    scores = tuple(grader.scores)
    epoch = int(np.argmin(scores)) + 1
    save_weights(
        best,
        weights,
        notes={**notes, "recipe": recipe.name, "epoch": epoch, "scores": grader.scores},
    )
    if trainer.world_size == 1:  # else another process may still have to read them
        (out / BEST).unlink()
        (out / LAST).unlink(missing_ok=True)
    return best, scores


def make_trainer(settings: Training, out: Path, *, title: str | None) -> L.Trainer:
    """Return Lightning's trainer, which keeps best and last epoch in `out`.

    `title` is what the lines of progress call this training; None shows none.
    """
    callbacks: list[L.Callback] = [
        EarlyStopping("validation_score", mode="min", patience=settings.patience),
        Checkpoints(out, every=settings.save_every),
    ]
    if title is not None:
        callbacks.append(EpochProgress(title))
    with quiet():
        return L.Trainer(
            max_epochs=settings.epochs,
            accelerator=settings.accelerator,
            devices=settings.devices,
            precision=settings.precision,
            accumulate_grad_batches=settings.accumulate,
            gradient_clip_val=settings.clip,
            callbacks=callbacks,
            logger=[
                CSVLogger(out, name="", version="logs"),
                TensorBoardLogger(out, name="", version="logs"),
            ],
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )


def found_checkpoint(out: Path) -> Path | None:
    """Return the state of a training that was stopped here; None when there is none.

    UserError when it cannot be gone on from: damaged, of an earlier version, or holding anything
    but tensors and plain values.
    """
    path = out / LAST
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise UserError(
            f"{path} is no checkpoint that can be trusted: it is damaged, or was changed by "
            "somebody; delete its folder, or choose another --out."
        ) from error
    if "scores" not in state or not (out / BEST).exists():
        raise UserError(
            f"The training in {out} was begun by an earlier version and cannot go on: delete its "
            "folder, or choose another --out."
        )
    return path


class Checkpoints(L.Callback):
    """Keep the best epoch's weights, and the state of every `every`-th epoch to go on from.

    Only whole epochs, or a training that was stopped and resumed would differ from another.
    """

    def __init__(self, out: Path, *, every: int) -> None:
        self.out, self.every = out, every

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write what is due after this epoch."""
        assert isinstance(pl_module, PalsyGrader)
        *before, score = pl_module.scores
        if not math.isfinite(score):
            raise UserError(
                f"The training in {self.out} lost its way in epoch {trainer.current_epoch + 1}: "
                "its answers are no numbers any more; give a lower training.learning_rate."
            )
        if score < min(before, default=math.inf) and trainer.is_global_zero:
            save_weights(pl_module.network, self.out / BEST)
        # After an early stop the epoch before is gone on from, which stops early once more.
        if (trainer.current_epoch + 1) % self.every == 0 and not trainer.should_stop:
            trainer.save_checkpoint(self.out / LAST)


class EpochProgress(L.Callback):
    """Say after each epoch how far a training is, how well it does and how long it will take."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.progress: JobProgress | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin at the first epoch, or where an earlier run stopped."""
        total, done = trainer.max_epochs or 0, trainer.current_epoch
        self.progress = JobProgress(self.title, total=total, done=done, note="")
        self.progress.__enter__()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count one epoch."""
        if self.progress:
            measured = trainer.callback_metrics
            self.progress.note = (
                f"loss {measured['train_loss']:.3f}, "
                f"validation score {measured['validation_score']:.3f}"
            )
            self.progress.advance(ok=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """After an early stop no epoch is left."""
        if self.progress:
            self.progress.total = self.progress.ok

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Write the last line, also of a training that was stopped."""
        if self.progress:
            self.progress.__exit__(None, None, None)
            self.progress = None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's advice about workers and logs off the screen; errors still come."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\..*")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield
