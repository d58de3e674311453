"""Leave-one-subject-out: every model answers every clip without its subject, by one rule or both.

`honest` is the rule by which everything, the epoch too, is chosen on subjects inside the training
fold. `published` keeps for each held-out subject the epoch that scored best on that same subject;
it is optimistic, exists only for models that are trained in epochs, and is marked wherever it is
shown. Answers of the two rules are never pooled.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from common.errors import UserError
from htnet.micro.clips.maps import FlowMaps
from htnet.micro.loso.folds import LosoAnswers, Recogniser, Rule
from htnet.micro.loso.scores import Scores, counts_by_subject, score

Protocol = Literal["honest", "published", "both"]
ALL = "all"
OPTIMISTIC = "best epoch on the held-out subject: optimistic"


@dataclass(frozen=True)
class ModelAnswers:
    """The answers of one model by one rule, one for each seed."""

    model: str
    rule: Rule
    by_seed: tuple[LosoAnswers, ...]

    @property
    def label(self) -> str:
        """The model as it is printed: an optimistic figure never goes by its bare name."""
        return self.model if self.rule == "honest" else f"{self.model} ({OPTIMISTIC})"

    def predicted(self) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
        """`(n,)` answers for each seed."""
        return [one.predicted for one in self.by_seed]


@dataclass(frozen=True)
class ScoredModel:
    """Scores of one model by one rule on all clips, or on those of one dataset."""

    answers: ModelAnswers
    dataset: str
    n_clips: int
    n_subjects: int
    scores: Scores


@dataclass(frozen=True)
class LosoRun:
    """What leave-one-subject-out gave.

    Attributes
    ----------
    clips
        The clips.
    models
        Answers in the order in which the models were asked.
    scored
        Scores of each on `all` clips, then on each dataset where there are several.
    seconds
        How long each model took.
    """

    clips: FlowMaps
    models: tuple[ModelAnswers, ...]
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
) -> tuple[list[ModelAnswers], dict[str, float]]:
    """Ask every recogniser for its answers, and check that they are answers to these clips.

    Parameters
    ----------
    clips
        The clips.
    recognisers
        Models, names all different.
    seeds
        Of the models in which anything is random.
    protocol
        Which answers of a model that has both rules are kept. Models without epochs have honest
        answers only, and these are kept always, as what the others are compared with.

    Raises
    ------
    UserError
        When two models have one name, or a model does not answer as it must.
    """
    models: list[ModelAnswers] = []
    seconds: dict[str, float] = {}
    for recogniser in recognisers:
        if recogniser.name in seconds:
            raise UserError(f'Two models are called "{recogniser.name}": ask for one of them.')
        began = time.monotonic()
        answers = recogniser.leave_one_subject_out(clips, seeds=seeds)
        seconds[recogniser.name] = time.monotonic() - began
        for one in answers:
            _check(one, clips)
        models += _kept(answers, protocol)
        print(f"{recogniser.name}: {seconds[recogniser.name]:.1f} s", file=sys.stderr, flush=True)
    return models, seconds


def scored_run(
    clips: FlowMaps, models: Sequence[ModelAnswers], *, seconds: dict[str, float], seed: int = 0
) -> LosoRun:
    """Score all answers, on all clips and on each dataset; `seed` is that of the bootstrap."""
    parts: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]] = {
        ALL: np.ones(len(clips), dtype=bool)
    }
    names = sorted(set(clips.dataset.tolist()))
    if len(names) > 1:
        parts |= {name: clips.dataset == name for name in names}
    fold = clips.fold
    scored = []
    for model in models:
        by_subject = np.stack([counts_by_subject(clips, one) for one in model.predicted()])
        for name, rows in parts.items():
            subjects = np.unique(fold[rows])
            # A subject belongs to one dataset, so its counts are those of the dataset too.
            scored.append(
                ScoredModel(
                    answers=model,
                    dataset=name,
                    n_clips=int(rows.sum()),
                    n_subjects=len(subjects),
                    scores=score(by_subject[:, subjects], seed=seed),
                )
            )
    return LosoRun(clips, tuple(models), tuple(scored), seconds)


def _kept(answers: Sequence[LosoAnswers], protocol: Protocol) -> list[ModelAnswers]:
    rules = list(dict.fromkeys(one.rule for one in answers))
    if len(rules) > 1 and protocol != "both":
        rules = [rule for rule in rules if rule == protocol]
    names = dict.fromkeys(one.model for one in answers)
    return [
        ModelAnswers(
            name,
            rule,
            tuple(one for one in answers if (one.model, one.rule) == (name, rule)),
        )
        for name in names
        for rule in rules
    ]


def _check(one: LosoAnswers, clips: FlowMaps) -> None:
    """Refuse answers that are not one probability for each clip and class."""
    wanted = (len(clips), len(clips.classes))
    if one.probabilities.shape != wanted:
        raise UserError(
            f"{one.model} answered with the shape {one.probabilities.shape}, not {wanted}: a fold "
            "may be missing; run it again."
        )
    if not np.isfinite(one.probabilities).all() or not np.allclose(
        one.probabilities.sum(axis=1), 1.0, atol=1e-4
    ):
        raise UserError(
            f"{one.model} gave probabilities that do not sum to one: a training has diverged; try "
            "a lower learning rate."
        )
