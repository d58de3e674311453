"""The clips of a run on its device, in every variant that training shows, and standardisation."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from htnet.micro.clips import FlowMaps
from htnet.micro.inputs import mirrored, network_inputs
from htnet.micro.recipe import MicroRecipe
from htnet.micro.stacked_network import cut_patches


class ClipTable:
    """The clips as tensors on a device: patches of each variant, and labels.

    Parameters
    ----------
    clips, recipe
        What to see, and how.
    device
        Where the tensors lie.
    """

    def __init__(self, clips: FlowMaps, recipe: MicroRecipe, *, device: torch.device) -> None:
        training = recipe.training
        self.config = recipe.config(num_classes=len(clips.classes))
        self.dtype = torch.float64 if training.precision == "float64" else torch.float32
        inputs = network_inputs(clips, name=training.input, image_size=self.config.image_size)
        self.count = len(inputs)
        ways = [inputs]
        if recipe.augmentation.mirror:
            ways.append(mirrored(inputs, scaling=clips.scaling))
        self.ways = len(ways)  # each shown unmoved first, in this order
        shift = recipe.augmentation.shift
        reach = range(-shift, shift + 1)
        moves = sorted(((x, y) for x in reach for y in reach), key=lambda move: move != (0, 0))
        variants = [_moved(way, move) for move in moves for way in ways]
        self.variants = len(variants)
        values = torch.from_numpy(np.concatenate(variants)).to(self.dtype)
        # (variants n, [2,] tokens, values)
        self.patches = cut_patches(values, patch_size=self.config.patch_size).to(device)
        self.labels = torch.from_numpy(clips.label).to(device)
        self.device = device

    def scaling(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return factor and offset that give the rows mean 0 and deviation 1 in each channel.

        Returns
        -------
        tuple of Tensor
            Both `(1, values)`, or `(2, 1, values)` with mosaic and whole map apart.
        """
        channels = self.config.channels
        seen = self.patches[torch.from_numpy(rows).to(self.device)]
        seen = seen.unflatten(-1, (-1, channels))  # (rows, [2,] tokens, p p, c)
        over = (0, -3, -2)
        deviation, mean = torch.std_mean(seen.double(), dim=over, correction=0)
        factor = 1 / deviation.clamp_min(1e-12)
        each = self.patches.shape[-1] // channels
        factor, offset = (
            value.repeat(*[1] * (value.ndim - 1), each).unsqueeze(-2).to(self.dtype)
            for value in (factor, -mean * factor)
        )
        return factor, offset


def _moved(inputs: NDArray[np.float32], move: tuple[int, int]) -> NDArray[np.float32]:
    """Move maps by whole pixels right and down, repeating the edge."""
    size = inputs.shape[-2]
    x, y = (np.clip(np.arange(size) - step, 0, size - 1) for step in move)
    return inputs[..., y[:, None], x[None, :], :]
