"""Flow maps: u, v and strain at 28 px for the whole face, and how flow fields become them.

Two scalings. `physical` keeps real units: u and v are fractions of the face size (the side of the
face square), strain is length per length, and a stronger expression gives larger numbers.
`published` stretches each channel of each map to 0..255, as earlier code did: it is there to
reproduce older results, and hides how strong an expression was (a test shows it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from htnet.micro.clips.flow import optical_strain
from htnet.micro.clips.head_motion import face_outline

CHANNELS = ("u", "v", "strain")  # of every map: motion to the right, motion down, optical strain
# Rows of `centres`; right and left are the subject's own, as everywhere.
CENTRES = ("right_eye", "left_eye", "nose_tip", "right_mouth_corner", "left_mouth_corner")
InputName = Literal["whole", "mosaic"]  # what HTNet sees of a map
Scaling = Literal["physical", "published"]
MAP_SIZE = 28
APEX_SIZE = 56

_STRAIN_SMOOTHING = 3.0  # px of the face square
_FOREHEAD = 0.20  # how far above the brows the face is taken to reach, of the side
_FEATHER = 2.0  # px over which the outline of the face fades

# Rows of `CENTRES`: right eye, left eye, nose tip, right and left mouth corner.
_CENTRE_POINTS: tuple[tuple[int, ...], ...] = (
    tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,)
)  # fmt: skip


@dataclass(frozen=True)
class FlowMaps:
    """Onset-to-apex flow of n clips.

    Attributes
    ----------
    maps
        `(n, H, W, 3)` float32, channels as in `CHANNELS`; the unit is that of `scaling`.
    centres
        `(n, 5, 2)` float32, x and y on the map's own grid, rows as in `CENTRES`.
    clip_id, dataset, subject
        `(n,)` text. `subject` tells people apart over all datasets (`casme2/sub01`).
    label
        `(n,)` int64, index into `classes`.
    classes
        Names of the classes in order.
    scaling
        `physical` (fractions of the face size), or `published` (stretched map by map to 0..255).
    apex
        `(n, 56, 56)` uint8, the grey face at the apex; None where there is none.
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


def face_map(flow: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return u, v and strain at every pixel of the face square, in real units; 0 beside the face.

    Strain is that of the flow under a Gaussian of 3 px: bare flow has small steps everywhere,
    which differentiation would turn into most of the strain.

    Parameters
    ----------
    flow
        `(s, s, 2)` px of the face square.
    points
        `(68, 2)` px of the face square. Beyond the outline of the face is hair and background,
        where the flow is noise.

    Returns
    -------
    array
        `(s, s, 3)` float32: u (to the right) and v (down) as fractions of the face size, strain.
    """
    size = len(flow)
    strain = optical_strain(cv2.GaussianBlur(flow, (0, 0), _STRAIN_SMOOTHING))
    whole = np.dstack([flow / np.float32(size), strain])
    face = face_outline(points, size=size, forehead=_FOREHEAD).astype(np.float32)
    face = cv2.GaussianBlur(face, (0, 0), _FEATHER)
    return np.asarray(whole * face[..., None], dtype=np.float32)


def small_map(whole: NDArray[np.float32], *, size: int = MAP_SIZE) -> NDArray[np.float32]:
    """Shrink a `(s, s, 3)` map to `(size, size, 3)` by averaging; values keep their unit."""
    shrunk = cv2.resize(whole, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, dtype=np.float32)


def map_centres(
    points: NDArray[np.float64], *, size: int, map_size: int = MAP_SIZE
) -> NDArray[np.float32]:
    """Return eyes, nose tip and mouth corners on the grid of the small map: `(5, 2)` x, y.

    Parameters
    ----------
    points
        `(68, 2)` px of the face square.
    size, map_size
        Sides of the face square and of the map in px.
    """
    centres = np.stack([points[list(which)].mean(axis=0) for which in _CENTRE_POINTS])
    return ((centres + 0.5) * (map_size / size) - 0.5).astype(np.float32)


def scaled(
    maps: NDArray[np.float32], *, scaling: Scaling, axes: tuple[int, int]
) -> NDArray[np.float32]:
    """Return maps as `scaling` asks: as they are, or each channel stretched to 0..255 by itself.

    Parameters
    ----------
    maps
        Any number of maps in real units.
    scaling
        `physical` or `published`.
    axes
        The two axes of `maps` that are rows and columns.

    Returns
    -------
    array
        Same shape, float32. Stretched values are whole numbers; a map without contrast becomes 0.
    """
    if scaling == "physical":
        return maps
    low = maps.min(axis=axes, keepdims=True)
    span = maps.max(axis=axes, keepdims=True) - low
    stretched = np.divide(255 * (maps - low), span, out=np.zeros_like(maps), where=span > 0)
    return np.asarray(np.rint(stretched), dtype=np.float32)
