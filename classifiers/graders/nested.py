"""Nested validation: everything that is chosen is chosen on inner folds of the training patients.

For one grader in one outer fold: every candidate (columns, scaler, options of the grader) answers
each training patient once without having seen the patient; the best one by ranked probability
score is fitted on all training patients. The same unseen answers give the temperature and the
width of the sets. The tested patients take no part.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import has_fit_parameter

from classifiers.graders.cohort import Samples
from classifiers.graders.columns import Columns, Sets, columns_for
from classifiers.graders.registry import FittedGrader, GraderEntry
from classifiers.graders.scaling import ScalerName, preparation, scaler_notes
from common.grading.calibration import GradeSets, learn_sets, learn_temperature, tempered
from common.grading.folds import inner_splits
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

    Attributes
    ----------
    choice
        The candidate that was best on inner folds.
    temperature
        1 leaves the chances as they are, more makes them less sure.
    sets
        Conformal sets; None when there were too few patients.
    """

    choice: Candidate
    columns: Columns
    grader: FittedGrader
    temperature: float
    sets: GradeSets | None

    def probabilities(self, samples: Samples) -> NDArray[np.float64]:
        """Return calibrated `(n, k)` chances.

        A patient with missing movements is answered less surely: the temperature is divided by
        the share of the usual movements that were photographed.
        """
        chances = self.grader.probabilities(self.columns.make(samples)[self.choice.columns])
        return tempered(chances, temperature=self.temperature / share_seen(samples))


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

    Parameters
    ----------
    entry
        From `GRADERS`; its `search` lists the options to choose from.
    samples
        Training rows of one outer fold.
    scalers
        Scalers to choose from.
    seed
        Of the grader, and of the inner folds when they are not given.
    inner
        Inner folds of the same samples, when another grader has used them before.
    """
    k = len(target.classes)
    inner = inner or InnerFolds(samples, target=target, seed=seed)
    candidates = list(_candidates(entry, sets=list(inner.whole), scalers=scalers))
    chosen, temperature, sets = candidates[0], 1.0, None
    notes: list[str] = []
    if inner.splits and not entry.baseline:
        answers = []
        for candidate in candidates:
            unseen = np.zeros((len(samples.labels), k))
            for split in inner.splits:
                unseen[split.test], said = split.answer(entry, candidate, n_classes=k, seed=seed)
                notes.extend(said)
            answers.append(unseen)
        weights = compute_sample_weight("balanced", samples.labels)
        best, temperature = _best(answers, samples.labels, weights=weights)
        chosen = candidates[best]
        if target.ordered:
            honest = _honest(answers, inner.splits, labels=samples.labels, weights=weights)
            sets = learn_sets(honest, samples.labels)
    fitted = _fit(entry, chosen, inner.whole, samples, n_classes=k, seed=seed)
    return NestedGrader(
        choice=chosen,
        columns=inner.columns,
        grader=FittedGrader(
            pipeline=fitted.pipeline,
            n_classes=k,
            notes=tuple(dict.fromkeys([*notes, *fitted.notes])),
        ),
        temperature=temperature,
        sets=sets,
    )


def ranked_loss(
    chances: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    weights: NDArray[np.float64] | None = None,
) -> float:
    """Return the mean ranked probability score (Epstein 1969): 0 perfect, small is better.

    The squared distance between the cumulative chances and the truth, so that probability far from
    the true grade costs more. For two classes it is the Brier score.
    """
    k = chances.shape[1]
    truth = (labels[:, None] <= np.arange(1, k)[None, :]).astype(np.float64)
    loss = np.square(np.cumsum(chances, axis=1)[:, :-1] - truth).sum(axis=1)
    return float(np.average(loss, weights=weights))


def share_seen(samples: Samples) -> NDArray[np.float64]:
    """Return `(n,)` the share of all movements that each patient's row has; 1 for photographs."""
    odd = [name for name in samples.features.columns if str(name).startswith("odd.")]
    first = [name for name in odd if name.endswith(".0")]
    if not first:
        return np.ones(len(samples.labels))
    seen = samples.features[first].notna().mean(axis=1).to_numpy()
    share: NDArray[np.float64] = np.maximum(seen, 0.1)
    return share


def _candidates(
    entry: GraderEntry, *, sets: list[str], scalers: Sequence[ScalerName]
) -> list[Candidate]:
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

    Attributes
    ----------
    columns, whole
        What makes columns, learned on all training rows, and the sets of these rows.
    splits
        The inner folds; empty when there are too few patients to choose anything on.
    """

    def __init__(self, samples: Samples, *, target: Target, seed: int = 0) -> None:
        self.columns = columns_for(samples, target=target)
        self.whole = self.columns.learn(samples)
        parts = inner_splits(samples.labels, samples.patients, n_folds=INNER_FOLDS, seed=seed)
        enough = len(np.unique(samples.patients)) >= LEAST_PATIENTS
        self.splits = [
            _Split.of(samples, train, test, target=target)
            for train, test in (parts if enough else [])
        ]


def _best(
    answers: list[NDArray[np.float64]],
    labels: NDArray[np.int64],
    *,
    weights: NDArray[np.float64],
) -> tuple[int, float]:
    """Return which candidate answered best, and its temperature."""
    losses = [ranked_loss(found, labels, weights=weights) for found in answers]
    best = int(np.argmin(losses))
    return best, learn_temperature(answers[best], labels, weights=weights)


def _honest(
    answers: list[NDArray[np.float64]],
    splits: list[_Split],
    *,
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
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
    test: NDArray[np.intp]
    learned: Sets
    asked: Sets
    scaled: dict[tuple[str, str], tuple[Pipeline, NDArray[np.float64], NDArray[np.float64]]]

    @classmethod
    def of(
        cls,
        samples: Samples,
        train: NDArray[np.intp],
        test: NDArray[np.intp],
        *,
        target: Target,
    ) -> _Split:
        columns = columns_for(samples, target=target)
        learned = columns.learn(samples.at(train))
        return cls(samples.at(train), test, learned, columns.make(samples.at(test)), {})

    def answer(
        self, entry: GraderEntry, candidate: Candidate, *, n_classes: int, seed: int
    ) -> tuple[NDArray[np.float64], list[str]]:
        """Let a candidate learn here and answer the tested rows; also what libraries warned of."""
        key = (candidate.columns, candidate.scaler)
        if key not in self.scaled:
            steps = Pipeline(preparation(candidate.scaler))
            scaled = steps.fit_transform(self.learned[candidate.columns])
            self.scaled[key] = (steps, scaled, steps.transform(self.asked[candidate.columns]))
        _, scaled, asked = self.scaled[key]
        estimator, notes = _learned(entry, candidate, scaled, self.train, seed=seed)
        chances = np.zeros((len(asked), n_classes))
        seen = np.asarray(estimator.classes_, dtype=np.intp) - 1
        chances[:, seen] = estimator.predict_proba(asked)
        return chances, notes


def _fit(
    entry: GraderEntry,
    candidate: Candidate,
    sets: Sets,
    samples: Samples,
    *,
    n_classes: int,
    seed: int,
) -> FittedGrader:
    """Fit the chosen candidate on all training rows, as one pipeline."""
    steps = preparation(candidate.scaler)
    scaled = Pipeline(steps).fit_transform(sets[candidate.columns])
    estimator, notes = _learned(entry, candidate, scaled, samples, seed=seed)
    pipeline = Pipeline([*steps, ("grader", estimator)])
    notes = [*scaler_notes(pipeline), *notes]
    return FittedGrader(pipeline=pipeline, n_classes=n_classes, notes=tuple(notes))


def _learned(
    entry: GraderEntry,
    candidate: Candidate,
    values: NDArray[np.float64],
    samples: Samples,
    *,
    seed: int,
) -> tuple[Any, list[str]]:
    """Return the fitted estimator of a candidate, and what libraries warned of."""
    estimator = entry.build(seed).set_params(**candidate.options)
    takes = has_fit_parameter(estimator, "groups")
    extra = {"groups": samples.patients} if takes else {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(values, samples.labels, **extra)
    return estimator, list(dict.fromkeys(str(item.message).splitlines()[0] for item in caught))
