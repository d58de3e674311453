"""Points of other tools as a landmark table or as the truth, and whose photographs they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from common.files import PARQUET
from common.photos import PHOTO_SUFFIXES
from common.tables import photos_of, read_manifest, read_table, sort_by_image_id
from common.truth import read_truth
from common.words import counted
from landmarks.exchange.formats import format_of, read_marked
from landmarks.exchange.marked import MarkedPhoto
from landmarks.find.iris import Irises
from landmarks.points import POINT_COLUMNS, tilt_degrees
from landmarks.review.corrections import Corrections, corrected, corrected_irises, find_corrections
from landmarks.scale import mm_per_px_of
from landmarks.tables import BOX_COLUMNS, LANDMARKS, OtherTool, frame_columns, irises_beside

_NOT_KNOWN = (  # of another tool's points
    "n_faces", "detector", "detector_score", "spread_px", "points_moved", "photo_sha256",
    *frame_columns(),
)  # fmt: skip
_COLUMNS = [name for name in LANDMARKS.columns if name not in _NOT_KNOWN]


@dataclass(frozen=True)
class WithTruth:
    """Photographs with true points: `manifest` rows, and `truth` as `common.truth` gives it."""

    manifest: pd.DataFrame
    truth: pd.DataFrame
    problems: tuple[str, ...] = ()

    @property
    def photos(self) -> tuple[tuple[str, Path], ...]:
        """(`image_id`, path) of the photographs whose true points are known."""
        return photos_of(self.manifest[(self.truth["status"] == "ok").to_numpy()])


def read_points(
    source: Path, tool: OtherTool | None = None
) -> tuple[pd.DataFrame, dict[str, Irises]]:
    """Read `landmarks.csv` with the irises beside it, or points of another tool, as a table.

    The landmark table is as it is, slips included (see `landmarks.tables.with_slips_failed`); there
    are no irises where none were looked for. Of another tool, each photograph that it names has a
    row: `image_id` is the path from the folder (of the file), and a photograph without all 68
    points is `failed` with its reason.

    `source`: a landmark table; or a file or folder as `landmarks.exchange.formats` knows it.
    `tool`: the format of `source`; recognised by its content when not given.

    UserError when `source` cannot be read or is nothing of the kind.
    """
    if tool is not None or is_of_other_tool(source):
        form, marks = read_marked(source, tool)
        return landmark_table(marks, tool=form.name)
    return read_table(source, schema=LANDMARKS), irises_beside(source)


def read_with_truth(source: Path) -> WithTruth:
    """Read photographs and true points from a manifest, or from another tool's points beside them.

    UserError when the source does not exist or names no true points.
    """
    if not is_of_other_tool(source):
        manifest = read_manifest(source)
        return WithTruth(manifest, read_truth(manifest))
    marked, _ = read_points(source)
    folder = (source if source.is_dir() else source.parent).resolve()
    names = marked[["image_id"]]
    return WithTruth(
        names.assign(
            path=[str((folder / name).resolve()) for name in names["image_id"]],
            patient_id=names["image_id"],
        ),
        marked,
        problems=(
            f"{source.name} does not say which photographs show the same patient: each counts as "
            "a patient of its own, so the intervals are too narrow if patients come repeatedly.",
        ),
    )


def read_corrected(
    source: Path, *, corrections: Path | None = None, tool: OtherTool | None = None
) -> tuple[pd.DataFrame, dict[str, Irises], Corrections | None]:
    """Read points and irises with their corrections: those given, else those beside the table."""
    table, irises = read_points(source, tool)
    moves = find_corrections(table, corrections, landmarks=source)
    if moves is not None:
        table, irises = corrected_irises(corrected(table, moves.rows), irises, moves.rows)
    return table, irises, moves


def is_of_other_tool(source: Path) -> bool:
    """Say whether this is a folder, or a file that is no table of this project."""
    if source.suffix.lower() == PARQUET:
        return False
    if source.suffix.lower() != ".csv" or not source.is_file():
        return source.exists()
    return format_of(source) is not None


def landmark_table(
    marks: Sequence[MarkedPhoto], *, tool: OtherTool
) -> tuple[pd.DataFrame, dict[str, Irises]]:
    """Return a landmark table and the irises by `image_id`, one row for each photograph."""
    faces: dict[str, list[MarkedPhoto]] = {}
    for one in marks:
        faces.setdefault(one.name, []).append(one)
    table = pd.DataFrame([_row(name, own, tool) for name, own in faces.items()])
    floats = dict.fromkeys((*BOX_COLUMNS, "tilt_deg", "mm_per_px", *POINT_COLUMNS), "float64")
    table = table.reindex(columns=_COLUMNS).astype(
        {"reason": "str", "points_from": "str", **floats}
    )
    irises = {name: own[0].irises for name, own in faces.items() if own[0].irises is not None}
    return sort_by_image_id(table.copy()), irises  # in one piece, or pandas warns


def matched(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return the `image_id` of each photograph that another tool names, where it is certain.

    A name is the `image_id` itself; else both must end alike, folder for folder, without the
    suffix, and neither side may have a second photograph of that name.
    """
    ids = set(known)
    found = {name: name for name in names if name in ids}
    by_stem: dict[str, list[str]] = {}
    for image_id in ids - set(found.values()):
        by_stem.setdefault(_parts(image_id)[-1], []).append(image_id)
    claims: dict[str, list[str]] = {}
    for name in sorted(set(names) - set(found)):
        parts = _parts(name)
        alike = [k for k in by_stem.get(parts[-1], []) if _end_alike(parts, _parts(k))]
        if len(alike) == 1:
            claims.setdefault(alike[0], []).append(name)
    return found | {own[0]: image_id for image_id, own in claims.items() if len(own) == 1}


def named_as(table: pd.DataFrame, known: Iterable[str]) -> pd.DataFrame:
    """Return a landmark table whose photographs bear the names of those that they are."""
    names = matched(table["image_id"], known)
    return table.assign(image_id=[names.get(name, name) for name in table["image_id"]])


def _row(name: str, faces: Sequence[MarkedPhoto], tool: OtherTool) -> dict[str, object]:
    one = faces[0]
    missing = int((~np.isfinite(one.points).all(axis=1)).sum())
    reason = one.problem
    if len(faces) > 1:
        reason = "Several faces are marked in this photograph: keep one."
    elif missing and not reason:
        reason = (
            f"It lacks {counted(missing, 'point')} of 68, not marked or no number (with . as "
            f"decimal point): mark all 68 in {tool}."
        )
    if reason:
        return {"image_id": name, "status": "failed", "reason": reason}
    return {
        "image_id": name,
        "status": "ok",
        "points_from": tool,
        "tilt_deg": float(tilt_degrees(one.points)),
        "mm_per_px": np.nan if one.irises is None else mm_per_px_of(one.irises),
        **dict(zip(BOX_COLUMNS, one.box or (), strict=False)),
        **dict(zip(POINT_COLUMNS, one.points.ravel().tolist(), strict=True)),
    }


def _parts(name: str) -> tuple[str, ...]:
    """Folders and name of a photograph, without its suffix."""
    path = PurePosixPath(name.replace("\\", "/"))
    known = path.suffix.lower() in PHOTO_SUFFIXES
    return (path.with_suffix("") if known else path).parts or ("",)


def _end_alike(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shorter = min(len(one), len(other))
    return one[-shorter:] == other[-shorter:]
