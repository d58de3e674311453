"""A ridge regression that sums up a patient, and what its sums say of grades.

It learns in seconds from a few dozen patients. The grades that go with a sum are learned from the
training patients' own held-out sums, so that it is as sure of new patients as it may be. Where a
patient may come with fewer photographs, it learns from parts of the training patients' too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

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

    `usual`: `(d,)` of the patients learned from; takes the place of a missing value. `weights`,
    `base`: `(d,)`, and the sum of a usual patient. `unseen`: `(v, n)` sums of those learned from,
    each from a reader that had not seen the patient: of all their photographs, then of parts of
    them.
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
    values: Floats,
    labels: Floats | Ints,
    patients: Names,
    *,
    parts: Floats | None = None,
    direction: Floats | None = None,
) -> Reader:
    """Learn from `(n, d)` values of those answered for, whole patients apart inside.

    `parts`: `(k, n, d)`: the same again by a part of their photographs. All parts together count as
    much as the whole, and nothing is learned of what whole patients do not differ in.
    `direction`: `(d,)`: what graded other patients before. The ridge holds back everything but what
    lies along it, and departs from it as far as these patients tell.
    """
    known = np.isfinite(values)
    usual = np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    views = values[None] if parts is None else np.concatenate([values[None], parts])
    centred = np.nan_to_num(views - usual)
    axes = np.linalg.svd(centred[0], full_matrices=False)[2].T  # ridge needs no more than these
    if direction is not None and direction.any():
        along = centred[0] @ direction
        axes = np.column_stack([axes, _FREE * direction / max(float(along.std()), 1e-12)])
    weights = weights_of_views(len(views))
    deal: Any = KFold(min(_INNER_FOLDS, len(labels)), shuffle=True, random_state=0).split(labels)
    if not np.issubdtype(labels.dtype, np.integer):  # of scores a patient may have several visits
        deal = inner_splits(labels, patients, n_folds=_INNER_FOLDS)
    given = centred @ axes
    unseen = np.zeros((len(_STRENGTHS), *given.shape[:2]))
    for learn, ask in deal:
        coefficients, bases = _ridges(given[:, learn], labels[learn], weights)
        unseen[:, :, ask] = np.einsum("vna,sa->svn", given[:, ask], coefficients)
        unseen[:, :, ask] += bases[:, None, None]
    best = int((weights @ ((unseen - labels) ** 2).mean(axis=2).T).argmin())
    coefficients, bases = _ridges(given, labels, weights)
    return Reader(usual, axes @ coefficients[best], float(bases[best]), unseen[best])


def weights_of_views(views: int) -> Floats:
    """Return how much each view counts: the whole as much as all parts, and a patient once."""
    if views == 1:
        return np.ones(1)
    return np.array([0.5] + [0.5 / (views - 1)] * (views - 1))


def _ridges(given: Floats, labels: Floats | Ints, weights: Floats) -> tuple[Floats, Floats]:
    """Fit `(v, n, a)` inputs with each strength: coefficients `(s, a)` and bases `(s,)`."""
    count = given.shape[1]
    middle = (weights @ given.mean(axis=1)), labels.mean()
    roots = np.sqrt(weights)[:, None]
    rows = ((given - middle[0]) * roots[..., None]).reshape(-1, given.shape[2])
    answers = (roots * (labels - middle[1])).reshape(len(weights) * count)
    left, sizes, right = np.linalg.svd(rows, full_matrices=False)
    shrunk = sizes / (sizes**2 + _STRENGTHS[:, None]) * (left.T @ answers)
    coefficients = shrunk @ right
    return coefficients, middle[1] - coefficients @ middle[0]


def learn_grades(sums: Floats, labels: Ints, *, classes: int) -> GradesOfSums:
    """Learn from held-out sums `(v, n)` and class numbers 1..k which class goes with which sum."""
    counts = np.repeat(weights_of_views(len(sums)), len(labels))
    learned = LogisticRegression(C=_FIRM, max_iter=2000)
    found = learned.fit(sums.reshape(-1, 1), np.tile(labels, len(sums)), sample_weight=counts)
    slopes, offsets = np.zeros(classes), np.full(classes, _NEVER)
    at = found.classes_ - 1
    # Of two classes there is one logit, that of the second against the first.
    two = len(at) == 2
    slopes[at] = [0.0, found.coef_[0, 0]] if two else found.coef_[:, 0]
    offsets[at] = [0.0, found.intercept_[0]] if two else found.intercept_
    return GradesOfSums(slopes, offsets)
