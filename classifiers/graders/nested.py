"""Nested validation: everything that is chosen is chosen on inner folds of the training patients.

For one grader in one outer fold: every candidate (columns, scaler, options of the grader) answers
each training patient once without having seen the patient; the best one (by ranked probability
score, of numbers by the mean error) is fitted on all training patients. The same unseen answers
give the temperature and the width of sets or intervals. The tested patients take no part.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from classifiers.graders.cohort import Samples
from classifiers.graders.patients import Columns, PhotographColumns, Sets, columns_for
from classifiers.graders.recalibration import Recalibration
from classifiers.graders.registry import (
    FittedGrader,
    GraderEntry,
    answers_of,
    fit_estimator,
    fit_grader,
)
from classifiers.graders.scaling import ScalerName, preparation
from common.arrays import Floats, Ints, Places
from common.errors import UserError
from common.grading.calibration import (
    GradeSets,
    ScoreIntervals,
    learn_intervals,
    learn_sets,
    learn_temperature,
    patient_weights,
    tempered,
)
from common.grading.folds import inner_splits
from common.grading.numeric_target import AnyTarget, NumericTarget
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

    `choice` was best on inner folds; a `temperature` above 1 makes its probabilities less sure,
    None leaves them as they are; `scale` are the ends of a number's scale, None of classes.
    `ranges` are None when there were too few patients. `moved` is what `recalibrate` learned.
    """

    choice: Candidate
    columns: Columns
    grader: FittedGrader
    temperature: float | None = None
    scale: tuple[float, float] | None = None
    ranges: GradeSets | ScoreIntervals | None = None
    moved: Recalibration | None = None

    def answers(self, samples: Samples) -> Floats:
        """Return calibrated `(n, k)` probabilities, or `(n,)` numbers within the scale.

        A patient with missing movements is answered less surely: the temperature is divided by
        the share of the usual movements that were photographed.
        """
        found = self.grader.answers(self.columns.make(samples)[self.choice.columns])
        if self.scale is not None:
            return np.clip(found, *self.scale)
        if self.temperature is None:
            return found
        found = tempered(found, temperature=self.temperature / share_seen(samples))
        return found if self.moved is None else self.moved.of(found)

    def bounds(
        self, samples: Samples, answers: Floats, *, target: AnyTarget, stretch: float = 1.0
    ) -> Ints | Floats | None:
        """Return `(n, 2)` ends of the sets, or of the intervals, of answers; None without any.

        An interval gets wider by `stretch`, and by the share of movements that are missing.
        """
        if isinstance(self.ranges, ScoreIntervals) and isinstance(target, NumericTarget):
            return self.ranges.of(answers, target=target, stretch=stretch / share_seen(samples))
        return self.ranges.of(answers) if isinstance(self.ranges, GradeSets) else None


def fit_plain(
    entry: GraderEntry, samples: Samples, *, target: AnyTarget, scaler: ScalerName, seed: int = 0
) -> NestedGrader:
    """Fit a grader of photographs as it is: nothing is chosen, nothing calibrated."""
    fitted = fit_grader(
        entry, samples.features, samples,
        n_classes=len(target.classes), scaler=scaler, seed=seed,
    )  # fmt: skip
    choice = Candidate("features", scaler, {})
    return NestedGrader(choice, PhotographColumns(), fitted, scale=_scale(target))


def fit_nested(
    entry: GraderEntry,
    samples: Samples,
    *,
    target: AnyTarget,
    scalers: Sequence[ScalerName] = ("standard",),
    seed: int = 0,
    inner: InnerFolds | None = None,
) -> NestedGrader:
    """Choose, fit and calibrate one grader on training rows.

    Options are chosen from the entry's `search`, scalers from `scalers`. `inner` are the inner
    folds of the same samples, when another grader has used them before. A baseline has nothing to
    choose; of numbers it gets intervals too, so that a grader's can be seen beside them.
    """
    if isinstance(target, NumericTarget) and samples.scores is None:
        raise UserError(f"{target.title} needs scores, and these rows have none.")
    inner = inner or InnerFolds(samples, target=target, seed=seed)
    candidates = list(candidates_of(entry, sets=list(inner.whole), scalers=scalers))
    chosen, temperature, ranges, notes = candidates[0], 1.0, None, list[str]()
    if inner.splits and not (entry.baseline and target.classes):
        answers = []
        for candidate in candidates:
            found, said = _unseen(entry, candidate, samples, inner.splits, target=target, seed=seed)
            answers.append(found)
            notes += said
        inside = _Unseen.of(answers, samples, target=target)
        best, temperature = inside.best(np.arange(len(samples.labels)))
        chosen = candidates[best]
        ranges = inside.ranges(inner.splits, samples, target=target)
    fitted = fit_grader(
        entry, inner.whole[chosen.columns], samples,
        n_classes=len(target.classes), scaler=chosen.scaler, options=chosen.options, seed=seed,
    )  # fmt: skip
    fitted = replace(fitted, notes=tuple(dict.fromkeys([*notes, *fitted.notes])))
    return NestedGrader(chosen, inner.columns, fitted, temperature, _scale(target), ranges)


def _scale(target: AnyTarget) -> tuple[float, float] | None:
    return (target.low, target.high) if isinstance(target, NumericTarget) else None


def ranked_losses(chances: Floats, labels: Ints) -> Floats:
    """Return the ranked probability score (Epstein 1969) of each row: 0 perfect, small is better.

    The squared distance between the cumulative chances and the truth, so that probability far from
    the true grade costs more. For two classes it is the Brier score.
    """
    truth = (labels[:, None] <= np.arange(1, chances.shape[1])).astype(np.float64)
    return np.square(np.cumsum(chances, axis=1)[:, :-1] - truth).sum(axis=1)


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


@dataclass(frozen=True)
class _Unseen:
    """Answers of every candidate to training rows it had not seen, their losses `(candidates, n)`,
    and what each row weighs; `labels` are None where answers are numbers."""

    answers: list[Floats]
    losses: Floats
    weights: Floats
    labels: Ints | None

    @classmethod
    def of(cls, answers: list[Floats], samples: Samples, *, target: AnyTarget) -> _Unseen:
        if isinstance(target, NumericTarget):
            losses = np.abs(np.array(answers) - samples.truth)
            return cls(answers, losses, patient_weights(samples.patients), None)
        weights = compute_sample_weight("balanced", samples.labels)
        losses = np.stack([ranked_losses(found, samples.labels) for found in answers])
        return cls(answers, losses, weights, samples.labels)

    def best(self, rows: Places) -> tuple[int, float]:
        """Return which candidate answered these rows best, and its temperature."""
        weights = self.weights[rows]
        best = int(np.argmin([np.average(loss, weights=weights) for loss in self.losses[:, rows]]))
        if self.labels is None:
            return best, 1.0
        found = self.answers[best][rows]
        return best, learn_temperature(found, self.labels[rows], weights=weights)

    def ranges(
        self, splits: list[_Split], samples: Samples, *, target: AnyTarget
    ) -> GradeSets | ScoreIntervals | None:
        """Learn sets or intervals from answers to each inner fold by what was best on the others.

        The winner's own answers look better than they are, because they were looked at to choose
        it; ranges learned from them would be too narrow.
        """
        if isinstance(target, Target) and not target.ordered:
            return None
        honest = np.zeros_like(self.answers[0])
        for split in splits:
            best, temperature = self.best(np.setdiff1d(np.arange(len(honest)), split.test))
            found = self.answers[best][split.test]
            honest[split.test] = (
                found if self.labels is None else tempered(found, temperature=temperature)
            )
        if isinstance(target, NumericTarget):
            return learn_intervals(
                honest, samples.truth.astype(np.float64), samples.patients, target=target
            )
        return learn_sets(honest, samples.labels)


def _unseen(
    entry: GraderEntry,
    candidate: Candidate,
    samples: Samples,
    splits: list[_Split],
    *,
    target: AnyTarget,
    seed: int,
) -> tuple[Floats, list[str]]:
    """Return a candidate's answers to each inner fold, learned on the others, and its notes."""
    k, notes = len(target.classes), list[str]()
    found = np.zeros((len(samples.labels), k) if k else len(samples.labels))
    for split in splits:
        learned, asked, said = split.learn(entry, candidate, seed=seed)
        found[split.test] = answers_of(learned, asked, n_classes=k)
        notes += said
    return target.clipped(found) if isinstance(target, NumericTarget) else found, notes


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
            entry, scaled, self.train, options=candidate.options, seed=seed
        )
        return estimator, asked, notes
