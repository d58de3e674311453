"""What a ROI model is made of: one dataclass, checked when made and kept in every checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from common.errors import UserError, did_you_mean
from htnet.configuration import settings_of
from htnet.micro.clips import CHANNELS

RoiModel = Literal["temporal", "graph", "hybrid"]
ROI_MODELS: tuple[RoiModel, ...] = get_args(RoiModel)


@dataclass(frozen=True, kw_only=True)
class RoiConfig:
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
        Share of attention weights and outputs dropped in training, 0 to below 1.
    """

    model: RoiModel
    num_classes: int
    regions: tuple[str, ...]
    windows: int = 4
    size: int = 224
    channels: tuple[int, ...] = (32, 64, 128, 256)
    shared_encoder: bool = False
    heads: int = 8
    temporal_layers: int = 2
    graph_layers: int = 2
    feed_forward: int = 512
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Refuse impossible sizes, naming the arguments."""
        object.__setattr__(self, "regions", tuple(self.regions))
        object.__setattr__(self, "channels", tuple(self.channels))
        if self.model not in ROI_MODELS:
            raise UserError(
                f'model is "{self.model}": choose one of {", ".join(ROI_MODELS)}.'
                + did_you_mean(str(self.model), ROI_MODELS)
            )
        if self.num_classes < 2:
            raise UserError(f"num_classes is {self.num_classes}: give 2 or more.")
        if not self.regions or len(set(self.regions)) != len(self.regions):
            raise UserError(f"regions {list(self.regions)} must be different names, one or more.")
        for name in ("windows", "heads", "temporal_layers", "graph_layers", "feed_forward"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: give 1 or more.")
        if not self.channels or min(self.channels) < 1:
            raise UserError(f"channels {list(self.channels)} must be numbers of 1 or more.")
        if self.size < 2 ** len(self.channels):
            raise UserError(
                f"size {self.size} is too small for the {len(self.channels)} halvings of "
                f"channels: give {2 ** len(self.channels)} or more."
            )
        if self.embedding % self.heads:
            raise UserError(
                f"the last of channels {list(self.channels)} is no multiple of heads {self.heads}: "
                f"give for instance heads {self.embedding}."
            )
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is {self.dropout}: give a share from 0 to below 1.")

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


def roi_config_from(settings: Mapping[str, Any], *, source: str) -> RoiConfig:
    """Make a configuration of loose settings, as they stand in a checkpoint or a recipe.

    Raises
    ------
    UserError
        When a setting is unknown or missing; `source` names the file in the sentence.
    """
    return settings_of(RoiConfig, settings, source=source, what="the ROI model")
