"""A manifest of clips as tasks: frames listed, onset, apex and offset read, nothing opened yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from common.clip_frames import ANNOTATED, read_frames
from common.errors import UserError
from common.tables import read_manifest, sort_by_image_id
from htnet.micro.clips.folder import IDENTITY
from htnet.micro.clips.task import ClipTask

PICTURE_FOLDER = "pictures"
MARKS = ("onset", "apex", "offset")


def read_clip_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest of clips, in natural order, with every column of `IDENTITY`.

    `dataset` becomes the part that a clip of a composite comes from (its column `source`).

    Raises
    ------
    UserError
        When it cannot be read, is empty, or is a manifest of photographs.
    """
    rows = read_manifest(path)
    missing = [name for name in MARKS if name not in rows.columns]
    if missing:
        raise UserError(
            f"{path} has no column {missing[0]}: give a manifest of clips, made by prepare casme2, "
            "samm, smic, casme3 or megc2019."
        )
    if rows.empty:
        raise UserError(f"{path} holds no rows: list one clip per row.")
    for name in IDENTITY:
        if name not in rows.columns:
            rows[name] = None
    if "source" in rows.columns:
        rows["dataset"] = rows["source"].where(rows["source"].notna(), rows["dataset"])
    return sort_by_image_id(rows)


def clip_tasks(
    rows: pd.DataFrame, *, pictures: Path | None = None, spot: bool = False
) -> list[ClipTask]:
    """Return a task for each row.

    Parameters
    ----------
    rows
        From `read_clip_manifest`.
    pictures
        Output folder in which pictures are drawn; None draws none.
    spot
        Forget the annotated apexes, so that all are found.
    """
    return [
        _task(row, pictures=pictures, spot=spot)
        for row in rows.astype(object).to_dict(orient="records")
    ]


def picture_path(out: Path, image_id: str) -> Path:
    """Return `OUT/pictures/IMAGE_ID.png`; an id that climbs out with `..` stays inside."""
    below = [part for part in Path(image_id).parts if part not in ("..", "/", "\\")]
    *folders, name = below or ["clip"]
    return out.joinpath(PICTURE_FOLDER, *folders, f"{name}.png")


def frame_number(value: Any) -> int | None:
    """Return a cell of the manifest as a frame number; None when it is empty.

    Raises
    ------
    ValueError
        When it is no whole number.
    """
    if value is None or pd.isna(value) or str(value).strip() == "":
        return None
    number = float(value)
    if number != int(number):
        raise ValueError(value)
    return int(number)


def _task(row: dict[Any, Any], *, pictures: Path | None, spot: bool) -> ClipTask:
    image_id = str(row["image_id"])
    marks: dict[str, int | None] = {}
    problem = ""
    for name in MARKS:
        try:
            marks[name] = frame_number(row[name])
        except (ValueError, OverflowError):
            marks[name] = None
            problem = f'The manifest gives "{row[name]}" as {name}: write a frame number.'
    # A stand-in (the middle frame, where nobody marked the apex) is no apex.
    if spot or str(row.get("apex_source", ANNOTATED)) not in (ANNOTATED, "nan", "None"):
        marks["apex"] = None
    folder = Path(str(row["path"]))
    try:
        listed = read_frames(folder)
        frames = {number: folder / name for number, name in sorted(listed.names.items())}
    except OSError:
        frames = {}
        problem = problem or (
            f"The folder {folder.name} cannot be opened: the manifest must give a clip's folder of "
            "frames as its path."
        )
    return ClipTask(
        image_id=image_id,
        frames=frames,
        onset=marks["onset"],
        apex=marks["apex"],
        offset=marks["offset"],
        picture=picture_path(pictures, image_id) if pictures is not None else None,
        problem=problem,
    )
