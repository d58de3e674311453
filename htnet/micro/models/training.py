"""One training of one network on clips: the loop that all share, and what is a ROI model's own.

The held-out subject's clips are answered after every epoch, in evaluation mode, and have no say in
anything: the published rule (best epoch on the held-out subject) can then be told from the honest
one on the very same training.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from common.errors import UserError
from common.progress import JobProgress
from htnet.micro.clips.maps import FlowMaps, RegionWindows, RoiKind
from htnet.micro.loso.folds import Fold, check_fold, make_fold
from htnet.micro.models.inputs import NetworkClips, roi_clips
from htnet.micro.models.recipes import FlowTraining, RoiRecipe, RoiTraining
from htnet.micro.models.roi import RoiNetwork, build_roi
from htnet.network.losses import class_weights, cosine, focal

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

    After `patience` epochs without a lower validation loss it ends (None: never early).
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    rates: torch.optim.lr_scheduler.LRScheduler
    precision: str  # `bf16` is mixed arithmetic
    patience: int | None = None
    clip = 0.0  # largest norm of the gradient; 0 leaves it as it is

    def __init__(
        self, clips: NetworkClips, fold: Fold, settings: FlowTraining | RoiTraining, *, device: str
    ) -> None:
        self.clips, self.fold, self.device = clips, fold, device
        self.epochs = settings.epochs

    def batches(self, epoch: int, rows: Rows) -> Iterator[tuple[Tensor, Rows]]:
        """Yield the maps and rows of each step of an epoch."""
        raise NotImplementedError

    def loss(self, logits: Tensor, rows: Rows) -> Tensor:
        """Return the loss of a batch."""
        raise NotImplementedError

    def logits(self, rows: Rows) -> Tensor:
        """Answer rows in evaluation mode: `(m, k)`."""
        raise NotImplementedError

    def after_step(self) -> None:
        """Change the rate after a step."""

    def after_epoch(self) -> None:
        """Change the rate after an epoch."""

    def run(self, *, progress: JobProgress | None = None) -> Trained:
        """Train, choose the epoch on the validation clips, and answer the held-out ones.

        Each epoch counts in `progress`, one that is not needed at the end. UserError when the
        training diverges.
        """
        fold = self.fold
        losses: list[float] = []
        answers = []
        kept, best = self.network.state_dict(), 0
        for epoch in range(self.epochs):
            self._learn(epoch, fold.train)
            answers.append(self.probabilities(fold.held_out))
            if progress:
                progress.advance(ok=True)
            if not len(fold.validation):
                best = epoch
                continue
            losses.append(float(self.loss(self.logits(fold.validation), fold.validation)))
            if not math.isfinite(losses[-1]):
                raise UserError(
                    f"The training has diverged in epoch {epoch + 1}: give a lower "
                    "training.learning_rate, and check the flow."
                )
            if epoch == 0 or losses[-1] < losses[best]:
                kept, best = copy.deepcopy(self.network.state_dict()), epoch
            if self.patience is not None and epoch - best >= self.patience:
                break
        if progress and (left := self.epochs - len(answers)):
            progress.advance(ok=True, count=left)
        if losses:
            self.network.load_state_dict(kept)
        return Trained(self.network.eval(), best, np.stack(answers), tuple(losses))

    def probabilities(self, rows: Rows) -> NDArray[np.float64]:
        """Return class probabilities `(m, k)` of some rows; rows sum to one."""
        if not len(rows):
            return np.empty((0, len(self.clips.classes)))
        found = self.logits(rows).double().softmax(dim=-1)
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


@dataclass(frozen=True)
class RoiModel:
    """A ROI model with a recipe, ready to be trained on any fold.

    `windows` are the region flow of the clips that will be asked for, and perhaps of others; None
    for a model that gets its clips from elsewhere.
    """

    kind: RoiKind
    recipe: RoiRecipe
    windows: RegionWindows | None = None

    @property
    def name(self) -> str:
        """Name as printed in tables."""
        return f"{self.recipe.name} {self.kind}"

    def about(self) -> dict[str, Any]:
        """Return what the answers depend on beside the clips, as plain values."""
        return {"model": self.kind, **self.recipe.as_dict()}

    def clips(self, maps: FlowMaps) -> NetworkClips:
        """Return the region windows of clips, at the recipe's size."""
        assert self.windows is not None
        return roi_clips(self.windows, maps, size=self.recipe.size)

    def fold(self, clips: NetworkClips, held_out: str | None, *, seed: int) -> Fold:
        """Hold a subject out, and draw those who choose the epoch."""
        return make_fold(
            clips.subject, clips.label, held_out=held_out, seed=seed,
            validation_folds=self.recipe.training.validation_folds,
        )  # fmt: skip

    def train(
        self,
        clips: NetworkClips,
        fold: Fold,
        *,
        seed: int,
        number: int = 0,
        device: str = "cpu",
        progress: JobProgress | None = None,
    ) -> Trained:
        """Train until the validation loss has not fallen for `patience` epochs; all by the seed."""
        check_fold(clips.subject, fold)
        config = self.recipe.config(
            model=self.kind,
            num_classes=len(clips.classes),
            regions=clips.regions,
            windows=clips.values.shape[1],
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = build_roi(config)
            network.unit.copy_(clips.unit(fold.train))
            training = _RoiTraining(clips, network, fold, self.recipe, seed=seed, device=device)
            return training.run(progress=progress)


class _RoiTraining(Training):
    """Batches in random order, Adam, focal loss."""

    def __init__(
        self,
        clips: NetworkClips,
        network: RoiNetwork,
        fold: Fold,
        recipe: RoiRecipe,
        *,
        seed: int,
        device: str,
    ) -> None:
        settings = recipe.training
        super().__init__(clips, fold, settings, device=device)
        self.recipe, self.rng = recipe, np.random.default_rng(seed)
        self.precision, self.patience = settings.precision, settings.patience
        self.clip = settings.clip
        k = len(clips.classes)
        weights = torch.ones(k)
        if settings.class_weights:
            weights = class_weights(clips.label[fold.train], num_classes=k)
        self.weights = weights.to(device)
        self.network = network.to(device)
        by_name = dict(network.named_parameters())
        slow = [value for name, value in by_name.items() if name != "region_logits"]
        groups: list[dict[str, Any]] = [{"params": slow, "lr": settings.learning_rate}]
        if "region_logits" in by_name:
            fast = settings.region_rate * settings.learning_rate
            groups.append({"params": [by_name["region_logits"]], "lr": fast})
        self.optimizer = torch.optim.Adam(groups)
        last, steps = settings.last_rate / settings.learning_rate, max(1, settings.epochs - 1)
        self.rates = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda epoch: cosine(epoch / steps, last=last)
        )

    def batches(self, epoch: int, rows: Rows) -> Iterator[tuple[Tensor, Rows]]:
        for some in self._cut(self.rng.permutation(rows)):
            yield self.clips.batch(some, device=self.device), some

    def loss(self, logits: Tensor, rows: Rows) -> Tensor:
        settings = self.recipe.training
        label = torch.from_numpy(self.clips.label[rows]).to(self.device)
        k = logits.shape[1]
        smoothing = settings.label_smoothing
        target = torch.nn.functional.one_hot(label, k) * (1 - smoothing) + smoothing / k
        each = focal(logits, target, gamma=settings.gamma)
        return settings.alpha * (self.weights[label] * each).mean()

    def logits(self, rows: Rows) -> Tensor:
        self.network.eval()
        with torch.inference_mode():
            parts = [
                self.forward(self.clips.batch(some, device=self.device)) for some in self._cut(rows)
            ]
        return torch.cat(parts)

    def after_epoch(self) -> None:
        self.rates.step()

    def _cut(self, rows: Rows) -> Iterator[Rows]:
        size = self.recipe.training.batch_size
        for at in range(0, len(rows), size):
            yield rows[at : at + size]
