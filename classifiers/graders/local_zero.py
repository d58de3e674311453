"""Local healthy people as the zero: a site's features laid onto those that a grader learned from.

Cameras, light and populations move features of everybody. Healthy faces of the site say by how
much: their middle is laid onto the middle of the healthy people whom the grader learned from, and
their spread is brought to the same size, column by column, both robust.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from common.arrays import Flags, Floats, Names

FEWEST_HEALTHY = 3
TRUSTED_HEALTHY = 20.0  # healthy people at whom half of a difference in spread is believed
_MAD_TO_SD = 1.4826  # of a normal distribution


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
        spread = (features - middle).abs().median() * _MAD_TO_SD
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
