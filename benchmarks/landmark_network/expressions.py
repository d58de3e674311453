"""Expressions and poses of rendered people: both halves drawn by themselves in more than half."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from common.arrays import Floats

PALSIES = 0.55  # share of pictures whose halves move independently
# Movements of both sides: name, largest weight, how often.
_SIDED = (
    ("browDown", 1, 0.3), ("browInnerUp", 1, 0.4), ("browOuterUp", 1, 0.4), ("eyeBlink", 0.8, 0.3),
    ("eyeSquint", 1, 0.3), ("eyeWide", 1, 0.25), ("noseSneer", 1, 0.3), ("mouthSmile", 1, 0.5),
    ("mouthDimple", 0.8, 0.15), ("mouthFrown", 1, 0.25), ("mouthStretch", 1, 0.2),
    ("mouthUpperUp", 1, 0.3), ("mouthLowerDown", 1, 0.3), ("mouthPress", 1, 0.2),
    ("cheekPuff", 1, 0.12), ("cheekSquint", 1, 0.25),
)  # fmt: skip
# Movements of the middle: name, how often, least and largest weight.
_MIDDLE = (
    ("mouthPucker", 0.2, 0.1, 1), ("mouthFunnel", 0.12, 0.1, 0.8), ("mouthRollLower", 0.1, 0, 0.7),
    ("mouthRollUpper", 0.1, 0, 0.7), ("mouthShrugUpper", 0.1, 0, 0.8),
)  # fmt: skip
_CLOSED = 1.02  # weight of eyeBlink at which the lids meet


class Expression:
    """Weights of the expressions, drawn in a fixed order: the same seed is the same face."""

    def __init__(self, rng: Generator, number: Mapping[str, int]) -> None:
        self.weights: NDArray[np.float32] = np.zeros(len(number), np.float32)
        self._rng, self._number = rng, number
        palsy = rng.random() < PALSIES
        self._tied = not palsy
        for name, top, often in _SIDED:
            if rng.random() < often:
                self._add(name, *self._two_sides(top))
        self._blink()
        self._smile()
        self._within_limits()
        self._middle(palsy)
        self._gaze()
        if palsy and rng.random() < 0.5:
            self._droop()

    def _add(self, name: str, left: float, right: float) -> None:
        self.weights[self._number[f"{name}_L"]] += left
        self.weights[self._number[f"{name}_R"]] += right

    def _set(self, name: str, weight: float) -> None:
        self.weights[self._number[name]] = weight

    def _two_sides(self, top: float) -> tuple[float, float]:
        """Weights of left and right: nearly the same if they are tied, else independent."""
        rng = self._rng
        left = top * rng.beta(0.8, 1.2)
        if self._tied:
            first = left * np.exp(0.12 * rng.standard_normal())
            return first, left * np.exp(0.12 * rng.standard_normal())
        right = top * rng.beta(0.8, 1.2)
        return (left, right) if rng.random() < 0.5 else (left, right * 0.3)

    def _blink(self) -> None:
        rng = self._rng
        if rng.random() < 0.3:
            much = rng.beta(1.5, 0.9)
            left = much if rng.random() < 0.7 or self._tied else 0
            self._add("eyeBlink", left, much if rng.random() < 0.7 or self._tied else 0)

    def _smile(self) -> None:
        """A smile, often with teeth, of both sides or weaker on one."""
        rng = self._rng
        if rng.random() >= 0.4:
            return
        both = self._tied or rng.random() < 0.3
        side = np.ones(2)
        if not both:
            side = np.array([1, rng.uniform(-0.1, 0.7)])[:: rng.choice([-1, 1])]
        smile, upper, lower = rng.uniform(0.3, 1.15), rng.uniform(0, 0.8), rng.uniform(0, 0.8)
        own = np.exp(0.06 * rng.standard_normal(6))
        if rng.random() < 0.3:
            upper = lower = 0
        self._add("mouthSmile", smile * side[0] * own[0], smile * side[1] * own[1])
        self._add("mouthUpperUp", upper * side[0] * own[2], upper * side[1] * own[3])
        self._add("mouthLowerDown", lower * side[0] * own[4], lower * side[1] * own[5])
        self.weights[self._number["jawOpen"]] += rng.uniform(0, 0.25)
        left = rng.uniform(0, 0.8) * side[0]
        self._add("cheekSquint", left, rng.uniform(0, 0.8) * side[1])
        left = rng.uniform(0, 0.6)
        self._add("eyeSquint", left, rng.uniform(0, 0.6))

    def _within_limits(self) -> None:
        self.weights[:] = np.clip(self.weights, -0.2, 1.3)
        for name in ("eyeBlink_L", "eyeBlink_R"):
            self._set(name, min(self.weights[self._number[name]], _CLOSED))

    def _middle(self, palsy: bool) -> None:
        rng = self._rng
        if rng.random() < 0.4:
            self._set("jawOpen", rng.beta(0.8, 1.8) * 0.9)
        for name, often, least, most in _MIDDLE:
            if rng.random() < often:
                self._set(name, rng.uniform(least, most))
        for part, often, least, most in (
            ("mouth", 0.5 if palsy else 0.1, 0.05, 0.8 if palsy else 0.25),
            ("jaw", 0.1, 0, 0.5),
        ):
            if rng.random() < often:
                much = rng.uniform(least, most)
                self._set(part + ("Left", "Right")[rng.integers(2)], much)

    def _gaze(self) -> None:
        across, up = 0.35 * self._rng.standard_normal(2)
        for side, out in (("L", 1), ("R", -1)):
            for way, much in (
                ("Out", across * out), ("In", -across * out), ("Up", up), ("Down", -up),
            ):  # fmt: skip
                self.weights[self._number[f"eyeLook{way}_{side}"]] += max(much, 0)

    def _droop(self) -> None:
        """One side at rest: corner and brow lower, eye wider."""
        side = "LR"[self._rng.integers(2)]
        for name, most in (("mouthFrown", 0.7), ("browDown", 0.9), ("eyeWide", 0.6)):
            self.weights[self._number[f"{name}_{side}"]] += self._rng.uniform(0, most)


def turned(yaw: float, pitch: float, roll: float) -> Floats:
    """Rotation `(3, 3)` of a head, angles in radians; roll is done last."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    rolled = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    pitched = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return rolled @ pitched @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])


def pose(rng: Generator, *, spread: Floats, yaw: float, pitch: float) -> Floats:
    """A head's turn: normal with standard deviations `spread` (yaw, pitch, roll), within limits.

    All in degrees.
    """
    angles = [
        np.clip(spread[0] * rng.standard_normal(), -yaw, yaw),
        np.clip(spread[1] * rng.standard_normal(), -pitch, pitch),
        spread[2] * rng.standard_normal(),
    ]
    return turned(*np.deg2rad(angles))
