"""What each network of a stack is shown: its own order of its own clips, losses and answers.

Everything random in a fold follows from the seed, the fold's number and the epoch, whichever folds
are trained beside it. All clips stay on the device; a fold is a list of rows of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from htnet.micro.recipe import MicroRecipe
from htnet.micro.stacked_clips import ClipTable
from htnet.micro.stacked_network import StackedHTNet


@dataclass(frozen=True, eq=False)
class Member:
    """One network of a stack.

    Attributes
    ----------
    fold
        Number of the fold; with the seed it decides the order of the clips.
    seed
        Of weights, order and augmentation. All folds of a seed begin with the same weights.
    train
        Rows of the clips that it learns from.
    answered
        Rows of the clips that it answers after each epoch, none of them in `train`; may be none.
    """

    fold: int
    seed: int
    train: NDArray[np.int64]
    answered: NDArray[np.int64]


def epoch_order(
    member: Member, epoch: int, *, steps: int, variants: int
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]], np.random.Generator]:
    """Return one epoch of one fold: rows and variants of each step, and the generator after them.

    The numbers follow from seed, fold and epoch alone.
    """
    rng = np.random.default_rng([member.seed, member.fold, epoch])
    order = rng.permutation(member.train)
    shown = rng.integers(variants, size=len(order))
    return np.array_split(order, steps), np.array_split(shown, steps), rng


@dataclass(frozen=True)
class EpochPlan:
    """One epoch of every fold, drawn beforehand; the first axes are steps, folds and clips.

    Attributes
    ----------
    rows
        `(steps, folds, b)` rows of the table; a fold with fewer clips repeats one.
    labels
        `(steps, folds, b)`.
    weight
        `(steps, folds, b)` of each clip in the mean of its fold; 0 for repeated ones.
    masks
        Of each step, what dropout leaves.
    """

    rows: Tensor
    labels: Tensor
    weight: Tensor
    masks: list[list[Tensor]]


class StackBatches:
    """The clips of a stack's members: batches, losses, answers.

    Parameters
    ----------
    table
        Of all clips.
    members
        Of the stack.
    recipe
        Of all of them.
    """

    def __init__(self, table: ClipTable, members: Sequence[Member], recipe: MicroRecipe) -> None:
        training = recipe.training
        self.table, self.members, self.training = table, members, training
        scalings = [table.scaling(member.train) for member in members]
        self.factor = torch.stack([factor for factor, _ in scalings])[:, None]
        self.offset = torch.stack([offset for _, offset in scalings])[:, None]
        classes = table.config.num_classes
        labels = table.labels.cpu().numpy()
        self.class_weight = np.ones((len(members), classes))
        if training.class_weights:
            for at, member in enumerate(members):
                counts = np.bincount(labels[member.train], minlength=classes)
                self.class_weight[at] = len(member.train) / (classes * np.maximum(counts, 1))
        self.label_array = labels
        longest = max(1, *(len(member.answered) for member in members))
        self.answered = torch.tensor(
            np.stack([np.resize(member.answered, longest) for member in members]),
            device=table.device,
        )
        rest = training.label_smoothing / classes
        eye = torch.eye(classes, dtype=table.dtype, device=table.device)
        self.targets = (1 - training.label_smoothing) * eye + rest

    def epoch(self, epoch: int, *, steps: int) -> EpochPlan:
        """Draw an epoch of every fold."""
        longest = max(math.ceil(len(member.train) / steps) for member in self.members)
        shape = (steps, len(self.members), longest)
        rows, labels = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        weight = np.zeros(shape)
        masks: list[list[list[NDArray[np.float64]]]] = [[] for _ in range(steps)]
        for at, member in enumerate(self.members):
            batches, shown, rng = epoch_order(
                member, epoch, steps=steps, variants=self.table.variants
            )
            for step, (batch, variant) in enumerate(zip(batches, shown, strict=True)):
                rows[step, at, : len(batch)] = batch + variant * self.table.count
                rows[step, at, len(batch) :] = batch[0]
                labels[step, at, : len(batch)] = self.label_array[batch]
                each = self.class_weight[at][self.label_array[batch]]
                weight[step, at, : len(batch)] = each / len(batch)
                masks[step].append(
                    [_mask(rng, len(batch), longest, size, rate) for size, rate in self._dropped()]
                )
        device, dtype = self.table.device, self.table.dtype
        return EpochPlan(
            rows=torch.tensor(rows, device=device),
            labels=torch.tensor(labels, device=device),
            weight=torch.tensor(weight, dtype=dtype, device=device),
            masks=[
                [
                    torch.tensor(np.stack(masks_of), dtype=dtype, device=device)
                    for masks_of in zip(*step, strict=True)
                ]
                for step in masks
            ],
        )

    def loss(self, network: StackedHTNet, plan: EpochPlan, step: int) -> Tensor:
        """Sum of the folds' losses, each the weighted mean of its own clips."""
        logits = network(self._seen(plan.rows[step]), masks=plan.masks[step])
        logs = logits.log_softmax(dim=-1)
        each = -(self.targets[plan.labels[step]] * logs).sum(dim=-1)
        return (each * plan.weight[step]).sum()

    @torch.no_grad()
    def answers(self, network: StackedHTNet) -> NDArray[np.float32]:
        """Probabilities `(folds, longest, k)` of the answered clips; padded rows repeat others."""
        found = [
            network(self._seen(self.answered + way * self.table.count)).softmax(dim=-1)
            for way in range(self.table.ways)
        ]
        mean: NDArray[np.float32] = torch.stack(found).mean(dim=0).float().cpu().numpy()
        return mean

    def _seen(self, rows: Tensor) -> Tensor:
        return torch.addcmul(self.offset, self.table.patches[rows], self.factor)

    def _dropped(self) -> list[tuple[int, float]]:
        """Size and rate of each mask."""
        config = self.table.config
        if config.input == "regions":
            rate = self.training.fusion_dropout
            return [(config.num_outputs, rate), (2 * config.num_outputs, rate)] if rate else []
        return [(config.read_size, config.head_dropout)] if config.head_dropout else []


def _mask(
    rng: np.random.Generator, clips: int, longest: int, size: int, rate: float
) -> NDArray[np.float64]:
    """Draw what is dropped of a fold's own clips; of repeated ones nothing is."""
    mask = np.ones((longest, size))
    mask[:clips] = (rng.random((clips, size)) >= rate) / (1 - rate)
    return mask
