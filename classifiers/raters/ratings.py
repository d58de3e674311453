"""`ratings.csv`: what several raters gave the same patients, and the one target made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from common.arrays import Floats, Ints, Places
from common.errors import UserError
from common.files import natural_key
from common.grading.numeric_target import NUMERIC
from common.grading.target import VISIT
from common.tables import GRADES, grade, number, read_table, text
from common.words import counted

GRADE = "hb_grade"
KEY = ["patient_id", VISIT]
NO_SCORES = {*KEY, "rater", "date"}

RATINGS = pa.DataFrameSchema(
    {
        "patient_id": text(),
        "rater": text(),
        VISIT: text(nullable=True, required=False),
        GRADE: grade(required=False),
        **{
            name: pa.Column(
                float,
                pa.Check.in_range(
                    scale.low, scale.high, error=f"be {scale.low:g} to {scale.high:g}, or empty"
                ),
                nullable=True,
                required=False,
                coerce=True,
            )
            for name, scale in NUMERIC.items()
        },
    },
    name="ratings",
)
"""One row per patient (and visit, where there is that column) and rater; every other column of
numbers is a score too. Empty where a rater gave none."""

TARGETS = pa.DataFrameSchema(
    {
        "patient_id": text(),
        VISIT: text(nullable=True, required=False),
        "score": text(),
        "raters": pa.Column(int),
        "target": pa.Column(float),
        **{name: number() for name in ("spread", "lowest", "highest")},
        **{f"p_{one}": number() for one in GRADES},
    },
    name="targets of raters",
)
"""`rater_targets.csv`, of everybody with a rating: the mean of numbers, of grades the median (the
lower of two in the middle), and the distribution behind it: standard deviation, lowest, highest,
and the share of raters who gave each grade."""


@dataclass(frozen=True)
class Ratings:
    """What raters gave for one score, a column of the table.

    `cases` are who was rated (`patient_id` and, where there are visits, `visit`) and `raters` their
    names, in natural order; `values` are `(cases, raters)`, NaN where a rater gave nothing.
    """

    score: str
    cases: pd.DataFrame
    raters: tuple[str, ...]
    values: Floats

    @property
    def grades(self) -> bool:
        """Whether the score is a House-Brackmann grade."""
        return self.score == GRADE

    @property
    def counts(self) -> Ints:
        """`(cases,)` how many raters gave the score."""
        return np.isfinite(self.values).sum(axis=1)

    @cached_property
    def owner(self) -> Places:
        """`(cases,)` the number of each case's patient; whole patients are resampled."""
        return np.asarray(pd.factorize(self.cases["patient_id"])[0], dtype=np.intp)

    @property
    def n_patients(self) -> int:
        """How many patients were rated."""
        return int(self.owner.max()) + 1 if len(self.owner) else 0

    def in_words(self, cases: int) -> str:
        """Return so many of the cases as a count, `40 patients` or `120 visits`."""
        return counted(cases, "visit" if VISIT in self.cases else "patient")

    def name_of(self, case: int) -> str:
        """Return how a sentence calls a case."""
        row = self.cases.iloc[case]
        visit = f" (visit {row[VISIT]})" if VISIT in row else ""
        return f'"{row["patient_id"]}"{visit}'

    def others_of(self, rater: int) -> Floats:
        """Return what the other raters gave, `(cases, raters - 1)`."""
        return np.delete(self.values, rater, axis=1)

    def without(self, raters: Sequence[int]) -> Ratings:
        """Return the same without some raters."""
        kept = [at for at in range(len(self.raters)) if at not in raters]
        names = tuple(self.raters[at] for at in kept)
        return replace(self, raters=names, values=self.values[:, kept])

    def redacted(self) -> Ratings:
        """Return the same with numbers in place of names, in natural order."""
        numbers = [str(number + 1) for number in self.owner]
        names = tuple(f"rater {at}" for at in range(1, len(self.raters) + 1))
        return replace(self, cases=self.cases.assign(patient_id=numbers), raters=names)

    def targets(self) -> pd.DataFrame:
        """Return one target for each case that somebody rated, by `TARGETS`."""
        rated = self.counts > 0
        values = self.values[rated]
        if self.grades:
            target = np.nanquantile(values, 0.5, axis=1, method="lower")
            shares = [(values == one).sum(axis=1) / self.counts[rated] for one in GRADES]
        else:
            target = np.nanmean(values, axis=1)
            shares = [np.full(len(values), np.nan) for _ in GRADES]
        return self.cases[rated].assign(
            score=self.score,
            raters=self.counts[rated],
            target=target,
            spread=_spread(values),
            lowest=np.nanmin(values, axis=1),
            highest=np.nanmax(values, axis=1),
            **{f"p_{one}": share for one, share in zip(GRADES, shares, strict=True)},
        )


def read_ratings(path: Path) -> tuple[list[Ratings], list[str]]:
    """Read `ratings.csv`: every score in it, and the columns of words, which are no scores.

    Refused (`UserError`): a score out of its range, a rater who rated somebody twice, a table with
    one rater or without any score.
    """
    table = read_table(path, schema=RATINGS)
    key = [name for name in KEY if name in table.columns]
    twice = table.duplicated([*key, "rater"])
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        raise UserError(
            f'{path}, row {row + 2}: "{table["rater"].iat[row]}" has rated patient '
            f'"{table["patient_id"].iat[row]}" before: keep one row, or tell visits apart in a '
            f"column {VISIT} ({counted(int(twice.sum()), 'such row')})."
        )
    columns = [name for name in table.columns if name not in NO_SCORES]
    scores = [name for name in columns if pd.api.types.is_numeric_dtype(table[name].dtype)]
    found = [ratings_of(table, name) for name in scores if table[name].notna().any()]
    if not found:
        raise UserError(
            f"{path} has no column of scores: add {GRADE}, {', '.join(NUMERIC)} or another number "
            "behind patient_id and rater."
        )
    if len(found[0].raters) < 2:
        raise UserError(f"{path} holds one rater only: agreement needs two or more.")
    return found, [name for name in columns if name not in scores]


def ratings_of(table: pd.DataFrame, score: str) -> Ratings:
    """Return one score of a table of `RATINGS` as patients by raters."""
    key = [name for name in KEY if name in table.columns]
    wide = table.assign(**{name: table[name].fillna("") for name in key}).pivot(
        index=key, columns="rater", values=score
    )
    order = sorted(range(len(wide)), key=lambda at: [natural_key(str(x)) for x in _keys(wide)[at]])
    raters = sorted(map(str, wide.columns), key=natural_key)
    wide = wide.iloc[order][raters]
    values = wide.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    return Ratings(score, wide.index.to_frame(index=False), tuple(raters), values)


def with_targets(manifest: pd.DataFrame, scores: Sequence[Ratings]) -> pd.DataFrame:
    """Return the manifest with the raters' target of each score in its column.

    Behind it stands `<score>_raters`, how many raters it was made of. Who was not rated has none.
    Refused (`UserError`) when only one of the two tables tells visits apart.
    """
    for ratings in scores:
        key = list(ratings.cases.columns)
        if (VISIT in key) != (VISIT in manifest.columns):
            having, lacking = ("ratings", "manifest") if VISIT in key else ("manifest", "ratings")
            raise UserError(
                f"The {having} tell visits apart and the {lacking} not: add a column {VISIT} to "
                f"the table of the {lacking}."
            )
        made = ratings.targets()
        target = made["target"].astype("Int64") if ratings.grades else made["target"]
        columns = made[key].assign(
            **{ratings.score: target, f"{ratings.score}_raters": made["raters"].astype("Int64")}
        )
        manifest = manifest.drop(columns=list(columns.columns.difference(key)), errors="ignore")
        manifest = manifest.merge(columns, on=key, how="left", validate="many_to_one")
    return manifest


def _keys(wide: pd.DataFrame) -> list[tuple]:
    return [key if isinstance(key, tuple) else (key,) for key in wide.index]


def _spread(values: Floats) -> Floats:
    """Return the standard deviation of each row, NaN with fewer than two ratings."""
    n = np.isfinite(values).sum(axis=1)
    off = values - np.nanmean(values, axis=1, keepdims=True)
    return np.sqrt(np.where(n > 1, np.nansum(off**2, axis=1) / np.maximum(n - 1, 1), np.nan))
