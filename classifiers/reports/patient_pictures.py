"""What is known of each patient's photographs, and the small pictures that reports show of them.

Comes from the tables of `extract`. Redacted pictures hold nothing of a photograph: only the points,
drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from classifiers.graders.cohort import Study
from classifiers.reports.side_readings import (
    Reading,
    Spread,
    length_unit,
    side_readings,
    side_spread,
)
from common.arrays import Places
from common.errors import PhotoError
from common.files import natural_key
from common.photos import Photo, read_photo
from common.report import Picture, image_picture
from common.tables import GRADES, severities
from common.words import spoken
from features.scales.sides import Readings, read_sides
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

    `dists` and `measures` with the manifest's columns and the landmark table, None where they do
    not lie beside the features; `paths` from `image_id` to the photograph, empty without a
    manifest; `unit` of the distances.
    """

    dists: pd.DataFrame
    landmarks: pd.DataFrame | None
    paths: Mapping[str, Path]
    unit: str = "px"
    measures: pd.DataFrame | None = None

    @cached_property
    def patients(self) -> dict[str, int]:
        """Names in natural order, with the number from 1 that stands for them when redacted."""
        return numbers_of(self.dists["patient_id"].dropna())

    @cached_property
    def _places(self) -> dict[str, Places]:
        """Row numbers in `dists` of each patient: looking through all rows for each is slow."""
        groups = self.dists.groupby("patient_id").indices
        return {str(name): np.asarray(at, dtype=np.intp) for name, at in groups.items()}

    @cached_property
    def _photographs(self) -> pd.Index:
        return pd.Index([] if self.landmarks is None else self.landmarks["image_id"])

    def rows_of(self, patient: str) -> pd.DataFrame:
        """Return the rows of `dists` of one patient."""
        return self.dists.iloc[self._places.get(patient, [])]

    def landmarks_of(self, image_ids: Iterable[object]) -> pd.DataFrame | None:
        """Return the rows of the landmark table of these photographs; None without a table."""
        if self.landmarks is None:
            return None
        at = self._photographs.get_indexer(pd.Index(list(image_ids)))
        return self.landmarks.iloc[np.sort(at[at >= 0])]

    def points_of(self, image_ids: Iterable[object]) -> dict[str, NDArray[np.float64]]:
        """Return the `(68, 2)` points of those photographs that have them, px of the original."""
        table = self.landmarks_of(image_ids)
        if table is None:
            return {}
        found = table[table["status"] == "ok"]
        return dict(zip(found["image_id"].astype(str), points_of(found), strict=True))

    def readings(self, patient: str) -> list[Reading]:
        """Return right and left of one patient."""
        rows = self.rows_of(patient)
        return side_readings(rows, landmarks=self.landmarks_of(rows["image_id"]), unit=self.unit)

    @cached_property
    def sides(self) -> Readings | None:
        """Movements of everybody's sides from rest; None without points, patients or movements."""
        if self.landmarks is None or not {"patient_id", "task"} <= set(self.dists.columns):
            return None
        known = self.dists[self.dists["patient_id"].notna() & self.dists["task"].notna()]
        return read_sides(self.landmarks, known, source="the tables") if len(known) else None

    @cached_property
    def healthy_readings(self) -> dict[str, list[Reading]]:
        """Right and left of each healthy patient (grade I) of these tables."""
        healthy = self.dists.loc[severities(self.dists) == GRADES[0], "patient_id"].dropna()
        return {str(name): self.readings(str(name)) for name in healthy.unique()}

    def healthy_spread(self, *, without: str | None = None) -> dict[tuple[str, str], Spread]:
        """Return how uneven the healthy patients of these tables are.

        Whoever is held against the others (`without`) is not one of them.
        """
        people = self.healthy_readings.items()
        return side_spread(readings for name, readings in people if name != without)


def numbers_of(patients: Iterable[object]) -> dict[str, int]:
    """Return the number from 1, in natural order, that stands for each patient when redacted."""
    names = sorted({str(name) for name in patients}, key=natural_key)
    return {name: number for number, name in enumerate(names, start=1)}


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
    unit = length_unit(study.features.parent)
    return Material(dists, study.landmarks, paths, unit=unit, measures=study.measures)


def telling_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one patient's rows of the movement that stands for the patient; all when unnamed."""
    if "task" in rows.columns:
        for task in TELLING:
            if (rows["task"] == task).any():
                return rows[rows["task"] == task]
    return rows


def face_of(material: Material, patient: str, *, redact: bool) -> Picture | None:
    """Return the one picture that stands for a patient, small: smiling, else at rest, else any."""
    rows = material.rows_of(patient)
    for image_id in telling_rows(rows[rows["status"] == "ok"])["image_id"].astype(str):
        path = None if redact else material.paths.get(image_id)
        points = material.points_of([image_id]).get(image_id)
        photo = None if path is None else read_small(path)
        made = face_thumbnail(photo, points, size=FACE, overlay=False)
        if made is not None:
            return image_picture(made, alt="The points, drawn." if redact else "The patient.")
    return None


def patient_pictures(
    material: Material, patient: str, *, redact: bool, tasks: Sequence[str] | None = None
) -> list[Picture]:
    """Return the patient's thumbnails in the order of the table, of these movements only if given.

    A photograph that was not measured, or cannot be read any more, says so in its caption; one
    without points and without a file has no picture. Redacted, the points stand for it.
    """
    rows = material.rows_of(patient)
    if tasks is not None and "task" in rows.columns:
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

    RGB uint8, `size` px at most; None without photograph and points. `points` are `(68, 2)` px of
    the original photograph, without them all of it is shown; without `overlay` they only tell where
    the face is.
    """
    pixels = None if photo is None else photo.pixels
    if points is None:
        return None if pixels is None else _reduced(pixels, size=size)
    if photo is not None:
        points = photo.from_original(points)
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).max()) * (1 + 2 * _MARGIN)
    drawn_at = size * _DRAWN_AT
    scale = drawn_at / side
    shift = -((low + high) / 2 - side / 2) * scale
    if pixels is None:
        canvas = np.full((drawn_at, drawn_at, 3), _BACKGROUND, dtype=np.uint8)
    else:
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        canvas = cv2.warpAffine(
            pixels, matrix, (drawn_at, drawn_at), flags=cv2.INTER_LINEAR, borderValue=_BACKGROUND
        ).astype(np.uint8)
    if pixels is None or overlay:
        canvas = draw_overlay(canvas, points * scale + shift, legend=False)
    return _reduced(canvas, size=size)


def _reduced(pixels: NDArray[np.uint8], *, size: int) -> NDArray[np.uint8]:
    """Return the picture with its longer side at `size` px at most."""
    height, width = pixels.shape[:2]
    factor = size / max(height, width)
    if factor >= 1:
        return pixels
    reduced_to = (max(1, round(width * factor)), max(1, round(height * factor)))
    reduced: NDArray[np.uint8] = cv2.resize(pixels, reduced_to, interpolation=cv2.INTER_AREA)
    return reduced
