"""True landmarks that come with a dataset, read through the manifest.

A reader writes where the truth of a photograph lies: `truth_file`, seen from the photograph's own
folder, and `truth_frame`, the frame within that file where it holds several. Three kinds of file
are read: a table with a column `image` (`true_landmarks.csv` of the simulated cohorts), a table of
frames (Toronto NeuroFace), and 68 lines of x and y (CK+, and `.pts` files, which count from 1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError
from common.words import counted

TRUTH_TABLE = "true_landmarks.csv"
SIMULATED = "simulated"
"""Column of a manifest of clips, `yes` where no person is on them."""

PTS_FIRST_PIXEL = 1.0
"""x and y of the centre of the first pixel in a `.pts` file.

Source: the page of the 300-W annotations says that they count as Matlab does, so that the top left
pixel is x=1, y=1.
"""

POINT_COLUMNS = tuple(f"{axis}_{i}" for i in range(68) for axis in "xy")
"""`x_0`, `y_0`, ..., `x_67`, `y_67`: those of a landmark table."""


@dataclass(frozen=True)
class FrameTable:
    """Numbers of a file by frame: `values` `(n, m)`, and the line of each frame.

    `faults` are (line, what is wrong) of the lines that could not be read.
    """

    frames: tuple[int, ...]
    values: NDArray[np.float64]
    lines: tuple[int, ...]
    faults: tuple[tuple[int, str], ...]


def looks_simulated(root: Path) -> bool:
    """Return whether a dataset was drawn: true points lie with it, or its folder's name says so."""
    return (root / TRUTH_TABLE).is_file() or re.match(r"sim(ulated)?[_-]", root.name) is not None


def all_simulated(photographs: pd.DataFrame) -> bool:
    """Return whether the true points of photographs are those that only a simulated cohort has."""
    files = photographs.get("truth_file", pd.Series(dtype="str")).dropna().astype(str)
    return bool(len(files)) and bool(files.str.endswith(TRUTH_TABLE).all())


def read_truth(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the true points of a manifest's photographs, one row each, whatever was found.

    Of a manifest with `truth_file` and perhaps `truth_frame`: `image_id`, `status` (`ok` or
    `failed`), `reason`, and `x_0` ... `y_67` in px of the photograph, NaN unless `ok`. UserError
    when it names no truth at all.
    """
    if "truth_file" not in manifest or manifest["truth_file"].isna().all():
        raise UserError(
            'The manifest names no true landmarks (no column "truth_file"): prepare a dataset '
            "that has them, neuroface, ckplus or a simulated cohort."
        )
    points = np.full((len(manifest), len(POINT_COLUMNS)), np.nan)
    reasons = np.full(len(manifest), "the manifest names no true landmarks", dtype=object)
    files = [
        (Path(path).parent / truth).resolve() if isinstance(truth, str) else None
        for path, truth in zip(manifest["path"], manifest["truth_file"], strict=True)
    ]
    frames = manifest.get("truth_frame", pd.Series(np.nan, index=manifest.index)).to_numpy()
    by_file = pd.Series(np.arange(len(manifest))).groupby(pd.Series(files, dtype=object)).indices
    for file, rows in by_file.items():
        try:
            known = _truth_of_file(Path(str(file)))
        except UserError as error:
            reasons[rows] = str(error)
            continue
        for row in rows:
            key = _key(known, str(manifest["image_id"].iat[row]), frames[row])
            if key in known:
                points[row], reasons[row] = known[key], None
            else:
                reasons[row] = f"{Path(str(file)).name} has no true landmarks of {key}"
    head = pd.DataFrame({"image_id": manifest["image_id"].to_numpy()})
    head["status"] = np.where(np.isnan(points).any(axis=1), "failed", "ok")
    head["reason"] = reasons
    return pd.concat([head, pd.DataFrame(points, columns=list(POINT_COLUMNS))], axis=1)


def read_frame_table(path: Path, *, n_values: int) -> FrameTable:
    """Read lines of a frame number and `n_values` numbers, with or without a header.

    Numbers may be parted by commas, semicolons, tabs or spaces. Lines that do not fit are left
    out and told in `faults`.
    """
    frames, values, lines, faults = [], [], [], []
    for number, line in enumerate(_lines(path), start=1):
        fields = [field for field in re.split(r"[,;\s]+", line.strip()) if field]
        if not fields or (number == 1 and not _is_number(fields[0])):
            continue
        if len(fields) != n_values + 1:
            faults.append((number, f"has {len(fields)} values where {n_values + 1} belong"))
        elif not all(map(_is_number, fields)):
            bad = next(field for field in fields if not _is_number(field))
            faults.append((number, f'has "{bad}" where a number belongs'))
        else:
            frames.append(int(float(fields[0])))
            values.append([float(field) for field in fields[1:]])
            lines.append(number)
    array = np.array(values, dtype=np.float64).reshape(len(values), n_values)
    return FrameTable(tuple(frames), array, tuple(lines), tuple(faults))


def read_point_list(path: Path) -> NDArray[np.float64]:
    """Read 68 lines of x and y as `(136,)`: x_0, y_0, ...; UserError for anything else."""
    fields = " ".join(_lines(path)).replace(",", " ").split()
    if len(fields) != len(POINT_COLUMNS) or not all(map(_is_number, fields)):
        raise UserError(
            f"{path.name} does not hold 68 pairs of x and y (found {len(fields)} values): get the "
            "file anew."
        )
    return np.array([float(field) for field in fields])


def read_pts(path: Path) -> NDArray[np.float64]:
    """Read a `.pts` file, with or without its header, as `(n, 2)` x, y that count from 1.

    UserError when a line is not x and y, with a decimal point.
    """
    points = []
    for number, line in enumerate(_lines(path), start=1):
        content = line.strip()
        if not content or content in "{}" or re.match(r"(version|n_points)\s*:", content):
            continue
        fields = content.split() if len(content.split()) > 1 else content.split(",")
        if len(fields) != 2 or not all(map(_is_number, fields)):
            raise UserError(
                f'{path}, line {number}: "{content[:40]}" is not x and y: give two numbers a line, '
                "with . as decimal point."
            )
        points.append([float(field) for field in fields])
    return np.array(points, dtype=np.float64).reshape(len(points), 2)


def _truth_of_file(path: Path) -> dict[str | int, NDArray[np.float64]]:
    """Points by `image_id`, by frame number, or, of a single list, under the empty name."""
    if path.suffix.lower() == ".pts":
        points = read_pts(path) - PTS_FIRST_PIXEL
        if points.size != len(POINT_COLUMNS):
            raise UserError(f"{path.name} holds {counted(len(points), 'point')} and not 68.")
        return {"": points.ravel()}
    first = next(iter(_lines(path)), "").casefold()
    if "image" in first.split(",")[0]:
        return _truth_by_image(path)
    if len(re.split(r"[,;\s]+", first.strip())) <= 2:
        return {"": read_point_list(path)}
    table = read_frame_table(path, n_values=len(POINT_COLUMNS))
    return dict(zip(table.frames, table.values, strict=True))


def _truth_by_image(path: Path) -> dict[str | int, NDArray[np.float64]]:
    table = pd.read_csv(path, encoding="utf-8-sig")
    table.columns = [re.sub(r"^([xy])_?(\d+)$", r"\1_\2", str(name)) for name in table.columns]
    absent = [name for name in POINT_COLUMNS if name not in table]
    if absent:
        raise UserError(f'{path.name} has no column "{absent[0]}": it must hold 68 points.')
    names = table.iloc[:, 0].astype(str)
    return dict(zip(names, table[list(POINT_COLUMNS)].to_numpy(np.float64), strict=True))


def _key(known: dict[str | int, NDArray[np.float64]], image_id: str, frame: Any) -> str | int:
    if "" in known:
        return ""
    if image_id in known or pd.isna(frame):
        return image_id
    return int(float(frame))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}): check that the dataset is whole."
        ) from error


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
