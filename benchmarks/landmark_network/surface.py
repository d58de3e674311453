"""The surface of a face as it is seen: shape, pose, projection, and the nearest sample by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.landmark_network.expressions import Expression, pose
from benchmarks.landmark_network.head import GUMS_INSIDE, SIDE, Head
from benchmarks.landmark_network.person import Person

_SCALP = slice(9_409, 11_248)  # vertices that hair lifts
_NOTHING, _HOLE, _BEHIND = -1e9, -40.0, -30.0  # depths where there is no surface


@dataclass(frozen=True)
class Surface:
    """What is seen: `there` `(SIDE, SIDE)`, and for each of its pixels the nearest sample.

    Attributes
    ----------
    sample, kind, normal
        `(m,)` numbers of samples, their kinds, and unit normals `(m, 3)`.
    depth
        `(SIDE, SIDE)` float32, in cm towards the camera.
    px_per_cm
        Of the picture at the middle of the face.
    """

    there: NDArray[np.bool_]
    sample: NDArray[np.int64]
    kind: NDArray[np.int8]
    normal: NDArray[np.float32]
    depth: NDArray[np.float32]
    px_per_cm: float


def shape_of(rng: Generator, head: Head, person: Person) -> NDArray[np.float32]:
    """The vertices `(v, 3)` with an expression and a smooth asymmetry of the person's own."""
    weights = Expression(rng, head.number).weights
    shape = (head.neutral.ravel() + person.identity @ head.identities).reshape(-1, 3)
    shape = shape + (weights @ head.expressions).reshape(-1, 3)
    own = person.rng
    ways = own.standard_normal((6, 3)) * 0.12
    phases = own.uniform(0, 6.28, 6)
    waves = own.standard_normal((6, 3)) * 0.25
    waved = np.sin(shape @ waves.T.astype(np.float32) + phases.astype(np.float32))
    return (shape + waved @ ways.astype(np.float32)).astype(np.float32)


def projected(
    rng: Generator, head: Head, person: Person, shape: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Where vertices are seen (x, y px, z cm), their normals, and px per cm."""
    turn = pose(rng, spread=(12, 8, 6), yaw=38, pitch=22).astype(np.float32)
    middle = shape[head.landmarks[[36, 45, 33, 8]]].mean(0)
    turned = (shape - middle) @ turn.T
    quads = head.quads
    across = turned[quads[:, 2]] - turned[quads[:, 0]]
    normals = head.to_vertices @ np.cross(across, turned[quads[:, 3]] - turned[quads[:, 1]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    if not person.bald:
        volume = person.rng.uniform(0, 2.2)
        scalp = np.zeros(len(shape), bool)
        scalp[_SCALP] = True
        height = np.clip((shape[:, 1] - 2) / 4, 0, 1) * scalp
        if rng.random() < 0.9:
            turned = turned + normals * (height * volume)[:, None]
    distance = rng.uniform(45, 160)  # cm
    px_per_cm = rng.uniform(0.92, 1.12) * SIDE * 0.36 / 9.0
    focal = px_per_cm * distance
    away = distance - turned[:, 2]
    seen = np.empty_like(turned)
    seen[:, 0] = turned[:, 0] * focal / away
    seen[:, 1] = -turned[:, 1] * focal / away
    seen[:, 2] = turned[:, 2]
    centre = SIDE / 2 + np.array([0, rng.uniform(-0.02, 0.06) * SIDE])
    seen[:, :2] += centre + SIDE * 0.015 * rng.standard_normal(2)
    return seen, normals, px_per_cm


def surface_of(
    head: Head, seen: NDArray[np.float32], normals: NDArray[np.float32], px_per_cm: float
) -> Surface:
    """The nearest sample at each pixel; gaps between samples of one surface are closed."""
    samples = head.to_samples @ np.c_[seen, normals].astype(np.float32)
    x = np.floor(samples[:, 0]).astype(np.int32)
    y = np.floor(samples[:, 1]).astype(np.int32)
    inside = (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)
    inside &= (samples[:, 5] > -0.05) | (head.sample_kind >= GUMS_INSIDE)
    drawn = np.flatnonzero(inside)
    pixel = y[drawn] * SIDE + x[drawn]
    depth = samples[drawn, 2]
    nearest = np.full(SIDE * SIDE, _NOTHING, np.float32)
    np.maximum.at(nearest, pixel, depth)
    wins = depth >= nearest[pixel]
    own = np.full(SIDE * SIDE, -1, np.int64)
    own[pixel[wins]] = drawn[wins]
    own = own.reshape(SIDE, SIDE)
    front = np.where(own >= 0, nearest.reshape(SIDE, SIDE), _HOLE).astype(np.float32)
    for _ in range(2):  # a pixel deeper than both opposite neighbours is a gap
        for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
            one = np.roll(front, shift, (0, 1))
            other = np.roll(front, (-shift[0], -shift[1]), (0, 1))
            gap = (np.minimum(one, other) > front + 0.5) & (np.abs(one - other) < 0.8)
            own = np.where(gap, np.roll(own, shift, (0, 1)), own)
            front = np.where(gap, one, front)
    there = own >= 0
    sample = own[there]
    normal = samples[sample, 3:6]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    depths = np.full((SIDE, SIDE), _BEHIND, np.float32)
    depths[there] = samples[sample, 2]
    return Surface(there, sample, head.sample_kind[sample], normal, depths, px_per_cm)
