"""The page of a patient, the same in every report: photographs, answers, right beside left.

Redacted pages hold no photograph, no file name and no name of a patient: only the points, drawn,
and a number for each patient.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from classifiers.reports.patient_pictures import Material, patient_pictures
from classifiers.reports.side_readings import Spread, most_uneven, zone_table
from common.report import Link, Picture, Report, Section
from common.words import spoken
from features.measures import MEASURES, Measure

EVERYBODY, MOST_TELLING = 60, 30
"""Up to so many patients each has a page; of more, so many, which keeps a report below 5 MB."""
MEASURES_BY_TASK: dict[str, tuple[str, ...]] = {
    "rest": ("brow_height", "palpebral_fissure_height", "commissure_height"),
    "brow_raise": ("brow_height",),
    "full_eye_closure": ("palpebral_fissure_height",),
    "full_smile": ("commissure_excursion", "smile_angle", "dental_show"),
    "lip_pucker": ("commissure_excursion",),
    "lower_teeth": ("lower_lip_height",),
}
"""What a clinician looks at in each movement."""


@dataclass(frozen=True)
class Answer:
    """What is said on a patient's page beside the photographs.

    `summary`: sentences, the answer first. `table` and `caption`: answers and probabilities.
    `reasons`: sentences on what drove the answer, below the sides. `heading` stands behind the
    name; `maps` are what an image network looked at; `worth` is how much lower the answer would be
    with a part of the face as in healthy people (how much higher where `rises`, of a score whose
    high end is healthy).
    """

    summary: Sequence[str] = ()
    table: pd.DataFrame | None = None
    reasons: Sequence[str] = ()
    heading: str = ""
    caption: str = ""
    maps: Sequence[Picture] = ()
    worth: Mapping[str, float] | None = None
    rises: bool = False


def anchor_of(number: int) -> str:
    """Return the name of a patient's page for links; it does not tell who it is."""
    return f"patient-{number}"


def add_patient_pages(
    report: Report,
    material: Material,
    *,
    answers: Mapping[str, Answer],
    numbers: Mapping[str, int] | None = None,
    reference: Mapping[tuple[str, str], Spread] | None = None,
    redact: bool = False,
    overview: Sequence[Mapping[str, object]] = (),
    about: str = "",
) -> None:
    """Add a folded page for each patient of `answers`, behind a section that leads to them.

    `numbers` are by name of every patient, those of `material` when not given; `reference` is how
    uneven healthy faces are (the healthy patients of `material` beside whoever is looked at, when
    not given); `overview` has a row for each patient of `answers`, in their order, `about` what is
    to be known of it. Redacted, points are drawn and patients numbered.
    """
    numbers = material.patients if numbers is None else numbers
    shown = [patient for patient in numbers if patient in answers]
    links = {
        patient: Link(
            f"Patient {numbers[patient]}" if redact else patient, f"#{anchor_of(numbers[patient])}"
        )
        for patient in shown
    }
    section = report.section("Patients, one by one", anchor="patients")
    section.text(
        "The photographs are reduced and cut to the face. The patient's right is drawn in orange "
        "and stands on the left of an unmirrored photograph; the patient's left is blue. Changes "
        "are taken from the photograph at rest."
    )
    if redact:
        section.text(
            "Photographs are replaced by their drawn points, and patients are numbered in the "
            "natural order of their patient_id. Drawn points still carry the proportions of a face."
        )
    section.text(about)
    if overview:
        rows = zip(answers, overview, strict=True)
        section.table({"Patient": links[patient], **row} for patient, row in rows)
    else:
        section.links(links.values())
    for at, patient in enumerate(shown):
        answer, name = answers[patient], links[patient].words
        page = report.section(
            f"{name}: {answer.heading}" if answer.heading else name,
            one_of_many=True,
            folded=True,
            anchor=anchor_of(numbers[patient]),
        )
        around = {"previous": at - 1, "next": at + 1}
        page.links(
            [
                Link("all patients", "#patients"),
                *(
                    Link(word, links[shown[other]].target)
                    for word, other in around.items()
                    if 0 <= other < len(shown)
                ),
            ]
        )
        spread = material.healthy_spread(without=patient) if reference is None else reference
        patient_page(page, material, patient, answer=answer, spread=spread, redact=redact)


def patient_page(
    page: Section,
    material: Material,
    patient: str,
    *,
    answer: Answer,
    spread: Mapping[tuple[str, str], Spread],
    redact: bool,
) -> None:
    """Fill the page of one patient: the answers, photographs, maps, both sides, and reasons.

    `spread` is how uneven healthy faces are; empty when that is not known.
    """
    page.text(*answer.summary)
    if answer.table is not None:
        page.table(answer.table, caption=answer.caption)
    page.gallery(patient_pictures(material, patient, redact=redact))
    if answer.maps:
        page.subheading("What moved the network's grade")
        page.gallery(answer.maps)
    page.subheading("Right beside left")
    readings = material.readings(patient)
    measured, sides = side_table(material.measures, patient), material.sides
    moved = (
        pd.DataFrame()
        if sides is None
        else zone_table(sides, patient, worth=answer.worth, rises=answer.rises)
    )
    if len(moved):
        page.table(
            moved,
            caption="How far each side moves, zone by zone, in percent of the one that moves more"
            + ("." if answer.worth is None else
               f"; and how much {'higher' if answer.rises else 'lower'} the answer would be with "
               "that part of the face as in healthy people (smile and lips together)."),
            digits=1,
        )  # fmt: skip
    if len(measured):
        page.table(
            measured,
            caption="The patient's own right and left. Positive: right is larger.",
            digits=1,
        )
    uneven = most_uneven(readings, reference=spread or None)
    if not readings:
        page.text(
            "Right and left are not compared: the movements are not named, or there is no "
            "photograph at rest."
        )
    elif not uneven:
        page.text("No difference between the sides is larger than healthy people have.")
    elif spread:
        page.text("More uneven than in healthy people:")
    for item in uneven:
        page.text(item.sentence())
    page.text(*answer.reasons)


def side_table(measures: pd.DataFrame | None, patient: str) -> pd.DataFrame:
    """Return right, left and their difference for what matters in each movement of a patient.

    `measures` is `measures.csv` with the manifest's columns; empty where nothing is known.
    """
    if measures is None or not {"patient_id", "task"} <= set(measures.columns):
        return pd.DataFrame()
    by_name = {entry.name: entry for entry in MEASURES}
    own = measures[(measures["patient_id"].astype(str) == patient) & (measures["status"] == "ok")]
    rows = [
        _side_row(row, by_name[name])
        for row in own.to_dict("records")
        for name in MEASURES_BY_TASK.get(str(row["task"]), ())
    ]
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
