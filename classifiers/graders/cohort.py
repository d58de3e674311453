"""The tables of a study, each read once, and the photographs of it that graders can use.

Comes from `features.csv` (and `manifest.csv`), goes to folds and graders. What cannot be used is
kept with its reason, so that every report can state it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from common.arrays import Flags, Floats, Ints, Names, Places
from common.errors import UserError
from common.files import found_table
from common.grading.numeric_target import AnyTarget, NumericTarget, any_target
from common.grading.target import (
    CLASS_COLUMN,
    NO_LABEL,
    TARGETS,
    VISIT,
    patients_and_visits,
    refuse_two_grades,
)
from common.tables import GRADES, join_manifest, read_manifest, severities, sort_by_image_id
from common.words import counted
from features.registry import DISTANCE_NAMES, FEATURE_NAMES
from features.tables import (
    DISTS_FILE,
    MEASURED_COLUMNS,
    MEASURES_FILE,
    definition_of,
    read_dists,
    read_features,
    read_measures,
)
from landmarks.tables import LANDMARKS_FILE, PointsSource, points_of, points_source, read_landmarks


@dataclass(frozen=True)
class Study:
    """`features.csv`, what `extract` wrote beside it, and a manifest, each read when asked for.

    The manifest's columns win over those that were joined to a table earlier.
    """

    features: Path
    manifest: Path | None = None

    @cached_property
    def photographs(self) -> pd.DataFrame:
        """The features of every photograph."""
        return self._joined(read_features(self.features), measured=FEATURE_NAMES)

    @cached_property
    def dists(self) -> pd.DataFrame | None:
        """The distances of every photograph; None where no table lies beside the features."""
        path = self.features.with_name(DISTS_FILE)
        return (
            self._joined(read_dists(path), measured=DISTANCE_NAMES)
            if found_table(path).is_file()
            else None
        )

    @cached_property
    def landmarks(self) -> pd.DataFrame | None:
        """The landmark table; None where it does not lie beside the features."""
        path = self.features.with_name(LANDMARKS_FILE)
        return read_landmarks(path) if found_table(path).is_file() else None

    @cached_property
    def measures(self) -> pd.DataFrame | None:
        """The clinical measures of every photograph; None where no table lies beside."""
        path = self.features.with_name(MEASURES_FILE)
        if not found_table(path).is_file():
            return None
        return self._joined(read_measures(path), measured=MEASURED_COLUMNS)

    @cached_property
    def listed(self) -> pd.DataFrame | None:
        """The manifest itself."""
        return None if self.manifest is None else read_manifest(self.manifest)

    @cached_property
    def definition(self) -> str | None:
        """The feature definition, as far as it is recorded."""
        return definition_of(self.features)

    @property
    def files(self) -> dict[str, Path]:
        """What was given, by role, for `run.json`."""
        given = {"features": self.features, "manifest": self.manifest}
        return {role: path for role, path in given.items() if path is not None}

    def question(self, name: str) -> AnyTarget:
        """Return a target by name; one that is no class is looked for in manifest or features."""
        if name in TARGETS:
            return TARGETS[name]
        table, source = self.listed, self.manifest or self.features
        table = self.photographs if table is None else table
        return any_target(name, table=table, source=source, measured=FEATURE_NAMES)

    def points(self, image_ids: Sequence[str]) -> Floats:
        """Return `(n, 68, 2)` points of the photographs, px; a table without them is refused."""
        if self.landmarks is None:
            raise UserError(
                f"There is no {LANDMARKS_FILE} in {self.features.parent}: grading patients needs "
                "the landmark table that extract wrote beside the features, or give --level "
                "photograph."
            )
        table = self.landmarks.set_index("image_id")
        missing = pd.Index(image_ids).difference(table.index)
        if len(missing):
            raise UserError(
                f"{self.features.with_name(LANDMARKS_FILE)} has no row for "
                f'"{missing[0]}": give the landmark table from which the features were measured.'
            )
        return points_of(table.loc[list(image_ids)])

    def _joined(self, table: pd.DataFrame, *, measured: Sequence[str]) -> pd.DataFrame:
        if self.listed is None:
            return table
        return join_manifest(table, self.listed, measured=measured)


@dataclass(frozen=True)
class Cohort:
    """Every photograph of a study, and which of them can be used.

    `photographs` has a row for each in natural order, with what the manifest adds; `features` `(n,
    k)` are the same rows, NaN where missing. `labels` are `(n,)` class numbers from 1 or `NO_LABEL`
    (where scores are asked for, only whether there is one), `reasons` why a photograph is left out,
    empty for a usable one; `scores` are `(n,)`, None where classes are asked for. `truth_source`
    says in words where the labels come from.
    """

    study: Study
    target: AnyTarget
    photographs: pd.DataFrame
    features: pd.DataFrame
    labels: Ints
    reasons: Names
    truth_source: str
    scores: Floats | None = None

    @property
    def labelled(self) -> pd.DataFrame:
        """The photographs that folds are made over: those with a patient and a label."""
        known = self.photographs["patient_id"].notna() & (self.labels != NO_LABEL)
        return self.photographs[known].reset_index(drop=True)

    def labelled_points(self) -> Floats | None:
        """Return `(n, 68, 2)` points of `labelled`, NaN where missing; None without a table."""
        if self.study.landmarks is None:
            return None
        table = self.study.landmarks.set_index("image_id")
        return points_of(table.reindex(self.labelled["image_id"]))

    @cached_property
    def usable(self) -> Samples:
        """The photographs that graders learn from and are tested on."""
        keep = self.reasons == ""
        rows = self.photographs[keep].reset_index(drop=True)
        return Samples(
            rows=rows,
            features=self.features[keep].reset_index(drop=True),
            labels=self.labels[keep],
            patients=rows["patient_id"].to_numpy(dtype=np.str_),
            scores=None if self.scores is None else self.scores[keep],
        )

    def without_visits(self) -> Cohort:
        """Return the cohort of a command that answers patients and does not tell visits apart."""
        return replace(self, photographs=self.photographs.drop(columns=VISIT, errors="ignore"))

    @property
    def source(self) -> PointsSource:
        """How many of the usable photographs have corrected points."""
        return points_source(self.usable.rows)

    def excluded(self) -> pd.DataFrame:
        """Count of photographs left out, by reason, most frequent first."""
        left_out = pd.Series(self.reasons[self.reasons != ""])
        counts = left_out.value_counts(sort=False).sort_index()
        counts = counts.sort_values(ascending=False, kind="stable")
        return pd.DataFrame({"reason": counts.index, "photographs": counts.to_numpy()})


@dataclass(frozen=True)
class Samples:
    """What graders work on: a row for each photograph or patient.

    `rows` hold the columns that predictions need, `features` are `(n, k)`, `labels` and `patients`
    `(n,)`, and so are `scores` where numbers are asked for. Of patients only: `grades` (how strong
    the palsy is: House-Brackmann, or the middle of the class where only that is known; the distance
    from the healthy end of a score) and `sides` (the weak one: +1 left, -1 right, 0 not known).
    `portable` when the features are only those that travel, and graders of patients may see nothing
    else.
    """

    rows: pd.DataFrame
    features: pd.DataFrame
    labels: Ints
    patients: Names
    grades: Floats | None = None
    sides: Floats | None = None
    portable: bool = False
    scores: Floats | None = None

    @property
    def truth(self) -> Ints | Floats:
        """`(n,)` what is learned: scores, or class numbers where there are none."""
        return self.labels if self.scores is None else self.scores

    @property
    def healthy(self) -> Flags:
        """`(n,)` whose grade or class says that nothing is wrong."""
        return (severities(self.rows) == GRADES[0]).to_numpy()

    def at(self, rows: Places) -> Samples:
        """Return the given rows only."""
        return Samples(
            rows=self.rows.iloc[rows],
            features=self.features.iloc[rows],
            labels=self.labels[rows],
            patients=self.patients[rows],
            grades=None if self.grades is None else self.grades[rows],
            sides=None if self.sides is None else self.sides[rows],
            portable=self.portable,
            scores=None if self.scores is None else self.scores[rows],
        )


def read_cohort(features: Path, *, target: AnyTarget | str, manifest: Path | None = None) -> Cohort:
    """Read a feature table and join the manifest, whose columns win over joined ones.

    `target` is what is asked, or its name.

    Refused (`UserError`) when patients or labels are missing altogether, or no photograph is
    usable.
    """
    study = Study(features, manifest)
    target = study.question(target) if isinstance(target, str) else target
    table = study.photographs
    for columns in (("patient_id",), target.sources):
        if not set(columns) & set(table.columns):
            raise UserError(
                f'{features} has no column "{columns[0]}": give the manifest that names the '
                f"patients and {target.steps} (--manifest)."
            )
    table = sort_by_image_id(table)
    truth_source = target.truth_source(table)
    table = target.with_truth(table)
    if VISIT in table and table[VISIT].isna().all():
        table = table.drop(columns=VISIT)  # a column that nobody filled tells nothing apart
    values = finite(table[list(FEATURE_NAMES)])
    cohort = Cohort(
        study=study,
        target=target,
        photographs=table.drop(columns=list(FEATURE_NAMES)),
        features=values,
        labels=target.numbers(table),
        reasons=_reasons(table, values, target=target),
        truth_source=truth_source,
        scores=target.values(table) if isinstance(target, NumericTarget) else None,
    )
    if not len(cohort.usable.rows):
        raise UserError(
            f"None of the {counted(len(table), 'photograph')} of {features} can be used: "
            f"{cohort.excluded()['reason'].iat[0]}."
        )
    return cohort


def finite(values: pd.DataFrame) -> pd.DataFrame:
    """Return the values as float64, what is infinite as missing."""
    return values.astype(np.float64).replace([np.inf, -np.inf], np.nan)


def refuse_unanswerable(cohort: Cohort) -> None:
    """Refuse a cohort of one class or score, or with two for one answer: nothing can be graded."""
    usable, target = cohort.usable, cohort.target
    found = sorted(set(usable.truth.tolist()))
    if len(found) == 1:
        everybody = f"All {counted(len(usable.labels), 'usable photograph')} of "
        if isinstance(target, NumericTarget):
            same = f"have the same {target.column}: there is nothing to tell apart."
        else:
            same = (
                f"are of one class, {target.classes[found[0] - 1]} ({target.title}): there is "
                "nothing to tell apart; add patients of another class or ask something else "
                "(--target)."
            )
        raise UserError(f"{everybody}{cohort.study.features} {same}")
    by = patients_and_visits(usable.rows)
    refuse_two_grades(usable.rows, column=target.column, by=by)


def _reasons(table: pd.DataFrame, values: pd.DataFrame, *, target: AnyTarget) -> Names:
    """First reason that applies to each row; empty for a usable one."""
    unlabelled = target.numbers(table) == NO_LABEL
    hint = " (its palsy_class answers three_classes and healthy_palsy)"
    only_class = (
        unlabelled & table[CLASS_COLUMN].notna()
        if target.column == "hb_grade" and CLASS_COLUMN in table
        else np.zeros(len(table), dtype=bool)
    )
    missing = f"no usable {' or '.join(target.sources)}"
    return np.select(
        [table["status"] != "ok", table["patient_id"].isna(), only_class, unlabelled,
         values.isna().all(axis=1)],
        ["status " + table["status"].astype(str), "no patient_id", missing + hint, missing,
         "all features are missing"],
        default="",
    ).astype(np.str_)  # fmt: skip
