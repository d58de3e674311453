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
from numpy.typing import NDArray

from classifiers.graders.cohort import Samples
from classifiers.graders.explain import region_of
from common.bootstrap import Estimate, interval, resampling_weights
from common.grading.evaluation import confusion_of
from common.grading.predictions import Unit, prediction_rows, to_patients
from common.grading.scores import SCORES, Score
from common.grading.target import Target
from features.registry import REGIONS, Region

EXCHANGES = 5  # how often each fold's patients are exchanged


@dataclass(frozen=True)
class RegionImportance:
    """How much of a score each part of the face is worth.

    Attributes
    ----------
    score
        The score, per patient.
    whole
        Its value with every part as measured.
    falls
        By region: whole minus the score with the region exchanged, with the 95 % interval over
        resampled patients.
    columns
        By region: how many columns the grader has for it.
    """

    score: Score
    whole: float
    falls: dict[Region, Estimate]
    columns: dict[Region, int]

    def table(self) -> pd.DataFrame:
        """Return one row for each region, the most important first."""
        order = sorted(self.falls, key=lambda region: -self.falls[region].value)
        return pd.DataFrame(
            {
                "Part of the face": list(order),
                "Columns": [self.columns[region] for region in order],
                f"Fall of {self.score.title.lower()}": [
                    f"{found.value:.2f}\n{found.low:.2f} to {found.high:.2f}"
                    for found in (self.falls[region] for region in order)
                ],
            }
        )


@dataclass(frozen=True)
class ExchangedFold:
    """What one fitted grader answered in its fold, as measured and with parts exchanged.

    Attributes
    ----------
    rows
        The `n` tested photographs or patients.
    repeat, fold
        Where they were tested.
    whole
        `(n, k)` probabilities with every part as measured.
    exchanged
        By region, `(n, k)` for every exchange.
    """

    rows: pd.DataFrame
    repeat: int
    fold: int
    whole: NDArray[np.float64]
    exchanged: dict[Region, list[NDArray[np.float64]]]


def exchanged_answers(
    answer: Callable[[Samples], NDArray[np.float64]],
    tested: Samples,
    *,
    exchanges: int = EXCHANGES,
    seed: Sequence[int],
) -> dict[Region, list[NDArray[np.float64]]]:
    """Let a fitted grader answer the tested rows with each region exchanged.

    Parameters
    ----------
    answer
        From rows to `(n, k)` probabilities; learned without the tested patients.
    exchanges
        How often the patients are exchanged; in each exchange all regions come from the same donor.
    seed
        Of the exchanges, together with their number.
    """
    names = columns_of_regions(tested.features)
    measured = tested.features.to_numpy(dtype=np.float64)
    found: dict[Region, list[NDArray[np.float64]]] = {region: [] for region in names}
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


def columns_of_regions(features: pd.DataFrame) -> dict[Region, list[str]]:
    """Return the columns of each region that has any, in the order of the registry."""
    regions = {str(name): region_of(str(name)) for name in features.columns}
    return {
        region: [name for name, of in regions.items() if of == region]
        for region in REGIONS
        if region in set(regions.values())
    }


def region_importance(
    folds: Sequence[ExchangedFold],
    *,
    columns: dict[Region, list[str]],
    target: Target,
    unit: Unit,
    seed: int = 0,
) -> RegionImportance:
    """Compare the score as measured with the score after each region was exchanged.

    Parameters
    ----------
    folds
        Answers of one grader in every fold.
    columns
        By region, from `columns_of_regions`.
    target, unit
        Of the answers.
    seed
        Of the bootstrap.
    """
    score = SCORES["weighted_kappa" if target.ordered else "balanced_accuracy"]

    def counted(tables: list[pd.DataFrame]) -> NDArray[np.float64]:
        rows = pd.concat(tables)
        rows = rows if unit == "patient" else to_patients(rows, target=target)
        return confusion_of(rows, target=target).counts

    def table(fold: ExchangedFold, chances: NDArray[np.float64], exchange: int) -> pd.DataFrame:
        return prediction_rows(  # every exchange counts as a repeat
            fold.rows, target=target, unit=unit, probabilities=chances,
            repeat=fold.repeat * 1000 + exchange, fold=fold.fold, model="exchanged",
        )  # fmt: skip

    whole = counted([table(fold, fold.whole, 0) for fold in folds])
    weights = resampling_weights(len(whole), seed=seed)
    falls = {}
    for region in columns:
        without = counted(
            [
                table(fold, chances, exchange)
                for fold in folds
                for exchange, chances in enumerate(fold.exchanged[region])
            ]
        )
        falls[region] = _fall(score, whole, without, weights=weights)
    return RegionImportance(
        score=score,
        whole=float(score.of(whole.sum(axis=0))),
        falls=falls,
        columns={region: len(names) for region, names in columns.items()},
    )


def exchanged_rows(rows: pd.DataFrame, *, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return for each row the row whose values it is given.

    Each patient gets another patient's photographs, movement for movement where the other has it;
    a movement that the other lacks comes from any of the other's photographs. With one patient
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


def _fall(
    score: Score,
    whole: NDArray[np.float64],
    without: NDArray[np.float64],
    *,
    weights: NDArray[np.float64],
) -> Estimate:
    """Whole minus without, on the same resampled patients."""
    fall = float(score.of(whole.sum(axis=0)) - score.of(without.sum(axis=0)))
    drawn = [np.tensordot(weights, counts, axes=1) for counts in (whole, without)]
    return interval(fall, score.of(drawn[0]) - score.of(drawn[1]))
