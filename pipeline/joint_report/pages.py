"""A page for each patient: photographs, both sides measured, the network's maps, every grade.

What is missing is said: a movement that was not photographed, a photograph that was not measured,
a way that gave no answer.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd

from classifiers.reports.patient_pages import patient_pictures
from classifiers.reports.side_readings import most_uneven
from common.grading.calibration import range_in_words, range_title
from common.report import Link, Picture, Report, Section, Share, image_picture
from common.words import spoken
from features.measures import MEASURES, Measure
from pipeline.joint_report.study import (
    NETWORK,
    TOGETHER,
    JointStudy,
    title_of_way,
)

MAP_TASKS = ("full_smile", "full_eye_closure", "brow_raise")
"""Movements whose maps are shown: mouth, eyes, forehead."""

MEASURES_BY_TASK: dict[str, tuple[str, ...]] = {
    "rest": ("brow_height", "palpebral_fissure_height", "commissure_height"),
    "brow_raise": ("brow_height",),
    "full_eye_closure": ("palpebral_fissure_height",),
    "full_smile": ("commissure_excursion", "smile_angle", "dental_show"),
    "lip_pucker": ("commissure_excursion",),
    "lower_teeth": ("lower_lip_height",),
}
"""What a clinician looks at in each movement."""

_STRIP_TASKS = ("rest", "full_eye_closure", "full_smile")


def add_pages(report: Report, study: JointStudy, *, redact: bool) -> None:
    """Add a folded page for each patient, in natural order."""
    patients = list(study.answers)
    for at, patient in enumerate(patients):
        page = report.section(
            _heading(study, patient, redact=redact),
            one_of_many=True,
            folded=True,
            anchor=anchor_of(study, patient),
        )
        neighbours = [Link("all patients", "#patients")]
        for word, other in (("previous", at - 1), ("next", at + 1)):
            if 0 <= other < len(patients):
                neighbours.append(Link(word, f"#{anchor_of(study, patients[other])}"))
        page.links(neighbours)
        _fill(page, study, patient, redact=redact)


def name_of(study: JointStudy, patient: str, *, redact: bool) -> str:
    """Return what a patient is called in the report."""
    return f"Patient {study.number_of(patient)}" if redact else patient


def anchor_of(study: JointStudy, patient: str) -> str:
    """Return the name of a patient's page for links; it does not tell who it is."""
    return f"patient-{study.number_of(patient)}"


def patient_strip(study: JointStudy, patient: str, *, redact: bool) -> list[Picture]:
    """Return a few thumbnails of a patient: photographs with points, and one map."""
    pictures = patient_pictures(study.material, patient, redact=redact, tasks=_STRIP_TASKS)
    return pictures + (_maps(study, patient, tasks=MAP_TASKS[:1]) or _maps(study, patient)[:1])


def _heading(study: JointStudy, patient: str, *, redact: bool) -> str:
    told = study.answers[patient]
    fused = next((found for name, found in told.ways.items() if name.startswith(TOGETHER)), None)
    reference = "unknown" if told.reference is None else study.grades[told.reference - 1]
    together = "no fused grade" if fused is None else f"together {study.grades[fused.answer - 1]}"
    return f"{name_of(study, patient, redact=redact)}: reference {reference}, {together}"


def _fill(page: Section, study: JointStudy, patient: str, *, redact: bool) -> None:
    for sentence in _what_is_missing(study, patient, redact=redact):
        page.text(sentence)
    page.table(
        _grades_table(study, patient), caption="Grade, and the probability of each grade in %."
    )
    pictures = patient_pictures(study.material, patient, redact=redact)
    if pictures:
        page.subheading("Points, drawn" if redact else "Photographs with their points")
        page.gallery(pictures)
    maps = _maps(study, patient)
    if maps:
        page.subheading("What moved the network's grade")
        page.gallery(maps)
    measures = side_table(study.measures, patient)
    page.subheading("Right beside left")
    if len(measures):
        page.table(
            measures,
            caption="The patient's own right and left. Positive: right is larger.",
            digits=1,
        )
    else:
        page.text("No clinical measures: no movement of this patient was measured.")
    readings = study.material.readings(patient)
    spread = study.material.healthy_spread(without=patient)
    for item in most_uneven(readings, reference=spread or None):
        page.text(item.sentence())


def _what_is_missing(study: JointStudy, patient: str, *, redact: bool) -> list[str]:
    """Say which movements, photographs and answers are not there."""
    own = study.manifest[study.manifest["patient_id"].astype(str) == patient]
    sentences = []
    if "task" in own.columns:
        usual = study.manifest["task"].dropna().unique()
        absent = [spoken(task) for task in usual if task not in set(own["task"])]
        if absent:
            sentences.append(f"Not photographed: {', '.join(absent)}.")
    dists = study.material.dists.set_index("image_id")
    for row in own.to_dict("records"):
        image_id = str(row["image_id"])
        status = str(dists["status"].get(image_id, "not in the measurements"))
        if status != "ok":
            task = row.get("task")
            what = "A photograph" if pd.isna(task) else f"The photograph of {spoken(task)}"
            sentences.append(f"{what} could not be used ({spoken(status)}).")
    for name in study.names:
        if name not in study.answers[patient].ways:
            sentences.append(
                f"{title_of_way(name)}: no answer for this patient, who is not in its table."
            )
    network = study.way(NETWORK)
    if (
        network in study.answers[patient].ways
        and study.pictures
        and not set(study.pictures) & set(own["image_id"])
    ):
        sentences.append("There is no map of the network for this patient.")
    return sentences


def _grades_table(study: JointStudy, patient: str) -> pd.DataFrame:
    told = study.answers[patient]
    rows = []
    for name, found in told.ways.items():
        rows.append(
            {
                "Way": title_of_way(name),
                "Grade": study.grades[found.answer - 1],
                range_title(): None
                if found.span is None
                else range_in_words(*found.span, study.grades),
                **{
                    grade: Share(float(chance))
                    for grade, chance in zip(study.grades, found.chances, strict=True)
                },
            }
        )
    reference = None if told.reference is None else study.grades[told.reference - 1]
    marks = {grade: "●" if grade == reference else "" for grade in study.grades}
    rows.append({"Way": "Reference", "Grade": reference, range_title(): "", **marks})
    table = pd.DataFrame(rows)
    ranged = any(found.span for found in told.ways.values())
    return table if ranged else table.drop(columns=range_title())


def _maps(study: JointStudy, patient: str, *, tasks: Sequence[str] | None = None) -> list[Picture]:
    own = study.manifest[study.manifest["patient_id"].astype(str) == patient]
    if tasks is not None:
        own = own[own["task"].isin(tasks)] if "task" in own.columns else own.iloc[:0]
    pictures = []
    for row in own.to_dict("records"):
        found = study.pictures.get(str(row["image_id"]))
        if found is not None:
            task = row.get("task")
            words = "map" if task is None or pd.isna(task) else spoken(task)
            pictures.append(
                image_picture(
                    found,
                    alt=f"What the network looked at: {words}.",
                    caption=f"{words}: bright moved the grade most",
                )
            )
    return pictures


def side_table(measures: pd.DataFrame | None, patient: str) -> pd.DataFrame:
    """Return right, left and their difference for what matters in each movement.

    Parameters
    ----------
    measures
        `measures.csv` with the manifest's columns.
    patient
        Value of `patient_id`.
    """
    if measures is None or not {"patient_id", "task"} <= set(measures.columns):
        return pd.DataFrame()
    by_name = {entry.name: entry for entry in MEASURES}
    rows = []
    own = measures[(measures["patient_id"].astype(str) == patient) & (measures["status"] == "ok")]
    for row in own.to_dict("records"):
        for name in MEASURES_BY_TASK.get(str(row["task"]), ()):
            rows.append(_side_row(row, by_name[name]))
    return pd.DataFrame([row for row in rows if row is not None])


def _side_row(row: Mapping[Hashable, object], measure: Measure) -> dict[str, object] | None:
    right, left = (float(str(row[f"{measure.name}_{side}"])) for side in ("right", "left"))
    if not np.isfinite([right, left]).all():
        return None
    unit = str(row["unit"]) if measure.is_length else "°"
    return {
        "Movement": spoken(row["task"]),
        "Measure": f"{measure.title}, {unit}",
        "Right": right,
        "Left": left,
        "Difference": right - left,
    }


def map_images(manifest: pd.DataFrame, tasks: Sequence[str] = MAP_TASKS) -> list[str]:
    """Return the photographs whose maps the pages show; all where movements are not named."""
    if "task" not in manifest.columns or not manifest["task"].isin(tasks).any():
        first = manifest.groupby("patient_id", sort=False)["image_id"].head(len(tasks))
        return [str(name) for name in first]
    return [str(name) for name in manifest.loc[manifest["task"].isin(tasks), "image_id"]]
