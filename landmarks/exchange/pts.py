"""`.pts` of the 300-W family: one text file per photograph, 68 lines of x and y.

With a header (`version: 1`, `n_points: 68`, `{`, the points, `}`) or with the points alone.
"""

from __future__ import annotations

from pathlib import Path

from common.files import atomic_write
from common.truth import read_pts
from landmarks.exchange.marked import MarkedPhoto, marked_by, photograph_beside


def read(path: Path) -> list[MarkedPhoto]:
    """Read one file; UserError when it is none."""
    return [marked_by(photograph_beside(path), read_pts(path))]


def write(marks: MarkedPhoto, path: Path) -> None:
    """Write one file, with a header."""
    lines = "".join(f"{x:.3f} {y:.3f}\n" for x, y in marks.points)
    with atomic_write(path) as temporary:
        temporary.write_text(f"version: 1\nn_points: 68\n{{\n{lines}}}\n", encoding="utf-8")
