"""The facial ROI module: where forehead, eyes, nose and mouth are, and what is background.

Feature maps here are `(b, c, h, w)`, of the whole face.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

THRESHOLD = 0.3  # sum of the region maps above which a place counts as face (second form)
_PRIOR_SIDE = 32  # px at which the first release drew its prior


@dataclass(frozen=True)
class RegionsFound:
    """What the module returns: features `(b, c, h, w)`, region maps `(b, regions, h, w)` in 0..1.

    `mask` `(b, 1, h, w)` is how much of a place is kept as face and not background.
    """

    features: Tensor
    maps: Tensor
    mask: Tensor


class FacialROIModule(nn.Module):
    """First published form: region maps under a learned face mask and an anatomical prior."""

    prior: Tensor

    def __init__(self, *, dim: int, grid: int, num_roi_regions: int = 5) -> None:
        super().__init__()
        self.roi_detector = _detector(dim, max(1, dim // 2), num_roi_regions)
        self.background_suppressor = _detector(dim, max(1, dim // 2), 1)
        self.roi_refine = nn.Sequential(
            nn.Conv2d(dim + num_roi_regions + 1, dim, 3, padding=1), nn.BatchNorm2d(dim), nn.GELU()
        )
        self.register_buffer("prior", anatomical_prior(grid), persistent=False)

    def forward(self, x: Tensor) -> RegionsFound:
        """Find the regions of `(b, dim, h, w)` and refine the features within the face."""
        maps = torch.sigmoid(self.roi_detector(x))
        mask = torch.sigmoid(self.background_suppressor(x)) * self.prior_at(x.shape[-2:])
        refined = self.roi_refine(torch.cat([x, maps * mask, mask], dim=1))
        return RegionsFound(features=x + refined * mask, maps=maps * mask, mask=mask)

    def prior_at(self, size: torch.Size) -> Tensor:
        """Return how likely each place of a map is face."""
        return self.prior


class ReleasedROIModule(FacialROIModule):
    """As the first release computed it; for old weights only.

    Its prior was drawn at one size, with the centre half a cell off, and resized.
    """

    facial_prior: Tensor

    def __init__(self, *, dim: int, num_roi_regions: int = 5) -> None:
        super().__init__(dim=dim, grid=1, num_roi_regions=num_roi_regions)
        steps = torch.arange(_PRIOR_SIDE, dtype=torch.float64) - _PRIOR_SIDE // 2
        distance = torch.hypot(steps[:, None], steps[None, :])
        prior = 1 - 0.5 * distance / (2**0.5 * _PRIOR_SIDE / 2)
        self.register_buffer("facial_prior", prior.float()[None, None])

    def prior_at(self, size: torch.Size) -> Tensor:
        """Return the prior, resized."""
        return F.interpolate(self.facial_prior, size=size, mode="bilinear", align_corners=False)


class ChannelROIModule(nn.Module):
    """Second published form: places above a threshold, spatial times channel attention."""

    def __init__(self, *, dim: int, num_roi_regions: int = 5) -> None:
        super().__init__()
        self.roi_detector = _detector(dim, max(1, dim // 2), num_roi_regions)
        self.spatial_attention = nn.Sequential(
            nn.Conv2d(dim, max(1, dim // 4), 1),
            nn.BatchNorm2d(max(1, dim // 4)),
            nn.GELU(),
            nn.Conv2d(max(1, dim // 4), 1, 1),
        )
        self.channel_attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(dim, max(1, dim // 8), 1),
            nn.GELU(),
            nn.Conv2d(max(1, dim // 8), dim, 1),
        )
        self.background_suppressor = nn.Sequential(
            nn.Conv2d(dim + num_roi_regions, dim, 1), nn.BatchNorm2d(dim), nn.GELU()
        )
        self.roi_refine = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor) -> RegionsFound:
        """Find the regions of `(b, dim, h, w)` and add what stands out within them."""
        maps = torch.sigmoid(self.roi_detector(x))
        mask = (maps.sum(dim=1, keepdim=True) > THRESHOLD).to(x.dtype)
        spatial = torch.sigmoid(self.spatial_attention(x)) * mask
        channel = torch.sigmoid(self.channel_attention(x))
        kept = self.background_suppressor(torch.cat([x * spatial * channel, maps], dim=1))
        return RegionsFound(features=x + self.roi_refine(kept), maps=maps, mask=mask)


def anatomical_prior(grid: int) -> Tensor:
    """How likely a place is face: `(1, 1, grid, grid)`, 1 - 0.5 * distance / largest distance.

    Distances are from the centre of the map, ((grid - 1) / 2, (grid - 1) / 2), so the prior is
    symmetric; it is 1 in the centre and 0.5 in the corners.
    """
    steps = torch.arange(grid) - (grid - 1) / 2
    distance = torch.hypot(steps[:, None], steps[None, :])
    largest = distance.max().clamp_min(1e-12)
    return (1 - 0.5 * distance / largest)[None, None]


def _detector(dim: int, hidden: int, maps: int) -> nn.Sequential:
    """3 x 3 convolution, normalisation, GELU, 1 x 1 convolution to `maps` logits."""
    return nn.Sequential(
        nn.Conv2d(dim, hidden, 3, padding=1),
        nn.BatchNorm2d(hidden),
        nn.GELU(),
        nn.Conv2d(hidden, maps, 1),
    )
