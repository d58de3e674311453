"""The two tables of this package, `dists.csv` and `features.csv`: schemas, readers, provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa

from common.errors import UserError
from common.provenance import read_run_record
from common.tables import OTHERS_AS_TEXT, STATUSES, choice, joined_columns, number, read_table, text
from features.definitions import DefinitionName, definition_named
from features.registry import DISTANCE_NAMES, FEATURE_NAMES

DISTS_FILE, FEATURES_FILE = "dists.csv", "features.csv"


def _schema(name: str, columns: tuple[str, ...]) -> pa.DataFrameSchema:
    """One row per photograph; what a joined manifest adds behind keeps the manifest's types."""
    return pa.DataFrameSchema(
        {
            "image_id": text(unique=True),
            "status": choice(STATUSES),
            **{column: number() for column in columns},
            **joined_columns(),
        },
        name=name,
        metadata=OTHERS_AS_TEXT,
    )


DISTS = _schema("distances", DISTANCE_NAMES)
"""`dists.csv`: the 34 distances, px; NaN unless `ok`."""

FEATURES = _schema("features", FEATURE_NAMES)
"""`features.csv`: `f0` to `f28`, units in the registry; NaN unless `ok`."""


def read_dists(path: Path) -> pd.DataFrame:
    """Read a table of distances."""
    return read_table(path, schema=DISTS)


def read_features(path: Path) -> pd.DataFrame:
    """Read a table of features; manifest columns joined behind them come along."""
    return read_table(path, schema=FEATURES)


def definition_of(table: Path) -> DefinitionName | None:
    """Return the definition that `dists.csv` or `features.csv` was measured with.

    It is written in the `run.json` beside the table, under `notes`, `definition`.

    Parameters
    ----------
    table
        Path of the table.

    Returns
    -------
    The definition, or None when no `run.json` lies there or it names none (a table brought from
    elsewhere): then nobody knows, and nothing is guessed.

    Raises
    ------
    UserError
        When `run.json` is damaged or names a definition that this version does not have.
    """
    record = read_run_record(table.parent)
    notes = record.get("notes") if record else None
    name = notes.get("definition") if isinstance(notes, dict) else None
    return None if name is None else definition_named(str(name)).name


def landmark_run_of(table: Path) -> dict[str, Any] | None:
    """Return the record of the run that found the points behind a table; it names the model.

    A run of `features` keeps it inside its own record, `notes`, `landmark_run`: where both write
    into one folder its record takes the other's place.
    """
    record = read_run_record(table.parent)
    if record is None or record.get("command") != "features":
        return record
    notes = record.get("notes")
    earlier = notes.get("landmark_run") if isinstance(notes, dict) else None
    return earlier if isinstance(earlier, dict) else None


def refuse_other_definition(table: Path, *, found: str | None, learned: str | None) -> None:
    """Refuse a feature table of another definition than a model learned from.

    Parameters
    ----------
    found, learned
        Definition of the table, and of those that the model learned from; where one of them is
        not recorded, nobody knows and nothing is refused.
    """
    if learned and found and found != learned:
        raise UserError(
            f"{table} was measured with the feature definition {found} and the model learned from "
            f"{learned}: measure again with --definition {learned}."
        )
