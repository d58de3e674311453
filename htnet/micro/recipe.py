"""Recipes of the micro-expression networks: everything that decides a training, in YAML.

The shipped recipes are `small` and `paper`; a file of your own has the same sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from common.errors import UserError, did_you_mean
from htnet.configuration import HTNetConfig, config_from
from htnet.micro.inputs import INPUTS, InputName
from htnet.micro.stacked_network import check_stackable
from htnet.recipe import as_sections, changed_sections, check_sections, own_sections, read_sections

FOLDER = Path(__file__).with_name("recipes")
_DERIVED = ("num_classes", "head", "input")  # follow from the clips and from training.input

_CHOICES: dict[str, tuple[str, ...]] = {
    "input": INPUTS,
    "schedule": ("constant", "cosine"),
    "stop": ("last", "inner"),
    "precision": ("auto", "float32", "bf16", "float64"),
}


@dataclass(frozen=True, kw_only=True)
class MicroAugmentation:
    """How training clips are varied.

    Attributes
    ----------
    mirror
        Show each clip mirrored every other time (right and left exchanged, u turned round), and
        answer by the mean over both ways.
    shift
        Move each training map by up to this many pixels each way, edges repeated.
    """

    mirror: bool = False
    shift: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        if self.shift < 0:
            raise UserError(f"augmentation.shift is {self.shift}: give 0 px or more.")


@dataclass(frozen=True, kw_only=True)
class MicroTraining:
    """How the networks of all folds are trained.

    Attributes
    ----------
    input
        `whole` map, `mosaic` of eyes and mouth corners, or `both` with region fusion.
    epochs, batch_size
        Passes over the training clips, and the most clips of a step. Every fold has the same
        number of steps; its clips are dealt to them evenly.
    learning_rate, weight_decay
        Of AdamW.
    schedule, warmup
        `constant` or `cosine` (falling to nothing) after a rise over this share of the steps.
    clip
        Largest norm of each fold's gradient; 0 leaves it as it is.
    label_smoothing
        Share of the target that is spread evenly over the classes.
    class_weights
        Weigh classes by the inverse of their frequency in the training clips.
    fusion_dropout
        Share dropped in the fusion head of `both`.
    average
        Answer by the mean of the probabilities after each of the last epochs, this many.
    stop
        Epoch of the honest answers: the `last`, or the one that is best for `inner` subjects,
        found by networks that were trained without the held-out subject's group.
    inner_groups
        Groups of subjects for `stop: inner`.
    precision
        Of the products: `float32`, `bf16` (weights and optimiser stay float32), `float64`, or
        `auto`: bf16 where the processor or GPU multiplies it in hardware, else float32.
    group
        Folds trained together: as many as keep the processor's caches, or the GPU, busy.
    """

    input: InputName = "whole"
    epochs: int = 80
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup: float = 0.1
    clip: float = 0.0
    label_smoothing: float = 0.0
    class_weights: bool = False
    fusion_dropout: float = 0.5
    average: int = 1
    stop: Literal["last", "inner"] = "last"
    inner_groups: int = 5
    precision: Literal["auto", "float32", "bf16", "float64"] = "auto"
    group: int = 4

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise UserError(
                    f'training.{name} is "{value}": choose one of {", ".join(allowed)}.'
                    + did_you_mean(str(value), allowed)
                )
        for name in ("epochs", "batch_size", "average", "group"):
            if getattr(self, name) < 1:
                raise UserError(f"training.{name} is {getattr(self, name)}: give 1 or more.")
        if self.inner_groups < 3:
            raise UserError(
                f"training.inner_groups is {self.inner_groups}: give 3 or more, since each network "
                "is trained without two of them."
            )
        for name in ("warmup", "label_smoothing", "fusion_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(
                    f"training.{name} is {getattr(self, name)}: give a share from 0 to below 1."
                )
        for name in ("learning_rate", "weight_decay", "clip"):
            if getattr(self, name) < 0:
                raise UserError(f"training.{name} is {getattr(self, name)}: give 0 or more.")

    def products(self, device: str) -> str:
        """Return the precision of the products on a device (`cpu` or `cuda`), never `auto`."""
        if self.precision != "auto":
            return self.precision
        if device == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported() else "float32"
        able = torch.cpu.get_capabilities()
        return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"


@dataclass(frozen=True, kw_only=True)
class MicroRecipe:
    """A recipe: settings of the network (without classes and input), and of the training."""

    network: Mapping[str, Any]
    augmentation: MicroAugmentation = field(default_factory=MicroAugmentation)
    training: MicroTraining = field(default_factory=MicroTraining)
    name: str = "own"

    def config(self, *, num_classes: int) -> HTNetConfig:
        """Return the networks' configuration for a number of classes."""
        settings = {
            **self.network,
            "num_classes": num_classes,
            "input": "regions" if self.training.input == "both" else "face",
        }
        config = config_from(settings, source=f"recipe {self.name}")
        check_stackable(config)
        return config

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for run.json and the key of a work folder."""
        return as_sections(self)


def read_micro_recipe(name: str | Path) -> MicroRecipe:
    """Read a shipped recipe by name, or a YAML file with the same sections.

    Raises
    ------
    UserError
        When there is no such recipe, or it holds a section or key that nothing reads.
    """
    path, content = read_sections(name, folder=FOLDER)
    return micro_recipe_from(content, source=path.name, name=path.stem)


def micro_recipe_from(content: Mapping[str, Any], *, source: str, name: str = "own") -> MicroRecipe:
    """Make a recipe of nested settings; an unknown section or key is refused."""
    check_sections(content, source=source, derived=_DERIVED)
    sections = own_sections(content, MicroAugmentation, MicroTraining, source=source)
    recipe = MicroRecipe(**sections, name=name)
    recipe.config(num_classes=3)  # refuses unknown keys and impossible sizes
    return recipe


def with_micro_changes(recipe: MicroRecipe, changes: list[str]) -> MicroRecipe:
    """Return the recipe with settings replaced, each given as `section.key=value` (YAML value)."""
    content = changed_sections(recipe.as_dict(), changes)
    return micro_recipe_from(content, source="--change", name=recipe.name)
