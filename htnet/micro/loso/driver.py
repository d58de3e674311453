"""Leave-one-subject-out: every model answers every clip without its subject, by one rule or both.

`honest` is the rule by which everything, the epoch too, is chosen on subjects inside the training
fold. `published` keeps for each held-out subject the epoch that scored best on that same subject;
it is optimistic, exists only for models that are trained in epochs, and is marked wherever it is
shown. Answers of the two rules are never pooled.

The clips of all folds are pooled before anything is scored: a third of the subjects of the
composite have clips of one class only, and a mean of their own scores would mean nothing. UF1 is
the mean over classes of F1_c = 2 TP_c / (2 TP_c + FP_c + FN_c), UAR the mean over classes of
TP_c / n_c (See et al. 2019, FG, doi 10.1109/FG.2019.8756611). The definition supposes that every
class occurs. Where one does not, in a dataset or in a resample, TP_c / n_c has no value and is left
out of UAR; F1_c is 0 when the class was answered (every such answer is wrong), and is left out when
it was not answered either.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from common.bootstrap import (
    RESAMPLES,
    Estimate,
    interval,
    paired_difference,
    resampled_counts,
    resampling_weights,
)
from common.errors import UserError
from common.grading.scores import Counts, balanced_accuracy, macro_f1, weighted_f1
from htnet.micro.clips.maps import FlowMaps
from htnet.micro.loso.folds import LosoAnswers, Recogniser

Protocol = Literal["honest", "published", "both"]
ALL = "all"

uf1 = macro_f1
uar = balanced_accuracy


@dataclass(frozen=True)
class Scores:
    """Scores of one set of answers, 0 to 1, with 95 % intervals from resampling whole subjects.

    In the weighted F1 each class counts as often as it occurs. `counts` are `(k, k)` clips, true
    class in rows, of several seeds the mean; `spread_...` is the standard deviation over seeds
    (n - 1), NaN for one seed.
    """

    uf1: Estimate
    uar: Estimate
    weighted_f1: Estimate
    counts: Counts
    spread_uf1: float
    spread_uar: float


@dataclass(frozen=True)
class ScoredModel:
    """Scores of one model by one rule on all clips, or on those of one dataset.

    `counts` are those that were scored, `(seeds, subjects, k, k)`.
    """

    answers: LosoAnswers
    dataset: str
    n_clips: int
    n_subjects: int
    counts: Counts
    scores: Scores


@dataclass(frozen=True)
class LosoRun:
    """What leave-one-subject-out gave: answers in the order in which the models were asked.

    `scored` holds the scores of each on `all` clips, then on each dataset where there are several;
    `seconds` how long each model took.
    """

    clips: FlowMaps
    models: tuple[LosoAnswers, ...]
    scored: tuple[ScoredModel, ...]
    seconds: dict[str, float]

    def on(self, dataset: str = ALL) -> list[ScoredModel]:
        """Return the scores on all clips or on one dataset."""
        return [one for one in self.scored if one.dataset == dataset]

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the datasets, where there are several."""
        names = dict.fromkeys(one.dataset for one in self.scored)
        return tuple(name for name in names if name != ALL)

    def best_honest(self) -> ScoredModel:
        """Return the model with the highest honest UF1 on all clips."""
        honest = [one for one in self.on() if one.answers.rule == "honest"]
        return max(honest, key=lambda one: one.scores.uf1.value)


def run_loso(
    clips: FlowMaps,
    recognisers: Sequence[Recogniser],
    *,
    seeds: tuple[int, ...],
    protocol: Protocol = "honest",
) -> tuple[list[LosoAnswers], dict[str, float]]:
    """Ask every recogniser for its answers, and check that they are answers to these clips.

    `seeds` are those of the models in which anything is random. Of a model that has both rules the
    answers by `protocol` are kept. Models without epochs have honest answers only, and these are
    kept always, as what the others are compared with. UserError when two models have one name, or
    a model does not answer as it must.
    """
    models: list[LosoAnswers] = []
    seconds: dict[str, float] = {}
    for recogniser in recognisers:
        if recogniser.name in seconds:
            raise UserError(f'Two models are called "{recogniser.name}": ask for one of them.')
        began = time.monotonic()
        answers = recogniser.leave_one_subject_out(clips, seeds=seeds)
        seconds[recogniser.name] = time.monotonic() - began
        for one in answers:
            _check(one, clips)
        rules = {one.rule for one in answers}
        models += [one for one in answers if protocol in ("both", one.rule) or len(rules) == 1]
        print(f"{recogniser.name}: {seconds[recogniser.name]:.1f} s", file=sys.stderr, flush=True)
    return models, seconds


def scored_run(
    clips: FlowMaps, models: Sequence[LosoAnswers], *, seconds: dict[str, float], seed: int = 0
) -> LosoRun:
    """Score all answers, on all clips and on each dataset; `seed` is that of the bootstrap."""
    names = sorted(set(clips.dataset.tolist()))
    scored = []
    for model in models:
        by_subject = np.stack([counts_by_subject(clips, one) for one in model.predicted])
        for name in (ALL, *names) if len(names) > 1 else (ALL,):
            rows = np.ones(len(clips), dtype=bool) if name == ALL else clips.dataset == name
            # A subject belongs to one dataset, so its counts are those of the dataset too.
            counts = by_subject[:, np.unique(clips.fold[rows])]
            scores = score(counts, seed=seed)
            scored.append(
                ScoredModel(model, name, int(rows.sum()), counts.shape[1], counts, scores)
            )
    return LosoRun(clips, tuple(models), tuple(scored), seconds)


def counts_by_subject(clips: FlowMaps, predicted: NDArray[np.int64]) -> Counts:
    """Return `(subjects, k, k)` confusion counts, subjects in the order of `clips.subjects`."""
    k = len(clips.classes)
    counts = np.zeros((len(clips.subjects), k, k))
    np.add.at(counts, (clips.fold, clips.label, predicted), 1.0)
    return counts


def score(counts: Counts, *, resamples: int = RESAMPLES, seed: int = 0) -> Scores:
    """Pool the subjects' clips and score them.

    `counts` are `(seeds, subjects, k, k)` from `counts_by_subject`. A score is computed for each
    seed and the mean over seeds is reported: it is what one training may be expected to give. The
    same subjects give the same draws of the bootstrap, so that models are compared on the same
    resamples.
    """
    weights = resampling_weights(counts.shape[1], resamples=resamples, seed=seed)
    pooled = counts.sum(axis=1)
    drawn = np.stack([resampled_counts(one, weights=weights) for one in counts])
    f1, recall, weighted = (
        interval(float(of(pooled).mean()), of(drawn).mean(axis=0)) for of in (uf1, uar, weighted_f1)
    )
    spreads = _spread(uf1(pooled)), _spread(uar(pooled))
    return Scores(f1, recall, weighted, pooled.mean(axis=0), *spreads)


def subject_bootstrap_difference(
    counts: Counts, other: Counts, *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Return the difference in UF1 of two models on the same subjects, first minus second.

    Both are `(seeds, subjects, k, k)`; the same resampled subjects are scored for both.
    """
    weights = resampling_weights(counts.shape[1], resamples=resamples, seed=seed)
    first, second = (np.swapaxes(of, 0, 1) for of in (counts, other))
    return paired_difference(lambda of: uf1(of).mean(axis=-1), first, second, weights=weights)[0]


def _spread(values: NDArray[np.float64]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _check(one: LosoAnswers, clips: FlowMaps) -> None:
    """Refuse answers that are not one probability for each clip and class."""
    wanted = (len(one.seeds), len(clips), len(clips.classes))
    if one.probabilities.shape != wanted:
        raise UserError(
            f"{one.model} answered with the shape {one.probabilities.shape}, not {wanted}: a fold "
            "may be missing; run it again."
        )
    if not np.isfinite(one.probabilities).all() or not np.allclose(
        one.probabilities.sum(axis=2), 1.0, atol=1e-4
    ):
        raise UserError(
            f"{one.model} gave probabilities that do not sum to one: a training has diverged; try "
            "a lower learning rate."
        )
