"""Which movements a patient lacks, and when a grader of patients must not answer.

A grader of patients learned from certain movements. The rule: the photograph at rest is never
missing, and of all movements at most a quarter. Within it the answers are nearly those from all
movements; beyond it the error grows and the 90 % range no longer holds 90 %
(`python -m benchmarks.missing_movements`, figures in docs/measurements.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from classifiers.graders.cohort import Samples
from classifiers.graders.severity import REST, SignedSeverity

MOST_MISSING = 4  # one movement in so many may be missing
LEAST_SIDE = 0.90  # probability from which a side is named


def learned_movements(inputs: Sequence[str]) -> tuple[str, ...]:
    """Return the movements that a grader of patients learned from; none for one of photographs.

    Parameters
    ----------
    inputs
        Columns of its rows: `ModelCard.inputs`.
    """
    parts = [name.split(".") for name in inputs if name.startswith("odd.")]
    return tuple(movement for _, movement, number in parts if number == "0")


def missing_movements(patient: Samples, inputs: Sequence[str]) -> tuple[str, ...]:
    """Return which of the learned movements the row of one patient lacks."""
    learned = learned_movements(inputs)
    if patient.rows.empty:
        return learned
    return tuple(
        name for name in learned if np.isnan(patient.features[f"odd.{name}.0"].to_numpy()).all()
    )


def why_not_graded(missing: Sequence[str], learned: Sequence[str]) -> str | None:
    """Return the reason to abstain, or None when enough movements are there."""
    most = len(learned) // MOST_MISSING
    if len(missing) <= most and REST not in missing:
        return None
    needs = "all of them" if most == 0 else f"at least {len(learned) - most} of them"
    rest = f", {REST} among them" if REST in learned and most else ""
    return (
        f"{len(missing)} of the {len(learned)} movements that the grader learned from are missing "
        f"({', '.join(missing)}); it needs {needs}{rest}"
    )


def weak_side(severity: SignedSeverity, patient: Samples) -> tuple[str, float]:
    """Return the patient's side that is more probably the weak one, and its probability.

    The signed severity of a patient who was not learned from is wrong by `severity.error_` (root
    mean square); its sign is right with the probability that an error of a normal distribution
    does not reach over 0.
    """
    signed = float(severity.transform(patient.features)["signed_severity"].iloc[0])
    chance = norm.cdf(abs(signed) / severity.error_)
    return ("left" if signed > 0 else "right"), float(chance)


def side_chances(severity: SignedSeverity, patients: Samples) -> NDArray[np.float64]:
    """Return `(n,)` the probability that the left is the weak side."""
    signed = severity.transform(patients.features)["signed_severity"].to_numpy()
    found: NDArray[np.float64] = norm.cdf(signed / severity.error_)
    return found
