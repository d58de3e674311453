"""Train one network on some patients, choose its epoch on others, and keep it.

Everything random in an epoch follows from the seed and the epoch's number, so that a training
that was killed and resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from common.errors import UserError
from common.files import write_json
from htnet.augmentation import Batch, augment
from htnet.configuration import SIDE_CLASSES
from htnet.faces import Faces, to_input
from htnet.losses import (
    grade_loss,
    point_loss,
    probabilities,
    region_loss,
    side_loss,
    steps_of,
)
from htnet.recipe import Recipe, Training
from htnet.region_fusion import GradingNetwork, build_network
from htnet.weights import load_pretrained, load_weights, save_weights

WEIGHTS, SETTINGS, LAST = "weights.safetensors", "settings.json", "last.ckpt"
_EVALUATION_BATCH = 64


@dataclass(frozen=True)
class LabelledFaces:
    """Faces with what is known about them.

    Attributes
    ----------
    faces
        The faces.
    labels
        `(n,)` class numbers 1..k.
    sides
        Weak side of each face, in the patient's sense: right, left, none, both or unknown.
    patients
        `(n,)` names.
    classes
        Names of class 1..k.
    """

    faces: Faces
    labels: NDArray[np.int64]
    sides: tuple[str, ...]
    patients: NDArray[np.str_]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Trained:
    """A trained network, the epoch that was kept, and the validation patients' score by epoch."""

    network: GradingNetwork
    best_epoch: int
    scores: tuple[float, ...]


def train_network(
    data: LabelledFaces,
    *,
    train: NDArray[np.intp],
    validation: NDArray[np.intp],
    recipe: Recipe,
    out: Path,
    seed: int = 0,
    pretrained: Path | None = None,
    stop_after: int | None = None,
) -> Trained:
    """Train on some rows; keep the epoch that answers the validation patients best.

    Parameters
    ----------
    data
        Faces and labels.
    train, validation
        Row numbers; no patient may be in both.
    recipe
        Settings of network, augmentation and training.
    out
        Folder for weights, checkpoints and logs. A training found there goes on.
    seed
        Of weights, order and augmentation.
    pretrained
        Weights to begin with, by name and shape.
    stop_after
        Stop after this many epochs, as if killed; for tests.

    Raises
    ------
    UserError
        When patients are in both parts, a class has no training face, a GPU was asked for and is
        not there, or `out` holds a training with other settings.
    """
    _check(data, train=train, validation=validation)
    _check_device(recipe.training)
    _keep_settings(out, data, recipe, seed=seed, pretrained=pretrained)
    L.seed_everything(seed, verbose=False)
    config = recipe.config(num_classes=len(data.classes))
    network = build_network(config)
    if pretrained is not None:
        load_pretrained(network, pretrained)
    grader = PalsyGrader(network, data, recipe=recipe, train=train, seed=seed)
    trainer, best = _trainer(recipe.training, out, stop_after=stop_after)
    resumed = out / LAST
    with _quiet():
        trainer.fit(
            grader,
            DataLoader(
                _Rows(train),
                batch_size=recipe.training.batch_size,
                sampler=_SeededOrder(len(train), seed=seed),
                drop_last=len(train) >= recipe.training.batch_size,
            ),
            DataLoader(_Rows(validation), batch_size=_EVALUATION_BATCH),
            ckpt_path=str(resumed) if resumed.exists() else None,
            weights_only=False if resumed.exists() else None,
        )
    if trainer.interrupted:
        raise KeyboardInterrupt
    kept = torch.load(best.best_model_path, map_location="cpu", weights_only=False)
    state = {
        name.removeprefix("network."): value
        for name, value in kept["state_dict"].items()
        if name.startswith("network.")
    }
    network.load_state_dict(state)
    save_weights(
        network,
        out / WEIGHTS,
        notes={"classes": list(data.classes), "recipe": recipe.name, "epoch": kept["epoch"] + 1},
    )
    return Trained(network.eval(), best_epoch=kept["epoch"] + 1, scores=tuple(grader.scores))


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
        self.data = _Tensors.of(data)
        self.patients = np.unique(data.patients, return_inverse=True)[1]
        self.scores: list[float] = []
        self._seen: list[tuple[Tensor, Tensor]] = []
        k = len(data.classes)
        weights = torch.ones(k)
        if recipe.training.class_weights:
            counts = np.bincount(data.labels[train] - 1, minlength=k)
            weights = torch.tensor(len(train) / (k * np.maximum(counts, 1)), dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)

    def on_train_epoch_start(self) -> None:
        """Seed what dropout draws."""
        torch.manual_seed(self.seed * 1_000_003 + self.current_epoch)

    def training_step(self, rows: Tensor, index: int) -> Tensor:
        """Loss of one batch of row numbers."""
        settings = self.recipe.training
        generator = torch.Generator().manual_seed(
            hash((self.seed, self.current_epoch, index, self.global_rank)) & 0x7FFF_FFFF
        )
        batch = augment(
            self.data.batch(rows, self.device), self.recipe.augmentation, generator=generator
        )
        found = self.forward_details(batch.image)
        assert isinstance(self.class_weights, Tensor)
        loss = grade_loss(
            found.logits, batch.worse_than, loss=settings.loss, weights=self.class_weights
        )
        self.log("train_grade_loss", loss, on_epoch=True, on_step=False)
        if settings.side_weight and found.side_logits is not None:
            loss = loss + settings.side_weight * side_loss(found.side_logits, batch.side)
        if settings.region_weight and found.roi_maps is not None:
            loss = loss + settings.region_weight * region_loss(found.roi_maps, batch.regions)
        if settings.point_weight and found.points is not None:
            loss = loss + settings.point_weight * point_loss(found.points, batch.points)
        self.log("train_loss", loss, on_epoch=True, on_step=False)
        return loss

    def validation_step(self, rows: Tensor, index: int) -> None:
        """Answer a batch of validation faces."""
        found = self.network.details(self.data.batch(rows, self.device).image)
        answers = probabilities(found.logits.float(), head=self.network.config.head)
        self._seen.append((rows, answers))

    def on_validation_epoch_end(self) -> None:
        """Score the validation patients."""
        rows = torch.cat([rows for rows, _ in self._seen])
        answers = torch.cat([answers for _, answers in self._seen])
        self._seen.clear()
        if self.trainer.world_size > 1:
            rows, answers = self.all_gather(rows).flatten(), self.all_gather(answers).flatten(0, 1)
        if self.trainer.sanity_checking:
            return
        where = rows.cpu()
        score = patient_score(
            answers.cpu(), self.data.worse_than[where], self.patients[where.numpy()]
        )
        self.scores.append(score)
        self.log("validation_score", score, prog_bar=True)

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with layer-wise rates; the rate rises, then falls as a cosine."""
        settings = self.recipe.training
        optimizer = torch.optim.AdamW(
            list(parameter_groups(self.network, settings)), lr=settings.learning_rate
        )
        total = max(1, int(self.trainer.estimated_stepping_batches))
        warm = max(1, round(settings.warmup * total))

        def rate(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, total - warm))))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


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


def parameter_groups(network: nn.Module, settings: Training) -> Iterator[dict[str, Any]]:
    """Yield AdamW's groups: slower layers far from the heads; no decay of biases and norms."""
    depths = {name: _depth(name, network) for name, _ in network.named_parameters()}
    top = max(depths.values())
    for depth in sorted(set(depths.values())):
        rate = settings.learning_rate * settings.layer_decay ** (top - depth)
        for decayed in (True, False):
            chosen = [
                parameter
                for name, parameter in network.named_parameters()
                if depths[name] == depth and (parameter.ndim > 1) == decayed
            ]
            if chosen:
                decay = settings.weight_decay if decayed else 0.0
                yield {"params": chosen, "lr": rate, "weight_decay": decay}


def answer(network: GradingNetwork, faces: Faces, *, device: str = "cpu") -> NDArray[np.float64]:
    """Return class probabilities `(n, k)` of faces, in evaluation mode."""
    network = network.eval().to(device)
    parts = []
    with torch.inference_mode():
        for at in range(0, len(faces), _EVALUATION_BATCH):
            image = to_input(faces.pixels[at : at + _EVALUATION_BATCH].to(device))
            logits = network.details(image).logits.float()
            parts.append(probabilities(logits, head=network.config.head).cpu())
    found: NDArray[np.float64] = torch.cat(parts).double().numpy()
    return found / found.sum(axis=1, keepdims=True)


def read_trained(path: Path) -> tuple[GradingNetwork, tuple[str, ...]]:
    """Read a trained network and the names of its classes.

    Raises
    ------
    UserError
        When the file is no grader that was trained here.
    """
    network, notes = load_weights(path)
    if "classes" not in notes:
        raise UserError(f"{path} does not name its classes: give weights that htnet train wrote.")
    return network, tuple(notes["classes"])


class _Tensors:
    """Faces and targets as tensors, gathered by row."""

    def __init__(
        self, pixels: Tensor, worse_than: Tensor, side: Tensor, regions: Tensor, points: Tensor
    ) -> None:
        self.pixels, self.worse_than, self.side = pixels, worse_than, side
        self.regions, self.points = regions, points

    @classmethod
    def of(cls, data: LabelledFaces) -> _Tensors:
        side = torch.zeros(len(data.sides), len(SIDE_CLASSES))
        for row, name in enumerate(data.sides):
            if name in SIDE_CLASSES:
                side[row, SIDE_CLASSES.index(name)] = 1.0
        labels = torch.from_numpy(data.labels)
        return cls(
            pixels=data.faces.pixels,
            worse_than=steps_of(labels, num_classes=len(data.classes)),
            side=side,
            regions=data.faces.regions,
            points=data.faces.point_asymmetry(),
        )

    def batch(self, rows: Tensor, device: torch.device) -> Batch:
        at = rows.cpu()
        return Batch(
            image=to_input(self.pixels[at].to(device)),
            worse_than=self.worse_than[at].to(device),
            side=self.side[at].to(device),
            regions=self.regions[at].to(device).float() / 255,
            points=self.points[at].to(device),
        )


class _Rows(Dataset[int]):
    def __init__(self, rows: NDArray[np.intp]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int) -> int:
        return int(self.rows[at])


class _SeededOrder(Sampler[int]):
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


def _trainer(
    settings: Training, out: Path, *, stop_after: int | None
) -> tuple[L.Trainer, ModelCheckpoint]:
    best = ModelCheckpoint(
        dirpath=out,
        filename="best",
        monitor="validation_score",
        mode="min",
        save_top_k=1,
        save_last=True,
        enable_version_counter=False,
    )
    stop = EarlyStopping("validation_score", mode="min", patience=settings.patience)
    callbacks: list[L.Callback] = [best, stop]
    if stop_after is not None:
        callbacks.append(_StopAfter(stop_after))
    with _quiet():
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


class _StopAfter(L.Callback):
    """End a training after some epochs, with its checkpoint in place."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Stop once enough epochs are done."""
        if trainer.current_epoch + 1 >= self.epochs:
            trainer.should_stop = True


def _check(data: LabelledFaces, *, train: NDArray[np.intp], validation: NDArray[np.intp]) -> None:
    both = sorted(set(data.patients[train]) & set(data.patients[validation]))
    if both:
        raise UserError(
            f'Patient "{both[0]}" is among the training and the validation patients: whole '
            "patients must be held out."
        )
    if not len(train) or not len(validation):
        raise UserError("There are no training or no validation faces: use fewer folds.")
    for number, name in enumerate(data.classes, start=1):
        if not (data.labels[train] == number).any():
            raise UserError(
                f'No training face is labelled "{name}": use fewer folds, more patients or '
                "another --target."
            )


def _check_device(settings: Training) -> None:
    if settings.accelerator == "gpu" and not torch.cuda.is_available():
        raise UserError(
            "The recipe asks for a GPU (training.accelerator: gpu), but there is none here: use "
            "--set training.accelerator=cpu or the recipe small-cpu."
        )
    if settings.accelerator == "gpu" and torch.cuda.device_count() < settings.devices:
        raise UserError(
            f"The recipe asks for {settings.devices} GPUs, but there are "
            f"{torch.cuda.device_count()}: change training.devices."
        )


def _keep_settings(
    out: Path, data: LabelledFaces, recipe: Recipe, *, seed: int, pretrained: Path | None
) -> None:
    """Write the settings beside the checkpoints, or compare them with those that are there."""
    settings: Mapping[str, Any] = {
        **recipe.as_dict(),
        "classes": list(data.classes),
        "seed": seed,
        "pretrained": pretrained.name if pretrained else None,
        "faces": len(data.faces),
    }
    path = out / SETTINGS
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        plain = json.loads(json.dumps(settings))
        for name, value in plain.items():
            if before.get(name) != value:
                raise UserError(
                    f"{out} holds a training with other settings ({name}): choose another --out, "
                    "or delete that folder to begin anew."
                )
    else:
        write_json(path, settings)


def _depth(name: str, network: nn.Module) -> int:
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
    is_input = parts[0] in ("embed", "place", "roi_module") or "embed" in parts
    return 0 if is_input else 1 + sum(repeats + 1 for repeats in network.config.block_repeats)


class _quiet(warnings.catch_warnings):  # noqa: N801
    """Keep Lightning's advice about workers and logs off the screen; errors still come."""

    def __init__(self) -> None:
        super().__init__()

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\..*")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
