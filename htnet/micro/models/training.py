"""One training of one network on clips: the loop that HTNet, the residual network and ROI share.

The held-out subject's clips are answered after every epoch, in evaluation mode, and have no say in
anything: the published rule (best epoch on the held-out subject) can then be told from the honest
one on the very same training.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from common.errors import UserError
from common.progress import JobProgress
from htnet.micro.loso.folds import Fold
from htnet.micro.models.inputs import NetworkClips
from htnet.micro.models.recipes import FlowTraining, RoiTraining
from htnet.network.losses import class_weights

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Trained:
    """A network with the weights of the honest epoch, in evaluation mode, and how it went.

    The honest epoch, counted from 0, is that of the lowest validation loss, or the last. `answers`
    are `(epochs, m, k)` class probabilities of the held-out clips after each epoch, `losses` the
    validation loss by epoch, empty without validation clips.
    """

    network: nn.Module
    epoch: int
    answers: NDArray[np.float64]
    losses: tuple[float, ...] = ()


class Training:
    """What the loop needs of a network; subclasses say what is shown, and what is lost.

    After `patience` epochs without a lower validation loss the training ends (None: never early).
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    rates: torch.optim.lr_scheduler.LRScheduler
    precision: str  # `bf16` is mixed arithmetic
    patience: int | None = None

    def __init__(
        self,
        clips: NetworkClips,
        fold: Fold,
        settings: FlowTraining | RoiTraining,
        *,
        device: str,
    ) -> None:
        self.clips, self.fold, self.device = clips, fold, device
        self.epochs, self.clip = settings.epochs, settings.clip
        weights = torch.ones(len(clips.classes))
        if settings.class_weights:
            weights = class_weights(clips.label[fold.train], num_classes=len(clips.classes))
        self.weights = weights.to(device)

    def batches(self, epoch: int, rows: Rows) -> Iterator[tuple[Tensor, Rows]]:
        """Yield the maps and rows of each step of an epoch."""
        raise NotImplementedError

    def loss(self, logits: Tensor, rows: Rows) -> Tensor:
        """Return the loss of a batch."""
        raise NotImplementedError

    def logits(self, rows: Rows) -> Tensor:
        """Answer rows in evaluation mode: `(ways, m, k)`, of which the mean probability counts."""
        raise NotImplementedError

    def after_step(self) -> None:
        """Change the rate after a step."""

    def after_epoch(self) -> None:
        """Change the rate after an epoch."""

    def run(self, *, told: Callable[[], None] = lambda: None) -> Trained:
        """Train, choose the epoch on the validation clips, and answer the held-out ones.

        `told` is called after every epoch. UserError when the training diverges.
        """
        fold = self.fold
        losses: list[float] = []
        answers = []
        kept, best = self.network.state_dict(), 0
        for epoch in range(self.epochs):
            self._learn(epoch, fold.train)
            answers.append(self.probabilities(fold.held_out))
            told()
            if not len(fold.validation):
                best = epoch
                continue
            losses.append(float(self.loss(self.logits(fold.validation)[0], fold.validation)))
            if not math.isfinite(losses[-1]):
                raise UserError(
                    f"The training has diverged in epoch {epoch + 1}: give a lower "
                    "training.learning_rate, and check the flow."
                )
            if epoch == 0 or losses[-1] < losses[best]:
                kept, best = copy.deepcopy(self.network.state_dict()), epoch
            if self.patience is not None and epoch - best >= self.patience:
                break
        if losses:
            self.network.load_state_dict(kept)
        return Trained(self.network.eval(), best, np.stack(answers), tuple(losses))

    def probabilities(self, rows: Rows) -> NDArray[np.float64]:
        """Return class probabilities `(m, k)` of some rows; rows sum to one."""
        if not len(rows):
            return np.empty((0, len(self.clips.classes)))
        found = self.logits(rows).double().softmax(dim=-1).mean(dim=0)
        return np.asarray(found.cpu().numpy())

    def forward(self, maps: Tensor) -> Tensor:
        """Return logits by the recipe's arithmetic, never narrower than float32."""
        enabled = self.precision == "bf16"
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=enabled):
            logits: Tensor = self.network(maps)
        return logits if logits.dtype == torch.float64 else logits.float()

    def _learn(self, epoch: int, rows: Rows) -> None:
        self.network.train()
        for maps, some in self.batches(epoch, rows):
            loss = self.loss(self.forward(maps), some)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if self.clip:
                nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
            self.optimizer.step()
            self.after_step()
        self.after_epoch()


class Standardised(nn.Module):
    """A network behind the standardisation of its training clips, by mean and deviation `(3,)`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(n, 3, S, S)` to logits `(n, k)`."""
        shown = (maps - self.mean[:, None, None]) / self.deviation[:, None, None]
        return self.network(shown)


@contextmanager
def each_epoch(progress: JobProgress, *, at_most: int) -> Iterator[Callable[[], None]]:
    """Give what a training calls after every epoch; those it does not need count at its end."""
    told = 0

    def advance() -> None:
        nonlocal told
        told += 1
        progress.advance(ok=True)

    yield advance
    for _ in range(at_most - told):
        progress.advance(ok=True)
