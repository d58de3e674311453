"""Recipes of the micro-expression networks: everything that decides a training, in one YAML file.

Shipped are `small` and `paper` (HTNet on flow), `residual` (the small network beside it), and `roi`
(as published, 224 px) and `roi-small` (56 px) for the ROI models; a file of your own has the same
sections.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator

from common.errors import UserError
from common.settings import Settings, settings_from
from htnet.micro.clips.maps import InputName, RoiKind
from htnet.micro.models.roi import RoiConfig
from htnet.network.configuration import HTNetConfig, config_from
from htnet.recipe import Recipe

FOLDER = Path(__file__).parent.parent / "recipes"
_NOT_FOR_FLOW = (
    "use_micro_attention", "use_roi_module", "side_head", "face_position", "dropout",
)  # fmt: skip


class ResidualConfig(Settings):
    """Sizes of the small residual network: side of the square input in px, channels of its stages.

    Each stage is two convolutions and halves the map.
    """

    image_size: int = Field(default=28, ge=8)
    channels: tuple[int, ...] = Field(default=(16, 32, 64), min_length=1)
    num_classes: int = Field(default=3, ge=2)


class FlowTraining(Settings):
    """How HTNet and the residual network are trained, by AdamW.

    The clips are dealt evenly to the steps of an epoch, at most `batch_size` to one. The rate rises
    over the share `warmup` of the steps, then stays or falls to nothing. `precision` is that of the
    arithmetic: `bf16` is mixed, `auto` bf16 where processor or GPU multiply it in hardware.
    """

    input: InputName = "whole"
    epochs: int = Field(default=80, ge=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=1e-3, ge=0)
    weight_decay: float = Field(default=0.05, ge=0)
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup: float = Field(default=0.1, ge=0, lt=1)
    precision: Literal["auto", "float32", "bf16", "float64"] = "auto"

    def arithmetic(self, device: str) -> str:
        """Return the precision on a device (`cpu` or `cuda`), never `auto`."""
        if self.precision != "auto":
            return self.precision
        if device == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported() else "float32"
        able = torch.cpu.get_capabilities()
        return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"


class RoiTraining(Settings):
    """How a ROI model is trained, by Adam and the focal loss (`gamma`, `alpha`).

    `class_weights` weigh classes by the inverse of their frequency; the rate falls as half a cosine
    to `last_rate`, region weights learn `region_rate` times as fast; `clip` is the largest norm of
    the gradient. Of `validation_folds` parts of the training subjects one chooses the epoch; the
    training ends after `patience` epochs without a lower loss of theirs.
    """

    gamma: float = Field(default=2.0, ge=0)
    alpha: float = Field(default=0.25, gt=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    class_weights: bool = True
    epochs: int = Field(default=60, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    last_rate: float = Field(default=1e-6, ge=0)
    region_rate: float = Field(default=100.0, gt=0)
    clip: float = Field(default=5.0, gt=0)
    patience: int = Field(default=20, ge=1)
    validation_folds: int = Field(default=5, ge=2)
    precision: Literal["32", "bf16"] = "32"

    @model_validator(mode="after")
    def _rate_falls(self) -> Self:
        if self.last_rate > self.learning_rate:
            raise ValueError(
                f"training.last_rate is {self.last_rate}: give 0 to the learning_rate "
                f"{self.learning_rate}."
            )
        return self


class FlowRecipe(Recipe):
    """A recipe of HTNet on flow maps; clips are shown as they are."""

    augmentation: Settings = Settings()
    training: FlowTraining = FlowTraining()
    folder: ClassVar[Path] = FOLDER
    derived: ClassVar[tuple[str, ...]] = ("num_classes", "head", "input")

    def config(self, *, num_classes: int) -> HTNetConfig | ResidualConfig:
        """Return the network's configuration for a number of classes."""
        settings = {**self.network, "num_classes": num_classes}
        config = config_from(settings, source=f"recipe {self.name}")
        for name in _NOT_FOR_FLOW:
            if getattr(config, name):
                raise UserError(
                    f"network.{name} is {getattr(config, name)}: micro-expression networks are "
                    "trained without it; leave it out."
                )
        if config.pooling == "mirror":
            raise UserError('network.pooling is "mirror": flow maps are read by "mean".')
        return config

    def check(self) -> None:
        """Refuse unknown settings of the network and impossible sizes."""
        self.config(num_classes=3)


class ResidualRecipe(FlowRecipe):
    """A recipe of the small residual network; the training is that of HTNet."""

    def config(self, *, num_classes: int) -> ResidualConfig:
        """Return the network's configuration for a number of classes."""
        settings = {**self.network, "num_classes": num_classes}
        return settings_from(
            ResidualConfig, settings, source=f"recipe {self.name}", section="network"
        )


class RoiRecipe(Recipe):
    """A recipe of the ROI models; clips are shown as they are."""

    augmentation: Settings = Settings()
    training: RoiTraining = RoiTraining()
    folder: ClassVar[Path] = FOLDER
    derived: ClassVar[tuple[str, ...]] = ("model", "num_classes", "regions", "windows")

    def config(
        self, *, model: RoiKind, num_classes: int, regions: tuple[str, ...], windows: int
    ) -> RoiConfig:
        """Return the network's configuration for the data at hand."""
        data = {
            "model": model, "num_classes": num_classes, "regions": regions, "windows": windows
        }  # fmt: skip
        return settings_from(
            RoiConfig, {**self.network, **data}, source=f"recipe {self.name}", section="network"
        )

    @property
    def size(self) -> int:
        """Side of a region's map in px."""
        return self.network.get("size", RoiConfig.model_fields["size"].default)

    def check(self) -> None:
        """Refuse unknown settings of the network and impossible sizes."""
        self.config(model="hybrid", num_classes=3, regions=("mouth",), windows=4)
