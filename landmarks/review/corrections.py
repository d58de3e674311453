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
from common.files import found_table
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
        "photo_sha256": text(nullable=True),
    },
    name="corrections",
)
"""`corrections.csv`: px of the photograph after EXIF rotation. `from` is empty where there was no
point before. Rows of one change share `at` (UTC, ISO 8601). `photo_sha256` is of the photograph
that was corrected, as the landmark table says it."""
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

    `path`: `corrections.csv`; made with its header at the first change.
    `rater`: who corrects; None when nobody said.
    `photographs`: SHA-256 of each photograph by `image_id`, from its landmark table; kept with
    each change.

    UserError when the file is there and is no table of corrections.
    """

    def __init__(
        self, path: Path, *, rater: str | None = None, photographs: Mapping[str, str] | None = None
    ) -> None:
        self.path = path
        self._rater = rater
        self._photographs = photographs or {}
        _mend_last_line(path)
        self.rows = read_corrections(path)

    def add(
        self, image_id: str, action: str, moves: Sequence[Move] = (), *, reason: str = ""
    ) -> None:
        """Write one change to the disk before returning.

        UserError when the disk is full or the file cannot be written.
        """
        at = datetime.now(UTC).isoformat(timespec="microseconds")
        rest = (reason or None, self._rater, at, self._photographs.get(image_id))
        rows = [
            (
                image_id,
                action,
                move.point,
                *(None if np.isnan(v) else float(v) for v in (*move.start, *move.end)),
                *rest,
            )
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


def corrections_of(tables: Path, rater: str | None) -> Path:
    """Return the table of corrections in a folder: of a named rater, their own.

    UserError when the name is no part of a file's name.
    """
    if rater is None:
        return tables / CORRECTIONS_FILE
    if not rater or not all(letter.isalnum() or letter in "-_" for letter in rater):
        raise UserError(f'--rater is "{rater}": give a name of letters, digits, - or _.')
    return tables / CORRECTIONS_FILE.replace(".csv", f"-{rater}.csv")


def all_corrections_in(folder: Path) -> list[Path]:
    """Return the tables of corrections of every rater in a folder."""
    return sorted(folder.glob(CORRECTIONS_FILE.replace(".csv", "*.csv")))


def read_corrections(path: Path) -> pd.DataFrame:
    """Read a table of corrections; one without rows where there is no file."""
    if not path.is_file():
        texts = [name for name in COLUMNS if name != "point" and name[-2:] not in ("_x", "_y")]
        types = {"point": "Int64", **dict.fromkeys(texts, "str")}
        return pd.DataFrame({name: [] for name in COLUMNS}).astype(types)
    return read_table(path, schema=CORRECTIONS)


@dataclass(frozen=True)
class Corrections:
    """Corrections that belong to the photographs of a landmark table."""

    path: Path  # the table they come from
    rows: pd.DataFrame  # by `CORRECTIONS`
    # `image_id` of photographs that are other files than those that were corrected; their
    # corrections are not among the rows
    refused: tuple[str, ...]

    def warnings(self) -> list[str]:
        """Return a sentence for each photograph whose corrections are not taken."""
        return [
            f"{image_id} is another photograph than the one corrected in {self.path.name}: those "
            "corrections are kept and not used; put that photograph back, or correct this one."
            for image_id in self.refused
        ]


def find_corrections(
    table: pd.DataFrame, given: Path | None, *, landmarks: Path
) -> Corrections | None:
    """Find the corrections of a landmark table: those given, else those beside it, else None."""
    if given is None:
        given = landmarks.parent / CORRECTIONS_FILE
        if not (found_table(landmarks).is_file() and given.is_file()):
            return None
    elif not given.is_file():
        raise UserError(f"The corrections {given} do not exist: check the path.")
    return of_these_photographs(read_corrections(given), table, path=given)


def photographs_of(table: pd.DataFrame) -> dict[str, str]:
    """Return the SHA-256 that a landmark table knows of its photographs, by `image_id`."""
    if "photo_sha256" not in table:
        return {}
    return dict(table.dropna(subset=["photo_sha256"])[["image_id", "photo_sha256"]].to_numpy())


def of_these_photographs(rows: pd.DataFrame, table: pd.DataFrame, *, path: Path) -> Corrections:
    """Keep the corrections of photographs that are still the same files.

    A correction is of another photograph when both its SHA-256 and that in the landmark table are
    to be had and differ, or when that photograph can no longer be read.
    """
    if "photo_sha256" not in table:
        return Corrections(path, rows, ())
    now = rows["image_id"].map(table.set_index("image_id")["photo_sha256"])
    known = rows["photo_sha256"].notna() & rows["image_id"].isin(table["image_id"])
    other = known & (rows["photo_sha256"] != now.fillna(""))
    kept = rows[~other]
    # A photograph that was corrected anew after it was exchanged is refused no more.
    gone = rows.loc[other & ~rows["image_id"].isin(kept["image_id"]), "image_id"]
    return Corrections(path, kept.reset_index(drop=True), tuple(gone.unique().tolist()))


def corrected(table: pd.DataFrame, corrections: pd.DataFrame) -> pd.DataFrame:
    """Return the landmark table with the corrections in it, `points_from` and `points_moved`.

    `points_from` is `corrected` where a point was moved; other rows that are `ok` keep what they
    say, `model` where they say nothing. A point that was put back where it was first taken from is
    not moved. A photograph in which no face was found becomes `ok` once all its points are given;
    one that was called unmeasurable becomes `failed` with that reason. Corrections of photographs
    that the table does not have change nothing.

    `table`: by `LANDMARKS`, the model's points.
    `corrections`: by `CORRECTIONS`, in the order of the changes.
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
    elsewhere = ~((points == machine) | (np.isnan(points) & np.isnan(machine))).all(axis=2)
    touched = elsewhere.any(axis=1)
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
    before = found.get("points_from", pd.Series(None, index=found.index, dtype="str"))
    source = pd.DataFrame(
        {
            "points_from": before.fillna("model").mask(touched, "corrected"),
            "points_moved": pd.array(elsewhere.sum(axis=1), dtype="Int64"),
        },
        index=found.index,
    )
    values = pd.DataFrame(
        points.reshape(len(found), -1), index=found.index, columns=list(POINT_COLUMNS)
    )
    others = found.drop(columns=[*POINT_COLUMNS, *source], errors="ignore")
    return pd.concat([others, source[ok].reindex(found.index), values], axis="columns")


def _last_moves(corrections: pd.DataFrame) -> pd.DataFrame:
    """Return what holds of each photograph and point; not those that are back where they began."""
    key = ["image_id", "point"]
    moves = corrections[corrections["action"].isin(MOVES)]
    began = moves.drop_duplicates(key)[[*key, "from_x", "from_y"]]
    last = moves.drop_duplicates(key, keep="last").drop(columns=["from_x", "from_y"])
    last = last.merge(began, on=key, validate="one_to_one")
    ends = (last[[f"{part}_x", f"{part}_y"]].to_numpy(dtype=np.float64) for part in ("from", "to"))
    start, end = ends
    back = ((start == end) | (np.isnan(start) & np.isnan(end))).all(axis=1)
    return last[~back]


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
