"""Targets that are numbers: Sunnybrook, eFACE, or any numeric column of the manifest.

Beside the classes of `common.grading.target`: the score of a patient, or of a patient's visit, is
read from a column, checked against its range, and answered by a number with an interval. A score
is never made out of a grade, and no grade out of a score.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from common.arrays import Floats, Ints
from common.errors import UserError, did_you_mean
from common.grading.target import (
    NO_LABEL,
    TARGETS,
    VISIT,
    Target,
    patients_and_visits,
    raters_behind,
)
from common.words import counted

RESERVED = (
    "image_id", "patient_id", "path", "task", "side", "dataset", "palsy_class", "patient_source",
    "hb_grade", VISIT, "date", "status", "reason", "fold", "repeat", "outer_fold", "model",
    "branch", "predicted", "low", "high", "photographs", "used", "missing", "caution", "distance",
    "why",
)  # fmt: skip
"""Columns of our own tables, which are no target."""
UNIT_GAP = 5.0  # one value so many times the next smaller one, a tenth of the values on either side
FEWEST_PER_UNIT = 3  # different values on either side of the gap, so that codes are no units


@dataclass(frozen=True, kw_only=True)
class NumericTarget:
    """A question whose answer is a number.

    `column` is that of manifest and predictions. Answers and intervals are cut off at the ends of
    the scale, `low` and `high`; of a column that no scale is known for (`observed`) these are the
    smallest and largest value that it holds. `unit` is what one step is called, `healthy` which end
    is healthy, None where nobody said so. `detectable` is the smallest change that two ratings by
    people tell from their own disagreement, None where it is not known. `notes` are sentences on
    the values.
    """

    name: str
    title: str
    column: str
    low: float
    high: float
    unit: str = "points"
    healthy: Literal["low", "high"] | None
    source: str
    observed: bool = False
    detectable: float | None = None
    detectable_source: str = ""
    notes: tuple[str, ...] = ()

    step: ClassVar[str] = "score"
    steps: ClassVar[str] = "scores"
    classes: ClassVar[tuple[str, ...]] = ()  # a number has none

    @property
    def sources(self) -> tuple[str, ...]:
        """Manifest columns that can answer the question."""
        return (self.column,)

    @property
    def rule(self) -> str:
        """How answers are made, in words for a report."""
        return f"a number, cut off at {shown(self.low)} and {shown(self.high)}"

    @property
    def range_in_words(self) -> str:
        """Return the range with its unit: `0 to 100 points`, `12 to 38 (as observed)`."""
        ends = f"{shown(self.low)} to {shown(self.high)}"
        return " ".join(filter(None, (ends, self.unit, "(as observed)" if self.observed else "")))

    def values(self, photographs: pd.DataFrame) -> Floats:
        """Return `(n,)` scores, NaN where a row has none; a column that is missing is refused."""
        if self.column not in photographs.columns:
            raise UserError(
                f'The table has no column "{self.column}", which {self.title} needs: give a '
                "manifest that has it (--manifest)."
            )
        found = pd.to_numeric(photographs[self.column], errors="coerce")
        return found.to_numpy(dtype=np.float64, na_value=np.nan)

    def numbers(self, photographs: pd.DataFrame) -> Ints:
        """Return 1 for each row with a score and `NO_LABEL` for the others, to count them by."""
        return np.where(np.isnan(self.values(photographs)), NO_LABEL, 1).astype(np.int64)

    def with_truth(self, photographs: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with the score as a number."""
        return photographs.assign(**{self.column: self.values(photographs)})

    def truth_source(self, photographs: pd.DataFrame) -> str:
        """Say in words where the truth of these rows comes from, and how wide it is spread."""
        values = self.values(photographs)
        known = values[~np.isnan(values)]
        if not len(known):
            return f"column {self.column}"
        of_raters = raters_behind(photographs, self.column)
        return f"column {self.column}, {shown(known.min())} to {shown(known.max())}{of_raters}"

    def clipped(self, answers: Floats) -> Floats:
        """Return answers that do not leave the range."""
        return np.clip(answers, self.low, self.high)

    def severities(self, values: Floats) -> Floats:
        """Return how far each score is from the healthy end, 0 or more, in `unit`.

        Where nobody said which end that is, the low one is taken; who needs to know, asks
        `healthy`.
        """
        return self.high - values if self.healthy == "high" else values - self.low

    def plain(self) -> dict[str, Any]:
        """Return plain values for `card.json`."""
        return asdict(self) | {"notes": list(self.notes)}

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> NumericTarget:
        """Read it from `card.json`."""
        return cls(**values | {"notes": tuple(values["notes"])})


AnyTarget = Target | NumericTarget

NUMERIC: dict[str, NumericTarget] = {
    target.name: target
    for target in (
        NumericTarget(
            name="sunnybrook", title="Sunnybrook score, 0 to 100", column="sunnybrook",
            low=0.0, high=100.0, healthy="high",
            source="Ross, Fradet and Nedzelski, Otolaryngol Head Neck Surg 1996; voluntary "
            "movement minus rest minus synkinesis. Healthy people reach 65 to 100 (Picard et al. "
            "2024, doi 10.1111/coa.14217)",
        ),
        NumericTarget(
            name="eface", title="eFACE score, 0 to 100", column="eface",
            low=0.0, high=100.0, healthy="high", source="Banks et al., Plast Reconstr Surg 2015",
        ),
    )
}  # fmt: skip
"""Scales that are known by name. Any other numeric column becomes one by `any_target`."""


def of_classes(target: AnyTarget, *, asker: str) -> Target:
    """Return a target of classes; a number is refused in the name of who cannot take one."""
    if isinstance(target, NumericTarget):
        raise UserError(
            f"{asker} works on classes, and {target.name} is a number: ask for one of "
            f"{', '.join(TARGETS)}."
        )
    return target


def answered_by(rows: pd.DataFrame, *, target: AnyTarget) -> list[str]:
    """Return whom an answer of a network is for: patients, of scores also their visits."""
    return patients_and_visits(rows) if isinstance(target, NumericTarget) else ["patient_id"]


def shown(value: float) -> str:
    """Return a number as short as it can be said: `100`, `12.5`."""
    return f"{value:.4g}"


def any_target(
    name: str, *, table: pd.DataFrame, source: Path, measured: Collection[str] = ()
) -> AnyTarget:
    """Return a target by name: of classes, a known scale, or a numeric column of the manifest.

    `table` is the manifest, or what its columns were joined to, read from `source`; `measured` are
    columns of it that are measurements and no answers. UserError for an unknown name, with the
    nearest one; for a score that is no number or out of range, with its row; for a scale that holds
    two units.
    """
    if name in TARGETS:
        return TARGETS[name]
    others = [str(column) for column in table.columns if column not in (*RESERVED, *measured)]
    if name not in NUMERIC and name not in others:
        numeric = [column for column in others if is_numeric(table[column])]
        known = list(dict.fromkeys([*TARGETS, *NUMERIC, *numeric]))
        why = f" ({name} is graded by six_grades)" if name == "hb_grade" else ""
        raise UserError(
            f'Unknown target "{name}"{why}: choose one of {", ".join(known)}.'
            + did_you_mean(name, known)
        )
    if name not in table.columns:
        raise UserError(
            f'{source} has no column "{name}", which --target {name} needs: add it to the '
            "manifest (--manifest)."
        )
    values = _numbers(table[name], source=source)
    if name in NUMERIC:
        refuse_out_of_range(values, target=NUMERIC[name], source=source)
        two = _two_units(values, target=NUMERIC[name])
        if two is not None:
            raise UserError(f"{source}: {_in_rows(two, values, column=name)}")
        return NUMERIC[name]
    return _observed(name, values, source=source)


def _observed(name: str, values: pd.Series, *, source: Path) -> NumericTarget:
    """Return the target of a column that no scale is known for."""
    known = values.dropna().to_numpy(dtype=np.float64)
    if len(np.unique(known)) < 2:
        held = f"{shown(known[0])} everywhere" if len(known) else "no number"
        raise UserError(
            f'{source}: column "{name}" holds {held}, so there is nothing to tell apart.'
        )
    target = NumericTarget(
        name=name, title=f"{name[:1].upper()}{name[1:]}", column=name,
        low=float(known.min()), high=float(known.max()), unit="", healthy=None,
        source="a column of the manifest; its range is the one observed", observed=True,
    )  # fmt: skip
    two = _two_units(values, target=target)
    return target if two is None else replace(target, notes=(_in_rows(two, values, column=name),))


def is_numeric(column: pd.Series) -> bool:
    """Say whether a column holds numbers, and nothing else but empty cells."""
    found = pd.to_numeric(column, errors="coerce")
    return bool(found.notna().any()) and bool((found.notna() | column.isna()).all())


def _numbers(column: pd.Series, *, source: Path) -> pd.Series:
    """Return the column as float64; text and infinite numbers are refused with their row."""
    found = pd.to_numeric(column, errors="coerce").astype(np.float64)
    wrong = column.notna() & ~np.isfinite(found)
    if wrong.any():
        row, said = _first(wrong), column[wrong].iat[0]
        raise UserError(
            f'{source}, row {row}: column "{column.name}" is "{said}" but must be a number (with . '
            f"as decimal point) or empty{_more(wrong)}."
        )
    return found


def refuse_out_of_range(values: pd.Series, *, target: NumericTarget, source: Path) -> None:
    """Refuse scores beyond the ends of the scale, with the row of the first (`UserError`)."""
    outside = (values < target.low) | (values > target.high)
    if outside.any():
        found = float(values[outside].to_numpy()[0])
        raise UserError(
            f'{source}, row {_first(outside)}: column "{target.column}" is {shown(found)} but the '
            f"scale goes from {shown(target.low)} to {shown(target.high)}{_more(outside)}: correct "
            "it, or leave it empty."
        )


def _two_units(values: pd.Series, *, target: NumericTarget) -> float | None:
    """Return the value up to which a column seems to be in another unit; None for one unit.

    On a scale to 100, values below 1 that are written with more decimals than any value above 1
    are shares of 1 (0.64 among 87 and 30, 0.268 among 26.8). In another column there are two units
    where one value is `UNIT_GAP` times the next smaller one or more, with a tenth of the values and
    `FEWEST_PER_UNIT` different ones on either side.
    """
    size = values.abs()
    size = size[size > 0].sort_values()
    if size.empty:
        return None
    if not target.observed:
        written = size.map(_decimals)
        finest = written[size > 1].max() if (size > 1).any() else -1
        return float(size[size <= 1].max()) if (written[size < 1] > finest).any() else None
    number, sizes = len(size), size.to_numpy(dtype=np.float64)
    for at in np.flatnonzero(sizes[1:] >= UNIT_GAP * sizes[:-1]) + 1:
        sides = sizes[:at], sizes[at:]
        if (
            min(map(len, sides)) >= number / 10
            and min(len(np.unique(side)) for side in sides) >= FEWEST_PER_UNIT
        ):
            return float(sizes[at - 1])
    return None


def _decimals(value: float) -> int:
    """Return how many decimals a number is written with, six at most."""
    return len(f"{value:.6f}".rstrip("0").partition(".")[2])


def other_unit_in_words(values: pd.Series, *, target: NumericTarget) -> str | None:
    """Say which rows of a column seem to be in another unit; None for one unit."""
    two = _two_units(values, target=target)
    return None if two is None else _in_rows(two, values, column=target.column)


def _in_rows(upto: float, values: pd.Series, *, column: str) -> str:
    small = (values.abs() <= upto) & (values != 0)
    large = values.abs() > upto
    if not large.any():
        return (
            f'column "{column}" goes to {shown(upto)} only (row {_first(small)} is the first), so '
            "it seems to be a share of 1: multiply it by 100."
        )
    one, other = (float(values[rows].to_numpy()[0]) for rows in (small, large))
    return (
        f'column "{column}" seems to hold two units: {shown(one)} in row '
        f"{_first(small)}, {shown(other)} in row {_first(large)} "
        f"({counted(int(small.sum()), 'row')} up to {shown(upto)}, {int(large.sum())} above): "
        "bring all rows to one unit."
    )


def _first(rows: pd.Series) -> int:
    """Return the first of the rows as a spreadsheet numbers it."""
    return int(np.flatnonzero(rows.to_numpy())[0]) + 2


def _more(rows: pd.Series) -> str:
    others = int(rows.sum()) - 1
    return f" ({counted(others, 'more such row')})" if others else ""
