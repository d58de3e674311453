"""A network in training: its losses, its learning rates, and the validation patients' score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import lightning as L  # noqa: N812
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from numpy.typing import NDArray
from torch import Tensor

from htnet.network.htnet import GradingNetwork, HTNet, HTNetDetails
from htnet.network.losses import (
    class_weights,
    grade_loss,
    probabilities,
    rate_at,
    region_loss,
    side_loss,
)
from htnet.palsy.augmentation import augment
from htnet.palsy.faces import Batch, LabelledFaces, sets_of
from htnet.palsy.recipe import Recipe, Training


class PalsyGrader(L.LightningModule):
    """A network in training: losses, learning rates, and the validation patients' score."""

    def __init__(
        self,
        network: GradingNetwork,
        data: LabelledFaces,
        *,
        recipe: Recipe,
        train: NDArray[np.intp],
        seed: int,
    ) -> None:
        super().__init__()
        self.network, self.recipe, self.seed = network, recipe, seed
        self.forward_details = (
            torch.compile(network.details) if recipe.training.compile else network.details
        )
        self.data = data
        self.patients = np.unique(data.asked, return_inverse=True)[1]
        self.scores: list[float] = []
        self._seen: list[tuple[Tensor, Tensor]] = []
        weights = torch.ones(data.num_classes)
        if recipe.training.class_weights and data.number is None:
            weights = class_weights(data.labels[train] - 1, num_classes=len(data.classes))
        self.register_buffer("class_weights", weights, persistent=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the scores so far."""
        checkpoint["scores"] = list(self.scores)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the scores so far."""
        self.scores = list(checkpoint["scores"])

    def training_step(self, rows: Tensor, index: int) -> Tensor:
        """Loss of one batch of row numbers."""
        settings = self.recipe.training
        # Seeded by step and not once: what was drawn before must not matter after a restart.
        drawn = step_seed(self.seed, self.current_epoch, index, self.global_rank)
        generator = torch.Generator().manual_seed(drawn)
        torch.manual_seed(drawn)  # what dropout draws from
        batch = augment(
            self.data.batch(rows, self.device), self.recipe.augmentation, generator=generator
        )
        assert isinstance(self.class_weights, Tensor)
        if self.network.config.pooling == "patient":
            found, batch = details_of_patients(self.network, batch)
        else:
            found = self.forward_details(batch.image, batch.features)
        loss = grade_loss(
            found.logits, batch.worse_than, loss=settings.loss, weights=self.class_weights
        )
        self.log("train_grade_loss", loss, on_epoch=True, on_step=False)
        if settings.side_weight and found.side_logits is not None:
            loss = loss + settings.side_weight * side_loss(found.side_logits, batch.side)
        if settings.region_weight and found.roi_maps is not None:
            loss = loss + settings.region_weight * region_loss(found.roi_maps, batch.regions)
        self.log("train_loss", loss, on_epoch=True, on_step=False)
        return loss

    def validation_step(self, rows: Tensor, index: int) -> None:
        """Answer a batch of validation faces."""
        batch = self.data.batch(rows, self.device)
        found = self.network.details(batch.image, batch.features)
        answers = probabilities(found.logits.float(), head=self.network.config.head)
        self._seen.append((rows, answers))

    def on_validation_epoch_end(self) -> None:
        """Score the validation patients."""
        rows = torch.cat([rows for rows, _ in self._seen])
        answers = torch.cat([answers for _, answers in self._seen])
        self._seen.clear()
        if self.trainer.world_size > 1:
            rows = torch.as_tensor(self.all_gather(rows)).flatten()
            answers = torch.as_tensor(self.all_gather(answers)).flatten(0, 1)
        if self.trainer.sanity_checking:
            return
        where = rows.cpu()
        score = patient_score(
            answers.cpu(), self.data.worse_than[where], self.patients[where.numpy()]
        )
        self.scores.append(score)
        self.log("validation_score", score, prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with layer-wise rates; the rate rises, then falls as a cosine."""
        settings = self.recipe.training
        optimizer = torch.optim.AdamW(
            list(parameter_groups(self.network, settings)), lr=settings.learning_rate
        )
        total = max(1, int(self.trainer.estimated_stepping_batches))
        rising = max(1, round(settings.warmup * total))
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_at(step, rising=rising, total=total)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def details_of_patients(network: GradingNetwork, batch: Batch) -> tuple[HTNetDetails, Batch]:
    """Grade the patients whose photographs are in a batch; return it with a row for each."""
    assert isinstance(network, HTNet) and batch.asked is not None and batch.rest is not None
    sets = sets_of(batch.asked)
    found = network.of_patients(
        network.summaries(batch.image)[sets.rows],
        rest=batch.rest[sets.rows],
        present=sets.present,
        features=sets.mean(batch.features),
    )
    first = sets.rows[:, 0]
    return found, replace(batch, worse_than=batch.worse_than[first], side=batch.side[first])


def step_seed(*numbers: int) -> int:
    """Return a seed that follows from some numbers alone, on every machine and version."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def patient_score(answers: Tensor, worse_than: Tensor, patients: NDArray[np.intp]) -> float:
    """Ranked probability score of patients: 0 for sure and right answers, smaller is better.

    A patient's answer is the mean probability over the photographs. The score is the squared
    error of the steps "worse than class j", summed over steps, mean over patients (Epstein 1969).
    """
    steps = (answers.flip(1).cumsum(1).flip(1)[:, 1:] - worse_than).numpy()
    total = 0.0
    names = np.unique(patients)
    for name in names:
        total += float(np.square(steps[patients == name].mean(axis=0)).sum())
    return total / len(names)


def parameter_groups(network: GradingNetwork, settings: Training) -> Iterator[dict[str, Any]]:
    """Yield AdamW's groups: slower layers far from the heads; no decay of biases and norms."""
    depths = {name: _depth(name, network) for name, _ in network.named_parameters()}
    heads = max(depths.values())
    for depth in sorted(set(depths.values())):
        rate = settings.learning_rate * settings.layer_decay ** (heads - 1 - depth)
        if depth == heads:
            rate = settings.learning_rate * settings.head_rate
        for decayed in (True, False):
            chosen = [
                parameter
                for name, parameter in network.named_parameters()
                if depths[name] == depth and (parameter.ndim > 1) == decayed
            ]
            if chosen:
                decay = settings.weight_decay if decayed else 0.0
                yield {"params": chosen, "lr": rate, "weight_decay": decay}


def _depth(name: str, network: GradingNetwork) -> int:
    """How many layers lie between the pixels and a parameter."""
    parts = name.split(".")
    if "levels" in parts:
        at = parts.index("levels")
        level = int(parts[at + 1])
        config = network.config
        before = 1 + sum(repeats + 1 for repeats in config.block_repeats[:level])
        if parts[at + 2] == "layers":
            return before + int(parts[at + 3])
        return before + (config.block_repeats[level] if parts[at + 2] == "aggregate" else 0)
    if any(part in ("embed", "place", "roi_module") for part in parts):
        return 0
    last = 1 + sum(repeats + 1 for repeats in network.config.block_repeats)
    return last + 1 if any(part in ("head", "side_head", "fusion") for part in parts) else last
