"""Early fusion: what the image branch says beside the measurements, in one grader.

Of the image branch it takes two numbers, the expected grade and its spread. Those of training
patients come from inner networks that had not seen them, so they are as good, or as bad, as those
of new patients, and they mean the same whichever network they come from. The network's embedding
in their place gained nothing on any cohort (docs/measurements.md).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from classifiers.branches.branch import SharedAnswers
from classifiers.branches.fusion import WEIGHT_COLUMNS, FusedModel, folds_of
from classifiers.graders.cohort import Samples
from classifiers.graders.nested import fit_nested
from classifiers.graders.patients import DEEP
from classifiers.graders.registry import GraderEntry
from classifiers.graders.validation import SEARCHED_SCALERS
from common.arrays import Floats, Places
from common.errors import UserError
from common.grading.folds import Split
from common.grading.predictions import KEY, to_patients
from common.grading.target import VISIT
from common.progress import JobProgress

SUMMARY = "fused_early_summary"


def fuse_summary(
    samples: Samples,
    shared: SharedAnswers,
    inner: SharedAnswers,
    *,
    deep: str,
    grader: GraderEntry,
    seed: int = 0,
) -> FusedModel:
    """Grade with the measurements and two numbers of the image branch, unseen in training too.

    `samples` are the measured photographs or patients, whichever `shared` has; `deep` is the name
    of the image branch; options, columns and calibration of the grader are chosen on inner folds.
    """
    key = [KEY[shared.unit], *([VISIT] if VISIT in shared.rows else [])]
    rows = _rows_of(samples, shared.rows[key])
    k = len(shared.classes.classes)
    chances = np.zeros((len(rows), k))
    sets = np.tile([1, k], (len(rows), 1))  # all classes where too few patients taught any
    folds = list(folds_of(shared))
    with JobProgress("early fusion, summary", total=len(folds)) as progress:
        for repeat, fold, at, _ in folds:
            unseen = inner.learned_in(repeat, fold)
            train = _rows_of(samples, inner.rows[key].iloc[unseen])
            fitted = fit_nested(
                grader,
                _beside(samples.at(train), _summary(inner, deep)[unseen]),
                target=shared.classes,
                scalers=SEARCHED_SCALERS,
                seed=Split(repeat, fold, train, rows[at]).seed(seed, SUMMARY),
            )
            tested = _beside(samples.at(rows[at]), _summary(shared, deep)[at])
            chances[at] = fitted.answers(tested)
            ranges = fitted.bounds(tested, chances[at], target=shared.classes)
            if ranges is not None:
                sets[at] = ranges
            progress.advance(ok=True)
    return FusedModel(SUMMARY, chances, sets, pd.DataFrame(columns=list(WEIGHT_COLUMNS)))


def model_of_patients(
    model: FusedModel, photographs: SharedAnswers, patients: SharedAnswers
) -> FusedModel:
    """Sum up a fused model's answers to photographs: mean probability of each patient."""
    target = photographs.classes
    table = photographs.rows.assign(model=model.name, branch="fused")
    table[list(target.probability_columns)] = model.chances
    keys = list(patients.rows.columns)
    found = patients.rows.merge(
        to_patients(table, target=target), on=keys, how="left", validate="one_to_one"
    )
    chances = found[list(target.probability_columns)].to_numpy(dtype=np.float64)
    return replace(model, chances=chances, sets=None)


def _summary(shared: SharedAnswers, name: str) -> Floats:
    """Expected class number and its standard deviation, `(n, 2)`."""
    mean = shared.expected(name)
    numbers = np.arange(1, len(shared.classes.classes) + 1, dtype=np.float64)
    spread = np.sqrt((shared.chances[name] * (numbers - mean[:, None]) ** 2).sum(axis=1))
    return np.column_stack([mean, spread])


def _beside(samples: Samples, deep: Floats) -> Samples:
    """Return the samples with the image branch's columns behind their own."""
    names = [f"{DEEP}{at}" for at in range(1, deep.shape[1] + 1)]
    beside = pd.DataFrame(deep, columns=names, index=samples.features.index)
    return replace(samples, features=pd.concat([samples.features, beside], axis=1))


def _rows_of(samples: Samples, wanted: pd.DataFrame) -> Places:
    """Return the samples' row number of each photograph, patient or visit; refuse a missing one."""
    known, asked = (table.fillna({VISIT: ""}) for table in (samples.rows[[*wanted]], wanted))
    at = pd.MultiIndex.from_frame(known).get_indexer(pd.MultiIndex.from_frame(asked))
    lacks = wanted.iloc[:, 0][at < 0]
    if len(lacks):
        raise UserError(
            f'"{lacks.iloc[0]}" is in the prediction tables and has no '
            "usable features: give the features.csv that the geometric branch was made from."
        )
    return at
