"""Late fusion: the probabilities of several branches made into one answer.

Takes `SharedAnswers` (what the branches answered to tested patients) and, for methods that learn
weights, their answers inside the training patients (`inner_predictions.csv`); gives rows of
`predictions.csv` with branch `fused`. The truth of a tested patient is never looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from classifiers.branches.branch import SharedAnswers
from classifiers.branches.comparison import json_rows
from classifiers.branches.fusion_methods import (
    BRANCH,
    LEARNED,
    METHODS,
    OF_NUMBERS,
    WEIGHT_COLUMNS,
    FusedModel,
    FusionMethod,
    LateFusion,
    even_fusion,
    folds_of,
    learn_fusion,
)
from classifiers.branches.paired_scores import (
    by_patient,
    difference,
    exchange_patients,
    paired_scores,
)
from common.bootstrap import resampling_weights
from common.errors import UserError
from common.grading.calibration import GradeSets, ScoreIntervals, learn_intervals, learn_sets
from common.grading.comparison import holm
from common.grading.evaluation import Evaluation, NumericEvaluation
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.predictions import answer_rows, in_order

DIFFERENCE_COLUMNS = (
    "level", "model", "score", "better_branch", "fused_value", "branch_value", "difference",
    "low", "high", "p_permutation", "p_permutation_holm",
)  # fmt: skip

_STANDS_FOR_FUSION = (f"{BRANCH}_stacking", f"{BRANCH}_weighted", f"{BRANCH}_mean")


@dataclass(frozen=True)
class Fusion:
    """Fused answers on one level, scored beside every branch and the baseline.

    `predictions` are rows of `predictions.csv` (a model for each method, with sets where inner
    predictions allow them), `weights` of `weights.csv`. `differences` has a row of
    `DIFFERENCE_COLUMNS` for each fused model and score: fused minus the better branch by this
    score. `chosen` is the model of `stands_for_fusion`.
    """

    shared: SharedAnswers
    predictions: pd.DataFrame
    weights: pd.DataFrame
    evaluation: Evaluation | NumericEvaluation
    differences: pd.DataFrame
    chosen: str

    def as_json(self) -> dict[str, Any]:
        """Return the content of `metrics.json` for this level."""
        return {
            **self.evaluation.as_json(),
            "chosen": self.chosen,
            "beside_the_better_branch": json_rows(self.differences),
        }


def methods_for(
    asked: Sequence[FusionMethod], *, inner: bool, target: AnyTarget
) -> tuple[FusionMethod, ...]:
    """Return the late methods to use: those asked for, or all that are possible.

    Refused (`UserError`): a method that learns weights without inner predictions, and one of
    probabilities where the answer is a number.
    """
    possible = OF_NUMBERS if isinstance(target, NumericTarget) else METHODS
    if not asked:
        return tuple(method for method in possible if inner or method not in LEARNED)
    if strange := [method for method in asked if method not in possible]:
        raise UserError(
            f'The method "{strange[0]}" fuses probabilities, and {target.name} is a number: ask '
            f"for {' or '.join(possible)} (--method)."
        )
    needy = [method for method in asked if method in LEARNED]
    if needy and not inner:
        raise UserError(
            f'The method "{needy[0]}" learns weights inside the training patients and needs '
            "inner_predictions.csv of every branch: make them with benchmark --inner-predictions "
            "and htnet train --inner-folds, or ask for mean or product."
        )
    return tuple(method for method in METHODS if method in asked)


def fuse_late(
    shared: SharedAnswers,
    *,
    inner: SharedAnswers | None = None,
    methods: Sequence[FusionMethod] = (),
) -> list[FusedModel]:
    """Fuse the probabilities of the branches, weights learned anew in every fold.

    The truth of tested rows is not looked at; weights and sets come from `inner`, the answers
    inside the training patients of every fold.
    """
    return [
        _fused(method, shared, inner=inner)
        for method in methods_for(methods, inner=inner is not None, target=shared.target)
    ]


def fusion_of(shared: SharedAnswers, fused: Sequence[FusedModel], *, seed: int = 0) -> Fusion:
    """Gather fused models into tables, and score them beside every branch and the baseline."""
    everything = shared.with_models({model.name: model.chances for model in fused})
    names = [model.name for model in fused]
    tables = [
        answer_rows(
            rows, target=shared.target, unit=shared.unit,
            answers=model.chances[at, 0] if shared.numeric else model.chances[at],
            bounds=None if model.sets is None else model.sets[at],
            repeat=repeat, fold=fold, model=model.name, branch=BRANCH,
        )
        for model in fused
        for repeat, fold, at, rows in folds_of(shared)
    ]  # fmt: skip
    return Fusion(
        shared=shared,
        predictions=in_order(pd.concat(tables), unit=shared.unit, models=names),
        weights=pd.concat(
            [model.weights for model in fused if len(model.weights)] or [fused[0].weights],
            ignore_index=True,
        ),
        evaluation=everything.evaluation(seed=seed),
        differences=beside_the_better(everything, branches=shared.names, fused=names, seed=seed),
        chosen=stands_for_fusion(names),
    )


def beside_the_better(
    everything: SharedAnswers, *, branches: Sequence[str], fused: Sequence[str], seed: int
) -> pd.DataFrame:
    """Return the differences of every fused model to the branch that is better by each score.

    `everything` holds the answers of the branches and of the fused models, named in the others.
    """
    n = len(np.unique(everything.patients))
    weights = resampling_weights(n, seed=seed)
    exchanges = exchange_patients(n, seed=seed)
    rows = []
    for score in paired_scores(everything.target).values():
        sums = {name: by_patient(score, everything, name) for name in everything.names}
        values = {name: float(score.of(sums[name].sum(axis=0))) for name in branches}
        sign = 1 if score.higher_is_better else -1
        better = max(branches, key=lambda name: (sign * values[name], -branches.index(name)))
        for model in fused:
            made = difference(
                score, sums[model], sums[better], weights=weights, exchanges=exchanges
            )
            rows.append(
                {
                    "level": everything.unit,
                    "model": model,
                    "score": score.name,
                    "better_branch": better,
                    "fused_value": made.first,
                    "branch_value": made.second,
                    **made.columns(),
                }
            )
    table = pd.DataFrame(rows)
    table["p_permutation_holm"] = holm(table["p_permutation"].to_numpy(dtype=np.float64))
    return table[list(DIFFERENCE_COLUMNS)]


def stands_for_fusion(names: Sequence[str]) -> str:
    """Return the fused model that stands for the fusion, in every report and on every page.

    Stacking, else weighted, else mean, else the first: named before any score is seen, so that the
    best of several is not picked afterwards.
    """
    return next((name for name in _STANDS_FOR_FUSION if name in names), names[0])


def _fused(
    method: FusionMethod, shared: SharedAnswers, *, inner: SharedAnswers | None
) -> FusedModel:
    stacked = shared.stacked()
    chances = np.zeros((len(shared.rows), stacked.shape[2]))
    sets = np.zeros((len(shared.rows), 2))
    weights = []
    for repeat, fold, at, _ in folds_of(shared):
        learned, of_sets = _learned(method, shared, inner, repeat=repeat, fold=fold)
        chances[at] = learned.of(stacked[at])
        if isinstance(of_sets, GradeSets):
            sets[at] = of_sets.of(chances[at])
        elif of_sets is not None and shared.numeric is not None:
            sets[at] = of_sets.of(chances[at, 0], target=shared.numeric)
        weights.append(_weight_rows(learned, shared, repeat=repeat, fold=fold))
    return FusedModel(
        name=f"{BRANCH}_{method}",
        chances=chances,
        sets=sets if inner is not None and _has_sets(shared) else None,
        weights=pd.concat(weights, ignore_index=True),
    )


def _learned(
    method: FusionMethod,
    shared: SharedAnswers,
    inner: SharedAnswers | None,
    *,
    repeat: int,
    fold: int,
) -> tuple[LateFusion, GradeSets | ScoreIntervals | None]:
    """Return what is learned for one outer fold from its training patients: fusion and sets."""
    if inner is None:
        return even_fusion(method, branches=len(shared.names)), None
    at = inner.learned_in(repeat, fold)
    chances = inner.stacked()[at]
    labels, truth = inner.truth[at], inner.reference[at]
    learned = learn_fusion(method, chances, truth)
    if not _has_sets(shared):
        return learned, None
    # The sets need answers of a fusion that did not learn from the answered patient either.
    part = inner.rows["fold"].to_numpy()[at]
    unseen = np.zeros((len(at), chances.shape[2]))
    for number in np.unique(part):
        asked, others = part == number, part != number
        taught = others if others.any() else asked
        unseen[asked] = learn_fusion(method, chances[taught], truth[taught]).of(chances[asked])
    if shared.numeric is not None:
        patients = inner.patients[at]
        return learned, learn_intervals(unseen[:, 0], truth, patients, target=shared.numeric)
    return learned, learn_sets(unseen, labels)


def _has_sets(shared: SharedAnswers) -> bool:
    return shared.numeric is not None or shared.classes.ordered


def _weight_rows(
    learned: LateFusion, shared: SharedAnswers, *, repeat: int, fold: int
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "level": shared.unit,
            "model": f"{BRANCH}_{learned.method}",
            "repeat": repeat,
            "fold": fold,
            "branch": list(shared.names),
            "weight": learned.weights,
            "strength": learned.strength,
        }
    )[list(WEIGHT_COLUMNS)]
