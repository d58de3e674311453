"""HTNet, readable from top to bottom: patches, block attention by levels, aggregation, head.

Source: Wang, Zhang, Luo, Sankaranarayana 2024, "HTNet for micro-expression recognition",
Neurocomputing 602:128196, built on the nested transformer of Zhang et al. 2022 (arXiv 2105.12723).

Between the parts, features are `(b, h, w, c)`: the whole face, with channels last, so that every
1 x 1 convolution of the publication is one matrix product. Blocks exist only inside the attention.
The parts: `levels` (with `mirror_attention`), `facial_regions`, `heads`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from common.errors import UserError
from htnet.network.configuration import CELL, HTNetConfig, config_from
from htnet.network.facial_regions import ChannelROIModule, FacialROIModule, ReleasedROIModule
from htnet.network.gradients import DIRECTIONS, oriented_gradients
from htnet.network.heads import (
    FeatureReader,
    PatientFound,
    PatientPooling,
    RegionFusion,
    feature_reader,
    grade_head,
    side_head,
    with_features,
)
from htnet.network.levels import Level

MEAN, SPREAD = 127.5, 64.0
"""Of 8-bit values, as networks see them; fixed, so that a face's brightness stays its own."""


@dataclass
class HTNetDetails:
    """Everything that a forward pass can tell.

    `zones`: `(b, 2, 3)`: weakness of brow, eye and mouth on the right and on the left, 0 to about
    1; None unless the pooling is `patient`.
    `roi_maps`: `(b, regions, grid, grid)` in 0..1; None without the ROI module.
    `asymmetry_maps`: `(b, h, w)` in 0..1 of each micro-attention, first level first; where both
    sides are alike each lies at its own lowest value, `MirrorComparison.lowest`.
    """

    logits: Tensor  # `(b, num_outputs)`
    side_logits: Tensor | None = None  # `(b, 3)` by `SIDE_CLASSES`; None without a side head
    zones: Tensor | None = None
    roi_maps: Tensor | None = None
    asymmetry_maps: list[Tensor] = field(default_factory=list)


class GradingNetwork(nn.Module):
    """A network that grades faces: `HTNet` on one image, or `RegionHTNet` on a mosaic as well.

    `settings`: the attributes of `HTNetConfig`, by keyword.
    """

    feature_reader: FeatureReader | None

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.config: HTNetConfig = config_from(settings, source=type(self).__name__)

    @classmethod
    def from_config(cls, config: HTNetConfig) -> Self:
        """Build the network of a configuration."""
        return cls(**vars(config))

    def details(self, image: Tensor, features: Tensor | None = None) -> HTNetDetails:
        """Grade images and keep what the parts found on the way."""
        raise NotImplementedError

    def forward(
        self, image: Tensor, features: Tensor | None = None, *, return_roi_maps: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the logits `(b, num_outputs)` of images.

        `image`: `(b, channels, image_size, image_size)` float, as `to_input` makes it; for regions
        `(b, 2, ...)`, the mosaic and then the whole face.
        `features`: `(b, f)` measured features in the order of `config.features`, NaN where missing;
        for networks that read them.
        `return_roi_maps`: also return the ROI maps, `(b, regions, image_size, image_size)` in 0..1.

        UserError when the image has another size, features are missing, or maps are asked of a
        network that has none.
        """
        details = self.details(image, features)
        if not return_roi_maps:
            return details.logits
        if details.roi_maps is None:
            raise UserError("This HTNet has no ROI module: build it with use_roi_module=True.")
        return details.logits, at_image_size(details.roi_maps, self.config.image_size)


class HTNet(GradingNetwork):
    """Nested hierarchical transformer on square images.

    Examples
    --------
    >>> network = HTNet(image_size=28, patch_size=7, num_classes=3, dim=12, heads=3)
    >>> network.config.num_outputs
    3
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        config = self.config
        patch = config.channels * config.patch_size**2
        if config.stem == "gradients":
            patch = DIRECTIONS * (config.patch_size // CELL) ** 2
        self.embed = nn.Linear(patch, config.dim)
        self.roi_module = _roi_module(config)
        self.levels = nn.ModuleList(Level(config, level) for level in range(config.num_hierarchies))
        self.norm = nn.LayerNorm(config.dims[-1])
        self.place = None
        if config.face_position:
            self.place = nn.Parameter(0.02 * torch.randn(config.grid, config.grid, config.dim))
        self.drop = nn.Dropout(config.head_dropout)
        read = config.read_size
        self.summary = self.patient = None
        if config.pooling == "patient":
            self.summary = nn.Linear(read, config.summary)
            self.patient = PatientPooling(config.summary)
            read = PatientPooling.READ
        self.head = grade_head(config, read)
        self.side_head = side_head(config, read) if self.patient is None else None
        self.feature_reader = feature_reader(config)

    def details(self, image: Tensor, features: Tensor | None = None) -> HTNetDetails:
        """Grade images, each for itself, and keep what the parts found on the way."""
        count = len(image)
        x, found = self._through_levels(image)
        if self.patient is None:
            self._answer(x, found)
        else:
            alone = torch.ones(count, 1, dtype=torch.bool, device=x.device)
            faces = self._summed_up(x)[:, None]
            self._answer_patients(found, self.patient(faces, rest=~alone, present=alone))
        found.logits = with_features(found.logits, features, self.feature_reader)
        # What was found in the mirror images is not asked for.
        found.asymmetry_maps = [asymmetry[:count] for asymmetry in found.asymmetry_maps]
        found.roi_maps = None if found.roi_maps is None else found.roi_maps[:count]
        return found

    def summaries(self, image: Tensor) -> Tensor:
        """Sum up images for `of_patients`: `(b, 2, summary)`, each face and its mirror image."""
        return self._summed_up(self._through_levels(image)[0])

    def of_patients(
        self, faces: Tensor, *, rest: Tensor, present: Tensor, features: Tensor | None = None
    ) -> HTNetDetails:
        """Grade patients by all their photographs: see `PatientPooling.forward`."""
        assert self.patient is not None
        found = HTNetDetails(logits=faces)
        self._answer_patients(found, self.patient(faces, rest=rest, present=present))
        found.logits = with_features(found.logits, features, self.feature_reader)
        return found

    def _through_levels(self, image: Tensor) -> tuple[Tensor, HTNetDetails]:
        """Return the last tokens, where compared `(2 b, ...)` with mirror images, and the maps."""
        count = len(image)
        if self.config.reads_mirror_image:
            image = torch.cat([image, image.flip(-1)])
        x = self.embed(self._patches(image))  # (b, grid, grid, dim)
        if self.place is not None:
            x = x + self.place
        found = HTNetDetails(logits=x)
        if self.roi_module is not None:
            regions = self.roi_module(x.permute(0, 3, 1, 2))
            found.roi_maps = regions.maps
            x = regions.features.permute(0, 2, 3, 1).contiguous()
        for level in self.levels:
            x, maps = level(x)
            found.asymmetry_maps += maps
        return self.norm(x if self.config.compares_halves else x[:count]), found

    def _summed_up(self, x: Tensor) -> Tensor:
        assert self.summary is not None
        return torch.stack(self.summary(x.flatten(1)).chunk(2), dim=1)

    def _answer_patients(self, found: HTNetDetails, patients: PatientFound) -> None:
        found.logits = self.head(self.drop(patients.read))
        found.side_logits, found.zones = patients.side, patients.zones

    def _answer(self, x: Tensor, found: HTNetDetails) -> None:
        """Let the heads read the last level's tokens `(b, n, n, c)`, `(2 b, ...)` with mirrors."""
        if self.config.pooling == "mirror":
            face, mirrored = x.flatten(1).chunk(2)
            signed = face - mirrored
            unsigned = signed.abs()
        else:
            signed = x.mean(dim=(1, 2)) if self.config.pooling == "mean" else x.flatten(1)
            unsigned = signed
        found.logits = self.head(self.drop(unsigned))
        if self.side_head is not None:
            found.side_logits = self.side_head(self.drop(signed))

    def _patches(self, image: Tensor) -> Tensor:
        """Cut `(b, c, H, W)` into `(b, grid, grid, p * p * c)`."""
        config = self.config
        expected = (config.channels, config.image_size, config.image_size)
        if image.ndim != 4 or tuple(image.shape[1:]) != expected:
            raise UserError(
                f"The image has the shape {tuple(image.shape)}, but image_size "
                f"{config.image_size} and channels {config.channels} need (batch, "
                f"{', '.join(map(str, expected))})."
            )
        grid, p = config.grid, config.patch_size
        if config.stem == "gradients":
            image = oriented_gradients((image * SPREAD + MEAN) / 255)
            p //= CELL
        cut = image.reshape(-1, image.shape[1], grid, p, grid, p)
        # (b, c, grid, p, grid, p) -> (b, grid, grid, p, p, c): the publication's order
        return cut.permute(0, 2, 4, 3, 5, 1).reshape(-1, grid, grid, p * p * image.shape[1])


class HTNetEnhanced(HTNet):
    """HTNet with both modules for facial palsy, unless a flag leaves one out."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"use_micro_attention": True, "use_roi_module": True, **settings})


class RegionHTNet(GradingNetwork):
    """Two HTNets of one configuration, for the mosaic and for the whole face, and their fusion."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        images_alone = {**settings, "features": ()}  # measured features join behind the fusion
        self.whole, self.mosaic = HTNet(**images_alone), HTNet(**images_alone)
        self.fusion = RegionFusion(num_outputs=self.config.num_outputs, parts=1)
        self.feature_reader = feature_reader(self.config)

    def details(self, image: Tensor, features: Tensor | None = None) -> HTNetDetails:
        """Grade; side and maps are those of the whole face."""
        if image.ndim != 5 or image.shape[1] != 2:
            raise UserError(
                f"The image has the shape {tuple(image.shape)}, but the regions input needs "
                "(batch, 2, channels, size, size): the mosaic, then the whole face."
            )
        mosaic = self.mosaic.details(image[:, 0])
        found = self.whole.details(image[:, 1])
        found.logits = self.fusion(found.logits, mosaic.logits[:, None])
        found.logits = with_features(found.logits, features, self.feature_reader)
        return found


def build_network(config: HTNetConfig) -> GradingNetwork:
    """Build the network for a configuration's input."""
    return (RegionHTNet if config.input == "regions" else HTNet).from_config(config)


def to_input(pixels: Tensor) -> Tensor:
    """Turn uint8 pixels into the float values that networks see, about -2 to 2."""
    return (pixels.float() - MEAN) / SPREAD


def set_threads(threads: int | None) -> None:
    """Limit the processor threads of the arithmetic."""
    if threads is not None:
        if threads < 1:
            raise UserError(f"--threads is {threads}: give 1 or more.")
        torch.set_num_threads(threads)


def at_image_size(maps: Tensor, image_size: int) -> Tensor:
    """Enlarge maps `(b, m, h, w)` to `(b, m, image_size, image_size)`."""
    return F.interpolate(maps, size=(image_size, image_size), mode="bilinear", align_corners=False)


def count_parameters(network: nn.Module) -> int:
    """Number of learned values."""
    return sum(parameter.numel() for parameter in network.parameters())


def _roi_module(config: HTNetConfig) -> nn.Module | None:
    if not config.use_roi_module:
        return None
    regions = config.num_roi_regions
    if config.compat == "as_released":
        return ReleasedROIModule(dim=config.dim, num_roi_regions=regions)
    if config.roi_form == "channel":
        return ChannelROIModule(dim=config.dim, num_roi_regions=regions)
    return FacialROIModule(dim=config.dim, grid=config.grid, num_roi_regions=regions)
