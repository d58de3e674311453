"""What a network sees of a flow map: the whole, a mosaic of eyes and mouth corners, or both."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from htnet.micro.clips import CENTRES, CHANNELS, FlowMaps

InputName = Literal["whole", "mosaic", "both"]
INPUTS: tuple[InputName, ...] = ("whole", "mosaic", "both")

# Quadrants of the mosaic, as a face lies in a photograph: eyes above, mouth corners below, and
# the subject's right on the image's left. The nose tip has no quadrant (nor has it as published).
_ARRANGEMENT = (
    ("right_eye", "left_eye"),
    ("right_mouth_corner", "left_mouth_corner"),
)


def network_inputs(clips: FlowMaps, *, name: InputName, image_size: int) -> NDArray[np.float32]:
    """Return what the network sees of each clip.

    Parameters
    ----------
    clips
        Maps of `image_size` px a side.
    name
        `whole`, `mosaic` or `both`.
    image_size
        Side of the network's input in px.

    Returns
    -------
    numpy.ndarray
        `(n, S, S, 3)` in the maps' unit; for `both` `(n, 2, S, S, 3)`, the mosaic first.

    Raises
    ------
    UserError
        When the maps have another size.
    """
    if clips.maps.shape[1:] != (image_size, image_size, len(CHANNELS)):
        raise UserError(
            f"The flow maps are {clips.maps.shape[2]} x {clips.maps.shape[1]} px, but the recipe's "
            f"network.image_size is {image_size}: compute the flow with --size {image_size}."
        )
    if name == "whole":
        return clips.maps
    parts = mosaic(clips.maps, clips.centres)
    return parts if name == "mosaic" else np.stack([parts, clips.maps], axis=1)


def mosaic(maps: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put crops around eyes and mouth corners together, each a quarter of the map.

    Parameters
    ----------
    maps
        `(n, S, S, c)`.
    centres
        `(n, 5, 2)` x and y on the maps' grid, rows as in `CENTRES`. A crop that would reach over
        the border is moved inside.

    Returns
    -------
    numpy.ndarray
        `(n, S, S, c)`: 14-px crops at 28 px.
    """
    count, size = maps.shape[:2]
    half = size // 2
    # A crop from `start` on has its middle at start + (half - 1) / 2, pixel centres at integers.
    starts = np.floor(centres - (half - 1) / 2 + 0.5).astype(np.int64)
    starts = np.clip(starts, 0, size - half)
    made = np.empty_like(maps)
    within = np.arange(half)
    clip = np.arange(count)[:, None, None]
    for line, names in enumerate(_ARRANGEMENT):
        for column, name in enumerate(names):
            x, y = starts[:, CENTRES.index(name)].T
            crops = maps[clip, (y[:, None] + within)[:, :, None], (x[:, None] + within)[:, None, :]]
            made[:, line * half : (line + 1) * half, column * half : (column + 1) * half] = crops
    return made


def mirrored(inputs: NDArray[np.float32], *, scaling: str) -> NDArray[np.float32]:
    """Return the inputs of the mirrored faces: right and left exchanged, u turned round.

    Parameters
    ----------
    inputs
        `(..., S, S, 3)` whole maps or mosaics, of which every quadrant finds its partner.
    scaling
        As in `FlowMaps`: maps that were stretched to 0..255 one by one are turned round there.
    """
    flipped = inputs[..., ::-1, :].copy()
    u = flipped[..., CHANNELS.index("u")]
    flipped[..., CHANNELS.index("u")] = 255.0 - u if scaling == "published" else -u
    return flipped
