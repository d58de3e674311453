"""Faces with their grades, sides and patients, and the batches that training draws from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from htnet.network.configuration import SIDE_CLASSES
from htnet.network.losses import steps_of
from htnet.palsy.augmentation import Batch
from htnet.palsy.faces import Faces, to_input


@dataclass(frozen=True)
class LabelledFaces:
    """Faces with what is known about them.

    Attributes
    ----------
    faces
        The faces.
    labels
        `(n,)` class numbers 1..k.
    sides
        Weak side of each face, in the patient's sense: right, left, none, both or unknown.
    patients
        `(n,)` names.
    classes
        Names of class 1..k.
    """

    faces: Faces
    labels: NDArray[np.int64]
    sides: tuple[str, ...]
    patients: NDArray[np.str_]
    classes: tuple[str, ...]


class FaceTensors:
    """Faces and targets as tensors, gathered by row."""

    def __init__(
        self,
        pixels: Tensor,
        worse_than: Tensor,
        side: Tensor,
        regions: Tensor,
        points: Tensor,
        features: Tensor | None = None,
    ) -> None:
        self.pixels, self.worse_than, self.side = pixels, worse_than, side
        self.regions, self.points, self.features = regions, points, features

    @classmethod
    def of(cls, data: LabelledFaces) -> FaceTensors:
        """Turn labels and sides into targets."""
        side = torch.zeros(len(data.sides), len(SIDE_CLASSES))
        for row, name in enumerate(data.sides):
            if name in SIDE_CLASSES:
                side[row, SIDE_CLASSES.index(name)] = 1.0
        labels = torch.from_numpy(data.labels)
        return cls(
            pixels=data.faces.pixels,
            worse_than=steps_of(labels, num_classes=len(data.classes)),
            side=side,
            regions=data.faces.regions,
            points=data.faces.point_asymmetry(),
            features=data.faces.features,
        )

    def batch(self, rows: Tensor, device: torch.device) -> Batch:
        """Gather the rows `(b,)` on a device, unaltered."""
        at = rows.cpu()
        return Batch(
            image=to_input(self.pixels[at].to(device)),
            worse_than=self.worse_than[at].to(device),
            side=self.side[at].to(device),
            regions=self.regions[at].to(device).float() / 255,
            points=self.points[at].to(device),
            features=None if self.features is None else self.features[at].to(device),
        )
