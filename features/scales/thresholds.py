"""Where an item begins: published sets, or the healthy people of one's own cohort.

All numbers stand in `thresholds.yaml` with their source. The limits of a cohort are made anew for
every patient without that patient, so that nobody is held against themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.stats import t as student

from common.errors import UserError
from common.words import counted
from features.frames import FloatArray
from features.scales.registry import SIDE_MEASURES, SideMeasure

BinsName = Literal["cohort", "jinglei", "mirror"]
COHORT: BinsName = "cohort"
_STEPS = np.array([1.0, 3.0, 6.0])  # of synkinesis, as the published ones


@cache
def table() -> dict[str, Any]:
    """Return `thresholds.yaml`."""
    path = Path(__file__).with_name("thresholds.yaml")
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Bins:
    """Where items begin, for n people."""

    name: BinsName
    title: str
    source: str
    # By side measure `(n, k)`, or `(1, k)` where they are the same for everybody: of a movement the
    # four shares from which an item is 2 to 5, of synkinesis the three excesses from which it is 1
    # to 3, at rest the lower and the upper limit of what is normal. NaN where too few healthy
    # people have the measure.
    cuts: Mapping[str, FloatArray]
    # how many healthy people stand behind each measure (the person looked at not counted); empty
    # for a published set
    healthy: Mapping[str, NDArray[np.intp]]


def gate_of(measure: SideMeasure) -> float:
    """Return how far the other side has to move for a comparison, in the unit of its amounts."""
    gates = table()["gate"]
    return float(gates["share" if measure.unit == "share" else "length"]["value"])


def published_bins(name: BinsName) -> Bins:
    """Return a published set."""
    found = table()["sets"][name]
    tilt = float(found["commissure"])
    by_kind = {"movement": found["voluntary"], "synkinesis": found["synkinesis"]}
    at_rest = {"fissure_at_rest": found["fissure"], "commissure_at_rest": [-tilt, tilt]}
    cuts = {
        entry.name: np.array([by_kind.get(entry.kind) or at_rest[entry.name]], dtype=np.float64)
        for entry in SIDE_MEASURES
        if entry.kind in by_kind or entry.name in at_rest
    }
    return Bins(name, found["title"], found["source"], cuts, {})


def cohort_bins(
    differences: Mapping[str, FloatArray],
    *,
    owners: NDArray[np.intp],
    healthy: NDArray[np.bool_],
    source: str,
) -> Bins:
    """Return limits made of healthy people, for every row without the people in that row.

    `differences`: by side measure `(n,)`, how much right and left differ (`difference_of`).
    `owners`: `(n,)` number of the person of each row; several rows are visits.
    `healthy`: `(n,)` whether the row is of a healthy person.
    `source`: what the rows come from, for the sentence of an error.

    UserError when there are too few healthy people.
    """
    about = table()["cohort"]
    people = len(np.unique(owners[healthy]))
    if people < about["fewest"]:
        raise UserError(
            f"{source} has {counted(people, 'healthy person', 'healthy people')} (grade I, or side "
            f"none in the manifest), and thresholds of one's own cohort need {about['fewest']}: "
            f"add healthy people, or choose a published set with --bins "
            f"{' or --bins '.join(table()['sets'])} (they contradict each other: docs/scales.md)."
        )
    cuts, behind = {}, {}
    for entry in SIDE_MEASURES:
        squares = np.where(healthy, differences[entry.name] ** 2, np.nan)
        known = np.isfinite(squares)
        visits = np.bincount(owners[known], minlength=owners.max() + 1)
        total = np.bincount(owners[known], squares[known], minlength=len(visits))
        own = total / np.maximum(visits, 1)  # a person counts once, however many visits
        everybody = int((visits > 0).sum())
        n = everybody - (visits > 0)[owners]
        if everybody < about["fewest"]:
            spread = np.full(len(owners), np.nan)
        else:
            spread = np.sqrt(np.maximum(own.sum() - own[owners], 0) / n)
        least = about["least"]["ratio" if entry.ratio else entry.unit]
        cuts[entry.name] = _cuts(entry, spread, n, outside=about["outside"], least=least)
        behind[entry.name] = n
    return Bins(COHORT, about["title"], about["source"], cuts, behind)


def difference_of(measure: SideMeasure, amounts: FloatArray) -> FloatArray:
    """Return how much right and left `(n, 2)` differ: of the larger one for ratios, else plainly.

    Either side of a healthy person could be the weak one, so its mean is 0.
    """
    apart = amounts[:, 0] - amounts[:, 1]
    if not measure.ratio:
        return apart
    larger = amounts.max(axis=1)
    enough = 0.0 if measure.kind == "rest" else gate_of(measure)
    return apart / np.where(larger > enough, larger, np.nan)


def _cuts(
    measure: SideMeasure, spread: FloatArray, n: NDArray[np.intp], *, outside: float, least: float
) -> FloatArray:
    tail = outside / 2 if measure.kind == "rest" else outside
    limit = np.maximum(student.ppf(1 - tail, np.maximum(n, 1)) * spread, least)
    if measure.kind == "synkinesis":
        return limit[:, np.newaxis] * _STEPS
    if measure.kind == "movement":
        complete = np.where(limit < 1, 1 - limit, np.nan)  # else nothing can be told apart
        none = np.minimum(limit, complete / 4)
        return none[:, np.newaxis] + (complete - none)[:, np.newaxis] * np.linspace(0, 1, 4)
    if measure.ratio:
        low = np.where(limit < 1, 1 - limit, np.nan)
        return np.stack([low, 1 / low], axis=1)
    return np.stack([-limit, limit], axis=1)
