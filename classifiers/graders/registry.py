"""The registry of graders: one entry for each, and the one place that builds them.

To add a grader, add an entry to `GRADERS`: an estimator with `fit`, `predict_proba` and
`classes_` (if its `fit` takes `groups`, it gets the patients). Everything else follows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from classifiers.graders.estimators import (
    CalibratedSVC,
    CommonestClass,
    LogisticGrader,
    MLPGrader,
    XGBoostGrader,
)
from classifiers.graders.ordinal import FrankHall, OrdinalLogistic
from classifiers.graders.scaling import ScalerName, prepared, scaler_notes
from common.errors import UserError, did_you_mean
from common.grading.target import MAJORITY


@dataclass(frozen=True, kw_only=True)
class GraderEntry:
    """One grader.

    Attributes
    ----------
    name, title
        Name on the command line and in tables, and words for a report.
    about
        One sentence for the reader of a report.
    build
        From a seed to an unfitted estimator.
    baseline
        Whether it ignores the features and only shows what guessing achieves.
    search
        Options and their values to choose from on inner folds, when a search is asked for.
    scale_matters
        Whether another scaler can change its answers; trees only see the order.
    usual
        Whether a benchmark runs it without being asked by name.
    """

    name: str
    title: str
    about: str
    build: Callable[[int], BaseEstimator]
    baseline: bool = False
    search: Mapping[str, Sequence[object]] = field(default_factory=dict)
    scale_matters: bool = True
    usual: bool = True


GRADERS: dict[str, GraderEntry] = {
    entry.name: entry
    for entry in (
        GraderEntry(
            name="svm",
            title="SVM (RBF)",
            about="Support vector machine with a radial kernel, calibrated on inner patients.",
            build=lambda seed: CalibratedSVC(random_state=seed),
            search={"C": (1.0, 10.0)},
        ),
        GraderEntry(
            name="linear_svm",
            title="SVM (linear)",
            about="Support vector machine without a kernel, calibrated on inner patients.",
            build=lambda seed: CalibratedSVC(kernel="linear", random_state=seed),
            search={"C": (0.01, 0.1, 1.0)},
            usual=False,
        ),
        GraderEntry(
            name="xgboost",
            title="XGBoost",
            about="Gradient-boosted decision trees.",
            build=lambda seed: XGBoostGrader(random_state=seed),
            search={"max_depth": (1, 2)},
            scale_matters=False,
        ),
        GraderEntry(
            name="mlp",
            title="MLP",
            about="Neural network with one hidden layer of 32 units and strong weight decay.",
            build=lambda seed: MLPGrader(random_state=seed),
            search={"alpha": (1.0, 10.0)},
        ),
        GraderEntry(
            name="random_forest",
            title="Random forest",
            about="Average of 150 decision trees grown on resampled photographs or patients.",
            build=lambda seed: RandomForestClassifier(
                n_estimators=150, min_samples_leaf=2, class_weight="balanced", random_state=seed
            ),
            scale_matters=False,
        ),
        GraderEntry(
            name="logistic",
            title="Logistic",
            about="Multinomial logistic regression with a ridge penalty.",
            build=lambda seed: LogisticGrader(),
            search={"C": (0.1, 1.0, 10.0)},
        ),
        GraderEntry(
            name="ordinal_logistic",
            title="Ordinal logistic",
            about="One score, cut into grades by thresholds that are learned with it.",
            build=lambda seed: OrdinalLogistic(),
            search={"alpha": (0.003, 0.03, 0.3), "loss": ("cumulative", "all_threshold")},
        ),
        GraderEntry(
            name="frank_hall",
            title="Frank-Hall",
            about="A logistic regression for each step between grades (Frank and Hall 2001).",
            build=lambda seed: FrankHall(
                LogisticRegression(class_weight="balanced", max_iter=1000)
            ),
            search={"estimator__C": (0.1, 1.0, 10.0)},
        ),
        GraderEntry(
            name=MAJORITY,
            title="Always the commonest",
            about="Baseline: always answers the class with the most patients in training.",
            build=lambda seed: CommonestClass(),
            baseline=True,
        ),
        GraderEntry(
            name="stratified_random",
            title="Random guess",
            about="Baseline: draws answers as often as they occurred in training.",
            build=lambda seed: DummyClassifier(strategy="stratified", random_state=seed),
            baseline=True,
        ),
    )
}  # fmt: skip

USUAL = tuple(entry.name for entry in GRADERS.values() if entry.usual)


@dataclass(frozen=True)
class FittedGrader:
    """A fitted pipeline that answers over all classes of its target, whichever it saw."""

    pipeline: Pipeline
    n_classes: int
    notes: tuple[str, ...]

    def probabilities(self, features: pd.DataFrame) -> NDArray[np.float64]:
        """Return `(n, n_classes)`; a class that was missing from training gets exactly 0."""
        spread = np.zeros((len(features), self.n_classes))
        seen = np.asarray(self.pipeline.classes_, dtype=np.intp) - 1
        spread[:, seen] = self.pipeline.predict_proba(features)
        return spread


def choose_graders(names: Sequence[str]) -> list[GraderEntry]:
    """Return the entries for `names` in registry order, always with the majority baseline.

    Raises
    ------
    UserError
        For an unknown name, with a suggestion.
    """
    for name in names:
        if name not in GRADERS:
            raise UserError(
                f'Unknown grader "{name}": choose from {", ".join(GRADERS)}.'
                + did_you_mean(name, GRADERS)
            )
    return [entry for entry in GRADERS.values() if entry.name in {*names, MAJORITY}]


def title_of(model: str) -> str:
    """Return how a report calls a model; one of another branch is called by its own name."""
    return GRADERS[model].title if model in GRADERS else model


def is_baseline(model: str) -> bool:
    """Return whether a model only shows what guessing achieves."""
    return model in GRADERS and GRADERS[model].baseline


def fit_grader(
    entry: GraderEntry,
    *,
    features: pd.DataFrame,
    labels: NDArray[np.int64],
    patients: NDArray[np.str_],
    n_classes: int,
    scaler: ScalerName = "standard",
    seed: int = 0,
) -> FittedGrader:
    """Fit one grader with its preparation on the given rows and nothing else.

    Parameters
    ----------
    entry
        From `GRADERS`.
    features, labels, patients
        `(n, k)` features, class numbers 1..`n_classes`, and the patient of each row.
    n_classes
        Of the target, including classes that these rows lack.
    scaler
        Name in `classifiers.graders.scaling.SCALERS`.
    seed
        Of everything random in the grader.

    Returns
    -------
    FittedGrader
        Its `notes` hold what the libraries warned of while fitting, without repetition.
    """
    pipeline = prepared(entry.build(seed), scaler=scaler)
    takes_patients = has_fit_parameter(pipeline[-1], "groups")
    extra = {"grader__groups": patients} if takes_patients else {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline.fit(features, labels, **extra)
    notes = [str(item.message).splitlines()[0] for item in caught]
    told = tuple(dict.fromkeys([*(() if entry.baseline else scaler_notes(pipeline)), *notes]))
    return FittedGrader(pipeline=pipeline, n_classes=n_classes, notes=told)
