"""Clips ready for a ROI model: region maps at the model's size, with subject and class."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from common.errors import UserError
from htnet.micro.clips import CHANNELS, FlowMaps
from htnet.micro.region_windows import RegionWindows

_SHRUNK_AT_ONCE = 16  # clips; bounds the memory that float32 copies of large maps take


@dataclass(frozen=True)
class RoiClips:
    """Region flow of n clips.

    Attributes
    ----------
    values
        `(n, windows, regions, 3, size, size)` float16 or float32; may be memory-mapped.
    subject
        `(n,)` text, who is held out together.
    label
        `(n,)` int64, index into `classes`.
    classes, regions
        Names, in the order of numbers and of the third axis.
    """

    values: NDArray[np.floating]
    subject: NDArray[np.str_]
    label: NDArray[np.int64]
    classes: tuple[str, ...]
    regions: tuple[str, ...]

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
        for names in (self.subject.tolist(), self.label.tolist(), self.classes, self.regions):
            found.update(repr(names).encode())
        for value in self.values:
            found.update(np.ascontiguousarray(value).tobytes())
        return found.hexdigest()


def roi_clips(windows: RegionWindows, clips: FlowMaps, *, size: int) -> RoiClips:
    """Give each clip its region windows, brought to the model's size.

    Parameters
    ----------
    windows
        Region flow, of these clips and perhaps of others.
    clips
        Says which clips take part, in which order, and with which subject and class.
    size
        Side of the maps in px; the mean over each px is taken, which keeps the unit.

    Raises
    ------
    UserError
        When a clip has no region windows, or they are smaller than `size`.
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
    return RoiClips(
        values=shrunk(windows.values, windows.rows_of(clips.clip_id), size=size),
        subject=clips.subject,
        label=clips.label,
        classes=clips.classes,
        regions=windows.regions,
    )


def shrunk(
    values: NDArray[np.floating], rows: NDArray[np.int64], *, size: int
) -> NDArray[np.floating]:
    """Return rows of `(n, windows, regions, 3, S, S)` at another size, by the mean over areas.

    Raises
    ------
    UserError
        When the maps are smaller than `size`.
    """
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


def mirrored(maps: Tensor, regions: tuple[str, ...]) -> Tensor:
    """Return `(n, windows, regions, 3, H, W)` as of the mirrored face.

    The maps are flipped, motion to the right becomes motion to the left, and right and left regions
    change places.
    """
    flipped = maps.flip(-1) * maps.new_tensor([-1.0, 1.0, 1.0])[:, None, None]
    return flipped[:, :, [regions.index(_other_side(name, regions)) for name in regions]]


def _other_side(name: str, regions: tuple[str, ...]) -> str:
    for here, there in (("right_", "left_"), ("left_", "right_")):
        if name.startswith(here):
            other = there + name.removeprefix(here)
            return other if other in regions else name
    return name
