"""Which parts of the face the answers rest on: permutation importance, on held-out patients.

In every fold of a validation (`classifiers.graders.validation`, with `Plan.exchanges`) the grader
that learned on the training patients answers the tested ones once more for each part of the face,
with that part exchanged for another tested patient's, movement by movement. The fall of the score
is what the part was worth. Nothing is chosen from it.

Source: Breiman 2001, doi 10.1023/A:1010933404324, with patients exchanged in place of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from classifiers.graders.cohort import Samples
from classifiers.graders.explain import columns_of_regions
from common.arrays import Floats, Places
from common.bootstrap import Estimate, paired_difference, resampling_weights
from common.grading.comparison import tallied
from common.grading.numeric_scores import NUMERIC_SCORES
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.predictions import Unit, answer_rows, to_patients
from common.grading.scores import SCORES, Score
from features.registry import Region

EXCHANGES = 5  # how often each fold's patients are exchanged


@dataclass(frozen=True)
class RegionImportance:
    """How much of a score, per patient, each part of the face is worth.

    `falls` holds by region, the most important first, `whole`, the score as measured, minus that
    with the region exchanged; `columns` how many columns the grader has for it.
    """

    score: Score
    whole: float
    falls: dict[Region, Estimate]
    columns: dict[Region, int]


@dataclass(frozen=True)
class ExchangedFold:
    """What a grader answered to the `n` tested rows, as measured and with parts exchanged.

    `whole` are `(n, k)` probabilities or `(n,)` scores; `exchanged`, by region, holds as many for
    every exchange.
    """

    rows: pd.DataFrame
    repeat: int
    fold: int
    whole: Floats
    exchanged: dict[Region, list[Floats]]


def exchanged_answers(
    answer: Callable[[Samples], Floats],
    tested: Samples,
    *,
    exchanges: int = EXCHANGES,
    seed: Sequence[int],
) -> dict[Region, list[Floats]]:
    """Let a grader, learned without the tested patients, answer them with each region exchanged.

    In each exchange all regions come from the same donor.
    """
    names = columns_of_regions(tested.features)
    measured = tested.features.to_numpy(dtype=np.float64)
    found: dict[Region, list[Floats]] = {region: [] for region in names}
    for exchange in range(exchanges):
        donors = exchanged_rows(tested.rows, rng=np.random.default_rng([*seed, exchange]))
        for region, columns in names.items():
            own = ~tested.features.columns.isin(columns)
            altered = pd.DataFrame(
                np.where(own, measured, measured[donors]),
                index=tested.features.index,
                columns=tested.features.columns,
            )
            found[region].append(answer(replace(tested, features=altered)))
    return found


def region_importance(
    folds: Sequence[ExchangedFold],
    *,
    columns: dict[Region, list[str]],
    target: AnyTarget,
    unit: Unit,
    seed: int = 0,
) -> RegionImportance:
    """Compare the score as measured with the score after each region was exchanged.

    `folds` are one grader's, `columns` are those of `columns_of_regions`.
    """
    if isinstance(target, NumericTarget):
        score = NUMERIC_SCORES["icc"]
    else:
        score = SCORES["weighted_kappa" if target.ordered else "balanced_accuracy"]

    def counted(tables: list[pd.DataFrame]) -> Floats:
        rows = pd.concat(tables)
        rows = rows if unit == "patient" else to_patients(rows, target=target)
        return tallied(rows, target=target)

    def table(fold: ExchangedFold, answers: Floats, exchange: int) -> pd.DataFrame:
        return answer_rows(  # every exchange counts as a repeat
            fold.rows, target=target, unit=unit, answers=answers,
            repeat=fold.repeat * 1000 + exchange, fold=fold.fold, model="exchanged",
        )  # fmt: skip

    whole = counted([table(fold, fold.whole, 0) for fold in folds])
    weights = resampling_weights(len(whole), seed=seed)
    falls = {}
    for region in columns:
        without = counted(
            [
                table(fold, answers, exchange)
                for fold in folds
                for exchange, answers in enumerate(fold.exchanged[region])
            ]
        )
        falls[region], _ = paired_difference(score.of, whole, without, weights=weights)
    return RegionImportance(
        score=score,
        whole=float(score.of(whole.sum(axis=0))),
        falls=dict(sorted(falls.items(), key=lambda one: -one[1].value)),
        columns={region: len(names) for region, names in columns.items()},
    )


def exchanged_rows(rows: pd.DataFrame, *, rng: np.random.Generator) -> Places:
    """Return for each row the row whose values it is given: another patient's.

    The same movement where the other has it, else any of the other's photographs. With one patient
    alone nothing can be exchanged.
    """
    patients = rows["patient_id"].to_numpy(dtype=np.str_)
    tasks = rows.get("task", pd.Series("", index=rows.index)).fillna("").to_numpy(dtype=np.str_)
    names = np.unique(patients)
    turned = rng.permutation(names)
    donor_of = dict(zip(turned, np.roll(turned, 1), strict=True))  # a cycle: nobody keeps his own
    donors = np.empty(len(rows), dtype=np.intp)
    for at in range(len(rows)):
        of_donor = np.flatnonzero(patients == donor_of[patients[at]])
        same = of_donor[tasks[of_donor] == tasks[at]]
        donors[at] = rng.choice(same if len(same) else of_donor)
    return donors
