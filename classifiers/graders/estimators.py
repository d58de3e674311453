"""Graders that scikit-learn and XGBoost do not offer ready-made, in scikit-learn's manner.

Labels go in and come out as they are (grades 1..6, with gaps or without); what an inner library
wants instead stays inside. Rare classes count as much as frequent ones: a cohort has few healthy
people, and a grader that never says so would be of no use.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from xgboost import XGBClassifier

from common.arrays import Floats, Ints, Names
from common.grading.folds import inner_splits
from common.grading.target import commonest_class


def learn_classes(y: Any) -> tuple[NDArray[Any], Ints]:
    """Return the classes that occur and each row's position among them; real numbers are refused.

    This is the one place where labels are encoded to 0..k-1.
    """
    check_classification_targets(y)
    classes, encoded = np.unique(y, return_inverse=True)
    return classes, encoded.astype(np.int64)


def balanced_weights(encoded: Ints) -> Floats:
    """Return `(n,)` what each row weighs where all classes that occur weigh alike.

    The weights of scikit-learn's `class_weight="balanced"`, which takes longer to reckon them than
    a grader of a few dozen patients takes to learn.
    """
    rows = np.bincount(encoded)
    return (len(encoded) / (np.count_nonzero(rows) * rows[encoded])).astype(np.float64)


class GradeClassifier(ClassifierMixin, BaseEstimator):
    """What our graders share: labels outside, positions 0..k-1 inside, one class alone.

    A grader built on this writes `_learn`, which keeps in `model_` what answers, or `_chances` too.
    """

    allows_missing = False
    model_: Any

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Fit on `(n, k)` features and `(n,)` labels.

        `groups` is the patient of each row, for graders that split the rows themselves; without
        them every row is its own patient.
        """
        values, labels = validate_data(self, X, y, dtype=np.float64, ensure_all_finite=self._finite)
        self.classes_, encoded = learn_classes(labels)
        if len(self.classes_) > 1:
            patients = np.arange(len(values)) if groups is None else np.asarray(groups)
            self._learn(values, encoded, patients.astype(str))
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return `(n, k)` probabilities, columns in the order of `classes_`."""
        check_is_fitted(self)
        values = validate_data(
            self, X, dtype=np.float64, ensure_all_finite=self._finite, reset=False
        )
        if len(self.classes_) == 1:
            return np.ones((len(values), 1))
        return self._chances(values)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class."""
        chances = self.predict_proba(X)
        return self.classes_[chances.argmax(axis=1)]

    def _learn(self, values: Floats, encoded: Ints, patients: Names) -> None:
        raise NotImplementedError

    def _chances(self, values: Floats) -> Floats:
        return self.model_.predict_proba(values)

    @property
    def _finite(self) -> bool | str:
        return "allow-nan" if self.allows_missing else True

    def __sklearn_tags__(self) -> Any:
        """Say whether missing values are allowed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.allows_missing
        return tags


class CalibratedSVC(GradeClassifier):
    """Support vector machine whose probabilities are learned on unseen patients.

    Decision values are predicted on `n_folds` inner patient-grouped folds, dealt by `random_state`,
    and a multinomial logistic regression turns them into probabilities (Platt 1999, for several
    classes). `C`, `gamma` and `kernel` are those of `sklearn.svm.SVC`, whose own probabilities
    split a patient's photographs over its folds.
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        gamma: float | str = "scale",
        kernel: str = "rbf",
        n_folds: int = 5,
        random_state: int = 0,
    ) -> None:
        self.C = C
        self.gamma = gamma
        self.kernel = kernel
        self.n_folds = n_folds
        self.random_state = random_state

    def _learn(self, values: Floats, encoded: Ints, patients: Names) -> None:
        n_classes = len(self.classes_)
        self.machine_ = self._machine(values, encoded)
        unseen = np.full((len(values), n_classes), np.nan)
        for train, test in inner_splits(
            encoded, patients, n_folds=self.n_folds, seed=self.random_state
        ):
            if len(np.unique(encoded[train])) > 1:
                machine = self._machine(values[train], encoded[train])
                unseen[test] = _margins(machine, values[test], n_classes=n_classes)
        seen = np.isnan(unseen[:, 0])  # the others are all of one class
        if seen.any():
            unseen[seen] = _margins(self.machine_, values[seen], n_classes=n_classes)
        self.calibration_ = LogisticRegression(max_iter=1000)
        self.calibration_.fit(unseen, encoded, sample_weight=balanced_weights(encoded))

    def _chances(self, values: Floats) -> Floats:
        margins = _margins(self.machine_, values, n_classes=len(self.classes_))
        return self.calibration_.predict_proba(margins)

    def _machine(self, values: Floats, encoded: Ints) -> SVC:
        machine = SVC(C=self.C, gamma=self.gamma, kernel=self.kernel)
        return machine.fit(values, encoded, sample_weight=balanced_weights(encoded))


class LogisticGrader(GradeClassifier):
    """Multinomial logistic regression with a ridge penalty of inverse strength `C`."""

    def __init__(self, *, C: float = 1.0) -> None:
        self.C = C

    def _learn(self, values: Floats, encoded: Ints, patients: Names) -> None:
        self.model_ = LogisticRegression(C=self.C, max_iter=1000)
        self.model_.fit(values, encoded, sample_weight=balanced_weights(encoded))


class TreesAsBytes(BaseEstimator):
    """Gradient-boosted trees, kept (`trees_`, made by `_trees`) in XGBoost's own format (UBJ).

    Whatever keeps or sends a grader then needs to know arrays and plain values only. Options are
    those of XGBoost.
    """

    def __init__(
        self,
        *,
        n_estimators: int = 150,
        max_depth: int = 3,
        learning_rate: float = 0.1,
        subsample: float = 0.8,
        colsample_bytree: float = 0.8,
        min_child_weight: float = 1.0,
        random_state: int = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.min_child_weight = min_child_weight
        self.random_state = random_state

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the trees as bytes."""
        state = dict(super().__getstate__())
        trees = state.pop("trees_", None)
        if trees is not None:
            raw = trees.get_booster().save_raw(raw_format="ubj")
            state["trees_ubj"] = np.frombuffer(raw, dtype=np.uint8)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state back; XGBoost reads its own trees."""
        state = dict(state)
        raw = state.pop("trees_ubj", None)
        super().__setstate__(state)
        if raw is not None:
            self.trees_ = self._trees()
            self.trees_.load_model(bytearray(raw.tobytes()))

    def _trees(self) -> Any:
        raise NotImplementedError


class XGBoostGrader(TreesAsBytes, GradeClassifier):
    """Gradient-boosted trees that accept labels with a gap; options of `xgboost.XGBClassifier`."""

    allows_missing = True

    def _trees(self) -> XGBClassifier:
        # One thread: the benchmark runs its folds side by side.
        return XGBClassifier(**self.get_params(), tree_method="hist", n_jobs=1, verbosity=0)

    def _learn(self, values: Floats, encoded: Ints, patients: Names) -> None:
        self.trees_ = self._trees()
        self.trees_.fit(values, encoded, sample_weight=balanced_weights(encoded))

    def _chances(self, values: Floats) -> Floats:
        chances = self.trees_.predict_proba(values).astype(np.float64)
        return chances / chances.sum(axis=1, keepdims=True)


class MLPGrader(GradeClassifier):
    """Neural network with one hidden layer and weight decay `alpha`, trained by L-BFGS.

    The activation is tanh, which is smooth, so that L-BFGS converges.
    """

    def __init__(
        self,
        *,
        hidden_units: int = 32,
        alpha: float = 3.0,
        max_iter: int = 1000,
        random_state: int = 0,
    ) -> None:
        self.hidden_units = hidden_units
        self.alpha = alpha
        self.max_iter = max_iter
        self.random_state = random_state

    def _learn(self, values: Floats, encoded: Ints, patients: Names) -> None:
        self.model_ = MLPClassifier(
            hidden_layer_sizes=(self.hidden_units,),
            activation="tanh",
            solver="lbfgs",
            alpha=self.alpha,
            max_iter=self.max_iter,
            tol=1e-3,
            random_state=self.random_state,
        )
        weights = balanced_weights(encoded)
        self.model_.fit(values, encoded, sample_weight=weights)
        self.n_iter_ = self.model_.n_iter_


class CommonestClass(GradeClassifier):
    """Answers `commonest_class` of what it learned from, whatever the features."""

    def _learn(self, values: Floats, encoded: Ints, patients: Names) -> None:
        self.commonest_ = commonest_class(encoded, patients)

    def _chances(self, values: Floats) -> Floats:
        return np.tile(np.eye(len(self.classes_))[self.commonest_], (len(values), 1))


def _margins(machine: SVC, values: Floats, *, n_classes: int) -> Floats:
    """Decision values `(n, n_classes)`; a class the machine never saw lies below all others."""
    decision = np.asarray(machine.decision_function(values), dtype=np.float64)
    if decision.ndim == 1:
        decision = np.column_stack([-decision, decision])
    margins = np.repeat(decision.min(axis=1, keepdims=True) - 1.0, n_classes, axis=1)
    margins[:, machine.classes_] = decision
    return margins
