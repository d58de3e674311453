"""Loss of the ROI models: focal, with class weights and label smoothing."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor


def focal_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    weights: Tensor,
    gamma: float,
    alpha: float,
    smoothing: float,
) -> Tensor:
    """Mean focal loss of a batch (Lin et al. 2017, equation 5, for several classes).

    Parameters
    ----------
    logits
        `(n, k)`.
    labels
        `(n,)` class numbers from 0.
    weights
        `(k,)` of the classes.
    gamma
        A clip that is answered with probability p counts (1 - p)^gamma; 0 is cross-entropy.
    alpha
        Factor of the whole loss. With several classes it prefers none; that is what `weights` do.
    smoothing
        The target is 1 - smoothing for the labelled class plus smoothing / k for every class, so
        that wrong classes take part in the loss.
    """
    k = logits.shape[1]
    target = F.one_hot(labels, k) * (1 - smoothing) + smoothing / k
    logs = logits.log_softmax(dim=1)
    each = -(target * (1 - logs.exp()) ** gamma * logs).sum(dim=1)
    return alpha * (weights[labels] * each).mean()


def class_weights(labels: NDArray[np.int64], *, num_classes: int) -> Tensor:
    """Return `(k,)` weights that give every class the same say; their mean over clips is 1.

    A class without clips gets weight 1, which nothing uses.
    """
    counts = np.bincount(labels, minlength=num_classes)
    present = np.count_nonzero(counts)
    weights = np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 1.0)
    return torch.tensor(weights, dtype=torch.float32)
