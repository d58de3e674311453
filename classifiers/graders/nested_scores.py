"""Nested validation of graders that answer with a number (see `classifiers.graders.nested`).

The candidate with the smallest mean error on inner folds, every training patient weighing alike, is
fitted on all training patients; the same unseen answers give the width of the intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from classifiers.graders.cohort import Samples
from classifiers.graders.nested import Candidate, InnerFolds, candidates_of, share_seen
from classifiers.graders.patients import Columns
from classifiers.graders.registry import FittedRegressor, GraderEntry, fit_regressor
from classifiers.graders.scaling import ScalerName
from common.arrays import Floats
from common.errors import UserError
from common.grading.intervals import ScoreIntervals, learn_intervals, patient_weights
from common.grading.numeric_target import NumericTarget


@dataclass(frozen=True)
class NestedRegressor:
    """A grader of scores with everything that was learned on its training rows.

    `low` and `high` are the ends of the scale, at which answers are cut off; `intervals` are None
    when there were too few patients.
    """

    choice: Candidate
    columns: Columns
    grader: FittedRegressor
    low: float
    high: float
    intervals: ScoreIntervals | None

    def answers(self, samples: Samples) -> Floats:
        """Return `(n,)` scores."""
        made = self.columns.make(samples)[self.choice.columns]
        return np.clip(self.grader.answers(made), self.low, self.high)

    def bounds(
        self, samples: Samples, answers: Floats, *, target: NumericTarget, stretch: float = 1.0
    ) -> Floats:
        """Return `(n, 2)` ends of the intervals of answers, NaN without any.

        A patient with missing movements gets a wider one, by the share that was photographed;
        `stretch` widens all.
        """
        if self.intervals is None:
            return np.full((len(answers), 2), np.nan)
        wider = stretch / share_seen(samples)
        return self.intervals.of(answers, target=target, stretch=wider)


def fit_nested_scores(
    entry: GraderEntry,
    samples: Samples,
    *,
    target: NumericTarget,
    scalers: Sequence[ScalerName] = ("standard",),
    seed: int = 0,
    inner: InnerFolds | None = None,
) -> NestedRegressor:
    """Choose and fit one grader of scores on training rows, and learn its intervals.

    Options are chosen from the entry's `search`, scalers from `scalers`. `inner` are the inner
    folds of the same samples, when another grader has used them before. A baseline has nothing to
    choose and gets intervals too, so that a grader's can be seen beside them.
    """
    if samples.scores is None:
        raise UserError(f"{target.title} needs scores, and these rows have none.")
    inner = inner or InnerFolds(samples, target=target, seed=seed)
    candidates = candidates_of(entry, sets=list(inner.whole), scalers=scalers)
    chosen, intervals = candidates[0], None
    notes: list[str] = []
    if inner.splits:
        answers = []
        for candidate in candidates:
            unseen = np.zeros(len(samples.scores))
            for split in inner.splits:
                learned, asked, said = split.learn(entry, candidate, seed=seed)
                unseen[split.test] = target.clipped(np.asarray(learned.predict(asked)))
                notes.extend(said)
            answers.append(unseen)
        loss = np.abs(np.array(answers) - samples.scores) * patient_weights(samples.patients)
        chosen = candidates[int(np.argmin(loss.sum(axis=1)))]
        honest = np.zeros(len(samples.scores))
        for split in inner.splits:  # the winner's own answers look better than they are
            others = np.setdiff1d(np.arange(len(honest)), split.test)
            best = int(np.argmin(loss[:, others].sum(axis=1)))
            honest[split.test] = answers[best][split.test]
        intervals = learn_intervals(honest, samples.scores, samples.patients, target=target)
    fitted = fit_regressor(
        entry,
        features=inner.whole[chosen.columns],
        scores=samples.scores,
        patients=samples.patients,
        scaler=chosen.scaler,
        options=chosen.options,
        seed=seed,
    )
    fitted = replace(fitted, notes=tuple(dict.fromkeys([*notes, *fitted.notes])))
    return NestedRegressor(chosen, inner.columns, fitted, target.low, target.high, intervals)
