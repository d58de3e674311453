"""Large tables as Parquet: smaller and quicker to read than CSV, with the same content.

Needs pyarrow (`requirements-cluster.txt`), which is loaded by pandas when a table is Parquet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from common.errors import UserError
from common.files import PARQUET, atomic_write

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["csv", "parquet"]
LARGE = frozenset(
    {"landmarks", "spreads", "distances", "features", "measures", "predictions",
     "inner predictions"}
)  # fmt: skip
"""Names of the schemas whose tables have a row for every photograph, or more."""

_asked: ContextVar[Format] = ContextVar("format of large tables", default="csv")


@contextmanager
def large_tables_as(kind: Format) -> Iterator[None]:
    """Write the large tables in this format while the block runs; UserError without pyarrow."""
    if kind == "parquet":
        refuse_without_pyarrow("--format parquet")
    before = _asked.set(kind)
    try:
        yield
    finally:
        _asked.reset(before)


def place_of(path: Path, *, schema_name: str | None) -> Path:
    """Return where a table is written: a large one, named `.csv`, perhaps as Parquet."""
    as_parquet = _asked.get() == "parquet" and schema_name in LARGE and path.suffix == ".csv"
    return path.with_suffix(PARQUET) if as_parquet else path


def write_parquet(frame: pd.DataFrame, path: Path, *, text: Collection[str]) -> None:
    """Write a table, whole or not at all; what CSV would leave empty is missing here too."""
    refuse_without_pyarrow(str(path))
    with atomic_write(path) as temporary:
        _plain(frame, text=text).to_parquet(temporary, engine="pyarrow", index=False)


def write_parquet_in_parts(
    parts: Iterable[pd.DataFrame], path: Path, *, text: Collection[str]
) -> None:
    """Write a table of which one part at a time is in memory; types are those of the first."""
    refuse_without_pyarrow(str(path))
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_write(path) as temporary, ExitStack() as opened:
        writer = None
        for part in parts:
            columns = [name for name in part.columns if name in text]
            table = pa.Table.from_pandas(_plain(part, text=columns), preserve_index=False)
            if writer is None:
                writer = opened.enter_context(pq.ParquetWriter(temporary, table.schema))
            writer.write_table(table.cast(writer.schema))


def _plain(frame: pd.DataFrame, *, text: Collection[str]) -> pd.DataFrame:
    plain = frame.astype(dict.fromkeys(text, "str")).reset_index(drop=True)
    for name in plain.select_dtypes(["object", "str"]):
        plain[name] = plain[name].mask(plain[name] == "")
    return plain


def read_parquet(
    path: Path, *, columns: Collection[str] | None = None, rows: int | None = None
) -> Iterator[pd.DataFrame]:
    """Yield a table, whole or some `rows` of some `columns` at a time; UserError when damaged."""
    import pandas as pd

    refuse_without_pyarrow(str(path))
    try:
        if rows is None:
            yield pd.read_parquet(path, engine="pyarrow")
            return
        import pyarrow.parquet as pq

        file, begin = pq.ParquetFile(path), 0
        known = [name for name in file.schema_arrow.names if columns is None or name in columns]
        for batch in file.iter_batches(rows, columns=known):
            part = batch.to_pandas()
            yield part.set_axis(pd.RangeIndex(begin, begin + len(part)))
            begin += len(part)
    except (ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path} cannot be read as a Parquet table ({reason}): make it again."
        ) from error


def refuse_without_pyarrow(what: str) -> None:
    """Refuse what needs pyarrow where it is not installed."""
    if find_spec("pyarrow") is None:
        raise UserError(
            f"{what} needs pyarrow, which is not installed here: "
            "python -m pip install -c constraints.txt -r requirements-cluster.txt"
        )
