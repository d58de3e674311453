"""What a simulated face does: the standard movements, and how palsy weakens them by region.

A movement is a set of muscle contractions between 0 and 1. Palsy takes away a part of each on
the weak side, region by region, after the descriptions of House and Brackmann (1985): the brow
fails first, the lid last; symmetry and tone at rest go with grades V and VI; grade VI moves not
at all. The synkinetic kind adds contracture at rest and involuntary movement: the eye narrows
in a smile and the mouth pulls when the eye closes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from datasets.simulated.muscles import CONTRACTIONS, LAX, MUSCLES, PULL, TIGHT
from datasets.simulated.shape import FloatArray, mirror_points

Side = Literal["left", "right", "none"]
Kind = Literal["flaccid", "synkinetic", "none"]

_REGION = {
    "frontalis": "brow", "corrugator": "brow", "oculi": "eye", "squeeze": "cheek",
    "levator": "cheek", "zygomatic": "cheek", "oris": "mouth", "depressor": "mouth",
}  # fmt: skip
REGIONS = ("brow", "eye", "cheek", "mouth")

# Each table holds the values of grades I to VI; values between grades are interpolated.
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
    """Facial palsy of one person.

    Attributes
    ----------
    grade
        House-Brackmann grade, 1 (normal) to 6 (no movement).
    side
        Weak side, the patient's own; ``none`` for grade 1.
    kind
        ``flaccid``, ``synkinetic`` or ``none``.
    region_shift
        Per region (brow, eye, cheek, mouth), how far this person departs from the grade's
        typical weakness, in grades; patients of one grade are not alike.
    """

    grade: int
    side: Side
    kind: Kind
    region_shift: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def level(self, region: str) -> float:
        """Severity of a region on the scale of grades, 1.0 to 6.0."""
        if self.grade in (1, 6):
            return float(self.grade)
        shift = self.region_shift[REGIONS.index(region)]
        return float(np.clip(self.grade + shift, 1, 6))

    def remaining(self, region: str) -> float:
        """Share of the region's movement that the weak side still has, 0 to 1."""
        return _at(_REMAINING[region], self.level(region))

    def mirrored(self) -> Palsy:
        """The same palsy on the other side."""
        other: dict[Side, Side] = {"left": "right", "right": "left", "none": "none"}
        return replace(self, side=other[self.side])


@dataclass(frozen=True)
class Vigour:
    """How strongly one person moves each muscle: ``(9, 2)`` factors, columns right and left."""

    factors: FloatArray = field(default_factory=lambda: np.ones((len(MUSCLES), 2)))

    def mirrored(self) -> Vigour:
        """The same person seen in a mirror."""
        return Vigour(self.factors[:, ::-1].copy())


@dataclass(frozen=True)
class Expression:
    """A face at one moment.

    Attributes
    ----------
    points
        ``(68, 2)`` mm in the plane of the face.
    contraction
        ``(9, 2)`` contraction of each muscle (rows as ``MUSCLES``) on the patient's right and
        left, after palsy and synkinesis; drives wrinkles, folds and bulges.
    tone
        ``(2,)`` resting tone on the patient's right and left: 1 healthy, 0 lax, above 1
        contracture.
    closing
        ``(2,)`` effort to close each eye; where the lid stays open the eye is seen to roll up.
    """

    points: FloatArray
    contraction: FloatArray
    tone: FloatArray
    closing: FloatArray

    def of(self, muscle: str) -> FloatArray:
        """Contraction of one muscle on the patient's right and left."""
        row: FloatArray = self.contraction[MUSCLES.index(muscle)]
        return row


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
    """Perform one movement.

    Parameters
    ----------
    neutral
        ``(68, 2)`` mm, the healthy face at rest.
    palsy
        Grade, weak side and kind.
    vigour
        The person's strength of movement.
    task
        A key of ``CONTRACTIONS``.
    amplitude
        How much of the movement is done, 0 to 1.
    """
    intended = np.array([CONTRACTIONS[task].get(muscle, 0.0) for muscle in MUSCLES])
    contraction = intended[:, None] * vigour.factors * amplitude
    closing = np.minimum(contraction[MUSCLES.index("oculi")], 1.0)
    tone = np.ones(2)
    points = neutral.copy()
    if palsy.side != "none":
        weak = 0 if palsy.side == "right" else 1
        contraction[:, weak] = _weakened(contraction[:, weak], palsy)
        points += _at_rest(palsy)
        tone[weak] += _contracture(palsy) - _tone_lost(palsy)
    for muscle, (right, left) in zip(MUSCLES, contraction, strict=True):
        pull = _field(PULL[muscle])
        points += left * pull + right * mirror_points(pull)
    points = _close_eyes(points, contraction[MUSCLES.index("oculi")])
    return Expression(_keep_lips_apart(points), contraction, tone, closing)


def _at(table: tuple[float, ...], level: float) -> float:
    return float(np.interp(level, np.arange(1, 7), table))


def _field(pull: dict[int, tuple[float, float]]) -> FloatArray:
    displacement = np.zeros((68, 2))
    displacement[list(pull)] = list(pull.values())
    return displacement


def _tone_lost(palsy: Palsy) -> float:
    share = 1.0 if palsy.kind == "flaccid" or palsy.grade == 6 else 0.35
    return share * _at(_TONE_LOST, palsy.level("mouth"))


def _contracture(palsy: Palsy) -> float:
    return _at(_CONTRACTURE, palsy.level("cheek")) if palsy.kind == "synkinetic" else 0.0


def _at_rest(palsy: Palsy) -> FloatArray:
    """What the weak side does without any movement: it sags, or it is tight."""
    lax, tight = _field(LAX), _field(TIGHT)
    share = 1.0 if palsy.kind == "flaccid" or palsy.grade == 6 else 0.35
    upper = share * _at(_TONE_LOST, (palsy.level("brow") + palsy.level("eye")) / 2)
    displacement = lax * _tone_lost(palsy)
    displacement[17:27] = lax[17:27] * upper
    displacement[36:48] = lax[36:48] * upper
    displacement += tight * _contracture(palsy)
    return displacement if palsy.side == "left" else mirror_points(displacement)


def _weakened(contraction: FloatArray, palsy: Palsy) -> FloatArray:
    """Contractions of the weak side: what is left of them, and what joins in unasked."""
    left_over = contraction.copy()
    for row, muscle in enumerate(MUSCLES):
        if muscle in _REGION:
            left_over[row] *= palsy.remaining(_REGION[muscle])
    if palsy.kind == "synkinetic":
        strength = _at(_SYNKINESIS, (palsy.level("eye") + palsy.level("cheek")) / 2)
        wanted = dict(zip(MUSCLES, contraction, strict=True))
        mouth = max(wanted["zygomatic"], wanted["oris"], 0.6 * wanted["depressor"])
        eye = max(min(wanted["oculi"], 1.0), 0.5 * wanted["frontalis"])
        left_over[MUSCLES.index("oculi")] += 0.95 * strength * mouth
        left_over[MUSCLES.index("zygomatic")] += 0.75 * strength * eye
    return left_over


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
