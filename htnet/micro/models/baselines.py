"""Classical models on flow maps: what a network has to beat.

Each is trained once per held-out subject on the clips of all others; nothing is chosen on the
held-out subject, so all of their answers are `honest`. Settings are fixed beforehand, except where
the name says `nested`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from common.grading.scores import balanced_accuracy, confusion_counts, macro_f1
from htnet.micro.clips.maps import FlowMaps
from htnet.micro.loso.folds import LosoAnswers, folds_of, honest, published_epoch
from htnet.micro.models.kernels import (
    Values,
    balanced,
    correlations,
    held_out_answers,
    inner_answers,
    rbf,
    standardised,
    training_shares,
)

_RANK_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Classical:
    """A model without chance: it has one answer, honest, whatever the seeds."""

    name: str = ""

    def probabilities(self, clips: FlowMaps) -> Values:
        """Return `(n, k)`: each clip answered by what was learned without its subject."""
        raise NotImplementedError

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        """Answer each clip without its subject; `seeds` change nothing."""
        return honest(self.name, self.probabilities(clips))


@dataclass(frozen=True)
class Majority(Classical):
    """The most frequent class of the training subjects, whatever the clip: the floor."""

    name: str = "majority"

    def probabilities(self, clips: FlowMaps) -> Values:
        """Return the class shares of each fold's training clips."""
        return shares_of(clips)[clips.fold]


@dataclass(frozen=True)
class KernelRidge(Classical):
    """Kernel ridge regression on class membership, all folds in closed form.

    Attributes
    ----------
    width
        Of the Gaussian kernel on standardised maps, exp(-width (1 - r)).
    penalty
        λ of the ridge.
    strength
        How far rare classes are weighed up, 0 to 1 (`kernels.balanced`).
    """

    name: str = "kernel ridge"
    width: float = 1.0
    penalty: float = 0.1
    strength: float = 0.0

    def probabilities(self, clips: FlowMaps) -> Values:
        """Solve once for all folds."""
        values = held_out_answers(
            rbf(standardised(clips.maps), width=self.width) + 1.0,  # 1: an intercept
            membership(clips),
            fold=clips.fold,
            penalty=self.penalty,
        )
        return balanced(values, shares_of(clips)[clips.fold], strength=self.strength)


@dataclass(frozen=True)
class SupportVectors(Classical):
    """Support-vector machines with the same kernel, one class against the others, balanced.

    `width` is as in `KernelRidge`, `cost` is C: what a clip on the wrong side costs.
    """

    name: str = "svm"
    width: float = 1.0
    cost: float = 1.0

    def probabilities(self, clips: FlowMaps) -> Values:
        """Fit one machine for each fold and class."""
        kernel = rbf(standardised(clips.maps), width=self.width)
        return held_out_support_vectors(kernel, clips, cost=self.cost)


@dataclass(frozen=True)
class Logistic(Classical):
    """Multinomial logistic regression on standardised maps, ridge penalty, balanced classes.

    `cost` is C: the inverse of the penalty, for maps of unit mean square.
    """

    name: str = "logistic"
    cost: float = 3.0

    def probabilities(self, clips: FlowMaps) -> Values:
        """Fit one model for each fold."""
        kernel = correlations(standardised(clips.maps))
        return held_out_logistic(kernel, clips, cost=self.cost)


@dataclass(frozen=True)
class NestedKernelRidge(Classical):
    """Kernel ridge regression whose settings are chosen on inner subjects, all in closed form.

    The answers to inner subjects come from leaving two subjects out at a time, so that a grid costs
    seconds. Attributes are the grid: as in `KernelRidge`.
    """

    name: str = "kernel ridge nested"
    widths: tuple[float, ...] = (1.0, 0.5, 2.0)
    penalties: tuple[float, ...] = (1.0, 0.3, 0.1, 3.0)
    strengths: tuple[float, ...] = (0.5, 0.0, 1.0)

    @property
    def grid(self) -> list[tuple[float, float, float]]:
        """Width, penalty and strength of each candidate, in the order of their places."""
        return list(product(self.widths, self.penalties, self.strengths))

    def choose(self, clips: FlowMaps) -> Choice:
        """Return what each fold chooses."""
        maps, targets, fold = standardised(clips.maps), membership(clips), clips.fold
        shares = shares_of(clips)
        candidates = []
        for width in self.widths:
            kernel = rbf(maps, width=width) + 1.0
            for penalty in self.penalties:
                values = inner_answers(kernel, targets, fold=fold, penalty=penalty)
                candidates += [
                    balanced(values, shares[:, None, :], strength=strength)
                    for strength in self.strengths
                ]
        return choose_inside(np.stack(candidates), label=clips.label, fold=fold)

    def probabilities(self, clips: FlowMaps) -> Values:
        """Answer each clip with the settings of its fold."""
        return self.choose(clips).probabilities


@dataclass(frozen=True)
class Guessing:
    """Guessing, to measure what a rule is worth: a network that learns nothing, by both rules.

    At every epoch each clip gets a class drawn by the classes' shares among the training subjects.
    The `honest` rule is at chance; the `published` one looks like skill, and the difference is the
    leak and nothing else.
    """

    name: str = "guessing"
    epochs: int = 80

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        """Return random answers by both rules for each seed."""
        k, shares = len(clips.classes), shares_of(clips)
        answers = []
        for seed in seeds:
            rng = np.random.default_rng(seed)
            last, best = np.empty(len(clips), dtype=int), np.empty(len(clips), dtype=int)
            for number, (held_out, _) in enumerate(folds_of(clips)):
                guesses = rng.choice(k, size=(self.epochs, len(held_out)), p=shares[number])
                epoch = published_epoch(guesses, clips.label[held_out])
                last[held_out], best[held_out] = guesses[-1], guesses[epoch]
            answers.append(LosoAnswers(self.name, seed, "honest", np.eye(k)[last]))
            answers.append(LosoAnswers(self.name, seed, "published", np.eye(k)[best]))
        return answers


@dataclass(frozen=True)
class Choice:
    """What was chosen for each fold, and the answers `(n, k)` to the held-out clips that follow.

    `chosen` is the place among the candidates `(folds,)`, `inner_score` the mean of UF1 and UAR of
    each candidate on the inner subjects `(candidates, folds)`.
    """

    chosen: NDArray[np.int64]
    inner_score: NDArray[np.float64]
    probabilities: NDArray[np.float64]


def choose_inside(
    candidates: NDArray[np.float64], *, label: NDArray[np.int64], fold: NDArray[np.int64]
) -> Choice:
    """Take, for each held-out subject, the candidate that scores best on all other subjects.

    The score is the mean of UF1 and UAR: a study reports both, and UF1 alone jumps when a few
    clips of a rare class change sides. Of `candidates`, `(candidates, folds, n, k)` probabilities,
    `[:, s, rows of t]` must come from models that have seen neither s nor t, `[:, s, rows of s]`
    from those that have not seen s. The first of equally good candidates wins.
    """
    k = candidates.shape[-1]
    n_candidates, n_folds = candidates.shape[:2]
    inner = np.empty((n_candidates, n_folds))
    probabilities = np.empty(candidates.shape[2:])
    for s in range(n_folds):
        others = fold != s
        for c in range(n_candidates):
            predicted = np.argmax(candidates[c, s, others], axis=1)
            counts = confusion_counts(label[others], predicted, k=k)
            inner[c, s] = float(macro_f1(counts) + balanced_accuracy(counts)) / 2.0
    chosen = np.argmax(inner, axis=0)
    for s in range(n_folds):
        own = fold == s
        probabilities[own] = candidates[chosen[s], s, own]
    return Choice(chosen, inner, probabilities)


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
    return np.asarray(softmax(2.0 * values, axis=1))


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
    return axes[:, kept] * np.sqrt(strengths[kept])


def shares_of(clips: FlowMaps) -> Values:
    """Return `(folds, k)` class shares of the clips that a fold is trained on."""
    return training_shares(clips.label, clips.fold, k=len(clips.classes))


def membership(clips: FlowMaps) -> Values:
    """Return `(n, k)`: 1 for a clip's own class, 0 for the others."""
    return np.eye(len(clips.classes))[clips.label]
