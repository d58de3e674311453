"""Nested validation: everything that is chosen is chosen on inner folds of the training patients.

For one grader in one outer fold: every candidate (columns, scaler, options of the grader) answers
each training patient once without having seen the patient; the best one by ranked probability
score is fitted on all training patients. The same unseen answers give the temperature and the
width of the sets. The tested patients take no part.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from classifiers.graders.cohort import Samples
from classifiers.graders.patients import Columns, Sets, columns_for
from classifiers.graders.recalibration import Recalibration
from classifiers.graders.registry import (
    FittedGrader,
    GraderEntry,
    fit_estimator,
    fit_grader,
    over_all_classes,
)
from classifiers.graders.scaling import ScalerName, preparation
from common.arrays import Floats, Ints, Places
from common.grading.calibration import GradeSets, learn_sets, learn_temperature, tempered
from common.grading.folds import inner_splits
from common.grading.numeric_target import AnyTarget
from common.grading.target import Target

INNER_FOLDS = 4
LEAST_PATIENTS = 8  # with fewer there is nothing to choose on; the first candidate is taken


@dataclass(frozen=True)
class Candidate:
    """One way to set up a grader."""

    columns: str
    scaler: ScalerName
    options: Mapping[str, object]

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.columns}, {self.scaler}" + (f", {options}" if options else "")


@dataclass(frozen=True)
class NestedGrader:
    """A grader with everything that was learned on its training rows.

    `choice` was best on inner folds; a `temperature` of 1 leaves the chances as they are, more
    makes them less sure; `sets` are None when there were too few patients. `moved` is what
    `recalibrate` learned at another clinic.
    """

    choice: Candidate
    columns: Columns
    grader: FittedGrader
    temperature: float
    sets: GradeSets | None
    moved: Recalibration | None = None

    def probabilities(self, samples: Samples) -> Floats:
        """Return calibrated `(n, k)` chances.

        A patient with missing movements is answered less surely: the temperature is divided by
        the share of the usual movements that were photographed.
        """
        chances = self.grader.probabilities(self.columns.make(samples)[self.choice.columns])
        calibrated = tempered(chances, temperature=self.temperature / share_seen(samples))
        return calibrated if self.moved is None else self.moved.of(calibrated)


def fit_nested(
    entry: GraderEntry,
    samples: Samples,
    *,
    target: Target,
    scalers: Sequence[ScalerName] = ("standard",),
    seed: int = 0,
    inner: InnerFolds | None = None,
) -> NestedGrader:
    """Choose, fit and calibrate one grader on training rows.

    Options are chosen from the entry's `search`, scalers from `scalers`. `inner` are the inner
    folds of the same samples, when another grader has used them before.
    """
    k = len(target.classes)
    inner = inner or InnerFolds(samples, target=target, seed=seed)
    candidates = list(candidates_of(entry, sets=list(inner.whole), scalers=scalers))
    chosen, temperature, sets = candidates[0], 1.0, None
    notes: list[str] = []
    if inner.splits and not entry.baseline:
        answers = []
        for candidate in candidates:
            unseen = np.zeros((len(samples.labels), k))
            for split in inner.splits:
                learned, asked, said = split.learn(entry, candidate, seed=seed)
                unseen[split.test] = over_all_classes(learned, asked, n_classes=k)
                notes.extend(said)
            answers.append(unseen)
        weights = compute_sample_weight("balanced", samples.labels)
        best, temperature = _best(answers, samples.labels, weights=weights)
        chosen = candidates[best]
        if target.ordered:
            honest = _honest(answers, inner.splits, labels=samples.labels, weights=weights)
            sets = learn_sets(honest, samples.labels)
    fitted = fit_grader(
        entry,
        features=inner.whole[chosen.columns],
        labels=samples.labels,
        patients=samples.patients,
        n_classes=k,
        scaler=chosen.scaler,
        options=chosen.options,
        seed=seed,
    )
    told = tuple(dict.fromkeys([*notes, *fitted.notes]))
    return NestedGrader(chosen, inner.columns, replace(fitted, notes=told), temperature, sets)


def ranked_loss(chances: Floats, labels: Ints, *, weights: Floats | None = None) -> float:
    """Return the mean ranked probability score (Epstein 1969): 0 perfect, small is better.

    The squared distance between the cumulative chances and the truth, so that probability far from
    the true grade costs more. For two classes it is the Brier score.
    """
    k = chances.shape[1]
    truth = (labels[:, None] <= np.arange(1, k)[None, :]).astype(np.float64)
    loss = np.square(np.cumsum(chances, axis=1)[:, :-1] - truth).sum(axis=1)
    return float(np.average(loss, weights=weights))


def share_seen(samples: Samples) -> Floats:
    """Return `(n,)` the share of all movements that each patient's row has; 1 for photographs."""
    first = samples.features.filter(regex=r"^odd\..*\.0$")
    if first.columns.empty:
        return np.ones(len(samples.labels))
    return np.maximum(first.notna().mean(axis=1).to_numpy(), 0.1)


def candidates_of(
    entry: GraderEntry, *, sets: list[str], scalers: Sequence[ScalerName]
) -> list[Candidate]:
    """Return every way to set up a grader that is tried."""
    if entry.baseline:
        return [Candidate(sets[0], scalers[0], {})]
    names, values = list(entry.search), list(entry.search.values())
    return [
        Candidate(columns, scaler, dict(zip(names, options, strict=True)))
        for columns in sets
        for scaler in (scalers if entry.scale_matters else scalers[:1])
        for options in itertools.product(*values)
    ]


class InnerFolds:
    """Inner folds of one outer training fold, with the columns learned in each; for all graders.

    `columns` and `whole` are what makes columns, learned on all training rows, and the sets of
    these; `splits` is empty when there are too few patients to choose anything on.
    """

    def __init__(self, samples: Samples, *, target: AnyTarget, seed: int = 0) -> None:
        self.columns = columns_for(samples, target=target)
        self.whole = self.columns.learn(samples)
        parts = inner_splits(samples.truth, samples.patients, n_folds=INNER_FOLDS, seed=seed)
        enough = len(np.unique(samples.patients)) >= LEAST_PATIENTS
        self.splits = [
            _Split.of(samples, train, test, target=target)
            for train, test in (parts if enough else [])
        ]


def _best(answers: list[Floats], labels: Ints, *, weights: Floats) -> tuple[int, float]:
    """Return which candidate answered best, and its temperature."""
    losses = [ranked_loss(found, labels, weights=weights) for found in answers]
    best = int(np.argmin(losses))
    return best, learn_temperature(answers[best], labels, weights=weights)


def _honest(
    answers: list[Floats], splits: list[_Split], *, labels: Ints, weights: Floats
) -> Floats:
    """Return answers to each inner fold by what was best, and calibrated, on the other ones.

    The winner's own answers look better than they are, because they were looked at to choose it;
    sets learned from them would be too narrow.
    """
    honest = np.zeros_like(answers[0])
    for split in splits:
        others = np.setdiff1d(np.arange(len(labels)), split.test)
        best, temperature = _best(
            [found[others] for found in answers], labels[others], weights=weights[others]
        )
        honest[split.test] = tempered(answers[best][split.test], temperature=temperature)
    return honest


@dataclass
class _Split:
    """One inner fold: its column sets, and each of them scaled once for all options."""

    train: Samples
    test: Places
    learned: Sets
    asked: Sets
    scaled: dict[tuple[str, str], tuple[Floats, Floats]] = field(default_factory=dict)

    @classmethod
    def of(cls, samples: Samples, train: Places, test: Places, *, target: AnyTarget) -> _Split:
        columns = columns_for(samples, target=target)
        learned = columns.learn(samples.at(train))
        return cls(samples.at(train), test, learned, columns.make(samples.at(test)))

    def learn(
        self, entry: GraderEntry, candidate: Candidate, *, seed: int
    ) -> tuple[Any, Floats, list[str]]:
        """Let a candidate learn here; also the rows to ask it, and what libraries warned of."""
        key = (candidate.columns, candidate.scaler)
        if key not in self.scaled:
            steps = preparation(candidate.scaler)
            scaled = steps.fit_transform(self.learned[candidate.columns])
            self.scaled[key] = (scaled, steps.transform(self.asked[candidate.columns]))
        scaled, asked = self.scaled[key]
        estimator, notes = fit_estimator(
            entry, scaled, self.train.truth, self.train.patients,
            options=candidate.options, seed=seed,
        )  # fmt: skip
        return estimator, asked, notes
