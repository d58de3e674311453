"""How the points of a photograph are found: every choice that changes them, in one place.

With test-time augmentation altered copies of the face are predicted too: turned, brightened, noisy,
mirrored, or seen through a moved box. A copy is drawn from the seed, the photograph's content and
the copy's number alone, so that it does not depend on the number of jobs, on the order of
photographs, or on how many copies there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from types import MappingProxyType
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError, did_you_mean

Average = Literal["median", "trimmed_mean"]
Points = Literal["whole", "halves", "own", "joined"]
POINTS: Mapping[Points, str] = MappingProxyType(
    {
        "whole": "whole face",
        "halves": "mirrored halves",
        "own": "own network",
        "joined": "mirrored halves and own network",
    }
)
OPTIONS = ("tta", "tta_kind", "tta_average", "relevel", "points", "seed")
"""Options of `extract` that decide where points lie, as `run.json` keeps them."""
DEFAULT_COPIES = 10
DEFAULT_KIND = "rotation_normal+box+mirror"
"""Chosen on 30 of the 60 simulated patients of `sim_meei` and confirmed on the other 30, with
`evaluate-landmarks --grid`: of the single kinds and combinations it lowers the error most, if
little, and more than 10 copies add hardly anything. Noise raises the error."""


@dataclass(frozen=True)
class Kind:
    """One way to alter a copy; `strength` is the default, in `unit`."""

    strength: float
    unit: str
    what: str


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "rotation_uniform": Kind(10.0, "degrees", "turned by a uniform angle up to this much"),
        "rotation_normal": Kind(5.0, "degrees", "turned by a normal angle of this deviation"),
        "rotation_steps": Kind(10.0, "degrees", "turned in equal steps from minus to plus this"),
        "intensity": Kind(30.0, "grey levels", "made darker or brighter by up to this much"),
        "noise_uniform": Kind(20.0, "grey levels", "uniform noise up to this, alike in R, G, B"),
        "noise_normal": Kind(10.0, "grey levels", "normal noise of this, alike in R, G and B"),
        "noise_uniform_rgb": Kind(20.0, "grey levels", "uniform noise up to this, per channel"),
        "noise_normal_rgb": Kind(10.0, "grey levels", "normal noise of this, per channel"),
        "box": Kind(0.05, "of the box", "detection box moved and sized by a normal deviation"),
        "mirror": Kind(1.0, "", "every second copy mirrored, its sides swapped back"),
    }
)
"""What `--tta-kind` may name; several are joined by `+`, a strength is given after a colon."""

_EXCLUSIVE = (
    ("rotation_uniform", "rotation_normal", "rotation_steps"),
    ("noise_uniform", "noise_normal", "noise_uniform_rgb", "noise_normal_rgb"),
)
MAX_COPIES = 1000
_LEVELS = 256  # equally likely values of noise, looked up from random bytes: 20 times as fast


@dataclass(frozen=True)
class Augmentation:
    """How many copies are made, 1 or more, and how they are altered.

    `kinds`: (name of `KINDS`, strength) pairs, all applied to each copy but the first.
    """

    copies: int
    kinds: tuple[tuple[str, float], ...]
    seed: int = 0

    @property
    def per_channel(self) -> bool:
        """Whether R, G and B are altered differently, so that colour must be decoded."""
        return any(name.endswith("_rgb") for name, _ in self.kinds)

    @property
    def detects(self) -> bool:
        """Whether the face is detected anew in each copy: not where the box itself is moved."""
        return "box" not in dict(self.kinds)

    def copy(self, number: int, *, content: str) -> Copy:
        """Draw copy `number` (0 .. copies - 1) of the photograph with SHA-256 `content`."""
        rng = np.random.default_rng([self.seed, int(content[:16], 16), number])
        # One draw for each property in a fixed order, whatever the kinds: combinations then share
        # their angles and boxes with the single kinds, and are compared on the same draws.
        even = rng.uniform(-1.0, 1.0, size=2)
        normal = rng.standard_normal(size=4)
        noise_seed = int(rng.integers(2**63))
        if number == 0:
            return Copy()
        strength = dict(self.kinds)
        angle = strength.get("rotation_uniform", 0.0) * even[0]
        angle += strength.get("rotation_normal", 0.0) * normal[0]
        # Steps run from -s to s; the untouched first copy is one of those at 0.
        place = 2.0 * (number - 1) / (self.copies - 2) - 1.0 if self.copies > 2 else 1.0
        angle += strength.get("rotation_steps", 0.0) * place
        noise = next((name for name in strength if name.startswith("noise_")), "")
        box = strength.get("box", 0.0)
        return Copy(
            angle_deg=float(angle),
            brighter=float(strength.get("intensity", 0.0) * even[1]),
            noise=noise,
            noise_strength=strength.get(noise, 0.0),
            noise_seed=noise_seed,
            box_shift=(float(box * normal[1]), float(box * normal[2])),
            box_scale=float(np.exp(box * normal[3])),
            mirrored="mirror" in strength and number % 2 == 1,
        )


@dataclass(frozen=True)
class Copy:
    """One drawn copy; as made without arguments it alters nothing."""

    angle_deg: float = 0.0  # turn of the picture, counter-clockwise positive as seen
    brighter: float = 0.0  # grey levels added to every pixel
    noise: str = ""  # its kind, empty for none
    noise_strength: float = 0.0  # grey levels
    noise_seed: int = 0
    box_shift: tuple[float, float] = (0.0, 0.0)  # in box widths, x right, y down
    box_scale: float = 1.0  # factor of its size
    mirrored: bool = False  # left and right of the picture exchanged

    def alter(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return `(h, w)` or `(h, w, 3)` uint8 with brightness and noise, clipped to 0..255."""
        if not self.noise and not self.brighter:
            return pixels
        if not self.noise:
            table = np.clip(np.arange(256) + round(self.brighter), 0, 255).astype(np.uint8)
            return np.asarray(cv2.LUT(pixels, table), dtype=np.uint8)
        shape = pixels.shape if self.noise.endswith("_rgb") else pixels.shape[:2]
        rng = np.random.default_rng(self.noise_seed)
        table = np.rint(_noise_values(self.noise) * self.noise_strength + self.brighter)
        drawn = cv2.LUT(rng.integers(_LEVELS, size=shape, dtype=np.uint8), table.astype(np.int16))
        if drawn.ndim < pixels.ndim:
            drawn = cv2.merge([drawn] * pixels.shape[2])
        return np.asarray(cv2.add(pixels, drawn, dtype=cv2.CV_8U), dtype=np.uint8)


def _noise_values(noise: str) -> NDArray[np.float64]:
    """`_LEVELS` equally likely values, symmetric about 0: of deviation 1, or from -1 to 1."""
    share = (np.arange(_LEVELS) + 0.5) / _LEVELS
    if "uniform" in noise:
        return np.asarray(2.0 * share - 1.0)
    values = np.array([NormalDist().inv_cdf(p) for p in share.tolist()])
    return np.asarray(values / values.std())


def parse_augmentation(text: str, *, copies: int, seed: int = 0) -> Augmentation:
    """Read `rotation_normal:8+box` into an `Augmentation`.

    UserError when a kind is unknown or named twice, a strength is no positive number, two rotations
    or two noises are combined, or the number of copies is out of range.
    """
    if not 1 <= copies <= MAX_COPIES:
        raise UserError(f"--tta is {copies}: give 1 to {MAX_COPIES} copies, or 0 for none.")
    kinds: dict[str, float] = {}
    for part in text.split("+"):
        name, _, given = part.strip().partition(":")
        if name not in KINDS:
            raise UserError(
                f'--tta-kind has no kind "{name}": choose from {", ".join(KINDS)}, several joined '
                f"by +.{did_you_mean(name, KINDS)}"
            )
        if name in kinds:
            raise UserError(f'--tta-kind names "{name}" twice: give it once.')
        kinds[name] = _strength(name, given)
    for group in _EXCLUSIVE:
        both = [name for name in kinds if name in group]
        if len(both) > 1:
            raise UserError(f"--tta-kind combines {' and '.join(both)}: choose one of them.")
    return Augmentation(copies=copies, kinds=tuple(kinds.items()), seed=seed)


def _strength(name: str, given: str) -> float:
    if not given:
        return KINDS[name].strength
    try:
        value = float(given)
    except ValueError:
        value = float("nan")
    if not (0.0 < value < float("inf")):
        raise UserError(f'--tta-kind gives "{name}" the strength "{given}": give a number above 0.')
    return value


@dataclass(frozen=True)
class Method:
    """The choices of one extraction; those left out are those of a plain prediction.

    `detection_width`: px to which a photograph is reduced before the first search for faces.
    `colour`: detect and predict on RGB in place of grey.
    `augmentation`: copies whose points are averaged; None predicts once.
    `average`: of the copies: per-point `median`, or `trimmed_mean` without 20 % at either end.
    `relevel`: level the head by its measured tilt and predict again.
    `points`: of the `whole` face, or also of its mirrored `halves` (`landmarks.find.halves`); or of
    this project's `own` network (`landmarks.find.network`), or of all three `joined`.
    """

    detection_width: int = 200
    colour: bool = False
    augmentation: Augmentation | None = None
    average: Average = "median"
    relevel: bool = False
    points: Points = "whole"

    @property
    def reads_colour(self) -> bool:
        """Whether photographs must be decoded in colour."""
        return self.colour or (self.augmentation is not None and self.augmentation.per_channel)

    @property
    def sees_halves(self) -> bool:
        """Whether mirrored halves are looked at."""
        return self.points in ("halves", "joined")

    @property
    def asks_network(self) -> bool:
        """Whether this project's own network is asked."""
        return self.points in ("own", "joined")

    def settings(self) -> Mapping[str, Any]:
        """Return every choice by name, for `run.json` and for the journal."""
        copies = self.augmentation
        return {
            "detection_width": self.detection_width,
            "colour": self.colour,
            "tta": copies.copies if copies else 0,
            "tta_kind": "+".join(f"{k}:{s:g}" for k, s in copies.kinds) if copies else None,
            "tta_average": self.average if copies else None,
            "seed": copies.seed if copies else None,
            "relevel": self.relevel,
            "points": self.points,
        }


def make_method(
    *,
    tta: int = 0,
    tta_kind: str = DEFAULT_KIND,
    tta_average: Average = "median",
    relevel: bool | None = None,
    points: Points = "whole",
    seed: int = 0,
    detection_width: int = 200,
    colour: bool = False,
) -> Method:
    """Make a `Method` from the options of a command; `tta` 0 makes no copies.

    Unless it is said, the head is levelled with copies and not without: to level copies costs
    nothing, and halves the change of the features when a photograph is turned; a single second
    prediction gains nothing. UserError when an option has a value that it cannot have.
    """
    if seed < 0:
        raise UserError(f"--seed is {seed}: give 0 or more.")
    if detection_width < 80:
        raise UserError(f"The detection width is {detection_width}: give 80 px or more.")
    augmentation = parse_augmentation(tta_kind, copies=tta, seed=seed) if tta else None
    return Method(
        detection_width=detection_width,
        colour=colour,
        augmentation=augmentation,
        average=tta_average,
        relevel=bool(tta) if relevel is None else relevel,
        points=points,
    )
