"""What a network sees of clips: whole maps, a mosaic of eyes and mouth corners, region windows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from common.errors import UserError
from htnet.micro.clips.maps import CENTRES, CHANNELS, FlowMaps, InputName, RegionWindows

# Quadrants of the mosaic, as a face lies in a photograph: eyes above, mouth corners below, and
# the subject's right on the image's left. The nose tip has no quadrant (nor has it as published).
_ARRANGEMENT = (("right_eye", "left_eye"), ("right_mouth_corner", "left_mouth_corner"))
_SHRUNK_AT_ONCE = 16  # clips; bounds the memory that float32 copies of large maps take


@dataclass(frozen=True)
class NetworkClips:
    """Clips as a network reads them; subject, label and classes as in `FlowMaps`.

    `values` are `(n, ..., 3, S, S)`, perhaps memory-mapped, of the ROI models `(n, windows,
    regions, ...)` with the regions' names.
    """

    values: NDArray[np.floating]
    subject: NDArray[np.str_]
    label: NDArray[np.int64]
    classes: tuple[str, ...]
    regions: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, rows: NDArray[np.intp], *, device: torch.device | str = "cpu") -> Tensor:
        """Return the maps of some rows as float32."""
        return torch.from_numpy(np.asarray(self.values[rows], dtype=np.float32)).to(device)

    def unit(self, rows: NDArray[np.intp]) -> Tensor:
        """Return `(3,)` the root mean square of u, v and strain over some rows; 1 where all is 0.

        Nothing is subtracted, so that no motion stays 0.
        """
        square = np.zeros(len(CHANNELS))
        for row in rows:
            square += np.mean(np.square(self.values[row], dtype=np.float64), axis=(0, 1, 3, 4))
        mean = np.sqrt(square / len(rows))
        return torch.tensor(np.where(mean > 0, mean, 1.0), dtype=torch.float32)

    def digest(self) -> str:
        """Return the SHA-256 of everything, to tell whether a run may go on with these clips."""
        found = hashlib.sha256()
        names = (self.subject.tolist(), self.label.tolist(), self.classes, self.regions)
        found.update(repr(names).encode())
        for value in self.values:
            found.update(np.ascontiguousarray(value).tobytes())
        return found.hexdigest()


def flow_clips(clips: FlowMaps, *, name: InputName, image_size: int) -> NetworkClips:
    """Return clips as HTNet reads them: the whole map or the mosaic, channels first."""
    if clips.maps.shape[1:] != (image_size, image_size, len(CHANNELS)):
        raise UserError(
            f"The flow maps are {clips.maps.shape[2]} x {clips.maps.shape[1]} px, but the recipe's "
            f"network.image_size is {image_size}: give network.image_size {clips.maps.shape[1]}."
        )
    seen = clips.maps if name == "whole" else mosaic(clips.maps, clips.centres)
    return _of(clips, np.ascontiguousarray(np.moveaxis(seen, -1, 1)))


def apex_clips(clips: FlowMaps, *, image_size: int) -> NetworkClips:
    """Return the grey pictures of the apex, `(n, 3, S, S)` 0..1, without any motion."""
    if clips.apex is None:
        raise UserError(
            "These clips have no pictures of the apex: run micro flow on their manifest (again), "
            "and give its folder."
        )
    pictures = torch.from_numpy(clips.apex)[:, None].float() / 255
    seen = F.adaptive_avg_pool2d(pictures, image_size).expand(-1, len(CHANNELS), -1, -1)
    return _of(clips, seen.numpy())


def roi_clips(windows: RegionWindows, clips: FlowMaps, *, size: int) -> NetworkClips:
    """Give each clip its region windows, brought to the model's size in px.

    `windows` may be of more clips than take part. The mean over each px is taken, which keeps the
    unit. UserError when a clip has no region windows, or they are smaller than `size`.
    """
    known = set(windows.clip_id.tolist())
    absent = [name for name in clips.clip_id.tolist() if name not in known]
    if absent:
        raise UserError(
            f'The clip "{absent[0]}" ({len(absent)} in all) has no region windows: run micro flow '
            "with --regions on the manifest that is asked for."
        )
    if windows.scaling != clips.scaling:
        raise UserError(
            f"The region windows are scaled {windows.scaling}, the maps {clips.scaling}: use those "
            "of one run of micro flow."
        )
    values = shrunk(windows.values, windows.rows_of(clips.clip_id), size=size)
    return _of(clips, values, regions=windows.regions)


def mosaic(maps: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put crops around eyes and mouth corners together, each a quarter of the map.

    `maps` in and out are `(n, S, S, c)` (14-px crops at 28 px), `centres` `(n, 5, 2)` x and y on
    their grid, rows as in `CENTRES`. A crop that would reach over the border is moved inside.
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


def shrunk(
    values: NDArray[np.floating], rows: NDArray[np.int64], *, size: int
) -> NDArray[np.floating]:
    """Return rows of `(n, windows, regions, 3, S, S)` at a smaller size, by the mean over areas."""
    stored = values.shape[-1]
    if stored == size:
        return np.asarray(values[rows])
    if stored < size:
        raise UserError(
            f"The region windows are {stored} px and the recipe asks for network.size {size}: run "
            f"micro flow with --region-size {size}, or change the recipe."
        )
    small = np.empty((len(rows), *values.shape[1:4], size, size), dtype=values.dtype)
    for at in range(0, len(rows), _SHRUNK_AT_ONCE):
        some = rows[at : at + _SHRUNK_AT_ONCE]
        whole = torch.from_numpy(np.asarray(values[some], dtype=np.float32))
        # (m, windows, regions, 3, S, S) -> (m windows, regions 3, S, S) for the pooling
        pooled = F.adaptive_avg_pool2d(whole.flatten(0, 1).flatten(1, 2), size)
        small[at : at + len(some)] = pooled.reshape(len(some), *small.shape[1:]).numpy()
    return small


def _of(
    clips: FlowMaps, values: NDArray[np.floating], *, regions: tuple[str, ...] = ()
) -> NetworkClips:
    return NetworkClips(values, clips.subject, clips.label, clips.classes, regions)
