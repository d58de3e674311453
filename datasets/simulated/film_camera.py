"""Frames of a film of a simulated patient, quicker than photographs and just as exact.

The room is painted once and moves with the camera; the head is drawn anew only when the face has
changed. The points of every frame are those of the picture, as in `render`.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.simulated.canvas import FloatArray, Image
from datasets.simulated.film import Film
from datasets.simulated.look import View
from datasets.simulated.movement import Expression
from datasets.simulated.render import DrawnHead, Projection, develop, draw_head
from datasets.simulated.surroundings import paint_surroundings


def film_frames(
    film: Film, *, width: int, height: int
) -> Iterator[tuple[NDArray[np.uint8], FloatArray]]:
    """Draw a film frame by frame.

    Yields
    ------
    rgb : (height, width, 3) uint8
    points : (68, 2) float64
        True landmarks in pixels of the frame.
    """
    camera = _Camera(film, width, height)
    for frame, time in enumerate(film.times):
        face = film.face(float(time))
        yield camera.take(face, film.head.view(film.patient.view, frame), frame)


class _Camera:
    """What stays from frame to frame: the room, and the head as long as the face is the same."""

    def __init__(self, film: Film, width: int, height: int) -> None:
        self.patient, self.width, self.height = film.patient, width, height
        patient, size = film.patient, (width, height)
        self.home = Projection.of(patient.view, *size)
        rest = film.face(0.0, acts=())
        self.head = self._draw(rest)
        self.drawn = rest
        self.room = paint_surroundings(
            self.home.body(*size), patient.shape, patient.look, patient.view,
            self.head.seen(self.home, *size)[..., 3],
        )  # fmt: skip

    def take(
        self, face: Expression, view: View, frame: int
    ) -> tuple[NDArray[np.uint8], FloatArray]:
        if not np.array_equal(face.contraction, self.drawn.contraction):
            self.head, self.drawn = self._draw(face), face
        projection = Projection.of(view, self.width, self.height)
        seen = self.head.seen(projection, self.width, self.height)
        rng = np.random.default_rng([self.patient.seed, 21, frame])
        rgb = develop(self._room(projection, view), seen, view, rng)
        return rgb, self.head.points(projection)

    def _draw(self, face: Expression) -> DrawnHead:
        patient = self.patient
        return draw_head(patient.shape, patient.look, face, patient.view, scale=self.home.scale)

    def _room(self, projection: Projection, view: View) -> Image:
        """The room as seen when the camera, and not the head, has shifted or come nearer."""
        nearer = view.distance / self.patient.view.distance
        shift = projection.centre - nearer * self.home.centre
        moved = np.column_stack([nearer * np.eye(2), shift])
        room = cv2.warpAffine(
            self.room, moved, (self.width, self.height), borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(room, np.float32)
