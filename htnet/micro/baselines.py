"""Classical models on flow maps: what a network has to beat.

Each is trained once per held-out subject on the clips of all others; nothing is chosen on the
held-out subject, so all of their answers are `honest`. Settings are fixed beforehand, except where
the name says `nested`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from htnet.micro.answers import LosoAnswers
from htnet.micro.clips import FlowMaps
from htnet.micro.closed_form import held_out_answers
from htnet.micro.decisions import balanced, softmax, training_shares
from htnet.micro.map_kernels import correlations, rbf, standardised

Values = NDArray[np.float64]
_RANK_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Majority:
    """The most frequent class of the training subjects, whatever the clip: the floor."""

    name: str = "majority"

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        """Return the class shares of each fold's training clips; `seeds` change nothing."""
        shares = training_shares(clips.label, clips.fold, k=len(clips.classes))
        return honest(self.name, shares[clips.fold])


@dataclass(frozen=True)
class KernelRidge:
    """Kernel ridge regression on class membership, all folds in closed form.

    Attributes
    ----------
    width
        Of the Gaussian kernel on standardised maps, exp(-width (1 - r)).
    penalty
        λ of the ridge.
    strength
        How far rare classes are weighed up, 0 to 1 (`decisions.balanced`).
    """

    width: float = 1.0
    penalty: float = 0.1
    strength: float = 0.0
    name: str = "kernel ridge"

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        """Answer each clip without its subject; `seeds` change nothing."""
        values = held_out_answers(
            rbf(standardised(clips.maps), width=self.width) + 1.0,  # 1: an intercept
            membership(clips),
            fold=clips.fold,
            penalty=self.penalty,
        )
        shares = training_shares(clips.label, clips.fold, k=len(clips.classes))
        return honest(self.name, balanced(values, shares[clips.fold], strength=self.strength))


@dataclass(frozen=True)
class SupportVectors:
    """Support-vector machines with the same kernel, one class against the others, balanced.

    Attributes
    ----------
    width
        As in `KernelRidge`.
    cost
        C: what a clip on the wrong side costs.
    """

    width: float = 1.0
    cost: float = 1.0
    name: str = "svm"

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        """Answer each clip without its subject; `seeds` change nothing."""
        kernel = rbf(standardised(clips.maps), width=self.width)
        return honest(self.name, held_out_support_vectors(kernel, clips, cost=self.cost))


@dataclass(frozen=True)
class Logistic:
    """Multinomial logistic regression on standardised maps, ridge penalty, balanced classes.

    Attributes
    ----------
    cost
        C: the inverse of the penalty, for maps of unit mean square.
    """

    cost: float = 3.0
    name: str = "logistic"

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        """Answer each clip without its subject; `seeds` change nothing."""
        kernel = correlations(standardised(clips.maps))
        return honest(self.name, held_out_logistic(kernel, clips, cost=self.cost))


def held_out_support_vectors(kernel: Values, clips: FlowMaps, *, cost: float) -> Values:
    """Return probabilities `(n, k)`: the softmax of the margins, for they are not calibrated."""
    from sklearn.svm import SVC

    values = np.full((len(clips), len(clips.classes)), -1.0)
    for held_out, training in folds_of(clips):
        inside = kernel[np.ix_(training, training)]
        outside = kernel[np.ix_(held_out, training)]
        for label in range(len(clips.classes)):
            of_class = clips.label[training] == label
            if of_class.all() or not of_class.any():  # nothing to part: never answered, or always
                values[held_out, label] = 1.0 if of_class.all() else -10.0
                continue
            machine = SVC(kernel="precomputed", C=cost, class_weight="balanced")
            machine.fit(inside, of_class)
            values[held_out, label] = machine.decision_function(outside)
    return softmax(2.0 * values)


def held_out_logistic(kernel: Values, clips: FlowMaps, *, cost: float) -> Values:
    """Return probabilities `(n, k)` of logistic regression in the space of a kernel.

    The kernel is written as inner products of n coordinates. A ridge penalty does not change when
    coordinates are rotated, so that this equals fitting on the features themselves.
    """
    from sklearn.linear_model import LogisticRegression

    features = coordinates(kernel)
    values = np.zeros((len(clips), len(clips.classes)))
    for held_out, training in folds_of(clips):
        present = np.unique(clips.label[training])
        if len(present) == 1:
            values[held_out, present[0]] = 1.0
            continue
        model = LogisticRegression(C=cost, class_weight="balanced", max_iter=1000)
        with threadpool_limits(limits=1):  # many small products: threads would wait for each other
            model.fit(features[training], clips.label[training])
        values[np.ix_(held_out, present)] = model.predict_proba(features[held_out])
    return values


def coordinates(kernel: Values) -> Values:
    """Return `(n, rank)` rows whose inner products are the kernel."""
    strengths, axes = np.linalg.eigh(kernel)
    kept = strengths > _RANK_TOLERANCE * strengths[-1]
    rows: Values = axes[:, kept] * np.sqrt(strengths[kept])
    return rows


def folds_of(clips: FlowMaps) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the rows of each held-out subject, and those of all others."""
    fold = clips.fold
    for number in range(len(clips.subjects)):
        yield np.flatnonzero(fold == number), np.flatnonzero(fold != number)


def membership(clips: FlowMaps) -> Values:
    """Return `(n, k)`: 1 for a clip's own class, 0 for the others."""
    return np.eye(len(clips.classes))[clips.label]


def honest(name: str, probabilities: Values) -> list[LosoAnswers]:
    """Return the one answer of a model without chance, seed 0."""
    return [LosoAnswers(name, 0, "honest", probabilities)]
