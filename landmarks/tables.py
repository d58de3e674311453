"""The tables of points, of their spreads and of irises: one row per photograph, always."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.provenance import read_run_record
from common.tables import (
    OTHERS_AS_TEXT,
    STATUSES,
    choice,
    number,
    read_table,
    sort_by_image_id,
    text,
)
from common.words import counted
from landmarks.find.iris import IRIS_STATUSES, Iris, Irises
from landmarks.plausibility import implausible
from landmarks.points import N_POINTS, POINT_COLUMNS

LANDMARKS_FILE, IRISES_FILE = "landmarks.csv", "irises.csv"
OtherTool = Literal["pts", "imglab", "cvat", "coco", "emotrics", "openface", "mediapipe"]
"""Formats of other tools whose points are read: `landmarks.exchange.formats`."""
POINTS_FROM = ("model", "corrected", *get_args(OtherTool))
BOX_COLUMNS = ("box_left", "box_top", "box_right", "box_bottom")
LIGHT_COLUMNS = ("brightness", "sharpness")
QUALITY_COLUMNS = (
    "detector_score", *BOX_COLUMNS, "tilt_deg", "spread_px", *LIGHT_COLUMNS, "mm_per_px"
)  # fmt: skip


def points_source_columns() -> dict[str, pa.Column]:
    """Return the columns that say whose points a row was made from; features carry them too."""
    return {
        "points_from": choice(POINTS_FROM, nullable=True, required=False),
        "points_moved": pa.Column("Int64", nullable=True, coerce=True, required=False),
    }


def frame_columns() -> dict[str, pa.Column]:
    """Return the columns that rows of films have beyond those of photographs."""
    return {
        "film": text(nullable=True, required=False),
        "frame": pa.Column("Int64", nullable=True, coerce=True, required=False),
        "time_s": number(required=False),
    }


LANDMARKS = pa.DataFrameSchema(
    {
        "image_id": text(unique=True),
        "status": choice(STATUSES),
        "reason": text(nullable=True, required=False),
        "n_faces": pa.Column("Int64", nullable=True, coerce=True, required=False),
        "detector": text(nullable=True, required=False),
        **points_source_columns(),
        **{name: number(required=False) for name in QUALITY_COLUMNS},
        "photo_sha256": text(nullable=True, required=False),
        **frame_columns(),
        **{name: number() for name in POINT_COLUMNS},
    },
    name="landmarks",
    metadata=OTHERS_AS_TEXT,
)
"""`landmarks.csv`. px of the original photograph after EXIF rotation; points are NaN unless `ok`.

`detector` is the one that found the face. `detector_score` is comparable within one detector
only. `spread_px` is the mean length of the spreads in `spreads.csv`.
`points_from` says whether the model's points stand as they are, somebody moved one (`review`), or
which other tool they are from; `points_moved` how many were moved. `photo_sha256` is of the
photograph's file, so that corrections are never taken for those of another.
Rows of a film are its frames: `film` is its path, `frame` counts from 0, `time_s` is the
container's time stamp; a table of photographs alone has none of the three. Where a face was
followed and not detected, `detector` is `tracked`, `n_faces` and `detector_score` are empty.
`spread_px` and `mm_per_px` stay empty until augmentation or a scale is asked for.
"""

SPREAD_COLUMNS = tuple(f"spread_{name}" for name in POINT_COLUMNS)

SPREADS = pa.DataFrameSchema(
    {
        "image_id": text(unique=True),
        "status": choice(STATUSES),
        "copies": pa.Column(int),
        "copies_failed": pa.Column(int),
        "halves_share": number(required=False),
        **{name: number() for name in SPREAD_COLUMNS},
    },
    name="spreads",
)
"""`spreads.csv`, written with test-time augmentation: copies made, copies without a face, and the
spread of each point over the others in x and y, px (median absolute deviation times 1.4826)."""


POINT_AGREEMENT = pa.DataFrameSchema(
    {
        "point": pa.Column(int),
        "region": text(),
        "photographs": pa.Column(int),
        **{name: number() for name in ("mean", "median", "p95", "bias_x", "bias_y")},
    },
    name="agreement of points",
)
"""`agreement_points.csv`: distance between both raters' points, percent of the outer-eye distance;
bias is B minus A."""


SIDES = ("right", "left")
_NUMBERS = ("x", "y", "radius", "strength")

IRISES = pa.DataFrameSchema(
    {
        "image_id": text(unique=True),
        **{
            f"{side}_{name}": column
            for side in SIDES
            for name, column in (
                ("status", choice(IRIS_STATUSES)),
                ("reason", text(nullable=True, required=False)),
                ("x", number()),
                ("y", number()),
                ("radius", number()),
                ("strength", number(required=False)),
            )
        },
    },
    name="irises",
)
"""`irises.csv`: px of the photograph, sides are the patient's; NaN unless that eye is `ok`."""


def read_landmarks(path: Path) -> pd.DataFrame:
    """Read a landmark table, perhaps corrected by hand; slips are `with_slips_failed`."""
    return with_slips_failed(read_table(path, schema=LANDMARKS))


def with_slips_failed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with status `failed` and a reason where points of an `ok` row are no face.

    A point may be missing, or lie where none can (see `landmarks.plausibility`). Such rows have no
    points in what is returned; the batch goes on without them.
    """
    ok = (table["status"] == "ok").to_numpy(dtype=bool)
    points = points_of(table)
    reasons = np.full(len(table), "", dtype=object)
    reasons[ok] = implausible(points[ok])
    for row in np.flatnonzero(ok & ~np.isfinite(points).all(axis=(1, 2))).tolist():
        column = POINT_COLUMNS[int(np.flatnonzero(~np.isfinite(points[row].ravel()))[0])]
        reasons[row] = f"{column} is empty or no number: a face needs all 68 points."
    bad = reasons != ""
    if not bad.any():
        return table
    checked = table.copy()
    if "reason" not in checked:
        checked.insert(2, "reason", None)
    checked.loc[bad, "status"] = "failed"
    checked["reason"] = pd.Series(
        np.where(bad, reasons, checked["reason"]), index=table.index, dtype="str"
    )
    checked.loc[bad, list(POINT_COLUMNS)] = np.nan
    return checked


@dataclass(frozen=True)
class PointsSource:
    """How many of the measured photographs of a table have points corrected by hand."""

    photographs: int  # with status `ok`
    # of them, those with a moved point; and all moved points
    corrected: int
    points: int

    def sentence(self) -> str:
        """Return one line that says what a result was made from; empty without corrections."""
        if not self.corrected:
            return ""
        return (
            f"{self.corrected} of {counted(self.photographs, 'photograph')} with corrected points "
            f"({counted(self.points, 'point')})."
        )

    def added_to(self, text: str) -> str:
        """Return a text with the sentence at its end, where there is one."""
        return " ".join(filter(None, (text, self.sentence())))

    def counts(self) -> dict[str, int]:
        """Return the counts for `run.json`."""
        return {
            "photographs_with_points": self.photographs,
            "photographs_corrected": self.corrected,
            "points_corrected": self.points,
        }


def points_source(table: pd.DataFrame) -> PointsSource:
    """Count the corrections in a table of landmarks or features; every report says them with it."""
    ok = table[table["status"] == "ok"]
    if "points_from" not in ok:  # nobody corrected anything
        return PointsSource(len(ok), 0, 0)
    moved = ok.get("points_moved", pd.Series(0, index=ok.index)).fillna(0)
    return PointsSource(len(ok), int((ok["points_from"] == "corrected").sum()), int(moved.sum()))


def points_source_of_run(folder: Path) -> PointsSource | None:
    """Return what a command recorded of the points behind its tables in FOLDER; None if nothing."""
    counts = (read_run_record(folder) or {}).get("counts")
    names = list(PointsSource(0, 0, 0).counts())
    if not isinstance(counts, dict) or not all(isinstance(counts.get(n), int) for n in names):
        return None
    return PointsSource(*(counts[name] for name in names))


def failure_lines(table: pd.DataFrame) -> list[str]:
    """Return `status: image_id: reason` of each row that is not `ok`, for a terminal or a log."""
    failed = table[table["status"] != "ok"]
    reasons = failed["reason"] if "reason" in failed else pd.Series(None, index=failed.index)
    return [
        f"{status}: {image_id}" + ("" if pd.isna(reason) else f": {reason}")
        for image_id, status, reason in zip(
            failed["image_id"], failed["status"], reasons, strict=True
        )
    ]


def points_of(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return a copy of a landmark table's points, `(n, 68, 2)` float64 px; NaN where none are."""
    values = table[list(POINT_COLUMNS)].to_numpy(dtype=np.float64, copy=True)
    return values.reshape(len(table), N_POINTS, 2)


def iris_table(found: Mapping[str, Irises]) -> pd.DataFrame:
    """Return the table of irises by `image_id`, in natural order."""
    rows = [
        {"image_id": image_id}
        | {
            f"{side}_{name}": None if value == "" else value
            for side, iris in asdict(irises).items()
            for name, value in iris.items()
        }
        for image_id, irises in found.items()
    ]
    if not rows:
        return pd.DataFrame({name: [] for name in IRISES.columns})
    texts = {f"{side}_{name}": "str" for side in SIDES for name in ("status", "reason")}
    return sort_by_image_id(pd.DataFrame(rows).astype(texts))


def read_irises(path: Path) -> dict[str, Irises]:
    """Read `irises.csv`, perhaps corrected by hand, as irises by `image_id`.

    A radius and centre typed in by hand count as soon as that eye's status is `ok`.
    """
    table = read_table(path, schema=IRISES)
    return {
        str(row["image_id"]): Irises(*(_iris(row, side) for side in SIDES))
        for row in table.to_dict("records")
    }


def irises_beside(landmarks: Path) -> dict[str, Irises]:
    """Read the irises that lie beside a landmark table; none where none were looked for."""
    path = landmarks.with_name(IRISES_FILE)
    return read_irises(path) if path.is_file() else {}


def _iris(row: Mapping[Hashable, Any], side: str) -> Iris:
    reason = row.get(f"{side}_reason")
    return Iris(
        status=row[f"{side}_status"],
        reason=reason if isinstance(reason, str) else "",
        **{name: float(row.get(f"{side}_{name}", np.nan)) for name in _NUMBERS},
    )
