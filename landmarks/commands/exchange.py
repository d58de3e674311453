"""The commands `exchange export` and `exchange import`: points corrected in another tool."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from common.errors import UserError, exit_code_for
from common.files import claimed
from common.photos import list_photos, upright_size
from common.provenance import write_run_record
from common.tables import photos_of, read_manifest, read_table
from common.words import counted
from landmarks.exchange.formats import FORMATS, read_marked
from landmarks.exchange.round_trip import returned, write_points
from landmarks.find.iris import Irises
from landmarks.review.corrections import (
    Journal,
    corrected,
    corrected_irises,
    corrections_of,
    of_these_photographs,
    photographs_of,
    read_corrections,
)
from landmarks.tables import LANDMARKS, LANDMARKS_FILE, OtherTool, irises_beside


@dataclass(frozen=True)
class Exchanged:
    """How many photographs were exchanged, points moved, and photographs left as they were."""

    photographs: int
    moved: int = 0
    failed: int = 0

    @property
    def exit_code(self) -> int:
        """0 all were exchanged, 3 some were not, 4 none was."""
        return exit_code_for(ok=self.photographs, failed=self.failed)


def export_points(
    tables: Path, *, to: OtherTool, out: Path, photos: Path | None = None, rater: str | None = None
) -> Exchanged:
    """Write a cohort's points, with the corrections, for another tool.

    Parameters
    ----------
    tables
        Folder that extract has written.
    to
        pts, imglab, cvat, coco or emotrics.
    out
        Folder for the file (cvat.xml, coco.json, imglab.xml), or for a file for each photograph
        (pts, emotrics). imglab looks for the photographs from there, Emotrics beside each file.
    photos
        The folder, or the manifest (.csv), that extract was given; cvat and coco need it, since
        they hold the size of each photograph.
    rater
        Whose corrections are taken, as in review.
    """
    form = FORMATS[to]
    if not form.is_written:
        written = ", ".join(name for name, one in FORMATS.items() if one.is_written)
        raise UserError(f"Points of {to} are read and not written: give one of {written}.")
    if form.needs_size and photos is None:
        raise UserError(
            f"{to} holds the size of each photograph: give the photographs by --photos."
        )
    began = time.monotonic()
    corrections = corrections_of(tables, rater)
    table, irises, warnings = _now(tables, corrections)
    sizes: dict[str, tuple[int, int] | None] = {}
    if photos is not None:
        of_folder = not photos.is_file()
        found = list_photos(photos).photos if of_folder else photos_of(read_manifest(photos))
        sizes = {image_id: upright_size(path) for image_id, path in found}
    faces = write_points(table, out, form=form, irises=irises, sizes=sizes)
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    unknown = [k for k in table["image_id"] if form.needs_size and sizes.get(k) is None]
    for image_id in unknown:
        print(f"{image_id}: {photos} has no such photograph; its size is left out", file=sys.stderr)
    given = (tables / LANDMARKS_FILE, corrections)
    write_run_record(
        out,
        command="exchange export",
        settings={"to": to, "rater": rater},
        files={path.stem: path for path in given if path.is_file()},
        counts={"photographs": len(table), "with_points": faces, "size_unknown": len(unknown)},
        seconds={"total": time.monotonic() - began},
    )
    print(
        f"Points of {counted(faces, 'photograph')} of {len(table)} in {out}. When they are "
        f"corrected: exchange import {out} --into {tables}"
    )
    return Exchanged(faces, failed=len(unknown))


def import_points(
    source: Path, *, into: Path, rater: str | None = None, points_from: OtherTool | None = None
) -> Exchanged:
    """Take the points that were moved in another tool into the corrections of a cohort.

    Only points that lie elsewhere than in TABLES become corrections, so that the same file can be
    taken again. A photograph that TABLES does not have, or whose points cannot be meant, is named
    and left as it is. Measure again with `features TABLES/landmarks.csv`.

    Parameters
    ----------
    source
        The file of the other tool, or the folder of its files.
    into
        The folder TABLES that the points were exported from.
    rater
        Name or sign of who corrected; each has corrections of their own, as in review.
    points_from
        The tool; recognised by its content when not given.
    """
    path = corrections_of(into, rater)
    with claimed(path, is_file=True):
        table, _, warnings = _now(into, path)
        journal = Journal(path, rater=rater, photographs=photographs_of(table))
        form, marks = read_marked(source, points_from)
        verdicts = journal.rows[journal.rows["action"].isin(("unmeasurable", "measurable"))]
        last = verdicts.drop_duplicates("image_id", keep="last")
        found = returned(
            marks,
            table,
            form=form,
            given_up=frozenset(last.loc[last["action"] == "unmeasurable", "image_id"]),
        )
        for image_id, moves in found.moves.items():
            journal.add(image_id, "move", moves, reason=f"moved in {form.name}")
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    for line in found.problems:
        print(f"not taken: {line}", file=sys.stderr)
    moved = sum(map(len, found.moves.values()))
    print(
        f"{counted(moved, 'point')} moved in {counted(len(found.moves), 'photograph')}, "
        f"{found.unchanged} unchanged, {len(found.problems)} not taken."
        + (f" Corrections in {path}: measure again with features." if moved else "")
    )
    return Exchanged(len(found.moves) + found.unchanged, moved=moved, failed=len(found.problems))


def _now(tables: Path, corrections: Path) -> tuple[pd.DataFrame, dict[str, Irises], list[str]]:
    """Landmark table and irises with the corrections in them, and what to be warned of."""
    table = read_table(tables / LANDMARKS_FILE, schema=LANDMARKS)
    irises = irises_beside(tables / LANDMARKS_FILE)
    moves = of_these_photographs(read_corrections(corrections), table, path=corrections)
    table, irises = corrected_irises(corrected(table, moves.rows), irises, moves.rows)
    return table, irises, moves.warnings()
