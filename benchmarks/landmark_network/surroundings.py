"""What is around a rendered face and in front of it: background, hair, catch lights, glasses."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.landmark_network.head import SIDE
from benchmarks.landmark_network.person import Person, fixed, mixed, noise
from common.arrays import Floats
from landmarks.points import LEFT_EYE_OUTER, REGIONS, RIGHT_EYE_OUTER

_EYES = (list(REGIONS["right_eye"]), list(REGIONS["left_eye"]))
_BRIDGE, _CHIN, _JAW = 27, 8, (0, 16)
# Long hair around the bridge of the nose, in widths of the face.
_LONG_HAIR = np.array(
    [[-0.75, -0.4], [-0.5, -1.1], [0, -1.3], [0.5, -1.1], [0.75, -0.4], [0.8, 1.6], [-0.8, 1.6]]
)


def background(rng: Generator) -> Floats:
    """A drawn background `(SIDE, SIDE, 3)`: smooth or coarse noise, and some shapes."""
    colour = rng.random() + 0.15 * rng.standard_normal(3)
    much = 0.25 * rng.uniform(0, 1)
    picture = colour + much * noise(rng, SIDE, SIDE, rng.integers(2, 12), 3)
    much = 0.1 * rng.random()
    picture = np.clip(picture + much * noise(rng, SIDE, SIDE, 60), 0, 1)
    for _ in range(rng.integers(0, 7)):
        colour = np.clip(rng.random() + 0.25 * rng.standard_normal(3), 0, 1).tolist()
        corners = rng.uniform(-0.1, 1.1, (4, 2)) * SIDE
        if rng.random() < 0.6:
            cv2.fillConvexPoly(picture, cv2.convexHull(corners.astype(np.int32)), colour)
        else:
            start, end = corners[:2].astype(int).tolist()
            cv2.line(picture, start, end, colour, int(rng.integers(1, 12)))
    if rng.random() < 0.6:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 8))
    return picture


def hair_behind(rng: Generator, person: Person, picture: Floats, points: Floats) -> Floats:
    """Long hair behind the face, on less than half of those who have any."""
    if person.bald or rng.random() >= 0.45:
        return picture
    width = np.linalg.norm(points[_JAW[1]] - points[_JAW[0]])
    outline = _LONG_HAIR * rng.uniform(0.9, 1.2, (7, 1)) * width * 0.9 + points[_BRIDGE]
    mask = np.zeros((SIDE, SIDE), np.float32)
    cv2.fillPoly(mask, [outline.astype(np.int32)], 1)
    mask = cv2.GaussianBlur(mask, (0, 0), 2)[..., None]
    strands = cv2.resize(noise(rng, 20, SIDE, 80)[:, :, 0], (SIDE, SIDE))[..., None]
    hair = np.clip(person.hair * (1 + 0.3 * strands) * rng.uniform(0.5, 1.2), 0, 1)
    return picture * (1 - mask) + mask * hair


def in_front(
    rng: Generator, person: Person, picture: NDArray[np.float32], points: Floats
) -> NDArray[np.float32]:
    """Catch lights, and on some a fringe or curtains of hair, or glasses."""
    for eye in _EYES:
        if rng.random() < 0.7:
            opening = np.linalg.norm(points[eye[1]] - points[eye[5]])
            centre = points[eye].mean(0) + rng.uniform(-0.15, 0.15, 2) * opening
            if opening > SIDE * 0.02:
                centre = (centre * 16).astype(int).tolist()
                radius = int(16 * rng.uniform(0.4, 1.1))
                cv2.circle(picture, centre, radius, (1, 1, 1), -1, cv2.LINE_AA, 4)
    if rng.random() < 0.14 and not person.bald:
        picture = _with_fringe(rng, person, picture, points)
    if rng.random() < 0.13:
        picture = _with_glasses(rng, picture, points)
    return picture


def _eye_distance(points: Floats) -> float:
    return np.linalg.norm(points[LEFT_EYE_OUTER] - points[RIGHT_EYE_OUTER])


def _with_fringe(
    rng: Generator, person: Person, picture: NDArray[np.float32], points: Floats
) -> NDArray[np.float32]:
    unit, bridge = _eye_distance(points), points[_BRIDGE]
    mask = np.zeros((SIDE, SIDE), np.float32)
    top = bridge + np.array([0, -1.15 * unit])
    for _ in range(rng.integers(20, 90)):
        side = rng.choice([-1, 1])
        root = top + np.array([rng.uniform(-0.9, 0.9) * unit, rng.uniform(-0.3, 0.1) * unit])
        if rng.random() < 0.85:
            across = rng.normal(0, 0.25) * unit + 0.25 * side * unit
            tip = root + np.array([across, rng.uniform(0.2, 0.75) * unit])
        else:
            across = bridge[0] + side * rng.uniform(0.75, 1.1) * unit
            tip = np.array([across, points[_CHIN][1] + rng.uniform(-0.5, 0.5) * unit])
        bend = (root + tip) / 2 + np.array([side * 0.2 * unit, -0.1 * unit])
        t = np.linspace(0, 1, 12)[:, None]
        lock = (1 - t) ** 2 * root + 2 * t * (1 - t) * bend + t * t * tip
        dense, wide = float(rng.uniform(0.5, 1)), int(rng.integers(1, 4))
        cv2.polylines(mask, [fixed(lock, 3)], False, dense, wide, cv2.LINE_AA, 3)
    hair = person.hair * (1 + 0.3 * noise(rng, SIDE, SIDE, 60)) * rng.uniform(0.5, 1.3)
    return mixed(picture, np.clip(hair, 0, 1).astype(np.float32), mask[..., None])


def _with_glasses(
    rng: Generator, picture: NDArray[np.float32], points: Floats
) -> NDArray[np.float32]:
    unit = _eye_distance(points)
    colour = (rng.random(3) * rng.uniform(0.1, 1)).tolist()
    wide = int(rng.integers(1, 4))
    dark = rng.uniform(0, 0.25) if rng.random() < 0.8 else rng.uniform(0.3, 0.8)
    drawn, centres = picture.copy(), []
    across = points[LEFT_EYE_OUTER] - points[RIGHT_EYE_OUTER]
    angle = np.degrees(np.arctan2(across[1], across[0]))
    for eye in _EYES:
        centre = points[eye].mean(0) + np.array([0, 0.04 * unit])
        centres.append(centre)
        half = (unit * rng.uniform(0.2, 0.25), unit * rng.uniform(0.13, 0.2))
        if rng.random() < 0.7:
            filled = -1 if dark > 0.3 else wide
            at, size = centre.astype(int).tolist(), [int(side) for side in half]
            cv2.ellipse(drawn, at, size, angle, 0, 360, colour, filled, cv2.LINE_AA)
        else:
            box = cv2.boxPoints((centre.tolist(), (2 * half[0], 2 * half[1]), angle))
            cv2.polylines(drawn, [np.int32(box)], True, colour, wide, cv2.LINE_AA)
    ends = [
        (centres[one] * 0.62 + centres[1 - one] * 0.38).astype(int).tolist() for one in (0, 1)
    ]  # fmt: skip
    cv2.line(drawn, *ends, colour, wide, cv2.LINE_AA)
    return drawn if dark < 0.3 else mixed(picture, drawn, dark)
