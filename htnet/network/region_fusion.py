"""The region input's network: a mosaic of regions, the whole face beside it, and their fusion."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from common.errors import UserError
from htnet.network.configuration import HTNetConfig, config_from
from htnet.network.heads import feature_reader, with_features
from htnet.network.htnet import HTNet, HTNetDetails, at_image_size


class RegionFusion(nn.Module):
    """The published region-fusion head, for any number of classes and parts.

    The parts' answers are brought to one, joined to that of the whole face, and both to the
    result: relu and dropout of one half before each step but the first, as published for three
    classes and five parts.

    Parameters
    ----------
    num_outputs
        Logits k of each part.
    parts
        Number of parts beside the whole face.
    """

    def __init__(self, *, num_outputs: int, parts: int = 5, dropout: float = 0.5) -> None:
        super().__init__()
        self.join_parts = nn.Linear(parts * num_outputs, num_outputs)
        self.join_whole = nn.Linear(2 * num_outputs, num_outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, whole: Tensor, parts: Tensor) -> Tensor:
        """Fuse `(b, k)` of the whole face and `(b, parts, k)` to `(b, k)`."""
        joined = self.dropout(torch.relu(self.join_parts(parts.flatten(1))))
        both = torch.cat([whole, joined], dim=1)
        fused: Tensor = self.join_whole(self.dropout(torch.relu(both)))
        return fused


class RegionHTNet(nn.Module):
    """Two HTNets of one configuration, for the mosaic and for the whole face, and their fusion."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.config: HTNetConfig = config_from(settings, source=type(self).__name__)
        images_alone = {**settings, "features": ()}  # measured features join behind the fusion
        self.whole, self.mosaic = HTNet(**images_alone), HTNet(**images_alone)
        self.fusion = RegionFusion(num_outputs=self.config.num_outputs, parts=1)
        self.feature_reader = feature_reader(self.config)

    def forward(
        self, image: Tensor, features: Tensor | None = None, *, return_roi_maps: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Grade `(b, 2, channels, image_size, image_size)`: the mosaic, then the whole face."""
        details = self.details(image, features)
        if not return_roi_maps:
            return details.logits
        if details.roi_maps is None:
            raise UserError("This HTNet has no ROI module: build it with use_roi_module=True.")
        return details.logits, at_image_size(details.roi_maps, self.config.image_size)

    def details(self, image: Tensor, features: Tensor | None = None) -> HTNetDetails:
        """Grade; side and maps are those of the whole face."""
        if image.ndim != 5 or image.shape[1] != 2:
            raise UserError(
                f"The image has the shape {tuple(image.shape)}, but the regions input needs "
                "(batch, 2, channels, size, size): the mosaic, then the whole face."
            )
        mosaic = self.mosaic.details(image[:, 0])
        found = self.whole.details(image[:, 1])
        found.logits = self.fusion(found.logits, mosaic.logits[:, None])
        found.logits = with_features(found.logits, features, self.feature_reader)
        return found


GradingNetwork = HTNet | RegionHTNet


def build_network(config: HTNetConfig) -> GradingNetwork:
    """Build the network for a configuration's input."""
    kind = HTNet if config.input == "face" else RegionHTNet
    return kind(**vars(config))
