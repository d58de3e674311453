"""Mistakes in a table of ratings, found and named: patients exchanged, another unit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from classifiers.raters.agreement import Agreement
from classifiers.raters.ratings import Ratings

OTHER_UNIT = 4.0  # ratio of spreads on the same patients beyond which the scale is another one
REVERSED = -0.5  # correlation with the other raters below which high and low are exchanged
ALIKE = 0.5  # correlation from which a rater of another unit has rated the same patients
FAR, NEAR = 4.0, 3.0  # usual distances: not the same patient, and the same patient
HALF_A_GRADE = 0.5  # the least usual distance of grades, which are whole numbers
TRIMMED = 0.9  # share of the distances by which the usual one is known
_TO_SD = 1.52  # a normal deviation, by the mean of the smaller nine tenths of its absolute values

RULE = (
    f"Two patients count as exchanged by a rater when both ratings lie more than {FAR:g} usual "
    f"distances from the median of the other raters and, exchanged, at most {NEAR:g}. The usual "
    "distance is the standard deviation of all ratings about that median by the smaller nine "
    "tenths, each rater's own bias taken out; of grades half a grade at least. A rater's unit is "
    f"another one when the scores are spread {OTHER_UNIT:g} times as far, or as little, as the "
    f"others' on the same patients; the direction, when they correlate by {REVERSED:g} or less."
)


def other_units(ratings: Ratings, raters: pd.DataFrame) -> dict[int, str]:
    """Name raters on another unit or in the other direction, by their number.

    `raters` is the table of `agreement.raters_of`.
    """
    found: dict[int, str] = {}
    for at, row in enumerate(raters.to_dict("records")):
        spread, correlation = row["spread"], row["correlation"]
        names = ratings.raters if len(ratings.raters) == 2 else (row["rater"],)
        who = f"Rater {' or '.join(names)} gives {ratings.score}"
        if correlation <= REVERSED:
            found[at] = (
                f"{who} in the other direction than the others (correlation {correlation:.2f}): "
                "high and low are exchanged."
            )
        elif correlation >= ALIKE and not 1 / OTHER_UNIT < spread < OTHER_UNIT:
            found[at] = (
                f"{who} on another unit: the scores are spread {spread:.3g} times as far as the "
                "others' on the same patients. Bring them to one scale."
            )
    return found if len(ratings.raters) > 2 else dict(list(found.items())[:1])


def exchanged(ratings: Ratings) -> list[tuple[str, int, int]]:
    """Return rater (two, where nothing tells which) and cases of ratings that were exchanged."""
    raters = range(len(ratings.raters))
    others = [pd.DataFrame(ratings.others_of(at)) for at in raters]
    middle = np.stack([own.median(axis=1).to_numpy() for own in others], axis=1)
    off = ratings.values - middle
    bias = np.nan_to_num(pd.DataFrame(off).median().to_numpy())
    known = np.abs((off - bias)[np.isfinite(off)])
    if not len(known):
        return []
    usual = _TO_SD * np.sort(known)[: max(1, int(TRIMMED * len(known)))].mean()
    usual = max(usual, HALF_A_GRADE) if ratings.grades else usual
    found: dict[tuple[int, int], list[str]] = {}
    for at in raters:
        far = np.flatnonzero(np.abs(off[:, at] - bias[at]) > FAR * usual)
        for pair in combinations(map(int, far), 2):
            swapped = ratings.values[list(pair[::-1]), at] - middle[list(pair), at] - bias[at]
            if (np.abs(swapped) <= NEAR * usual).all():
                found.setdefault(pair, []).append(ratings.raters[at])
    return [(" or ".join(names), *cases) for cases, names in found.items()]


def mistakes(scores: Sequence[Agreement]) -> list[str]:
    """Name every rater on another unit, and everyone who exchanged two patients, by `RULE`."""
    units = [other_units(one.ratings, one.raters) for one in scores]
    found: dict[tuple[str, str, str], list[str]] = {}
    for one_score, odd in zip(scores, units, strict=True):
        ratings = one_score.ratings.without(list(odd))
        for rater, one, two in exchanged(ratings):
            key = (rater, ratings.name_of(one), ratings.name_of(two))
            found.setdefault(key, []).append(ratings.score)
    return [sentence for odd in units for sentence in odd.values()] + [
        f"Rater {rater} seems to have exchanged {one} and {two} ({', '.join(columns)}): each of "
        "the two ratings is far from the others of that patient, and near to them in the other. "
        "Look at the rater's sheet."
        for (rater, one, two), columns in found.items()
    ]
