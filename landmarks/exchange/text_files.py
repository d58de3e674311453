"""A text file per photograph: `.pts` of the 300-W family, and Emotrics' landmark files.

`.pts`: 68 lines of x and y, with a header (`version: 1`, `n_points: 68`, `{`, the points, `}`) or
with the points alone.

Emotrics: the file lies beside the photograph and has its name. The facts of the format are those of
Emotrics' public source (github.com/dguari1/Emotrics): five sections (the photograph's name, 68
points, both irises, the face box), each opened by a comment line ending in `{` and closed by `# }`;
every number is a whole px; a radius that is not positive says that the iris was not found; a point
below 0 was not placed. Later programs of the family number the points in a third column and add
points behind the 68; the first 68 are read. Left and right are the patient's in Emotrics too: its
left eye is points 42 to 47.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.files import atomic_write
from common.truth import read_pts as read_pts_points
from landmarks.exchange.marked import MarkedPhoto, marked_by, photograph_beside, text_of
from landmarks.find.iris import Iris, Irises
from landmarks.points import N_POINTS

_SECTIONS = {
    "name": re.compile(r"file name", re.IGNORECASE),
    "points": re.compile(r"landmarks", re.IGNORECASE),
    "left": re.compile(r"left (iris|pupil)", re.IGNORECASE),
    "right": re.compile(r"right (iris|pupil)", re.IGNORECASE),
    "box": re.compile(r"bounding box", re.IGNORECASE),
}


def read_pts(path: Path) -> list[MarkedPhoto]:
    """Read one `.pts` file; UserError when it is none."""
    return [marked_by(photograph_beside(path), read_pts_points(path))]


def write_pts(marks: MarkedPhoto, path: Path) -> None:
    """Write one `.pts` file, with a header."""
    lines = "".join(f"{x:.3f} {y:.3f}\n" for x, y in marks.points)
    with atomic_write(path) as temporary:
        temporary.write_text(f"version: 1\nn_points: 68\n{{\n{lines}}}\n", encoding="utf-8")


def read_emotrics(path: Path) -> list[MarkedPhoto]:
    """Read one file of Emotrics; points that were not placed are NaN.

    UserError when the file cannot be read, lacks a section, or a line holds no numbers.
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
    irises = Irises(
        right=_iris(sections["right"], path=path), left=_iris(sections["left"], path=path)
    )
    name = photograph_beside(path, " ".join(sections["name"]).strip())
    box = (left, top, left + width, top + height) if has_box else None
    return [MarkedPhoto(name, points, irises=irises, box=box)]


def write_emotrics(marks: MarkedPhoto, path: Path) -> None:
    """Write one file for Emotrics, in whole px; -1 stands for what is not there."""
    irises = marks.irises or Irises()
    left, top, right, bottom = marks.box or (np.nan,) * 4
    sections = {
        "File name": [Path(marks.name).name],
        "68 facial Landmarks [x,y]": [",".join(map(_whole, point)) for point in marks.points],
        **{
            f"{side} iris [x,y,r]": map(_whole, (iris.x, iris.y, iris.radius))
            for side, iris in (("Left", irises.left), ("Right", irises.right))
        },
        "Face bounding Box [top(x), left(y), width, height]": map(
            _whole, (left, top, right - left, bottom - top)
        ),
    }
    text = "".join(
        f"# {title} {{ \n" + "".join(f"{line}\n" for line in lines) + "# } \n"
        for title, lines in sections.items()
    )
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _whole(value: float) -> str:
    return f"{max(value, -1):.0f}" if np.isfinite(value) else "-1"


def _sections(path: Path) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text_of(path).splitlines():
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
