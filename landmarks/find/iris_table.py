"""The table of irises, `irises.csv`: one row per photograph, when irises were looked for."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from common.tables import choice, number, read_table, sort_by_image_id, text
from landmarks.find.iris import IRIS_STATUSES, Iris, Irises

IRISES_FILE = "irises.csv"
SIDES = ("right", "left")
_NUMBERS = ("x", "y", "radius", "strength")

IRISES = pa.DataFrameSchema(
    {
        "image_id": text(unique=True),
        **{
            f"{side}_{name}": column
            for side in SIDES
            for name, column in (
                ("status", choice(IRIS_STATUSES)),
                ("reason", text(nullable=True, required=False)),
                ("x", number()),
                ("y", number()),
                ("radius", number()),
                ("strength", number(required=False)),
            )
        },
    },
    name="irises",
)
"""`irises.csv`: px of the photograph, sides are the patient's; NaN unless that eye is `ok`."""


def iris_table(found: Mapping[str, Irises]) -> pd.DataFrame:
    """Return the table of irises by `image_id`, in natural order."""
    rows = [
        {
            "image_id": image_id,
            **{
                f"{side}_{name}": getattr(iris, name) or None
                if name == "reason"
                else getattr(iris, name)
                for side, iris in zip(SIDES, (irises.right, irises.left), strict=True)
                for name in ("status", "reason", *_NUMBERS)
            },
        }
        for image_id, irises in found.items()
    ]
    if not rows:
        return pd.DataFrame({name: [] for name in IRISES.columns})
    texts = {f"{side}_{name}": "str" for side in SIDES for name in ("status", "reason")}
    return sort_by_image_id(pd.DataFrame(rows).astype(texts))


def read_irises(path: Path) -> dict[str, Irises]:
    """Read `irises.csv`, perhaps corrected by hand, as irises by `image_id`.

    A radius and centre typed in by hand count as soon as that eye's status is `ok`.
    """
    table = read_table(path, schema=IRISES)
    return {
        str(row["image_id"]): Irises(*(_iris(row, side) for side in SIDES))
        for row in table.to_dict("records")
    }


def _iris(row: Mapping[Hashable, object], side: str) -> Iris:
    reason = row.get(f"{side}_reason")
    numbers = {
        name: float(str(row[f"{side}_{name}"])) if f"{side}_{name}" in row else float("nan")
        for name in _NUMBERS
    }
    return Iris(
        status=row[f"{side}_status"],  # type: ignore[arg-type]
        reason=reason if isinstance(reason, str) else "",
        **numbers,
    )
