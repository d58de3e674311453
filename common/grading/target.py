"""What a grader is asked: six grades, healthy or palsy, three classes, or the affected side.

A target turns a manifest column into class numbers 1..k, in clinical order; graders and scores
know only those numbers, tables and reports only the names. Beside it stands the one rule for the
answer that needs no photograph (`commonest_class`), the baseline of every score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.arrays import Floats, Ints
from common.errors import UserError, named
from common.tables import CLASS_OF_GRADE, PALSY_CLASSES, ROMAN

TargetName = Literal["six_grades", "healthy_palsy", "three_classes", "affected_side"]
NO_LABEL = 0  # class number of a row whose manifest does not answer the question
CLASS_COLUMN = "palsy_class"
VISIT = "visit"
"""Manifest column that tells a patient's visits apart."""
OF_VISIT = " · visit "  # between a patient and a visit
MAJORITY = "majority"
"""Name of the baseline in tables, as a grader and beside networks."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One question and its possible answers.

    `column` of manifests and predictions holds the truth; `palsy_class` is filled from `hb_grade`
    where the manifest gives the grade alone (`with_truth`). `classes` are the names of class 1, 2,
    ... in the columns `p_<class>`, `number_of` leads from a value of `column` to its class number;
    `ordered` are steps of one scale. `source` says where the division comes from, `notes` what a
    reader must know of the truth.
    """

    name: str
    title: str
    column: str
    classes: tuple[str, ...]
    number_of: Mapping[object, int] = field(hash=False)
    ordered: bool
    source: str
    notes: tuple[str, ...] = ()

    @property
    def probability_columns(self) -> tuple[str, ...]:
        """Columns of `predictions.csv` that hold the probabilities, in class order."""
        return tuple(f"p_{name}" for name in self.classes)

    @property
    def step(self) -> str:
        """What a report calls a class: `grade`, or `class` where it is none."""
        return "grade" if self.column == "hb_grade" else "class"

    @property
    def steps(self) -> str:
        """The plural of `step`."""
        return "grades" if self.step == "grade" else "classes"

    @property
    def spoken(self) -> tuple[str, ...]:
        """Names of the classes as a clinician writes them: grades in Roman numerals."""
        return ROMAN if self.column == "hb_grade" else self.classes

    @property
    def sources(self) -> tuple[str, ...]:
        """Manifest columns that can answer the question; one of them is needed."""
        return (CLASS_COLUMN, "hb_grade") if self.column == CLASS_COLUMN else (self.column,)

    def with_truth(self, photographs: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with the truth in `column`; a class that is not given is the grade's.

        Refused (`UserError`) when no column answers the question, or a class is not that of its
        grade.
        """
        if not set(self.sources) & set(photographs.columns):
            needed = " or ".join(f'"{name}"' for name in self.sources)
            raise UserError(
                f"The table has no column {needed}, which {self.title.lower()} needs: "
                "give a manifest that has it (--manifest)."
            )
        if self.column != CLASS_COLUMN or "hb_grade" not in photographs.columns:
            return photographs
        of_grade = photographs["hb_grade"].map(CLASS_OF_GRADE).astype("str")
        if CLASS_COLUMN not in photographs.columns:
            return photographs.assign(**{CLASS_COLUMN: of_grade})
        given = photographs[CLASS_COLUMN]
        other = given.notna() & of_grade.notna() & (given != of_grade)
        if other.any():
            row = photographs[other].iloc[0]
            name = row.get("image_id", row.get("patient_id"))
            raise UserError(
                f'"{name}" has palsy_class {row[CLASS_COLUMN]} and hb_grade {row["hb_grade"]}, '
                f"which is {CLASS_OF_GRADE[row['hb_grade']]}"
                f" ({int(other.sum())} such rows): correct one of the two."
            )
        return photographs.assign(**{CLASS_COLUMN: given.astype("str").fillna(of_grade)})

    def truth_source(self, photographs: pd.DataFrame) -> str:
        """Say in words where the truth of these rows comes from."""
        if self.column != CLASS_COLUMN:
            return f"column {self.column}{raters_behind(photographs, self.column)}"
        nothing = pd.Series(index=photographs.index, dtype="object")
        given = int(photographs.get(CLASS_COLUMN, nothing).notna().sum())
        derived = int(self.with_truth(photographs)[CLASS_COLUMN].notna().sum()) - given
        of_grade = "of hb_grade (I healthy, II and III slight, IV to VI strong)"
        if not derived:
            return f"column {CLASS_COLUMN}"
        if not given:
            return of_grade
        return f"column {CLASS_COLUMN} of {given}, {of_grade} of {derived}"

    def numbers(self, photographs: pd.DataFrame) -> Ints:
        """Return the class number of each row, `NO_LABEL` where the column does not answer."""
        numbers = self.with_truth(photographs)[self.column].map(dict(self.number_of))
        return np.asarray(numbers.fillna(NO_LABEL), dtype=np.int64)

    @property
    def rule(self) -> str:
        """How `answers` decides, in words for a report."""
        if self.ordered:
            return (
                "the first class, going up from the lowest, at which half of the probability is "
                "reached (the median, whose expected distance from the truth is smallest)"
            )
        return "the class with the highest probability"

    def answers(self, probabilities: Floats) -> Ints:
        """Return the class number that stands for each row of `(n, k)` probabilities, by `rule`."""
        if self.ordered:
            return median_class(probabilities) + 1
        return probabilities.argmax(axis=1) + 1

    def named(self, numbers: Ints) -> list[int] | list[str]:
        """Return class numbers as they stand in a table: a grade as integer, else its name."""
        if self.name == "six_grades":
            return [int(number) for number in numbers]
        return [self.classes[number - 1] for number in numbers]


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target(
            name="six_grades",
            title="House-Brackmann grade, I to VI",
            column="hb_grade",
            classes=("1", "2", "3", "4", "5", "6"),
            number_of={grade: grade for grade in range(1, 7)},
            ordered=True,
            source="House and Brackmann 1985, doi 10.1177/019459988509300202",
        ),
        Target(
            name="healthy_palsy",
            title="Healthy (I) or palsy (II to VI)",
            column=CLASS_COLUMN,
            classes=("healthy", "palsy"),
            number_of={"healthy": 1, "slight": 2, "strong": 2},
            ordered=False,
            source="grade I is normal function in all areas (House and Brackmann 1985)",
        ),
        Target(
            name="three_classes",
            title="Healthy (I), slight (II and III) or strong (IV to VI) palsy",
            column=CLASS_COLUMN,
            classes=PALSY_CLASSES,
            number_of={name: number for number, name in enumerate(PALSY_CLASSES, start=1)},
            ordered=True,
            source=(
                "the division is ours: up to grade III the eye still closes completely, from "
                "grade IV it does not (House and Brackmann 1985)"
            ),
        ),
        Target(
            name="affected_side",
            title="Affected side of the patient",
            column="side",
            classes=("right", "left"),
            number_of={"right": 1, "left": 2},
            ordered=False,
            source="the manifest's side; healthy and two-sided patients are not asked about",
        ),
    )
}


def raters_behind(photographs: pd.DataFrame, column: str) -> str:
    """Say of how many raters a column was made, where the command `raters` has noted it."""
    noted = photographs.get(f"{column}_raters", pd.Series(dtype="float64"))
    counts = pd.to_numeric(noted, errors="coerce").dropna()
    if counts.empty:
        return ""
    made = "median" if column == "hb_grade" else "mean"
    least, most = int(counts.min()), int(counts.max())
    return f", the {made} of {least if least == most else f'{least} to {most}'} raters"


def median_class(probabilities: Floats) -> Ints:
    """Return `(n,)` places of the median: the first class at which half the probability is reached.

    The median is the answer with the smallest expected distance from the truth.
    """
    middle = (np.cumsum(probabilities, axis=1) < 0.5 - 1e-12).sum(axis=1)
    return np.minimum(middle, probabilities.shape[1] - 1)


def commonest_class(labels: Ints, patients: NDArray[Any]) -> int:
    """Return the class (of `labels` from 0 or 1) with the most patients; 0 without any row.

    Classes within one patient of the commonest count as equally common, and the lowest stands: in a
    balanced cohort, whoever is held out makes their own class rarer by one, and the strictly
    commonest would be wrong every time.
    """
    if not len(labels):
        return 0
    pairs = {(int(label), str(name)) for label, name in zip(labels, patients, strict=True)}
    counts = np.bincount([label for label, _ in pairs])
    return int(np.flatnonzero((counts > 0) & (counts >= counts.max() - 1))[0])


def patients_and_visits(rows: pd.DataFrame) -> list[str]:
    """Return the columns that say whom one answer is for: patients, and visits where told apart."""
    visits = VISIT in rows and rows[VISIT].notna().any()
    return ["patient_id", VISIT] if visits else ["patient_id"]


def whose_answer(rows: pd.DataFrame, by: list[str]) -> pd.Series:
    """Return whom the answer to each row is about: a patient, or `patient · visit 2`."""
    names = rows["patient_id"].astype(str).where(rows["patient_id"].notna())
    if VISIT not in by:
        return names
    return names + (OF_VISIT + rows[VISIT].astype(str)).where(rows[VISIT].notna(), "")


def refuse_two_grades(
    rows: pd.DataFrame, *, column: str = "hb_grade", by: Sequence[str] = ("patient_id",)
) -> None:
    """Refuse a patient with photographs of several grades, where a patient gets one answer.

    `by` are the columns that say whom one answer is for. The `UserError` names the first.
    """
    known = rows[[column, *by]].dropna(subset=[column, "patient_id"]).fillna({VISIT: ""})
    known = known.drop_duplicates()
    several = known[known.duplicated(list(by), keep=False)]
    if len(several):
        whose = several[list(by)].iloc[0]
        own = several.loc[(several[list(by)] == whose).all(axis=1), column]
        kind = {"hb_grade": "grades", CLASS_COLUMN: "classes", "side": "classes"}
        visit = f" of visit {whose[VISIT]}" if whose.get(VISIT) else ""
        raise UserError(
            f'Patient "{whose["patient_id"]}" has photographs{visit} of different '
            f"{kind.get(column, 'scores')} ({column} {' and '.join(sorted(map(str, own)))}), and "
            f"every {'visit' if VISIT in by else 'patient'} gets one answer: "
            + (
                "correct them."
                if VISIT in by
                else f"keep the photographs of one visit (benchmark, fit and grade answer every "
                f'visit that the column "{VISIT}" of the manifest tells).'
            )
        )


def target_named(name: str) -> Target:
    """Return a target; an unknown name is an error with a suggestion."""
    return named(name, TARGETS, what="target")
