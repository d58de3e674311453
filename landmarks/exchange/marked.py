"""What a file of another tool says of one photograph, and how such files are opened."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.photos import PHOTO_SUFFIXES
from common.words import counted
from landmarks.find.iris import Irises
from landmarks.points import N_POINTS


def no_points() -> NDArray[np.float64]:
    """Return `(68, 2)` NaN."""
    return np.full((N_POINTS, 2), np.nan)


@dataclass(frozen=True)
class MarkedPhoto:
    """One photograph in a file of another tool; coordinates as that tool counts them."""

    # path of the photograph from the file's folder, with `/`, as far as the tool names it
    name: str
    # `(68, 2)`; NaN for points that are not marked
    points: NDArray[np.float64] = field(default_factory=no_points)
    # why there are no points, to follow the name of the file in a sentence; empty otherwise
    problem: str = ""
    irises: Irises | None = None  # None where the tool has none
    # left, top, right, bottom, first and last px included; None where there is none
    box: tuple[float, float, float, float] | None = None
    # width and height of the photograph in px, where the file says
    size: tuple[int, int] | None = None
    has_face: bool = True  # False where the file names the photograph and marks nothing in it

    def size_columns(self) -> dict[str, int]:
        """Return width and height by name, nothing where they are not known."""
        return {} if self.size is None else dict(zip(("width", "height"), self.size, strict=True))

    def shifted(self, by: float) -> MarkedPhoto:
        """Return the same with all coordinates moved by `by` px, right and down."""
        irises = self.irises and Irises(
            *(replace(i, x=i.x + by, y=i.y + by) for i in (self.irises.right, self.irises.left))
        )
        left, top, right, bottom = (edge + by for edge in self.box or (np.nan,) * 4)
        box = self.box and (left, top, right, bottom)
        return replace(self, points=self.points + by, irises=irises, box=box)


def without_face(name: str, *, size: tuple[int, int] | None = None) -> MarkedPhoto:
    """Return what a file says of a photograph in which it marks nothing."""
    problem = "marks no face in this photograph"
    return MarkedPhoto(name, problem=problem, size=size, has_face=False)


def marked_by(name: str, values: Any, **others: Any) -> MarkedPhoto:
    """Return the marks that `(n, 2)` values are, or why they are none: 68 points are needed."""
    try:
        points = np.array([[float(value) for value in point] for point in values], dtype=np.float64)
    except (TypeError, ValueError):
        problem = "has something else where numbers belong: save it anew"
        return MarkedPhoto(name, problem=problem, **others)
    if points.shape != (N_POINTS, 2):
        problem = f"holds {counted(len(points), 'point')} where 68 are needed: mark all 68"
        return MarkedPhoto(name, problem=problem, **others)
    return MarkedPhoto(name, np.where(np.isfinite(points), points, np.nan), **others)


def photograph_beside(file: Path, named: str = "") -> str:
    """Return the name of the photograph that a file of points belongs to, which has its stem.

    Where none lies there, it is the file's stem with the suffix that the file names, or `.jpg`.
    """
    suffix = Path(named).suffix.lower()
    suffixes = [suffix] if suffix in PHOTO_SUFFIXES else []
    for one in (*suffixes, *PHOTO_SUFFIXES, *(s.upper() for s in PHOTO_SUFFIXES)):
        if file.with_suffix(one).is_file():
            return file.with_suffix(one).name
    return file.with_suffix((suffixes or [".jpg"])[0]).name


def text_of(path: Path, *, limit: int = -1) -> str:
    """Read a text file as UTF-8, with or without a byte-order mark; UserError when it cannot be."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.read(limit)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path.") from error


def number_in(attributes: Mapping[str, Any], name: str) -> float:
    """Return an attribute as a number, NaN where it is absent or none."""
    try:
        value = float(attributes.get(name, "nan"))
    except (TypeError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def size_in(attributes: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return width and height where both are given and positive."""
    found = [number_in(attributes, name) for name in ("width", "height")]
    return (int(found[0]), int(found[1])) if min(found) > 0 else None
