"""What a simulated face does: the standard movements, and how palsy weakens them by region.

A movement is a set of muscle contractions between 0 and 1. Palsy takes away a part of each on
the weak side, region by region, after the descriptions of House and Brackmann (1985): the brow
fails first, the lid last; symmetry and tone at rest go with grades V and VI; grade VI moves not
at all. The synkinetic kind adds contracture at rest and involuntary movement: the eye narrows
in a smile and the mouth pulls when the eye closes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from common.errors import UserError, named
from datasets.simulated.canvas import FloatArray
from datasets.simulated.shape import mirror_points

Side = Literal["left", "right", "none"]
Kind = Literal["flaccid", "synkinetic", "none"]

MUSCLES = (
    "frontalis", "corrugator", "oculi", "squeeze", "levator",
    "zygomatic", "oris", "depressor", "jaw",
)  # fmt: skip

CONTRACTIONS: dict[str, dict[str, float]] = {
    "rest": {},
    "brow_raise": {"frontalis": 1.0},
    "gentle_eye_closure": {"oculi": 1.0, "squeeze": 0.08},
    "full_eye_closure": {"oculi": 1.22, "squeeze": 1.0, "zygomatic": 0.08, "levator": 0.12},
    "gentle_smile": {"zygomatic": 0.55, "oculi": 0.05},
    "full_smile": {"zygomatic": 1.0, "levator": 0.3, "jaw": 0.3, "oculi": 0.14, "depressor": 0.1},
    "lip_pucker": {"oris": 1.0},
    "lower_teeth": {"depressor": 1.0, "jaw": 0.25, "zygomatic": 0.12},
    "mouth_open": {"jaw": 2.0},
    "lips_spread": {"zygomatic": 0.75, "depressor": 0.3},
    "blow": {"oris": 0.6, "jaw": 0.1},
    "happiness": {"zygomatic": 1.0, "oculi": 0.12},
    "surprise": {"frontalis": 1.0, "jaw": 0.35},
    "disgust": {"levator": 1.0, "corrugator": 0.8, "squeeze": 0.3},
    "repression": {"depressor": 0.35, "oris": 0.45, "corrugator": 0.25},
}
"""Contraction of each muscle, 0 to 1, in each movement; above 1 it means extra effort."""

# The displacements are rounded from what is known of healthy adults (a brow rises 8 mm, a corner
# of the mouth travels about 10 mm in a full smile); they are a caricature of anatomy, not a model.
# Millimetres at full contraction on the patient's left: point -> (dx, dy). What a muscle moves
# beyond the midline is listed too; it shows only where the other side does not pull back.
_PULL: dict[str, dict[int, tuple[float, float]]] = {
    "frontalis": {
        22: (0.3, -6.2), 23: (0.2, -7.6), 24: (0, -8.2), 25: (0, -7.2), 26: (0, -4.6),
        43: (0, -0.9), 44: (0, -0.9),
    },
    "corrugator": {
        22: (-2.2, 3.2), 23: (-1.8, 2.8), 24: (-1, 2.0), 25: (-0.4, 1.2), 26: (0, 0.6),
        43: (0, 0.5), 44: (0, 0.4),
    },
    "oculi": {46: (0, -0.6), 47: (0, -0.6)},
    "squeeze": {
        22: (-0.8, 2.2), 23: (-0.5, 2.6), 24: (-0.2, 2.6), 25: (0, 2.3), 26: (0, 1.8),
        42: (-0.3, -0.3), 45: (-1.2, -0.2), 46: (-0.4, -1.0), 47: (-0.3, -0.9),
    },
    "levator": {
        35: (0.8, -1.8), 34: (0.4, -1.0), 33: (0, -0.3), 51: (0.3, -1.4), 52: (0.6, -3.0),
        53: (0.8, -2.2), 54: (0.3, -0.8), 62: (0.3, -1.5), 63: (0.6, -2.8), 64: (0.2, -0.8),
        47: (0, -0.5), 46: (0, -0.5),
    },
    "zygomatic": {
        54: (9.2, -6.6), 53: (6.2, -4.4), 52: (3.6, -2.6), 51: (2.2, -1.0),
        50: (1.8, -0.1), 49: (1.8, 0), 48: (1.7, 0), 59: (1.7, 0), 58: (1.8, 0.1),
        55: (6.6, -3.0), 56: (3.6, -0.3), 57: (2.1, 0.2), 64: (8.4, -6.0), 63: (4.0, -2.8),
        62: (2.2, -1.1), 61: (1.9, -0.1), 60: (1.7, 0), 67: (1.9, 0.1), 66: (2.1, 0.1),
        65: (3.8, -0.8), 35: (1.4, -0.9), 34: (0.8, -0.5), 33: (0.4, -0.1),
        46: (0, -0.7), 47: (0, -0.6), 13: (0.8, 0), 12: (0.6, -0.4),
    },
    "oris": {
        54: (-7.8, 0.4), 53: (-4.6, -1.2), 52: (-1.2, -1.5), 51: (-0.6, -0.5), 50: (-0.8, 0),
        49: (-0.8, 0), 48: (-0.8, 0), 59: (-0.8, 0), 58: (-0.8, 0), 55: (-5.2, 1.8),
        56: (-2.4, 2.2), 57: (-0.6, 0.9), 64: (-7.0, 0.2), 63: (-2.6, -0.2), 62: (-0.6, 0),
        61: (-0.8, 0), 60: (-0.8, 0), 67: (-0.8, 0), 66: (-0.6, 0.1), 65: (-2.6, 0.3),
    },
    "depressor": {
        54: (3.4, 3.2), 53: (1.4, 0.8), 55: (3.8, 6.4), 56: (2.4, 7.8), 57: (1.2, 4.0),
        58: (1.0, 0.8), 59: (1.0, 0.2), 48: (0.8, 0), 60: (0.8, 0), 67: (1.0, 0.9),
        66: (1.2, 4.1), 65: (2.2, 8.0), 64: (2.8, 2.6),
    },
    "jaw": {
        55: (0, 4.6), 56: (0, 6.0), 57: (0, 3.1), 65: (0, 5.8), 66: (0, 3.0), 64: (-0.3, 1.8),
        54: (-0.3, 1.8), 8: (0, 3.1), 9: (0, 6.2), 10: (0, 5.8), 11: (0, 4.6), 12: (0, 2.2),
    },
}  # fmt: skip

# Where a side without tone sags to, mm at complete palsy, for the patient's left.
_LAX: dict[int, tuple[float, float]] = {
    22: (-0.3, 2.4), 23: (-0.2, 3.6), 24: (0, 4.6), 25: (0, 5.0), 26: (0, 4.8),
    43: (0, -0.5), 44: (0, -0.4), 46: (0, 1.7), 47: (0, 1.4),
    51: (-1.0, 0.1), 52: (-1.6, 0.8), 53: (-2.2, 2.6), 54: (-2.4, 4.8), 55: (-2.0, 4.2),
    56: (-1.5, 2.4), 57: (-1.0, 0.6), 62: (-1.0, 0.2), 63: (-1.5, 1.2), 64: (-2.3, 4.5),
    65: (-1.5, 1.7), 66: (-1.0, 0.4), 33: (-0.4, 0), 34: (-0.8, 0.3), 35: (-1.2, 0.8),
}  # fmt: skip

# Where contracture draws a side at rest, mm, for the patient's left.
_TIGHT: dict[int, tuple[float, float]] = {
    22: (0, -0.3), 23: (0, -0.3), 43: (0, 1.3), 44: (0, 1.4), 46: (0, -1.0), 47: (0, -0.9),
    52: (0.4, -0.5), 53: (1.1, -1.1), 54: (2.0, -1.8), 55: (1.3, -1.0), 56: (0.5, -0.2),
    63: (0.5, -0.5), 64: (1.8, -1.6), 65: (0.5, -0.3), 35: (0.6, -0.4), 34: (0.3, -0.2),
}  # fmt: skip

_REGION = {
    "frontalis": "brow", "corrugator": "brow", "oculi": "eye", "squeeze": "cheek",
    "levator": "cheek", "zygomatic": "cheek", "oris": "mouth", "depressor": "mouth",
}  # fmt: skip
REGIONS = ("brow", "eye", "cheek", "mouth")

# Each table holds the values of grades I to VI; values between grades are interpolated. Of a
# region's movement on the weak side there remains:
_REMAINING = {
    "brow": (1.0, 0.80, 0.46, 0.08, 0.03, 0.0),
    "eye": (1.0, 0.96, 0.84, 0.60, 0.36, 0.10),  # VI: the lid sinks a little by its weight
    "cheek": (1.0, 0.84, 0.63, 0.38, 0.16, 0.0),
    "mouth": (1.0, 0.85, 0.65, 0.40, 0.17, 0.0),
}
_TONE_LOST = (0.0, 0.06, 0.16, 0.30, 0.64, 1.0)
_SYNKINESIS = (0.0, 0.10, 0.26, 0.40, 0.42, 0.0)
_CONTRACTURE = (0.0, 0.15, 0.45, 0.80, 1.0, 0.0)


@dataclass(frozen=True)
class Palsy:
    """Facial palsy of one person: House-Brackmann grade 1 to 6, the patient's own weak side, kind.

    `region_shift` says for brow, eye, cheek and mouth how far this person departs from the grade's
    typical weakness, in grades; patients of one grade are not alike.
    """

    grade: int
    side: Side
    kind: Kind
    region_shift: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if self.grade not in range(1, 7):
            raise UserError(
                f"grade is {self.grade}, but House-Brackmann grades are 1 to 6: give one of those."
            )
        healthy = self.grade == 1
        if healthy != (self.side == "none") or healthy != (self.kind == "none"):
            raise UserError(
                f'Grade {self.grade} does not go with side "{self.side}" and kind "{self.kind}": a '
                'healthy face (1) has "none" for both, a palsy (2 to 6) has a side and a kind.'
            )

    def level(self, region: str) -> float:
        """Severity of a region on the scale of grades, 1.0 to 6.0."""
        if self.grade in (1, 6):
            return float(self.grade)
        shift = self.region_shift[REGIONS.index(region)]
        return float(min(max(self.grade + shift, 1), 6))


@dataclass(frozen=True)
class Vigour:
    """How strongly one person moves each muscle: ``(9, 2)`` factors, columns right and left."""

    factors: FloatArray = field(default_factory=lambda: np.ones((len(MUSCLES), 2)))


@dataclass(frozen=True)
class Expression:
    """A face at one moment; columns of two are the patient's right and left.

    The points, ``(68, 2)``, are mm in the plane of the face. The contraction of each muscle,
    ``(9, 2)`` with rows as ``MUSCLES``, is that after palsy and synkinesis, and drives wrinkles,
    folds and bulges. The resting tone, ``(2,)``, is 1 where healthy, 0 where lax, above 1 in
    contracture; `closing`, ``(2,)``, is the effort to close each eye, which is seen to roll up
    where the lid stays open.
    """

    points: FloatArray
    contraction: FloatArray
    tone: FloatArray
    closing: FloatArray

    def of(self, muscle: str) -> FloatArray:
        """Contraction of one muscle on the patient's right and left."""
        return self.contraction[MUSCLES.index(muscle)]


def check_movement(task: str) -> None:
    """Refuse a movement that is none of ``CONTRACTIONS``."""
    named(task, CONTRACTIONS, what="movement")


def draw_vigour(rng: np.random.Generator) -> Vigour:
    """Draw one person's strength of movement, with the slight imbalance healthy people have."""
    common = 1 + np.clip(rng.normal(0, 0.1, (len(MUSCLES), 1)), -0.2, 0.2)
    sides = np.clip(rng.normal(0, 0.035, (len(MUSCLES), 1)), -0.07, 0.07)
    factors = common + np.hstack([-sides, sides])
    factors[MUSCLES.index("jaw")] = common[MUSCLES.index("jaw")]
    return Vigour(factors)


def express(
    neutral: FloatArray, palsy: Palsy, vigour: Vigour, task: str, *, amplitude: float = 1.0
) -> Expression:
    """Perform one movement of ``CONTRACTIONS`` by 0 to 1 of its size.

    `neutral` is the healthy face at rest, ``(68, 2)`` mm.
    """
    return contract(neutral, palsy, vigour, amplitude * intended(task)[:, None])


def intended(task: str) -> FloatArray:
    """Contraction of each muscle that a movement asks for, ``(9,)``."""
    return np.array([CONTRACTIONS[task].get(muscle, 0.0) for muscle in MUSCLES])


def contract(neutral: FloatArray, palsy: Palsy, vigour: Vigour, asked: FloatArray) -> Expression:
    """Shape a face whose muscles are asked to contract by ``(9, 1)`` or, by side, ``(9, 2)``.

    What comes of it depends on the person's vigour and palsy.
    """
    contraction = asked * vigour.factors
    closing = np.minimum(contraction[MUSCLES.index("oculi")], 1.0)
    tone = np.ones(2)
    points = neutral.copy()
    if palsy.side != "none":
        weak = 0 if palsy.side == "right" else 1
        contraction[:, weak] = _weakened(contraction[:, weak], palsy)
        points += _at_rest(palsy)
        tone[weak] += contracture(palsy) - tone_lost(palsy)
    for (on_right, on_left), (right, left) in zip(_PULLED, contraction, strict=True):
        points += left * on_left + right * on_right
    points = _close_eyes(points, contraction[MUSCLES.index("oculi")])
    return Expression(_keep_lips_apart(points), contraction, tone, closing)


def remaining(palsy: Palsy, region: str) -> float:
    """Share of a region's movement that is left on the weak side, 0 to 1."""
    return _at(_REMAINING[region], palsy.level(region))


def tone_lost(palsy: Palsy, *, upper: bool = False) -> float:
    """Resting tone that the weak side has lost, 0 to 1: of brow and eye, or of cheek and mouth."""
    share = 1.0 if palsy.kind == "flaccid" or palsy.grade == 6 else 0.35
    level = (palsy.level("brow") + palsy.level("eye")) / 2 if upper else palsy.level("mouth")
    return share * _at(_TONE_LOST, level)


def contracture(palsy: Palsy) -> float:
    """How tight the weak side is at rest, 0 to 1; only where synkinetic."""
    return _at(_CONTRACTURE, palsy.level("cheek")) if palsy.kind == "synkinetic" else 0.0


def involuntary(wanted: FloatArray, palsy: Palsy) -> FloatArray:
    """Contraction of each muscle, ``(9,)``, that joins in unasked where `wanted` is meant."""
    joining = np.zeros(len(MUSCLES))
    if palsy.kind == "synkinetic":
        strength = _at(_SYNKINESIS, (palsy.level("eye") + palsy.level("cheek")) / 2)
        meant = dict(zip(MUSCLES, wanted, strict=True))
        mouth = max(meant["zygomatic"], meant["oris"], 0.6 * meant["depressor"])
        eye = max(min(meant["oculi"], 1.0), 0.5 * meant["frontalis"])
        joining[MUSCLES.index("oculi")] = 0.95 * strength * mouth
        joining[MUSCLES.index("zygomatic")] = 0.75 * strength * eye
    return joining


def _at(table: tuple[float, ...], level: float) -> float:
    return float(np.interp(level, np.arange(1, 7), table))


def _field(pull: dict[int, tuple[float, float]]) -> FloatArray:
    displacement = np.zeros((68, 2))
    displacement[list(pull)] = list(pull.values())
    return displacement


_PULLED = [(mirror_points(_field(_PULL[name])), _field(_PULL[name])) for name in MUSCLES]


def _at_rest(palsy: Palsy) -> FloatArray:
    """What the weak side does without any movement: it sags, or it is tight."""
    lax, tight = _field(_LAX), _field(_TIGHT)
    upper = tone_lost(palsy, upper=True)
    displacement = lax * tone_lost(palsy)
    displacement[17:27] = lax[17:27] * upper
    displacement[36:48] = lax[36:48] * upper
    displacement += tight * contracture(palsy)
    return displacement if palsy.side == "left" else mirror_points(displacement)


def _weakened(contraction: FloatArray, palsy: Palsy) -> FloatArray:
    """Contractions of the weak side: what is left of them, and what joins in unasked."""
    left_over = contraction.copy()
    for row, muscle in enumerate(MUSCLES):
        if muscle in _REGION:
            left_over[row] *= remaining(palsy, _REGION[muscle])
    return left_over + involuntary(contraction, palsy)


def _close_eyes(points: FloatArray, oculi: FloatArray) -> FloatArray:
    """Lower each upper lid on to the lower one by its share of closure (1 is closed)."""
    moved = points.copy()
    for upper, lower, closure in (((37, 38), (41, 40), oculi[0]), ((43, 44), (47, 46), oculi[1])):
        share = min(float(closure), 1.0)
        for lid, meets in zip(upper, lower, strict=True):
            gap = points[meets, 1] - points[lid, 1]
            moved[lid, 1] = points[meets, 1] - max(gap * (1 - share), 0.5)
            moved[lid, 0] += share * (points[meets, 0] - points[lid, 0])
    return moved


def _keep_lips_apart(points: FloatArray) -> FloatArray:
    """Lips may touch but not cross: where they would, both meet halfway."""
    moved = points.copy()
    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        if moved[lower, 1] - moved[upper, 1] < 0.6:
            middle = (moved[lower, 1] + moved[upper, 1]) / 2
            moved[upper, 1], moved[lower, 1] = middle - 0.3, middle + 0.3
    return moved
