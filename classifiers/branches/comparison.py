"""Which branch is better, where they disagree, and who was right: on the same patients and folds.

Takes `SharedAnswers` from `classifiers.branches.branch`; the command `compare` writes what is found
here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from classifiers.branches.branch import SharedAnswers
from classifiers.branches.paired_scores import (
    Agreement,
    agreement,
    by_patient,
    difference,
    exchange_patients,
    paired_scores,
    recall_scores,
)
from common.arrays import Flags, Names
from common.bootstrap import resampling_weights
from common.grading.comparison import holm, mcnemar_p, mostly_right
from common.grading.evaluation import Evaluation, NumericEvaluation, confusion_of
from common.grading.predictions import KEY
from common.tables import sort_naturally

GROUPS = {"grade": "hb_grade", "class": "palsy_class", "movement": "task", "side": "side"}
NOT_IN_GROUPS = ("macro_f1",)  # of a group that lacks grades it says little
NOT_WHEN_ALIKE = ("macro_f1", "weighted_kappa")  # says nothing when all references are alike

COMPARISON_COLUMNS = (
    "level", "by", "group", "patients", "rows", "score", "first", "second",
    "first_value", "second_value", "difference", "low", "high",
    "p_permutation", "p_permutation_holm", "p_mcnemar", "p_mcnemar_holm",
)  # fmt: skip
"""`comparison.csv`: a row for each pair of branches, score and group, on each level.

`level` is photograph or patient; `by` is `all`, `grade`, `class`, `movement` or `side`, `group`
which one.
The difference is first minus second with its 95 % interval over resampled patients. Tests are made
on all patients only (`by` = `all`), never group by group; McNemar stands in the row of accuracy.
The recall of each class (`recall_1`, ...) is told of all patients and not tested.
"""

DISAGREEMENT_COLUMNS = (
    "level", "patient_id", "image_id", "task", "side", "hb_grade", "repeat", "fold",
    "apart", "right", "nearest",
)  # fmt: skip
"""`disagreements.csv`: a row for each photograph or patient that the branches answer differently.

Then for every branch `predicted_<name>`, `expected_<name>` (mean of the probabilities, in grades)
and `certainty_<name>` (probability of the answer). `apart` is the largest difference between
answers, in grades; `right` names the branches that were right, or `none`; `nearest` those that
came nearest. Ordered by `apart`, the farthest first. On the level of patients `image_id` and
`task` are empty; `side` is empty without a manifest.
"""


@dataclass(frozen=True)
class BranchComparison:
    """The comparison on one level.

    `evaluation` scores every branch and the baseline; `table` and `disagreements` are rows of
    `comparison.csv` and `disagreements.csv`, `agreements` one for each pair. `who_was_right` has a
    row for each group (`by`, `group`) and pair: how many rows were answered right by `both`,
    `only_first`, `only_second`, `neither`.
    """

    shared: SharedAnswers
    evaluation: Evaluation | NumericEvaluation
    table: pd.DataFrame
    agreements: Sequence[Agreement]
    disagreements: pd.DataFrame
    who_was_right: pd.DataFrame

    def as_json(self) -> dict[str, Any]:
        """Return the content of `metrics.json` for this level."""
        return {
            **self.evaluation.as_json(),
            "differences": json_rows(self.table[self.table["by"] == "all"]),
            "agreement": [found.as_json() for found in self.agreements],
            "disagreements": len(self.disagreements),
        }


def compare_branches(
    shared: SharedAnswers, *, manifest: pd.DataFrame | None = None, seed: int = 0
) -> BranchComparison:
    """Compare all pairs of branches on one level.

    The manifest gives movement and side of each photograph, and the side of each patient; without
    it there are no groups by movement and side.
    """
    rows = with_manifest(shared, manifest)
    parts = list(_parts(shared, rows))
    table = pd.concat(
        [_differences(part, by=by, group=group, seed=seed) for by, group, part in parts],
        ignore_index=True,
    )
    for name in ("p_permutation", "p_mcnemar"):
        table[f"{name}_holm"] = holm(table[name].to_numpy(dtype=np.float64))
    return BranchComparison(
        shared=shared,
        evaluation=shared.evaluation(seed=seed),
        table=table[list(COMPARISON_COLUMNS)],
        agreements=[
            agreement(shared, first, second, seed=seed)
            for first, second in itertools.combinations(shared.names, 2)
        ],
        disagreements=disagreements_of(shared, rows),
        who_was_right=pd.concat(
            [who_was_right(part).assign(by=by, group=group) for by, group, part in parts],
            ignore_index=True,
        ),
    )


def json_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows for `metrics.json`: numbers rounded, null where not defined."""
    return [
        {
            str(name): (None if np.isnan(value) else round(value, 6))
            if isinstance(value, float)
            else value
            for name, value in row.items()
        }
        for row in table.to_dict("records")
    ]


def disagreements_of(shared: SharedAnswers, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the branches answer differently, the farthest apart first.

    `rows` are those of `with_manifest`.
    """
    answers = np.stack([shared.said(name) for name in shared.names], axis=1)
    apart = answers.max(axis=1) - answers.min(axis=1)
    off = np.abs(answers - shared.reference[:, None])
    names = np.array(shared.names)
    table = rows.assign(
        level=shared.unit,
        apart=apart,
        right=_joined(names, off == 0),
        nearest=_joined(names, off == off.min(axis=1, keepdims=True)),
    )
    columns = [shared.target.column if c == "hb_grade" else c for c in DISAGREEMENT_COLUMNS]
    table = table.reindex(columns=list(dict.fromkeys(columns)))  # the truth may be the side
    for name in shared.names:
        if shared.numeric is not None:
            table[f"predicted_{name}"] = shared.said(name)
            continue
        chances, answered = shared.chances[name], shared.answers[name]
        table[f"predicted_{name}"] = shared.classes.named(answered)
        table[f"expected_{name}"] = shared.expected(name)
        table[f"certainty_{name}"] = chances[np.arange(len(table)), answered - 1]
    key = KEY[shared.unit]
    apart_first = sort_naturally(table[apart > 0], [key], key=key)
    return apart_first.sort_values("apart", ascending=False, kind="stable", ignore_index=True)


def who_was_right(shared: SharedAnswers) -> pd.DataFrame:
    """Count for each pair of branches how often both, one, or neither was right.

    Of numbers, which are never just right, how often each was nearer; equally near is `both`.
    """
    off = {name: np.abs(shared.said(name) - shared.reference) for name in shared.names}
    rows = []
    for first, second in itertools.combinations(shared.names, 2):
        if shared.numeric is not None:
            nearest = np.minimum(off[first], off[second])
            one, two = off[first] == nearest, off[second] == nearest
        else:
            one, two = off[first] == 0, off[second] == 0
        rows.append(
            {
                "first": first,
                "second": second,
                "both": int((one & two).sum()),
                "only_first": int((one & ~two).sum()),
                "only_second": int((~one & two).sum()),
                "neither": int((~one & ~two).sum()),
            }
        )
    return pd.DataFrame(rows)


def _joined(names: Names, chosen: Flags) -> list[str]:
    """Return for each row the names that are chosen, or `none`."""
    return [" + ".join(names[row]) or "none" for row in chosen]


def with_manifest(shared: SharedAnswers, manifest: pd.DataFrame | None) -> pd.DataFrame:
    """Return the rows with `task` and `side` where the manifest has them; NaN elsewhere.

    A patient has a side when all photographs of the patient have the same.
    """
    rows = shared.rows.assign(
        **{name: None for name in ("task", "side") if name not in shared.rows.columns}
    )
    if manifest is None:
        return rows
    if shared.unit == "photograph":
        known = manifest.set_index("image_id")
    elif "side" in manifest:
        sides = manifest.groupby("patient_id")["side"]
        known = sides.first().where(sides.nunique() == 1).to_frame()
    else:
        known = pd.DataFrame(index=manifest["patient_id"].unique())
    key = rows[KEY[shared.unit]]
    return rows.assign(
        **{name: key.map(known[name]) for name in ("task", "side") if name in known.columns}
    )


def _parts(shared: SharedAnswers, rows: pd.DataFrame) -> Iterator[tuple[str, str, SharedAnswers]]:
    """Yield everybody, then each grade, movement and side that is known."""
    yield "all", "all", shared
    for by, column in GROUPS.items():
        if column not in rows.columns:
            continue
        for value in sorted(rows[column].dropna().unique()):
            found = np.flatnonzero((rows[column] == value).to_numpy(dtype=bool))
            yield by, str(value), shared.at(found)


def _differences(shared: SharedAnswers, *, by: str, group: str, seed: int) -> pd.DataFrame:
    """Return the rows of `comparison.csv` of one group, without Holm's adjustment."""
    everyone = by == "all"
    alike = len(np.unique(shared.reference)) == 1
    left_out = () if everyone else NOT_WHEN_ALIKE if alike else NOT_IN_GROUPS
    n = len(np.unique(shared.patients))
    weights = resampling_weights(n, seed=seed)
    exchanges = exchange_patients(n, seed=seed) if everyone else None
    found = []
    told = recall_scores(shared.classes) if everyone and shared.numeric is None else []
    for score in [*paired_scores(shared.target).values(), *told]:
        if score.name in left_out:
            continue
        sums = {name: by_patient(score, shared, name) for name in shared.names}
        for first, second in itertools.combinations(shared.names, 2):
            made = difference(
                score, sums[first], sums[second], weights=weights,
                exchanges=None if score in told else exchanges,
            )  # fmt: skip
            tested = everyone and score.name == "accuracy"
            found.append(
                {
                    "level": shared.unit,
                    "by": by,
                    "group": group,
                    "patients": n,
                    "rows": len(shared.rows),
                    "score": score.name,
                    "first": first,
                    "second": second,
                    "first_value": made.first,
                    "second_value": made.second,
                    **made.columns(),
                    "p_mcnemar": _mcnemar(shared, first, second) if tested else np.nan,
                }
            )
    return pd.DataFrame(found)


def _mcnemar(shared: SharedAnswers, first: str, second: str) -> float:
    table = shared.predictions()
    right = [
        mostly_right(confusion_of(table[table["model"] == name], target=shared.classes).counts)
        for name in (first, second)
    ]
    return mcnemar_p(right[0], right[1])
