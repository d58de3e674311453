"""Train a ROI model on some subjects, choose its epoch on others, and watch the held-out ones.

The held-out subject's clips are answered after every epoch, in evaluation mode, and have no say in
anything: the published rule (best epoch on the held-out subject) can then be told from the honest
one on the very same training.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from common.errors import UserError
from htnet.micro.roi_clips import RoiClips, mirrored
from htnet.micro.roi_configuration import RoiModel
from htnet.micro.roi_folds import Fold, check_fold
from htnet.micro.roi_losses import class_weights, focal_loss
from htnet.micro.roi_models import RoiNetwork, build_roi
from htnet.micro.roi_recipe import RoiAugmentation, RoiRecipe, RoiTraining


@dataclass(frozen=True)
class RoiTrained:
    """A trained model and how it went.

    Attributes
    ----------
    network
        At its best epoch, in evaluation mode.
    best_epoch
        Counted from 1; lowest validation loss.
    losses
        Validation loss by epoch.
    answers
        `(epochs, m, k)` class probabilities of the held-out clips after each epoch.
    """

    network: RoiNetwork
    best_epoch: int
    losses: tuple[float, ...]
    answers: NDArray[np.float64]


def train_roi(
    clips: RoiClips,
    fold: Fold,
    *,
    model: RoiModel,
    recipe: RoiRecipe,
    seed: int,
    device: str = "cpu",
) -> RoiTrained:
    """Train until the validation subjects' loss has not fallen for `patience` epochs.

    Parameters
    ----------
    clips
        Region maps at the recipe's size.
    fold
        Who learns, who chooses, who is held out.
    model
        `temporal`, `graph` or `hybrid`.
    recipe
        Settings of network, augmentation and training.
    seed
        Of weights, order, dropout and augmentation.
    device
        `cpu` or `cuda`.

    Raises
    ------
    UserError
        When a subject is in two parts of the fold, sizes do not fit, or the training diverges.
    """
    check_fold(clips, fold)
    settings = recipe.training
    config = recipe.config(
        model=model,
        num_classes=len(clips.classes),
        regions=clips.regions,
        windows=clips.values.shape[1],
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_roi(config)
        network.unit.copy_(clips.unit(fold.train))
        network = network.to(device)
        weights = torch.ones(len(clips.classes))
        if settings.class_weights:
            weights = class_weights(clips.label[fold.train], num_classes=len(clips.classes))
        learner = _Learner(clips, network, weights.to(device), recipe, seed=seed, device=device)
        losses: list[float] = []
        answers = []
        kept, best = network.state_dict(), 0
        for epoch in range(settings.epochs):
            learner.epoch(epoch, fold.train)
            losses.append(learner.validation_loss(fold.validation))
            if not math.isfinite(losses[-1]):
                raise UserError(
                    f"The training of the {model} model has diverged in epoch {epoch + 1}: give a "
                    f"training.learning_rate below {settings.learning_rate:g}, and check the flow."
                )
            answers.append(answer_roi(network, clips, fold.held_out, settings, device=device))
            if epoch == 0 or losses[-1] < losses[best]:
                kept, best = copy.deepcopy(network.state_dict()), epoch
            if epoch - best >= settings.patience:
                break
    network.load_state_dict(kept)
    return RoiTrained(network.eval(), best + 1, tuple(losses), np.stack(answers))


def answer_roi(
    network: RoiNetwork,
    clips: RoiClips,
    rows: NDArray[np.intp],
    settings: RoiTraining,
    *,
    device: str = "cpu",
) -> NDArray[np.float64]:
    """Return class probabilities `(m, k)` of some rows; rows sum to one."""
    parts = [_logits(network, clips, some, settings, device) for some in _batches(rows, settings)]
    if not parts:
        return np.empty((0, network.config.num_classes))
    found: NDArray[np.float64] = torch.cat(parts).double().softmax(dim=1).cpu().numpy()
    return found


class _Learner:
    """One training: the optimiser, its falling rate, and what is drawn from the seed."""

    def __init__(
        self,
        clips: RoiClips,
        network: RoiNetwork,
        weights: Tensor,
        recipe: RoiRecipe,
        *,
        seed: int,
        device: str,
    ) -> None:
        self.clips, self.network, self.weights = clips, network, weights
        self.settings, self.augmentation = recipe.training, recipe.augmentation
        self.device = device
        self.rng = np.random.default_rng(seed)
        self.label = torch.from_numpy(clips.label).to(device)
        rate = self.settings.learning_rate
        by_name = dict(network.named_parameters())
        slow = [value for name, value in by_name.items() if name != "region_logits"]
        groups = [{"params": slow, "lr": rate}]
        if "region_logits" in by_name:
            fast = self.settings.region_rate * rate
            groups.append({"params": [by_name["region_logits"]], "lr": fast})
        self.optimiser = torch.optim.Adam(groups)
        self.rates = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._share_of_rate)

    def epoch(self, number: int, rows: NDArray[np.intp]) -> None:
        """Learn from each row once."""
        self.network.train()
        for some in _batches(self.rng.permutation(rows), self.settings):
            maps = varied(
                self.clips.batch(some, device=self.device),
                self.augmentation,
                regions=self.clips.regions,
                rng=self.rng,
            )
            with _precision(self.settings, self.device):
                logits = self.network(maps)
            loss = self._loss(logits.float(), some)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
            self.optimiser.step()
        self.rates.step()

    def validation_loss(self, rows: NDArray[np.intp]) -> float:
        """Return the loss of the validation rows, weighted as in training."""
        logits = [
            _logits(self.network, self.clips, some, self.settings, self.device)
            for some in _batches(rows, self.settings)
        ]
        return float(self._loss(torch.cat(logits), rows))

    def _loss(self, logits: Tensor, rows: NDArray[np.intp]) -> Tensor:
        return focal_loss(
            logits,
            self.label[torch.from_numpy(rows)],
            weights=self.weights,
            gamma=self.settings.gamma,
            alpha=self.settings.alpha,
            smoothing=self.settings.label_smoothing,
        )

    def _share_of_rate(self, epoch: int) -> float:
        """Half a cosine from 1 to last_rate / learning_rate at the last epoch."""
        last = self.settings.last_rate / self.settings.learning_rate
        done = epoch / max(1, self.settings.epochs - 1)
        return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def varied(
    maps: Tensor,
    augmentation: RoiAugmentation,
    *,
    regions: tuple[str, ...],
    rng: np.random.Generator,
) -> Tensor:
    """Return `(n, windows, regions, 3, H, W)` with some clips mirrored and magnitudes changed."""
    if augmentation.mirror:
        which = torch.from_numpy(rng.random(len(maps)) < augmentation.mirror).to(maps.device)
        maps = torch.where(which[:, None, None, None, None, None], mirrored(maps, regions), maps)
    if augmentation.magnitude:
        reach = augmentation.magnitude
        factor = torch.from_numpy(rng.uniform(1 - reach, 1 + reach, len(maps)).astype(np.float32))
        maps = maps * factor.to(maps.device)[:, None, None, None, None, None]
    return maps


def _logits(
    network: RoiNetwork,
    clips: RoiClips,
    rows: NDArray[np.intp],
    settings: RoiTraining,
    device: str,
) -> Tensor:
    network.eval()
    with torch.inference_mode(), _precision(settings, device):
        logits: Tensor = network(clips.batch(rows, device=device)).float()
    return logits


def _precision(settings: RoiTraining, device: str) -> torch.autocast:
    return torch.autocast(
        torch.device(device).type, dtype=torch.bfloat16, enabled=settings.precision == "bf16"
    )


def _batches(rows: NDArray[np.intp], settings: RoiTraining) -> Iterator[NDArray[np.intp]]:
    for at in range(0, len(rows), settings.batch_size):
        yield rows[at : at + settings.batch_size]
