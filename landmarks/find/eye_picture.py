"""One eye cut out upright and at one size, whatever the photograph's size and the head's tilt."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

EYE_WIDTH = 64  # px between the eye corners in the upright picture
PICTURE = (96, 64)  # its width and height
CENTRE = (47.5, 31.5)  # where the middle of the corners comes to lie


@dataclass(frozen=True)
class EyePicture:
    """The upright picture of one eye.

    `seen`: `(64, 96, 2)` float32: brightness 0..1 between the lids' darkest and brightest, and
    whether the pixel lies between the lids. `to_photo`: `(2, 3)`, from its x, y to px of the
    photograph. `contrast`: range of brightness between the lids, of the brightest.
    """

    seen: NDArray[np.float32]
    to_photo: NDArray[np.float64]
    contrast: float

    @property
    def scale(self) -> float:
        """Photograph px per picture px."""
        return float(np.hypot(*self.to_photo[:, 0]))


def eye_opening(eye: NDArray[np.float64]) -> float:
    """Mean height between the lids in eye widths, from the `(6, 2)` points of one eye."""
    across = eye[3] - eye[0]
    normal = np.array([-across[1], across[0]]) / float(np.hypot(*across)) ** 2
    return float(((eye[[5, 4]] - eye[[1, 2]]) @ normal).mean())


def eye_picture(brightness: NDArray[np.uint8], eye: NDArray[np.float64]) -> EyePicture | None:
    """Cut out one eye upright, `EYE_WIDTH` px between its corners; None without room in between.

    `brightness`: `(h, w)` uint8. `eye`: `(6, 2)` px, from the corner that is image-left.
    """
    middle, across = (eye[0] + eye[3]) / 2, (eye[3] - eye[0]) / EYE_WIDTH
    turn = np.array([[across[0], -across[1]], [across[1], across[0]]])
    scale = float(np.hypot(*across))
    reach = scale * PICTURE[0]
    left, top = np.maximum(np.floor(middle - reach), 0).astype(int)
    crop = brightness[top : int(middle[1] + reach) + 2, left : int(middle[0] + reach) + 2]
    if scale > 1.05:  # warping reads single pixels: blur first what will be made smaller
        crop = cv2.GaussianBlur(crop, (0, 0), 0.5 * float(np.sqrt(scale**2 - 1)))
    to_photo = np.column_stack([turn, middle - turn @ CENTRE])
    upright = cv2.warpAffine(
        crop.astype(np.float32),
        to_photo - [[0, 0, left], [0, 0, top]],
        PICTURE,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    between = _between_lids((eye - to_photo[:, 2]) @ np.linalg.inv(turn).T)
    if np.count_nonzero(between) < EYE_WIDTH:
        return None
    # The brightest tenth holds the glints of lamps; nothing there tells the iris.
    dark, light = np.percentile(upright[between > 0], (2, 90))
    contrast = float((light - dark) / max(light, 1.0))
    brightness01 = (np.clip(upright, dark, light) - dark) / max(light - dark, 1.0)
    seen = np.dstack([brightness01, between]).astype(np.float32)
    return EyePicture(seen=seen, to_photo=to_photo, contrast=contrast)


def _between_lids(eye: NDArray[np.float64]) -> NDArray[np.float32]:
    """1 between the lids, a px away from their margins, else 0; of the upright picture."""
    mask = np.zeros(PICTURE[::-1], dtype=np.uint8)
    cv2.fillPoly(mask, [np.round(eye * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    eroded: NDArray[np.uint8] = cv2.erode(mask, np.ones((3, 3), dtype=np.uint8))
    return eroded.astype(np.float32)
