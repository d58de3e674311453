"""Crops of renderings as they are taught: moved, warped in single parts, spoiled as pictures are.

Everything is drawn from the generator in a fixed order: a step's seed means the same crops.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from common.arrays import Floats
from landmarks.find.network import (
    EYE_PX,
    EYES,
    FACE_PX,
    View,
    eye_map,
    face_map,
    level_angle,
    normalised,
)  # fmt: skip
from landmarks.points import INNER, map_points, mirror_points

Sample = tuple[NDArray[np.float32], NDArray[np.float32]]
"""A normalised crop `(side, side)`, and the points in it, px."""
_WARPED = 0.6  # share of the crops
_GRID = 4  # px between the places that are warped exactly
# Noise of a camera, of which crops take their own window.
_NOISE = np.random.default_rng(5).standard_normal((512, 512)).astype(np.float32)


def face_sample(rng: Generator, grey: NDArray[np.uint8], points: Floats) -> Sample:
    """A crop of the face, half of them mirrored, and its 68 points."""
    angle = 0.16 * rng.standard_normal()
    scale = np.exp(0.09 * rng.standard_normal())
    affine = face_map(points, View(angle, scale, 0.045 * rng.standard_normal(2)))
    crop, there = warped(rng, grey, points, affine, FACE_PX, around=INNER, spread=(7, 26))
    if rng.random() < 0.5:
        crop, there = crop[:, ::-1], mirror_points(there, width=FACE_PX)
    return spoiled(rng, crop), there.astype(np.float32)


def eye_sample(rng: Generator, grey: NDArray[np.uint8], points: Floats, eye: int) -> Sample:
    """A crop of an eye (0 right; 1 left, mirrored) and its 6 points, outer corner first."""
    own = EYES[eye]
    angle = 0.10 * rng.standard_normal()
    scale = np.exp(0.12 * rng.standard_normal())
    view = View(angle, scale, 0.07 * rng.standard_normal(2))
    affine = eye_map(points, eye, view, level=level_angle(points))
    crop, there = warped(rng, grey, points, affine, EYE_PX, around=own, spread=(5, 24))
    return spoiled(rng, crop), there[own].astype(np.float32)


def warped(
    rng: Generator, grey: NDArray[np.uint8], points: Floats, affine: Floats, size: int,
    *, around: Sequence[int], spread: tuple[float, float],
) -> tuple[NDArray[np.uint8], Floats]:  # fmt: skip
    """A crop, most with smooth displacements of single parts; and the points in it.

    Up to five bumps lie near the points `around`, of `spread` px, and the points move along.
    """
    there = map_points(points, affine)
    cells = size // _GRID + 1
    y, x = np.mgrid[:cells, :cells].astype(np.float32) * _GRID
    change = np.zeros((2, cells, cells), np.float32)
    if rng.random() < _WARPED:
        bumps = []
        for _ in range(rng.integers(1, 6)):
            sigma = rng.uniform(*spread)
            centre = there[rng.choice(around)] + 0.8 * spread[0] * rng.standard_normal(2)
            vector = rng.standard_normal(2) * sigma * rng.uniform(0.05, 0.2)
            bumps.append((centre, sigma, vector))

        def moved(x: Floats, y: Floats) -> Floats:
            total = 0
            for centre, sigma, vector in bumps:
                away = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
                vector = vector.reshape(2, *([1] * np.ndim(x)))
                total = total + np.exp(-away / (2 * sigma * sigma))[None] * vector
            return total

        for _ in range(3):  # the inverse, by iteration
            change = moved(x - change[0], y - change[1])
        there = there + moved(there[:, 0], there[:, 1]).T
    x, y = x - change[0], y - change[1]
    inverse = np.linalg.inv(np.r_[affine, [[0, 0, 1]]])[:2].astype(np.float32)
    way = np.stack([row[0] * x + row[1] * y + row[2] for row in inverse], -1).astype(np.float32)
    finer = np.float32([[1 / _GRID, 0, 0], [0, 1 / _GRID, 0]])
    way = cv2.warpAffine(
        way, finer, (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    border = cv2.BORDER_REPLICATE if rng.random() < 0.6 else cv2.BORDER_CONSTANT
    return cv2.remap(grey, way, None, cv2.INTER_LINEAR, borderMode=border), there


def spoiled(rng: Generator, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Things in the way, blur, few pixels, noise, light, compression; then normalised."""
    size = len(crop)
    grey = crop.astype(np.float32)
    if rng.random() < 0.25:
        for _ in range(rng.integers(1, 3)):
            grey = _hidden(rng, grey)
    grey = _blurred(rng, grey)
    if rng.random() < 0.5:
        row, column = rng.integers(0, len(_NOISE) - size, 2)
        window = _NOISE[row : row + size, column : column + size]
        grey = grey + window * np.float32(rng.uniform(1, 14))
    if rng.random() < 0.4:
        shade = rng.standard_normal((3, 3)).astype(np.float32) * 0.3
        grey = grey * (1 + cv2.resize(shade, (size, size), interpolation=cv2.INTER_CUBIC))
    if rng.random() < 0.3:
        curve = (np.arange(256) / 255) ** rng.uniform(0.5, 1.9) * 255
        grey = curve.astype(np.float32)[np.clip(grey, 0, 255).astype(np.uint8)]
    grey = np.clip(grey * rng.uniform(0.6, 1.3) + rng.uniform(-25, 25), 0, 255)
    if rng.random() < 0.25:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 70))]
        _, encoded = cv2.imencode(".jpg", grey.astype(np.uint8), quality)
        grey = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
    return normalised(grey.astype(np.float32))


def _hidden(rng: Generator, grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """An ellipse or a box in the way, half of them rough."""
    size = len(grey)
    centre = rng.uniform(0, size, 2)
    half = size / FACE_PX * rng.uniform(4, 34, 2)
    colour = float(rng.uniform(0, 255))
    grey = np.ascontiguousarray(grey)
    before = grey.copy()
    if rng.random() < 0.5:
        at, axes = centre.astype(int).tolist(), half.astype(int).tolist()
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(grey, at, axes, turn, 0, 360, colour, -1, cv2.LINE_AA)
    else:
        box = cv2.boxPoints((tuple(centre), tuple(half * 1.6), float(rng.uniform(0, 90))))
        cv2.fillPoly(grey, [np.int32(box)], colour)
    if rng.random() < 0.5:
        rough = cv2.resize(rng.standard_normal((24, 24)).astype(np.float32) * 30, (size, size))
        grey = np.where(grey != before, grey + rough, grey)
    return grey


def _blurred(rng: Generator, grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Out of focus, of few pixels, or moved; nearly half stay sharp."""
    size = len(grey)
    kind = rng.random()
    if kind < 0.3:
        return cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.4, 1.8))
    if kind < 0.45:
        few = int(size * rng.uniform(0.28, 0.8))
        coarse = cv2.resize(grey, (few, few), interpolation=cv2.INTER_AREA)
        return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    if kind < 0.55:
        path = np.zeros((7, 7), np.float32)
        angle = rng.uniform(0, np.pi)
        across, down = 3 * np.cos(angle), 3 * np.sin(angle)
        ends = [[int(3 - across), int(3 - down)], [int(3 + across), int(3 + down)]]
        cv2.line(path, *ends, 1)
        return cv2.filter2D(grey, -1, path / path.sum())
    return grey
