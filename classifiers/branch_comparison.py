"""Which branch is better, where they disagree, and who was right: on the same patients and folds.

Takes `SharedAnswers` from `classifiers.branches`; the command `compare` writes what is found here.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from classifiers.branches import SharedAnswers
from classifiers.evaluation import Evaluation
from classifiers.intervals import Estimate

COMPARISON_COLUMNS = (
    "level", "by", "group", "patients", "rows", "score", "first", "second",
    "first_value", "second_value", "difference", "low", "high",
    "p_permutation", "p_permutation_holm", "p_mcnemar", "p_mcnemar_holm",
)  # fmt: skip
"""`comparison.csv`: a row for each pair of branches, score and group, on each level.

`level` is photograph or patient; `by` is `all`, `grade`, `movement` or `side`, `group` which one.
The difference is first minus second with its 95 % interval over resampled patients. Tests are made
on all patients only (`by` = `all`), never group by group; McNemar stands in the row of accuracy.
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
class Agreement:
    """How well two branches agree with each other, whoever is right.

    Attributes
    ----------
    weighted_kappa, exact, within_one
        Between the two branches' answers.
    bias, low_limit, high_limit
        Bland-Altman on expected grades: mean of first minus second, and the limits between which
        95 % of the differences lie, each with its interval over patients.
    answer_bias, answer_low, answer_high
        The same on the answered grades.
    """

    first: str
    second: str
    weighted_kappa: Estimate
    exact: Estimate
    within_one: Estimate
    bias: Estimate
    low_limit: Estimate
    high_limit: Estimate
    answer_bias: Estimate
    answer_low: Estimate
    answer_high: Estimate


@dataclass(frozen=True)
class BranchComparison:
    """The comparison on one level.

    Attributes
    ----------
    shared
        The answers that were compared, row by row.
    evaluation
        Scores of every branch, and of always answering the commonest grade (`majority`).
    table
        Rows of `comparison.csv`.
    agreements
        One for each pair of branches.
    disagreements
        Rows of `disagreements.csv`.
    who_was_right
        A row for each pair and group (`by`, `group`): `first`, `second`, and the counts `both`,
        `only_first`, `only_second`, `neither`.
    """

    shared: SharedAnswers
    evaluation: Evaluation
    table: pd.DataFrame
    agreements: list[Agreement]
    disagreements: pd.DataFrame
    who_was_right: pd.DataFrame
