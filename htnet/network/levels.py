"""The levels of an HTNet: transformer layers within blocks, then four blocks become one.

Features are `(b, h, w, c)`: the whole face, channels last.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from htnet.network.configuration import HTNetConfig
from htnet.network.mirror_attention import DiagonalMicroAttention, InBlocks, ReleasedMicroAttention


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


class BlockAttention(nn.Module):
    """Scaled dot-product attention among the tokens of each block, `blocks` along a side."""

    def __init__(self, *, dim: int, heads: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dim_head = heads, dim // heads
        self.blocks, self.dropout = blocks, dropout
        inner = self.heads * self.dim_head
        self.to_qkv = nn.Linear(dim, 3 * inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, dim), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, h, w, dim)` to the same shape."""
        b, h, w, _ = x.shape
        s, n = self.blocks, h // self.blocks
        dropped = self.dropout if self.training else 0.0
        if n == 1 and not dropped:
            return self._single(x)
        q, k, v = self._by_block(self.to_qkv(x))
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropped)
        # (b s s, heads, n n, d) -> (b, s, s, heads, n, n, d) -> (b, s, n, s, n, heads, d)
        out = out.view(b, s, s, self.heads, n, n, self.dim_head).permute(0, 1, 4, 2, 5, 3, 6)
        return self.to_out(out.reshape(b, h, w, -1))

    def weights(self, x: Tensor) -> Tensor:
        """Return the attention weights, `(b * blocks^2, heads, n^2, n^2)`, for explanation."""
        q, k, _ = self._by_block(self.to_qkv(x))
        return (q @ k.transpose(-2, -1) * self.dim_head**-0.5).softmax(dim=-1)

    def passed_back(self, reach: Tensor, x: Tensor) -> Tensor:
        """Pass what reaches each output place `(b, h, w)` back to the input places."""
        b, h, w = reach.shape
        s, n = self.blocks, h // self.blocks
        # (b, s, n, s, n) -> (b s s, 1, n n)
        cut = reach.view(b, s, n, s, n).permute(0, 1, 3, 2, 4).reshape(b * s * s, 1, n * n)
        back = cut @ self.weights(x).mean(dim=1)
        return back.view(b, s, s, n, n).permute(0, 1, 3, 2, 4).reshape(b, h, w)

    def _by_block(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sort `(b, h, w, 3 heads d)` into three `(b s s, heads, n n, d)`."""
        b, h, _, _ = qkv.shape
        s, n = self.blocks, h // self.blocks
        parts = qkv.view(b, s, n, s, n, 3, self.heads, self.dim_head)
        # -> (3, b, s, s, heads, n, n, d)
        parts = parts.permute(5, 0, 1, 3, 6, 2, 4, 7)
        q, k, v = parts.reshape(3, b * s * s, self.heads, n * n, self.dim_head)
        return q, k, v

    def _single(self, x: Tensor) -> Tensor:
        """Of a single token, attention is its value: the softmax over one place is 1."""
        value = self.to_qkv.weight[-self.heads * self.dim_head :]
        return self.to_out(F.linear(x, value))


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
