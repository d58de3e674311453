"""How a simulated person looks, apart from the shape of the face: skin, hair, light, camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from datasets.simulated.canvas import FloatArray
from datasets.simulated.shape import Shape

HairStyle = Literal["short", "receding", "bob", "long", "tied"]

_SKIN_TONES = np.array(
    [
        (0.95, 0.80, 0.71), (0.91, 0.73, 0.62), (0.86, 0.66, 0.53), (0.78, 0.57, 0.43),
        (0.68, 0.47, 0.34), (0.55, 0.37, 0.26), (0.43, 0.28, 0.20),
    ]
)  # fmt: skip
_HAIR_TONES = np.array(
    [
        (0.09, 0.075, 0.07), (0.16, 0.11, 0.08), (0.27, 0.18, 0.12), (0.45, 0.31, 0.18),
        (0.66, 0.5, 0.3),
    ]
)  # fmt: skip
_GREY_HAIR = np.array([0.66, 0.65, 0.64])
_IRIS_TONES = np.array(
    [
        (0.20, 0.12, 0.07), (0.30, 0.19, 0.10), (0.33, 0.33, 0.18), (0.30, 0.42, 0.36),
        (0.32, 0.45, 0.58),
    ]
)  # fmt: skip
_WALLS = np.array(
    [
        (0.62, 0.66, 0.70), (0.42, 0.50, 0.56), (0.72, 0.70, 0.66), (0.35, 0.38, 0.42),
        (0.52, 0.58, 0.54),
    ]
)  # fmt: skip
_CLOTHES = np.array(
    [
        (0.20, 0.24, 0.33), (0.55, 0.58, 0.62), (0.42, 0.20, 0.22), (0.18, 0.30, 0.27),
        (0.72, 0.70, 0.66),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """Colours (sRGB, 0 to 1, ``(3,)``) and surface of one person.

    Age lines, stubble, freckles and blush run from 0 to about 1; `lashes` and `brow_width` are
    factors about 1. `folds` is how deep the skin folds, about 1, or 0 for the faint creases of age
    alone. `texture_seed` is the seed of the fine texture of skin and hair, the same in
    all photographs of the person.
    """

    skin: FloatArray
    lips: FloatArray
    hair: FloatArray
    brows: FloatArray
    iris: FloatArray
    wall: FloatArray
    clothes: FloatArray
    hair_style: HairStyle
    lines: float
    stubble: float
    freckles: float
    blush: float
    lashes: float
    brow_width: float
    texture_seed: int
    folds: float = 0.0


@dataclass(frozen=True)
class View:
    """Camera and light of one photograph.

    Pose of the head in degrees: yaw > 0 turns the nose towards the right of the picture, pitch > 0
    lowers it, roll > 0 turns the head counter-clockwise as seen. The face is shifted by a fraction
    of the picture's width, ``(2,)``; `distance` is a factor on its size. `light` is the unit vector
    towards the main light, `key` its strength, `fill` that of the light from everywhere; warmth > 0
    is a warm colour cast; the sensor's noise is in grey levels of 255.
    """

    yaw: float
    pitch: float
    roll: float
    shift: FloatArray
    distance: float
    light: FloatArray
    key: float
    fill: float
    warmth: float
    noise: float


def draw_look(rng: np.random.Generator, shape: Shape) -> Look:
    """Draw the colours and surface of a person of the given sex and age."""
    male = shape.sex == "male"
    tone = rng.beta(1.1, 1.3)
    skin = _between(_SKIN_TONES, tone) * rng.uniform(0.97, 1.03, 3)
    hair = _between(_HAIR_TONES, rng.beta(1.2, 2.0) * (1 - 0.9 * tone) + 0.03 * tone)
    grey = float(np.clip((shape.age - 42) / 30 + rng.normal(0, 0.2), 0, 1))
    brows = hair * 0.85 * (1 - 0.45 * grey) + _GREY_HAIR * 0.45 * grey
    redness = np.array([0.92, 0.63, 0.65]) if not male else np.array([0.93, 0.76, 0.74])
    styles: tuple[HairStyle, ...] = ("bob", "long", "tied", "short")
    chances = (0.35, 0.3, 0.25, 0.1)
    if male:
        bald = min(0.75, max(0.05, (shape.age - 25) / 65))
        styles, chances = ("short", "receding", "tied", "bob"), (0.97 - bald, bald, 0.02, 0.01)
    return Look(
        skin=skin,
        lips=skin * redness * 0.92,
        hair=hair * (1 - grey) + _GREY_HAIR * grey,
        brows=brows,
        iris=_between(_IRIS_TONES, rng.beta(1, 1.2) * (1 - tone)) * rng.uniform(0.85, 1.15),
        wall=_WALLS[rng.integers(len(_WALLS))] * rng.uniform(0.85, 1.1),
        clothes=_CLOTHES[rng.integers(len(_CLOTHES))] * rng.uniform(0.8, 1.15),
        hair_style=str(rng.choice(styles, p=np.array(chances) / sum(chances))),  # type: ignore[arg-type]
        lines=float(np.clip((shape.age - 22) / 58 + rng.normal(0, 0.08), 0.03, 1)),
        stubble=float(rng.uniform(0.1, 0.9)) if male else 0.0,
        freckles=float(max(0.0, rng.normal(0.15, 0.35))) * (1 - tone),
        blush=float(rng.uniform(0.3, 1.0)) * (1 - 0.6 * tone),
        lashes=float(rng.uniform(0.7, 0.95) if male else rng.uniform(1.0, 1.5)),
        brow_width=float(rng.uniform(1.0, 1.35) if male else rng.uniform(0.75, 1.05)),
        texture_seed=int(rng.integers(2**31)),
    )


def draw_view(rng: np.random.Generator) -> View:
    """Draw the camera and light of one session."""
    azimuth, height = rng.uniform(-55, 55), rng.uniform(20, 50)
    light = np.array([np.sin(np.radians(azimuth)), -np.tan(np.radians(height)), 1.1])
    light /= np.linalg.norm(light)
    return View(
        yaw=float(np.clip(rng.normal(0, 2.5), -6, 6)),
        pitch=float(np.clip(rng.normal(0, 2.0), -5, 5)),
        roll=float(np.clip(rng.normal(0, 2.0), -5, 5)),
        shift=rng.uniform(-0.02, 0.02, 2),
        distance=float(rng.uniform(0.94, 1.08)),
        light=light,
        key=float(rng.uniform(0.85, 1.1)),
        fill=float(rng.uniform(0.35, 0.55)),
        warmth=float(rng.normal(0, 0.03)),
        noise=float(rng.uniform(1.2, 3.2)),
    )


def next_photograph(rng: np.random.Generator, view: View, *, steadiness: float = 1.0) -> View:
    """The same session a moment later: the head has moved a little, the camera not at all."""
    wobble = np.clip(rng.normal(0, 1, 5), -2, 2) * steadiness
    return replace(
        view,
        yaw=view.yaw + 0.9 * wobble[0],
        pitch=view.pitch + 0.8 * wobble[1],
        roll=view.roll + 0.8 * wobble[2],
        shift=view.shift + 0.006 * wobble[3:],
    )


def _between(tones: FloatArray, place: float) -> FloatArray:
    """Colour at ``place`` (0 to 1) along a row of colours."""
    at = np.clip(place, 0, 1) * (len(tones) - 1)
    return np.array([np.interp(at, np.arange(len(tones)), channel) for channel in tones.T])
