"""HTNet, readable from top to bottom: patches, block attention by levels, aggregation, head.

Source: Wang, Zhang, Luo, Sankaranarayana 2024, "HTNet for micro-expression recognition",
Neurocomputing 602:128196, built on the nested transformer of Zhang et al. 2022 (arXiv 2105.12723).

Between the parts, features are `(b, h, w, c)`: the whole face, with channels last, so that every
1 x 1 convolution of the publication is one matrix product. Blocks exist only inside the attention.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from common.errors import UserError
from htnet.as_released import ReleasedMicroAttention, ReleasedROIModule
from htnet.configuration import SIDE_CLASSES, HTNetConfig, config_from
from htnet.facial_regions import ChannelROIModule, FacialROIModule
from htnet.mirror_attention import DiagonalMicroAttention
from landmarks.points import N_POINTS


@dataclass
class HTNetDetails:
    """Everything that a forward pass can tell.

    Attributes
    ----------
    logits
        `(b, num_outputs)`.
    side_logits
        `(b, 3)` in the order of `SIDE_CLASSES`; None without a side head.
    points
        `(b, 68, 2)`: how far each landmark lies from its mirror partner, in twentieths of the
        side of the face; None without a point head.
    roi_maps
        `(b, regions, grid, grid)` in 0..1; None without the ROI module.
    asymmetry_maps
        `(b, h, w)` in 0..1 of each micro-attention, first level first.
    """

    logits: Tensor
    side_logits: Tensor | None = None
    points: Tensor | None = None
    roi_maps: Tensor | None = None
    asymmetry_maps: list[Tensor] = field(default_factory=list)


class HTNet(nn.Module):
    """Nested hierarchical transformer on square images.

    Parameters
    ----------
    settings
        The attributes of `HTNetConfig`, by keyword.

    Examples
    --------
    >>> network = HTNet(image_size=28, patch_size=7, num_classes=3, dim=12, heads=3)
    >>> network.config.num_outputs
    3
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.config = config = config_from(settings, source=type(self).__name__)
        self.embed = nn.Linear(config.channels * config.patch_size**2, config.dim)
        self.roi_module = _roi_module(config)
        self.levels = nn.ModuleList(Level(config, level) for level in range(config.num_hierarchies))
        self.norm = nn.LayerNorm(config.dims[-1])
        self.place = None
        if config.face_position:
            self.place = nn.Parameter(0.02 * torch.randn(config.grid, config.grid, config.dim))
        self.drop = nn.Dropout(config.head_dropout)
        read = 2 * N_POINTS if config.read_points else config.read_size
        head = CoralHead if config.head == "coral" else nn.Linear
        self.head = head(read, config.num_outputs)
        mirror = config.pooling == "mirror"
        self.side_head = self.point_head = None
        if config.side_head:
            self.side_head = (MirrorSideHead if mirror else SideHead)(read)
        if config.point_head:
            self.point_head = nn.Linear(config.read_size, 2 * N_POINTS, bias=not mirror)

    @classmethod
    def from_config(cls, config: HTNetConfig) -> Self:
        """Build the network of a configuration."""
        return cls(**vars(config))

    def forward(
        self, image: Tensor, *, return_roi_maps: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Grade images.

        Parameters
        ----------
        image
            `(b, channels, image_size, image_size)` float, normalised as in training.
        return_roi_maps
            Also return the ROI maps, `(b, regions, image_size, image_size)` in 0..1.

        Returns
        -------
        Tensor
            Logits `(b, num_outputs)`.

        Raises
        ------
        UserError
            When the image has another size, or maps are asked of a network that has none.
        """
        details = self.details(image)
        if not return_roi_maps:
            return details.logits
        if details.roi_maps is None:
            raise UserError("This HTNet has no ROI module: build it with use_roi_module=True.")
        return details.logits, at_image_size(details.roi_maps, self.config.image_size)

    def details(self, image: Tensor) -> HTNetDetails:
        """Grade images and keep what the parts found on the way."""
        twins = self.config.pooling == "mirror"
        if twins:
            image = torch.cat([image, image.flip(-1)])
        x = self.embed(self._patches(image))  # (b, grid, grid, dim)
        if self.place is not None:
            x = x + self.place
        found = HTNetDetails(logits=x)
        if self.roi_module is not None:
            regions = self.roi_module(x.permute(0, 3, 1, 2))
            found.roi_maps = regions.maps
            x = regions.features.permute(0, 2, 3, 1).contiguous()
        for level in self.levels:
            x, maps = level(x)
            found.asymmetry_maps += maps
        self._answer(self.norm(x), found)
        if twins:  # what was found in the mirror images is not asked for
            count = len(image) // 2
            found.asymmetry_maps = [asymmetry[:count] for asymmetry in found.asymmetry_maps]
            found.roi_maps = None if found.roi_maps is None else found.roi_maps[:count]
        return found

    def _answer(self, x: Tensor, found: HTNetDetails) -> None:
        """Let the heads read the last level's tokens `(b, n, n, c)`."""
        if self.config.pooling == "mirror":
            face, mirrored = x.flatten(1).chunk(2)
            signed = face - mirrored
            unsigned = signed.abs()
        else:
            signed = x.mean(dim=(1, 2)) if self.config.pooling == "mean" else x.flatten(1)
            unsigned = signed
        if self.point_head is not None:
            found.points = self.point_head(signed).view(-1, N_POINTS, 2)
        if self.config.read_points and found.points is not None:
            # Else grading would bend the points in training until they tell people apart.
            points = found.points.detach() if self.training else found.points
            signed = points.flatten(1)
            unsigned = signed.abs()
        found.logits = self.head(self.drop(unsigned))
        if self.side_head is not None:
            found.side_logits = self.side_head(self.drop(signed))

    def _patches(self, image: Tensor) -> Tensor:
        """Cut `(b, c, H, W)` into `(b, grid, grid, p * p * c)`."""
        config = self.config
        expected = (config.channels, config.image_size, config.image_size)
        if image.ndim != 4 or tuple(image.shape[1:]) != expected:
            raise UserError(
                f"The image has the shape {tuple(image.shape)}, but image_size "
                f"{config.image_size} and channels {config.channels} need (batch, "
                f"{', '.join(map(str, expected))})."
            )
        grid, p = config.grid, config.patch_size
        cut = image.reshape(-1, config.channels, grid, p, grid, p)
        # (b, c, grid, p, grid, p) -> (b, grid, grid, p, p, c): the publication's order
        return cut.permute(0, 2, 4, 3, 5, 1).reshape(-1, grid, grid, p * p * config.channels)


class HTNetEnhanced(HTNet):
    """HTNet with both modules for facial palsy, unless a flag leaves one out."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"use_micro_attention": True, "use_roi_module": True, **settings})


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


class SideHead(nn.Linear):
    """Logits of `SIDE_CLASSES` from `(b, c)`."""

    def __init__(self, size: int) -> None:
        super().__init__(size, len(SIDE_CLASSES))


class MirrorSideHead(nn.Module):
    """The side from what differs between a face and its mirror image: a mirrored face swaps it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.right = nn.Linear(size, 1, bias=False)
        self.none = nn.Linear(size, 1)

    def forward(self, difference: Tensor) -> Tensor:
        """Map `(b, c)` to `(b, 3)`: right, left, none."""
        right = self.right(difference)
        return torch.cat([right, -right, self.none(difference.abs())], dim=1)


class CoralHead(nn.Module):
    """One score and k - 1 thresholds (Cao, Mirjalili, Raschka 2020): logits never cross."""

    def __init__(self, dim: int, thresholds: int) -> None:
        super().__init__()
        self.score = nn.Linear(dim, 1, bias=False)
        self.thresholds = nn.Parameter(torch.linspace(2.0, -2.0, thresholds))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(b, c)` to logits `(b, k - 1)` of being worse than class j."""
        logits: Tensor = self.score(x) + self.thresholds
        return logits


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


def at_image_size(maps: Tensor, image_size: int) -> Tensor:
    """Enlarge maps `(b, m, h, w)` to `(b, m, image_size, image_size)`."""
    return F.interpolate(maps, size=(image_size, image_size), mode="bilinear", align_corners=False)


def count_parameters(network: nn.Module) -> int:
    """Number of learned values."""
    return sum(parameter.numel() for parameter in network.parameters())


def without_modules(config: HTNetConfig) -> HTNetConfig:
    """Return the configuration of the plain network of the same size."""
    return replace(config, use_micro_attention=False, use_roi_module=False)


def _roi_module(config: HTNetConfig) -> nn.Module | None:
    if not config.use_roi_module:
        return None
    regions = config.num_roi_regions
    if config.compat == "as_released":
        return ReleasedROIModule(dim=config.dim, num_roi_regions=regions)
    if config.roi_form == "channel":
        return ChannelROIModule(dim=config.dim, num_roi_regions=regions)
    return FacialROIModule(dim=config.dim, grid=config.grid, num_roi_regions=regions)


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
        twins=config.pooling == "mirror",
    )
