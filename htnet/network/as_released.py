"""The two modules as their first release computed them, defects included; for old weights only.

What is wrong with them, and mended in `mirror_attention` and `facial_regions`: left and right are
the halves of an image block instead of the face; the half-face map is stretched to the whole
width instead of mirrored; the prior's centre lies half a cell off. Parameters keep their old names.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from htnet.network.facial_regions import RegionsFound
from htnet.network.mirror_attention import neighbourhood_mask

_PRIOR_SIDE = 32  # the prior was drawn at this size and resized


class ReleasedMicroAttention(nn.Module):
    """Micro-attention within one image block: `(b, dim, h, h)` to the same."""

    mask: Tensor

    def __init__(
        self,
        *,
        dim: int,
        heads: int,
        grid: int,
        asymmetry_weight: float = 0.5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.dim_head = heads, dim // heads
        inner = self.heads * self.dim_head
        self.asymmetry_weight, self.dropout = asymmetry_weight, dropout
        self.to_q = nn.Conv2d(dim, inner, 1, bias=False)
        self.to_k = nn.Conv2d(dim, inner, 1, bias=False)
        self.to_v = nn.Conv2d(dim, inner, 1, bias=False)
        self.to_out = nn.Sequential(nn.Conv2d(inner, dim, 1), nn.Dropout(dropout))
        self.asymmetry_score = nn.Sequential(
            nn.Conv2d(2 * dim, dim, 1), nn.GELU(), nn.Conv2d(dim, 1, 1)
        )
        self.register_buffer("mask", neighbourhood_mask(grid), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within 3 x 3 places and weight by the stretched half-block map."""
        b, _, h, w = x.shape
        q, k, v = (
            # (b, heads * d, h, w) -> (b, heads, h * w, d)
            part(x).view(b, self.heads, self.dim_head, h * w).transpose(2, 3)
            for part in (self.to_q, self.to_k, self.to_v)
        )
        dropped = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask, dropout_p=dropped)
        out = out.transpose(2, 3).reshape(b, -1, h, w)
        weighted: Tensor = self.to_out(out * (1 + self.asymmetry_weight * self._map(x)))
        return weighted

    def _map(self, x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        if half == 0:  # a single column has no halves; the first release stopped here
            return x.new_zeros(())
        pair = [x[..., :half], x[..., x.shape[-1] // 2 :].flip(-1)[..., :half]]
        score = torch.sigmoid(self.asymmetry_score(torch.cat(pair, dim=1)))
        return F.interpolate(score, size=x.shape[-2:], mode="bilinear", align_corners=False)


class ReleasedROIModule(nn.Module):
    """First published ROI module with its prior of 32 x 32, centre half a cell off."""

    facial_prior: Tensor

    def __init__(self, *, dim: int, num_roi_regions: int = 5) -> None:
        super().__init__()
        hidden = dim // 2
        self.roi_detector = nn.Sequential(
            nn.Conv2d(dim, hidden, 3, padding=1),
            nn.BatchNorm2d(hidden),
            nn.GELU(),
            nn.Conv2d(hidden, num_roi_regions, 1),
        )
        self.background_suppressor = nn.Sequential(
            nn.Conv2d(dim, hidden, 3, padding=1),
            nn.BatchNorm2d(hidden),
            nn.GELU(),
            nn.Conv2d(hidden, 1, 1),
        )
        self.roi_refine = nn.Sequential(
            nn.Conv2d(dim + num_roi_regions + 1, dim, 3, padding=1), nn.BatchNorm2d(dim), nn.GELU()
        )
        steps = torch.arange(_PRIOR_SIDE, dtype=torch.float64) - _PRIOR_SIDE // 2
        distance = torch.hypot(steps[:, None], steps[None, :])
        prior = 1 - 0.5 * distance / (2**0.5 * _PRIOR_SIDE / 2)
        self.register_buffer("facial_prior", prior.float()[None, None])

    def forward(self, x: Tensor) -> RegionsFound:
        """Find the regions of `(b, dim, h, w)`."""
        prior = F.interpolate(
            self.facial_prior, size=x.shape[-2:], mode="bilinear", align_corners=False
        )
        mask = torch.sigmoid(self.background_suppressor(x)) * prior
        maps = torch.sigmoid(self.roi_detector(x)) * mask
        refined = self.roi_refine(torch.cat([x, maps, mask], dim=1))
        return RegionsFound(features=x + refined * mask, maps=maps, mask=mask)
