"""Cross-validation: every grader learns on the training patients of a fold and answers the rest.

The rows tested in a fold are given to a grader once, for its answers. Scaling, filling-in and
calibration are all learned inside the training rows.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from classifiers.graders.cohort import Samples
from classifiers.graders.importance import ExchangedFold, exchanged_answers
from classifiers.graders.nested import InnerFolds, fit_nested
from classifiers.graders.registry import GRADERS, choose_graders, fit_grader
from classifiers.graders.scaling import ScalerName
from common.errors import UserError
from common.grading.folds import Split
from common.grading.predictions import Unit, in_order, prediction_rows
from common.grading.target import target_named
from common.progress import JobProgress
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
    importance).
    """

    samples: Samples
    parts: list[Split]
    target: str
    graders: list[str]
    scaler: ScalerName
    seed: int
    unit: Unit = "photograph"
    search: bool = False
    exchanges: int = 0
    inner: dict[int, InnerFolds] = field(default_factory=dict, repr=False, compare=False)

    @property
    def fits(self) -> list[tuple[str, int]]:
        """Every grader in every fold that tests something: grader and number of the split."""
        return [
            (entry.name, at)
            for at, part in enumerate(self.parts)
            if len(part.test) and len(part.train)
            for entry in choose_graders(self.graders)
        ]


@dataclass(frozen=True)
class FoldAnswers:
    """What one grader answered in one fold: `(n_test, k)`, and how it went."""

    probabilities: NDArray[np.float64]
    seconds: float
    notes: tuple[str, ...]
    sets: NDArray[np.int64] | None = None
    choice: str = ""
    exchanged: dict[Region, list[NDArray[np.float64]]] | None = None


@dataclass(frozen=True)
class Validation:
    """Result of a cross-validation.

    Attributes
    ----------
    predictions
        By `predictions_schema`.
    seconds
        Time of fitting and answering, by grader, summed over folds.
    problems
        Sentences for the top of the report: failed fits, and what libraries warned of.
    failed
        Number of fits that gave no answers.
    choices
        What was chosen on inner folds: `model`, `choice`, `folds` (how often).
    exchanged
        By grader, its answers with parts of the face exchanged, where the plan asked for them.
    """

    predictions: pd.DataFrame
    seconds: dict[str, float]
    problems: list[str]
    failed: int
    choices: pd.DataFrame
    exchanged: dict[str, list[ExchangedFold]]


def cross_validate(plan: Plan, *, jobs: int = 1, title: str = "benchmark") -> Validation:
    """Run every grader on every fold.

    Parameters
    ----------
    plan
        Samples, folds and graders.
    jobs
        Worker processes, each with one thread; the answers do not depend on it.
    title
        What the progress line calls it.

    Raises
    ------
    UserError
        When no fit succeeded at all.
    """
    fits = plan.fits
    target = target_named(plan.target)
    if not fits:
        raise UserError(
            "No fold has both photographs to learn from and photographs to test: there must be "
            "at least two patients with usable photographs."
        )
    tables: list[pd.DataFrame] = []
    seconds: defaultdict[str, float] = defaultdict(float)
    notes: Counter[tuple[str, str]] = Counter()
    chosen: Counter[tuple[str, str]] = Counter()
    exchanged: dict[tuple[str, int], ExchangedFold] = {}
    with JobProgress(title, total=len(fits)) as progress:
        for index, answers, error in _run(plan, fits, jobs=jobs):
            grader, at = fits[index]
            progress.advance(ok=answers is not None)
            if answers is None:
                notes[grader, f"failed: {error}"] += 1
                continue
            part = plan.parts[at]
            tables.append(
                prediction_rows(
                    plan.samples.rows.iloc[part.test],
                    target=target,
                    unit=plan.unit,
                    probabilities=answers.probabilities,
                    repeat=part.repeat,
                    fold=part.fold,
                    model=grader,
                    sets=answers.sets,
                )
            )
            if answers.exchanged is not None:
                exchanged[grader, at] = ExchangedFold(
                    rows=plan.samples.rows.iloc[part.test],
                    repeat=part.repeat,
                    fold=part.fold,
                    whole=answers.probabilities,
                    exchanged=answers.exchanged,
                )
            if answers.choice:
                chosen[grader, answers.choice] += 1
            seconds[grader] += answers.seconds
            notes.update((grader, note) for note in answers.notes)
    problems = [
        f"{grader}, {count} of {len(plan.parts)} fits: {note}"
        for (grader, note), count in sorted(notes.items())
    ]
    if not tables:
        raise UserError(f"Every fit failed ({problems[0]}): check the features and the grades.")
    models = [entry.name for entry in choose_graders(plan.graders)]
    predictions = in_order(pd.concat(tables), unit=plan.unit, models=models)
    return Validation(
        predictions=predictions,
        seconds={name: seconds[name] for name in models if name in seconds},
        problems=problems,
        failed=progress.failed,
        choices=_choices(chosen, models=models),
        exchanged={
            name: [exchanged[key] for key in sorted(exchanged) if key[0] == name] for name in models
        },
    )


def answer_fold(plan: Plan, fit: tuple[str, int]) -> FoldAnswers:
    """Fit one grader on the training rows of one fold and let it answer the tested rows."""
    grader, at = fit
    part, samples = plan.parts[at], plan.samples
    started = time.perf_counter()
    seed = seed_of(plan.seed, grader, part)
    target, tested = target_named(plan.target), samples.at(part.test)
    if plan.search or plan.unit == "patient":
        nested = fit_nested(
            GRADERS[grader],
            samples.at(part.train),
            target=target,
            scalers=tuple(dict.fromkeys([plan.scaler, *SEARCHED_SCALERS])),
            seed=seed,
            inner=_inner_folds(plan, at),
        )
        probabilities = nested.probabilities(tested)
        return FoldAnswers(
            probabilities,
            time.perf_counter() - started,
            nested.grader.notes,
            sets=nested.sets.of(probabilities) if nested.sets else None,
            choice="" if GRADERS[grader].baseline else str(nested.choice),
            exchanged=_exchanged(plan, fit, nested.probabilities),
        )
    fitted = fit_grader(
        GRADERS[grader],
        features=samples.features.iloc[part.train],
        labels=samples.labels[part.train],
        patients=samples.patients[part.train],
        n_classes=len(target.classes),
        scaler=plan.scaler,
        seed=seed,
    )
    probabilities = fitted.probabilities(tested.features)
    return FoldAnswers(
        probabilities,
        time.perf_counter() - started,
        fitted.notes,
        exchanged=_exchanged(plan, fit, lambda rows: fitted.probabilities(rows.features)),
    )


def _exchanged(
    plan: Plan, fit: tuple[str, int], answer: Callable[[Samples], NDArray[np.float64]]
) -> dict[Region, list[NDArray[np.float64]]] | None:
    """Return the answers with parts exchanged; None where they are not asked for."""
    grader, at = fit
    if not plan.exchanges or grader not in plan.graders:
        return None
    tested = plan.samples.at(plan.parts[at].test)
    return exchanged_answers(answer, tested, exchanges=plan.exchanges, seed=(plan.seed, at))


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
    plan: Plan, fits: list[tuple[str, int]], *, jobs: int
) -> Iterator[tuple[int, FoldAnswers | None, str | None]]:
    """Yield number, answers and error of each fit, here or in worker processes."""
    if jobs > 1:
        for outcome in supervised_map(
            answer_fold, fits, jobs=jobs, start=partial(_given, plan), limit_s=LIMIT_S
        ):
            yield outcome.index, outcome.value, outcome.error
        return
    for index, fit in enumerate(fits):
        try:
            with threadpool_limits(limits=1):
                answers = answer_fold(plan, fit)
        except Exception as error:  # one grader that cannot fit must not lose the others
            yield index, None, f"{type(error).__name__}: {error}"
        else:
            yield index, answers, None


def _inner_folds(plan: Plan, at: int) -> InnerFolds:
    """Return the inner folds of one outer fold, made once in each process for all graders."""
    if plan.inner.get(at) is None:
        part = plan.parts[at]
        plan.inner[at] = InnerFolds(
            plan.samples.at(part.train),
            target=target_named(plan.target),
            seed=seed_of(plan.seed, "inner folds", part),
        )
    return plan.inner[at]


def _given(plan: Plan) -> Plan:
    """Return what a worker process starts with."""
    return plan


def seed_of(seed: int, grader: str, part: Split) -> int:
    """Return a seed of its own for every grader, repeat and fold, the same in every process."""
    name = int.from_bytes(hashlib.sha256(grader.encode()).digest()[:4])
    sequence = np.random.SeedSequence([seed, name, part.repeat, part.fold])
    return int(sequence.generate_state(1)[0] & 0x7FFFFFFF)
