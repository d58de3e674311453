"""A small residual network: what plain convolutions make of the same maps, or of the apex alone."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from htnet.micro.models.configurations import ResidualConfig


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
        logits: Tensor = self.head(self.stages(self.stem(maps)).mean(dim=(2, 3)))
        return logits


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
        out: Tensor = torch.relu(self.convolutions(x) + self.past(x))
        return out
