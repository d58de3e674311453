"""Landmark files of Emotrics, read and written, so that its users can bring and take their work.

One text file per photograph, beside it and with its name: the photograph's name, 68 points, both
irises, the face box. The facts of the format are those of Emotrics' public source
(github.com/dguari1/Emotrics): five sections, each opened by a comment line ending in `{` and
closed by `# }`; every number is a whole px; a radius that is not positive says that the iris was
not found; a point below 0 was not placed. Emotrics reads by line number, so the order is kept to
the line. Later programs of the family number the points in a third column and add points behind
the 68; the first 68 are read. Left and right are the patient's in Emotrics too: its left eye is
points 42 to 47.

Emotrics reads whole px only, so writing rounds to the nearest: up to half a px is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.files import atomic_write
from landmarks.find.iris import Iris, Irises
from landmarks.points import N_POINTS

_UNPLACED = -1
_SECTIONS = {
    "name": re.compile(r"file name", re.IGNORECASE),
    "points": re.compile(r"landmarks", re.IGNORECASE),
    "left": re.compile(r"left (iris|pupil)", re.IGNORECASE),
    "right": re.compile(r"right (iris|pupil)", re.IGNORECASE),
    "box": re.compile(r"bounding box", re.IGNORECASE),
}


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


def read_emotrics(path: Path) -> EmotricsFile:
    """Read one landmark file of Emotrics.

    Raises
    ------
    UserError
        When the file cannot be read, lacks a section, or a line holds no numbers.
    """
    sections = _sections(path)
    rows = [_numbers(line, path=path) for line in sections["points"]]
    if len(rows) < N_POINTS or any(len(row) < 2 for row in rows):
        raise UserError(
            f"{path} holds {len(rows)} landmarks and 68 are needed: save it again in Emotrics."
        )
    points = np.array([row[:2] for row in rows[:N_POINTS]], dtype=np.float64)
    points[(points < 0).any(axis=1)] = np.nan
    return EmotricsFile(
        photo=" ".join(sections["name"]).strip(),
        points=points,
        irises=Irises(
            right=_iris(sections["right"], path=path), left=_iris(sections["left"], path=path)
        ),
        box=_box(sections["box"], path=path),
    )


def is_landmark_file(path: Path) -> bool:
    """Tell a landmark file from other text files, which a folder may hold too."""
    return _text_of(path).lstrip().startswith("#")


def write_emotrics(
    path: Path,
    points: NDArray[np.float64],
    *,
    photo: str,
    irises: Irises | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> None:
    """Write one landmark file as Emotrics writes it.

    Parameters
    ----------
    path
        The text file, best beside the photograph and of its name.
    points
        `(68, 2)` px; NaN becomes -1, Emotrics' mark of a point not placed.
    photo
        File name of the photograph.
    irises
        Eyes without an iris become -1, -1, -1, which Emotrics takes for closed.
    box
        Left, top, right, bottom in px, first and last included; -1 without.
    """
    if points.shape != (N_POINTS, 2):
        raise ValueError(f"points must be (68, 2) but are {points.shape}")
    irises = irises or Irises()
    corner = _whole((box[0], box[1], box[2] - box[0], box[3] - box[1])) if box else [_UNPLACED] * 4
    placed = [bool(np.isfinite(point).all()) for point in points]
    lines = [
        "# File name { ",
        photo,
        "# } ",
        "# 68 facial Landmarks [x,y] { ",
        *(
            "{},{}".format(*(_whole(point) if ok else [_UNPLACED] * 2))
            for point, ok in zip(points, placed, strict=True)
        ),
        "# } ",
        "# Left iris [x,y,r] { ",
        *map(str, _circle(irises.left)),
        "# } ",
        "# Right iris [x,y,r] { ",
        *map(str, _circle(irises.right)),
        "# } ",
        "# Face bounding Box [top(x), left(y), width, height] { ",
        *map(str, corner),
        "# }",
    ]
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")


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


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path.") from error


def _numbers(line: str, *, path: Path) -> list[float]:
    try:
        return [float(field) for field in line.replace(",", " ").split()]
    except ValueError as error:
        raise UserError(
            f'{path} has "{line[:40]}" where numbers belong: save it again in Emotrics.'
        ) from error


def _iris(lines: Iterable[str], *, path: Path) -> Iris:
    values = [value for line in lines for value in _numbers(line, path=path)]
    if len(values) < 3 or values[2] <= 0:
        return Iris("unclear", "Emotrics found no iris in this eye, which may be closed.")
    return Iris("ok", x=values[0], y=values[1], radius=values[2])


def _box(lines: Iterable[str], *, path: Path) -> tuple[float, float, float, float] | None:
    values = [value for line in lines for value in _numbers(line, path=path)]
    if len(values) < 4 or min(values[2:4]) <= 0:
        return None
    left, top, width, height = values[:4]
    return left, top, left + width, top + height


def _circle(iris: Iris) -> list[int]:
    values = (iris.x, iris.y, iris.radius)
    return _whole(values) if np.isfinite(values).all() else [_UNPLACED] * 3


def _whole(values: Iterable[float]) -> list[int]:
    # Half-way cases go up, as in drawing programs, not to the even number.
    return [int(np.floor(value + 0.5)) for value in values]
