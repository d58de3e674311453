"""What heatmaps are taught: a spot at each point, its expectation, and differences within pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from benchmarks.landmark_network.networks import cells, expected
from landmarks.points import INNER, MIRROR_PARTNER

Pairs = tuple[list[int], list[int]]
_INSIDE = 2  # px beyond the crop, up to which a point is still taught
JAW_WEIGHT = 0.25
FACE_WEIGHTS = torch.tensor([1.0 if point in INNER else JAW_WEIGHT for point in range(68)])
EYE_WEIGHTS = torch.ones(6)
_RIGHT = [point for point in INNER if MIRROR_PARTNER[point] > point]
SIDES: Pairs = (_RIGHT, [MIRROR_PARTNER[point] for point in _RIGHT])
"""Right and left points of the face: their differences are the asymmetry."""
LIDS: Pairs = ([1, 2], [5, 4])
"""Upper and lower lid in an eye's crop: how far the eye is open."""


def heatmap_loss(
    heatmaps: Tensor, points: Tensor, *, side: int, sigma: float, weights: Tensor, pairs: Pairs
) -> tuple[Tensor, float]:
    """The loss of heatmaps, and the mean error of their points (smooth L1, px).

    `points` `(n, k, 2)` px of a crop of `side` px, `sigma` px of the spot, `weights` `(k,)`.
    Points outside the crop count nothing.
    """
    at = cells(heatmaps, side)
    found = expected(heatmaps, side)
    inside = ((points > -_INSIDE) & (points < side - 1 + _INSIDE)).all(-1).float() * weights
    down = torch.exp(-((at - points[..., 1:2]) ** 2) / (2 * sigma**2))
    across = torch.exp(-((at - points[..., 0:1]) ** 2) / (2 * sigma**2))
    spot = down[..., :, None] * across[..., None, :]
    spot = spot / (spot.sum((2, 3), keepdim=True) + 1e-6)
    chance = torch.log_softmax(heatmaps.flatten(2), -1).view(heatmaps.shape)
    unlike = _mean(-(spot * chance).sum((2, 3)), inside)
    off = _mean(_apart(found, points), inside)
    one, other = pairs
    apart = _mean(
        _apart(found[:, one] - found[:, other], points[:, one] - points[:, other]),
        inside[:, one] * inside[:, other],
    )
    return 0.5 * unlike + 0.5 * off + 0.25 * apart, float(off.detach())


def _apart(found: Tensor, true: Tensor) -> Tensor:
    return smooth_l1_loss(found, true, reduction="none", beta=0.5).sum(-1)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=1)
