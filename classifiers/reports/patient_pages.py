"""A page for each patient: photographs with their points, the answers, and right beside left.

Comes from the tables of `extract` and from predictions; goes to the reports of `benchmark` and
`grade`. Redacted pages hold no photograph, no file name and no name of a patient: only the points,
drawn, and a number for each patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from classifiers.graders.cohort import Study
from classifiers.graders.registry import GRADERS
from classifiers.reports.side_readings import (
    Reading,
    Spread,
    length_unit,
    most_uneven,
    movement_table,
    side_readings,
    side_spread,
)
from common.errors import PhotoError
from common.files import natural_key
from common.grading.evaluation import Evaluation
from common.photos import Photo, read_photo
from common.report import Picture, Report, Section, image_picture
from common.tables import GRADES, severities
from common.words import spoken
from landmarks.overlay import draw_overlay
from landmarks.tables import points_of

TELLING = ("full_smile", "big_smile", "smile", "rest")  # what stands for a patient, first first
FACE = 120  # px of the picture that stands for a patient
THUMBNAIL = 190  # px of the longer side; never more than 200
_BACKGROUND = (38, 44, 52)  # of drawn faces; the points of the midline are white
_DRAWN_AT = 3  # times the size of a thumbnail, so that lines stay smooth
_MARGIN = 0.22  # around the points, as a share of their extent


@dataclass(frozen=True)
class Material:
    """What is known of the photographs, for all patients.

    Attributes
    ----------
    dists
        `dists.csv` with the manifest's columns.
    landmarks
        The landmark table; None when it does not lie beside the features.
    paths
        `image_id` to the photograph; empty without a manifest.
    unit
        Of the distances.
    """

    dists: pd.DataFrame
    landmarks: pd.DataFrame | None
    paths: Mapping[str, Path]
    unit: str = "px"

    @property
    def patients(self) -> list[str]:
        """Names in natural order; the position, from 1, is the number on redacted pages."""
        return sorted(set(self.dists["patient_id"].dropna().astype(str)), key=natural_key)

    def points_of(self, image_ids: Iterable[object]) -> dict[str, NDArray[np.float64]]:
        """Return the `(68, 2)` points of those photographs that have them, px of the original."""
        if self.landmarks is None:
            return {}
        table = self.landmarks
        found = table[table["image_id"].isin(list(image_ids)) & (table["status"] == "ok")]
        return dict(zip(found["image_id"].astype(str), points_of(found), strict=True))

    def readings(self, patient: str) -> list[Reading]:
        """Return right and left of one patient."""
        rows = self.dists[self.dists["patient_id"] == patient]
        return side_readings(rows, landmarks=self.landmarks, unit=self.unit)

    @cached_property
    def healthy_readings(self) -> dict[str, list[Reading]]:
        """Right and left of each healthy patient (grade I) of these tables."""
        healthy = self.dists.loc[severities(self.dists) == GRADES[0], "patient_id"].dropna()
        return {str(name): self.readings(str(name)) for name in healthy.unique()}

    def healthy_spread(self, *, without: str | None = None) -> dict[tuple[str, str], Spread]:
        """Return how uneven the healthy patients of these tables are.

        Parameters
        ----------
        without
            A patient who is to be held against the others, and is therefore not one of them.
        """
        people = self.healthy_readings.items()
        return side_spread(readings for name, readings in people if name != without)


@dataclass(frozen=True)
class Answer:
    """What is said on a patient's page beside the photographs.

    Attributes
    ----------
    summary
        Sentences, the answer first.
    table
        Answers and probabilities; None for none.
    reasons
        Sentences on what drove the answer, shown below the sides.
    """

    summary: Sequence[str]
    table: pd.DataFrame | None = None
    reasons: Sequence[str] = ()


def read_material(study: Study) -> Material | None:
    """Return what is known of a study's photographs; None without distances or patients."""
    dists, listed = study.dists, study.listed
    if dists is None or "patient_id" not in dists.columns:
        return None
    paths = (
        {}
        if listed is None
        else dict(zip(listed["image_id"], map(Path, listed["path"]), strict=True))
    )
    return Material(dists, study.landmarks, paths, unit=length_unit(study.features.parent))


def add_patient_pages(
    report: Report,
    material: Material,
    *,
    answers: Mapping[str, Answer],
    reference: Mapping[tuple[str, str], Spread] | None = None,
    redact: bool = False,
) -> None:
    """Add a page for each patient of `answers`, in natural order.

    Parameters
    ----------
    reference
        How uneven healthy faces are; when not given, as the healthy patients of `material` are
        beside whoever is looked at.
    redact
        Draw the points in place of the photographs, and number the patients.
    """
    section = report.section("Patients, one by one")
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
    for number, patient in enumerate(material.patients, start=1):
        if patient in answers:
            name = f"Patient {number}" if redact else f"Patient {patient}"
            page = report.section(name, one_of_many=True, anchor=anchor_of(number))
            spread = material.healthy_spread(without=patient) if reference is None else reference
            _fill(page, material, patient, answer=answers[patient], spread=spread, redact=redact)


def anchor_of(number: int) -> str:
    """Return the name of a patient's page for links; it does not tell who it is."""
    return f"patient-{number}"


def _fill(
    page: Section,
    material: Material,
    patient: str,
    *,
    answer: Answer,
    spread: Mapping[tuple[str, str], Spread],
    redact: bool,
) -> None:
    page.text(" ".join(answer.summary))
    if answer.table is not None:
        page.table(answer.table)
    page.gallery(patient_pictures(material, patient, redact=redact))
    readings = material.readings(patient)
    sides = movement_table(readings)
    if len(sides):
        page.table(sides, caption="How far each side moves, in percent of the one that moves more.")
    uneven = most_uneven(readings, reference=spread or None)
    for item in uneven:
        page.text(item.sentence())
    if not readings:
        page.text(
            "Right and left are not compared: the movements are not named, or there is no "
            "photograph at rest."
        )
    elif not uneven:
        page.text("No difference between the sides is larger than healthy people have.")
    if answer.reasons:
        page.text(" ".join(answer.reasons))


def face_of(material: Material, patient: str, *, redact: bool) -> Picture | None:
    """Return the one picture that stands for a patient, small: smiling, else at rest, else any."""
    rows = material.dists[(material.dists["patient_id"] == patient)]
    usable = rows[rows["status"] == "ok"]
    if "task" in usable.columns:
        for task in TELLING:
            if (usable["task"] == task).any():
                usable = usable[usable["task"] == task]
                break
    for image_id in usable["image_id"].astype(str):
        path = None if redact else material.paths.get(image_id)
        points = material.points_of([image_id]).get(image_id)
        made = face_thumbnail(
            None if path is None else read_small(path), points, size=FACE, overlay=False
        )
        if made is not None:
            return image_picture(made, alt="The points, drawn." if redact else "The patient.")
    return None


def patient_pictures(
    material: Material, patient: str, *, redact: bool, tasks: Sequence[str] | None = None
) -> list[Picture]:
    """Return the patient's thumbnails in the order of the table.

    A photograph that was not measured, or cannot be read any more, says so in its caption; one
    without points and without a file has no picture.

    Parameters
    ----------
    redact
        Draw the points in place of the photographs.
    tasks
        Movements to show; all when not given.
    """
    rows = material.dists[material.dists["patient_id"] == patient]
    if tasks is not None:
        rows = rows[rows["task"].isin(tasks)]
    points = material.points_of(rows["image_id"])
    pictures = []
    for number, row in enumerate(rows.to_dict("records"), start=1):
        image_id, status = str(row["image_id"]), str(row["status"])
        task = row.get("task")
        words = f"photograph {number}" if pd.isna(task) else spoken(task)
        caption = words if status == "ok" else f"{words}: {spoken(status)}"
        path = None if redact else material.paths.get(image_id)
        photo = None if path is None else read_small(path)
        if path is not None and photo is None:
            caption += ", the photograph cannot be read any more"
        made = face_thumbnail(photo, points.get(image_id))
        if made is not None:
            pictures.append(image_picture(made, alt=caption, caption=caption))
    return pictures


def read_small(path: Path) -> Photo | None:
    """Read a photograph small; None when it cannot be read."""
    try:
        return read_photo(path, min_side=2 * THUMBNAIL)
    except PhotoError:
        return None


def face_thumbnail(
    photo: Photo | None,
    points: NDArray[np.float64] | None,
    *,
    size: int = THUMBNAIL,
    overlay: bool = True,
) -> NDArray[np.uint8] | None:
    """Return the face cut out with its points, or the points drawn on a plain ground.

    Parameters
    ----------
    photo
        As read; None draws the points alone.
    points
        `(68, 2)` px of the original photograph; None shows the whole photograph.
    size
        Longer side of the picture in px.
    overlay
        Whether the points are drawn into the photograph, or only tell where the face is.

    Returns
    -------
    RGB uint8, `size` px at most; None when there is neither a photograph nor points.
    """
    import cv2

    pixels: NDArray[np.uint8] | None = None
    if photo is not None:
        pixels = photo.pixels
        points = None if points is None else photo.from_original(points)
    if points is None:
        return None if pixels is None else _reduced(pixels, size=size)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = _MARGIN * float((high - low).max())
    side = float((high - low).max()) + 2 * margin
    corner = (low + high) / 2 - side / 2
    drawn_at = size * _DRAWN_AT
    scale = drawn_at / side
    shift = -corner * scale
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    if pixels is None:
        canvas = np.full((drawn_at, drawn_at, 3), _BACKGROUND, dtype=np.uint8)
    else:
        canvas = cv2.warpAffine(
            pixels, matrix, (drawn_at, drawn_at), flags=cv2.INTER_LINEAR, borderValue=_BACKGROUND
        ).astype(np.uint8)
    if pixels is None or overlay:
        canvas = draw_overlay(canvas, points * scale + shift, legend=False)
    return _reduced(canvas, size=size)


def _reduced(pixels: NDArray[np.uint8], *, size: int) -> NDArray[np.uint8]:
    """Return the picture with its longer side at `size` px at most."""
    import cv2

    height, width = pixels.shape[:2]
    factor = size / max(height, width)
    if factor >= 1:
        return pixels
    reduced_to = (max(1, round(width * factor)), max(1, round(height * factor)))
    reduced: NDArray[np.uint8] = cv2.resize(pixels, reduced_to, interpolation=cv2.INTER_AREA)
    return reduced


def add_benchmark_pages(
    report: Report, material: Material | None, *, evaluation: Evaluation, redact: bool = False
) -> None:
    """Add the pages of a cross-validation; a sentence in their place without distances."""
    if material is None:
        report.section("Patients, one by one").text(
            "There are no pages of patients, because dists.csv does not lie beside the features."
        )
        return
    target = evaluation.target
    titles = {
        name: GRADERS[name].title
        for name in evaluation.estimates
        if name in GRADERS and not GRADERS[name].baseline
    }
    answers = answers_of(
        evaluation.predictions,
        columns=target.probability_columns,
        truth=target.column,
        title_of=titles,
    )
    add_patient_pages(report, material, answers=answers, redact=redact)


def answers_of(
    predictions: pd.DataFrame, *, columns: Sequence[str], truth: str, title_of: Mapping[str, str]
) -> dict[str, Answer]:
    """Return what each grader answered for each patient of a benchmark.

    Parameters
    ----------
    predictions
        One row per patient, repeat and model, by `predictions_schema(unit="patient")`.
    columns
        Its probability columns.
    truth
        Its column of the reference.
    title_of
        From the name of a model to its title; other models are left out.
    """
    shown = predictions[predictions["model"].isin(title_of)]
    found: dict[str, Answer] = {}
    for patient, rows in shown.groupby("patient_id", sort=False):
        table = []
        for model, of_model in rows.groupby("model", sort=False):
            given = of_model["predicted"].astype(str).value_counts()
            times = f"\n{given.iloc[0]} of {given.sum()} repeats" if given.sum() > 1 else ""
            chances = of_model[list(columns)].mean()
            table.append(
                {
                    "Grader": title_of[str(model)],
                    "Answer": f"{given.index[0]}{times}",
                    **{name.removeprefix("p_"): float(chances[name]) for name in columns},
                }
            )
        reference = ", ".join(dict.fromkeys(rows[truth].astype(str)))
        found[str(patient)] = Answer(
            summary=(
                f"Reference: {reference}.",
                "Answers of graders that never saw the patient, with their probabilities.",
            ),
            table=pd.DataFrame(table),
        )
    return found
