"""How a ROI model is trained on some subjects, its epoch chosen on others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from htnet.micro.clips.maps import FlowMaps, RegionWindows, RoiKind
from htnet.micro.loso.folds import Fold, check_fold, make_fold
from htnet.micro.models.inputs import NetworkClips, mirrored, roi_clips
from htnet.micro.models.recipes import RoiAugmentation, RoiRecipe
from htnet.micro.models.roi import RoiNetwork, build_roi
from htnet.micro.models.training import Rows, Trained, Training
from htnet.network.losses import cosine, focal


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

    @property
    def epochs(self) -> int:
        """Epochs of a training at most."""
        return self.recipe.training.epochs

    def about(self) -> dict[str, Any]:
        """Return what the answers depend on beside the clips, as plain values."""
        return {"model": self.kind, **self.recipe.as_dict()}

    def clips(self, maps: FlowMaps) -> NetworkClips:
        """Return the region windows of clips, at the recipe's size."""
        assert self.windows is not None
        return roi_clips(self.windows, maps, size=self.recipe.size)

    def fold(self, clips: NetworkClips, held_out: str | None, *, seed: int) -> Fold:
        """Hold a subject out, and draw those who choose the epoch."""
        parts = self.recipe.training.validation_folds
        return make_fold(
            clips.subject, clips.label, held_out=held_out, validation_folds=parts, seed=seed
        )

    def train(
        self,
        clips: NetworkClips,
        fold: Fold,
        *,
        seed: int,
        number: int = 0,
        device: str = "cpu",
        told: Callable[[], None] = lambda: None,
    ) -> Trained:
        """Train until the validation subjects' loss has not fallen for `patience` epochs.

        Everything random follows from the seed, nothing from the fold's `number`.
        """
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
            return training.run(told=told)


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
            maps = self.clips.batch(some, device=self.device)
            yield varied(maps, self.recipe.augmentation, self.clips, rng=self.rng), some

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
        return torch.cat(parts)[None]

    def after_epoch(self) -> None:
        self.rates.step()

    def _cut(self, rows: Rows) -> Iterator[Rows]:
        size = self.recipe.training.batch_size
        for at in range(0, len(rows), size):
            yield rows[at : at + size]


def varied(
    maps: Tensor, augmentation: RoiAugmentation, clips: NetworkClips, *, rng: np.random.Generator
) -> Tensor:
    """Return `(n, windows, regions, 3, H, W)` with some clips mirrored and magnitudes changed."""
    if augmentation.mirror:
        which = torch.from_numpy(rng.random(len(maps)) < augmentation.mirror).to(maps.device)
        turned = mirrored(maps, regions=clips.regions, scaling=clips.scaling)
        maps = torch.where(which[:, None, None, None, None, None], turned, maps)
    if augmentation.magnitude:
        reach = augmentation.magnitude
        factor = torch.from_numpy(rng.uniform(1 - reach, 1 + reach, len(maps)).astype(np.float32))
        maps = maps * factor.to(maps.device)[:, None, None, None, None, None]
    return maps
