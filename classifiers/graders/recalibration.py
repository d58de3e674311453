"""A kept grader moved to another clinic with a few graded local patients, and nothing else of it.

What is lost at another clinic is mostly where the thresholds between grades lie and how sure the
answers are, not the order of the patients. So only those move: one number for each threshold and a
temperature, drawn towards the old ones. The order of any two answers that were ordered in all
thresholds stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit, logit

from classifiers.graders.local_zero import Zero
from common.arrays import Floats, Ints
from common.grading.calibration import COVERAGE, GradeSets, learn_sets

LEAST_TAIL = 1e-6  # chances beyond a threshold are taken as at least this, so that they can move
SD_TEMPERATURE = 0.5  # of its logarithm, before any local patient is seen
SD_SHIFT = 0.8  # of the thresholds' common shift, in grades
SD_APART = 0.2  # of each threshold's own shift beside the common one, in grades


@dataclass(frozen=True)
class Recalibration:
    """New thresholds and temperature, and the sets of grades refitted with them.

    `shifts` are added to the logits of being at most grade 1, 2, ..., then all are divided by
    `temperature`; zeros and 1 leave every answer as it was. `limit` is that of `GradeSets`.
    """

    temperature: float
    shifts: tuple[float, ...]
    limit: float
    coverage: float = COVERAGE

    def of(self, chances: Floats) -> Floats:
        """Return `(n, k)` recalibrated chances."""
        return _moved(chances, np.array(self.shifts), self.temperature)

    @property
    def sets(self) -> GradeSets:
        """The sets of adjacent grades, for recalibrated chances."""
        return GradeSets(self.limit, self.coverage)


def recalibrate_chances(
    chances: Floats,
    labels: Ints,
    *,
    coverage: float = COVERAGE,
    unseen: Floats | None = None,
) -> Recalibration:
    """Learn thresholds, temperature and sets from a kept grader's answers to local patients.

    Penalised likelihood: normal priors around the old thresholds and temperature, so that few
    patients move them little. Sets come from answers to each patient by what the others taught.

    Parameters
    ----------
    chances
        `(n, k)` answers of the kept grader, k ordered classes.
    labels
        `(n,)` class numbers from 1.
    unseen
        `unseen_answers` of them, where they are known already.
    """
    if unseen is None:
        unseen = unseen_answers(chances, labels)
    temperature, shifts = _fitted(chances, labels)
    sets = learn_sets(unseen, labels, coverage=coverage)
    return Recalibration(temperature, tuple(shifts.tolist()), sets.limit, coverage)


def unseen_answers(chances: Floats, labels: Ints) -> Floats:
    """Return `(n, k)`: each patient's chances, recalibrated on all the other patients."""
    found = np.empty_like(chances)
    for at in range(len(labels)):
        others = np.arange(len(labels)) != at
        temperature, shifts = _fitted(chances[others], labels[others])
        found[at] = _moved(chances[[at]], shifts, temperature)[0]
    return found


def _fitted(chances: Floats, labels: Ints) -> tuple[float, Floats]:
    """Return temperature and shifts with the largest penalised likelihood."""
    k, rows, grade = chances.shape[1], np.arange(len(labels)), _logits_of_a_grade(chances)

    def loss(numbers: Floats) -> float:
        shifts = grade * (numbers[1] + numbers[2:])
        moved = _moved(chances, shifts, float(np.exp(numbers[0])))
        fit = -np.log(np.maximum(moved[rows, labels - 1], 1e-9)).sum()
        sds = np.array([SD_TEMPERATURE, SD_SHIFT, *[SD_APART] * (k - 1)])
        return float(fit + np.square(numbers / sds).sum() / 2)

    bounds = [(np.log(0.2), np.log(5.0)), *[(-4.0, 4.0)] * k]
    starts = [np.array([0.0, shift, *[0.0] * (k - 1)]) for shift in (0.0, -1.0, 1.0)]
    tried = [minimize(loss, start, method="L-BFGS-B", bounds=bounds) for start in starts]
    found = min(tried, key=lambda one: float(one.fun)).x
    return float(np.exp(found[0])), grade * (found[1] + found[2:])


def _logits_of_a_grade(chances: Floats) -> float:
    """Return how far apart two thresholds lie in a grader's logits where an answer lies between.

    Sure graders have large logits; in grades, the same prior serves all of them.
    """
    z = logit(np.clip(np.cumsum(chances, axis=1)[:, :-1], LEAST_TAIL, 1 - LEAST_TAIL))
    between = (z[:, :-1] < 0) & (z[:, 1:] >= 0)
    gaps = np.diff(z, axis=1)[between]
    return max(1.0, float(np.median(gaps))) if len(gaps) else 1.0


def _moved(chances: Floats, shifts: Floats, temperature: float) -> Floats:
    below = np.clip(np.cumsum(chances, axis=1)[:, :-1], LEAST_TAIL, 1 - LEAST_TAIL)
    # Thresholds may not pass each other: each is at least the one before it.
    moved = np.maximum.accumulate(expit((logit(below) + shifts) / temperature), axis=1)
    ends = np.ones((len(chances), 1))
    return np.diff(np.hstack([0 * ends, moved, ends]), axis=1)


@dataclass(frozen=True)
class LocalClinic:
    """What a recalibrated model knows of the clinic, as it stands in the model's card.

    `zero` is None when features are taken as measured, `thresholds` when no graded patients were
    given but healthy ones. `names` and `measured` are hashes of the patients' names and of the
    measurements of their photographs, by which the patients are known again.
    """

    patients: int
    thresholds: Recalibration | None
    zero: Zero | None
    salt: str
    names: list[str]
    measured: list[str]
    scores: list[dict[str, Any]] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Return plain values for `card.json`."""
        values = asdict(self)
        if self.zero is not None:
            values["zero"] |= {name: values["zero"][name].tolist() for name in ("ratio", "offset")}
        return values

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> LocalClinic:
        """Read them from `card.json`."""
        zero, moved = values["zero"], values["thresholds"]
        if zero is not None:
            zero = Zero(np.array(zero["ratio"]), np.array(zero["offset"]), zero["people"])
        if moved is not None:
            moved = Recalibration(**moved | {"shifts": tuple(moved["shifts"])})
        return cls(**values | {"zero": zero, "thresholds": moved})

    def saw(self, photographs: pd.DataFrame, *, columns: Sequence[str]) -> str | None:
        """Say how these photographs of one patient are known; None when they are not."""
        if set(measurement_hashes(photographs[list(columns)])) & set(self.measured):
            return "the same photographs"
        names = name_hashes(photographs["patient_id"].astype(str).unique(), salt=self.salt)
        return "a patient of this name" if set(names) & set(self.names) else None


def name_hashes(names: Iterable[str], *, salt: str) -> list[str]:
    """Return a hash of each name; who has a list of names and the salt can test it."""
    return [hashlib.sha256(f"{salt}{name}".encode()).hexdigest()[:16] for name in names]


def measurement_hashes(values: pd.DataFrame) -> list[str]:
    """Return a hash of each photograph's measurements, the same under any name."""
    rounded = values.to_numpy(dtype=np.float64).round(6) + 0.0
    return [
        hashlib.sha256(row.tobytes()).hexdigest()[:16] for row in rounded if np.isfinite(row).any()
    ]
