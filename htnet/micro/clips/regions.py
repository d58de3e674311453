"""Flow in the regions of a face over the four windows of an expression: what the ROI models read.

A micro-expression rises from its onset to its apex and falls to its offset. Each half is cut in two
(`mid` lies between onset and apex, `mid2` between apex and offset), and in each of the four windows
the flow is cut out of the onset-aligned face, region by region. The boxes come from the points of
the onset frame and are the same for every window of a clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

RoiKind = Literal["temporal", "graph", "hybrid"]  # models that read region windows

WINDOWS = ("onset_mid", "mid_apex", "apex_mid2", "mid2_offset")
"""Names of the four windows, in order of time: from which frame to which."""

TOGETHER = ("eyes", "eyebrows", "mouth")
APART = ("right_eye", "left_eye", "right_eyebrow", "left_eyebrow", "mouth")
REGION_SIZE = 224

_POINTS: dict[str, tuple[int, ...]] = {
    "right_eye": tuple(range(36, 42)),
    "left_eye": tuple(range(42, 48)),
    "right_eyebrow": tuple(range(17, 22)),
    "left_eyebrow": tuple(range(22, 27)),
    "eyes": tuple(range(36, 48)),
    "eyebrows": tuple(range(17, 27)),
    "mouth": tuple(range(48, 68)),
}
# Around the points, as shares of the side of the face square: what moves lies beside them.
_MARGIN_X = {"mouth": 0.10}
_MARGIN_Y = {"eyebrows": 0.08, "right_eyebrow": 0.08, "left_eyebrow": 0.08, "mouth": 0.08}
_MARGIN = 0.06


@dataclass(frozen=True)
class RegionWindows:
    """Region flow of n clips; `values` may be memory-mapped, so index before computing.

    Attributes
    ----------
    values
        `(n, 4, R, 3, S, S)` float16 or float32: clip, window as in `windows`, region as in
        `regions`, channel u, v, strain (`clips.maps.CHANNELS`), row, column. The unit is
        that of `scaling`.
    windows
        The four names of `WINDOWS`.
    regions
        `TOGETHER`, or `APART` where right and left (the subject's own) are kept apart.
    clip_id, dataset, subject, emotion, emotion3
        `(n,)` text. `subject` tells people apart over all datasets (`casme2/sub01`); the emotions
        are empty where the manifest has none.
    scaling
        `physical` (fractions of the face size), or `published` (stretched map by map to 0..255).
    """

    values: NDArray[np.float16] | NDArray[np.float32]
    windows: tuple[str, ...]
    regions: tuple[str, ...]
    clip_id: NDArray[np.str_]
    dataset: NDArray[np.str_]
    subject: NDArray[np.str_]
    emotion: NDArray[np.str_]
    emotion3: NDArray[np.str_]
    scaling: str

    def __len__(self) -> int:
        return len(self.values)

    @property
    def size(self) -> int:
        """Side of a region map in px."""
        return int(self.values.shape[-1])

    def rows_of(self, clip_id: NDArray[np.str_]) -> NDArray[np.int64]:
        """Return the row of each of the clips, to index `values` with; unknown ones are KeyErrors.

        Parameters
        ----------
        clip_id
            `(m,)`, `FlowMaps.clip_id` for instance.
        """
        row = {name: number for number, name in enumerate(self.clip_id.tolist())}
        return np.array([row[name] for name in clip_id.tolist()], dtype=np.int64)


def region_boxes(
    points: NDArray[np.float64], *, regions: tuple[str, ...], size: int
) -> NDArray[np.float64]:
    """Return the box of each region in the face square: `(R, 4)` left, top, right, bottom in px.

    Parameters
    ----------
    points
        `(68, 2)` px of the face square.
    regions
        Names out of `TOGETHER` and `APART`.
    size
        Side of the face square in px.
    """
    boxes = []
    for name in regions:
        around = points[list(_POINTS[name])]
        margin = size * np.array([_MARGIN_X.get(name, _MARGIN), _MARGIN_Y.get(name, _MARGIN)])
        boxes.append([*(around.min(axis=0) - margin), *(around.max(axis=0) + margin)])
    return np.array(boxes)


def cut_regions(
    maps: NDArray[np.float32], boxes: NDArray[np.float64], *, size: int
) -> NDArray[np.float32]:
    """Cut regions out of face-wide maps and bring each box to a square; values are not rescaled.

    Parameters
    ----------
    maps
        `(windows, H, W, 3)`, in any unit.
    boxes
        `(R, 4)` from `region_boxes`; what lies beyond the map is taken from its edge.
    size
        Side of the result in px. A box that is wider than high is stretched in height.

    Returns
    -------
    array
        `(windows, R, 3, size, size)`.
    """
    cut = np.empty((len(maps), len(boxes), 3, size, size), dtype=np.float32)
    for region, (left, top, right, bottom) in enumerate(boxes):
        # Pixel centres at integers on both sides: edges of boxes lie half a pixel beyond centres.
        scale_x, scale_y = (right - left) / size, (bottom - top) / size
        to_map = np.array([[scale_x, 0, left + scale_x / 2], [0, scale_y, top + scale_y / 2]])
        for window, whole in enumerate(maps):
            warped = cv2.warpAffine(
                whole,
                to_map,
                (size, size),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            cut[window, region] = np.moveaxis(warped, -1, 0)
    return cut
