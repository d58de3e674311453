"""HTNet on flow, and the small residual network beside it: how one of them is built and trained.

The folds of a leave-one-subject-out run are trained one by one; everything random in a fold follows
from the seed, the fold's number and the epoch, so that the order of the folds changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from common.progress import JobProgress
from htnet.micro.clips.maps import FlowMaps
from htnet.micro.loso.folds import Fold, check_fold
from htnet.micro.models.inputs import NetworkClips, apex_clips, flow_clips
from htnet.micro.models.recipes import FlowRecipe, ResidualConfig, ResidualRecipe
from htnet.micro.models.training import Rows, Trained, Training
from htnet.network.htnet import HTNet
from htnet.network.losses import rate_at
from htnet.recipe import read_recipe

Sees = Literal["flow", "apex"]


@dataclass(frozen=True)
class FlowModel:
    """HTNet or the residual network (the recipe's kind says which), to be trained on any fold.

    It sees the `flow` from onset to apex, or the picture of the `apex` alone.
    """

    recipe: FlowRecipe
    sees: Sees = "flow"

    @property
    def name(self) -> str:
        """Name as printed in tables."""
        if isinstance(self.recipe, ResidualRecipe):
            return f"{self.recipe.name} {self.sees}"
        return f"htnet-{self.recipe.name} {self.recipe.training.input}"

    def about(self) -> dict[str, Any]:
        """Return what the answers depend on beside the clips, as plain values."""
        return {"sees": self.sees, **self.recipe.as_dict()}

    def clips(self, maps: FlowMaps) -> NetworkClips:
        """Return the clips as the network reads them."""
        size = self.recipe.config(num_classes=2).image_size
        if self.sees == "apex":
            return apex_clips(maps, image_size=size)
        return flow_clips(maps, name=self.recipe.training.input, image_size=size)

    def fold(self, clips: NetworkClips, held_out: str | None, *, seed: int) -> Fold:
        """Hold a subject out; None holds nobody out. There is nobody to validate."""
        test = clips.subject == held_out
        return Fold(np.flatnonzero(~test), np.arange(0), np.flatnonzero(test))

    def train(
        self,
        clips: NetworkClips,
        fold: Fold,
        *,
        seed: int,
        number: int,
        device: str = "cpu",
        progress: JobProgress | None = None,
    ) -> Trained:
        """Train one fold of `clips`, whose number decides the order of the clips.

        All folds begin with the same weights, which follow from the seed.
        """
        check_fold(clips.subject, fold, validated=False)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = self.build(num_classes=len(clips.classes))
            training = _FlowTraining(
                clips, network, fold, self.recipe, place=(seed, number), device=device
            )
            return training.run(progress=progress)

    def build(self, *, num_classes: int) -> nn.Module:
        """Build the network for a number of classes."""
        config = self.recipe.config(num_classes=num_classes)
        if isinstance(config, ResidualConfig):
            return ResidualNetwork(config)
        return HTNet.from_config(config)


class _FlowTraining(Training):
    """Every clip once an epoch in steps of equal length, AdamW, cross-entropy."""

    def __init__(
        self,
        clips: NetworkClips,
        network: nn.Module,
        fold: Fold,
        recipe: FlowRecipe,
        *,
        place: tuple[int, int],  # seed and number of the fold
        device: str,
    ) -> None:
        settings = recipe.training
        super().__init__(clips, fold, settings, device=device)
        self.settings, self.place = settings, place
        self.precision = settings.arithmetic(torch.device(device).type)
        dtype = torch.float64 if self.precision == "float64" else torch.float32
        maps = clips.batch(np.arange(len(clips))).to(dtype)
        self.shown = maps.to(device)  # (n, 3, S, S)
        deviation, mean = torch.std_mean(maps[fold.train].double(), dim=(0, 2, 3), correction=0)
        self.network = Standardised(
            network.to(dtype), mean.to(dtype), deviation.clamp_min(1e-12).to(dtype)
        ).to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.steps = math.ceil(_most_learned(clips, fold) / settings.batch_size)
        total = settings.epochs * self.steps
        rising, falls = round(settings.warmup * total), settings.schedule == "cosine"
        self.rates = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: rate_at(step, rising=rising, total=total, falls=falls)
        )

    def batches(self, epoch: int, rows: Rows) -> Iterator[tuple[Tensor, Rows]]:
        for some in epoch_order(rows, place=self.place, epoch=epoch, steps=self.steps):
            yield self.shown[some], some

    def loss(self, logits: Tensor, rows: Rows) -> Tensor:
        label = torch.from_numpy(self.clips.label[rows]).to(self.device)
        return nn.functional.cross_entropy(logits, label, reduction="none").mean()

    def logits(self, rows: Rows) -> Tensor:
        self.network.eval()
        with torch.inference_mode():
            return self.forward(self.shown[rows])

    def after_step(self) -> None:
        self.rates.step()


def epoch_order(rows: Rows, *, place: tuple[int, int], epoch: int, steps: int) -> list[Rows]:
    """Return the rows of each step of an epoch; they follow from seed and fold (`place`) alone."""
    return np.array_split(np.random.default_rng([*place, epoch]).permutation(rows), steps)


def flow_model(
    recipe: str | Path, *, inputs: str | None = None, changes: tuple[str, ...] = ()
) -> FlowModel:
    """Return HTNet with a recipe by name or file; `inputs` None takes the recipe's own."""
    more = () if inputs is None else (f"training.input={inputs}",)
    return FlowModel(read_recipe(FlowRecipe, recipe, changes=(*changes, *more)))


def residual_model(sees: Sees) -> FlowModel:
    """Return the residual network on flow or on the apex picture."""
    return FlowModel(read_recipe(ResidualRecipe, "residual"), sees)


def _most_learned(clips: NetworkClips, fold: Fold) -> int:
    """Return the clips of the largest training of a run: every fold takes as many steps."""
    if not len(fold.held_out):
        return len(fold.train)
    _, counts = np.unique(clips.subject, return_counts=True)
    return int(len(clips) - counts.min())


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


class ResidualNetwork(nn.Module):
    """A small residual network (He et al. 2016): what a plain network makes of the same maps."""

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        first, *_ = config.channels
        self.stem = nn.Conv2d(3, first, 3, padding=1, bias=False)
        steps = [(first, first), *pairwise(config.channels)]
        self.stages = nn.Sequential(*(ResidualBlock(before, after) for before, after in steps))
        self.head = nn.Linear(config.channels[-1], config.num_classes)

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(n, 3, S, S)` to logits `(n, k)`."""
        return self.head(self.stages(self.stem(maps)).mean(dim=(2, 3)))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions added to their input, which is halved and widened to fit."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.past = nn.Conv2d(before, after, 1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(n, before, h, w)` to `(n, after, h / 2, w / 2)`."""
        return torch.relu(self.convolutions(x) + self.past(x))
