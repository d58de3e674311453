"""How a network learns: losses, weights of rare classes, course of the rate; what logits stand for.

A target is written as steps: `worse_than[j]` is the probability that the class is above class
j + 1. A grade III of six is 1, 1, 0, 0, 0. Steps may lie between 0 and 1 when faces were mixed.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

LossName = Literal["cross_entropy", "focal", "corn", "coral"]
HEAD_OF = {"cross_entropy": "classes", "focal": "classes", "corn": "corn", "coral": "coral"}
"""Which head of `HTNetConfig` each loss needs."""

SCORE_STEPS = 11
"""Equal steps into which the scale of a score is cut; its network has a class more than these."""

_FOCUS = 2.0  # gamma of the focal loss, as published


def steps_of(labels: Tensor, *, num_classes: int) -> Tensor:
    """Return class numbers 1..k `(n,)` as steps `(n, k - 1)`."""
    return (labels[:, None] > torch.arange(1, num_classes, device=labels.device)).float()


def classes_of(worse_than: Tensor) -> Tensor:
    """Return steps `(n, k - 1)` as class probabilities `(n, k)`."""
    ends = worse_than.new_ones(len(worse_than), 1)
    above = torch.cat([ends, worse_than, 0 * ends], dim=1)
    return above[:, :-1] - above[:, 1:]


def steps_of_scores(scores: NDArray[np.float64], *, low: float, high: float) -> Tensor:
    """Return scores `(n,)` as the share of each step that is passed, `(n, SCORE_STEPS)`."""
    passed = (np.asarray(scores)[:, None] - low) / (high - low) * SCORE_STEPS
    return torch.from_numpy(np.clip(passed - np.arange(SCORE_STEPS), 0, 1)).float()


def scores_of(chances: NDArray[np.float64], *, low: float, high: float) -> NDArray[np.float64]:
    """Return class probabilities `(n, SCORE_STEPS + 1)` as the scores `(n,)` that they expect.

    Of the exact steps of a score it is that score: the steps passed, times their width, from `low`.
    """
    return low + (high - low) / SCORE_STEPS * (chances @ np.arange(SCORE_STEPS + 1))


def probabilities(logits: Tensor, *, head: str) -> Tensor:
    """Return the class probabilities `(n, k)` that a head's logits stand for.

    Of a CORN head, logit j is the probability of being above class j + 1 given that one is above
    class j; of a CORAL head, the probability of being above class j + 1.
    """
    if head == "classes":
        return logits.softmax(dim=1)
    steps = torch.sigmoid(logits)
    # For CORAL, steps are in order already unless thresholds were learned out of order.
    return classes_of(steps.cumprod(dim=1) if head == "corn" else steps.cummin(dim=1).values)


def grade_loss(logits: Tensor, worse_than: Tensor, *, loss: LossName, weights: Tensor) -> Tensor:
    """Mean loss of a batch.

    `logits`: `(n, k)` for cross-entropy and focal (Lin et al. 2017, with gamma 2), `(n, k - 1)` for
    CORN (Shi, Cao, Raschka 2021) and CORAL (Cao, Mirjalili, Raschka 2020). `worse_than`:
    `(n, k - 1)` target steps. `weights`: `(k,)` of the classes, for rare ones; mean 1 over the
    training faces.
    """
    target = classes_of(worse_than)
    importance = target @ weights
    if loss in ("cross_entropy", "focal"):
        each = focal(logits, target, gamma=_FOCUS if loss == "focal" else 0.0)
    elif loss == "coral":
        each = F.binary_cross_entropy_with_logits(logits, worse_than, reduction="none").sum(dim=1)
    else:
        reached = torch.cat([torch.ones_like(worse_than[:, :1]), worse_than[:, :-1]], dim=1)
        # reached * BCE(sigmoid(z), worse / reached), without the quotient
        each = (reached * F.softplus(logits) - worse_than * logits).sum(dim=1)
    return (importance * each).mean()


def focal(logits: Tensor, target: Tensor, *, gamma: float) -> Tensor:
    """Focal loss `(n,)` of logits `(n, k)` (Lin et al. 2017, equation 5, for several classes).

    What is answered with probability p counts (1 - p)^gamma; 0 is cross-entropy. The target
    `(n, k)` may be spread over the classes, so that wrong ones take part in the loss.
    """
    logs = logits.log_softmax(dim=1)
    return -(target * (1 - logs.exp()) ** gamma * logs).sum(dim=1)


def cosine(done: float, *, last: float = 0.0) -> float:
    """Return the factor of a rate that falls from 1 to `last` as half a cosine."""
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def rate_at(step: int, *, rising: int, total: int, falls: bool = True) -> float:
    """Share of the learning rate at an update: it rises, then stays or falls as half a cosine."""
    if step < rising:
        return (step + 1) / rising
    return cosine((step - rising) / max(1, total - rising)) if falls else 1.0


def class_weights(labels: NDArray[np.int64], *, num_classes: int) -> Tensor:
    """Return `(k,)` weights that give every class the same say; their mean over `labels` is 1.

    Labels are counted from 0. A class without any gets weight 1, which nothing uses.
    """
    present = np.unique(labels)
    weights = np.ones(num_classes)
    weights[present] = compute_class_weight("balanced", classes=present, y=labels)
    return torch.tensor(weights, dtype=torch.float32)


def side_loss(logits: Tensor, side: Tensor) -> Tensor:
    """Cross-entropy of the weak side; faces whose side is not known have no say."""
    known = side.sum(dim=1)
    each = -(side * logits.log_softmax(dim=1)).sum(dim=1)
    return each.sum() / known.sum().clamp_min(1.0)


def region_loss(maps: Tensor, regions: Tensor) -> Tensor:
    """One minus the soft overlap (Dice) of each ROI map with its dlib region, mean over maps.

    `maps`: `(n, 5, h, w)` 0..1. `regions`: `(n, 5, s, s)` 0..1, where each region lies.
    """
    return 1 - overlap(maps, regions).mean()


def overlap(maps: Tensor, regions: Tensor) -> Tensor:
    """Dice overlap `(n, 5)` of maps with regions: 1 alike, 0 apart."""
    place = F.adaptive_avg_pool2d(regions, (maps.shape[2], maps.shape[3]))
    both = (maps * place).sum(dim=(2, 3))
    return (2 * both + 1e-6) / (maps.square().sum((2, 3)) + place.square().sum((2, 3)) + 1e-6)
