"""Folders of Emotrics files as landmark tables, and landmark tables as folders of such files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError
from common.photos import PHOTO_SUFFIXES
from common.tables import sort_by_image_id
from landmarks.exchange.emotrics import (
    EmotricsFile,
    is_landmark_file,
    read_emotrics,
    write_emotrics,
)
from landmarks.find.iris import Irises
from landmarks.points import POINT_COLUMNS, tilt_degrees
from landmarks.tables import BOX_COLUMNS, LANDMARKS, points_of

_NOT_KNOWN = ("n_faces", "detector", "detector_score")  # Emotrics does not write them
_COLUMNS = [name for name in LANDMARKS.columns if name not in _NOT_KNOWN]


def import_emotrics(source: Path) -> tuple[pd.DataFrame, dict[str, Irises]]:
    """Read a file or a folder of Emotrics files as a landmark table and irises by `image_id`.

    `image_id` is the path below the folder of the photograph beside the text file; where none
    lies there, that of the text file with the photograph's suffix it names, or `.jpg`. A file that
    cannot be read becomes a row with status `failed` and its reason; so does a face with points
    that were not placed.

    Raises
    ------
    UserError
        When there is no such file or folder, or it holds no landmark file.
    """
    folder = source if source.is_dir() else source.parent
    files = sorted(source.rglob("*.txt")) if source.is_dir() else [source]
    files = [file for file in files if not file.name.startswith(".") and is_landmark_file(file)]
    if not files:
        raise UserError(f"{source} holds no landmark file of Emotrics (.txt): check the path.")
    rows: list[dict[str, object]] = []
    irises: dict[str, Irises] = {}
    for file in files:
        try:
            found = read_emotrics(file)
        except UserError as error:
            image_id = _image_id(file, "", folder=folder)
            rows.append({"image_id": image_id, "status": "failed", "reason": str(error)})
            continue
        image_id = _image_id(file, found.photo, folder=folder)
        irises[image_id] = found.irises
        rows.append(_row(image_id, found))
    table = pd.DataFrame(rows).reindex(columns=_COLUMNS)
    floats = dict.fromkeys((*BOX_COLUMNS, "tilt_deg", *POINT_COLUMNS), "float64")
    return sort_by_image_id(table.astype({"reason": "str", **floats})), irises


def export_emotrics(
    landmark_table: pd.DataFrame,
    folder: Path,
    *,
    irises: Mapping[str, Irises] | None = None,
) -> int:
    """Write one Emotrics file for every photograph of a landmark table that is `ok`.

    Parameters
    ----------
    landmark_table
        Columns of `landmarks.tables.LANDMARKS`.
    folder
        Files go to `folder/IMAGE_ID` with the suffix `.txt`; put them beside the photographs.
    irises
        By `image_id`, from `landmarks.tables.read_irises`.

    Returns
    -------
    How many files were written.
    """
    ok = (landmark_table["status"] == "ok").to_numpy()
    points = points_of(landmark_table)
    boxes = landmark_table.reindex(columns=list(BOX_COLUMNS)).to_numpy(dtype=np.float64)
    for row in np.flatnonzero(ok).tolist():
        image_id = str(landmark_table["image_id"].iat[row])
        parts = [part for part in Path(image_id).parts if part not in ("..", "/", "\\")]
        box = boxes[row] if np.isfinite(boxes[row]).all() else None
        write_emotrics(
            folder.joinpath(*parts).with_suffix(".txt"),
            points[row],
            photo=parts[-1],
            irises=(irises or {}).get(image_id),
            box=None if box is None else (box[0], box[1], box[2], box[3]),
        )
    return int(ok.sum())


def _row(image_id: str, found: EmotricsFile) -> dict[str, object]:
    row: dict[str, object] = {"image_id": image_id, "status": "ok"}
    if not np.isfinite(found.points).all():
        missing = int((~np.isfinite(found.points).all(axis=1)).sum())
        reason = f"{missing} of its 68 points were not placed in Emotrics: place them there."
        return row | {"status": "failed", "reason": reason}
    if found.box is not None:
        row |= dict(zip(BOX_COLUMNS, found.box, strict=True))
    row["tilt_deg"] = float(tilt_degrees(found.points))
    return row | dict(zip(POINT_COLUMNS, found.points.ravel().tolist(), strict=True))


def _image_id(file: Path, photo: str, *, folder: Path) -> str:
    """Photograph of a landmark file: the one of the same stem beside it, if there is one."""
    named = Path(photo).suffix.lower()
    suffixes = [named] if named in PHOTO_SUFFIXES else []
    for suffix in (*suffixes, *PHOTO_SUFFIXES, *(s.upper() for s in PHOTO_SUFFIXES)):
        if file.with_suffix(suffix).is_file():
            return file.with_suffix(suffix).relative_to(folder).as_posix()
    return file.with_suffix((suffixes or [".jpg"])[0]).relative_to(folder).as_posix()
