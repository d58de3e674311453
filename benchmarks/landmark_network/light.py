"""Light on a rendered face: lamps with shadows and highlights, hollows, exposure."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.landmark_network.head import BACK, FACE, GUMS, GUMS_INSIDE, SCLERA, SIDE, TEETH
from benchmarks.landmark_network.person import Person
from benchmarks.landmark_network.surface import Surface
from common.arrays import Floats

_SHADOW_STEPS = (3, 6, 10, 15, 22)  # px along which a shadow is looked for
_BEHIND = -30


def lit(rng: Generator, person: Person, surface: Surface, colours: NDArray[np.float32]) -> Floats:
    """The seen surface under one to three lamps, `(m, 3)`."""
    kind, normal = surface.kind, surface.normal
    shade = np.full(len(kind), rng.uniform(0.25, 0.7), np.float32)
    shade = shade * (1 + 0.25 * normal[:, 1] * rng.uniform(-0.3, 1))
    light = np.ones((len(kind), 3), np.float32) * shade[:, None]
    gloss = np.zeros(len(kind), np.float32)
    for _ in range(rng.integers(1, 4)):
        _add_lamp(rng, surface, light, gloss)
    hollow = cv2.GaussianBlur(surface.depth, (0, 0), 5) - surface.depth
    hollow = np.clip(hollow, 0, 2)[surface.there]
    light *= (1 - rng.uniform(0.1, 0.35) * np.clip(hollow, 0, 1.5))[:, None]
    gloss[(kind == BACK) & (not person.bald)] *= 0.2
    gloss[kind == SCLERA] *= 1.5
    rgb = colours * light
    bright = rgb[kind == FACE].mean(1)
    gloss *= np.percentile(bright, 80)
    exposed = rng.uniform(0.3, 0.9) * (0.55 + 0.45 * min(1, person.skin.mean() / 0.5))
    exposed = exposed / np.percentile(bright, 85)
    rgb *= exposed
    gloss *= exposed
    rgb = rgb + gloss[:, None] * np.where((kind <= BACK) | (kind == TEETH), 1, 0)[:, None]
    rgb[np.isin(kind, (GUMS_INSIDE, GUMS, TEETH))] *= rng.uniform(0.3, 0.9)
    rgb[kind == TEETH] *= rng.uniform(1, 1.5)
    return rgb


def _add_lamp(
    rng: Generator, surface: Surface, light: NDArray[np.float32], gloss: NDArray[np.float32]
) -> None:
    """Add a lamp's light and highlights in place."""
    towards = np.array(
        [rng.standard_normal() * 0.8, rng.standard_normal() * 0.5 + 0.35, rng.uniform(0.3, 1.5)]
    )
    towards /= np.linalg.norm(towards)
    wrap = rng.uniform(0, 0.25)
    much = np.clip((surface.normal @ towards + wrap) / (1 + wrap), 0, None)
    if rng.random() < 0.5:
        much = much * _shadow(surface, towards)
    colour = rng.uniform(0.2, 0.9) * (1 + 0.12 * rng.standard_normal(3))
    light += much[:, None] * colour
    half = towards + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    shine = np.clip(surface.normal @ half, 0, 1) ** rng.uniform(8, 50)
    gloss += shine * rng.uniform(0, 0.25) * colour.mean()


def _shadow(surface: Surface, towards: Floats) -> NDArray[np.float32]:
    """How much of a lamp reaches the surface, `(m,)` 0 to 1, by steps along the depth."""
    depth = surface.depth
    step = towards[:2] * np.array([1, -1])
    reaches = np.ones((SIDE, SIDE), np.float32)
    for far in _SHADOW_STEPS:
        move = np.float32([[1, 0, far * step[0]], [0, 1, far * step[1]]])
        there = cv2.warpAffine(
            depth, move, (SIDE, SIDE),
            flags=cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR, borderValue=_BEHIND,
        )  # fmt: skip
        above = there - depth - far / surface.px_per_cm * towards[2] - 0.25
        reaches = np.minimum(reaches, np.clip(1 - above * 2, 0, 1))
    return cv2.GaussianBlur(reaches, (0, 0), 1.2)[surface.there]
