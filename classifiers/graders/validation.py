"""Cross-validation: every grader learns on the training patients of a fold and answers the rest.

The rows tested in a fold are given to a grader once, for its answers. Scaling, filling-in and
calibration are all learned inside the training rows. For fusion the graders also answer inside the
training patients of each fold (`answer_inside`), whom the whole procedure of a fold then holds out
in turn; the patients that the outer fold tests take no part.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from classifiers.graders.cohort import Samples
from classifiers.graders.importance import ExchangedFold, exchanged_answers
from classifiers.graders.nested import InnerFolds, NestedGrader, fit_nested, fit_plain
from classifiers.graders.registry import GraderEntry, choose_graders, graders_of
from classifiers.graders.scaling import ScalerName
from common.arrays import Floats, Ints
from common.errors import UserError
from common.grading.fold_notes import fold_problems
from common.grading.folds import Split, inner_splits
from common.grading.numeric_target import AnyTarget
from common.grading.predictions import Unit, answer_rows, in_order
from common.grading.target import target_named
from common.progress import JobProgress
from common.words import counted
from common.workers import supervised_map
from features.registry import Region

SEARCHED_SCALERS: tuple[ScalerName, ...] = ("standard", "power")
LIMIT_S = 1800.0  # for one fold of one grader


@dataclass(frozen=True)
class Plan:
    """Everything a fold needs, as it travels to a worker process.

    With `search`, options, scaler and columns are chosen and probabilities calibrated on inner
    folds (`classifiers.graders.nested`); `scaler` is then the first of those to choose from.
    Patients are always searched, because their columns are learned. With `exchanges`, the graders
    named also answer the tested rows that often with each part of the face exchanged (for
    importance). With a `scheduler` a Dask cluster works on the folds, as
    `common.workers.supervised_map` says. `target` is a target, or the name of one of classes.
    """

    samples: Samples
    parts: list[Split]
    target: str | AnyTarget
    graders: list[str]
    scaler: ScalerName
    seed: int
    unit: Unit = "photograph"
    search: bool = False
    exchanges: int = 0
    scheduler: str | None = None
    inner: dict[int, InnerFolds] = field(default_factory=dict, repr=False, compare=False)

    @property
    def question(self) -> AnyTarget:
        """What is asked."""
        return target_named(self.target) if isinstance(self.target, str) else self.target

    @property
    def entries(self) -> list[GraderEntry]:
        """The graders, and the baselines."""
        return choose_graders(self.graders, target=self.question)

    @property
    def searched(self) -> bool:
        """Whether anything is chosen and calibrated on inner folds."""
        return self.search or self.unit == "patient"

    @property
    def fits(self) -> list[tuple[str, int]]:
        """Every grader in every fold that tests something: grader and number of the split."""
        return [
            (entry.name, at)
            for at, part in enumerate(self.parts)
            if len(part.test) and len(part.train)
            for entry in self.entries
        ]

    def problems(self) -> list[str]:
        """Say what the folds cannot show, and what must be known of the target."""
        names = self.question.classes
        found = fold_problems(
            self.parts, labels=self.samples.labels, class_names=names, unit=self.unit
        )
        return [*found, *self.question.notes]

    def inner_folds(self, at: int) -> InnerFolds:
        """Return the inner folds of one outer fold, made once in each process for all graders."""
        if at not in self.inner:
            part = self.parts[at]
            self.inner[at] = InnerFolds(
                self.samples.at(part.train),
                target=self.question,
                seed=part.seed(self.seed, "inner folds"),
            )
        return self.inner[at]


@dataclass(frozen=True)
class FoldAnswers:
    """What one grader answered in one fold, and how it went.

    `answers` are `(n_test, k)` probabilities or `(n_test,)` scores, `bounds` the `(n_test, 2)` ends
    of sets or intervals.
    """

    answers: Floats
    seconds: float
    notes: tuple[str, ...]
    bounds: Ints | Floats | None = None
    choice: str = ""
    exchanged: dict[Region, list[Floats]] | None = None


@dataclass(frozen=True)
class Validation:
    """What every grader answered on every fold.

    `predictions` by `predictions_schema`; `seconds` by grader; `problems` sentences of what
    libraries warned of or what failed; `choices` what was chosen on inner folds: `model`, `choice`,
    `folds` (how often); `exchanged` by grader its answers with parts of the face exchanged, where
    asked for.
    """

    predictions: pd.DataFrame
    seconds: dict[str, float]
    problems: list[str]
    failed: int
    choices: pd.DataFrame
    exchanged: dict[str, list[ExchangedFold]]


def cross_validate(plan: Plan, *, jobs: int = 1, title: str = "benchmark") -> Validation:
    """Run every grader on every fold, in `jobs` processes; the answers do not depend on it.

    Refused (`UserError`) when there is no fold to learn and answer in, or no fit succeeded at all.
    """
    if not plan.fits:
        raise UserError(
            "No fold has both photographs to learn from and photographs to test: there must be "
            "at least two patients with usable photographs."
        )
    answered: dict[tuple[str, int], FoldAnswers] = {}
    notes: Counter[tuple[str, str]] = Counter()
    with JobProgress(title, total=len(plan.fits)) as progress:
        for fit, answers, error in _run(plan, jobs=jobs):
            progress.advance(ok=answers is not None)
            if answers is None:
                notes[fit[0], f"failed: {error}"] += 1
            else:
                answered[fit] = answers
                notes.update((fit[0], note) for note in answers.notes)
    problems = [
        f"{grader}, {count} of {counted(len(plan.parts), 'fit')}: {note}"
        for (grader, note), count in sorted(notes.items())
    ]
    if not answered:
        raise UserError(f"Every fit failed ({problems[0]}): check the features and the grades.")
    return _gathered(plan, answered, problems=problems, failed=progress.failed)


def _gathered(
    plan: Plan, answered: dict[tuple[str, int], FoldAnswers], *, problems: list[str], failed: int
) -> Validation:
    """Put the answers of all fits into tables."""
    tables: list[pd.DataFrame] = []
    seconds: defaultdict[str, float] = defaultdict(float)
    chosen: Counter[tuple[str, str]] = Counter()
    exchanged: defaultdict[str, list[ExchangedFold]] = defaultdict(list)
    for grader, at in sorted(answered):
        part, answers = plan.parts[at], answered[grader, at]
        rows = plan.samples.rows.iloc[part.test]
        tables.append(
            answer_rows(
                rows, target=plan.question, unit=plan.unit, answers=answers.answers,
                repeat=part.repeat, fold=part.fold, model=grader, bounds=answers.bounds,
            )
        )  # fmt: skip
        seconds[grader] += answers.seconds
        if answers.choice:
            chosen[grader, answers.choice] += 1
        if answers.exchanged is not None:
            exchanged[grader].append(
                ExchangedFold(rows, part.repeat, part.fold, answers.answers, answers.exchanged)
            )
    models = [entry.name for entry in plan.entries]
    return Validation(
        predictions=in_order(pd.concat(tables), unit=plan.unit, models=models),
        seconds={name: seconds[name] for name in models if name in seconds},
        problems=problems,
        failed=failed,
        choices=_choices(chosen, models=models),
        exchanged={name: exchanged[name] for name in models},
    )


def refuse_too_few(n_folds: int | None) -> None:
    """Refuse fewer than two inner folds, before the long work; None asks for none."""
    if n_folds is not None and n_folds < 2:
        raise UserError(f"--inner-predictions is {n_folds}: give 2 folds or more.")


def answer_inside(plan: Plan, *, n_folds: int, jobs: int = 1) -> Validation:
    """Let every grader answer the training rows of every outer fold, unseen, on 2 or more folds."""
    refuse_too_few(n_folds)
    inner: list[Split] = []
    origin: list[tuple[int, int]] = []  # outer fold and inner number of each
    for part in plan.parts:
        samples = plan.samples.at(part.train)
        dealt = inner_splits(
            samples.truth,
            samples.patients,
            n_folds=n_folds,
            seed=part.seed(plan.seed, "inner predictions"),
        )
        for number, (train, test) in enumerate(dealt if len(part.test) else [], start=1):
            # Counted through all outer folds, so that each has a seed of its own.
            inner.append(Split(part.repeat, len(inner) + 1, part.train[train], part.train[test]))
            origin.append((part.fold, number))
    inside = cross_validate(
        replace(plan, parts=inner, inner={}), jobs=jobs, title="inner predictions"
    )
    outer_fold, fold = np.array(origin, dtype=np.int64)[inside.predictions["fold"] - 1].T
    return replace(
        inside,
        predictions=inside.predictions.assign(outer_fold=outer_fold, fold=fold),
        problems=[f"Inner predictions: {sentence}" for sentence in inside.problems],
    )


def answer_fold(plan: Plan, fit: tuple[str, int]) -> FoldAnswers:
    """Fit one grader on the training rows of one fold and let it answer the tested rows."""
    grader, at = fit
    part = plan.parts[at]
    tested = plan.samples.at(part.test)
    started = time.perf_counter()
    learned = _learned(plan, grader, at)
    answers = learned.answers(tested)
    bounds = learned.bounds(tested, answers, target=plan.question)
    seconds = time.perf_counter() - started
    exchanged = None
    if plan.exchanges and grader in plan.graders:
        exchanged = exchanged_answers(
            learned.answers, tested, exchanges=plan.exchanges, seed=(plan.seed, at)
        )
    chosen = plan.searched and not graders_of(plan.question)[grader].baseline
    return FoldAnswers(
        answers, seconds, learned.grader.notes, bounds=bounds,
        choice=str(learned.choice) if chosen else "", exchanged=exchanged,
    )  # fmt: skip


def _learned(plan: Plan, grader: str, at: int) -> NestedGrader:
    """Let a grader learn from the training rows of a fold."""
    target, part = plan.question, plan.parts[at]
    entry, train = graders_of(target)[grader], plan.samples.at(part.train)
    seed = part.seed(plan.seed, entry.name)
    if not plan.searched:
        return fit_plain(entry, train, target=target, scaler=plan.scaler, seed=seed)
    scalers, inner = scalers_to_try(plan.scaler), plan.inner_folds(at)
    return fit_nested(entry, train, target=target, scalers=scalers, seed=seed, inner=inner)


def scalers_to_try(first: ScalerName) -> tuple[ScalerName, ...]:
    """Return the scalers that a search chooses from."""
    return tuple(dict.fromkeys([first, *SEARCHED_SCALERS]))


def _choices(chosen: Counter[tuple[str, str]], *, models: list[str]) -> pd.DataFrame:
    """Return how often each candidate was chosen, most often first within a model."""
    rows = sorted(
        ((models.index(model), -count, choice) for (model, choice), count in chosen.items())
    )
    return pd.DataFrame(
        [(models[at], choice, -count) for at, count, choice in rows],
        columns=["model", "choice", "folds"],
    )


def _run(
    plan: Plan, *, jobs: int
) -> Iterator[tuple[tuple[str, int], FoldAnswers | None, str | None]]:
    """Yield each fit with its answers or its error, here or in worker processes."""
    fits = plan.fits
    if jobs > 1 or plan.scheduler:
        for outcome in supervised_map(
            answer_fold,
            fits,
            jobs=jobs,
            start=partial(replace, plan),
            scheduler=plan.scheduler,
            limit_s=LIMIT_S,
        ):
            yield fits[outcome.index], outcome.value, outcome.error
        return
    for fit in fits:
        try:
            with threadpool_limits(limits=1):
                answers = answer_fold(plan, fit)
        except Exception as error:  # one grader that cannot fit must not lose the others
            yield fit, None, f"{type(error).__name__}: {error}"
        else:
            yield fit, answers, None
