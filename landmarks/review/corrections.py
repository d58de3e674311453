"""`corrections.csv`: every point that somebody moved, in the order of the moves.

The journal only grows: each change is added at once and stays, so that the model's points are
never lost and a killed program loses nothing that was let go of. Undoing adds rows too. What holds
is what the last row of a photograph and point says. Irises are points too (`marks`).
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from common.errors import UserError
from common.tables import choice, number, read_table, text
from landmarks.find.iris import Irises
from landmarks.points import N_POINTS, POINT_COLUMNS
from landmarks.review.marks import N_MARKS, irises_of, marks_of
from landmarks.scale import mm_per_px_of
from landmarks.tables import points_of

CORRECTIONS_FILE = "corrections.csv"
ACTIONS = ("move", "undo", "redo", "checked", "unmeasurable", "measurable")
"""What a row does. The last three are about a whole photograph and name no point."""
MOVES = ("move", "undo", "redo")

CORRECTIONS = pa.DataFrameSchema(
    {
        "image_id": text(),
        "action": choice(ACTIONS),
        "point": pa.Column(
            "Int64",
            pa.Check.in_range(0, N_MARKS - 1, error=f"be 0 to {N_MARKS - 1}, or empty"),
            nullable=True,
            coerce=True,
        ),
        **{name: number() for name in ("from_x", "from_y", "to_x", "to_y")},
        "reason": text(nullable=True),
        "rater": text(nullable=True),
        "at": text(),
    },
    name="corrections",
)
"""`corrections.csv`: px of the photograph after EXIF rotation. `from` is empty where there was no
point before. Rows of one change share `at` (UTC, ISO 8601)."""
COLUMNS = tuple(CORRECTIONS.columns)


@dataclass(frozen=True)
class Move:
    """One point of a change, px of the photograph; NaN where there was none, or is none now.

    `point` is one of the marks of `landmarks.review.marks`.
    """

    point: int
    start: tuple[float, float]
    end: tuple[float, float]


class Journal:
    """The table of corrections of one rater, kept open for adding.

    Parameters
    ----------
    path
        `corrections.csv`; made with its header at the first change.
    rater
        Who corrects; None when nobody said.

    Raises
    ------
    UserError
        When the file is there and is no table of corrections.
    """

    def __init__(self, path: Path, *, rater: str | None = None) -> None:
        self.path = path
        self._rater = rater
        _mend_last_line(path)
        self.rows = read_corrections(path)

    def add(
        self, image_id: str, action: str, moves: Sequence[Move] = (), *, reason: str = ""
    ) -> None:
        """Write one change to the disk before returning.

        Raises
        ------
        UserError
            When the disk is full or the file cannot be written.
        """
        at = datetime.now(UTC).isoformat(timespec="microseconds")
        rest = (reason or None, self._rater, at)
        rows = [
            (image_id, action, move.point, *(_number(v) for v in (*move.start, *move.end)), *rest)
            for move in moves
        ] or [(image_id, action, None, None, None, None, None, *rest)]
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        if not self.path.is_file():
            writer.writerow(COLUMNS)
        writer.writerows(rows)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(written.getvalue())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(
                f"Cannot write {self.path} ({error.strerror or error}): free some space; the last "
                "change is not kept."
            ) from error
        added = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"point": "Int64"})
        self.rows = added if self.rows.empty else pd.concat([self.rows, added], ignore_index=True)


def read_corrections(path: Path) -> pd.DataFrame:
    """Read a table of corrections; one without rows where there is no file."""
    if not path.is_file():
        return pd.DataFrame({name: [] for name in COLUMNS}).astype({"point": "Int64"})
    return read_table(path, schema=CORRECTIONS)


def with_corrections(
    table: pd.DataFrame, corrections: Path | None, *, landmarks: Path
) -> tuple[pd.DataFrame, Path | None]:
    """Return the table with what was moved by hand, and the corrections that were taken.

    Without `corrections` those beside the landmark table are taken, if there are any.
    """
    if corrections is None:
        beside = landmarks.parent / CORRECTIONS_FILE
        if not (landmarks.is_file() and beside.is_file()):
            return table, None
        corrections = beside
    elif not corrections.is_file():
        raise UserError(f"The corrections {corrections} do not exist: check the path.")
    return corrected(table, read_corrections(corrections)), corrections


def corrected(table: pd.DataFrame, corrections: pd.DataFrame) -> pd.DataFrame:
    """Return the landmark table with the corrections in it and `points_from`.

    `points_from` is `corrected` where a point was moved and `model` on other rows that are `ok`. A
    photograph in which no face was found becomes `ok` once all its points are given; one that was
    called unmeasurable becomes `failed` with that reason. Corrections of photographs that the table
    does not have change nothing.

    Parameters
    ----------
    table
        By `LANDMARKS`, the model's points.
    corrections
        By `CORRECTIONS`, in the order of the changes.
    """
    found = table.copy()
    if "reason" not in found:
        found.insert(2, "reason", pd.Series(None, index=found.index, dtype="str"))
    rows = pd.Series(np.arange(len(found)), index=found["image_id"])
    points, machine = points_of(found).copy(), points_of(found)
    known = corrections[corrections["image_id"].isin(rows.index)]
    moved = _last_moves(known)
    moved = moved[moved["point"] < N_POINTS]
    at = rows[moved["image_id"]].to_numpy()
    points[at, moved["point"].to_numpy(dtype=np.intp)] = moved[["to_x", "to_y"]].to_numpy()
    touched = ~((points == machine) | (np.isnan(points) & np.isnan(machine))).all(axis=(1, 2))
    ok = (found["status"] == "ok").to_numpy(dtype=bool, copy=True)
    ok |= touched & np.isfinite(points).all(axis=(1, 2))
    found.loc[ok & touched, ["status", "reason"]] = ["ok", None]
    judged = known[known["action"].isin(("unmeasurable", "measurable"))]
    judged = judged.drop_duplicates("image_id", keep="last")
    judged = judged[judged["action"] == "unmeasurable"]
    given_up = rows[judged["image_id"]].to_numpy()
    reasons = "cannot be measured: " + judged["reason"].fillna("no reason given").to_numpy()
    found.loc[found.index[given_up], "status"] = "failed"
    found.loc[found.index[given_up], "reason"] = reasons
    ok[given_up] = False
    points[~ok] = np.nan
    source = pd.Series(np.where(touched, "corrected", "model"), index=found.index, dtype="str")
    values = pd.DataFrame(
        points.reshape(len(found), -1), index=found.index, columns=list(POINT_COLUMNS)
    )
    others = found.drop(columns=[*POINT_COLUMNS, "points_from"], errors="ignore")
    return pd.concat([others, source.where(ok).rename("points_from"), values], axis="columns")


def corrected_irises(
    table: pd.DataFrame, irises: Mapping[str, Irises], corrections: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Irises]]:
    """Return a landmark table and its irises with what was moved of irises.

    `mm_per_px` of those photographs follows from the irises as they are then. Where no irises were
    looked for, nothing changes.
    """
    found, scaled = dict(irises), table.copy()
    moved = _last_moves(corrections)
    moved = moved[(moved["point"] >= N_POINTS) & moved["image_id"].isin(irises)]
    for image_id, rows in moved.groupby("image_id"):
        model = irises[str(image_id)]
        marks = marks_of(np.full((N_POINTS, 2), np.nan), model)
        marks[rows["point"].to_numpy(dtype=np.intp)] = rows[["to_x", "to_y"]].to_numpy()
        found[str(image_id)] = irises_of(marks, model)
        if "mm_per_px" in scaled:
            here = (scaled["image_id"] == image_id) & (scaled["status"] == "ok")
            scaled.loc[here, "mm_per_px"] = mm_per_px_of(found[str(image_id)])
    return scaled, found


def _last_moves(corrections: pd.DataFrame) -> pd.DataFrame:
    """Return what holds of each photograph and point."""
    moves = corrections[corrections["action"].isin(MOVES)]
    return moves.drop_duplicates(["image_id", "point"], keep="last")


def _number(value: float) -> float | None:
    """Return what is written: missing is empty."""
    return None if np.isnan(value) else float(value)


def _mend_last_line(path: Path) -> None:
    """Cut off a last row that a crash left half written."""
    if not path.is_file():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
            file.flush()
            os.fsync(file.fileno())
