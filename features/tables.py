"""The tables of this package: `dists.csv`, `features.csv` and `measures.csv`; and whence they come.

With the palsied side known (the manifest's `side`), the differences of clinical measures are those
of the affected side to the healthy one. Without it nothing is guessed: those columns stay empty,
and the differences of right to left, which are always there, say in their name what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from common.errors import UserError
from common.files import found_table
from common.provenance import read_run_record
from common.tables import (
    OTHERS_AS_TEXT,
    STATUSES,
    choice,
    join_manifest,
    joined_columns,
    number,
    read_table,
    sort_by_image_id,
    text,
)
from features.definitions import DefinitionName, definition_named
from features.frames import FloatArray
from features.measures import MEASURES, SIDES, Measure, measure_faces
from features.registry import DISTANCE_NAMES, FEATURE_NAMES
from features.scales.sides import MOVED_COLUMNS, moved_from_rest
from landmarks.find.iris import Irises
from landmarks.scale import Unit, length_factors, no_scale_reason
from landmarks.tables import points_of, points_source_columns

DISTS_FILE, FEATURES_FILE, MEASURES_FILE = "dists.csv", "features.csv", "measures.csv"
UNITS = ("px", "mm", "box diagonal")
RIGHT_TO_LEFT = "right_minus_left"
TO_HEALTHY = "affected_minus_healthy"
_HEALTHY = {"right": "left", "left": "right"}  # of the affected side
_NO_SCALE = "This photograph has no scale: its row has no mm_per_px or no face box."
_NOTHING = 1e-9  # of the eye distance; a percentage of less is a percentage of nothing


def columns_of(measure: Measure) -> tuple[str, ...]:
    """Return the six columns of one measure."""
    return (
        *(f"{measure.name}_{side}" for side in SIDES),
        *(
            f"{measure.name}_{difference}{percent}"
            for difference in (RIGHT_TO_LEFT, TO_HEALTHY)
            for percent in ("", "_percent")
        ),
    )


MEASURE_COLUMNS: tuple[str, ...] = tuple(name for entry in MEASURES for name in columns_of(entry))
MEASURED_COLUMNS = (
    "unit", "frame", "healthy_side", "no_scale", *MEASURE_COLUMNS, *MOVED_COLUMNS
)  # fmt: skip
"""What a manifest joined behind never replaces."""


def _schema(name: str, columns: Mapping[str, pa.Column]) -> pa.DataFrameSchema:
    """One row per photograph; what a joined manifest adds behind keeps the manifest's types."""
    key = {
        "image_id": text(unique=True), "status": choice(STATUSES), **points_source_columns(),
    }  # fmt: skip
    return pa.DataFrameSchema(
        {**key, **columns, **joined_columns()}, name=name, metadata=OTHERS_AS_TEXT
    )


DISTS = _schema("distances", {name: number() for name in DISTANCE_NAMES})
"""`dists.csv`: the 34 distances, px; NaN unless `ok`."""

FEATURES = _schema("features", {name: number() for name in FEATURE_NAMES})
"""`features.csv`: `f0` to `f28`, units in the registry; NaN unless `ok`."""

MEASURES_SCHEMA = _schema(
    "measures",
    {
        "unit": choice(UNITS),
        **{name: text(nullable=True) for name in ("frame", "healthy_side", "no_scale")},
        **{name: number() for name in MEASURE_COLUMNS},
        "moved_unit": text(nullable=True, required=False),
        **{name: number(required=False) for name in MOVED_COLUMNS if name != "moved_unit"},
    },
)
"""`measures.csv`: lengths in `unit`, angles in degrees, percentages of the side compared with.

`frame` is `irises` or, where an iris was not found, `eye_corners`. `healthy_side` is empty where
the manifest does not name one palsied side. `no_scale` says why a photograph's lengths are missing.
`moved_…` is how far each side moved from the same patient's rest (`features.scales.sides`).
"""


def row_key(landmark_table: pd.DataFrame) -> pd.DataFrame:
    """Return what each of these tables begins with: photograph, status, and whose points it had."""
    names = ("image_id", "status", *points_source_columns())
    return landmark_table[[name for name in names if name in landmark_table]].copy()


def read_dists(path: Path) -> pd.DataFrame:
    """Read a table of distances."""
    return read_table(path, schema=DISTS)


def read_features(path: Path) -> pd.DataFrame:
    """Read a table of features; manifest columns joined behind them come along."""
    return read_table(path, schema=FEATURES)


def patients_beside(landmarks: Path) -> dict[str, str]:
    """Return the patient of each photograph that the features beside a landmark table name."""
    beside = landmarks.with_name(FEATURES_FILE)
    known = read_features(beside) if found_table(beside).is_file() else pd.DataFrame()
    if "patient_id" not in known:
        return {}
    named = known.dropna(subset=["patient_id"])
    return dict(zip(named["image_id"], named["patient_id"], strict=True))


def read_measures(path: Path) -> pd.DataFrame:
    """Read a table of measures; manifest columns joined behind them come along."""
    return read_table(path, schema=MEASURES_SCHEMA)


def definition_of(table: Path) -> DefinitionName | None:
    """Return the definition that `dists.csv` or `features.csv` was measured with.

    It is written in the `run.json` beside the table, under `notes`, `definition`. None when no
    `run.json` lies there or it names none (a table brought from elsewhere): then nobody knows, and
    nothing is guessed.

    UserError when `run.json` is damaged or names a definition that this version does not have.
    """
    name = _notes(read_run_record(table.parent)).get("definition")
    return None if name is None else definition_named(str(name)).name


def landmark_run_of(table: Path) -> dict[str, Any] | None:
    """Return the record of the run that found the points behind a table; it names the model.

    A run of `features` keeps it inside its own record, `notes`, `landmark_run`: where both write
    into one folder its record takes the other's place.
    """
    record = read_run_record(table.parent)
    if record is None or record.get("command") != "features":
        return record
    earlier = _notes(record).get("landmark_run")
    return earlier if isinstance(earlier, dict) else None


def _notes(record: dict[str, Any] | None) -> dict[str, Any]:
    notes = (record or {}).get("notes")
    return notes if isinstance(notes, dict) else {}


def refuse_other_definition(table: Path, *, found: str | None, learned: str | None) -> None:
    """Refuse a feature table of another definition than a model learned from.

    Where one of the two is not recorded, nobody knows and nothing is refused.
    """
    if learned and found and found != learned:
        raise UserError(
            f"{table} was measured with the feature definition {found} and the model learned from "
            f"{learned}: measure again with --definition {learned}."
        )


def measure_table(
    landmark_table: pd.DataFrame,
    *,
    unit: Unit = "px",
    irises: Mapping[str, Irises] | None = None,
    manifest: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Take the clinical measures of a landmark table: rows in natural order, `MEASURES_SCHEMA`.

    `landmark_table`: columns of `landmarks.tables.LANDMARKS`, px.
    `unit`: of the lengths; see `landmarks.scale.length_factors`.
    `irises`: by `image_id`, where they were looked for.
    `manifest`: its `side` tells the healthy side.
    """
    rows = sort_by_image_id(landmark_table)
    ok = (rows["status"] == "ok").to_numpy(dtype=bool)
    points = np.where(ok[:, np.newaxis, np.newaxis], points_of(rows), np.nan)
    ids = [str(image_id) for image_id in rows["image_id"]]
    pairs = [(irises or {}).get(image_id) for image_id in ids]
    measured = measure_faces(points, pairs)
    factors = length_factors(rows, unit=unit)
    healthy = _healthy_sides(ids, manifest)

    head = row_key(rows)
    # A face whose points are missing or fall together has no frame.
    head.loc[ok & np.array([not name for name in measured.faces.source]), "status"] = "failed"
    head["unit"] = unit
    head["frame"] = pd.array([name or None for name in measured.faces.source], dtype="str")
    head["healthy_side"] = pd.array(healthy, dtype="str")
    head["no_scale"] = pd.array(
        [
            ((pair and no_scale_reason(pair)) or _NO_SCALE) if good and not known else None
            for pair, good, known in zip(pairs, ok, np.isfinite(factors), strict=True)
        ],
        dtype="str",
    )
    smallest = _NOTHING * measured.faces.apart
    columns: dict[str, FloatArray] = {}
    for entry in MEASURES:
        by_side = measured.values[entry.name]
        factor = factors if entry.is_length else np.ones(len(rows))
        values = _differences(by_side["right"], by_side["left"], healthy, smallest=smallest)
        scaled = (v if "percent" in name else v * factor for name, v in values.items())
        columns |= dict(zip(columns_of(entry), scaled, strict=True))
    known = pd.DataFrame({"image_id": ids, "healthy_side": head["healthy_side"]})
    if manifest is not None:
        known = join_manifest(known, manifest, measured=["healthy_side"])
    moved = moved_from_rest(points, known)
    return pd.concat([head, pd.DataFrame(columns), moved], axis="columns")


def _differences(
    right: FloatArray, left: FloatArray, healthy: list[str | None], *, smallest: FloatArray
) -> dict[str, FloatArray]:
    """Both sides and their differences, in the order of `columns_of`."""

    def percent(part: FloatArray, whole: FloatArray) -> FloatArray:
        return np.divide(100 * part, np.where(whole > smallest, whole, np.nan))

    is_right = np.array([side == "right" for side in healthy])
    known = np.array([side is not None for side in healthy])
    good, bad = np.where(is_right, right, left), np.where(is_right, left, right)
    mean_size = (np.abs(right) + np.abs(left)) / 2
    return {
        "right": right,
        "left": left,
        RIGHT_TO_LEFT: right - left,
        f"{RIGHT_TO_LEFT}_percent": percent(right - left, mean_size),
        TO_HEALTHY: np.where(known, bad - good, np.nan),
        f"{TO_HEALTHY}_percent": np.where(known, percent(bad - good, np.abs(good)), np.nan),
    }


def _healthy_sides(ids: list[str], manifest: pd.DataFrame | None) -> list[str | None]:
    if manifest is None or "side" not in manifest:
        return [None] * len(ids)
    affected = dict(zip(manifest["image_id"], manifest["side"], strict=True))
    return [_HEALTHY.get(str(affected.get(image_id))) for image_id in ids]
