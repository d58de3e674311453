"""How sure answers to whole patients may be: what is kept beside a network's weights.

Learned from the validation patients of the same fold, who also chose its epoch, and never from
tested ones.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from common.arrays import Floats
from common.errors import UserError
from common.files import write_json
from common.grading.calibration import ScoreIntervals
from common.grading.numeric_target import AnyTarget, NumericTarget

CALIBRATION = "calibration.json"  # beside the weights
Kind = TypeVar("Kind", "PatientTemperature", "PatientReach")


@dataclass(frozen=True)
class PatientTemperature:
    """How sure a network's answers to whole patients may be.

    `value`: means of photographs are raised to 1 / value; below 1 makes them surer, 1 leaves them.
    `patients`: of how many validation patients it was learned. `photographs`: how many each of them
    had (median); the mean of fewer is less flat, so it must not be made as sure.
    """

    value: float
    patients: int
    photographs: int

    def write(self, folder: Path) -> None:
        """Keep it beside the weights."""
        write_json(folder / CALIBRATION, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> PatientTemperature:
        """Read what `write` kept; weights without it leave means as they are."""
        return _kept(cls, folder, otherwise=cls(1.0, 0, 0))


@dataclass(frozen=True)
class PatientReach:
    """How far from a network's answers to whole patients the truth lies.

    `reach`: in the unit of the scale; all of the scale where nothing is known of it. `patients`: of
    how many validation patients it was learned. `photographs`: how many each of them had (median);
    it promises nothing of the mean of fewer.
    """

    reach: float
    patients: int
    photographs: int

    def write(self, folder: Path) -> None:
        """Keep it beside the weights."""
        write_json(folder / CALIBRATION, asdict(self))

    @classmethod
    def read(cls, folder: Path, *, target: NumericTarget) -> PatientReach:
        """Read what `write` kept; without it the reach is the whole scale."""
        return _kept(cls, folder, otherwise=cls(target.high - target.low, 0, 0))

    def around(self, answers: Floats, *, target: NumericTarget) -> Floats:
        """Return the `(n, 2)` ends of the intervals."""
        return ScoreIntervals(self.reach).of(answers, target=target)


def _kept(kind: type[Kind], folder: Path, *, otherwise: Kind) -> Kind:
    """Read what `write` kept in a folder, where it did."""
    path = folder / CALIBRATION
    if not path.exists():
        return otherwise
    try:
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged: train again, or delete it.") from error


Sureness = PatientTemperature | PatientReach
"""What the validation patients tell of answers to whole patients, of classes or of scores."""


def read_sureness(folder: Path, *, target: AnyTarget) -> Sureness:
    """Read what was kept beside weights."""
    if isinstance(target, NumericTarget):
        return PatientReach.read(folder, target=target)
    return PatientTemperature.read(folder)
