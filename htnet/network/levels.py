"""The levels of an HTNet: transformer layers within blocks, then four blocks become one.

Features are `(b, h, w, c)`: the whole face, channels last.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from htnet.network.as_released import ReleasedMicroAttention
from htnet.network.block_attention import BlockAttention, InBlocks
from htnet.network.configuration import HTNetConfig
from htnet.network.mirror_attention import DiagonalMicroAttention


class Level(nn.Module):
    """One level: transformer layers within blocks, then the aggregation to the next level."""

    def __init__(self, config: HTNetConfig, level: int) -> None:
        super().__init__()
        self.blocks = config.blocks // 2**level
        dim, heads = config.dims[level], config.heads * 2**level
        self.position = nn.Parameter(torch.randn(config.tokens, config.tokens))
        self.layers = nn.ModuleList(
            Layer(
                dim=dim,
                attention=_attention(config, dim, heads, blocks=self.blocks, index=index),
                mlp_mult=config.mlp_mult,
                dropout=config.dropout,
            )
            for index in range(config.block_repeats[level])
        )
        is_last = level == config.num_hierarchies - 1
        self.aggregate = None if is_last else Aggregation(dim, config.dims[level + 1])

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Map `(b, h, w, c)` to the next level's `(b, h / 2, w / 2, 2 c)`; the last keeps shape."""
        x = x + self.position.repeat(self.blocks, self.blocks)[..., None]  # the same in each block
        maps = []
        for layer in self.layers:
            x, asymmetry = layer(x)
            if asymmetry is not None:
                maps.append(asymmetry)
        return (x if self.aggregate is None else self.aggregate(x)), maps


class Layer(nn.Module):
    """Attention and feed-forward, each after a normalisation and added to its input."""

    def __init__(self, *, dim: int, attention: nn.Module, mlp_mult: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = attention
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, dim * mlp_mult),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(dim * mlp_mult, dim),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the features `(b, h, w, c)` and the asymmetry map, if this layer makes one."""
        asymmetry = None
        if isinstance(self.attention, DiagonalMicroAttention):
            attended, asymmetry = self.attention.with_map(self.attention_norm(x))
        else:
            attended = self.attention(self.attention_norm(x))
        x = x + attended
        return x + self.feed_forward(x), asymmetry


class Aggregation(nn.Module):
    """3 x 3 convolution, normalisation, max-pool: four blocks become one of twice the channels."""

    def __init__(self, dim: int, dim_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim_out, 3, padding=1)
        self.norm = nn.LayerNorm(dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, h, w, c)` to `(b, h / 2, w / 2, c')`."""
        x = self.norm(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        pooled = F.max_pool2d(x.permute(0, 3, 1, 2), 3, stride=2, padding=1)
        return pooled.permute(0, 2, 3, 1).contiguous()


def _attention(config: HTNetConfig, dim: int, heads: int, *, blocks: int, index: int) -> nn.Module:
    """Attention of layer `index`: every second one is micro-attention where that is used."""
    if not config.use_micro_attention or index % 2 == 0:
        return BlockAttention(dim=dim, heads=heads, blocks=blocks, dropout=config.dropout)
    if config.compat == "as_released":
        released = ReleasedMicroAttention(
            dim=dim,
            heads=heads,
            grid=config.tokens,
            asymmetry_weight=config.asymmetry_weight,
            dropout=config.dropout,
        )
        return InBlocks(released, blocks=blocks)
    return DiagonalMicroAttention(
        dim=dim,
        heads=heads,
        grid=blocks * config.tokens,
        asymmetry_weight=config.asymmetry_weight,
        learn_asymmetry_weight=config.learn_asymmetry_weight,
        diagonal=config.diagonal,
        dropout=config.dropout,
    )
