"""Oriented gradients in place of pixels: what a network sees of a face whatever skin and light.

Histograms as of Dalal and Triggs (2005, doi 10.1109/CVPR.2005.177), written so that they can be
differentiated: the strength of the edges of each direction in cells of 4 px, as a share of all the
edges around. Colour and brightness, in which drawn and photographed faces differ most, are gone.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from htnet.network.configuration import CELL

DIRECTIONS = 8  # over half a turn
_GREY = (0.299, 0.587, 0.114)
_AROUND = 5  # cells along a side of what an edge is compared with
_FAINT = 0.01  # of the brightness range: much weaker edges count as none
_USUAL = 0.35  # subtracted, so that values lie about 0


def oriented_gradients(image: Tensor) -> Tensor:
    """Map images `(b, 3, h, w)`, brightness 0 to 1, to `(b, 8, h / 4, w / 4)`, about -0.3 to 0.7.

    The mirror image of a face has the mirrored map, with directions 1 to 7 in reverse order.
    """
    grey = (image * image.new_tensor(_GREY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    squared = across * across + down * down + 1e-6
    strength = squared.sqrt()
    cells = []
    for angle in torch.arange(DIRECTIONS) * (math.pi / DIRECTIONS):
        along = across * math.cos(angle) + down * math.sin(angle)
        cells.append(F.avg_pool2d((along * along / squared) ** 2 * strength, CELL))
    found = torch.cat(cells, dim=1)
    around = F.pad(found.sum(dim=1, keepdim=True), (_AROUND // 2,) * 4, mode="replicate")
    share = found / (F.avg_pool2d(around, _AROUND, stride=1) + _FAINT)
    return share.clamp_min(1e-6).sqrt() - _USUAL
