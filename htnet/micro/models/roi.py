"""Models of optical flow within regions of the face: temporal, graph and hybrid.

Each reads maps of u, v and strain of every region in every window between onset, apex and offset:
`(batch, windows, regions, 3, H, W)`. An encoder turns a map into an embedding; the models differ in
how embeddings meet: in time (transformer, Vaswani et al. 2017), across the face (graph attention,
Veličković et al. 2018, every region a neighbour of every other), or both.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Self, get_args

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from common.errors import UserError
from common.settings import Settings
from htnet.micro.clips.maps import CHANNELS, RoiKind

ROI_KINDS: tuple[RoiKind, ...] = get_args(RoiKind)


class RoiConfig(Settings):
    """Sizes of a ROI model.

    `model`: `temporal` (a transformer over the windows), `graph` (attention among the regions) or
    `hybrid` (both, with learned region weights and fusion). `channels` are those of the encoder's
    strided convolutions, the last the length of an embedding; one encoder for each region unless
    `shared_encoder`. `feed_forward` is the width of the transformer's layers of that kind.
    """

    model: RoiKind
    num_classes: int = Field(ge=2)
    regions: tuple[str, ...] = Field(min_length=1)
    windows: int = Field(default=4, ge=1)
    size: int = 224
    channels: tuple[int, ...] = Field(default=(32, 64, 128, 256), min_length=1)
    shared_encoder: bool = False
    heads: int = Field(default=8, ge=1)
    temporal_layers: int = Field(default=2, ge=1)
    graph_layers: int = Field(default=2, ge=1)
    feed_forward: int = Field(default=512, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(set(self.regions)) != len(self.regions):
            raise ValueError(f"regions {list(self.regions)} must be different names.")
        if min(self.channels) < 1:
            raise ValueError(f"channels {list(self.channels)} must be numbers of 1 or more.")
        if self.size < 2 ** len(self.channels):
            raise ValueError(
                f"size {self.size} is too small for the {len(self.channels)} halvings of "
                f"channels: give {2 ** len(self.channels)} or more."
            )
        if self.embedding % self.heads:
            raise ValueError(
                f"the last of channels {list(self.channels)} is no multiple of heads {self.heads}: "
                f"give for instance heads {self.embedding}."
            )
        return self

    @property
    def embedding(self) -> int:
        """Length of a region's embedding."""
        return self.channels[-1]

    @property
    def token(self) -> int:
        """Length of a window's token: the embeddings of its regions side by side."""
        return self.embedding * len(self.regions)

    @property
    def window_shape(self) -> tuple[int, ...]:
        """Shape of one clip: windows, regions, channels, H, W."""
        return (self.windows, len(self.regions), len(CHANNELS), self.size, self.size)


class RegionEncoder(nn.Module):
    """Maps of a region to embeddings: strided 3 x 3 convolutions, then the mean over all places.

    Batch normalisation follows each convolution, so a factor on the input changes nothing that
    comes out: a weight of a region must act on its embedding.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((len(CHANNELS), *channels)):
            layers += [
                nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        self.convolutions = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(n, 3, H, W)` to `(n, c)`."""
        places: Tensor = self.convolutions(maps)  # (n, c, H / 16, W / 16) with four convolutions
        return places.mean(dim=(2, 3))


class RoiNetwork(nn.Module):
    """What the three models share: the encoders and the head.

    `unit` is the magnitude `(3,)` by which u, v and strain are divided, found on the training
    clips: flow is a fraction of the face's size, far below what batch normalisation takes for
    nothing.
    """

    unit: Tensor

    def __init__(self, config: RoiConfig, *, summary: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("unit", torch.ones(len(CHANNELS)))
        count = 1 if config.shared_encoder else len(config.regions)
        self.encoders = nn.ModuleList(RegionEncoder(config.channels) for _ in range(count))
        self.head = nn.Sequential(
            nn.LayerNorm(summary),
            nn.Dropout(config.dropout),
            nn.Linear(summary, config.num_classes),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(batch, windows, regions, 3, H, W)` to logits `(batch, num_classes)`.

        UserError when the shape is another than the configuration's.
        """
        return self.head(self.summary(self.embed(maps)))

    def summary(self, embeddings: Tensor) -> Tensor:
        """Bring embeddings `(batch, windows, regions, c)` of a clip together."""
        raise NotImplementedError

    def region_importance(self, maps: Tensor) -> dict[str, float]:
        """Return the share of each region in the answers to some clips; sums to 1.

        Empty for a model that has none: the transformer's token is all regions in one.
        """
        return {}

    def embed(self, maps: Tensor) -> Tensor:
        """Return an embedding of each map, `(batch, windows, regions, c)`."""
        expected = self.config.window_shape
        if maps.ndim != 6 or tuple(maps.shape[1:]) != expected:
            raise UserError(
                f"The maps have the shape {tuple(maps.shape)}, but windows {self.config.windows}, "
                f"regions {len(self.config.regions)} and size {self.config.size} need (batch, "
                f"{', '.join(map(str, expected))})."
            )
        batch, windows, regions = maps.shape[:3]
        maps = maps / self.unit[:, None, None]
        # (batch, windows, regions, ...) -> (regions, batch windows, ...), or (1, all, ...)
        by_encoder = maps.movedim(2, 0).reshape(len(self.encoders), -1, *maps.shape[3:])
        codes = torch.stack(
            [
                encoder(some.contiguous(memory_format=torch.channels_last))
                for encoder, some in zip(self.encoders, by_encoder, strict=True)
            ]
        )
        # (encoders, maps, c) -> (regions, batch, windows, c) -> (batch, windows, regions, c)
        return codes.reshape(regions, batch, windows, -1).permute(1, 2, 0, 3)


class TemporalBranch(nn.Module):
    """Transformer over the windows; a window's token is its regions' embeddings side by side."""

    def __init__(self, config: RoiConfig) -> None:
        super().__init__()
        self.position = nn.Parameter(0.02 * torch.randn(config.windows, config.token))
        layer = nn.TransformerEncoderLayer(
            config.token,
            config.heads,
            dim_feedforward=config.feed_forward,
            dropout=config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        depth = config.temporal_layers
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map `(batch, windows, regions, c)` to `(batch, regions * c)`."""
        tokens = embeddings.flatten(2) + self.position  # (batch, windows, regions * c)
        return self.layers(tokens).mean(dim=1)


class GraphLayer(nn.Module):
    """Every region attends to every region; the result is added to its input and normalised."""

    def __init__(self, config: RoiConfig) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(
            config.embedding, config.heads, dropout=config.dropout, batch_first=True
        )
        self.norm = nn.LayerNorm(config.embedding)

    def forward(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return nodes `(batch, regions, c)` and attention `(batch, to, from)`, mean of heads."""
        attended, weights = self.attention(nodes, nodes, nodes, need_weights=True)
        return self.norm(nodes + attended), weights


class GraphBranch(nn.Module):
    """Attention among the regions, pooled over time before and over the regions behind.

    A learned vector says which region a node is, or all would be alike to the pooling.
    """

    def __init__(self, config: RoiConfig) -> None:
        super().__init__()
        self.region = nn.Parameter(0.02 * torch.randn(len(config.regions), config.embedding))
        self.layers = nn.ModuleList(GraphLayer(config) for _ in range(config.graph_layers))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map `(batch, windows, regions, c)` to `(batch, c)`."""
        return self.with_attention(embeddings)[0]

    def with_attention(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pooled nodes `(batch, c)` and the attention each region gets `(batch, r)`."""
        nodes = embeddings.mean(dim=1) + self.region  # (batch, regions, c)
        received = []
        for layer in self.layers:
            nodes, weights = layer(nodes)
            received.append(weights.mean(dim=1))  # over those who look: (batch, regions)
        return nodes.mean(dim=1), torch.stack(received).mean(dim=0)


class RoiTemporal(RoiNetwork):
    """How each region moves, followed in time."""

    def __init__(self, config: RoiConfig) -> None:
        super().__init__(config, summary=config.token)
        self.temporal = TemporalBranch(config)

    def summary(self, embeddings: Tensor) -> Tensor:
        """Map `(batch, windows, regions, c)` to `(batch, regions * c)`."""
        return self.temporal(embeddings)


class RoiGraph(RoiNetwork):
    """How the regions move together, whatever the order in time."""

    def __init__(self, config: RoiConfig) -> None:
        super().__init__(config, summary=config.embedding)
        self.graph = GraphBranch(config)

    def summary(self, embeddings: Tensor) -> Tensor:
        """Map `(batch, windows, regions, c)` to `(batch, c)`."""
        return self.graph(embeddings)

    def region_importance(self, maps: Tensor) -> dict[str, float]:
        """Return the share of attention that each region gets, mean over clips; sums to 1."""
        received = self.graph.with_attention(self.embed(maps))[1].mean(dim=0)
        return _by_name(self.config, received)


class RoiHybrid(RoiNetwork):
    """Both branches on weighted embeddings; a gate decides, channel by channel, whom to believe."""

    def __init__(self, config: RoiConfig) -> None:
        super().__init__(config, summary=config.embedding)
        self.region_logits = nn.Parameter(torch.zeros(len(config.regions)))
        self.temporal, self.graph = TemporalBranch(config), GraphBranch(config)
        self.narrow = nn.Linear(config.token, config.embedding)
        self.gate = nn.Linear(2 * config.embedding, config.embedding)

    def summary(self, embeddings: Tensor) -> Tensor:
        """Map `(batch, windows, regions, c)` to `(batch, c)`."""
        weights = self.region_logits.softmax(dim=0) * len(self.config.regions)  # mean 1
        weighted = embeddings * weights[:, None]
        in_time, in_space = self.narrow(self.temporal(weighted)), self.graph(weighted)
        gate = torch.sigmoid(self.gate(torch.cat([in_time, in_space], dim=1)))
        return gate * in_time + (1 - gate) * in_space

    def region_importance(self, maps: Tensor | None = None) -> dict[str, float]:
        """Return the learned weight of each region; it is the same for all clips."""
        return _by_name(self.config, self.region_logits.softmax(dim=0))


def build_roi(config: RoiConfig) -> RoiNetwork:
    """Build the model that a configuration names."""
    if config.model == "temporal":
        return RoiTemporal(config)
    return RoiGraph(config) if config.model == "graph" else RoiHybrid(config)


def _by_name(config: RoiConfig, values: Tensor) -> dict[str, float]:
    return dict(zip(config.regions, values.detach().double().tolist(), strict=True))
