"""What graders see of a photograph or of a patient: named sets of columns, one table each.

Most columns are plain numbers of the row. Those of `SignedSeverity` are learned, so the sets are
made anew inside every training fold, outer and inner.
"""

from __future__ import annotations

from typing import Protocol

import pandas as pd

from classifiers.cohort import Samples
from classifiers.severity import SignedSeverity
from classifiers.tasks import Target

Sets = dict[str, pd.DataFrame]


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


def columns_for(samples: Samples, *, target: Target) -> PhotographColumns | PatientColumns:
    """Return what makes the columns of these samples."""
    if samples.grades is None:
        return PhotographColumns()
    return PatientColumns(target)
