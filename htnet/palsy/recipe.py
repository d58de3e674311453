"""Recipes of palsy networks; shipped are `small-cpu`, `from-micro`, `paper` and `gpu`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

import htnet.recipe
from common.errors import UserError
from common.settings import Settings
from features.registry import FEATURE_NAMES
from htnet.network.configuration import ROI_REGIONS, HTNetConfig, config_from
from htnet.network.losses import HEAD_OF, LossName
from htnet.palsy.augmentation import Augmentation


class Training(Settings):
    """How a network is trained.

    `side_weight`, `region_weight`: weights of the losses of the weak side, and of the ROI maps
    (overlap with the dlib regions); 0 leaves a loss out.
    `trunk`: `learned` with everything else; or `frozen` as it was pretrained, with the pooling
    `patient`: then each face is looked at once, and what reads the patients is learned in closed
    form (`htnet.palsy.reader`), in seconds and without epochs.
    `layer_decay`: each layer further from the heads learns at this multiple of the rate.
    `validation_folds`: the training patients are dealt into this many parts; one chooses the epoch.
    `save_every`: keep the state from which a stopped training goes on after every so many epochs;
    more spares time where a network is large.
    `accelerator`, `devices`: which, and how many; several GPUs share each step.
    """

    loss: LossName = "cross_entropy"
    class_weights: bool = True  # by inverse frequency, so that rare grades are not overlooked
    side_weight: float = 0.0
    region_weight: float = 0.0
    trunk: Literal["learned", "frozen"] = "learned"
    epochs: int = Field(default=100, ge=1)  # passes over the training faces
    batch_size: int = Field(default=32, ge=1)  # faces of a step
    accumulate: int = Field(default=1, ge=1)  # steps gathered before an update
    learning_rate: float = 1e-3  # of AdamW, as the next two
    weight_decay: float = 0.05
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    head_rate: float = 1.0  # the heads of grade and side learn at this multiple of the rate
    warmup: float = 0.1  # share of the updates over which the rate rises; then it falls as a cosine
    clip: float = 1.0  # largest norm of the gradient
    validation_folds: int = Field(default=5, ge=2)
    patience: int = Field(default=20, ge=1)  # epochs without a better validation score
    save_every: int = Field(default=1, ge=1)
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = Field(default=1, ge=1)
    compile: bool = False  # by `torch.compile`; worth its minutes on a GPU only


class Recipe(htnet.recipe.Recipe):
    """A recipe of a network that grades facial palsy."""

    augmentation: Augmentation = Augmentation()
    training: Training = Training()
    folder: ClassVar[Path] = Path(__file__).parent.parent / "recipes"
    derived: ClassVar[tuple[str, ...]] = ("num_classes", "head")

    def config(self, *, num_classes: int) -> HTNetConfig:
        """Return the network's configuration for a number of classes."""
        settings = {**self.network, "num_classes": num_classes, "head": HEAD_OF[self.training.loss]}
        config = config_from(settings, source=f"recipe {self.name}")
        maps = config.num_roi_regions
        if config.use_roi_module and self.training.region_weight and maps != len(ROI_REGIONS):
            raise UserError(
                f"network.num_roi_regions is {maps}, but its maps are taught the "
                f"{len(ROI_REGIONS)} regions {', '.join(ROI_REGIONS)}: give {len(ROI_REGIONS)}, or "
                "training.region_weight 0 to leave the maps untaught."
            )
        return config

    def check(self) -> None:
        """Refuse unknown settings of the network and impossible sizes."""
        config = self.config(num_classes=6)
        if self.training.trunk == "frozen" and config.pooling != "patient":
            raise UserError("training.trunk frozen needs network.pooling patient.")
        if config.pooling == "patient" and (self.augmentation.mixup or self.augmentation.mirror):
            raise UserError(
                "network.pooling patient keeps a patient's photographs together and answers a "
                "mirrored one alike: set augmentation.mixup and augmentation.mirror to 0."
            )

    def answering_numbers(self) -> Recipe:
        """Return the recipe for scores: an ordered head, whose steps are those of the scale."""
        ordered = self.training.model_copy(update={"loss": "coral", "class_weights": False})
        return self.model_copy(update={"training": ordered})

    def reading_features(self) -> Recipe:
        """Return the recipe for a table of features: those that it names, or else all of them."""
        if self.network.get("features"):
            return self
        network = {**self.network, "features": list(FEATURE_NAMES)}
        return self.model_copy(update={"network": network})
