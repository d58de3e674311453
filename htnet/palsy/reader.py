"""A ridge regression that sums up a patient, and what its sums say of grades.

It learns in seconds from a few dozen patients. The grades that go with a sum are learned from the
training patients' own held-out sums, so that it is as sure of new patients as it may be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, cross_val_predict

from common.arrays import Floats, Ints, Names
from common.grading.folds import inner_splits

_INNER_FOLDS = 10
_STRENGTHS = np.logspace(-4, 6, 40)  # of the ridge; chosen on the training patients
_FIRM = 10.0  # inverse penalty of the step from sum to grade: one slope, hardly held back
_FREE = 1e3  # how much larger than usual a value is that the ridge does not hold back
_NEVER = -30.0  # logit of a class that nobody learned from has


@dataclass(frozen=True)
class Reader:
    """A weighted sum of values.

    Attributes
    ----------
    usual
        `(d,)` of the patients learned from; takes the place of a missing value.
    weights, base
        `(d,)`, and the sum of a usual patient.
    unseen
        `(n,)` sums of those learned from, each from a reader that had not seen the patient.
    """

    usual: Floats
    weights: Floats
    base: float
    unseen: Floats

    def sums(self, values: Floats) -> Floats:
        """Return the `(m,)` sums of `(m, d)` values, NaN where missing."""
        return self.base + np.nan_to_num(values - self.usual) @ self.weights


@dataclass(frozen=True)
class GradesOfSums:
    """How probable each class is: logits `(k,)` are `slopes * sum + offsets`."""

    slopes: Floats
    offsets: Floats

    def chances(self, sums: Floats) -> Floats:
        """Return the `(m, k)` probabilities of sums `(m,)`."""
        logits = sums[:, None] * self.slopes + self.offsets
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        return chances / chances.sum(axis=1, keepdims=True)


def learn_reader(
    values: Floats, labels: Floats | Ints, patients: Names, *, direction: Floats | None = None
) -> Reader:
    """Learn from `(n, d)` values of those answered for, whole patients apart inside.

    The ridge holds back everything but what lies along `direction` `(d,)`, where one is given: what
    graded other patients before. It departs from that as far as these patients tell.
    """
    known = np.isfinite(values)
    usual = np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    centred = np.nan_to_num(values - usual)
    axes = np.linalg.svd(centred, full_matrices=False)[2].T  # ridge needs no more than these
    if direction is not None and direction.any():
        along = centred @ direction
        axes = np.column_stack([axes, _FREE * direction / max(float(along.std()), 1e-12)])
    ridge = RidgeCV(_STRENGTHS)
    deal: Any = KFold(min(_INNER_FOLDS, len(labels)), shuffle=True, random_state=0)
    if not np.issubdtype(labels.dtype, np.integer):  # of scores a patient may have several visits
        deal = inner_splits(labels, patients, n_folds=_INNER_FOLDS)
    unseen = cross_val_predict(ridge, centred @ axes, labels, cv=deal)
    learned = ridge.fit(centred @ axes, labels)
    return Reader(usual, axes @ learned.coef_, float(learned.intercept_), unseen)


def learn_grades(sums: Floats, labels: Ints, *, classes: int) -> GradesOfSums:
    """Learn from held-out sums and class numbers 1..k which class goes with which sum."""
    found = LogisticRegression(C=_FIRM, max_iter=2000).fit(sums[:, None], labels)
    slopes, offsets = np.zeros(classes), np.full(classes, _NEVER)
    at = found.classes_ - 1
    # Of two classes there is one logit, that of the second against the first.
    two = len(at) == 2
    slopes[at] = [0.0, found.coef_[0, 0]] if two else found.coef_[:, 0]
    offsets[at] = [0.0, found.intercept_[0]] if two else found.intercept_
    return GradesOfSums(slopes, offsets)
