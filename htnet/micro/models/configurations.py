"""What the residual network and the ROI models are made of: checked when made, kept with them."""

from __future__ import annotations

from typing import Self, get_args

from pydantic import Field, model_validator

from common.settings import Settings
from htnet.micro.clips.maps import CHANNELS
from htnet.micro.clips.regions import RoiKind

ROI_KINDS: tuple[RoiKind, ...] = get_args(RoiKind)


class ResidualConfig(Settings):
    """Sizes of the small residual network.

    Attributes
    ----------
    image_size
        Side of the square input in px.
    channels
        Of its stages; each stage is two convolutions and halves the map.
    num_classes
        Number of classes.
    """

    image_size: int = Field(default=28, ge=8)
    channels: tuple[int, ...] = Field(default=(16, 32, 64), min_length=1)
    num_classes: int = Field(default=3, ge=2)


class RoiConfig(Settings):
    """Sizes of a ROI model.

    Attributes
    ----------
    model
        `temporal` (a transformer over the windows), `graph` (attention among the regions), or
        `hybrid` (both, with learned region weights and a learned fusion).
    num_classes
        Number of classes k.
    regions
        Names of the regions, in the order of the input.
    windows
        Number of windows in time, onset first.
    size
        Side of a region's map in px.
    channels
        Of the encoder's strided convolutions; the last is the length of an embedding.
    shared_encoder
        One encoder for all regions, in place of one for each.
    heads
        Attention heads of both branches.
    temporal_layers, graph_layers
        Layers of the transformer over the windows, and of the attention among the regions.
    feed_forward
        Width of the transformer's feed-forward layers.
    dropout
        Share of attention weights and outputs dropped in training.
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
