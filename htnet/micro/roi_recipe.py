"""Recipes of the ROI models: everything that decides a training, in one YAML file.

The shipped recipes are `roi` (as published, 224 px) and `roi-small` (56 px, for a CPU).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from common.errors import UserError
from htnet.micro.roi_configuration import RoiConfig, RoiModel, roi_config_from
from htnet.recipe import as_sections, changed_sections, check_sections, own_sections, read_sections

FOLDER = Path(__file__).with_name("recipes")
DEFAULT = "roi-small"
_DERIVED = ("model", "num_classes", "regions", "windows")  # follow from the data and the command


@dataclass(frozen=True, kw_only=True)
class RoiAugmentation:
    """How training clips are varied.

    Attributes
    ----------
    mirror
        Share of clips that are mirrored: maps flipped, u negated, right and left regions swapped.
    magnitude
        Flow is multiplied by a factor drawn evenly from 1 - magnitude to 1 + magnitude.
    """

    mirror: float = 0.0
    magnitude: float = 0.0

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for name in ("mirror", "magnitude"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(
                    f"augmentation.{name} is {getattr(self, name)}: give a share, 0 to 1."
                )


@dataclass(frozen=True, kw_only=True)
class RoiTraining:
    """How a ROI model is trained.

    Attributes
    ----------
    gamma, alpha, label_smoothing
        Of `focal_loss`.
    class_weights
        Weigh classes by the inverse of their frequency among the training clips.
    epochs, batch_size
        Passes over the training clips, and clips of a step.
    learning_rate, last_rate
        Of Adam: from the first to the last epoch it falls as half a cosine.
    region_rate
        The region weights learn at this multiple of the rate.
    clip
        Largest norm of the gradient.
    patience
        Stop after this many epochs without a lower loss of the validation subjects.
    validation_folds
        The training subjects are dealt into this many parts; one of them chooses the epoch.
    precision
        Of the arithmetic: `32`, or `bf16` (mixed).
    """

    gamma: float = 2.0
    alpha: float = 0.25
    label_smoothing: float = 0.1
    class_weights: bool = True
    epochs: int = 60
    batch_size: int = 32
    learning_rate: float = 1e-4
    last_rate: float = 1e-6
    region_rate: float = 100.0
    clip: float = 5.0
    patience: int = 20
    validation_folds: int = 5
    precision: Literal["32", "bf16"] = "32"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise UserError(f"training.{name} is {getattr(self, name)}: give 1 or more.")
        for name in ("learning_rate", "clip", "alpha"):
            if getattr(self, name) <= 0:
                raise UserError(f"training.{name} is {getattr(self, name)}: give more than 0.")
        if not 0 <= self.last_rate <= self.learning_rate:
            raise UserError(
                f"training.last_rate is {self.last_rate}: give 0 to the learning_rate "
                f"{self.learning_rate}."
            )
        if not 0 <= self.label_smoothing < 1:
            raise UserError(
                f"training.label_smoothing is {self.label_smoothing}: give 0 to below 1."
            )
        if self.gamma < 0:
            raise UserError(f"training.gamma is {self.gamma}: give 0 or more.")
        if self.validation_folds < 2:
            raise UserError(
                f"training.validation_folds is {self.validation_folds}: give 2 or more, since "
                "validation subjects choose the epoch."
            )
        if self.precision not in ("32", "bf16"):
            raise UserError(f'training.precision is "{self.precision}": choose "32" or bf16.')


@dataclass(frozen=True, kw_only=True)
class RoiRecipe:
    """A recipe: settings of the network, of augmentation and of training."""

    network: Mapping[str, Any]
    augmentation: RoiAugmentation = field(default_factory=RoiAugmentation)
    training: RoiTraining = field(default_factory=RoiTraining)
    name: str = "own"

    def config(
        self, *, model: RoiModel, num_classes: int, regions: tuple[str, ...], windows: int
    ) -> RoiConfig:
        """Return the network's configuration for the data at hand."""
        settings = {
            **self.network,
            "model": model,
            "num_classes": num_classes,
            "regions": regions,
            "windows": windows,
        }
        return roi_config_from(settings, source=f"recipe {self.name}")

    @property
    def size(self) -> int:
        """Side of a region's map in px."""
        size: int = self.network.get("size", RoiConfig.size)
        return size

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for checkpoints and run.json."""
        return as_sections(self)


def read_roi_recipe(name: str | Path = DEFAULT) -> RoiRecipe:
    """Read a shipped recipe by name, or a YAML file with the same sections.

    Raises
    ------
    UserError
        When there is no such recipe, or it holds a section or key that nothing reads.
    """
    path, content = read_sections(name, folder=FOLDER)
    return roi_recipe_from(content, source=path.name, name=path.stem)


def roi_recipe_from(content: Mapping[str, Any], *, source: str, name: str = "own") -> RoiRecipe:
    """Make a recipe of nested settings; an unknown section or key is refused."""
    check_sections(content, source=source, derived=_DERIVED)
    sections = own_sections(content, RoiAugmentation, RoiTraining, source=source)
    recipe = RoiRecipe(**sections, name=name)
    recipe.config(model="hybrid", num_classes=3, regions=("mouth",), windows=4)  # refuses bad keys
    return recipe


def with_roi_changes(recipe: RoiRecipe, changes: list[str]) -> RoiRecipe:
    """Return the recipe with settings replaced, each given as `section.key=value` (YAML value)."""
    content = changed_sections(recipe.as_dict(), changes)
    return roi_recipe_from(content, source="--change", name=recipe.name)
