"""Grade patients with a stored grader, from the tables of `extract`.

Comes from `classifiers.graders.model_store` and `features.csv` with its neighbours; gives one row
per patient: grade, probabilities, side and reasons. Whoever cannot be graded keeps a row with the
reason why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from classifiers.graders.cohort import Samples, Study, finite
from classifiers.graders.familiarity import UNLIKE, Likeness, qualities_of
from classifiers.graders.model_store import StoredModel
from classifiers.graders.one_patient import PROBABILITY, SEEN, STRETCHED, answer_to
from classifiers.graders.patients import patient_samples
from classifiers.reports.patient_page import Answer
from classifiers.reports.patient_pictures import Material, read_material
from classifiers.reports.side_readings import Spread, most_uneven
from common.errors import UserError
from common.files import natural_key
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.predictions import probability, probability_columns
from common.grading.target import NO_LABEL, OF_VISIT, VISIT, patients_and_visits, whose_answer
from common.tables import choice, number, text
from common.words import counted
from landmarks.tables import PointsSource, points_source

STATUSES = ("ok", "abstained", "failed")
SIDES_ANSWERED = ("right", "left", "none", "unknown")
_TYPES = {
    **dict.fromkeys((VISIT, "predicted", "reason", "missing", "why", "caution"), "str"),
    **dict.fromkeys(("distance", "low", "high"), "float64"),
    **dict.fromkeys(("set_low", "set_high"), "Int64"),
}


def grades_schema(target: AnyTarget) -> pa.DataFrameSchema:
    """Return the schema of `grades.csv`: one row per patient, in natural order.

    One row per patient and `visit`, where visits are told apart. Of scores `predicted` is a number
    with `low` and `high`, its 90 % interval, in place of probabilities and sets.

    `predicted` is the grade or the name of the class, empty unless `ok`; `abstained` is who lacks
    movements that the grader needs (`why_not_graded`) or lies `FAR_OUT`. `photographs` were
    given, `used` of them could be measured; `missing` names the movements that the grader learned
    from and that are not there. `set_low` and `set_high` bound the conformal set of adjacent
    classes (class numbers), empty for a grader without sets of patients. `side` is the weak side as
    a grader of patients learned it, with its probability `p_side`: `none` when the answer is
    healthy, `unknown` when it is less probable than `LEAST_SIDE` or the grader knows no sides.
    `why` says in words what was measured. `distance` is how far out the patient lies in the
    grader's columns, 1 for the farthest learned from; `caution` says what is unlike those learned
    from (the set is then one class wider at either end), or that recalibration saw the patient.
    """
    answer = (
        {"predicted": number(), "low": number(), "high": number()}
        if isinstance(target, NumericTarget)
        else {
            "predicted": text(nullable=True),
            **probability_columns(target, nullable=True),
            "set_low": pa.Column("Int64", nullable=True, coerce=True),
            "set_high": pa.Column("Int64", nullable=True, coerce=True),
        }
    )
    return pa.DataFrameSchema(
        {
            "patient_id": text(),
            VISIT: text(nullable=True, required=False),
            "status": choice(STATUSES),
            "reason": text(nullable=True),
            "photographs": pa.Column("int64"),
            "used": pa.Column("int64"),
            "missing": text(nullable=True),
            **answer,
            "side": choice(SIDES_ANSWERED),
            "p_side": probability(nullable=True),
            "why": text(nullable=True),
            "distance": number(required=False),
            "caution": text(nullable=True, required=False),
        },
        name="grades",
    )


@dataclass(frozen=True)
class Grades:
    """Answers for every patient: by `grades_schema`, and in words for the pages of a report.

    `material` is what the pages show, None without distances; `reference` the spread of right minus
    left in the healthy patients that the grader learned from; `truth` the class number by patient,
    of those whose grade the tables tell (to be compared with; no answer comes from it).
    """

    table: pd.DataFrame
    target: AnyTarget
    answers: dict[str, Answer]
    material: Material | None
    reference: Mapping[tuple[str, str], Spread]
    warnings: list[str]
    truth: pd.Series
    source: PointsSource


def grade_tables(model: StoredModel, *, features: Path, manifest: Path | None = None) -> Grades:
    """Grade every patient of a feature table; the tables beside it give sides and reasons.

    Refused (`UserError`) when it has another feature definition than the model, lacks columns, or
    names no patients and no manifest does.
    """
    card, target, study = model.card, model.card.question, Study(features, manifest)
    table = study.photographs
    card.refuse_other_features(
        definition=study.definition, columns=list(table.columns), source=features
    )
    if "patient_id" not in table.columns:
        raise UserError(f'{features} has no column "patient_id": give a manifest (--manifest).')
    rows = _rows_of(study, model=model)
    material = read_material(study)
    reference = {
        (movement, part): Spread(mean, sd)
        for movement, part, mean, sd in card.data["healthy_sides"]
    }
    found: list[dict[str, object]] = []
    answers: dict[str, Answer] = {}
    likeness = _likeness(model, rows, study)
    by = patients_and_visits(table)
    named = whose_answer(table, by)
    photographs = named.groupby(named).indices
    whose = whose_answer(rows.rows, by)
    answered = whose.groupby(whose.to_numpy()).indices
    for name in sorted(set(named.dropna()), key=natural_key):
        patient, _, visit = name.partition(OF_VISIT)
        # Right is compared with left over all photographs of a patient, so not for one visit.
        readings = [] if material is None or visit else material.readings(patient)
        row, answer = answer_to(
            model,
            rows.at(np.asarray(answered.get(name, []), dtype=np.intp)),
            table.iloc[photographs[name]],
            uneven=most_uneven(readings, reference=reference or None, count=3),
            likeness=likeness.get(name, Likeness()),
        )
        found.append({"patient_id": patient, **({VISIT: visit} if visit else {}), **row})
        answers[patient] = _joined(answers.get(patient), answer, visit=visit)
    columns = [name for name in grades_schema(target).columns if name != VISIT or VISIT in by]
    types = _TYPES | ({} if target.classes else {"predicted": "float64"})
    seen, unlike = (
        sum(said in str(row.get("caution")) for row in found) for said in (SEEN, UNLIKE)
    )
    return Grades(
        table=pd.DataFrame(found, columns=columns).astype(
            {name: kind for name, kind in types.items() if name in columns}
        ),
        target=target,
        answers=answers,
        material=material,
        reference=reference,
        warnings=[
            *_warnings(model, table, named, definition=study.definition),
            *_about_likeness(seen=seen, unlike=unlike, target=target),
        ],
        truth=_truth(table, target, whose=named),
        source=points_source(table),
    )


def _joined(before: Answer | None, answer: Answer, *, visit: str) -> Answer:
    """Return the answers to all visits of a patient as one."""
    if not visit:
        return answer
    own = Answer(
        summary=tuple(f"Visit {visit}. {sentence}" for sentence in answer.summary),
        reasons=tuple(f"Visit {visit}. {sentence}" for sentence in answer.reasons),
        table=None if answer.table is None else answer.table.replace(PROBABILITY, f"Visit {visit}"),
        caption=f"{PROBABILITY} of each class, by visit.",
    )
    if before is None:
        return own
    tables = [one.table for one in (before, own) if one.table is not None]
    return replace(
        own,
        summary=(*before.summary, *own.summary),
        reasons=(*before.reasons, *own.reasons),
        table=pd.concat(tables, ignore_index=True) if tables else None,
    )


def _truth(table: pd.DataFrame, target: AnyTarget, *, whose: pd.Series) -> pd.Series:
    """Return the class number (score) by patient, where the tables tell one and only one."""
    try:
        known = pd.Series(target.numbers(table), index=table.index)
    except UserError:  # no such column, or a class that is not that of its grade: nothing is known
        return pd.Series(dtype="float64")
    known = known[(known != NO_LABEL) & table["patient_id"].notna()]
    if isinstance(target, NumericTarget):
        known = pd.Series(target.values(table), index=table.index)[known.index]
    by_patient = known.groupby(whose[known.index])
    return by_patient.first()[by_patient.nunique() == 1]


def _rows_of(study: Study, *, model: StoredModel) -> Samples:
    """Return what the grader answers, photographs or patients; grades in the table are not used."""
    card, table = model.card, study.photographs
    values = finite(table[card.columns])
    named = table["patient_id"].notna() & (table["status"] == "ok") & ~values.isna().all(axis=1)
    rows = table[named].assign(hb_grade=1)
    photographs = Samples(
        rows=rows.drop(columns=["side", "palsy_class"], errors="ignore").reset_index(drop=True),
        features=values[named].reset_index(drop=True),
        labels=np.ones(len(rows), dtype=np.int64),
        patients=rows["patient_id"].to_numpy(dtype=np.str_),
    )
    if card.unit == "photograph" or rows.empty:
        return photographs
    points = study.points(list(rows["image_id"]))
    patients = patient_samples(photographs, points=points, target=card.question)
    # Movements that the grader never saw have no place; those that are not there are missing.
    features = patients.features.reindex(columns=card.inputs)
    if model.local is not None and model.local.zero is not None:
        features = model.local.zero.of(features)
    return replace(patients, features=features)


def _likeness(model: StoredModel, rows: Samples, study: Study) -> dict[str, Likeness]:
    """Measure each patient beside those learned from; nothing for a grader kept before that."""
    familiar = model.card.familiar()
    if familiar is None or rows.rows.empty:
        return {}
    made = model.grader.columns.make(rows)[model.grader.choice.columns]
    by = patients_and_visits(study.photographs)
    made = made.groupby(whose_answer(rows.rows, by).to_numpy()).mean()
    distances = familiar.distances(made)
    qualities = pd.DataFrame(index=made.index)
    if study.landmarks is not None:
        owner = whose_answer(study.photographs.set_index("image_id"), by)
        known = study.landmarks[study.landmarks["status"] == "ok"]
        names = owner.reindex(known["image_id"]).to_numpy(dtype=np.str_)
        qualities = qualities_of(known, patients=names).reindex(made.index)
    return {
        str(name): Likeness(
            float(distance), familiar.differs(qualities.loc[name].to_dict(), float(distance))
        )
        for name, distance in zip(made.index, distances, strict=True)
    }


def _about_likeness(*, seen: int, unlike: int, target: AnyTarget) -> list[str]:
    """Say how many the recalibration saw, and how many are unlike; names stay in grades.csv."""
    sentences = []
    wider = "the likely range is one class wider at either end"
    if isinstance(target, NumericTarget):
        wider = f"the interval is {STRETCHED} times as wide"
    if seen:
        sentences.append(
            f"The model was recalibrated with {counted(seen, 'patient')} of these, whom grades.csv "
            "marks: their answers are no test of it."
        )
    if unlike:
        sentences.append(
            f"Unlike those that the model learned from: {counted(unlike, 'patient')}. Where an "
            f"answer is given, {wider}; grades.csv says who, and what differs."
        )
    return sentences


def _warnings(
    model: StoredModel, table: pd.DataFrame, named: pd.Series, *, definition: str | None
) -> list[str]:
    sentences = list(model.warnings)
    card = model.card
    if card.data["simulated"] == "yes":
        sentences.append(
            "The model learned from simulated patients: its answers mean nothing for real ones."
        )
    source = points_source(table)
    if source.corrected and not card.data.get("photographs_corrected"):
        sentences.append(
            f"{source.sentence()} The grader learned from the landmark model's own points: its "
            "answers to corrected ones were not tested."
        )
    if definition is None:
        sentences.append(
            "With which feature definition the table was measured is not recorded; the model needs "
            f"{card.definition}."
        )
    failed = int((table["status"] != "ok").sum())
    if failed:
        sentences.append(f"{failed} of {counted(len(table), 'photograph')} could not be measured.")
    nobody = int(named.isna().sum())
    if nobody:
        belong = "belongs to no patient and was" if nobody == 1 else "belong to no patient and were"
        sentences.append(f"{counted(nobody, 'photograph')} {belong} not graded.")
    return sentences
