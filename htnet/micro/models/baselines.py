"""Classical models on flow maps: what a network has to beat.

Each is trained once per held-out subject on the clips of all others, with settings that are fixed
beforehand, so all of their answers are `honest`. Every map is brought to a common scale by itself:
a kernel value depends on its two clips alone, and one matrix serves all folds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from htnet.micro.clips.maps import FlowMaps
from htnet.micro.loso.folds import LosoAnswers, folds_of, published_epoch

Values = NDArray[np.float64]
_TINY = 1e-12
_LEAST = 1e-6
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
        return [LosoAnswers(self.name, "honest", (0,), self.probabilities(clips)[None])]


@dataclass(frozen=True)
class Majority(Classical):
    """The most frequent class of the training subjects, whatever the clip: the floor."""

    name: str = "majority"

    def probabilities(self, clips: FlowMaps) -> Values:
        """Return the class shares of each fold's training clips."""
        return training_shares(clips)[clips.fold]


@dataclass(frozen=True)
class KernelRidge(Classical):
    """Kernel ridge regression on class membership, all folds in closed form.

    `width` is that of the Gaussian kernel on standardised maps, exp(-width (1 - r)), `penalty` λ.
    """

    name: str = "kernel ridge"
    width: float = 1.0
    penalty: float = 0.1

    def probabilities(self, clips: FlowMaps) -> Values:
        """Solve once for all folds."""
        kernel = rbf(standardised(clips.maps), width=self.width) + 1.0  # 1: an intercept
        return positive(
            held_out_answers(kernel, membership(clips), fold=clips.fold, penalty=self.penalty)
        )


@dataclass(frozen=True)
class SupportVectors(Classical):
    """Support-vector machines with the same kernel, one class against the others, balanced.

    `cost` is C: what a clip on the wrong side costs.
    """

    name: str = "svm"
    width: float = 1.0
    cost: float = 1.0

    def probabilities(self, clips: FlowMaps) -> Values:
        """Return the softmax of the margins, one machine for each fold and class."""
        from sklearn.svm import SVC

        kernel = rbf(standardised(clips.maps), width=self.width)
        values = np.full((len(clips), len(clips.classes)), -1.0)
        for held_out, training in folds_of(clips):
            inside = kernel[np.ix_(training, training)]
            outside = kernel[np.ix_(held_out, training)]
            for label in range(len(clips.classes)):
                of_class = clips.label[training] == label
                if of_class.all() or not of_class.any():  # nothing to part: always, or never
                    values[held_out, label] = 1.0 if of_class.all() else -10.0
                    continue
                machine = SVC(kernel="precomputed", C=self.cost, class_weight="balanced")
                machine.fit(inside, of_class)
                values[held_out, label] = machine.decision_function(outside)
        return np.asarray(softmax(2.0 * values, axis=1))


@dataclass(frozen=True)
class Logistic(Classical):
    """Multinomial logistic regression on standardised maps, ridge penalty, balanced classes.

    `cost` is C: the inverse of the penalty, for maps of unit mean square.
    """

    name: str = "logistic"
    cost: float = 3.0

    def probabilities(self, clips: FlowMaps) -> Values:
        """Fit one model for each fold, on n coordinates in place of all pixels.

        A ridge penalty does not change when coordinates are rotated: the answers are the same.
        """
        from sklearn.linear_model import LogisticRegression

        features = coordinates(correlations(standardised(clips.maps)))
        values = np.zeros((len(clips), len(clips.classes)))
        for held_out, training in folds_of(clips):
            present = np.unique(clips.label[training])
            if len(present) == 1:
                values[held_out, present[0]] = 1.0
                continue
            model = LogisticRegression(C=self.cost, class_weight="balanced", max_iter=1000)
            with threadpool_limits(limits=1):  # of small products threads would wait for each other
                model.fit(features[training], clips.label[training])
            values[np.ix_(held_out, present)] = model.predict_proba(features[held_out])
        return values


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
        k, shares = len(clips.classes), training_shares(clips)
        last, best = np.empty((2, len(seeds), len(clips)), dtype=int)
        for place, seed in enumerate(seeds):
            rng = np.random.default_rng(seed)
            for number, (held_out, _) in enumerate(folds_of(clips)):
                guesses = rng.choice(k, size=(self.epochs, len(held_out)), p=shares[number])
                epoch = published_epoch(guesses, clips.label[held_out])
                last[place, held_out], best[place, held_out] = guesses[-1], guesses[epoch]
        return [
            LosoAnswers(self.name, "honest", seeds, np.eye(k)[last]),
            LosoAnswers(self.name, "published", seeds, np.eye(k)[best]),
        ]


def standardised(maps: NDArray[np.floating]) -> Values:
    """Return each channel of each map less its mean, divided by its standard deviation.

    `(n, H, W, c)` in and out; a channel that is constant becomes 0.
    """
    values = maps.astype(np.float64)
    values -= values.mean(axis=(1, 2), keepdims=True)
    values /= np.maximum(values.std(axis=(1, 2), keepdims=True), _TINY)
    return values


def correlations(maps: Values) -> Values:
    """Return `(n, n)` mean products of the values of two standardised maps: their correlation."""
    rows = maps.reshape(len(maps), -1)
    return rows @ rows.T / rows.shape[1]


def rbf(maps: Values, other: Values | None = None, *, width: float = 1.0) -> Values:
    """Return the Gaussian kernel exp(-width d²/2), d² in units of the mean square length of a map.

    For standardised maps this is exp(-width (1 - r)) with r the correlation of pixels: two maps
    that have nothing in common are at exp(-width). Without `other` it is the kernel of the maps
    `(n, H, W, c)` among themselves.
    """
    a = maps.reshape(len(maps), -1)
    b = a if other is None else other.reshape(len(other), -1)
    lengths_a, lengths_b = np.sum(a**2, axis=1), np.sum(b**2, axis=1)
    squares = lengths_a[:, None] + lengths_b[None, :] - 2.0 * (a @ b.T)
    size = max(float(lengths_a.mean()), _TINY)
    return np.exp(-width * np.maximum(squares, 0.0) / (2.0 * size))


def held_out_answers(
    kernel: Values, targets: Values, *, fold: NDArray[np.int64], penalty: float
) -> Values:
    """Answer each clip by the ridge regression on all other subjects' clips: `(n, k)`.

    It equals fitting without each subject in turn. With H = K (K + λI)⁻¹, the residuals of the
    clips T of a subject who was left out are (I - H)_TT⁻¹ ((I - H) Y)_T (for single rows: Cook and
    Weisberg 1982). The kernel K is `(n, n)`, targets Y `(n, k)`, `fold` numbers the clips' subjects
    from 0, the penalty is λ.
    """
    complement = penalty * np.linalg.inv(kernel + penalty * np.eye(len(kernel)))  # I - H
    residuals = complement @ targets
    answers = np.empty_like(targets)
    for s in range(int(fold.max()) + 1):
        rows = np.flatnonzero(fold == s)
        block = complement[np.ix_(rows, rows)]
        answers[rows] = targets[rows] - np.linalg.solve(block, residuals[rows])
    return answers


def positive(values: Values) -> Values:
    """Return `(n, k)` as probabilities; what is not positive counts as next to nothing."""
    kept = np.maximum(values, _LEAST)
    return kept / kept.sum(axis=1, keepdims=True)


def coordinates(kernel: Values) -> Values:
    """Return `(n, rank)` rows whose inner products are the kernel."""
    strengths, axes = np.linalg.eigh(kernel)
    kept = strengths > _RANK_TOLERANCE * strengths[-1]
    return axes[:, kept] * np.sqrt(strengths[kept])


def training_shares(clips: FlowMaps) -> Values:
    """Return `(folds, k)`: the share of each class among the clips that a fold is trained on.

    A class that the training subjects do not show counts as one clip.
    """
    own = np.zeros((len(clips.subjects), len(clips.classes)))
    np.add.at(own, (clips.fold, clips.label), 1.0)
    training = np.maximum(own.sum(axis=0) - own, 1.0)
    return training / training.sum(axis=1, keepdims=True)


def membership(clips: FlowMaps) -> Values:
    """Return `(n, k)`: 1 for a clip's own class, 0 for the others."""
    return np.eye(len(clips.classes))[clips.label]
