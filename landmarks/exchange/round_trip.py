"""A cohort's points given to another tool, and the points that were moved there brought back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError
from landmarks.exchange.formats import Format
from landmarks.exchange.marked import MarkedPhoto, no_points
from landmarks.exchange.tables import matched
from landmarks.find.iris import Irises
from landmarks.plausibility import implausible
from landmarks.review.corrections import Move
from landmarks.tables import BOX_COLUMNS, points_of

_OTHER_SIZE = 0.1  # a face larger or smaller by this much in both directions: of another picture
_UNEQUAL = 0.03  # as far as both directions may differ for that


@dataclass
class Returned:
    """What came back from another tool."""

    # by `image_id`, photographs with at least one moved point
    moves: dict[str, list[Move]] = field(default_factory=dict)
    unchanged: int = 0  # photographs in which nothing was moved
    # `NAME: why` of photographs from which nothing is taken
    problems: list[str] = field(default_factory=list)


def write_points(
    table: pd.DataFrame,
    out: Path,
    *,
    form: Format,
    irises: Mapping[str, Irises],
    sizes: Mapping[str, tuple[int, int] | None],
) -> int:
    """Write the points of a landmark table in the format of another tool; returns how many faces.

    One file for all is called after the format. In it, photographs without points have no face; of
    a format with a file for each photograph they have none.

    `table`: by `LANDMARKS`, with the corrections in it.
    `form`: a format that is written.
    `irises`, `sizes`: by `image_id`, as far as they are known.

    UserError when a file is there already, two photographs would have the same one, or one
    would lie outside `out`.
    """
    marks = [
        MarkedPhoto(
            name,
            points if status == "ok" else no_points(),
            irises=irises.get(name),
            box=tuple(box) if np.isfinite(box).all() else None,
            size=sizes.get(name),
        ).shifted(form.first_pixel)
        for name, status, points, box in zip(
            table["image_id"],
            table["status"],
            points_of(table),
            table.reindex(columns=list(BOX_COLUMNS)).to_numpy(np.float64).tolist(),
            strict=True,
        )
    ]
    faces = [one for one in marks if np.isfinite(one.points).all()]
    if form.write_all is not None:
        file = out / f"{form.name}{form.suffix}"
        _refuse_to_replace([file])
        form.write_all(marks, file)
    elif form.write_one is not None:
        files = [_file_of(one.name, out, suffix=form.suffix) for one in faces]
        _refuse_to_replace(files)
        for one, file in zip(faces, files, strict=True):
            form.write_one(one, file)
    return len(faces)


def returned(
    marks: Sequence[MarkedPhoto], table: pd.DataFrame, *, form: Format, given_up: frozenset[str]
) -> Returned:
    """Find the points that were moved since the table's points were given away.

    A point that a tool's file cannot tell apart from the table's (imglab and Emotrics hold whole
    px) was not moved; one that the file leaves out stays where it is.

    `marks`: from `read_marked`, px.
    `table`: by `LANDMARKS`, with the corrections in it.
    `form`: the format that the marks come from.
    `given_up`: `image_id` of photographs that were called unmeasurable.
    """
    known = matched((one.name for one in marks), table["image_id"])
    times = Counter(one.name for one in marks)
    now = dict(zip(table["image_id"], points_of(table), strict=True))
    found = Returned()
    for one in {one.name: one for one in marks}.values():
        image_id = known.get(one.name, "")
        problem = one.problem
        if not image_id:
            problem = "is none of these photographs, or its name fits several: give its whole path."
        elif times[one.name] > 1:
            problem = "several faces are marked: keep one."
        elif image_id in given_up and not problem:
            problem = 'was called unmeasurable: call it measurable again in "review" first.'
        if image_id and not one.has_face and not np.isfinite(now[image_id]).any():
            problem = ""  # it had none either
        moves = [] if problem else _moves(now[image_id], one.points, step=form.step)
        problem = problem or (_why_not(now[image_id], moves) if moves else "")
        if problem:
            found.problems.append(f"{one.name}: {problem}")
        elif moves:
            found.moves[image_id] = moves
        else:
            found.unchanged += 1
    return found


def _moves(now: NDArray[np.float64], then: NDArray[np.float64], *, step: float) -> list[Move]:
    """Points of `then` that are not `now` written to `step` px; both `(68, 2)`, NaN is nothing."""
    written = step / 2 + 1e-6
    moved = np.isfinite(then) & ~(np.abs(then - now) <= written)
    end = np.where(moved, then, now)
    return [
        Move(point, (float(now[point, 0]), float(now[point, 1])), (float(x), float(y)))
        for point, (x, y) in enumerate(end)
        if moved[point].any()
    ]


def _why_not(now: NDArray[np.float64], moves: Sequence[Move]) -> str:
    """Say in a sentence why moves cannot be meant; empty when they can."""
    then = now.copy()
    for move in moves:
        then[move.point] = move.end
    if not np.isfinite(then).all():
        missing = int((~np.isfinite(then).all(axis=1)).sum())
        return f"has no points here yet, and {missing} of the 68 are not marked: mark them all."
    if np.isfinite(now).all():
        larger = np.ptp(then, axis=0) / np.ptp(now, axis=0)
        if abs(larger.mean() - 1) > _OTHER_SIZE and np.ptp(larger) < _UNEQUAL:
            return (
                f"its face is {larger.mean():.2f} times as large as it was: its points are of a "
                "picture of another size; mark the photograph itself."
            )
    return str(implausible(then[np.newaxis])[0])


def _refuse_to_replace(files: Sequence[Path]) -> None:
    """Raise UserError for a file that is there, or that two photographs would have."""
    for file, number in Counter(files).items():
        if number > 1:
            raise UserError(
                f"{number} photographs would have the one file {file}, since they differ in their "
                "suffix alone: rename one, or choose a format of one file for all."
            )
        if file.exists():
            raise UserError(
                f"{file} is there already and may hold corrections: take them with exchange "
                "import and remove it, or give another folder with --out."
            )


def _file_of(name: str, folder: Path, *, suffix: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise UserError(f'"{name}" lies outside the folder of the photographs: rename it.')
    return folder / path.with_suffix(suffix)
