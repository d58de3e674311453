"""Clips ready for a model: one flow map each, with the subject who is held out and the class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHANNELS = ("u", "v", "strain")  # of every map: motion to the right, motion down, optical strain
# Rows of `centres`; right and left are the subject's own, as everywhere.
CENTRES = ("right_eye", "left_eye", "nose_tip", "right_mouth_corner", "left_mouth_corner")


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
    """

    maps: NDArray[np.float32]
    centres: NDArray[np.float32]
    clip_id: NDArray[np.str_]
    dataset: NDArray[np.str_]
    subject: NDArray[np.str_]
    label: NDArray[np.int64]
    classes: tuple[str, ...]
    scaling: str

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
