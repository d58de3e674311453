"""A portrait that smiles: clips of which onset, apex and every motion are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from common.photos import read_photo
from tests.htnet.micro.known_motion import moved, photographed

ONSET, APEX, OFFSET = 8, 11, 14
AMOUNTS = (0.0, 0.8, 2.4, 3.2, 2.4, 0.8, 0.0)  # px, of frames 8 to 14


def portrait_face(path: Path) -> NDArray[np.uint8]:
    """The portrait cut to the head and enlarged: (360, 340, 3), a face of 170 px."""
    cut = read_photo(path).pixels[40:220, 140:310]
    return np.asarray(cv2.resize(cut, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))


def smile(
    shape: tuple[int, ...],
    points: NDArray[np.float64],
    *,
    amount: float,
    corners: Sequence[int] = (48, 54),
) -> NDArray[np.float64]:
    """Corners of the mouth drawn up and outwards by `amount` px, fading with the distance."""
    x, y = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    reach = 0.35 * np.hypot(*(points[54] - points[48]))
    field = np.zeros((*shape[:2], 2))
    for corner in corners:
        x0, y0 = points[corner]
        outwards = -0.5 if corner == 48 else 0.5
        near = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * reach**2))
        field += amount * near[..., None] * np.array([outwards, -1.0])
    return field


def smiling(
    face: NDArray[np.uint8],
    points: NDArray[np.float64],
    *,
    amounts: Sequence[float] = AMOUNTS,
    head: tuple[float, float] = (0.0, 0.0),
    corners: Sequence[int] = (48, 54),
) -> dict[int, NDArray[np.uint8]]:
    """Frames by number, from `ONSET`: a smile, while the head drifts by `head` px a frame."""
    return {
        ONSET + step: photographed(
            moved(
                face,
                smile(face.shape, points, amount=amount, corners=corners) + step * np.array(head),
            ),
            seed=step,
        )
        for step, amount in enumerate(amounts)
    }


def write_clip(folder: Path, frames: dict[int, NDArray[np.uint8]]) -> None:
    """Frames as img8.png ... img14.png: in order of names, img10 would be the first."""
    folder.mkdir(parents=True)
    for number, pixels in frames.items():
        Image.fromarray(pixels).save(folder / f"img{number}.png", compress_level=1)


def clip_manifest(path: Path, clips: Sequence[str], **changes: Sequence[object]) -> Path:
    """A manifest of clips below the folder `clips` beside it."""
    n = len(clips)
    columns = {
        "image_id": [f"clips/{name}" for name in clips],
        "path": [f"clips/{name}" for name in clips],
        "patient_id": [f"s{row:02d}" for row in range(n)],
        "dataset": ["drawn"] * n,
        "onset": [ONSET] * n,
        "apex": [APEX] * n,
        "offset": [OFFSET] * n,
        "apex_source": ["annotated"] * n,
        "emotion": ["happiness"] * n,
        "emotion3": ["positive"] * n,
        **changes,
    }
    pd.DataFrame(columns).to_csv(path, index=False)
    return path
