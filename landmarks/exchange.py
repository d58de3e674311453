"""Points of other tools: Emotrics' landmark files, and dlib's XML that imglab writes.

Emotrics: one text file per photograph, beside it and with its name: the photograph's name, 68
points, both irises, the face box. The facts of the format are those of Emotrics' public source
(github.com/dguari1/Emotrics): five sections, each opened by a comment line ending in `{` and
closed by `# }`; every number is a whole px; a radius that is not positive says that the iris was
not found; a point below 0 was not placed. Later programs of the family number the points in a third
column and add points behind the 68; the first 68 are read. Left and right are the patient's in
Emotrics too: its left eye is points 42 to 47.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError
from common.photos import PHOTO_SUFFIXES
from common.tables import read_table, sort_by_image_id
from landmarks.find.iris import Iris, Irises
from landmarks.points import N_POINTS, POINT_COLUMNS, tilt_degrees
from landmarks.scale import mm_per_px_of
from landmarks.tables import BOX_COLUMNS, IRISES_FILE, LANDMARKS, read_irises

_SECTIONS = {
    "name": re.compile(r"file name", re.IGNORECASE),
    "points": re.compile(r"landmarks", re.IGNORECASE),
    "left": re.compile(r"left (iris|pupil)", re.IGNORECASE),
    "right": re.compile(r"right (iris|pupil)", re.IGNORECASE),
    "box": re.compile(r"bounding box", re.IGNORECASE),
}
_NOT_KNOWN = (
    "n_faces",
    "detector",
    "detector_score",
    "points_from",
    "points_moved",
    "photo_sha256",
)  # Emotrics writes none of them
_COLUMNS = [name for name in LANDMARKS.columns if name not in _NOT_KNOWN]


@dataclass(frozen=True)
class EmotricsFile:
    """What one Emotrics file holds; px of the photograph.

    Attributes
    ----------
    photo
        Name in the file: the photograph's, or that of the text file itself.
    points
        `(68, 2)`; NaN for points that were not placed.
    irises
        `unclear` with NaN for those that Emotrics did not find.
    box
        Left, top, right, bottom, first and last px included; None when the file has none.
    """

    photo: str
    points: NDArray[np.float64]
    irises: Irises
    box: tuple[float, float, float, float] | None


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
    files = [file for file in files if not file.name.startswith(".") and _is_landmark_file(file)]
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
        rows.append({"image_id": image_id} | _row(found))
    table = pd.DataFrame(rows).reindex(columns=_COLUMNS)
    floats = dict.fromkeys((*BOX_COLUMNS, "tilt_deg", *POINT_COLUMNS), "float64")
    return sort_by_image_id(table.astype({"reason": "str", **floats})), irises


def read_points(source: Path) -> tuple[pd.DataFrame, dict[str, Irises]]:
    """Read `landmarks.csv` with the irises beside it, or a `.txt` of Emotrics or a folder of them.

    The landmark table is as it is, slips included (see `landmarks.tables.with_slips_failed`); there
    are no irises where none were looked for.
    """
    if source.is_dir() or source.suffix.lower() == ".txt":
        table, irises = import_emotrics(source)
        table["mm_per_px"] = [
            mm_per_px_of(irises[image_id]) if image_id in irises else np.nan
            for image_id in table["image_id"]
        ]
        return table, irises
    beside = source.parent / IRISES_FILE
    table = read_table(source, schema=LANDMARKS)
    return table, read_irises(beside) if beside.is_file() else {}


def read_emotrics(path: Path) -> EmotricsFile:
    """Read one landmark file of Emotrics.

    Raises
    ------
    UserError
        When the file cannot be read, lacks a section, or a line holds no numbers.
    """
    sections = _sections(path)
    rows = [_numbers([line], path=path) for line in sections["points"]]
    if len(rows) < N_POINTS or any(len(row) < 2 for row in rows):
        raise UserError(
            f"{path} holds {len(rows)} landmarks and 68 are needed: save it again in Emotrics."
        )
    points = np.array([row[:2] for row in rows[:N_POINTS]], dtype=np.float64)
    points[(points < 0).any(axis=1)] = np.nan
    left, top, width, height, *_ = (*_numbers(sections["box"], path=path), 0, 0, 0, 0)
    has_box = min(width, height) > 0
    return EmotricsFile(
        photo=" ".join(sections["name"]).strip(),
        points=points,
        irises=Irises(
            right=_iris(sections["right"], path=path), left=_iris(sections["left"], path=path)
        ),
        box=(left, top, left + width, top + height) if has_box else None,
    )


def _row(found: EmotricsFile) -> dict[str, object]:
    missing = int((~np.isfinite(found.points).all(axis=1)).sum())
    if missing:
        reason = f"{missing} of its 68 points were not placed in Emotrics: place them there."
        return {"status": "failed", "reason": reason}
    return {
        "status": "ok",
        "tilt_deg": float(tilt_degrees(found.points)),
        **dict(zip(BOX_COLUMNS, found.box or (), strict=False)),
        **dict(zip(POINT_COLUMNS, found.points.ravel().tolist(), strict=True)),
    }


def _image_id(file: Path, photo: str, *, folder: Path) -> str:
    """Photograph of a landmark file: the one of the same stem beside it, if there is one."""
    named = Path(photo).suffix.lower()
    suffixes = [named] if named in PHOTO_SUFFIXES else []
    for suffix in (*suffixes, *PHOTO_SUFFIXES, *(s.upper() for s in PHOTO_SUFFIXES)):
        if file.with_suffix(suffix).is_file():
            return file.with_suffix(suffix).relative_to(folder).as_posix()
    return file.with_suffix((suffixes or [".jpg"])[0]).relative_to(folder).as_posix()


def _sections(path: Path) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in _text_of(path).splitlines():
        content = line.strip()
        if content.startswith("#"):
            current = None
            if "{" in content:
                name = next((n for n, p in _SECTIONS.items() if p.search(content)), content)
                current = sections.setdefault(name, [])
        elif content and current is not None:
            current.append(content)
    absent = [name for name in ("name", "points", "left", "right") if name not in sections]
    if absent:
        raise UserError(
            f"{path} is no landmark file of Emotrics (no section for {absent[0]}): give the .txt "
            "that Emotrics saves beside a photograph."
        )
    return {"box": [], **sections}


def _is_landmark_file(path: Path) -> bool:
    """Tell a landmark file from other text files, which a folder may hold too."""
    return _text_of(path).lstrip().startswith("#")


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path.") from error


def _numbers(lines: Iterable[str], *, path: Path) -> list[float]:
    numbers = []
    for line in lines:
        try:
            numbers += [float(field) for field in line.replace(",", " ").split()]
        except ValueError as error:
            raise UserError(
                f'{path} has "{line[:40]}" where numbers belong: save it again in Emotrics.'
            ) from error
    return numbers


def _iris(lines: Iterable[str], *, path: Path) -> Iris:
    values = _numbers(lines, path=path)
    if len(values) < 3 or values[2] <= 0:
        return Iris("unclear", "Emotrics found no iris in this eye, which may be closed.")
    return Iris("ok", x=values[0], y=values[1], radius=values[2])


def read_imglab(path: Path) -> pd.DataFrame:
    """Read the points of a dlib XML file, one row for each photograph with a marked face.

    Returns
    -------
    pandas.DataFrame
        `image_id` (the file name in the XML), `path` of the photograph, `status`, `reason`, and
        `x_0` ... `y_67` in px. `failed` are photographs with a point that is not marked, or with
        several faces.

    Raises
    ------
    UserError
        When the file is missing, is no such XML, or holds no marked face or a part that is not
        one of the 68.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path.") from error
    except ElementTree.ParseError as error:
        raise UserError(
            f"{path} is no whole XML file ({error}): save it again in imglab."
        ) from error
    faces = [
        (image.get("file", ""), _marked_points(image.get("file", ""), box, path))
        for image in root.iter("image")
        for box in image.iter("box")
        if box.find("part") is not None
    ]
    if not faces:
        raise UserError(f"{path} holds no face with points: mark them in imglab first.")
    names = [name for name, _ in faces]
    points = np.array([marked for _, marked in faces]).reshape(len(faces), -1)
    head = pd.DataFrame({"image_id": names, "status": "ok"})
    head.insert(1, "path", [str((path.parent / name).resolve()) for name in names])
    head["reason"] = pd.Series(None, index=head.index, dtype="str")
    table = pd.concat([head, pd.DataFrame(points, columns=list(POINT_COLUMNS))], axis=1)
    for bad, reason in (
        (np.isnan(points).any(axis=1), "does not mark all 68 points of this photograph"),
        (table["image_id"].duplicated(keep=False), "marks several faces in this photograph"),
    ):
        table.loc[bad, ["status", "reason"]] = "failed", f"the file {reason}"
    return sort_by_image_id(table.drop_duplicates("image_id"))


def _marked_points(name: str, box: ElementTree.Element, source: Path) -> NDArray[np.float64]:
    """`(68, 2)` points of one face; NaN for a part that is not marked."""
    points = np.full((N_POINTS, 2), np.nan)
    try:
        for part in box.iter("part"):
            index = int(part.attrib["name"])
            if not 0 <= index < N_POINTS:
                raise ValueError(f"part {index}")
            points[index] = float(part.attrib["x"]), float(part.attrib["y"])
    except (KeyError, ValueError) as error:
        raise UserError(
            f'{source}: the face of "{name}" cannot be used ({error}): name its parts 00 to 67 and '
            "give each an x and a y."
        ) from error
    return points
