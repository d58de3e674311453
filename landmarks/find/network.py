"""The 68 points by this project's own network: a look at the face, then one at each eye.

It has learned from renderings of free 3-D faces alone, half of them palsied, and from no photograph
of a person whose points somebody marked (`landmarks/models/own.md`). A heatmap for each point of
the face at 128 px, then six for an eye at 64 px, the left one mirrored, so that one small network
knows one eye; a point is the expectation around a heatmap's peak. Numbers and numpy only: worker
processes need no PyTorch for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from common.arrays import Floats
from common.errors import UserError
from landmarks.find.detector import FaceBox
from landmarks.find.method import Copy
from landmarks.find.tta import cut_face
from landmarks.points import INNER, MIRROR_PARTNER, REGIONS, compose, map_points, mirror_points

FACE_PX, EYE_PX = 128, 64
"""Sides of the two pictures that the networks see."""
FACE_SIDE = 4.6  # of the face's picture, in root mean square distances of the inner points
EYE_SIDE = 0.30  # of an eye's picture, in those of the face
BOX_SIDE = 1.4  # of the first look at a face, in detection boxes
SETTLING = 2  # looks that only say where the next one is taken
PEAK_REACH = 3  # cells of a heatmap around its peak that count

EYES = (list(REGIONS["right_eye"]), [MIRROR_PARTNER[i] for i in REGIONS["right_eye"]])
"""The points of the right eye, and those of the left in the same places."""

NETWORK = Path(__file__).resolve().parent.parent / "models" / "own.safetensors"
"""The network that ships."""

Layers = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""By name: weights `(k, k, in, out)` of a convolution, batch norm folded in, and its bias."""


@dataclass(frozen=True)
class View:
    """How a look differs from the one in the middle, as a copy is drawn: `shift` in its sides."""

    angle: float = 0.0  # radians
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, copy: Copy) -> View:
        """Return the view of an altered copy."""
        return cls(np.radians(-copy.angle_deg), copy.box_scale, copy.box_shift)


def square_map(centre: Floats, side: float, *, size: int, angle: float = 0.0) -> Floats:
    """Return the `(2, 3)` map that brings a square of `side` px to one of `size`, turned."""
    scale = size / side
    across, down = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[across, -down], [down, across]])
    return np.column_stack([linear, (size - 1) / 2 - linear @ centre])


def level_angle(points: Floats) -> float:
    """Return the turn in radians that levels the eyes of `(68, 2)` points."""
    x, y = points[EYES[1]].mean(axis=0) - points[EYES[0]].mean(axis=0)
    return -float(np.arctan2(y, x))


def face_square(points: Floats) -> tuple[Floats, float]:
    """Return centre and side of the square around `(68, 2)` points that a face is seen in."""
    inner = points[list(INNER)]
    centre = inner.mean(axis=0)
    return centre, FACE_SIDE * float(np.sqrt(((inner - centre) ** 2).sum(axis=1).mean()))


def face_map(points: Floats, view: View | None = None, *, level: float = 0.0) -> Floats:
    """Return the map of px to the picture of a face, turned by `level` and as the view asks."""
    view = view or View()
    centre, side = face_square(points)
    centre = centre + np.array(view.shift) * side
    return square_map(centre, side * view.scale, size=FACE_PX, angle=level + view.angle)


def eye_map(points: Floats, eye: int, view: View | None = None, *, level: float = 0.0) -> Floats:
    """Return the map of px to the picture of an eye: 0 right, 1 left, which comes out mirrored."""
    view = view or View()
    side = EYE_SIDE * face_square(points)[1]
    centre = points[EYES[eye]].mean(axis=0) + np.array(view.shift) * side
    seen = square_map(centre, side * view.scale, size=EYE_PX, angle=level + view.angle)
    return seen if eye == 0 else seen * [[-1], [1]] + [[0, 0, EYE_PX - 1], [0, 0, 0]]


def picture(grey: NDArray[np.uint8], affine: Floats, *, size: int) -> NDArray[np.float32]:
    """Return the square `(size, size)` that an affine map cuts, of mean 0 and about deviation 1."""
    cut = cv2.warpAffine(
        grey, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return normalised(np.asarray(cut, dtype=np.float32))


def normalised(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return grey levels of mean 0 and deviation 1, less where there is hardly any contrast."""
    return np.asarray((grey - grey.mean()) / (grey.std() + 8), dtype=np.float32)


class LandmarkNetwork:
    """Places the 68 points of a face; load one per process (5 MB)."""

    def __init__(self, layers: Mapping[str, Layers], about: Mapping[str, Any]) -> None:
        self.layers, self.about = layers, about  # of `face` and `eye`

    @classmethod
    def load(cls, path: Path) -> LandmarkNetwork:
        """Read a file of `benchmarks.landmark_network export`. UserError when it is none."""
        layers: dict[str, dict[str, Any]] = {"face": {}, "eye": {}}
        try:
            with safe_open(path, "numpy") as file:
                about = json.loads((file.metadata() or {})["landmark_network"])
                keys = file.keys()
                for name in sorted({key.rsplit(".", 1)[0] for key in keys}):
                    network, layer = name.split(".", 1)
                    layers[network][layer] = tuple(
                        file.get_tensor(f"{name}.{part}").astype(np.float32)
                        for part in ("weight", "bias")
                    )
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise UserError(
                f"{path} is no whole landmark network: install the project again."
            ) from error
        return cls(layers, about)

    def points(self, pixels: NDArray[np.uint8], box: FaceBox, *, copies: Sequence[Copy]) -> Floats:
        """Return the points as each copy sees them, `(n, 68, 2)` px of `pixels`.

        `pixels`: `(h, w)` grey or `(h, w, 3)` RGB uint8; `box` that of the face in them. Copies
        turn, move, size, brighten and mirror what is seen; of one that alters nothing the mirror
        image is seen too, and the mean taken.
        """
        cut = cut_face(pixels, box)
        grey = cut.pixels
        if grey.ndim == 3:
            grey = np.asarray(cv2.cvtColor(grey, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        plain = _Shown.of(grey)
        side = box.side * BOX_SIDE * cut.to_cut[0, 0]
        seen = square_map(map_points(box.centre, cut.to_cut), side, size=FACE_PX)
        for _ in range(SETTLING):
            (found,) = self._faces([_Look(plain, seen)])
            seen = face_map(found, level=level_angle(found))
        shown = [plain if (other := c.alter(grey)) is grey else _Shown.of(other) for c in copies]
        looks = [
            [
                _Look(one, face_map(found, View.of(copy), level=level_angle(found)), mirrored)
                for mirrored in ((False, True) if copy == Copy() else (copy.mirrored,))
            ]
            for one, copy in zip(shown, copies, strict=True)
        ]
        answers = iter(self._faces([look for own in looks for look in own]))
        points = np.array([np.mean([next(answers) for _ in own], axis=0) for own in looks])
        return map_points(self._with_eyes(points, shown, copies), cut.to_cut, inverse=True)

    def _faces(self, looks: Sequence[_Look]) -> Floats:
        """The points that looks at a face show, `(n, 68, 2)` px of the cut-out."""
        pictures = np.array([look.picture() for look in looks])
        found = peaks(face_heatmaps(self.layers["face"], pictures), size=FACE_PX)
        return np.array([look.back(points) for look, points in zip(looks, found, strict=True)])

    def _with_eyes(self, points: Floats, shown: Sequence[_Shown], copies: Sequence[Copy]) -> Floats:
        """Points `(n, 68, 2)` px of the cut-out with those of the eyes from a look at each."""
        maps = [
            [eye_map(one, eye, View.of(copy), level=level_angle(one)) for eye in (0, 1)]
            for one, copy in zip(points, copies, strict=True)
        ]
        pictures = [
            picture(one.whole, seen, size=EYE_PX)
            for one, own in zip(shown, maps, strict=True)
            for seen in own
        ]
        found = peaks(eye_heatmaps(self.layers["eye"], np.array(pictures)), size=EYE_PX)
        for at, own in enumerate(maps):
            for eye, seen in enumerate(own):
                points[at, EYES[eye]] = map_points(found[2 * at + eye], seen, inverse=True)
        return points


@dataclass(frozen=True)
class _Shown:
    """A cut-out face in grey, and half as large, from which the smaller picture is taken."""

    whole: NDArray[np.uint8]
    half: NDArray[np.uint8]

    @classmethod
    def of(cls, grey: NDArray[np.uint8]) -> _Shown:
        half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        return cls(grey, np.asarray(half, dtype=np.uint8))


@dataclass(frozen=True)
class _Look:
    """A look at a face through a map of px of the cut-out to the picture, perhaps mirrored."""

    shown: _Shown
    seen: Floats
    mirrored: bool = False

    def picture(self) -> NDArray[np.float32]:
        from_half = np.array([[2, 0, 0.5], [0, 2, 0.5]])
        shown = picture(self.shown.half, compose(self.seen, from_half), size=FACE_PX)
        return shown[:, ::-1] if self.mirrored else shown

    def back(self, found: Floats) -> Floats:
        points = mirror_points(found, width=FACE_PX) if self.mirrored else found
        return map_points(points, self.seen, inverse=True)


def face_heatmaps(layers: Layers, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 68 heatmaps of `(n, 128, 128)` pictures, `(n, 32, 32, 68)`."""
    half = _block(layers, "e2", _convolved(pictures[..., None], layers["e1"], stride=2))
    quarter = _block(layers, "e3", half)
    eighth = _block(layers, "e4", quarter)
    deepest = _block(layers, "e5", eighth)
    found = _joined(layers, "4", deepest, eighth)
    found = _joined(layers, "3", found, quarter)
    found = _joined(layers, "2", found, _convolved(half, layers["l2"]))
    return _convolved(found, layers["out"], relu=False)


def eye_heatmaps(layers: Layers, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 6 heatmaps of `(n, 64, 64)` pictures, `(n, 32, 32, 6)`."""
    half = _block(layers, "e1", pictures[..., None])
    quarter = _block(layers, "e2", half)
    eighth = _block(layers, "e3", quarter)
    found = _joined(layers, "3", _block(layers, "e4", eighth), eighth)
    found = _joined(layers, "2", found, quarter)
    found = _joined(layers, "1", found, half)
    return _convolved(found, layers["out"], relu=False)


def _block(layers: Layers, name: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Halve the picture, and look once more."""
    return _convolved(_convolved(x, layers[f"{name}.0"], stride=2), layers[f"{name}.1"])


def _joined(
    layers: Layers, name: str, deep: NDArray[np.float32], fine: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Double the deeper picture, and join what the finer one has seen."""
    up = _convolved(deep, layers[f"u{name}"]).repeat(2, axis=1).repeat(2, axis=2)
    return _convolved(up + fine, layers[f"d{name}"])


def _convolved(
    x: NDArray[np.float32],
    layer: tuple[NDArray[np.float32], NDArray[np.float32]],
    *,
    stride: int = 1,
    relu: bool = True,
) -> NDArray[np.float32]:
    """Convolve `(n, h, w, in)`, zeros around it, to `(n, h / stride, w / stride, out)`."""
    weights, bias = layer
    k, _, channels, out = weights.shape
    if k > 1:
        edge = k // 2
        padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
        x = np.ascontiguousarray(windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3))
    y = x.reshape(*x.shape[:3], k * k * channels) @ weights.reshape(-1, out) + bias
    return np.maximum(y, 0, out=y) if relu else y


def peaks(heatmaps: NDArray[np.float32], *, size: int) -> Floats:
    """Return the points `(n, k, 2)` px of the picture that heatmaps `(n, s, s, k)` show.

    The expectation of the softmax over the cells around the highest (local soft-argmax).
    """
    n, cells, _, k = heatmaps.shape
    maps = heatmaps.transpose(0, 3, 1, 2).reshape(n * k, cells, cells).astype(np.float64)
    highest = maps.reshape(n * k, -1).argmax(axis=1)
    of_cells = np.arange(cells)
    near = [np.abs(of_cells - at[:, None]) <= PEAK_REACH for at in divmod(highest, cells)]
    shares = np.exp(maps - maps.max(axis=(1, 2), keepdims=True))
    shares *= near[0][:, :, None] & near[1][:, None, :]
    shares /= shares.sum(axis=(1, 2), keepdims=True)
    px = (of_cells + 0.5) * size / cells - 0.5
    return np.stack([shares.sum(axis=1) @ px, shares.sum(axis=2) @ px], axis=-1).reshape(n, k, 2)
