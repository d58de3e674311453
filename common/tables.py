"""Tables on disk: one schema for each, checked when read, written so that floats round-trip.

A schema is a pandera `DataFrameSchema`; it lives beside the code that owns the table. Here are
the mechanics, and the manifest, which every package reads.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from common.errors import UserError, did_you_mean
from common.files import PARQUET, atomic_write, found_table, natural_key, relative_path
from common.parquet import LARGE, place_of, read_parquet, write_parquet, write_parquet_in_parts
from common.words import counted

STATUSES = ("ok", "no_face", "several_faces", "unreadable", "failed")
SIDES = ("left", "right", "none", "both", "unknown")
GRADES = (1, 2, 3, 4, 5, 6)
ROMAN = ("I", "II", "III", "IV", "V", "VI")  # the same, as a clinician writes them
PALSY_CLASSES = ("healthy", "slight", "strong")
CLASS_OF_GRADE = {1: "healthy", 2: "slight", 3: "slight", 4: "strong", 5: "strong", 6: "strong"}
"""The class of each grade. The division is ours: up to grade III the eye still closes completely,
from grade IV it does not (House and Brackmann 1985)."""
_MIDDLE_GRADE = {"healthy": 1.0, "slight": 2.5, "strong": 5.0}  # of each class
_RUNS = re.compile(r"[\s']*[=+\-@]")  # with what earlier writing has put before it
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_TEXT = {"is_text": True}  # read as str, so that patient 007 stays 007
OTHERS_AS_TEXT = {"others": "text"}
"""Metadata of schemas of tables that carry columns of a manifest: what they do not know is text."""


def text(*, unique: bool = False, nullable: bool = False, required: bool = True) -> pa.Column:
    """Column of text; identifiers such as `007` keep their zeros."""
    return pa.Column(str, unique=unique, nullable=nullable, required=required, metadata=_TEXT)


def choice(values: tuple[str, ...], *, nullable: bool = False, required: bool = True) -> pa.Column:
    """Column that holds one of `values` in every row, or in every row that is not empty."""
    or_empty = ", or empty" if nullable else ""
    one_of = pa.Check.isin(values, error=f"be one of {', '.join(values)}{or_empty}")
    return pa.Column(str, one_of, nullable=nullable, required=required, metadata=_TEXT)


def number(*, required: bool = True) -> pa.Column:
    """Column of float64 in which missing is NaN."""
    return pa.Column(float, nullable=True, required=required, coerce=True)


def grade(*, required: bool = True) -> pa.Column:
    """Column of House-Brackmann grades 1..6, or empty (nullable integer)."""
    one_of = pa.Check.isin(GRADES, error="be a House-Brackmann grade, 1 to 6, or empty")
    return pa.Column("Int64", one_of, nullable=True, required=required, coerce=True)


_RULES = {  # what pandera's names of its own checks mean
    "field_uniqueness": "be different in every row",
    "not_nullable": "not be empty",
    "coerce_dtype('Int64')": "be a whole number or empty",
    "coerce_dtype('float64')": "be a number (with . as decimal point) or empty",
}

_HOLDS: dict[str | None, Callable[..., pd.Series]] = {  # the rules of most columns, checked quickly
    "isin": lambda values, allowed_values: values.isin(allowed_values),
    "greater_than_or_equal_to": lambda values, min_value: values >= min_value,
    "in_range": lambda values, min_value, max_value, **_: values.between(min_value, max_value),
}

MANIFEST = pa.DataFrameSchema(
    {
        "image_id": text(unique=True),
        "path": text(),
        "patient_id": text(),
        "task": text(nullable=True, required=False),
        "side": choice(SIDES, required=False),
        "hb_grade": grade(required=False),
        "dataset": text(nullable=True, required=False),
        "palsy_class": choice(PALSY_CLASSES, nullable=True, required=False),
        "patient_source": text(nullable=True, required=False),
    },
    name="manifest",
    metadata=OTHERS_AS_TEXT,
)
"""One row per photograph or clip. Columns beyond these are carried through untouched.

`palsy_class` is for photographs that were sorted and not graded: healthy (I), slight (II and III)
or strong (IV to VI). `patient_source` says where the patient comes from; `PHOTOGRAPH` there means
that nobody was named, so that the photograph counts as a patient of its own.
"""
PHOTOGRAPH = "photograph"

PLAIN_IMAGE = "plain_image_id"
"""Column of a manifest of altered photographs: the photograph that a row's was made from."""


def joined_columns() -> dict[str, pa.Column]:
    """Return the manifest's columns as other tables of photographs carry them behind their own."""
    names = ("patient_id", "task", "side", "dataset", "patient_source")
    return {
        **{name: text(nullable=True, required=False) for name in names},
        "hb_grade": grade(required=False),
        "palsy_class": choice(PALSY_CLASSES, nullable=True, required=False),
    }


def nameless_patients(photographs: pd.DataFrame) -> list[str]:
    """Say in a sentence that patients are not known, where `patient_source` says so; else nothing.

    Every command that holds out patients shows it first.
    """
    sources = photographs.get("patient_source", pd.Series(dtype="str"))
    alone = int((sources == PHOTOGRAPH).sum())
    sentence = (
        f"{alone} of {counted(len(photographs), 'photograph')} name no patient and count as a "
        "patient each: photographs of one person may be learned from and tested at once, so that "
        "whole patients are not held out for certain and the scores may be too good."
    )
    return [sentence] if alone else []


def severities(rows: pd.DataFrame) -> pd.Series:
    """Return how strong the palsy of each row is, 1 to 6, NaN where it is not known.

    The grade, or the middle of the class (1, 2.5, 5) where only `palsy_class` is known: to deal
    patients evenly, and to learn what goes along with the palsy. No answer is made of it.
    """
    nothing = pd.Series(np.nan, index=rows.index)
    grades = rows.get("hb_grade", nothing).astype("Float64").to_numpy(np.float64, na_value=np.nan)
    middle = rows.get("palsy_class", nothing).map(_MIDDLE_GRADE).astype(np.float64)
    return pd.Series(grades, index=rows.index).fillna(middle)


def sort_by_image_id(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in natural order of `image_id`, numbered from 0."""
    return sort_naturally(frame, ["image_id"], key="image_id")


def sort_naturally(frame: pd.DataFrame, by: list[str], *, key: str) -> pd.DataFrame:
    """Return the rows sorted by columns, of which `key` in natural order, numbered from 0."""
    names = frame[key].astype(str)
    place = {name: at for at, name in enumerate(sorted(set(names), key=natural_key))}
    keys = frame[by].assign(**{key: names.map(place)}).reset_index(drop=True)
    order = keys.sort_values(by, kind="stable").index
    return frame.iloc[order].reset_index(drop=True)


def write_table(frame: pd.DataFrame, path: Path, *, schema: pa.DataFrameSchema) -> None:
    """Check `frame` against its schema and write it as UTF-8 CSV, whole or not at all.

    Floats are written in the shortest form that reads back to the same float64; missing is empty.
    A file named `.parquet` is written as Parquet, and so is a large table where that was asked for
    (`common.parquet`): then `features.parquet` takes the place of `features.csv`.
    """
    _check(frame, schema=schema, source=path)
    place = place_of(path, schema_name=schema.name)
    if place.suffix == PARQUET:
        text = [name for name in frame.columns if _is_text(str(name), schema=schema)]
        write_parquet(frame, place, text=text)
    else:
        write_csv(frame, place)
    if schema.name in LARGE:  # of an earlier run
        place.with_suffix({PARQUET: ".csv"}.get(place.suffix, PARQUET)).unlink(missing_ok=True)


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write any table as UTF-8 CSV, whole or not at all, so that a spreadsheet runs none of it.

    A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula. Text that does,
    header or cell, gets an apostrophe before it, which `read_table` takes off again; numbers stay.
    """
    with atomic_write(path) as temporary:
        _append_csv(frame, temporary)


def write_table_in_parts(
    parts: Iterable[pd.DataFrame], path: Path, *, schema: pa.DataFrameSchema
) -> None:
    """Write a table that is too long for memory, as `write_table` does, from its parts in order.

    All parts have the same columns; each is checked by itself.
    """
    place = place_of(path, schema_name=schema.name)
    checked = (_check(part, schema=schema, source=path) for part in parts)
    if place.suffix == PARQUET:
        text = [name for name in schema.columns if _is_text(name, schema=schema)]
        write_parquet_in_parts(checked, place, text=text)
    else:
        with atomic_write(place) as temporary:
            for number, part in enumerate(checked):
                _append_csv(part, temporary, header=number == 0)
    place.with_suffix({PARQUET: ".csv"}.get(place.suffix, PARQUET)).unlink(missing_ok=True)


def _append_csv(frame: pd.DataFrame, path: Path, *, header: bool = True) -> None:
    safe = frame.rename(columns=_guarded)
    for at, (_, column) in enumerate(frame.items()):
        if not pd.api.types.is_numeric_dtype(column):
            safe.isetitem(at, column.map(_guarded, na_action="ignore").array)
    safe.to_csv(path, mode="a", header=header, index=False, lineterminator="\n", encoding="utf-8")


def read_table(path: Path, *, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Read a table and check it; text columns stay text, floats are read exactly.

    Where `features.csv` is named and only `features.parquet` is there, that is read. Columns that
    a manifest adds of its own are text, there and in the tables it is joined to: what a user wrote
    is carried through untouched, be it 007 or 1.50. UserError names file, column and row of what
    is missing or not allowed.
    """
    (frame,) = _parts_of(path, schema=schema)
    return frame


def read_table_in_parts(
    path: Path, *, schema: pa.DataFrameSchema, columns: Collection[str], rows: int = 10_000
) -> Iterator[pd.DataFrame]:
    """Read a long table some `rows` at a time, and only those of the `columns` that it has.

    The index counts on from part to part.
    """
    return _parts_of(path, schema=schema, columns=columns, rows=rows)


def _parts_of(
    path: Path,
    *,
    schema: pa.DataFrameSchema,
    columns: Collection[str] | None = None,
    rows: int | None = None,
) -> Iterator[pd.DataFrame]:
    """Yield the checked parts of a table; all of it in one where `rows` is None."""
    path = found_table(path)
    if not path.is_file():
        raise UserError(
            f"{path} does not exist or is a folder: give the path of a {schema.name} table."
        )
    if path.suffix == PARQUET:
        for frame in read_parquet(path, columns=columns, rows=rows):
            text = {name: "str" for name in frame.columns if _is_text(str(name), schema=schema)}
            yield _check(frame.astype(text), schema=schema, source=path)
        return
    for frame in _csv_parts(path, schema=schema, columns=columns, rows=rows):
        yield _check(frame, schema=schema, source=path)


def _csv_parts(
    path: Path, *, schema: pa.DataFrameSchema, columns: Collection[str] | None, rows: int | None
) -> Iterator[pd.DataFrame]:
    try:
        header = _header(path, schema=schema)
        if columns is not None:
            header = [name for name in header if name in columns]
        as_text = {name: str for name in header if _is_text(_bared(name), schema=schema)}
        read: Any = pd.read_csv(
            path,
            dtype=as_text,
            usecols=None if columns is None else header,
            chunksize=rows,
            encoding="utf-8-sig",
            keep_default_na=False,
            na_values={name: [""] for name in header},
            low_memory=False,  # else the type of a column could depend on the table's length
        )
        for frame in [read] if rows is None else read:
            yield _as_written(frame, as_text, path)
    except (ValueError, OSError, csv.Error) as e:
        reason = str(e).strip().splitlines()[0]
        raise UserError(
            f"{path} cannot be read as a CSV table ({reason}): save it as comma-separated UTF-8."
        ) from e


def _as_written(frame: pd.DataFrame, as_text: Collection[str], path: Path) -> pd.DataFrame:
    """Take off the apostrophes that guard text from a spreadsheet."""
    if not frame.empty and not isinstance(frame.index, pd.RangeIndex):  # pandas made an index of it
        raise UserError(
            f"{path} has more values in its rows than columns in its header: add names."
        )
    frame = frame.rename(columns=_bared)
    for name in as_text:
        column = frame[_bared(name)]
        if column.str.startswith("'").any():
            frame[_bared(name)] = column.map(_bared, na_action="ignore")
    return frame


def _guarded(cell: object) -> object:
    """Put an apostrophe before text that a spreadsheet would run, or that begins like a guard."""
    runs = isinstance(cell, str) and _RUNS.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if runs else cell


def _bared(cell: str) -> str:
    """Undo `_guarded`."""
    return cell[1:] if cell.startswith("'") and _guarded(cell[1:]) == cell else cell


def _is_text(name: str, *, schema: pa.DataFrameSchema) -> bool:
    if name in schema.columns:
        return bool(schema.columns[name].metadata == _TEXT)
    return bool(schema.metadata == OTHERS_AS_TEXT)


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest; relative photograph paths are resolved against the manifest's own folder."""
    frame = read_table(path, schema=MANIFEST)
    folder = str(path.resolve().parent)
    frame["path"] = [
        os.path.join(folder, photo)  # noqa: PTH118  (pathlib takes a second for 50,000 of them)
        for photo in frame["path"].tolist()
    ]
    return frame


def relative_to_folder(manifest: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Return the manifest with `path` as seen from `folder`, so that both can move together."""
    here = folder.resolve()
    return manifest.assign(path=[relative_path(Path(path), here) for path in manifest["path"]])


def photos_of(manifest: pd.DataFrame) -> tuple[tuple[str, Path], ...]:
    """Return `image_id` and file of each row."""
    rows = zip(manifest["image_id"], manifest["path"], strict=True)
    return tuple((str(image_id), Path(path)) for image_id, path in rows)


def join_manifest(
    frame: pd.DataFrame, manifest: pd.DataFrame, *, measured: Collection[str] = ()
) -> pd.DataFrame:
    """Return `frame` with the manifest's columns (without `path`) behind its own, by `image_id`.

    They take the place of columns that were joined earlier. `image_id`, `status` and the columns
    named as `measured` are the frame's own and stay.
    """
    own = {"image_id", "status", "path", *measured}
    joined = [name for name in manifest.columns if name not in own]
    return frame.drop(columns=joined, errors="ignore").merge(
        manifest[["image_id", *joined]], on="image_id", how="left", validate="one_to_one"
    )


def _header(path: Path, *, schema: pa.DataFrameSchema) -> list[str]:
    """Return the names of the columns; refuse what only looks like a table of this kind."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file), [])
    for separator, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and set(names[0].split(separator)) & set(schema.columns):
            raise UserError(
                f"{path} is separated by {word} and must be by commas: save it again as "
                '"CSV UTF-8 (comma delimited)", with . as decimal point.'
            )
    for name in names:
        if names.count(name) > 1:
            raise UserError(f'{path} has the column "{name}" twice: rename or remove one.')
    return names


def _check(frame: pd.DataFrame, *, schema: pa.DataFrameSchema, source: Path) -> pd.DataFrame:
    for name, column in schema.columns.items():
        if column.required and name not in frame.columns:
            raise UserError(
                f'{source} has no column "{name}", which a {schema.name} table needs.'
                + did_you_mean(name, map(str, frame.columns))
            )
    doubtful = {
        name: column
        for name, column in schema.columns.items()
        if name in frame.columns and not _is_sound(frame[name], column)
    }
    if not doubtful:
        return frame
    try:
        return pa.DataFrameSchema(doubtful, name=schema.name).validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        raise UserError(_first_failure(errors.failure_cases, source=source)) from errors


def _is_sound(values: pd.Series, column: pa.Column) -> bool:
    """Say whether nothing is wrong with a column: pandera takes its time for hundreds of them.

    It is asked where something is wrong, where a type has to be changed, and for rare rules.
    """
    wanted = str(column.dtype)
    of_kind = (
        wanted.startswith("str")
        if isinstance(values.dtype, pd.StringDtype)
        else wanted == str(values.dtype)
    )
    known = values.dropna()
    return bool(
        of_kind
        and (column.nullable or len(known) == len(values))
        and (values.is_unique or not column.unique)
        and all(
            rule.name in _HOLDS and _HOLDS[rule.name](known, **rule.statistics).all()
            for rule in column.checks
        )
    )


def _first_failure(cases: pd.DataFrame, *, source: Path) -> str:
    """One sentence for the first failure; row numbers count as a spreadsheet shows them."""
    # A word among numbers makes every row of its column fail the other checks; it is the cause.
    words = cases["check"].astype(str).str.startswith("coerce_dtype") & cases["index"].notna()
    cases = cases[words | ~cases["column"].isin(cases.loc[words, "column"])]
    if cases["index"].notna().any():
        cases = cases[cases["index"].notna()].drop_duplicates(["column", "index"])
    case = cases.sort_values("index", kind="stable", na_position="last").iloc[0]
    where = "" if pd.isna(case["index"]) else f", row {int(case['index']) + 2}"
    value = case["failure_case"]
    shown = "empty" if pd.isna(value) else f'"{value}"'
    others = len(cases) - 1
    more = f" ({counted(others, 'more such problem')})" if others else ""
    rule = _RULES.get(str(case["check"]), str(case["check"]))
    return f'{source}{where}: column "{case["column"]}" is {shown} but must {rule}{more}.'
