"""Why this grade: which parts of the face, and which columns of trees, made a grader's answer.

Comes from a fitted grader and the rows that it answers; goes to the command `grade` and to
`classifiers.graders.importance`. What was measured on the two sides is in
`classifiers.reports.side_readings`. Nothing here chooses or changes a grader.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from classifiers.graders.cohort import Samples
from classifiers.graders.nested import NestedGrader
from common.arrays import Floats, Ints
from common.words import spoken
from features.frames import MIDLINE, PAIRED
from features.registry import DISTANCES, FEATURES, REGIONS, Measurement, Region
from landmarks.points import REGIONS as PARTS

WORTH_SAYING = 0.15  # of a class: smaller effects of a region are not told
WORTH_SAYING_OF_SCALE = 0.02  # of the range of a score
_REGION_OF_PART: dict[str, Region] = {
    "jaw": "jaw", "right_brow": "brow", "left_brow": "brow", "nose": "nose",
    "right_eye": "eye", "left_eye": "eye", "mouth": "mouth",
}  # fmt: skip
_POINT_OF_PART = (*PAIRED, *PAIRED, *MIDLINE)
_REGION_OF_POINT: dict[int, Region] = {
    point: _REGION_OF_PART[part] for part, points in PARTS.items() for point in points
}
_MEASURED: dict[str, Measurement] = {entry.name: entry for entry in (*DISTANCES, *FEATURES)}


def region_of(column: str) -> Region:
    """Return the part of the face that a column describes; `face` when it names none.

    Works for `f3` as for names that carry a movement or a summary with it, and for the blocks of
    `classifiers.graders.patients` (`odd.rest.12`).
    """
    tokens = re.split(r"[^A-Za-z0-9]+", column)
    if tokens[0] in ("odd", "even"):
        return _REGION_OF_POINT[_POINT_OF_PART[int(tokens[-1])]]
    for token in tokens:
        if token in _MEASURED:
            return _MEASURED[token].region
    return "face"


def columns_of_regions(features: pd.DataFrame) -> dict[Region, list[str]]:
    """Return the columns of each region that has any, in the order of the registry."""
    regions = {str(name): region_of(str(name)) for name in features.columns}
    return {
        region: [name for name, of in regions.items() if of == region]
        for region in REGIONS
        if region in set(regions.values())
    }


def region_effects(
    grader: NestedGrader, samples: Samples, *, typical: Mapping[str, float | None]
) -> pd.DataFrame:
    """Return how the answer changes when a part of the face is given typical values instead.

    `typical` holds by column the median of healthy training patients; a column without one keeps
    its values. Rows as `samples`, a column for each region: expected class, or score, as measured,
    minus that with the region typical.
    """
    features = samples.features
    measured = features.to_numpy(dtype=np.float64)
    healthy = np.array([typical.get(str(name)) for name in features.columns], dtype=np.float64)
    # Where nothing was measured nothing can be exchanged: missing stays missing.
    changeable = ~np.isnan(measured) & ~np.isnan(healthy)
    of_region = {
        region: changeable & features.columns.isin(names)
        for region, names in columns_of_regions(features).items()
    }
    altered = [measured, *(np.where(own, healthy, measured) for own in of_region.values())]
    # All at once: one answer of many rows takes hardly longer than one of a single row.
    asked = replace(
        samples.at(np.tile(np.arange(len(measured)), len(altered))),
        features=pd.DataFrame(np.concatenate(altered), columns=features.columns),
    )
    answers = grader.answers(asked)
    if answers.ndim == 2:  # probabilities
        answers = answers @ np.arange(1, answers.shape[1] + 1)
    expected = answers.reshape(len(altered), -1)
    return pd.DataFrame(
        dict(zip(of_region, expected[0] - expected[1:], strict=True)), index=features.index
    )


@dataclass(frozen=True)
class TreeValues:
    """SHAP values of boosted trees, in log-odds.

    `values` are `(n, k, c)`: for each row and column, what it adds towards each class (numbers from
    1) that was learned; `base` `(n, c)` is what a class starts from. Both together are the output.
    """

    values: Floats
    base: Floats
    columns: list[str]
    classes: Ints

    def for_class(self, number: int) -> pd.Series:
        """Return how much each column spoke for a class, mean of the rows, strongest first."""
        at = int(np.flatnonzero(self.classes == number)[0])
        mean = pd.Series(self.values[:, :, at].mean(axis=0), index=self.columns)
        return mean.sort_values(ascending=False, kind="stable")


def tree_values(grader: NestedGrader, samples: Samples) -> TreeValues | None:
    """Return SHAP values (Lundberg et al. 2020, doi 10.1038/s42256-019-0138-9) by XGBoost's own.

    Exact, over the training rows that the trees themselves remember. None for a grader that is not
    XGBoost, or that learned one class only. They add up to the answer before its temperature.
    """
    pipeline = grader.grader.pipeline
    trees = getattr(pipeline[-1], "trees_", pipeline[-1])
    classes = np.asarray(pipeline.classes_, dtype=np.int64)
    if len(classes) < 2 or not hasattr(trees, "get_booster"):
        return None
    from xgboost import DMatrix

    features = grader.columns.make(samples)[grader.choice.columns]
    prepared = np.asarray(pipeline[:-1].transform(features), dtype=np.float64)
    found = np.asarray(trees.get_booster().predict(DMatrix(prepared), pred_contribs=True))
    if found.ndim == 2:  # of two classes it knows only the log-odds of the second
        found = np.stack([-found, found], axis=1)
    values = np.moveaxis(found.astype(np.float64), 1, 2)
    return TreeValues(
        values[:, :-1], values[:, -1], [str(name) for name in features.columns], classes
    )


def part_sentences(grader: NestedGrader, worth: Mapping[str, float]) -> list[str]:
    """Say which parts of the face moved the answer, by the means of `region_effects`."""
    effects = pd.Series(worth, dtype="float64")
    least, what = WORTH_SAYING, "expected class"
    if grader.scale is not None:
        least, what = WORTH_SAYING_OF_SCALE * (grader.scale[1] - grader.scale[0]), "score"
    told = effects[effects.abs() >= least].sort_values(ascending=False, kind="stable")
    if told.empty:
        return []
    parts = [
        f"the {region} {abs(effect):.1f} {'lower' if effect > 0 else 'higher'}"
        for region, effect in told.items()
    ]
    return [
        f"With one part of the face as in healthy people, the {what} would be: {', '.join(parts)}."
    ]


def tree_sentences(grader: NestedGrader, samples: Samples, *, number: int, name: str) -> list[str]:
    """Name the features that spoke most for the answer, in graders made of trees."""
    found = tree_values(grader, samples)
    if found is None or number not in found.classes:
        return []
    strongest = found.for_class(number).head(3)
    said = ", ".join(
        f"{column} ({_meaning(str(column))}) {value:+.2f}" for column, value in strongest.items()
    )
    return [f"What spoke most for {name}, in log-odds: {said}."]


def _meaning(column: str) -> str:
    """Return what a column tells, in words."""
    how, _, what = column.rpartition(".")
    if column == "severity":
        return "one-sidedness of the face in all movements"
    if how in ("lack", "reach"):
        lags, goes = f"how far the weak side lags in {spoken(what)}", f"how far {spoken(what)} goes"
        return lags if how == "lack" else goes
    meaning = _MEASURED[what].meaning if what in _MEASURED else what
    summary = {"mean": ", mean over photographs", "worst": ", largest of all photographs"}
    return f"{meaning[0].lower()}{meaning[1:]}{summary.get(how, '')}"
