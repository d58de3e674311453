"""A kept grader at another clinic: local healthy people as the zero, and thresholds that move.

Cameras, light and populations move features of everybody. Healthy faces of a site say by how much:
their middle is laid onto the middle of the healthy people whom the grader learned from, and their
spread is brought to the same size, column by column, both robust. What else is lost is mostly where
the thresholds between grades lie and how sure the answers are, not the order of the patients: so
only those are learned from graded local patients, one number for each threshold and a temperature,
drawn towards the old ones.
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

from common.arrays import MAD_TO_SD, Flags, Floats, Ints, Names
from common.grading.calibration import COVERAGE, GradeSets, learn_sets

FEWEST_HEALTHY = 3
TRUSTED_HEALTHY = 20.0  # healthy people at whom half of a difference in spread is believed


@dataclass(frozen=True)
class Healthy:
    """Middle and spread of each column in `people` healthy people: median, and MAD as an SD."""

    middle: Floats
    spread: Floats
    people: int

    @classmethod
    def of(cls, features: pd.DataFrame) -> Healthy:
        """Take them from the rows of healthy people; NaN where all of them lack a column."""
        middle = features.median()
        spread = (features - middle).abs().median() * MAD_TO_SD
        return cls(middle.to_numpy(), spread.to_numpy(), len(features))

    def onto(self, other: Healthy) -> Zero:
        """Return what lays features measured where these people were onto those of the others.

        A difference in spread is believed the more, the more people are here. A column that one of
        the two lacks stays as it is.
        """
        trust = self.people / (self.people + TRUSTED_HEALTHY)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.power(other.spread / self.spread, trust)
        ratio = np.where(np.isfinite(ratio) & (ratio > 0), ratio, 1.0)
        offset = other.middle - ratio * self.middle
        known = np.isfinite(offset)
        return Zero(np.where(known, ratio, 1.0), np.where(known, offset, 0.0), self.people)


@dataclass(frozen=True)
class Zero:
    """Columns stretched by `ratio` and moved by `offset`, `(k,)` each, as `people` taught it."""

    ratio: Floats
    offset: Floats
    people: int

    def of(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return the features laid onto those that a grader learned from."""
        return features * self.ratio + self.offset


def enough_healthy(patients: Names) -> bool:
    """Return whether these healthy people are enough for a zero."""
    return len(np.unique(patients)) >= FEWEST_HEALTHY


def laid_onto(
    reference: Healthy, features: pd.DataFrame, *, healthy: Flags, patients: Names
) -> pd.DataFrame:
    """Lay the features of a site onto those of a reference, by the site's healthy people.

    A healthy person is laid by the other healthy people only, so that nobody is their own zero.
    """
    whole = pd.DataFrame(
        features.to_numpy(dtype=np.float64), columns=features.columns, index=features.index
    )
    laid = Healthy.of(whole[healthy]).onto(reference).of(whole).to_numpy(copy=True)
    for name in np.unique(patients[healthy]):
        own = patients == name
        others = Healthy.of(whole[healthy & ~own])
        laid[own] = others.onto(reference).of(whole[own]).to_numpy()
    return pd.DataFrame(laid, columns=features.columns, index=features.index)


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
    chances: Floats, labels: Ints, *, coverage: float = COVERAGE, unseen: Floats | None = None
) -> Recalibration:
    """Learn thresholds, temperature and sets from a kept grader's answers to local patients.

    Penalised likelihood: normal priors around the old thresholds and temperature, so that few
    patients move them little. `chances` are `(n, k)` answers, `labels` `(n,)` class numbers from 1;
    sets come from `unseen`, the `unseen_answers` of them where they are known already.
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

    `zero` is None when features are taken as measured, `thresholds` without graded patients. By
    `names` and `measured`, hashes of names and of measurements, the patients are known again.
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
