"""The face model as it is drawn: dense samples of its surface, their kinds, places and normals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.landmark_network.contours import Contours, Skin
from benchmarks.landmark_network.material import FaceModel
from common.arrays import Floats

SIDE = 272  # px of a picture as it is drawn
PX_PER_CM = SIDE * 0.36 / 9  # of a face of middle size in it
FACE, BACK, GUMS_INSIDE, SOCKET, GUMS, TEETH, SCLERA, IRIS = range(8)
"""Kinds of surface; BACK is the rest of head and neck."""
# The first quad of each stretch of quads, and its kind.
_STRETCHES = (
    (0, FACE), (9_230, BACK), (11_144, GUMS_INSIDE), (13_226, SOCKET), (14_034, GUMS),
    (17_006, TEETH), (21_496, SCLERA), (22_296, IRIS), (23_094, SCLERA), (23_894, IRIS),
)  # fmt: skip
FACE_QUADS = _STRETCHES[1][0]
_FINE = 6  # samples along the side of a quad of the face, to find places of its texture
_FAR = 9.0  # cm from an eye's axis: not on an eye


class Head:
    """ICT-FaceKit's head, sampled so densely that the samples cover a picture without gaps.

    Attributes
    ----------
    neutral, identities, expressions
        `(v, 3)`, `(100, 3 v)`, `(57, 3 v)` cm; `number` gives an expression's row by its name.
    quads, sample_quad, sample_kind, sample_place
        `(q, 4)`; of each sample its quad, its kind, and its texture coordinates `(s, 2)`.
    to_samples, to_vertices
        Sparse `(s, v)`, from vertices to samples, and `(v, q)`, the sum of quads at a vertex.
    from_axis
        `(s,)` cm from the axis of the eye that a sample is on.
    landmarks, landmark_places, contours
        The 68 vertices, their texture coordinates, and the contours that labels follow.
    """

    def __init__(self, model: FaceModel) -> None:
        count = len(model.neutral)
        self.neutral = model.neutral
        self.identities = model.identities.reshape(len(model.identities), -1)
        self.expressions = model.expressions.reshape(len(model.expressions), -1)
        self.number = {str(name): row for row, name in enumerate(model.names)}
        self.quads, self.landmarks = model.quads, model.landmarks
        kind = np.zeros(len(self.quads), np.int8)
        for first, own in _STRETCHES:
            kind[first:] = own
        corners = model.places[model.quad_places]
        self.sample_quad, weights = self._sampled(kind)
        rows = np.repeat(np.arange(len(self.sample_quad)), 4)
        self.to_samples = sparse.csr_matrix(
            (weights.ravel(), (rows, self.quads[self.sample_quad].ravel())),
            shape=(len(self.sample_quad), count),
        ).astype(np.float32)
        places = (weights[:, :, None] * corners[self.sample_quad]).sum(1)
        self.sample_place = places.astype(np.float32)
        self.sample_kind = kind[self.sample_quad]
        rows = np.repeat(np.arange(len(self.quads)), 4)
        self.to_vertices = sparse.csr_matrix(
            (np.ones(self.quads.size, np.float32), (self.quads.ravel(), rows)),
            shape=(count, len(self.quads)),
        )
        self.from_axis = self._from_axis()

        fine = bilinear(_FINE)
        quad = np.repeat(np.arange(FACE_QUADS), len(fine))
        weights = np.tile(fine, (FACE_QUADS, 1))
        skin = Skin((weights[:, :, None] * corners[quad]).sum(1), self.quads[quad], weights)
        vertex_places = np.zeros((count, 2))
        vertex_places[self.quads[:FACE_QUADS]] = corners[:FACE_QUADS]
        self.landmark_places = vertex_places[self.landmarks]
        self.skin = skin
        self.contours = Contours(
            self.neutral, self.quads[:FACE_QUADS],
            landmarks=self.landmarks, places=vertex_places, skin=skin,
        )  # fmt: skip

    def _sampled(self, kind: NDArray[np.int8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The quad of each sample, and the weights of its corners `(s, 4)`."""
        corners = self.neutral[self.quads]
        edge = np.linalg.norm(corners - self.neutral[np.roll(self.quads, 1, 1)], axis=2).max(1)
        along = np.clip(np.ceil(edge * PX_PER_CM * 1.35), 1, 12).astype(int)
        inside = kind >= GUMS_INSIDE
        along[inside] = np.clip(np.ceil(edge[inside] * PX_PER_CM), 1, 5)
        quads, weights = [], []
        for count in np.unique(along):
            own, grid = np.flatnonzero(along == count), bilinear(count)
            quads.append(np.repeat(own, len(grid)))
            weights.append(np.tile(grid, (len(own), 1)))
        return np.concatenate(quads), np.concatenate(weights).astype(np.float32)

    def _from_axis(self) -> NDArray[np.float32]:
        at_rest = self.to_samples @ self.neutral
        distance = np.full(len(at_rest), _FAR, np.float32)
        for sign in (-1, 1):
            eye = (self.sample_kind >= SCLERA) & (np.sign(at_rest[:, 0]) == sign)
            centre = (at_rest[eye].min(0) + at_rest[eye].max(0)) / 2
            off = at_rest[eye] - centre
            away = np.hypot(off[:, 0], off[:, 1])
            distance[eye] = np.where(at_rest[eye, 2] > centre[2], away, _FAR)
        return distance


def bilinear(count: int) -> Floats:
    """Weights of a quad's corners `(count², 4)` at evenly spread places inside it."""
    grid = (np.arange(count) + 0.5) / count
    s, t = (share.ravel() for share in np.meshgrid(grid, grid))
    return np.stack([(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t], 1)
