"""Diagonal micro-attention: each place looks at its neighbours and at its mirror place.

Feature maps of whole aligned faces come in, with the facial midline in the middle of their width,
and those of their mirror images after them; they go out attended and weighted by how much each
place differs from its mirror place.

What lies at the mirror place is read from the mirror image. A flipped feature map would not do: a
patch keeps its inside as it was, so that even a perfectly symmetric face would differ from it.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

_REACH = 1  # places to each side that belong to a 3 x 3 neighbourhood


class DiagonalMicroAttention(nn.Module):
    """Attention among near places, weighted by left-right asymmetry.

    The settings are those of `HTNetConfig`; `grid` places lie along a side of the whole face.
    """

    mask: Tensor

    def __init__(
        self,
        *,
        dim: int,
        heads: int,
        grid: int,
        asymmetry_weight: float = 0.5,
        learn_asymmetry_weight: bool = False,
        diagonal: Literal["neighbourhood", "cross"] = "neighbourhood",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.dim_head = heads, dim // heads
        inner = self.heads * self.dim_head
        self.grid, self.diagonal, self.dropout = grid, diagonal, dropout
        self.to_qkv = nn.Linear(dim, 3 * inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, dim), nn.Dropout(dropout))
        self.asymmetry = MirrorComparison(dim=dim)
        weight = torch.tensor(float(asymmetry_weight))
        if learn_asymmetry_weight:
            self.asymmetry_weight = nn.Parameter(weight)
        else:
            self.register_buffer("asymmetry_weight", weight)
        mask = _neighbours(grid) if diagonal == "neighbourhood" else cross_mask(grid)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(2 b, h, w, dim)`, faces and then their mirror images, to the same shape."""
        return self.with_map(x)[0]

    def with_map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output `(2 b, h, w, dim)` and the asymmetry maps `(2 b, h, w)`, 0 to 1."""
        q, k, v = self.to_qkv(x).chunk(3, dim=-1)  # each (b, h, w, heads * d)
        attended = (
            self._near(q, k, v) if self.diagonal == "neighbourhood" else self._masked(q, k, v)
        )
        asymmetry = self.asymmetry(x, x.roll(len(x) // 2, dims=0))
        weighted = attended * (1 + self.asymmetry_weight * asymmetry)[..., None]
        return self.to_out(weighted), asymmetry

    def passed_back(self, reach: Tensor, x: Tensor) -> Tensor:
        """Pass what reaches each output place `(b, h, w)` back to the input places."""
        b, h, w = reach.shape
        q, k, _ = self.to_qkv(x).chunk(3, dim=-1)
        q, k = (p.view(b, h * w, self.heads, self.dim_head).transpose(1, 2) for p in (q, k))
        mask = neighbourhood_mask(h) if self.diagonal == "neighbourhood" else cross_mask(h)
        dots = (q @ k.transpose(2, 3) * self.dim_head**-0.5).masked_fill(~mask, -torch.inf)
        back: Tensor = reach.view(b, 1, h * w) @ dots.softmax(dim=-1).mean(dim=1)
        return back.view(b, h, w)

    def _near(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend to the 3 x 3 neighbourhood, by nine shifts of the map."""
        b, h, w, _ = q.shape
        scaled = (q * self.dim_head**-0.5).view(b, h, w, self.heads, self.dim_head)
        dots = torch.stack([(scaled * shifted).sum(-1) for shifted in self._shifts(k)], dim=-1)
        dots = dots.masked_fill(~self.mask[:, :, None, :], -torch.inf)  # (b, h, w, heads, 9)
        weights = F.dropout(dots.softmax(dim=-1), self.dropout, self.training)
        out = sum(
            (weights[..., at, None] * shifted for at, shifted in enumerate(self._shifts(v))),
            start=torch.zeros_like(scaled),
        )
        return out.reshape(b, h, w, -1)

    def _shifts(self, x: Tensor) -> list[Tensor]:
        """Return the nine neighbours' values, each `(b, h, w, heads, d)`, row by row."""
        b, h, w, _ = x.shape
        padded = F.pad(x, (0, 0, _REACH, _REACH, _REACH, _REACH))
        steps = range(2 * _REACH + 1)
        return [
            padded[:, i : i + h, j : j + w].reshape(b, h, w, self.heads, self.dim_head)
            for i in steps
            for j in steps
        ]

    def _masked(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend among all places that the mask joins: `(b, h, w, c)` to the same."""
        b, h, w, _ = q.shape
        q, k, v = (
            part.view(b, h * w, self.heads, self.dim_head).transpose(1, 2) for part in (q, k, v)
        )
        dropped = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask, dropout_p=dropped)
        return out.transpose(1, 2).reshape(b, h, w, -1)


class MirrorComparison(nn.Module):
    """How much each place of a face differs from its mirror place, 0 to 1.

    map = sigmoid(readout(|conv([x, mirror(x)])|)), where the 1 x 1 convolution's kernel is
    [W, -W] and the readout's weights are positive. So, whatever has been learned, the map of any
    face is symmetric, a difference on one side raises it at both places, and where a place equals
    its mirror place, as on the midline, it rests at its lowest.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.compare = nn.Linear(dim, dim, bias=False)
        self.readout = nn.Parameter(torch.full((dim,), 4.0 / dim).expm1().log())
        self.rest = nn.Parameter(torch.tensor(-2.0))

    def lowest(self) -> Tensor:
        """Value of the map where both sides are alike, above 0 and below 1."""
        return torch.sigmoid(self.rest)

    def forward(self, x: Tensor, mirrored: Tensor) -> Tensor:
        """Compare features `(b, h, w, dim)` of a face with its mirror image's: `(b, h, w)`."""
        difference = (self.compare(x) - self.compare(mirrored)).abs()
        # Both mirror places show the same two patches, but may differ by where levels were pooled.
        both = (difference + difference.flip(2)) / 2
        return torch.sigmoid(both @ F.softplus(self.readout) + self.rest)


class ReleasedMicroAttention(nn.Module):
    """As the first release computed it within one image block; for old weights only.

    Its defects, mended above: left and right are the halves of a block instead of the face, and
    the half's map is stretched to the whole width instead of mirrored.
    """

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
        return self.to_out(out * (1 + self.asymmetry_weight * self._map(x)))

    def _map(self, x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        if half == 0:  # a single column has no halves; the first release stopped here
            return x.new_zeros(())
        pair = [x[..., :half], x[..., x.shape[-1] // 2 :].flip(-1)[..., :half]]
        score = torch.sigmoid(self.asymmetry_score(torch.cat(pair, dim=1)))
        return F.interpolate(score, size=x.shape[-2:], mode="bilinear", align_corners=False)


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


def neighbourhood_mask(grid: int) -> Tensor:
    """Which places each place sees, `(grid^2, grid^2)` bool: those at most one step away."""
    rows, columns = _steps(grid)
    return (rows <= _REACH) & (columns <= _REACH)


def cross_mask(grid: int) -> Tensor:
    """Which places each place sees, `(grid^2, grid^2)` bool: those on its two diagonals."""
    rows, columns = _steps(grid)
    return rows == columns


def _steps(grid: int) -> tuple[Tensor, Tensor]:
    """Absolute row and column steps between any two places, each `(grid^2, grid^2)`."""
    place = torch.arange(grid * grid)
    row, column = place // grid, place % grid
    return (row[:, None] - row).abs(), (column[:, None] - column).abs()


def _neighbours(grid: int) -> Tensor:
    """Return `(grid, grid, 9)` bool: whether each of a place's nine neighbours exists."""
    width = 2 * _REACH + 1
    inside = F.pad(torch.ones(grid, grid, dtype=torch.bool), [_REACH] * 4)
    shifts = [inside[i : i + grid, j : j + grid] for i in range(width) for j in range(width)]
    return torch.stack(shifts, dim=-1)
