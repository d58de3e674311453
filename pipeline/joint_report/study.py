"""What the joint report tells about: the branches, the fused answer, their comparison, the faces.

Comes from the prediction tables of the branches and of `fuse`; goes to the sections and pages of
`pipeline.joint_report.report`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from classifiers.branches.branch import Branch
from classifiers.branches.comparison import BranchComparison
from classifiers.reports.patient_pages import Material
from common.files import natural_key
from common.grading.plots import roman
from common.grading.predictions import to_patients
from common.grading.target import MAJORITY, Target

MEASUREMENTS, NETWORK, TOGETHER = "geometric", "deep", "fused"
_TITLES = {
    MEASUREMENTS: "Measurements",
    NETWORK: "Image network",
    TOGETHER: "Both together",
    MAJORITY: "Always the commonest grade",
}
COLOURS = {MEASUREMENTS: "#0072B2", NETWORK: "#D55E00", TOGETHER: "#009E73", MAJORITY: "#7f8a95"}
MARKERS = {MEASUREMENTS: "o", NETWORK: "s", TOGETHER: "D", MAJORITY: "x"}


@dataclass(frozen=True)
class WayAnswer:
    """What one way of grading says about a patient.

    Attributes
    ----------
    answer
        Class number from 1.
    chances
        `(k,)` probabilities, the mean over repeats.
    span
        Lowest and highest class number of the set that is meant to hold the reference; None
        where no set was made. Over several repeats, the span of all sets.
    """

    answer: int
    chances: NDArray[np.float64]
    span: tuple[int, int] | None


@dataclass(frozen=True)
class PatientAnswers:
    """A patient's reference (class number from 1) and what each way says; absent ways are absent.

    A patient without a reference, or graded at several visits, has None.
    """

    reference: int | None
    ways: Mapping[str, WayAnswer]


@dataclass(frozen=True)
class JointStudy:
    """Everything the joint report tells about.

    Attributes
    ----------
    branches
        Measurements, network and fused answers, each named by `MEASUREMENTS`, `NETWORK` or
        `TOGETHER` at the start of its name.
    comparisons
        Of these branches: on photographs, where all have them, then on patients.
    weights
        Rows of `weights.csv` of the fused model; None where nothing was weighed.
    material
        Photographs, points and distances.
    measures
        `measures.csv`; None when it was not found.
    manifest
        Of all photographs.
    pictures
        By `image_id`, what the network looked at, RGB.
    problems
        Sentences for the head of the report.
    """

    target: Target
    branches: tuple[Branch, ...]
    comparisons: tuple[BranchComparison, ...]
    weights: pd.DataFrame | None
    material: Material
    measures: pd.DataFrame | None
    manifest: pd.DataFrame
    pictures: Mapping[str, NDArray[np.uint8]]
    problems: tuple[str, ...] = ()

    @property
    def patients(self) -> BranchComparison:
        """The comparison of patients."""
        return self.comparisons[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the ways, measurements first and the fused answer last."""
        return tuple(branch.name for branch in self.branches)

    @property
    def grades(self) -> tuple[str, ...]:
        """Names of the classes as a clinician writes them."""
        return roman(self.target)

    @cached_property
    def answers(self) -> dict[str, PatientAnswers]:
        """What each way says about each patient of the manifest, in natural order."""
        by_way = {branch.name: _by_patient(branch, self.target) for branch in self.branches}
        references = self.manifest.assign(number=self.target.numbers(self.manifest))
        known = references[references["number"] > 0].groupby("patient_id")["number"]
        single = {
            str(name): int(numbers.iloc[0]) for name, numbers in known if numbers.nunique() == 1
        }
        names = sorted(set(self.manifest["patient_id"].astype(str)), key=natural_key)
        return {
            name: PatientAnswers(
                reference=single.get(name),
                ways={way: found[name] for way, found in by_way.items() if name in found},
            )
            for name in names
        }

    def reference_of(self, patient: str) -> str:
        """Return a patient's reference grade as a clinician writes it, or `unknown`."""
        number = self.answers[patient].reference
        return "unknown" if number is None else self.grades[number - 1]

    def said_of(self, patient: str) -> str:
        """Return what each way answered to a patient, in one line."""
        return ", ".join(
            f"{title_of_way(name).lower()} {self.grades[found.answer - 1]}"
            for name, found in self.answers[patient].ways.items()
        )

    def way(self, kind: str) -> str | None:
        """Return the name of the first way of a kind, such as `NETWORK`."""
        return next((name for name in self.names if name.startswith(kind)), None)

    def number_of(self, patient: str) -> int:
        """Return the number that stands for a patient on redacted pages, from 1."""
        return list(self.answers).index(patient) + 1


def title_of_way(name: str) -> str:
    """Return how a reader who knows nothing of the project calls a branch or a baseline."""
    kind, space, model = name.partition(" ")
    return f"{_TITLES.get(kind, kind)}{space}{model}"


def colour_of(name: str) -> str:
    """Return the colour of a way in all pictures, told apart by colour-blind readers too."""
    return COLOURS.get(name.partition(" ")[0], COLOURS[MAJORITY])


def marker_of(name: str) -> str:
    """Return the marker of a way in all pictures."""
    return MARKERS.get(name.partition(" ")[0], "x")


def _by_patient(branch: Branch, target: Target) -> dict[str, WayAnswer]:
    """Return a branch's answer for each patient, the probabilities averaged over repeats."""
    rows = branch.rows
    if branch.unit == "photograph":
        rows = to_patients(rows, target=target)
    found = {}
    for patient, own in rows.groupby("patient_id", sort=False):
        chances = own[list(target.probability_columns)].to_numpy(dtype=np.float64).mean(axis=0)
        found[str(patient)] = WayAnswer(
            answer=int(target.answers(chances[None])[0]), chances=chances, span=_span(own)
        )
    return found


def _span(rows: pd.DataFrame) -> tuple[int, int] | None:
    if "set_low" not in rows.columns or rows[["set_low", "set_high"]].isna().any(axis=None):
        return None
    return int(rows["set_low"].min()), int(rows["set_high"].max())


def signed(value: float) -> str:
    """Return a difference with its sign, `+0.05`, `−0.05` or `0.00`."""
    words = f"{value:+.2f}"
    return "0.00" if float(words) == 0 else words.replace("-", "−")
