"""Answers inside the training patients of each fold: what weights of a fusion are learned from.

In every outer fold the training patients are dealt into inner folds, and each grader goes through
the whole procedure of the outer fold once more (choosing, scaling and calibrating included) on the
other inner folds before it answers one. The patients that the outer fold tests take no part.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from classifiers.graders.validation import Plan, Validation, cross_validate, seed_of
from common.errors import UserError
from common.grading.folds import Split, inner_splits
from common.grading.predictions import Unit, inner_predictions_schema
from common.grading.target import Target
from common.tables import write_table

INNER_FILE = "inner_predictions.csv"


def answer_inside(plan: Plan, *, n_folds: int, jobs: int = 1) -> Validation:
    """Let every grader answer the training rows of every outer fold, unseen.

    Parameters
    ----------
    plan
        Samples, outer folds and graders, as they were validated.
    n_folds
        Inner folds, 2 or more.
    jobs
        Worker processes; the answers do not depend on it.

    Returns
    -------
    Validation
        Its predictions by `inner_predictions_schema`.
    """
    refuse_too_few(n_folds)
    inner: list[Split] = []
    origin: list[tuple[int, int]] = []  # outer fold and inner number of each
    for part in plan.parts:
        samples = plan.samples.at(part.train)
        dealt = inner_splits(
            samples.labels,
            samples.patients,
            n_folds=n_folds,
            seed=seed_of(plan.seed, "inner predictions", part),
        )
        for number, (train, test) in enumerate(dealt if len(part.test) else [], start=1):
            # Counted through all outer folds, so that each has a seed of its own.
            inner.append(Split(part.repeat, len(inner) + 1, part.train[train], part.train[test]))
            origin.append((part.fold, number))
    inside = cross_validate(
        replace(plan, parts=inner, inner={}), jobs=jobs, title="inner predictions"
    )
    answers = inside.predictions
    place = answers["fold"].to_numpy() - 1
    folds = np.array(origin, dtype=np.int64)
    table = answers.assign(outer_fold=folds[place, 0], fold=folds[place, 1])
    return replace(
        inside,
        predictions=table,
        problems=[f"Inner predictions: {sentence}" for sentence in inside.problems],
    )


def refuse_too_few(n_folds: int | None) -> None:
    """Refuse fewer than two inner folds, before the long work; None asks for none."""
    if n_folds is not None and n_folds < 2:
        raise UserError(f"--inner-predictions is {n_folds}: give 2 folds or more.")


def write_inner_predictions(
    predictions: pd.DataFrame, path: Path, *, target: Target, unit: Unit = "photograph"
) -> None:
    """Write `inner_predictions.csv`."""
    write_table(predictions, path, schema=inner_predictions_schema(target, unit=unit))
