"""The networks of the two looks in torch, and the points of their heatmaps.

`Face`: a crop of 128 px to 68 heatmaps of 32 × 32; `Eye`: one of 64 px to 6 heatmaps of 32 × 32, a
left eye mirrored. Crops are `(n, 1, side, side)`, heatmaps `(n, points, 32, 32)` of logits.
Layers: `e` encode, `u` and `l` bring to the width of the next finer stage, `d` decode.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from common.arrays import Floats
from landmarks.find.network import (
    EYE_PX,
    EYES,
    FACE_PX,
    View,
    eye_map,
    face_map,
    level_angle,
    peaks,
    picture,
)  # fmt: skip
from landmarks.points import map_points, mirror_points


class Face(nn.Module):
    def __init__(self, widths: Sequence[int] = (16, 32, 64, 96, 128)) -> None:
        super().__init__()
        a, b, c, d, e = widths
        self.e1 = _layer(1, a, stride=2)
        self.e2, self.e3, self.e4, self.e5 = _stage(a, b), _stage(b, c), _stage(c, d), _stage(d, e)
        self.u4, self.d4 = _layer(e, d, kernel=1), _layer(d, d)
        self.u3, self.d3 = _layer(d, c, kernel=1), _layer(c, c)
        self.u2, self.l2 = _layer(c, 2 * b, kernel=1), _layer(b, 2 * b, kernel=1)
        self.d2 = _layer(2 * b, 2 * b)
        self.out = nn.Conv2d(2 * b, 68, 1)

    def forward(self, crops: Tensor) -> Tensor:
        second = self.e2(self.e1(crops))
        third = self.e3(second)
        fourth = self.e4(third)
        fine = self.d4(_doubled(self.u4(self.e5(fourth))) + fourth)
        fine = self.d3(_doubled(self.u3(fine)) + third)
        fine = self.d2(_doubled(self.u2(fine)) + self.l2(second))
        with torch.autocast("cpu", enabled=False):
            return self.out(fine.float())


class Eye(nn.Module):
    def __init__(self, widths: Sequence[int] = (24, 48, 64, 96)) -> None:
        super().__init__()
        a, b, c, d = widths
        self.e1, self.e2, self.e3, self.e4 = _stage(1, a), _stage(a, b), _stage(b, c), _stage(c, d)
        self.u3, self.d3 = _layer(d, c, kernel=1), _layer(c, c)
        self.u2, self.d2 = _layer(c, b, kernel=1), _layer(b, b)
        self.u1, self.d1 = _layer(b, a, kernel=1), _layer(a, a)
        self.out = nn.Conv2d(a, 6, 1)

    def forward(self, crops: Tensor) -> Tensor:
        first = self.e1(crops)
        second = self.e2(first)
        third = self.e3(second)
        fine = self.d3(_doubled(self.u3(self.e4(third))) + third)
        fine = self.d2(_doubled(self.u2(fine)) + second)
        fine = self.d1(_doubled(self.u1(fine)) + first)
        with torch.autocast("cpu", enabled=False):
            return self.out(fine.float())


def _layer(inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    """Two layers, to half the size."""
    return nn.Sequential(_layer(inputs, outputs, stride=2), _layer(outputs, outputs))


def _doubled(coarse: Tensor) -> Tensor:
    return nn.functional.interpolate(coarse, scale_factor=2.0, mode="nearest")


def cells(heatmaps: Tensor, side: int) -> Tensor:
    """Where the cells of a heatmap lie in a crop of `side` px, along either axis."""
    return (torch.arange(heatmaps.shape[-1]) + 0.5) * (side / heatmaps.shape[-1]) - 0.5


def expected(heatmaps: Tensor, side: int) -> Tensor:
    """The expectation of each heatmap, `(n, points, 2)` px of the crop."""
    at = cells(heatmaps, side)
    chance = heatmaps.flatten(2).softmax(-1).view(heatmaps.shape)
    return torch.stack([(chance.sum(2) * at).sum(-1), (chance.sum(3) * at).sum(-1)], -1)


def around_peak(heatmaps: Tensor, side: int) -> Floats:
    """The points of heatmaps as the shipped network reads them, `(n, points, 2)` px."""
    return peaks(heatmaps.permute(0, 2, 3, 1).numpy(), size=side)


def batch(crops: Sequence[NDArray[np.float32]]) -> Tensor:
    crops = torch.tensor(np.array(crops))[:, None]
    return crops.contiguous(memory_format=torch.channels_last)


class Looks:
    """The points of grey pictures: a look at the face, and then one at each eye."""

    def __init__(self, face: Face, eye: Eye) -> None:
        self._face, self._eye = face.eval(), eye.eval()

    @torch.no_grad()
    def at_face(self, grey: NDArray[np.uint8], affine: Floats) -> Floats:
        """The 68 points, mean of the crop's and of its mirror image's."""
        crop = picture(grey, affine, size=FACE_PX)
        own, mirrored = around_peak(self._face(batch([crop, crop[:, ::-1]])), FACE_PX)
        middle = (own + mirror_points(mirrored, width=FACE_PX)) / 2
        return map_points(middle, affine, inverse=True)

    @torch.no_grad()
    def at_eyes(
        self, grey: NDArray[np.uint8], points: Floats, *, copies: int = 3, seed: int = 0
    ) -> Floats:
        """The points with those of the eyes from crops of their own, mean of `copies` of each."""
        rng = np.random.default_rng(seed)
        maps = []
        for eye in (0, 1):
            for copy in range(copies):
                much = 1.0 if copy else 0.0
                angle = much * 0.05 * rng.standard_normal()
                scale = np.exp(much * 0.06 * rng.standard_normal())
                view = View(angle, scale, much * 0.03 * rng.standard_normal(2))
                maps.append(eye_map(points, eye, view, level=level_angle(points)))
        crops = batch([picture(grey, affine, size=EYE_PX) for affine in maps])
        seen = around_peak(self._eye(crops), EYE_PX)
        pairs = zip(seen, maps, strict=True)
        found = np.array([map_points(one, affine, inverse=True) for one, affine in pairs])
        points = points.copy()
        points[EYES[0]], points[EYES[1]] = found[:copies].mean(0), found[copies:].mean(0)
        return points

    def at_both(self, grey: NDArray[np.uint8], affine: Floats) -> tuple[Floats, Floats]:
        """The points of a second look at the face, and those with the eyes' own looks."""
        first = self.at_face(grey, affine)
        first = self.at_face(grey, face_map(first, level=level_angle(first)))
        return first, self.at_eyes(grey, first)
