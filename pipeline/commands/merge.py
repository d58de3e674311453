"""The command `merge`: the shards of a large run joined to what one run would have written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa

from classifiers.commands.grade import MEASURED, grade_measured
from classifiers.graders.model_store import model_folder
from common.errors import UserError
from common.files import claimed, found_table, remove_table, sha256_of, write_json
from common.grading.target import TARGETS, Target
from common.provenance import RUN_FILE, package_versions
from common.shards import PROGRAM, ShardRecord
from common.tables import read_table, sort_naturally, write_table
from common.words import counted
from features.commands.extract import measure_all_corrected
from features.tables import (
    DISTS,
    DISTS_FILE,
    FEATURES,
    FEATURES_FILE,
    MEASURES_FILE,
    MEASURES_SCHEMA,
)
from htnet.commands.predict import PATIENT_GRADES, PHOTOGRAPH_GRADES
from htnet.micro.clips.folder import PICTURE_FOLDER
from htnet.micro.clips.store import FLOW, FLOW_FILE, join_flow_folders
from htnet.palsy.new_patients import patient_grades_schema, photograph_grades_schema
from landmarks.find.extraction import SPREADS_FILE
from landmarks.overlay import OVERLAY_FOLDER
from landmarks.review.corrections import CORRECTIONS, all_corrections_in, read_corrections
from landmarks.tables import IRISES, IRISES_FILE, LANDMARKS, LANDMARKS_FILE, SPREADS
from pipeline.shard_check import find_shards, read_records, refuse_incomplete, refuse_unlike

Schema = pa.DataFrameSchema | Callable[[Target], pa.DataFrameSchema]
OPTIONAL = (SPREADS_FILE, IRISES_FILE, DISTS_FILE, FEATURES_FILE, MEASURES_FILE)
"""Tables of settings that call for them, or of photographs: films have none."""

_POINTS: Mapping[str, Schema] = {LANDMARKS_FILE: LANDMARKS, SPREADS_FILE: SPREADS}
_MEASURED: Mapping[str, Schema] = {
    **_POINTS,
    IRISES_FILE: IRISES,
    DISTS_FILE: DISTS,
    FEATURES_FILE: FEATURES,
    MEASURES_FILE: MEASURES_SCHEMA,
}


@dataclass(frozen=True)
class Kind:
    """What a command writes: tables, in a folder inside its own, and a folder of pictures."""

    tables: Mapping[str, Schema]
    inside: str = ""
    pictures: str = OVERLAY_FOLDER


KINDS = {
    "extract": Kind(_MEASURED),
    "grade": Kind(_MEASURED, inside=MEASURED),
    "htnet predict": Kind(
        {
            **_POINTS,
            PHOTOGRAPH_GRADES: photograph_grades_schema,
            PATIENT_GRADES: patient_grades_schema,
        }
    ),
    "micro flow": Kind({FLOW_FILE: FLOW}, pictures=PICTURE_FOLDER),
}
"""Every command that can be dealt to shards."""


@dataclass(frozen=True)
class Merged:
    """Where the joined tables are, of how many images and shards."""

    out: Path
    images: int
    shards: int


def merge(shards: tuple[Path, ...], *, out: Path | None = None) -> Merged:
    """Join the shards of extract, micro flow, htnet predict or grade, proved to be whole.

    What comes out is what one run without --shard would have written, byte for byte. It is refused
    when an image is missing or occurs twice, or a shard was made with other settings, another seed,
    model or version; the sentence names the command that mends it. Corrections beside a shard are
    kept.

    Parameters
    ----------
    shards
        The folder that was the --out of all shards, or the folders of the shards.
    out
        Folder for the joined tables; the one that holds the shards when not given.

    Raises
    ------
    UserError
        When the shards are not all there, not alike, or a table of theirs is damaged.
    """
    everyone = find_shards(shards)
    kind = KINDS[everyone[0].command]
    target = out or everyone[0].folder.parent
    if out is None and any(one.folder.parent.resolve() != target.resolve() for one in everyone):
        raise UserError("The shards lie in several folders: say with --out where to join them.")
    with ExitStack() as held:
        for folder in (*([] if out else [target]), *(one.folder for one in everyone)):
            held.enter_context(claimed(folder))
        inside = ("", kind.inside) if kind.inside else ("",)
        refuse_incomplete(everyone, inside=inside)
        some = [one for one in everyone if one.images]
        records = {name: refuse_unlike(some, read_records(some, inside=name)) for name in inside}
        if kind.inside:
            _refuse_other_grader(some[0], records[""])
        _write(some, kind=kind, records=records, out=target)
    images = sum(len(one.images) for one in some)
    print(
        f"{counted(len(everyone), 'shard')} joined: {counted(images, 'image')}, each exactly "
        f"once. Tables in {target}"
    )
    return Merged(out=target, images=images, shards=len(everyone))


def _write(
    shards: Sequence[ShardRecord], *, kind: Kind, records: Mapping[str, dict[str, Any]], out: Path
) -> None:
    """Write what is joined; until all tables are known to be whole, nothing in `out` changes."""
    folder = out / kind.inside
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".merging-", dir=out) as temporary:
        made = Path(temporary)
        for name, of in kind.tables.items():
            there = [found_table(one.folder / kind.inside / name) for one in shards]
            there = [path for path in there if path.is_file()]
            if name in OPTIONAL and not there:
                continue
            table, schema = _joined(name, shards, inside=kind.inside, of=of)
            write_table(table, (made / name).with_suffix(there[0].suffix), schema=schema)
            if name == FLOW_FILE:
                join_flow_folders([one.folder for one in shards], table, out=made)
        corrections = _corrections(shards, inside=kind.inside, out=folder)
        # A stop from here on must not leave the record of other tables.
        for place in records:
            (out / place / RUN_FILE).unlink(missing_ok=True)
        for name in kind.tables:  # of an earlier run
            remove_table(folder / name)
        for path in made.iterdir():
            path.replace(folder / path.name)
    for name, table in corrections.items():
        write_table(table, folder / name, schema=CORRECTIONS)
    for one in shards:
        _place_pictures(one.folder / kind.inside / kind.pictures, folder / kind.pictures)
    for place, record in records.items():
        if not (place == "" and kind.inside):
            write_json(out / place / RUN_FILE, record)
    corrected, _ = measure_all_corrected(folder)
    if kind.inside:
        features = folder / FEATURES_FILE if corrected is None else corrected.features
        _grade(shards[0], features=features, out=out)


def _joined(
    name: str, shards: Sequence[ShardRecord], *, inside: str, of: Schema
) -> tuple[pd.DataFrame, pa.DataFrameSchema]:
    """Return one table of all shards, in natural order, and its schema."""
    tables: list[pd.DataFrame] = []
    owner: dict[str, Path] = {}
    for one in shards:
        path = one.folder / inside / name
        try:
            table, schema = _read(path, of)
            if tables and list(table.columns) != list(tables[0].columns):
                raise UserError(f"it has other columns than that of {shards[0].folder}")
            _refuse_other_rows(table, one, owner=owner)
        except UserError as error:
            raise UserError(
                f"{path} is not what shard {one.shard} wrote ({str(error).rstrip('.')}): make it "
                f"again: `{one.command_line([one.part.number])}`."
            ) from error
        tables.append(table)
    key = str(tables[0].columns[0])
    return sort_naturally(pd.concat(tables, ignore_index=True), [key], key=key), schema


def _read(path: Path, of: Schema) -> tuple[pd.DataFrame, pa.DataFrameSchema]:
    """Read a table whose schema may depend on the classes that were asked for."""
    path = found_table(path)
    if not path.is_file():
        raise UserError("it is not there")
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 1, 0))
        if path.suffix == ".csv" and file.read(1) != b"\n":
            raise UserError("its last line is cut short")
    if not isinstance(of, pa.DataFrameSchema):
        header = set(pd.read_csv(path, nrows=0).columns)
        of = of(next(one for one in TARGETS.values() if set(one.probability_columns) <= header))
    return read_table(path, schema=of), of


def _refuse_other_rows(table: pd.DataFrame, shard: ShardRecord, *, owner: dict[str, Path]) -> None:
    """Refuse a table that lacks images of its shard, or has what another shard has too."""
    names = table[table.columns[0]].tolist()
    if "film" in table:  # what a shard lists is the film, and its rows are frames
        names = table["film"].fillna(table["image_id"]).drop_duplicates().tolist()
    held = set(names)
    if table.columns[0] == "image_id":
        expected = set(shard.images)
        missing = [image_id for image_id in shard.images if image_id not in held]
        if missing:
            raise UserError(f"{counted(len(missing), 'image')} missing, such as {missing[0]}")
        foreign = [image_id for image_id in names if image_id not in expected]
        if foreign:
            raise UserError(f"{foreign[0]} is not of this shard and would occur twice")
    for name in names:
        if name in owner:
            raise UserError(f"{name} is in {owner[name]} too")
        owner[name] = shard.folder


def _corrections(
    shards: Sequence[ShardRecord], *, inside: str, out: Path
) -> dict[str, pd.DataFrame]:
    """Return by file what was corrected beside the shards, and in `out` before, in its order."""
    found: dict[str, list[pd.DataFrame]] = {}
    for folder in (out, *(one.folder / inside for one in shards)):
        for path in all_corrections_in(folder):
            found.setdefault(path.name, []).append(read_corrections(path))
    return {
        name: pd.concat(tables, ignore_index=True)
        .drop_duplicates()
        .sort_values("at", kind="stable", ignore_index=True)
        for name, tables in found.items()
    }


def _place_pictures(folder: Path, to: Path) -> None:
    """Put the pictures of a shard beside the others; they take no more space where links work."""
    for picture in folder.rglob("*"):
        if picture.is_file():
            target = to / picture.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            try:
                os.link(picture, target)
            except OSError:
                shutil.copyfile(picture, target)


def _grade(shard: ShardRecord, *, features: Path, out: Path) -> None:
    """Answer and report on the joined measurements, as it was asked of the shards."""
    options: dict[str, Any] = {
        name: shard.given[name]
        for name in ("numbered", "predictor", "redact")
        if name in shard.given
    }
    photos, model = Path(shard.given["photos"]), Path(shard.given["model"])
    grade_measured(photos, features=features, measured=True, model=model, out=out, **options)


def _refuse_other_grader(shard: ShardRecord, record: Mapping[str, Any]) -> None:
    """Refuse to answer here by another model, or other versions, than in the shards."""
    model = model_folder(Path(shard.given["model"]))
    other = [
        file["name"]
        for file in record["files"].values()
        if not (model / file["name"]).is_file() or sha256_of(model / file["name"]) != file["sha256"]
    ]
    here = package_versions()
    other += [name for name, version in record["versions"].items() if here.get(name) != version]
    if other:
        raise UserError(
            f"{model}, or what is installed here, is not what {shard.folder} was graded with "
            f"({', '.join(other)}): put it back and repeat `{PROGRAM} merge {shard.folder.parent}`."
        )
