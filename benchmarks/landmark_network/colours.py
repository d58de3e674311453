"""Colours of a rendered face without light: skin, hair, clothes, mouth and eyes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.landmark_network.head import (
    BACK,
    GUMS,
    GUMS_INSIDE,
    SCLERA,
    SIDE,
    SOCKET,
    TEETH,
    Head,
)  # fmt: skip
from benchmarks.landmark_network.person import Person
from benchmarks.landmark_network.surface import Surface
from common.arrays import Floats


def colours_of(
    rng: Generator, head: Head, person: Person, shape: NDArray[np.float32], surface: Surface
) -> NDArray[np.float32]:
    """The colours of the seen surface without light, `(m, 3)`."""
    own, kind = person.rng, surface.kind
    place = head.sample_place[surface.sample]
    colours = _textured(person.texture, place)
    back = kind == BACK
    if back.any():
        height = shape[head.quads[head.sample_quad[surface.sample[back]], 0], 1]
        _colour_back(rng, person, colours, back, place=place[back], height=height)
    colours[kind == GUMS_INSIDE] = person.skin * np.array([0.35, 0.3, 0.5])
    colours[kind == SOCKET] = person.skin * np.array([0.6, 0.6, 0.8])
    colours[kind == GUMS] = np.array([0.35, 0.3, 0.6]) * rng.uniform(0.5, 1)
    colours[kind == TEETH] = np.array([0.75, 0.86, 0.9]) * rng.uniform(0.8, 1.15)
    sclera = rng.uniform(0.6, 0.95) * np.array([0.97, 0.96, 1.0])
    eye = kind >= SCLERA
    if eye.any():
        radius = head.from_axis[surface.sample[eye]] / own.uniform(0.52, 0.64)  # in irises
        shade = own.choice([0.08, 0.15, 0.3]) * np.array([1, 1, 1])
        iris = np.clip(shade + own.random(3) * np.array([0.3, 0.2, 0.15]), 0, 0.8)
        pupil = rng.uniform(0.25, 0.5)
        iris = iris * (0.7 + 0.5 * rng.random((eye.sum(), 1)))
        iris = iris * np.where(radius > 0.85, 0.5, 1)[:, None]
        white = np.where((radius < 1)[:, None], iris, sclera)
        colours[eye] = np.where((radius < pupil)[:, None], 0.02, white)
    return np.clip(colours, 0, 1.2)


def _textured(texture: NDArray[np.float32], place: Floats) -> NDArray[np.float32]:
    """The texture at places `(m, 2)`, read in rows as OpenCV takes a picture."""
    size = len(texture)
    count = len(place)
    grid = np.zeros((-(-count // SIDE) * SIDE, 2), np.float32)
    grid[:count, 0] = place[:, 0] % 1 * size - 0.5
    grid[:count, 1] = (1 - place[:, 1] % 1) * size - 0.5
    grid = grid.reshape(-1, SIDE, 2)
    read = cv2.remap(
        texture, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return read.reshape(-1, 3)[:count].copy()


def _colour_back(
    rng: Generator, person: Person, colours: NDArray[np.float32], back: NDArray[np.bool_],
    *, place: Floats, height: Floats,
) -> None:  # fmt: skip
    """Colour the rest of the head in place: hair above, then skin, then clothes."""
    own = person.rng
    across, up = place[:, 0] - 1, place[:, 1]
    hairy = (height > own.uniform(-1, 2)) & (not person.bald)
    strands = 1 + 0.25 * np.sin(across * own.uniform(150, 400) + 3 * np.sin(up * 20))
    strands = strands + 0.2 * rng.standard_normal(back.sum())
    hair = person.hair * strands[:, None]
    colours[back] = np.where(hairy[:, None], hair, person.skin * own.uniform(0.85, 1))
    clothed = height < own.uniform(-17, -13)
    colours[back] = np.where(clothed[:, None], own.random(3), colours[back])
