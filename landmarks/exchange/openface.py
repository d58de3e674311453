"""OpenFace's table: 68 points of each photograph or frame, `x_0` … `x_67`, `y_0` … `y_67`.

The points are the 68 in the same order. `success` is 0 where OpenFace does not trust them.
"""

from __future__ import annotations

from pathlib import Path

from landmarks.exchange.marked import MarkedPhoto, csv_rows, marked_by
from landmarks.points import N_POINTS


def read(path: Path) -> list[MarkedPhoto]:
    """Read every row; one that OpenFace does not trust has a problem."""
    found = []
    for name, points, row in csv_rows(path, n_points=N_POINTS):
        failed = str(row.get("success", "1")).strip() in ("0", "0.0")
        problem = "has success 0 here: OpenFace found no face that it trusts"
        found.append(MarkedPhoto(name, problem=problem) if failed else marked_by(name, points))
    return found
