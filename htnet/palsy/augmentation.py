"""Altered copies of faces for training, which keep what is to be graded: the asymmetry.

Turning, sizing and shifting are small and alike on both sides. A mirror flip swaps the side label
and the region masks of the two sides, and exists in no other form. Every draw comes from a
generator, so that a step can be repeated after a restart.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import Field
from torch import Tensor

from common.settings import Settings
from htnet.network.configuration import ROI_REGIONS, SIDE_CLASSES
from htnet.network.htnet import SPREAD
from htnet.palsy.faces import Batch

_OTHER = {"right": "left", "left": "right", "right_eye": "left_eye", "left_eye": "right_eye"}
_SWAPPED_REGIONS = [ROI_REGIONS.index(_OTHER.get(name, name)) for name in ROI_REGIONS]
_SWAPPED_SIDES = [SIDE_CLASSES.index(_OTHER.get(name, name)) for name in SIDE_CLASSES]


class Augmentation(Settings):
    """How far faces are altered in training; 0 leaves a kind out.

    `gamma`: values are raised to a power from 1 / (1 + gamma) to 1 + gamma.
    `mirror`: share of faces flipped with their side label; 0.5 makes sides equally frequent.
    `mixup`: share of batches in which each face is mixed with another, and its target likewise; an
    ordinal target is mixed step by step, so half of I and half of III is not a sure II.
    """

    rotation_deg: float = Field(default=5.0, ge=0, le=15)  # largest turn, degrees
    scale: float = Field(default=0.05, ge=0, le=0.3)  # largest change of size; 0.05: up to 5 %
    shift: float = Field(default=0.03, ge=0, le=0.2)  # largest, as a share of the side
    gamma: float = Field(default=0.25, ge=0, le=2)
    noise: float = Field(default=3.0, ge=0, le=50)  # deviation of normal noise, 8-bit grey levels
    blur: float = Field(default=0.2, ge=0, le=1)  # share of faces smoothed by 3 x 3 binomial
    mirror: float = Field(default=0.5, ge=0, le=1)
    mixup: float = Field(default=0.0, ge=0, le=1)


def augment(batch: Batch, settings: Augmentation, *, generator: torch.Generator) -> Batch:
    """Return an altered batch; the same generator state gives the same batch."""
    image, regions = batch.image, batch.regions
    count = len(image)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator).to(image.device)

    if settings.mirror:
        batch = mirror_some(batch, uniform(count) < settings.mirror)
        image, regions = batch.image, batch.regions
    if settings.rotation_deg or settings.scale or settings.shift:
        moves = 2 * uniform(count, 4) - 1
        image, regions = _move(image, regions, moves, settings)
    if settings.gamma:
        power = (1 + settings.gamma) ** (2 * uniform(count) - 1)
        image = _gamma(image, power)
    if settings.blur:
        some = uniform(count) < settings.blur
        image = image.index_put((some,), _smooth(image[some]))
    if settings.noise:
        normal = torch.randn(image.shape, generator=generator).to(image.device)
        image = image + normal * (settings.noise / SPREAD)
    batch = replace(batch, image=image, regions=regions)
    if settings.mixup and float(uniform(1)) < settings.mixup:
        batch = mix(batch, partner=torch.randperm(count, generator=generator), share=uniform(count))
    return batch


def mirror_some(batch: Batch, flipped: Tensor) -> Batch:
    """Flip the faces where `flipped` `(b,)`: sides and the two eyes' masks swap, grades stay."""
    image, regions, side = batch.image, batch.regions, batch.side
    return replace(
        batch,
        image=torch.where(_wide(flipped, image), image.flip(-1), image),
        regions=torch.where(
            _wide(flipped, regions), regions[:, _SWAPPED_REGIONS].flip(-1), regions
        ),
        side=torch.where(_wide(flipped, side), side[:, _SWAPPED_SIDES], side),
    )


def mix(batch: Batch, *, partner: Tensor, share: Tensor) -> Batch:
    """Mix each face with that of row `partner` `(b,)`; `share` `(b,)` 0..1 stays of the own."""

    def mixed(values: Tensor) -> Tensor:
        own = _wide(share, values)
        return own * values + (1 - own) * values[partner]

    return Batch(
        image=mixed(batch.image),
        worse_than=mixed(batch.worse_than),
        side=mixed(batch.side),
        regions=mixed(batch.regions),
        features=None if batch.features is None else mixed(batch.features),
    )


def _move(
    image: Tensor, regions: Tensor, moves: Tensor, settings: Augmentation
) -> tuple[Tensor, Tensor]:
    """Turn, size and shift by `moves` `(b, 4)` in -1..1, the masks with their face."""
    angle = torch.deg2rad(moves[:, 0] * settings.rotation_deg)
    size = 1 + moves[:, 1] * settings.scale
    cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
    shift = 2 * settings.shift * moves[:, 2:]
    theta = torch.stack(
        [torch.stack([cos, -sin, shift[:, 0]], -1), torch.stack([sin, cos, shift[:, 1]], -1)], 1
    )
    return _sample(image, theta, padding="border"), _sample(regions, theta, padding="zeros")


def _sample(image: Tensor, theta: Tensor, *, padding: str) -> Tensor:
    views = image.flatten(0, 1) if image.ndim == 5 else image
    turns = theta.repeat_interleave(image.shape[1], 0) if image.ndim == 5 else theta
    grid = F.affine_grid(turns, list(views.shape), align_corners=False)
    moved = F.grid_sample(views, grid, padding_mode=padding, align_corners=False)
    return moved.view_as(image)


def _gamma(image: Tensor, power: Tensor) -> Tensor:
    """Raise brightness, taken as 0..1, to a power."""
    brightness = (image * SPREAD / 255.0 + 0.5).clamp(1e-4, 1)
    return (brightness ** _wide(power, image) - 0.5) * 255.0 / SPREAD


def _smooth(image: Tensor) -> Tensor:
    """Smooth by 1-2-1 in both directions; the outermost pixels stay."""
    out = image.clone()
    out[..., 1:-1] = (image[..., :-2] + 2 * image[..., 1:-1] + image[..., 2:]) / 4
    rows = out.clone()
    rows[..., 1:-1, :] = (out[..., :-2, :] + 2 * out[..., 1:-1, :] + out[..., 2:, :]) / 4
    return rows


def _wide(values: Tensor, like: Tensor) -> Tensor:
    """Return `(b,)` as `(b, 1, ..., 1)`."""
    return values.view(-1, *([1] * (like.ndim - 1)))
