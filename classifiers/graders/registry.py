"""The registry of graders: one entry for each, and the one place that builds and fits them.

To add a grader, add an entry to `GRADERS`: an estimator with `fit`, `predict_proba` and
`classes_` (if its `fit` takes `groups`, it gets the patients); one that answers with a number, with
`fit` and `predict`, to `REGRESSORS`. Everything else follows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from classifiers.graders.cohort import Samples
from classifiers.graders.estimators import (
    CalibratedSVC,
    CommonestClass,
    LogisticGrader,
    MLPGrader,
    XGBoostGrader,
)
from classifiers.graders.ordinal import FrankHall, OrdinalLogistic
from classifiers.graders.regressors import (
    GaussianProcess,
    PatientAverage,
    XGBoostRegressor,
    small_network,
    support_vectors,
)
from classifiers.graders.scaling import ScalerName, preparation, scaler_notes
from common.arrays import Floats
from common.errors import UserError, did_you_mean
from common.grading.evaluation import BASELINES, MEAN, MEDIAN
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.target import MAJORITY


@dataclass(frozen=True)
class GraderEntry:
    """One grader: its name in tables, words and a sentence for a report, and how it is made.

    `build` makes an unfitted estimator of a seed; a `baseline` ignores the features; `search` are
    options and values to choose from on inner folds; `scale_matters` says whether another scaler
    can change its answers, `usual` whether a benchmark runs it without being asked by name.
    """

    name: str
    title: str
    about: str
    build: Callable[[int], BaseEstimator]
    _: KW_ONLY
    baseline: bool = False
    search: Mapping[str, Sequence[object]] = field(default_factory=dict)
    scale_matters: bool = True
    usual: bool = True


GRADERS: dict[str, GraderEntry] = {
    entry.name: entry
    for entry in (
        GraderEntry(
            "svm", "SVM (RBF)",
            "Support vector machine with a radial kernel, calibrated on inner patients.",
            lambda seed: CalibratedSVC(random_state=seed),
            search={"C": (1.0, 10.0)},
        ),
        GraderEntry(
            "linear_svm", "SVM (linear)",
            "Support vector machine without a kernel, calibrated on inner patients.",
            lambda seed: CalibratedSVC(kernel="linear", random_state=seed),
            search={"C": (0.01, 0.1, 1.0)},
            usual=False,
        ),
        GraderEntry(
            "xgboost", "XGBoost", "Gradient-boosted decision trees.",
            lambda seed: XGBoostGrader(random_state=seed),
            search={"max_depth": (1, 2)},
            scale_matters=False,
        ),
        GraderEntry(
            "mlp", "MLP",
            "Neural network with one hidden layer of 32 units and strong weight decay.",
            lambda seed: MLPGrader(random_state=seed),
            search={"alpha": (1.0, 10.0)},
        ),
        GraderEntry(
            "random_forest", "Random forest",
            "Average of 150 decision trees grown on resampled photographs or patients.",
            lambda seed: RandomForestClassifier(
                n_estimators=150, min_samples_leaf=2, class_weight="balanced", random_state=seed
            ),
            scale_matters=False,
        ),
        GraderEntry(
            "logistic", "Logistic", "Multinomial logistic regression with a ridge penalty.",
            lambda seed: LogisticGrader(),
            search={"C": (0.1, 1.0, 10.0)},
        ),
        GraderEntry(
            "ordinal_logistic", "Ordinal logistic",
            "One score, cut into grades by thresholds that are learned with it.",
            lambda seed: OrdinalLogistic(),
            search={"alpha": (0.003, 0.03, 0.3), "loss": ("cumulative", "all_threshold")},
        ),
        GraderEntry(
            "frank_hall", "Frank-Hall",
            "A logistic regression for each step between grades (Frank and Hall 2001).",
            lambda seed: FrankHall(LogisticRegression(max_iter=1000)),
            search={"estimator__C": (0.1, 1.0, 10.0)},
        ),
        GraderEntry(
            MAJORITY, "Always the commonest",
            "Baseline: always answers the class with the most patients in training.",
            lambda seed: CommonestClass(),
            baseline=True,
        ),
        GraderEntry(
            "stratified_random", "Random guess",
            "Baseline: draws answers as often as they occurred in training.",
            lambda seed: DummyClassifier(strategy="stratified", random_state=seed),
            baseline=True,
        ),
    )
}  # fmt: skip

REGRESSORS: dict[str, GraderEntry] = {
    entry.name: entry
    for entry in (
        GraderEntry(
            "ridge", "Ridge", "Linear regression with a ridge penalty.",
            lambda seed: Ridge(),
            search={"alpha": (1.0, 10.0, 100.0)},
        ),
        GraderEntry(
            "svm", "SVM (RBF)", "Support vector machine with a radial kernel.",
            lambda seed: support_vectors(),
            search={"regressor__C": (1.0, 10.0)},
        ),
        GraderEntry(
            "xgboost", "XGBoost", "Gradient-boosted decision trees.",
            lambda seed: XGBoostRegressor(random_state=seed),
            search={"max_depth": (1, 2)},
            scale_matters=False,
        ),
        GraderEntry(
            "mlp", "MLP",
            "Neural network with one hidden layer of 32 units and strong weight decay.",
            small_network,
            search={"regressor__alpha": (1.0, 10.0)},
        ),
        GraderEntry(
            "random_forest", "Random forest",
            "Average of 150 decision trees grown on resampled photographs or patients.",
            lambda seed: RandomForestRegressor(
                n_estimators=150, min_samples_leaf=2, random_state=seed
            ),
            scale_matters=False,
        ),
        GraderEntry(
            "gaussian_process", "Gaussian process",
            "A smooth function of all columns; how smooth and how noisy is learned.",
            lambda seed: GaussianProcess(random_state=seed),
        ),
        GraderEntry(
            MEDIAN, "Always the median",
            "Baseline: always answers the median score of the training patients.",
            lambda seed: PatientAverage(how="median"),
            baseline=True,
        ),
        GraderEntry(
            MEAN, "Always the mean",
            "Baseline: always answers the mean score of the training patients.",
            lambda seed: PatientAverage(how="mean"),
            baseline=True,
        ),
    )
}  # fmt: skip
"""Graders that answer with a number; a family has the same name here and in `GRADERS`."""

USUAL = tuple(entry.name for entry in GRADERS.values() if entry.usual)


def graders_of(target: AnyTarget) -> dict[str, GraderEntry]:
    """Return the graders that can answer a target."""
    return REGRESSORS if isinstance(target, NumericTarget) else GRADERS


@dataclass(frozen=True)
class FittedGrader:
    """A fitted pipeline that answers over all classes of its target; with a number where none."""

    pipeline: Pipeline
    n_classes: int
    notes: tuple[str, ...]

    def answers(self, features: pd.DataFrame) -> Floats:
        """Return `(n, n_classes)` probabilities, or `(n,)` numbers, not cut off yet."""
        return answers_of(self.pipeline, features, n_classes=self.n_classes)


def answers_of(fitted: Any, rows: Any, *, n_classes: int) -> Floats:
    """Return `(n, n_classes)`, exactly 0 for a class missing from training; `(n,)` of numbers."""
    if not n_classes:
        return np.asarray(fitted.predict(rows), dtype=np.float64)
    spread = np.zeros((len(rows), n_classes))
    spread[:, np.asarray(fitted.classes_) - 1] = fitted.predict_proba(rows)
    return spread


def choose_graders(names: Sequence[str], *, target: AnyTarget | None = None) -> list[GraderEntry]:
    """Return the entries for `names` in registry order, always with the baselines; all of `()`.

    `target` is what they answer, a class when not given. An unknown name is refused (`UserError`)
    with a suggestion.
    """
    known = GRADERS if target is None else graders_of(target)
    for name in names:
        if name not in known:
            other = GRADERS if known is REGRESSORS else REGRESSORS
            kinds = ("numbers", "classes") if known is GRADERS else ("classes", "numbers")
            why = f" for {kinds[1]} (it answers with {kinds[0]})" if name in other else ""
            raise UserError(
                f'Unknown grader "{name}"{why}: choose from {", ".join(known)}.'
                + did_you_mean(name, known)
            )
    usual = {entry.name for entry in known.values() if entry.usual}
    always = BASELINES if known is REGRESSORS else (MAJORITY,)
    return [entry for entry in known.values() if entry.name in {*(names or usual), *always}]


def about(model: str) -> str:
    """Return a sentence on a model; nothing on one of another branch."""
    return next((of[model].about for of in (GRADERS, REGRESSORS) if model in of), "")


def title_of(model: str) -> str:
    """Return how a report calls a model; one of another branch is called by its own name."""
    return next((of[model].title for of in (GRADERS, REGRESSORS) if model in of), model)


def is_baseline(model: str) -> bool:
    """Return whether a model only shows what guessing achieves."""
    return any(model in of and of[model].baseline for of in (GRADERS, REGRESSORS))


def fit_grader(
    entry: GraderEntry,
    features: pd.DataFrame,
    samples: Samples,
    *,
    n_classes: int,
    scaler: ScalerName = "standard",
    options: Mapping[str, object] = MappingProxyType({}),
    seed: int = 0,
) -> FittedGrader:
    """Fit one grader with its preparation on the given rows and nothing else.

    `features` are columns of the `samples`, whose truth is learned; `n_classes` are those of the
    target (0 for a number), `options` those of the estimator, from the entry's `search`.
    """
    steps = preparation(scaler)
    with _told() as of_scaler:
        values = steps.fit_transform(features)
    estimator, notes = fit_estimator(entry, values, samples, options=options, seed=seed)
    told = [] if entry.baseline else scaler_notes(steps)
    pipeline = Pipeline([*steps.steps, ("grader", estimator)])
    return FittedGrader(pipeline, n_classes, tuple(dict.fromkeys([*told, *of_scaler, *notes])))


def fit_estimator(
    entry: GraderEntry,
    values: Floats,
    samples: Samples,
    *,
    options: Mapping[str, object],
    seed: int,
) -> tuple[Any, list[str]]:
    """Fit a grader on prepared values of samples; return it, and what the libraries warned of."""
    estimator = entry.build(seed).set_params(**options)
    extra = {"groups": samples.patients} if has_fit_parameter(estimator, "groups") else {}
    # Ours are known to be valid, and there are hundreds of fits.
    with config_context(skip_parameter_validation=True), _told() as notes:
        estimator.fit(values, samples.truth, **extra)
    return estimator, notes


@contextmanager
def _told() -> Iterator[list[str]]:
    """Gather the first line of what libraries warn of, without repetition."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    notes += dict.fromkeys(str(item.message).splitlines()[0] for item in caught)
