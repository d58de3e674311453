"""The loop that Lightning runs: rows in a seeded order, checkpoints, early stop, logs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning as L  # noqa: N812
import numpy as np
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from htnet.recipe import Training


class Rows(Dataset[int]):
    """Row numbers; the faces themselves are gathered on the device."""

    def __init__(self, rows: NDArray[np.intp]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int) -> int:
        return int(self.rows[at])


class SeededOrder(Sampler[int]):
    """A new order each epoch, drawn from the seed and the epoch's number alone."""

    def __init__(self, count: int, *, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning says which epoch begins."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        return iter(rng.permutation(self.count).tolist())


def make_trainer(
    settings: Training, out: Path, *, stop_after: int | None
) -> tuple[L.Trainer, ModelCheckpoint]:
    """Return Lightning's trainer, and the callback that keeps the best epoch."""
    best = ModelCheckpoint(
        dirpath=out,
        filename="best",
        monitor="validation_score",
        mode="min",
        save_top_k=1,
        save_last=True,
        save_on_train_epoch_end=True,  # whole epochs, or a resumed training would differ
        enable_version_counter=False,
    )
    stop = EarlyStopping("validation_score", mode="min", patience=settings.patience)
    callbacks: list[L.Callback] = [best, stop]
    if stop_after is not None:
        callbacks.append(StopAfter(stop_after))
    with quiet():
        trainer = L.Trainer(
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
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    return trainer, best


class StopAfter(L.Callback):
    """End a training after some epochs, with its checkpoint in place."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Stop once enough epochs are done."""
        if trainer.current_epoch + 1 >= self.epochs:
            trainer.should_stop = True


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
