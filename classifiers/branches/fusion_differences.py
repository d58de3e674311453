"""Is a fused grade better than the better branch? Paired, on the same patients and folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from classifiers.branches.branch import SharedAnswers
from classifiers.branches.paired_scores import difference, exchange_patients, paired_scores
from common.bootstrap import resampling_weights
from common.grading.comparison import holm

DIFFERENCE_COLUMNS = (
    "level", "model", "score", "better_branch", "fused_value", "branch_value", "difference",
    "low", "high", "p_permutation", "p_permutation_holm",
)  # fmt: skip


def beside_the_better(
    everything: SharedAnswers, *, branches: Sequence[str], fused: Sequence[str], seed: int
) -> pd.DataFrame:
    """Return the differences of every fused model to the branch that is better by each score.

    Parameters
    ----------
    everything
        Answers of the branches and of the fused models.
    branches, fused
        Names of either.
    seed
        Of the bootstrap and of the permutation tests.
    """
    n = len(np.unique(everything.patients))
    weights = resampling_weights(n, seed=seed)
    exchanges = exchange_patients(n, seed=seed)
    rows = []
    for score in paired_scores(everything.target).values():
        sums = {name: score.by_patient(everything, name) for name in everything.names}
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
                    "difference": made.estimate.value,
                    "low": made.estimate.low,
                    "high": made.estimate.high,
                    "p_permutation": made.p_permutation,
                }
            )
    table = pd.DataFrame(rows)
    table["p_permutation_holm"] = holm(table["p_permutation"].to_numpy(dtype=np.float64))
    return table[list(DIFFERENCE_COLUMNS)]
