"""Ways to make one answer of several branches: late, of their answers, and early, in one grader.

All late ones leave a branch as it is when it is fused with copies of itself: `mean`, `product` and
`weighted` to the last digit of the probabilities, `stacking` in the answered grade.

Early fusion lets a grader see two numbers of the image branch, the expected grade and its spread,
beside the measurements. Those of training patients come from inner networks that had not seen them,
so they are as good, or as bad, as those of new patients, and they mean the same whichever network
they come from. The network's embedding in their place gained nothing on any cohort
(docs/measurements.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit
from sklearn.utils.class_weight import compute_sample_weight

from classifiers.branches.branch import SharedAnswers
from classifiers.graders.cohort import Samples
from classifiers.graders.nested import fit_nested
from classifiers.graders.ordinal import chances_from_above
from classifiers.graders.patients import DEEP
from classifiers.graders.registry import GraderEntry
from classifiers.graders.validation import SEARCHED_SCALERS
from common.arrays import Floats, Ints, Places
from common.errors import UserError
from common.grading.calibration import LEAST_CHANCE
from common.grading.folds import Split
from common.grading.predictions import KEY, to_patients
from common.grading.target import VISIT
from common.progress import JobProgress

BRANCH = "fused"
EARLY = f"{BRANCH}_early_summary"
FusionMethod = Literal["mean", "product", "weighted", "stacking"]
OF_NUMBERS: tuple[FusionMethod, ...] = ("mean", "weighted")
METHODS: tuple[FusionMethod, ...] = get_args(FusionMethod)
LEARNED: tuple[FusionMethod, ...] = ("weighted", "stacking")
LEAST_STRENGTH = 0.5
RIDGE = 1e-3  # on weights and coefficients; branches that are alike then count alike

WEIGHT_COLUMNS = ("level", "model", "repeat", "fold", "branch", "weight", "strength")
"""`weights.csv`: a row for each method, fold and branch.

`weight` sums to 1 over branches. `strength` is what the method multiplies with: the weight itself
for `mean` and `weighted`, the exponent for `product`, the coefficient for `stacking`, whose sum
says how much surer (above 1) or less sure (below 1) the fused answer is made.
"""

Loss = Callable[[Floats], tuple[float, Floats]]
Stacked = Floats
"""`(n, branches, k)`: probabilities of every branch for the same rows."""


@dataclass(frozen=True)
class FusedModel:
    """What one way of fusing (`fused_` and the method) answered, in the rows of the shared answers.

    `chances` are `(n, k)`; `sets` `(n, 2)` ends of the conformal set or interval, None without
    inner predictions; `weights` rows of `weights.csv`, none for a fusion without weights.
    """

    name: str
    chances: Floats
    sets: Ints | Floats | None
    weights: pd.DataFrame


@dataclass(frozen=True)
class LateFusion:
    """One way of fusing, with what it learned.

    `mean` of the probabilities; `product`: their geometric mean, brought back to sum 1 (a class
    that one branch excludes is excluded); `weighted` mean; `stacking`: ordinal logistic regression
    on the branches' log odds of lying above each grade, without thresholds of its own. `strength`
    `(branches,)` is what each branch is multiplied with: weight, exponent or coefficient.
    """

    method: FusionMethod
    strength: Floats

    @property
    def weights(self) -> Floats:
        """`(branches,)` share of each branch, sum 1."""
        return self.strength / self.strength.sum()

    def of(self, chances: Stacked) -> Floats:
        """Return the fused probabilities `(n, k)`, or of numbers `(n, branches, 1)` the mean."""
        if self.method == "stacking":
            return chances_from_above(expit(log_odds(chances) @ self.strength))
        if self.method == "product":
            return _geometric_mean(chances, self.strength)
        pooled = np.einsum("nbk,b->nk", chances, self.strength)
        if chances.shape[2] == 1:  # numbers, not probabilities
            return pooled
        return pooled / pooled.sum(axis=1, keepdims=True)


def even_fusion(method: FusionMethod, *, branches: int) -> LateFusion:
    """Return a fusion in which every branch counts alike; nothing is learned."""
    return LateFusion(method, np.full(branches, 1.0 / branches))


def learn_fusion(method: FusionMethod, chances: Stacked, truth: Ints | Floats) -> LateFusion:
    """Learn how much each branch counts from answers to training rows that it had not seen.

    `mean` and `product` learn nothing. `weighted` finds the weights, none below 0 and of sum 1,
    with the smallest ranked probability score (Epstein 1969), of numbers `(n, branches, 1)` with
    the smallest squared error; `stacking` the coefficients, none below 0, with the smallest sum of
    logistic losses over the thresholds (Rennie and Srebro 2005). Each class counts alike; `truth`
    are class numbers from 1, or the numbers. Stacking has no thresholds of its own (two copies of a
    branch must give that branch), and coefficients sum to at least `LEAST_STRENGTH`, since log odds
    near 0 would put the probability on both ends of the scale.
    """
    branches = chances.shape[1]
    if method not in LEARNED or branches == 1:
        return even_fusion(method, branches=branches)
    if chances.shape[2] == 1:  # numbers, not probabilities
        errors = chances[:, :, 0] - truth[:, None]
        return LateFusion(method, _least_square(errors.T @ errors / len(errors)))
    rows = compute_sample_weight("balanced", truth)
    least = _least_ranked_loss if method == "weighted" else _least_threshold_loss
    return LateFusion(method, least(chances, truth.astype(np.int64), rows / rows.sum()))


def log_odds(chances: Stacked) -> Floats:
    """Return the log odds of lying above each grade but the last, `(n, k - 1, branches)`.

    Chances nearer to 0 or 1 than `LEAST_CHANCE` count as that.
    """
    above = 1.0 - np.cumsum(chances, axis=2)[:, :, :-1]
    return logit(np.clip(above, LEAST_CHANCE, 1.0 - LEAST_CHANCE)).transpose(0, 2, 1)


def _geometric_mean(chances: Stacked, exponents: Floats) -> Floats:
    """Return the weighted geometric mean; where the branches exclude each other, the mean."""
    with np.errstate(divide="ignore"):
        logs = np.einsum("nbk,b->nk", np.log(chances), exponents)
    top = logs.max(axis=1, keepdims=True)
    excluded = np.isneginf(top[:, 0])
    raised = np.exp(logs - np.where(np.isneginf(top), 0.0, top))
    raised[excluded] = np.einsum("nbk,b->nk", chances[excluded], exponents)
    return raised / raised.sum(axis=1, keepdims=True)


def _least_ranked_loss(chances: Stacked, labels: Ints, rows: Floats) -> Floats:
    """Weights on the simplex; the loss is a quadratic form of them."""
    k = chances.shape[2]
    truth = (labels[:, None] <= np.arange(1, k)[None, :]).astype(np.float64)
    errors = np.cumsum(chances, axis=2)[:, :, :-1] - truth[:, None, :]
    return _least_square(np.einsum("n,nbj,ncj->bc", rows, errors, errors))


def _least_square(form: Floats) -> Floats:
    """Weights on the simplex with the smallest quadratic form, `(branches, branches)`."""
    branches = len(form)
    form = form / max(float(np.trace(form)) / branches, LEAST_CHANCE)
    form = form + RIDGE * np.eye(branches)
    return _minimum(
        lambda weights: (float(weights @ form @ weights), 2.0 * form @ weights),
        branches=branches,
        exactly_one=True,
    )


def _least_threshold_loss(chances: Stacked, labels: Ints, rows: Floats) -> Floats:
    """Coefficients of the log odds, none below 0."""
    odds = log_odds(chances)
    cuts, branches = odds.shape[1:]
    sign = np.where(labels[:, None] > np.arange(1, cuts + 1)[None, :], 1.0, -1.0)
    signed = sign[:, :, None] * odds

    def loss(strength: Floats) -> tuple[float, Floats]:
        margin = signed @ strength
        slope = -np.einsum("n,nj,njb->b", rows, expit(-margin), signed)
        value = -float((rows[:, None] * log_expit(margin)).sum())
        return value + RIDGE * float(strength @ strength), slope + 2.0 * RIDGE * strength

    return _minimum(loss, branches=branches, exactly_one=False)


def _minimum(loss: Loss, *, branches: int, exactly_one: bool) -> Floats:
    """Return where a convex loss is smallest: none below 0, sum 1 or at least `LEAST_STRENGTH`."""
    least = 1.0 if exactly_one else LEAST_STRENGTH
    found = minimize(
        loss,
        np.full(branches, 1.0 / branches),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, None)] * branches,
        constraints={
            "type": "eq" if exactly_one else "ineq",
            "fun": lambda strength: strength.sum() - least,
            "jac": np.ones_like,
        },
        options={"maxiter": 500, "ftol": 1e-12},
    )
    strength = np.maximum(found.x, 0.0)
    return strength / strength.sum() if exactly_one else strength


def folds_of(shared: SharedAnswers) -> Iterator[tuple[int, int, Places, pd.DataFrame]]:
    """Yield repeat, fold, row numbers and rows of every tested fold."""
    for key, rows in shared.rows.groupby(["repeat", "fold"], sort=True):
        repeat, fold = (int(str(part)) for part in key)
        yield repeat, fold, rows.index.to_numpy(dtype=np.intp), rows


def fuse_summary(
    samples: Samples,
    shared: SharedAnswers,
    inner: SharedAnswers,
    *,
    deep: str,
    grader: GraderEntry,
    seed: int = 0,
) -> FusedModel:
    """Grade with the measurements and two numbers of the image branch, unseen in training too.

    `samples` are the measured photographs or patients, whichever `shared` has; `deep` is the name
    of the image branch; options, columns and calibration of the grader are chosen on inner folds.
    """
    key = [KEY[shared.unit], *([VISIT] if VISIT in shared.rows else [])]
    rows = _rows_of(samples, shared.rows[key])
    k = len(shared.classes.classes)
    chances = np.zeros((len(rows), k))
    sets = np.tile([1, k], (len(rows), 1))  # all classes where too few patients taught any
    folds = list(folds_of(shared))
    with JobProgress("early fusion, summary", total=len(folds)) as progress:
        for repeat, fold, at, _ in folds:
            unseen = inner.learned_in(repeat, fold)
            train = _rows_of(samples, inner.rows[key].iloc[unseen])
            fitted = fit_nested(
                grader,
                _beside(samples.at(train), _summary(inner, deep)[unseen]),
                target=shared.classes,
                scalers=SEARCHED_SCALERS,
                seed=Split(repeat, fold, train, rows[at]).seed(seed, EARLY),
            )
            tested = _beside(samples.at(rows[at]), _summary(shared, deep)[at])
            chances[at] = fitted.answers(tested)
            ranges = fitted.bounds(tested, chances[at], target=shared.classes)
            if ranges is not None:
                sets[at] = ranges
            progress.advance(ok=True)
    return FusedModel(EARLY, chances, sets, pd.DataFrame(columns=list(WEIGHT_COLUMNS)))


def model_of_patients(
    model: FusedModel, photographs: SharedAnswers, patients: SharedAnswers
) -> FusedModel:
    """Sum up a fused model's answers to photographs: mean probability of each patient."""
    target = photographs.classes
    table = photographs.rows.assign(model=model.name, branch="fused")
    table[list(target.probability_columns)] = model.chances
    keys = list(patients.rows.columns)
    found = patients.rows.merge(
        to_patients(table, target=target), on=keys, how="left", validate="one_to_one"
    )
    chances = found[list(target.probability_columns)].to_numpy(dtype=np.float64)
    return replace(model, chances=chances, sets=None)


def _summary(shared: SharedAnswers, name: str) -> Floats:
    """Expected class number and its standard deviation, `(n, 2)`."""
    mean = shared.expected(name)
    numbers = np.arange(1, len(shared.classes.classes) + 1, dtype=np.float64)
    spread = np.sqrt((shared.chances[name] * (numbers - mean[:, None]) ** 2).sum(axis=1))
    return np.column_stack([mean, spread])


def _beside(samples: Samples, deep: Floats) -> Samples:
    """Return the samples with the image branch's columns behind their own."""
    names = [f"{DEEP}{at}" for at in range(1, deep.shape[1] + 1)]
    beside = pd.DataFrame(deep, columns=names, index=samples.features.index)
    return replace(samples, features=pd.concat([samples.features, beside], axis=1))


def _rows_of(samples: Samples, wanted: pd.DataFrame) -> Places:
    """Return the samples' row number of each photograph, patient or visit; refuse a missing one."""
    known, asked = (table.fillna({VISIT: ""}) for table in (samples.rows[[*wanted]], wanted))
    at = pd.MultiIndex.from_frame(known).get_indexer(pd.MultiIndex.from_frame(asked))
    lacks = wanted.iloc[:, 0][at < 0]
    if len(lacks):
        raise UserError(
            f'"{lacks.iloc[0]}" is in the prediction tables and has no '
            "usable features: give the features.csv that the geometric branch was made from."
        )
    return at
