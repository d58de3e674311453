"""Attention within image blocks, on features `(b, h, w, c)` of the whole face."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class BlockAttention(nn.Module):
    """Scaled dot-product attention among the tokens of each block.

    Parameters
    ----------
    dim, heads
        Channels, and heads of `dim // heads` channels each.
    blocks
        Blocks along a side of the map.
    dropout
        Share of attention weights and outputs dropped in training.
    """

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
        attended: Tensor = self.to_out(out.reshape(b, h, w, -1))
        return attended

    def weights(self, x: Tensor) -> Tensor:
        """Return the attention weights, `(b * blocks^2, heads, n^2, n^2)`, for explanation."""
        q, k, _ = self._by_block(self.to_qkv(x))
        weights: Tensor = (q @ k.transpose(-2, -1) * self.dim_head**-0.5).softmax(dim=-1)
        return weights

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
        single: Tensor = self.to_out(F.linear(x, value))
        return single


class InBlocks(nn.Module):
    """Apply a module for `(b, c, n, n)` maps to every block of `(b, h, w, c)`."""

    def __init__(self, module: nn.Module, *, blocks: int) -> None:
        super().__init__()
        self.module, self.blocks = module, blocks

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, h, w, c)` to the same shape."""
        b, h, w, c = x.shape
        s, n = self.blocks, h // self.blocks
        # (b, s, n, s, n, c) -> (b, s, s, c, n, n)
        cut = x.view(b, s, n, s, n, c).permute(0, 1, 3, 5, 2, 4).reshape(b * s * s, c, n, n)
        out: Tensor = self.module(cut).view(b, s, s, c, n, n)
        return out.permute(0, 1, 4, 2, 5, 3).reshape(b, h, w, c)
