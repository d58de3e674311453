"""The photographs that a benchmark can use: features joined with patients and grades.

Comes from `features.csv` (and `manifest.csv`), goes to folds and graders. What cannot be used is
kept with its reason, so that every report can state it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError
from common.grading.target import CLASS_COLUMN, NO_LABEL, Target, refuse_two_grades
from common.tables import join_manifest, read_manifest, sort_by_image_id
from features.registry import FEATURE_NAMES
from features.tables import read_features


@dataclass(frozen=True)
class Cohort:
    """Every photograph of the feature table, and which of them can be used.

    Attributes
    ----------
    photographs
        One row per photograph in natural order: `image_id`, `status`, `patient_id`, `hb_grade`
        and whatever else the manifest adds.
    features
        `(n, k)` float64, the same rows; NaN where missing.
    labels
        `(n,)` class numbers of the target from 1, `NO_LABEL` without one.
    reasons
        `(n,)` empty for a usable photograph, else why it is left out.
    truth_source
        Where the labels come from, in words: a column, or derived from the grade.
    """

    photographs: pd.DataFrame
    features: pd.DataFrame
    labels: NDArray[np.int64]
    reasons: NDArray[np.str_]
    truth_source: str = ""

    @property
    def labelled(self) -> pd.DataFrame:
        """The photographs that folds are made over: those with a patient and a label."""
        known = self.photographs["patient_id"].notna() & (self.labels != NO_LABEL)
        labelled: pd.DataFrame = self.photographs[known].reset_index(drop=True)
        return labelled

    @property
    def usable(self) -> Samples:
        """The photographs that graders learn from and are tested on."""
        keep = self.reasons == ""
        rows = self.photographs[keep].reset_index(drop=True)
        return Samples(
            rows=rows,
            features=self.features[keep].reset_index(drop=True),
            labels=self.labels[keep],
            patients=rows["patient_id"].to_numpy(dtype=np.str_),
        )

    def excluded(self) -> pd.DataFrame:
        """Count of photographs left out, by reason, most frequent first."""
        left_out = pd.Series(self.reasons[self.reasons != ""])
        counts = left_out.value_counts(sort=False).sort_index()
        counts = counts.sort_values(ascending=False, kind="stable")
        return pd.DataFrame({"reason": counts.index, "photographs": counts.to_numpy()})


@dataclass(frozen=True)
class Samples:
    """What graders work on.

    Attributes
    ----------
    rows
        One row per photograph or patient, with the columns that predictions need.
    features
        `(n, k)`, the same rows.
    labels
        `(n,)` class numbers of the target.
    patients
        `(n,)` patient of each row.
    grades, sides
        Of patients only: House-Brackmann grade (the middle of the class where only that is known),
        and weak side (+1 left, -1 right, 0 not known).
    """

    rows: pd.DataFrame
    features: pd.DataFrame
    labels: NDArray[np.int64]
    patients: NDArray[np.str_]
    grades: NDArray[np.float64] | None = None
    sides: NDArray[np.float64] | None = None

    def at(self, rows: NDArray[np.intp]) -> Samples:
        """Return the given rows only."""
        return Samples(
            rows=self.rows.iloc[rows],
            features=self.features.iloc[rows],
            labels=self.labels[rows],
            patients=self.patients[rows],
            grades=None if self.grades is None else self.grades[rows],
            sides=None if self.sides is None else self.sides[rows],
        )


def read_cohort(features: Path, *, target: Target, manifest: Path | None = None) -> Cohort:
    """Read a feature table and join the manifest, whose columns win over joined ones.

    Raises
    ------
    UserError
        When patients or labels are missing altogether, or when no photograph is left to work with.
    """
    table = read_features(features)
    if manifest is not None:
        table = join_manifest(table, read_manifest(manifest), measured=FEATURE_NAMES)
    for columns in (("patient_id",), target.sources):
        if not set(columns) & set(table.columns):
            raise UserError(
                f'{features} has no column "{columns[0]}": give the manifest that names the '
                "patients and grades (--manifest)."
            )
    table = sort_by_image_id(table)
    truth_source = target.truth_source(table)
    table = target.with_truth(table)
    values = table[list(FEATURE_NAMES)].astype(np.float64).replace([np.inf, -np.inf], np.nan)
    cohort = Cohort(
        photographs=table.drop(columns=list(FEATURE_NAMES)),
        features=values,
        labels=target.numbers(table),
        reasons=_reasons(table, values, target=target),
        truth_source=truth_source,
    )
    if not len(cohort.usable.rows):
        raise UserError(
            f"None of the {len(table)} photographs of {features} can be used: "
            f"{cohort.excluded()['reason'].iat[0]}."
        )
    return cohort


def refuse_unanswerable(cohort: Cohort, *, target: Target, source: Path) -> None:
    """Refuse a cohort that cannot be graded by patients: of one class, or with two grades for one.

    Parameters
    ----------
    source
        The feature table, for the sentence.
    """
    usable = cohort.usable
    classes = sorted(set(usable.labels.tolist()))
    if len(classes) == 1:
        raise UserError(
            f"All {len(usable.labels)} usable photographs of {source} are of one class, "
            f"{target.classes[classes[0] - 1]} ({target.title}): there is nothing to tell apart; "
            "add patients of another class or ask something else (--target)."
        )
    refuse_two_grades(usable.rows, column=target.column)


def _reasons(table: pd.DataFrame, values: pd.DataFrame, *, target: Target) -> NDArray[np.str_]:
    """First reason that applies to each row; empty for a usable one."""
    failed = table["status"] != "ok"
    status = "status " + table["status"].astype(str)
    unlabelled = target.numbers(table) == NO_LABEL
    hint = " (its palsy_class answers three_classes and healthy_palsy)"
    only_class = (
        unlabelled & table[CLASS_COLUMN].notna()
        if target.column == "hb_grade" and CLASS_COLUMN in table
        else np.zeros(len(table), dtype=bool)
    )
    missing = f"no usable {' or '.join(target.sources)}"
    return np.select(
        [failed, table["patient_id"].isna(), only_class, unlabelled, values.isna().all(axis=1)],
        [status, "no patient_id", missing + hint, missing, "all features are missing"],
        default="",
    ).astype(np.str_)  # fmt: skip
