"""Late fusion: the probabilities of several branches made into one answer.

Takes `SharedAnswers` (what the branches answered to tested patients) and, for methods that learn
weights, their answers inside the training patients (`inner_predictions.csv`); gives rows of
`predictions.csv` with branch `fused`. The truth of a tested patient is never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from classifiers.branches import SharedAnswers
from classifiers.evaluation import Evaluation

FusionMethod = Literal["mean", "product", "weighted", "stacking"]
WEIGHT_COLUMNS = ("level", "model", "repeat", "fold", "branch", "weight", "strength")
"""`weights.csv`: a row for each method, fold and branch.

`weight` sums to 1 over branches. `strength` is what the method multiplies with: the weight itself
for `mean` and `weighted`, the exponent for `product`, the coefficient for `stacking`, whose sum
says how much surer (above 1) or less sure (below 1) the fused answer is made.
"""


@dataclass(frozen=True)
class Fusion:
    """Fused answers on one level.

    Attributes
    ----------
    shared
        What was fused.
    predictions
        By `predictions_schema`, one model for each method (`fused_mean`, `fused_weighted`, ...),
        branch `fused`; with `set_low` and `set_high` where inner predictions allow sets.
    weights
        Rows of `weights.csv`.
    evaluation
        Scores of every branch, every fused model, and `majority`.
    differences
        A row for each fused model and score: `level`, `model`, `score`, `better_branch` (of the
        single branches, by this score), `fused_value`, `branch_value`, `difference` (fused minus
        the better branch), `low`, `high`, `p_permutation`, `p_permutation_holm`.
    chosen
        The model whose answer stands for the fusion in reports and patient pages, named before any
        score is seen: `fused_weighted` with inner predictions, else `fused_mean`.
    """

    shared: SharedAnswers
    predictions: pd.DataFrame
    weights: pd.DataFrame
    evaluation: Evaluation
    differences: pd.DataFrame
    chosen: str
