"""Flow maps: of the whole face at 28 px, and of its regions over the four windows of an expression.

Two scalings. `physical` keeps real units: u and v are fractions of the face size (the side of the
face square), strain is length per length, and a stronger expression gives larger numbers.
`published` stretches each channel of each map to 0..255, as earlier code did: it is there to
reproduce older results, and hides how strong an expression was (a test shows it).

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

from htnet.micro.clips.flow import face_outline, optical_strain

Scaling = Literal["physical", "published"]
InputName = Literal["whole", "mosaic"]  # what HTNet sees of a map
RoiKind = Literal["temporal", "graph", "hybrid"]  # models that read region windows
CHANNELS = ("u", "v", "strain")  # of every map: motion to the right, motion down, optical strain
# Rows of `centres`; right and left are the subject's own, as everywhere.
CENTRES = ("right_eye", "left_eye", "nose_tip", "right_mouth_corner", "left_mouth_corner")
MAP_SIZE, APEX_SIZE, REGION_SIZE = 28, 56, 224

WINDOWS = ("onset_mid", "mid_apex", "apex_mid2", "mid2_offset")
"""Names of the four windows, in order of time: from which frame to which."""

TOGETHER = ("eyes", "eyebrows", "mouth")
APART = ("right_eye", "left_eye", "right_eyebrow", "left_eyebrow", "mouth")

_STRAIN_SMOOTHING = 3.0  # px of the face square
_FOREHEAD = 0.20  # how far above the brows the face is taken to reach, of the side
_FEATHER = 2.0  # px over which the outline of the face fades
_POINTS: dict[str, tuple[int, ...]] = {
    "right_eye": tuple(range(36, 42)),
    "left_eye": tuple(range(42, 48)),
    "right_eyebrow": tuple(range(17, 22)),
    "left_eyebrow": tuple(range(22, 27)),
    "eyes": tuple(range(36, 48)),
    "eyebrows": tuple(range(17, 27)),
    "mouth": tuple(range(48, 68)),
    "nose_tip": (30,),
    "right_mouth_corner": (48,),
    "left_mouth_corner": (54,),
}
# Around the points of a region, as shares of the side of the square: what moves lies beside them.
_MARGIN_X = {"mouth": 0.10}
_MARGIN_Y = {"eyebrows": 0.08, "right_eyebrow": 0.08, "left_eyebrow": 0.08, "mouth": 0.08}
_MARGIN = 0.06


@dataclass(frozen=True)
class FlowMaps:
    """Onset-to-apex flow of n clips.

    `maps` are `(n, H, W, 3)`, channels as in `CHANNELS`, in the unit of `scaling` (`physical` or
    `published`); `centres` `(n, 5, 2)` x and y on their grid, rows as in `CENTRES`. `subject` tells
    people apart over all datasets (`casme2/sub01`); `label` is an index into `classes`; `apex` are
    the grey faces at the apex, `(n, 56, 56)`, None where there are none.
    """

    maps: NDArray[np.float32]
    centres: NDArray[np.float32]
    clip_id: NDArray[np.str_]
    dataset: NDArray[np.str_]
    subject: NDArray[np.str_]
    label: NDArray[np.int64]
    classes: tuple[str, ...]
    scaling: str
    apex: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.maps)

    @property
    def subjects(self) -> tuple[str, ...]:
        """The folds: each subject once, in natural order of first appearance."""
        return tuple(dict.fromkeys(self.subject.tolist()))

    @property
    def fold(self) -> NDArray[np.int64]:
        """`(n,)` which fold holds each clip out: the place of its subject in `subjects`."""
        place = {subject: number for number, subject in enumerate(self.subjects)}
        return np.array([place[subject] for subject in self.subject.tolist()], dtype=np.int64)


@dataclass(frozen=True)
class RegionWindows:
    """Region flow of n clips; `values` may be memory-mapped, so index before computing.

    `values` are `(n, 4, R, 3, S, S)`: clip, window as in `WINDOWS`, region, channel, row, column.
    The regions are `TOGETHER`, or `APART` where right and left (the subject's own) are kept apart.
    """

    values: NDArray[np.float16] | NDArray[np.float32]
    regions: tuple[str, ...]
    clip_id: NDArray[np.str_]
    scaling: str

    def __len__(self) -> int:
        return len(self.values)

    @property
    def size(self) -> int:
        """Side of a region map in px."""
        return int(self.values.shape[-1])

    def rows_of(self, clip_id: NDArray[np.str_]) -> NDArray[np.int64]:
        """Return the row of each of the clips `(m,)`; an unknown one is a KeyError."""
        row = {name: number for number, name in enumerate(self.clip_id.tolist())}
        return np.array([row[name] for name in clip_id.tolist()], dtype=np.int64)


def face_map(flow: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return u, v and strain at every pixel of the face square, in real units; 0 beside the face.

    From flow `(s, s, 2)` and points `(68, 2)` in px of the square to `(s, s, 3)` float32: u (to the
    right) and v (down) as fractions of the face size, strain. Strain is that of the flow under a
    Gaussian of 3 px: bare flow has small steps everywhere, which differentiation would turn into
    most of the strain. Beyond the outline of the face is hair and background, where flow is noise.
    """
    size = len(flow)
    strain = optical_strain(cv2.GaussianBlur(flow, (0, 0), _STRAIN_SMOOTHING))
    whole = np.dstack([flow / np.float32(size), strain])
    face = face_outline(points, size=size, forehead=_FOREHEAD).astype(np.float32)
    face = cv2.GaussianBlur(face, (0, 0), _FEATHER)
    return whole * face[..., None]


def small_map(whole: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shrink a `(s, s, 3)` map to `(28, 28, 3)` by averaging; values keep their unit."""
    return cv2.resize(whole, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA)


def map_centres(points: NDArray[np.float64], *, size: int) -> NDArray[np.float32]:
    """Return eyes, nose tip and mouth corners on the grid of the small map: `(5, 2)` x, y.

    `points` are `(68, 2)` px of the face square, whose side is `size`.
    """
    centres = np.stack([points[list(_POINTS[name])].mean(axis=0) for name in CENTRES])
    return ((centres + 0.5) * (MAP_SIZE / size) - 0.5).astype(np.float32)


def scaled(
    maps: NDArray[np.float32], *, scaling: Scaling, axes: tuple[int, int]
) -> NDArray[np.float32]:
    """Return maps as they are, or each channel stretched to 0..255 by itself (`published`).

    `axes` are rows and columns. Stretched values are whole numbers; a map without contrast
    becomes 0.
    """
    if scaling == "physical":
        return maps
    low = maps.min(axis=axes, keepdims=True)
    span = maps.max(axis=axes, keepdims=True) - low
    stretched = np.divide(255 * (maps - low), span, out=np.zeros_like(maps), where=span > 0)
    return np.rint(stretched)


def region_boxes(
    points: NDArray[np.float64], *, regions: tuple[str, ...], size: int
) -> NDArray[np.float64]:
    """Return the box of each region in the face square: `(R, 4)` left, top, right, bottom in px.

    `points` are `(68, 2)` px of the face square, whose side is `size`.
    """
    boxes = []
    for name in regions:
        around = points[list(_POINTS[name])]
        margin = size * np.array([_MARGIN_X.get(name, _MARGIN), _MARGIN_Y.get(name, _MARGIN)])
        boxes.append([*(around.min(axis=0) - margin), *(around.max(axis=0) + margin)])
    return np.array(boxes)


def box_edges(
    points: NDArray[np.float64], *, regions: tuple[str, ...], size: int
) -> NDArray[np.int64]:
    """Return the boxes as whole pixels within the square, right and bottom included."""
    boxes = region_boxes(points, regions=regions, size=size)
    return np.clip(np.rint(boxes).astype(np.int64), 0, size - 1)


def cut_regions(
    maps: NDArray[np.float32], boxes: NDArray[np.float64], *, size: int
) -> NDArray[np.float32]:
    """Cut regions out of face-wide maps and bring each box to a square; values are not rescaled.

    From maps `(windows, H, W, 3)` and boxes `(R, 4)` to `(windows, R, 3, size, size)`. What lies
    beyond the map is taken from its edge; a box that is wider than high is stretched in height.
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
