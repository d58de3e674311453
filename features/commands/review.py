"""The command `review`: correct points in the browser, then measure again."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError
from common.files import claimed
from common.photos import list_photos
from common.tables import read_manifest, read_table
from common.words import counted
from features.commands.features import FeatureTables, measure_corrected
from features.definitions import measure
from features.measures import MEASURES, SIDES, measure_faces
from features.registry import FEATURES
from features.tables import FEATURES_FILE, definition_of, patients_beside
from landmarks.find.iris import Irises
from landmarks.points import N_POINTS
from landmarks.predictor import find_predictor
from landmarks.review.corrections import (
    Journal,
    corrections_of,
    of_these_photographs,
    photographs_of,
)
from landmarks.review.face import spreads_beside
from landmarks.review.marks import irises_of
from landmarks.review.server import serve
from landmarks.review.session import Session
from landmarks.scale import mm_per_px_of
from landmarks.tables import LANDMARKS, LANDMARKS_FILE, irises_beside


@dataclass(frozen=True)
class Review:
    """What a review left: photographs corrected and called unmeasurable, and the new tables."""

    corrected: int
    unmeasurable: int
    tables: FeatureTables | None = None


def review(
    tables: Path,
    *,
    photos: Path,
    out: Path | None = None,
    rater: str | None = None,
    predictor: str = "ibug",
    browser: bool = True,
    minutes: float = 5.0,
) -> Review:
    """Correct points in the browser, the most uncertain photographs first, and measure again.

    A page is served on this machine alone. Drag a point, or nudge it with the arrow keys; every
    change is kept at once in corrections.csv beside the landmark table, which itself stays as the
    model drew it. When the page has been closed, or on Ctrl-C, OUT gets landmarks.csv with the
    corrected points, dists.csv, features.csv and measures.csv. A later review goes on where this
    one ended.

    Parameters
    ----------
    tables
        Folder that extract has written.
    photos
        The folder, or the manifest (.csv), that extract was given.
    out
        Folder for the tables measured again; TABLES/corrected when not given.
    rater
        Name or sign of who corrects. Each has corrections of their own (corrections-RATER.csv, and
        TABLES/corrected-RATER) and does not see those of others, so that raters can be compared.
    predictor
        Landmark model for the points of a box that is drawn by hand.
    browser
        Open the browser; without it the address is printed.
    minutes
        The review ends when its page has been closed for this long.
    """
    if minutes <= 0:
        raise UserError(f"--minutes is {minutes:g}: give more than 0.")
    path = tables / LANDMARKS_FILE
    corrections = corrections_of(tables, rater)
    with claimed(corrections, is_file=True):
        table = read_table(path, schema=LANDMARKS)
        paths, patients = _photographs(photos, table, tables=tables)
        journal = Journal(corrections, rater=rater, photographs=photographs_of(table))
        for line in of_these_photographs(journal.rows, table, path=corrections).warnings():
            print(f"warning: {line}", file=sys.stderr)
        session = Session(
            table,
            table_path=path,
            paths=paths,
            journal=journal,
            spreads=spreads_beside(path),
            irises=irises_beside(path),
            patients=patients,
            predictor=find_predictor(predictor),
        )
        definition = definition_of(tables / FEATURES_FILE) or "standard"
        with suppress(KeyboardInterrupt):  # the usual end: nothing is lost
            serve(
                session,
                measure=lambda marks: _measured(marks, definition=definition),
                browser=browser,
                idle_s=60.0 * minutes,
                announce=lambda line: print(f"{line}\nCtrl-C here ends it.", flush=True),
            )
    unmeasurable = sum(face.judged == "unmeasurable" for face in session.faces)
    changed = session.n_corrected or unmeasurable
    print(
        f"{counted(session.n_corrected, 'photograph')} of {len(session.faces)} corrected, "
        f"{unmeasurable} called unmeasurable."
        + ("" if changed else " Nothing is to be measured again.")
    )
    measured = None
    if changed:
        measured = measure_corrected(corrections, out=out)
    return Review(session.n_corrected, unmeasurable, measured)


def _photographs(
    photos: Path, table: pd.DataFrame, *, tables: Path
) -> tuple[dict[str, Path], dict[str, str]]:
    """Return path and patient of each photograph of the table, by `image_id`."""
    patients: dict[str, str] = {}
    if photos.is_file():
        manifest = read_manifest(photos)
        paths = {k: Path(v) for k, v in zip(manifest["image_id"], manifest["path"], strict=True)}
        patients = dict(zip(manifest["image_id"], manifest["patient_id"], strict=True))
    else:
        paths = dict(list_photos(photos).photos)
        patients = patients_beside(tables / LANDMARKS_FILE)
    missing = [image_id for image_id in table["image_id"] if image_id not in paths]
    if missing:
        raise UserError(
            f"{photos} does not hold {counted(len(missing), 'photograph')} of "
            f"{tables / LANDMARKS_FILE} (such as {missing[0]}): give the folder or the manifest "
            "that extract was given."
        )
    return paths, patients


def _measured(marks: NDArray[np.float64], *, definition: str) -> dict[str, Any]:
    """Measure `(72, 2)` px for the page: clinical measures of both sides, and the features."""
    one, irises = marks[None, :N_POINTS], irises_of(marks, Irises())
    taken, mm_per_px = measure_faces(one, [irises]).values, mm_per_px_of(irises)
    measures = []
    for entry in MEASURES:
        right, left = (float(taken[entry.name][side][0]) for side in SIDES)
        measures.append(
            {
                "title": entry.title,
                "right": _plain(right),
                "left": _plain(left),
                "difference": _plain(right - left),
            }
        )
    values = measure(one, definition=definition).features.iloc[0]
    return {
        "unit": "px and degrees" + (f", {mm_per_px:.3f} mm per px" if mm_per_px > 0 else ""),
        "measures": measures,
        "features": [
            {"name": entry.name, "title": entry.meaning, "value": _plain(float(values[entry.name]))}
            for entry in FEATURES
        ],
    }


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None
