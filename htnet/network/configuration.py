"""What an HTNet is made of: one class of settings, kept in every weights file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from common.settings import Settings, settings_from

ROI_REGIONS = ("forehead", "right_eye", "left_eye", "nose", "mouth")
"""Names of the five maps of the facial ROI module, in order; sides are the patient's."""

CELL = 4  # px, of the oriented gradients

SIDE_CLASSES = ("right", "left", "none")
"""Answers of the side head, in order: the patient's weak side, or none."""


class HTNetConfig(Settings):
    """Sizes and parts of an HTNet.

    `num_hierarchies`: level 0 is cut into 2^(levels - 1) blocks a side, the last is one block.
    `use_micro_attention`: every second layer of a level is `DiagonalMicroAttention`, which compares
    each face with its mirror image (unless `as_released`); the network then computes both.
    `use_roi_module`: a facial ROI module follows the patch embedding; five maps are `ROI_REGIONS`.
    `diagonal`: what a token of the micro-attention sees: its 3 x 3 `neighbourhood`, or the `cross`
    of its main and anti-diagonal.
    `roi_form`: first published form (`prior`: background suppression times an anatomical prior), or
    the second (`channel`: threshold 0.3, spatial times channel attention).
    `head`: `classes` gives k logits; `corn` and `coral` give k - 1 logits of "worse than class j".
    `face_position`: learn an offset for each place of the whole face as well. The published offset
    repeats in every block and is one number for all channels, which the normalisation takes out
    again, so that the published network hardly knows where in the face a token lies.
    `pooling`: what the heads read. `mean`: the mean token, as published. `places`: every token of
    the last level. `mirror`: every token's difference between the face and its mirror image; a
    symmetric face then gives one fixed answer whoever's face it is, a mirrored face the same grade
    and the other side. `patient`: all photographs of a patient together, each face and its mirror
    image (`PatientPooling`); a photograph alone is a patient with one photograph.
    `stem`: what the levels see: the `patches` of pixels, as published, or their `gradients`
    (`oriented_gradients`), which skin, light and camera change little.
    `compat`: `corrected`, or `as_released`: both modules as their first release computed them, with
    attention and halves taken inside image blocks and a half-face map stretched to the whole. For
    loading old weights only.
    `input`: `face`: one aligned face. `regions`: a mosaic of eyes and mouth corners with the whole
    face beside it, for `RegionHTNet`. `appearance`: one face warped by its points on to a symmetric
    one, which has no shape of its own (`htnet.alignment`).
    `features`: measured features (columns of `features.csv`) that the grade's head reads, too.
    """

    image_size: int = Field(ge=1)  # side of the square input, px
    patch_size: int = Field(ge=1)  # px a side; a token stands for one patch
    num_classes: int = Field(ge=2)  # k: six House-Brackmann grades, three classes, or two
    dim: int = Field(ge=1)  # channels of the first level; doubled at each further level
    heads: int = Field(ge=1)  # attention heads of the first level; doubled likewise
    num_hierarchies: int = Field(default=3, ge=1)
    block_repeats: tuple[int, ...] = (2, 2, 10)  # transformer layers of each level
    mlp_mult: int = Field(default=4, ge=1)  # feed-forward width, as a multiple of the channels
    channels: int = Field(default=3, ge=1)  # of the input image
    dropout: float = Field(default=0.0, ge=0, lt=1)  # share of attention weights and outputs
    use_micro_attention: bool = False
    use_roi_module: bool = False
    num_roi_regions: int = Field(default=len(ROI_REGIONS), ge=1)
    asymmetry_weight: float = 0.5  # alpha: tokens are weighted by 1 + alpha * asymmetry map
    learn_asymmetry_weight: bool = False  # whether alpha is learned, from `asymmetry_weight` on
    diagonal: Literal["neighbourhood", "cross"] = "neighbourhood"
    roi_form: Literal["prior", "channel"] = "prior"
    head: Literal["classes", "corn", "coral"] = "classes"
    side_head: bool = False  # whether the weak side is answered as well (`SIDE_CLASSES`)
    face_position: bool = False
    pooling: Literal["mean", "places", "mirror", "patient"] = "mean"
    summary: int = Field(default=96, ge=1)  # values that sum up each face for the pooling `patient`
    stem: Literal["patches", "gradients"] = "patches"
    head_dropout: float = Field(default=0.0, ge=0, lt=1)  # share of values before the heads
    compat: Literal["corrected", "as_released"] = "corrected"
    input: Literal["face", "regions", "appearance"] = "face"
    features: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Refuse sizes and parts that do not go together, naming the arguments."""
        cell = self.patch_size * self.blocks  # px of the smallest square that can be cut
        fitting = max(1, round(self.image_size / cell)) * cell
        if self.image_size % self.patch_size:
            raise ValueError(
                f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}: "
                f"give for instance image_size {fitting}."
            )
        if self.grid % self.blocks:
            raise ValueError(
                f"image_size {self.image_size} with patch_size {self.patch_size} gives {self.grid} "
                f"patches a side, which num_hierarchies {self.num_hierarchies} cannot cut into "
                f"{self.blocks} equal blocks: give for instance image_size {fitting}."
            )
        if self.dim < self.heads:
            raise ValueError(f"dim {self.dim} is less than heads {self.heads}: give more channels.")
        if len(self.block_repeats) != self.num_hierarchies or min(self.block_repeats) < 1:
            raise ValueError(
                f"block_repeats {list(self.block_repeats)} must name a number of layers, 1 or "
                f"more, for each of the num_hierarchies {self.num_hierarchies} levels."
            )
        if self.stem == "gradients" and (self.patch_size % CELL or self.channels != 3):
            raise ValueError(
                f"stem gradients needs channels 3 and a patch_size that is a multiple of {CELL}."
            )
        if self.pooling == "patient" and self.input == "regions":
            raise ValueError(
                "pooling patient reads whole faces: choose another input than regions."
            )
        if len(set(self.features)) < len(self.features):
            raise ValueError(f"features names {', '.join(self.features)}: name each only once.")
        return self

    @property
    def grid(self) -> int:
        """Patches along a side of the image."""
        return self.image_size // self.patch_size

    @property
    def blocks(self) -> int:
        """Blocks along a side at the first level."""
        return 1 << (self.num_hierarchies - 1)

    @property
    def tokens(self) -> int:
        """Tokens along a side of a block; the same at every level."""
        return self.grid // self.blocks

    @property
    def dims(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.dim * 2**level for level in range(self.num_hierarchies))

    @property
    def read_size(self) -> int:
        """Values that the heads read."""
        return self.dims[-1] * (1 if self.pooling == "mean" else self.tokens**2)

    @property
    def compares_halves(self) -> bool:
        """Whether the heads compare each face with its mirror image."""
        return self.pooling in ("mirror", "patient")

    @property
    def reads_mirror_image(self) -> bool:
        """Whether the mirror image of each face goes through the network beside it."""
        compared = self.use_micro_attention and self.compat == "corrected"
        return compared or self.compares_halves

    @property
    def num_outputs(self) -> int:
        """Logits of the head: k, or k - 1 for an ordinal one."""
        return self.num_classes if self.head == "classes" else self.num_classes - 1


PUBLISHED_28 = HTNetConfig(image_size=28, patch_size=7, num_classes=3, dim=256, heads=3)
"""The published micro-expression network (Wang et al. 2024), one token in each block."""

PUBLISHED_224 = HTNetConfig(image_size=224, patch_size=7, num_classes=6, dim=256, heads=3)
"""Its adaptation to six House-Brackmann grades, 8 x 8 tokens in each block."""


def config_from(settings: Mapping[str, Any], *, source: str) -> HTNetConfig:
    """Make a configuration of loose settings, as they stand in a checkpoint or YAML file.

    UserError when a setting is unknown, missing or impossible; `source` names the file in it.
    """
    return settings_from(HTNetConfig, settings, source=source, section="network")
