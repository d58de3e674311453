"""Choosing settings inside: for each held-out subject, by answers to the other subjects only."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from common.class_scores import confusion_counts
from htnet.micro.answers import LosoAnswers
from htnet.micro.baselines import honest, membership
from htnet.micro.clips import FlowMaps
from htnet.micro.closed_form import inner_answers
from htnet.micro.decisions import balanced, training_shares
from htnet.micro.map_kernels import rbf, standardised
from htnet.micro.scores import uar, uf1


@dataclass(frozen=True)
class Choice:
    """What was chosen for each fold, and the answers that follow.

    Attributes
    ----------
    chosen
        `(folds,)` place among the candidates.
    inner_score
        `(candidates, folds)` mean of UF1 and UAR of each candidate on the inner subjects.
    probabilities
        `(n, k)` answers to the held-out clips.
    """

    chosen: NDArray[np.int64]
    inner_score: NDArray[np.float64]
    probabilities: NDArray[np.float64]


def choose_inside(
    candidates: NDArray[np.float64], *, label: NDArray[np.int64], fold: NDArray[np.int64]
) -> Choice:
    """Take, for each held-out subject, the candidate that scores best on all other subjects.

    The score is the mean of UF1 and UAR: a study reports both, and UF1 alone jumps when a few
    clips of a rare class change sides.

    Parameters
    ----------
    candidates
        `(candidates, folds, n, k)` probabilities. `[:, s, rows of t]` must come from models that
        have seen neither s nor t; `[:, s, rows of s]` from those that have not seen s. Put the
        simplest candidate first: it wins when scores are equal.
    label, fold
        `(n,)` class, and number of the subject.
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
            inner[c, s] = float(uf1(counts) + uar(counts)) / 2.0
    chosen = np.argmax(inner, axis=0)
    for s in range(n_folds):
        own = fold == s
        probabilities[own] = candidates[chosen[s], s, own]
    return Choice(chosen, inner, probabilities)


@dataclass(frozen=True)
class NestedKernelRidge:
    """Kernel ridge regression whose settings are chosen on inner subjects, all in closed form.

    The answers to inner subjects come from leaving two subjects out at a time; nothing is fitted
    per fold, so that a grid costs seconds. Attributes are the grid: as in `KernelRidge`.
    """

    widths: tuple[float, ...] = (1.0, 0.5, 2.0)
    penalties: tuple[float, ...] = (1.0, 0.3, 0.1, 3.0)
    strengths: tuple[float, ...] = (0.5, 0.0, 1.0)
    name: str = "kernel ridge nested"

    @property
    def grid(self) -> list[tuple[float, float, float]]:
        """Width, penalty and strength of each candidate, in the order of their places."""
        return list(product(self.widths, self.penalties, self.strengths))

    def choose(self, clips: FlowMaps) -> Choice:
        """Return what each fold chooses."""
        maps, targets, fold = standardised(clips.maps), membership(clips), clips.fold
        shares = training_shares(clips.label, fold, k=len(clips.classes))
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

    def leave_one_subject_out(
        self, clips: FlowMaps, *, seeds: tuple[int, ...]
    ) -> list[LosoAnswers]:
        """Answer each clip with the settings of its fold; `seeds` change nothing."""
        return honest(self.name, self.choose(clips).probabilities)
