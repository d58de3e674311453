"""What graders see: photographs as they were measured, patients as one row of all movements.

A patient's row holds the antisymmetric and symmetric shape of the face in each movement
(`classifiers.graders.severity`) and a summary of the features. A movement that was not
photographed stays missing; several photographs of one movement are averaged. From the rows come
named sets of columns, some of which are learned, so that they are made anew inside every training
fold, outer and inner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import pandas as pd

from classifiers.graders.cohort import Cohort, Samples
from classifiers.graders.severity import SignedSeverity, block_columns
from common.arrays import Floats, Places
from common.bootstrap import summed_by
from common.errors import UserError
from common.grading.folds import Split, folds_of_patients, splits
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.predictions import KEY, Unit
from common.grading.target import patients_and_visits, refuse_two_grades
from common.movements import REST
from common.tables import severities
from features.frames import mirror_parts
from features.registry import FEATURE_NAMES

SIGN = {"left": 1.0, "right": -1.0}
DEEP = "deep."  # what the names of an image branch's columns begin with
MOST_MISSING = 4  # one movement in so many may be missing
LEAST_SIDE = 0.90  # probability from which a side is named
Sets = dict[str, pd.DataFrame]


def rows_to_answer(
    cohort: Cohort, *, level: Unit, target: AnyTarget, portable: Sequence[str] | None = None
) -> Samples:
    """Return the rows that get an answer: usable photographs, or their patients.

    With `portable`, of these features only. Photographs, and portable features, are refused
    (`UserError`) where the affected side is asked for.
    """
    if target.column == "side" and (level == "photograph" or portable is not None):
        raise UserError(
            "Features do not tell left from right: ask for the affected side with --level patient "
            "and without --portable."
        )
    samples = cohort.usable
    if level == "patient":
        samples = patient_samples(
            samples, points=cohort.study.points(list(samples.rows["image_id"])), target=target
        )
    if portable is None:
        return samples
    others = set(FEATURE_NAMES) - set(portable)  # the shape stays, to know sides by
    kept = [name for name in samples.features if str(name).rpartition(".")[2] not in others]
    return replace(samples, features=samples.features[kept], portable=True)


def tested_in(folds: pd.DataFrame, samples: Samples, *, unit: Unit) -> list[Split]:
    """Return the folds of a table of folds as row numbers of the samples."""
    own = folds_of_patients(folds) if unit == "patient" else folds
    return list(splits(own, samples.rows[KEY[unit]], patients=samples.patients))


def patient_samples(
    photographs: Samples, *, points: Floats, target: AnyTarget | None = None
) -> Samples:
    """Gather the usable photographs of each patient, or of each visit, into one row.

    `points` are the `(n, 68, 2)` landmarks from which the features were measured; `target` is what
    is asked, a class when not given. Rows have `patient_id`, `visit` (where told apart), grade,
    class and side (when known), the score, `photographs` and `movements` (how many). Columns: the
    blocks of `classifiers.graders.severity`, then `mean.` and `worst.` (largest) of every feature.
    Refused (`UserError`) when movements are not named, or a patient has no grade (score) or more
    than one.
    """
    rows = photographs.rows
    scored = target if isinstance(target, NumericTarget) else None
    by = patients_and_visits(rows)
    _refuse_unfit(rows, by=by, graded=scored is None)
    group = rows.groupby(by, dropna=False).ngroup().to_numpy()
    _, first, at = np.unique(group, return_index=True, return_inverse=True)
    movements = sorted(set(rows["task"]), key=lambda name: (name != REST, name))
    blocks = _blocks(rows["task"], at, points=points, movements=movements)
    by_patient = photographs.features.groupby(at)
    features = pd.concat(
        [
            pd.DataFrame(blocks.reshape(len(first), -1), columns=block_columns(movements)),
            by_patient.mean().add_prefix("mean."),
            by_patient.max().add_prefix("worst."),
        ],
        axis=1,
    )
    table = rows.iloc[first].reset_index(drop=True)
    kept = [*by, "hb_grade", "palsy_class", "side"] + ([] if scored is None else [scored.column])
    scores = None if photographs.scores is None else photographs.scores[first]
    side = table.get("side", pd.Series(index=table.index, dtype=object))
    return Samples(
        rows=table[[name for name in kept if name in table.columns]].assign(
            photographs=np.bincount(at), movements=(~np.isnan(blocks[:, 0, :, 0])).sum(axis=1)
        ),
        features=features,
        labels=photographs.labels[first],
        patients=photographs.patients[first],
        grades=severities(table).to_numpy()
        if scored is None or scores is None
        else scored.severities(scores),
        sides=np.asarray(side.map(SIGN).fillna(0.0), dtype=np.float64),
        scores=scores,
    )


def missing_movements(patient: Samples, inputs: Sequence[str]) -> tuple[str, ...]:
    """Return which of the learned movements the row of one patient lacks."""
    learned = learned_movements(inputs)
    if patient.rows.empty:
        return learned
    return tuple(name for name in learned if patient.features[f"odd.{name}.0"].isna().all())


def learned_movements(inputs: Sequence[str]) -> tuple[str, ...]:
    """Return the movements that a grader of patients learned from; none for one of photographs.

    `inputs` are the columns of its rows (`ModelCard.inputs`).
    """
    parts = [name.split(".") for name in inputs if name.startswith("odd.")]
    return tuple(movement for _, movement, number in parts if number == "0")


def why_not_graded(missing: Sequence[str], learned: Sequence[str]) -> str | None:
    """Return the reason to abstain, or None when enough movements are there.

    A patient is not graded without the photograph at rest, or when more than a quarter of the
    movements are missing: a cautious choice, no measured limit (docs/measurements.md).
    """
    most = len(learned) // MOST_MISSING
    if len(missing) <= most and REST not in missing:
        return None
    needs = "all of them" if most == 0 else f"at least {len(learned) - most} of them"
    rest = f", {REST} among them" if REST in learned and most else ""
    return (
        f"{len(missing)} of the {len(learned)} movements that the grader learned from are missing "
        f"({', '.join(missing)}); it needs {needs}{rest}"
    )


class Columns(Protocol):
    """Makes the column sets of rows."""

    def learn(self, samples: Samples) -> Sets:
        """Learn from training rows and return their sets."""

    def make(self, samples: Samples) -> Sets:
        """Return the sets of other rows."""


class PhotographColumns:
    """One set: the 29 features as they are, and what an image branch says beside them."""

    def learn(self, samples: Samples) -> Sets:
        """Return the features."""
        return self.make(samples)

    def make(self, samples: Samples) -> Sets:
        """Return the features."""
        return {"features": samples.features}


class PatientColumns:
    """Sets of a patient.

    `severity`: the severity learned from the antisymmetric shape in all movements, alone.
    `asymmetry`: with it, for each movement how far it goes and how far the weak side lags behind.
    `summary`: mean and worst of f0 to f28 over the photographs. For the affected side
    there are `sign`, the severity with its sign, and `signed`, with it the lags with their sign.
    Where only portable features may be used there is one, `portable`: their mean and worst. The
    shape, of which nobody measured whether it travels, then tells movements and the weak side only.
    """

    portable = False  # also of graders kept before there was a choice

    either_end = False  # whether the healthy end of the scale is not known

    def __init__(self, target: AnyTarget, *, portable: bool = False) -> None:
        self.about_side = target.column == "side"
        self.portable = portable
        self.either_end = isinstance(target, NumericTarget) and target.healthy is None

    def learn(self, samples: Samples) -> Sets:
        """Learn the severity from grades (scores) and sides of training patients.

        Where nobody said which end of a scale is healthy, it is the one from which the severity of
        a left-out training patient is told better.
        """
        grades = np.zeros(0) if samples.grades is None else samples.grades
        found = []
        for strength in [grades, -grades] if self.either_end else [grades]:
            severity = SignedSeverity()
            made = severity.fit_transform(
                samples.features, strength, samples.patients, samples.sides
            )
            found.append((severity.error_, severity, made))
        _, self.severity_, made = min(found, key=lambda one: one[0])
        return self._sets(made, samples)

    def make(self, samples: Samples) -> Sets:
        """Return the sets of other patients."""
        return self._sets(self.severity_.transform(samples.features), samples)

    def _sets(self, made: pd.DataFrame, samples: Samples) -> Sets:
        summary = samples.features.filter(regex=r"^(mean|worst)\.")
        if self.about_side:
            sets = {"sign": made[["signed_severity"]], "signed": made.filter(regex=r"^signed_")}
        elif self.portable:
            sets = {"portable": summary}
        else:
            sets = {
                "severity": made[["severity"]],
                "asymmetry": made.filter(regex=r"^(severity|lack\.|reach\.)"),
                "summary": summary,
            }
        deep = samples.features.filter(regex=f"^{DEEP}")
        if deep.columns.empty:
            return sets
        return {name: pd.concat([own, deep], axis=1) for name, own in sets.items()}


def columns_for(samples: Samples, *, target: AnyTarget) -> Columns:
    """Return what makes the columns of these samples."""
    if samples.grades is None:
        return PhotographColumns()
    return PatientColumns(target, portable=samples.portable)


def _refuse_unfit(rows: pd.DataFrame, *, by: Sequence[str], graded: bool) -> None:
    """Refuse photographs without a movement, and patients (visits) without one grade.

    Where scores are asked for (not `graded`), a grade need not be there.
    """
    if "task" not in rows.columns or rows["task"].isna().any():
        raise UserError(
            'Grading patients needs the movement of every photograph: fill the column "task" of '
            "the manifest, or grade photographs (--level photograph)."
        )
    for column in ("hb_grade", "palsy_class"):
        if column in rows.columns:
            refuse_two_grades(rows, column=column, by=by)
    if not graded:
        return
    unknown = severities(rows).isna()
    if unknown.any():
        raise UserError(
            f'Patient "{rows.loc[unknown, "patient_id"].iloc[0]}" has no hb_grade and no '
            "palsy_class, from which graders of patients learn how strong a palsy is: fill one of "
            "them, or leave the patient out."
        )


def _blocks(tasks: pd.Series, at: Places, *, points: Floats, movements: list[str]) -> Floats:
    """Mean odd and even part of each patient's movements, `(n, 2, movements, 51)`; NaN without."""
    found = mirror_parts(points)
    parts = np.stack([found.odd, found.even], axis=1)
    place = {name: number for number, name in enumerate(movements)}
    cell = at * len(movements) + tasks.map(place).to_numpy(dtype=np.intp)
    cells = (int(at.max()) + 1) * len(movements)
    good = ~np.isnan(parts[:, 0, 0])
    total = summed_by(parts[good], cell[good], n=cells)
    count = np.bincount(cell[good], minlength=cells)[:, None, None]
    means = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return means.reshape(-1, len(movements), *parts.shape[1:]).swapaxes(1, 2)
