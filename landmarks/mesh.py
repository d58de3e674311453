"""MediaPipe's face mesh as a model of the 68 points: which of its 478 points are ours, and its use.

The package `mediapipe` and the file `face_landmarker.task` are the user's own; neither ships.

The mapping is this project's own. Of each line that MediaPipe publishes (oval, brows, eyes, lips,
middle of the nose: `face_mesh_connections.py`, `canonical_face_model.obj`) it takes the vertex that
lies nearest, in the canonical face seen from the front, to where our point lies on that line: ends
and corners at its ends, the lids at a third and two thirds, the brows at quarters, the jaw at
eighths between ear and chin, the lips where the 68-point model's mean shape has them. The mesh
knows no mark-up by hand, and its brow is the upper edge: measures of both kinds of points should
not be mixed in one study.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module, metadata
from pathlib import Path

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from landmarks.points import N_POINTS

SUFFIX = ".task"
MESH_OF_68: tuple[int, ...] = (
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    6, 195, 5, 1, 98, 97, 2, 326, 327,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91,  # lips, outer edge
    78, 82, 13, 312, 308, 317, 14, 87,  # lips, inner edge
)  # fmt: skip
"""`MESH_OF_68[i]` is the vertex of the mesh that is our point `i`."""
_AROUND = 0.4  # of the box on each side: MediaPipe looks for the face itself

PACKAGE = "mediapipe"

Mesh = Callable[[NDArray[np.uint8]], NDArray[np.float64] | None]
"""`(h, w, 3)` RGB to `(478, 2)` shares of its width and height, or None without a face."""


def program() -> Mapping[str, str]:
    """Return the package and its version; UserError when it is not installed."""
    try:
        return {PACKAGE: metadata.version(PACKAGE)}
    except metadata.PackageNotFoundError as error:
        raise UserError(
            f"A {SUFFIX} file is a model of MediaPipe, whose package is not installed: run pip "
            f"install {PACKAGE}, or give points that it has found elsewhere as a table "
            "(docs/exchange.md)."
        ) from error


class FaceMesh:
    """Places the 68 points of a face by a mesh."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh

    @classmethod
    def load(cls, path: Path) -> FaceMesh:
        """Load a `face_landmarker.task`; UserError when it is none, or the package is missing."""
        program()
        mediapipe, tasks = (import_module(name) for name in (PACKAGE, f"{PACKAGE}.tasks.python"))
        try:
            model = tasks.vision.FaceLandmarker.create_from_model_path(str(path))
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"{path} is no face landmarker that MediaPipe can load: get the file again, or "
                "give another model with --predictor."
            ) from error

        def mesh(rgb: NDArray[np.uint8]) -> NDArray[np.float64] | None:
            seen = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb)
            faces = model.detect(seen).face_landmarks
            return np.array([(one.x, one.y) for one in faces[0]]) if faces else None

        return cls(mesh)

    def points(self, pixels: NDArray[np.uint8], face: dlib.rectangle) -> NDArray[np.float64]:
        """Return the `(68, 2)` points of a face, px of `(h, w)` or RGB pixels; NaN if none is seen.

        Its first pixel's centre is 0, as everywhere here; MediaPipe's shares begin at its edge.
        """
        centre = np.array([face.left() + face.right(), face.top() + face.bottom()]) / 2
        side = round(face.width() * (1 + 2 * _AROUND))
        corner = np.round(centre - (side - 1) / 2)
        cut = cv2.warpAffine(
            pixels, np.column_stack([np.eye(2), -corner]), (side, side), flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        found = self._mesh(cut if cut.ndim == 3 else cv2.cvtColor(cut, cv2.COLOR_GRAY2RGB))
        if found is None:
            return np.full((N_POINTS, 2), np.nan)
        return np.asarray(found[list(MESH_OF_68)] * side - 0.5 + corner)
