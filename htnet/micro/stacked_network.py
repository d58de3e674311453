"""Many HTNets of one configuration, each with its own weights, computed as one stack.

A fold of a leave-one-subject-out run is a row of the stack. Every layer is one batched matrix
product over the rows. Nothing is shared between rows (there are no batch statistics), so that the
gradient of the sum of the folds' losses is each fold's own gradient.

At the published geometry (28 px, patches of 7 px, three levels) a block holds a single token, of
which attention is the value path: queries and keys have no say and are carried along untouched.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from common.errors import UserError
from htnet.configuration import HTNetConfig
from htnet.micro.stacked_layers import norm, offset, product, windows
from htnet.micro.stacked_weights import StackedWeights

_NOT_STACKED = (
    "use_micro_attention",
    "use_roi_module",
    "side_head",
    "point_head",
    "read_points",
    "face_position",
    "dropout",
)


def check_stackable(config: HTNetConfig) -> None:
    """Refuse what the stack does not compute, naming the setting."""
    for name in _NOT_STACKED:
        if getattr(config, name):
            raise UserError(
                f"network.{name} is {getattr(config, name)}: micro-expression networks are "
                "trained without it; leave it out."
            )
    if config.tokens != 1:
        raise UserError(
            f"image_size {config.image_size} with patch_size {config.patch_size} gives "
            f"{config.tokens} x {config.tokens} tokens a block, but flow maps are trained with one "
            f"token: give patch_size {config.image_size // config.blocks}."
        )
    if config.head != "classes" or config.pooling == "mirror":
        raise UserError(
            'Micro-expression networks have head "classes" and pooling "mean": leave out others.'
        )


def cut_patches(maps: Tensor, *, patch_size: int) -> Tensor:
    """Cut `(..., H, W, c)` into `(..., tokens, p * p * c)`, in HTNet's order of values."""
    *first, height, width, channels = maps.shape
    p = patch_size
    cut = maps.reshape(*first, height // p, p, width // p, p, channels).transpose(-4, -3)
    return cut.reshape(*first, (height // p) * (width // p), p * p * channels)


class StackedHTNet:
    """The forward pass of a stack of networks.

    Parameters
    ----------
    weights
        Of all folds.
    """

    def __init__(self, weights: StackedWeights) -> None:
        check_stackable(weights.config)
        self.weights, self.config = weights, weights.config

    def __call__(self, patches: Tensor, *, masks: Sequence[Tensor] = ()) -> Tensor:
        """Answer clips.

        Parameters
        ----------
        patches
            `(folds, b, tokens, values)`, or `(folds, b, 2, tokens, values)` for the regions
            input: the mosaic, then the whole map. As `cut_patches` gives them, standardised.
        masks
            What dropout leaves: 0, or 1 / (1 - rate). For one map, one mask `(folds, b, c)` of
            what the head reads. For the regions input, two of the fusion head: `(folds, b, k)` of
            the mosaic's answer and `(folds, b, 2 k)` of both. Empty: nothing is dropped.

        Returns
        -------
        Tensor
            Logits `(folds, b, k)` in the precision of the master weights.
        """
        if self.config.input == "face":
            return self._answer(patches, *masks)
        folds, b = patches.shape[:2]
        rows = patches.permute(2, 0, 1, 3, 4).reshape(2 * folds, b, *patches.shape[3:])
        mosaic, whole = self._answer(rows).chunk(2)
        dtype = self.weights.products
        on_mosaic, on_both = masks or (mosaic.new_ones(()), mosaic.new_ones(()))
        joined = self._linear(mosaic.to(dtype), "fusion.join_parts").relu() * on_mosaic.to(dtype)
        both = torch.cat([whole.to(dtype), joined], dim=2).relu() * on_both.to(dtype)
        return self._linear(both, "fusion.join_whole").to(self.weights.master.dtype)

    def _answer(self, patches: Tensor, mask: Tensor | None = None) -> Tensor:
        """Answer `(rows, b, tokens, values)` with one network a row: logits `(rows, b, k)`."""
        rows, b = patches.shape[:2]
        side = self.config.grid
        x = patches.to(self.weights.products).flatten(1, 2)
        x = self._linear(x, "embed")  # (rows, b h w, c) here and below
        for level, layers in enumerate(self.config.block_repeats):
            x = offset(x, *self.weights.pair(f"levels.{level}.position"))
            for layer in range(layers):
                x = self._layer(x, f"levels.{level}.layers.{layer}.")
            if level < self.config.num_hierarchies - 1:
                shape = (rows, b, side, side)
                x = self._aggregate(x, f"levels.{level}.aggregate.", shape=shape)
                side //= 2
        read = self._norm(x, "norm")
        if mask is not None:
            read = read * mask.to(read.dtype)
        return self._linear(read, "head").to(self.weights.master.dtype)

    def _layer(self, x: Tensor, name: str) -> Tensor:
        """Compute the value path of attention and the feed-forward, each added to its input."""
        value = self._linear(self._norm(x, f"{name}attention_norm"), f"{name}attention.to_qkv")
        x = x + self._linear(value, f"{name}attention.to_out.0")
        hidden = self._linear(self._norm(x, f"{name}feed_forward.0"), f"{name}feed_forward.1")
        return x + self._linear(F.gelu(hidden), f"{name}feed_forward.4")

    def _aggregate(self, x: Tensor, name: str, *, shape: tuple[int, int, int, int]) -> Tensor:
        """Map `(rows, b h w, c)` to `(rows, b h/2 w/2, 2 c)`: convolution, norm, max-pool."""
        rows, b, height, width = shape
        x = self._linear(windows(x.view(*shape, -1)), f"{name}conv")
        x = self._norm(x, f"{name}norm").view(rows * b, height, width, -1)
        x = F.max_pool2d(x.permute(0, 3, 1, 2), 3, stride=2, padding=1).permute(0, 2, 3, 1)
        return x.reshape(rows, b * (height // 2) * (width // 2), -1)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        weight, bias = f"{name}.weight", f"{name}.bias"
        if bias not in self.weights.value:
            return product(x, *self.weights.pair(weight))
        return product(x, *self.weights.pair(weight), *self.weights.pair(bias))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return norm(x, *self.weights.pair(f"{name}.weight"), *self.weights.pair(f"{name}.bias"))
