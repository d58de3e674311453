"""Rendered people: shape, and skin with lips, beard, folds, brows, hair and lashes drawn on it.

Everything is drawn on the texture of the face: places are shares of it, x to the left of the face
and y up; colours are BGR, 0 to 1. The order of the drawings is part of what a seed means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.interpolate import splev, splprep

from benchmarks.landmark_network.contours import BROWS, OUTER_LIP
from benchmarks.landmark_network.curves import Curve
from benchmarks.landmark_network.head import Head
from benchmarks.landmark_network.skins import SIDE, Skins
from common.arrays import Floats

_LASHES = 2  # the texture is enlarged so much for lashes and creases of the lids
_DOWN, _ACROSS = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE
_MIDDLE = (slice(75, 165), slice(65, 190))  # rows and columns of cheeks and nose, px
_LIGHT, _DARK = np.array([0.62, 0.74, 0.90]), np.array([0.16, 0.22, 0.33])  # ends of skin tones
_NOSE_TO_MOUTH = ((0.43, 0.56), (0.37, 0.5), (0.345, 0.42))
_UNDER_EYE = ((0.40, 0.7), (0.365, 0.69), (0.33, 0.7))


@dataclass(frozen=True)
class Person:
    """Somebody, of whom several pictures may be drawn.

    Attributes
    ----------
    rng
        Goes on from picture to picture of this person.
    identity
        `(100,)` weights of ICT-FaceKit's identities.
    texture, brows
        `(2 SIDE, 2 SIDE, 3)` float32, and the centre lines of the hair of both brows.
    hair, skin, bald
        Mean colours, and whether there is no hair.
    """

    rng: Generator
    identity: NDArray[np.float32]
    texture: NDArray[np.float32]
    brows: Sequence[Curve]
    hair: Floats
    skin: Floats
    bald: bool


def somebody(
    rng: Generator, head: Head, skins: Skins, *, people: range, numbers: Sequence[int]
) -> Person:
    """Draw one of `people` (each number is a seed), with a skin out of `numbers`."""
    own = np.random.default_rng(int(rng.choice(people)))
    identity = own.standard_normal(100).astype(np.float32) * own.uniform(0.7, 1.15)
    texture = _toned(own, skins.pictures[own.choice(numbers)])
    skin = texture[_MIDDLE].mean((0, 1))
    texture, lips = _with_lips(own, texture, skin, head.landmark_places[OUTER_LIP])
    hair = own.uniform(0.02, 0.5) * np.array([0.75, 0.85, 1.0])
    if own.random() < 0.12:
        hair = np.full(3, own.uniform(0.5, 0.85))
    texture = _with_beard(own, texture, hair, lips)
    texture = _with_folds(own, texture)
    texture, brows = _with_brows(own, texture, head, hair=hair, skin=skin)
    texture, bald = _with_hair(own, texture, hair)
    texture = _with_lashes(own, texture, head)
    return Person(own, identity, texture, brows, hair, skin, bald)


def noise(rng: Generator, height: int, width: int, cells: int, channels: int = 1) -> Floats:
    """Smooth noise `(height, width, channels)` of `cells` × `cells` normal values."""
    coarse = rng.standard_normal((cells, cells, channels)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return smooth.reshape(height, width, channels)


def fixed(places: Floats, bits: int) -> NDArray[np.int32]:
    """Places as OpenCV draws them exactly: whole numbers with `bits` bits after the point."""
    return np.round(places * 2**bits).astype(np.int32)


def mixed(below: Floats, over: Floats | float, share: Floats) -> Floats:
    return below * (1 - share) + share * over


def _px(places: Floats) -> Floats:
    return np.c_[places[:, 0] * SIDE, (1 - places[:, 1]) * SIDE]


def _blurred(picture: Floats, sigma: float) -> Floats:
    """Blur a mask `(h, w)`; it comes as `(h, w, 1)`."""
    return cv2.GaussianBlur(picture, (0, 0), sigma)[..., None]


def _blank(scale: int = 1) -> NDArray[np.float32]:
    return np.zeros((scale * SIDE, scale * SIDE), np.float32)


def _toned(own: Generator, skin: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A skin of any tone, with more or less contrast and irregularities of several sizes."""
    picture = skin.astype(np.float32) / 255
    tone = own.beta(2.5, 1.6)
    mean = picture[_MIDDLE].mean((0, 1))
    target = _DARK + (_LIGHT - _DARK) * tone
    picture = np.clip(picture * (1 + (target / mean - 1) * own.uniform(0.4, 1)), 0, 1)
    mean = picture.mean((0, 1))
    picture = (picture - mean) * own.uniform(0.8, 1.4) + mean
    for much, most, cells, channels in ((0.03, 1.5, 24, 1), (0.02, 2, 90, 1), (0.05, 1, 6, 3)):
        share = much * own.uniform(0, most)
        picture = picture + share * noise(own, SIDE, SIDE, cells, channels)
    return picture.astype(np.float32)


def _with_lips(
    own: Generator, texture: Floats, skin: Floats, outline: Floats
) -> tuple[Floats, Floats]:
    """Lips along the spline that the labels follow, a quarter of them painted; and their mask."""
    spline, _ = splprep(np.r_[outline, outline[:1]].T, s=0, per=1)
    edge = _px(np.array(splev(np.linspace(0, 1, 80), spline)).T)
    lips = _blank()
    cv2.fillPoly(lips, [fixed(edge, 4)], 1, shift=4)
    around = _blurred(cv2.dilate(lips, np.ones((5, 5))), 1.5)
    texture = texture * (1 - around) + around * (skin * own.uniform(0.92, 1.03))
    lips = _blurred(lips, own.uniform(0.4, 1.3))
    tint = skin * np.array([0.62, 0.55, 0.85]) * own.uniform(0.75, 1.2)
    if own.random() < 0.25:
        tint = np.array([0.15, 0.1, 0.5]) * own.uniform(0.6, 1.6) + 0.1 * own.random(3)
    much = own.uniform(0.35, 1)
    return texture * (1 - lips * much) + lips * much * np.clip(tint, 0.03, 1), lips


def _with_beard(own: Generator, texture: Floats, hair: Floats, lips: Floats) -> Floats:
    """Stubble or a beard on some, a moustache on some."""
    if own.random() < 0.3:
        ring = np.hypot((_ACROSS - 0.5) / 0.36, (_DOWN - 0.58) / 0.20)
        where = np.clip(1 - np.abs(ring - 0.95) / 0.45, 0, 1) * np.clip((_DOWN - 0.5) * 9, 0, 1)
        where = where * (1 - cv2.dilate(lips[..., 0], np.ones((5, 5))))
        where = _blurred(where.astype(np.float32), 2.5) * own.uniform(0.2, 0.9)
        texture = mixed(texture, hair, where * _strewn(own))
    if own.random() < 0.22:
        across = (_ACROSS - 0.5) / own.uniform(0.09, 0.14)
        ring = np.hypot(across, (_DOWN - 0.475) / own.uniform(0.025, 0.045))
        where = np.clip(1.3 - ring, 0, 1) * (1 - lips[..., 0]) * (_DOWN > 0.455)
        where = _blurred(where.astype(np.float32), 1) * own.uniform(0.4, 1)
        texture = mixed(texture, hair, where * _strewn(own))
    return texture


def _strewn(own: Generator) -> Floats:
    return np.clip(0.8 + 0.5 * noise(own, SIDE, SIDE, 100), 0, 1.2)


def _with_folds(own: Generator, texture: Floats) -> Floats:
    """Folds from nose to mouth and under the eyes, and lines of the forehead on some."""
    for mirrored in (False, True):
        for fold in (_NOSE_TO_MOUTH, _UNDER_EYE):
            places = np.array(fold)
            if mirrored:
                places[:, 0] = 1 - places[:, 0]
            line = _line(places, own.uniform(0.8, 2))
            texture = texture * (1 - own.uniform(0, 1.3) * line * 0.35)
    if own.random() < 0.3:
        for height in np.linspace(0.85, 0.93, own.integers(2, 5)):
            x = np.linspace(0.3, 0.7, 12)
            wave = 0.01 * np.cos((x - 0.5) * 8 + own.random())
            places = np.c_[x, height + wave + 0.003 * own.standard_normal(12)]
            texture = texture * (1 - 0.3 * own.random() * _line(places, 0.7))
    return texture


def _line(places: Floats, sigma: float) -> Floats:
    line = _blank()
    cv2.polylines(line, [fixed(_px(places), 0)], False, 1, 1)
    return _blurred(line, sigma)


def _with_brows(
    own: Generator, texture: Floats, head: Head, *, hair: Floats, skin: Floats
) -> tuple[Floats, list[Curve]]:
    """Brows of single hairs, and the centre lines of both, outer end first."""
    up = 0.010 * own.standard_normal() - 0.006
    arch, wider = 0.006 * own.standard_normal(), 0.008 * own.standard_normal()
    thick = own.uniform(0.016, 0.036)
    tail, dense = 0.006 * own.standard_normal(), own.uniform(0.35, 1.0)
    colour = hair * own.uniform(0.6, 1.1) if hair.mean() < 0.5 else hair * 0.6
    colour = np.minimum(colour, skin * 0.85)
    mask, centres = _blank(), []

    def thickness(along: Floats) -> Floats:
        """Of the hair, from the outer end 0 to the inner end 1."""
        return thick * np.clip(np.minimum(along / 0.35 + 0.25, 1), 0, 1)

    for sign, points in zip((-1, 1), BROWS, strict=True):
        along = np.linspace(0, 1, 5)
        top = head.landmark_places[list(points)].copy()
        lift = up + arch * np.sin(np.pi * along) + tail * (1 - along)
        top[:, 1] += lift + 0.002 * own.standard_normal()
        top[:, 0] += sign * (wider * (1 - along) + 0.004 * own.standard_normal())
        spline, _ = splprep(top.T, s=0)
        along = np.linspace(0, 1, 41)
        middle = np.array(splev(along, spline)).T
        middle[:, 1] -= 0.5 * thickness(along)
        centres.append(head.skin.curve(middle))
        count = int(240 * dense) + 60
        along = own.uniform(0, 1, count)
        edge = np.array(splev(along, spline)).T
        root = edge.copy()
        root[:, 1] -= own.uniform(0, 1, count) * thickness(along)
        length = 0.5 * thickness(along) + 0.004
        lean = own.uniform(25, 55) * (0.4 + 0.6 * along) + 10 * own.standard_normal(count)
        lean = np.deg2rad(lean)
        tip = root + np.c_[sign * np.cos(lean) * length, np.sin(lean) * length]
        tip[:, 1] = np.minimum(tip[:, 1], edge[:, 1] + 0.002)
        hairs = list(fixed(np.stack([_px(root), _px(tip)], 1), 4))
        cv2.polylines(mask, hairs, False, float(own.uniform(0.5, 1)), 1, cv2.LINE_AA, 4)
        there, back = np.linspace(0, 1, 20), np.linspace(1, 0, 20)
        below = np.array(splev(back, spline)).T - np.c_[np.zeros(20), thickness(back)]
        full = _blank()
        area = np.r_[np.array(splev(there, spline)).T, below]
        cv2.fillPoly(full, [fixed(_px(area), 0)], 1)
        mask = np.maximum(mask, cv2.GaussianBlur(full, (0, 0), 1) * dense * 0.75)
    share = np.clip(mask, 0, 1)[..., None] * own.uniform(0.6, 1)
    return mixed(texture, colour, share), centres


def _with_hair(own: Generator, texture: Floats, hair: Floats) -> tuple[Floats, bool]:
    """Hair above a hairline and in front of the ears; and whether there is none."""
    line = 0.955 + 0.03 * own.standard_normal()
    curve = 0.10 * np.abs(np.linspace(-1, 1, SIDE)) ** own.uniform(2, 5)
    line = line - curve * own.uniform(0, 2.0) + 0.012 * noise(own, 1, SIDE, 9)[0, :, 0]
    bald = own.random() < 0.15
    above = np.clip(((1 - _DOWN) - line[None, :]) * 60, 0, 1)
    sides = np.clip((np.abs(_ACROSS - 0.5) - 0.44) * 40, 0, 1) * ((1 - _DOWN) > 0.62)
    mask = _blurred((np.maximum(above, sides) * (not bald)).astype(np.float32), 1)
    strands = own.standard_normal((SIDE, SIDE)).astype(np.float32)
    strands = cv2.GaussianBlur(strands, (0, 0), sigmaX=0.6, sigmaY=5)[..., None]
    return mixed(texture, np.clip(hair * (1 + 0.4 * strands * 3), 0, 1), mask), bald


def _with_lashes(own: Generator, texture: Floats, head: Head) -> NDArray[np.float32]:
    """Lashes along the margins of the lids, and the crease of the upper lid, on a finer texture."""
    large = (_LASHES * SIDE, _LASHES * SIDE)
    texture = np.clip(texture, 0, 1).astype(np.float32)
    texture = cv2.resize(texture, large, interpolation=cv2.INTER_CUBIC)
    lashes, creases = _blank(_LASHES), _blank(_LASHES)
    dark, height = own.uniform(0.5, 1), own.uniform(0.006, 0.016)
    width = int(own.integers(1, 3))
    for upper, lower in head.contours.lid_places:
        line = _px(upper) * _LASHES
        line[:, 1] -= own.uniform(0, 1)
        cv2.polylines(lashes, [fixed(line, 3)], False, 1, width, cv2.LINE_AA, 3)
        line = _px(lower) * _LASHES
        line[:, 1] += 1
        cv2.polylines(lashes, [fixed(line, 3)], False, 0.4 * dark, 1, cv2.LINE_AA, 3)
        line = upper.copy()
        line[:, 1] += height * np.sin(np.pi * np.linspace(0.08, 0.95, len(line)))
        cv2.polylines(creases, [fixed(_px(line) * _LASHES, 3)], False, 1, 1, cv2.LINE_AA, 3)
    lashes = _blurred(lashes, own.uniform(0.5, 1.1)) * own.uniform(0.2, 1)
    creases = _blurred(creases, own.uniform(0.6, 2)) * own.uniform(0, 0.6) * (own.random() < 0.7)
    texture = texture * (1 - creases * 0.6)
    texture = texture * (1 - lashes) + lashes * 0.06
    return np.clip(texture, 0, 1).astype(np.float32)
