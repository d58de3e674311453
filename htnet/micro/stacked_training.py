"""Train the networks of a group of folds as one stack, answering the held-out clips each epoch.

A network comes out as if it had been trained alone: weights, order, loss, clipping and optimiser
are its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.errors import UserError
from htnet.configuration import HTNetConfig
from htnet.micro.recipe import MicroRecipe, MicroTraining
from htnet.micro.stacked_batches import Member, StackBatches
from htnet.micro.stacked_clips import ClipTable
from htnet.micro.stacked_network import StackedHTNet
from htnet.micro.stacked_weights import StackedWeights
from htnet.region_fusion import build_network

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "float64": torch.float64}


@dataclass(frozen=True, eq=False)
class TrainedStack:
    """What became of a group.

    Attributes
    ----------
    answers
        For each member, `(epochs, len(answered), k)` float32 probabilities after each epoch.
    weights
        Of the last epoch.
    kept
        What weight decay has left of weights that no gradient reaches.
    """

    answers: list[NDArray[np.float32]]
    weights: StackedWeights
    kept: float


def stack_steps(members: Sequence[Member], training: MicroTraining) -> int:
    """Return the steps of an epoch, the same for every fold: enough for the largest."""
    return math.ceil(max(len(member.train) for member in members) / training.batch_size)


def train_stack(
    table: ClipTable, members: Sequence[Member], recipe: MicroRecipe, *, steps: int
) -> TrainedStack:
    """Train a group of networks side by side.

    Parameters
    ----------
    table
        The clips.
    members
        The networks.
    recipe
        Of all of them.
    steps
        Steps of an epoch (`stack_steps` of the whole run, so that it does not hang on the group).

    Raises
    ------
    UserError
        When a clip is both learned from and answered, or there is none to learn from.
    """
    for member in members:
        _check(member)
    training = recipe.training
    begin = {
        seed: _begin(table.config, seed) for seed in dict.fromkeys(one.seed for one in members)
    }
    weights = StackedWeights(
        table.config,
        [begin[member.seed] for member in members],
        products=PRECISIONS[training.products(table.device.type)],
        device=table.device,
    )
    network = StackedHTNet(weights)
    optimizer = torch.optim.AdamW(
        [weights.master], lr=0.0, weight_decay=training.weight_decay, fused=True
    )
    rates = learning_rates(training, steps=steps)
    group = StackBatches(table, members, recipe)
    answers = []
    for epoch in range(training.epochs):
        plan = group.epoch(epoch, steps=steps)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = rates[epoch * steps + step]
            loss = group.loss(network, plan, step)
            loss.backward()
            weights.collect(clip=training.clip)
            optimizer.step()
            weights.refresh()
        answers.append(group.answers(network))
    return TrainedStack(
        answers=[
            np.stack([epoch[at, : len(member.answered)] for epoch in answers])
            for at, member in enumerate(members)
        ],
        weights=weights,
        kept=math.prod(1 - rate * training.weight_decay for rate in rates),
    )


def learning_rates(training: MicroTraining, *, steps: int) -> list[float]:
    """Return the rate of every step of a training."""
    total = training.epochs * steps
    rising = round(training.warmup * total)
    rates = []
    for step in range(total):
        if step < rising:
            share = (step + 1) / rising
        elif training.schedule == "cosine":
            share = 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))
        else:
            share = 1.0
        rates.append(training.learning_rate * share)
    return rates


def _begin(config: HTNetConfig, seed: int) -> dict[str, Tensor]:
    """Return the weights that a seed begins with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_network(config).state_dict()


def _check(member: Member) -> None:
    if not len(member.train):
        raise UserError("A fold has no clips to learn from: add subjects.")
    if np.intersect1d(member.train, member.answered).size:
        raise UserError("A clip is both learned from and held out: give each subject one name.")
