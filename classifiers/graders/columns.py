"""What graders see of a photograph or of a patient: named sets of columns, one table each.

Most columns are plain numbers of the row. Those of `SignedSeverity` are learned, so the sets are
made anew inside every training fold, outer and inner.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import pandas as pd

from classifiers.graders.cohort import Samples
from classifiers.graders.severity import SignedSeverity
from common.grading.target import Target

Sets = dict[str, pd.DataFrame]
DEEP = "deep."  # what the names of an image branch's columns begin with


class Columns(Protocol):
    """Makes the column sets of rows."""

    def learn(self, samples: Samples) -> Sets:
        """Learn from training rows and return their sets."""

    def make(self, samples: Samples) -> Sets:
        """Return the sets of other rows."""


class PhotographColumns:
    """One set: the 29 features as they are."""

    def learn(self, samples: Samples) -> Sets:
        """Return the features."""
        return {"features": samples.features}

    def make(self, samples: Samples) -> Sets:
        """Return the features."""
        return {"features": samples.features}


class PatientColumns:
    """Sets of a patient.

    `severity`: the severity learned from the antisymmetric shape in all movements, alone.
    `asymmetry`: with it, for each movement how far it goes and how far the weak side lags behind.
    `summary`: mean and worst of f0 to f28 over the photographs. For the affected side
    there are `sign`, the severity with its sign, and `signed`, with it the lags with their sign.
    """

    def __init__(self, target: Target) -> None:
        self.about_side = target.column == "side"

    def learn(self, samples: Samples) -> Sets:
        """Learn the severity from grades and sides of training patients."""
        self.severity_ = SignedSeverity()
        made = self.severity_.fit_transform(
            samples.features, samples.grades, samples.patients, samples.sides
        )
        return self._sets(made, samples)

    def make(self, samples: Samples) -> Sets:
        """Return the sets of other patients."""
        return self._sets(self.severity_.transform(samples.features), samples)

    def _sets(self, made: pd.DataFrame, samples: Samples) -> Sets:
        if self.about_side:
            return {"sign": made[["signed_severity"]], "signed": made.filter(regex=r"^signed_")}
        summary = samples.features.filter(regex=r"^(mean|worst)\.")
        return {
            "severity": made[["severity"]],
            "asymmetry": made.filter(regex=r"^(severity|lack\.|reach\.)"),
            "summary": summary,
        }


class WithDeep:
    """The sets of others, with what an image branch says of the same rows beside each."""

    def __init__(self, measured: PhotographColumns | PatientColumns) -> None:
        self.measured = measured

    def learn(self, samples: Samples) -> Sets:
        """Learn the other columns."""
        return self._beside(self.measured.learn(_without_deep(samples)), samples)

    def make(self, samples: Samples) -> Sets:
        """Return the sets of other rows."""
        return self._beside(self.measured.make(_without_deep(samples)), samples)

    @staticmethod
    def _beside(sets: Sets, samples: Samples) -> Sets:
        deep = samples.features.filter(regex=f"^{DEEP}")
        return {
            name: pd.concat([made.set_axis(deep.index), deep], axis=1)
            for name, made in sets.items()
        }


def columns_for(
    samples: Samples, *, target: Target
) -> PhotographColumns | PatientColumns | WithDeep:
    """Return what makes the columns of these samples."""
    measured = PhotographColumns() if samples.grades is None else PatientColumns(target)
    deep = any(str(name).startswith(DEEP) for name in samples.features.columns)
    return WithDeep(measured) if deep else measured


def _without_deep(samples: Samples) -> Samples:
    """Return the samples with measured columns only."""
    deep = [name for name in samples.features.columns if str(name).startswith(DEEP)]
    return replace(samples, features=samples.features.drop(columns=deep))
