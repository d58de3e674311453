"""How far raters agree with each other, each with the others, and a model with them all.

Whole patients are resampled, for all numbers of a score alike, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from classifiers.raters.ratings import Ratings, read_ratings
from common.arrays import Floats
from common.bootstrap import (
    Estimate,
    estimates,
    interval,
    resampled_counts,
    resampling_weights,
    summed_by,
)
from common.errors import UserError
from common.grading.agreement_scores import (
    change_of_raters,
    icc_of_raters,
    kappa_of_raters,
    limits_of_agreement,
    pair_sums,
)
from common.grading.numeric_target import AnyTarget, NumericTarget
from common.grading.scores import ratio
from common.grading.target import VISIT
from common.tables import number, text
from common.words import counted

ALL = "all"
FEWEST = 3  # patients of a pair

PAIRS = pa.DataFrameSchema(
    {
        "score": text(),
        **{name: text() for name in ("first", "second")},
        "patients": pa.Column(int),
        **{name: number() for name in ("bias", "limit_low", "limit_high")},
        "smallest_detectable_change": number(),
        **estimates("icc", "weighted_kappa"),
    },
    name="agreement of raters",
)
"""`rater_pairs.csv`: every pair of raters, and `all` of them together. `bias` is the mean of second
minus first, between the limits lie 95 % of the differences; ICC(A,1) and, of grades, kappa with
quadratic weights with their 95 % intervals."""

RATERS = pa.DataFrameSchema(
    {
        "score": text(),
        "rater": text(),
        "patients": pa.Column(int),
        **estimates("bias", "distance"),
        "spread": number(),
        "correlation": number(),
    },
    name="raters",
)
"""`raters.csv`, each rater beside the others, on the patients that both have rated: `bias` is the
mean of the rater minus the mean of the others, `distance` the mean absolute difference from each of
them, `spread` the standard deviation of the rater's scores by that of the others' means."""

BESIDE = pa.DataFrameSchema(
    {
        "score": text(),
        "model": text(),
        "patients": pa.Column(int),
        **estimates(
            "raters_apart", "model_apart", "difference", "raters_icc", "model_icc", "icc_difference"
        ),
    },
    name="model beside raters",
)
"""`model_beside_raters.csv`, on the patients with an answer of the model and two raters or more:
`raters_apart` is the mean absolute difference of two raters, `model_apart` that of the model and a
rater, `difference` model minus raters on the same resampled patients; and ICC(A,1) alike."""


@dataclass(frozen=True)
class Agreement:
    """How raters of one score agree: tables by `PAIRS`, `RATERS` and, with a model, `BESIDE`."""

    ratings: Ratings
    pairs: pd.DataFrame
    raters: pd.DataFrame
    beside: pd.DataFrame | None = None
    answers: Mapping[str, Floats] | None = None


def agreement_of(
    ratings: Ratings, *, answers: Mapping[str, Floats] | None = None, seed: int = 0
) -> Agreement:
    """Return everything about one score; `answers` as in `model_beside`."""
    beside = None if answers is None else model_beside(ratings, answers, seed=seed)
    return Agreement(
        ratings, pairs_of(ratings, seed=seed), raters_of(ratings, seed=seed), beside, answers
    )


def beside_raters(target: AnyTarget, path: Path) -> AnyTarget:
    """Return a target that is a number with the smallest change that its raters tell apart.

    Refused (`UserError`) for classes, and where nobody has rated the target's column.
    """
    if not isinstance(target, NumericTarget):
        raise UserError(
            f"--ratings tells what people tell apart on a scale of numbers, and {target.name} is "
            "of classes: leave it out, or use the command raters."
        )
    own = [one for one in read_ratings(path)[0] if one.score == target.column]
    if not own:
        raise UserError(f"{path} has no scores in a column {target.column}.")
    change = float(pairs_of(own[0])["smallest_detectable_change"].to_numpy(np.float64)[0])
    if not np.isfinite(change):
        raise UserError(f"{path}: too few patients have {target.column} of two raters or more.")
    source = f"{counted(len(own[0].raters), 'rater')} of {path.name}"
    return replace(target, detectable=change, detectable_source=source)


def pairs_of(ratings: Ratings, *, seed: int = 0) -> pd.DataFrame:
    """Return how every pair of raters agrees, and all of them together, by `PAIRS`."""
    weights = resampling_weights(ratings.n_patients, seed=seed)
    places = list(combinations(range(len(ratings.raters)), 2))
    sums = _sums_of_pairs(
        ratings, [(ratings.values[:, a], ratings.values[:, b]) for a, b in places]
    )
    rows = [
        _agreement(ratings, sums, weights=weights)
        | {"first": ALL, "second": ALL, "patients": int((ratings.counts > 1).sum())}
    ]
    for at, (a, b) in enumerate(places):
        apart = ratings.values[:, b] - ratings.values[:, a]
        apart = apart[np.isfinite(apart)]
        row = _agreement(ratings, sums[:, [at]], weights=weights)
        if len(apart) >= FEWEST:
            of = np.array([apart.sum(), apart @ apart, len(apart)], dtype=np.float64)
            row |= dict(
                zip(("bias", "limit_low", "limit_high"), limits_of_agreement(of), strict=True)
            )
        names = {"first": ratings.raters[a], "second": ratings.raters[b]}
        rows.append(row | names | {"patients": len(apart)})
    return pd.DataFrame(rows).assign(score=ratings.score).reindex(columns=list(PAIRS.columns))


def raters_of(ratings: Ratings, *, seed: int = 0) -> pd.DataFrame:
    """Return each rater beside the others, by `RATERS`."""
    weights = resampling_weights(ratings.n_patients, seed=seed)
    rows = []
    for at, rater in enumerate(ratings.raters):
        own, others = ratings.values[:, at], ratings.others_of(at)
        both = np.isfinite(own) & np.isfinite(others).any(axis=1)
        mean = np.full(len(own), np.nan)
        mean[both] = np.nanmean(others[both], axis=1)
        row: dict[str, object] = {"rater": rater, "patients": int(both.sum())}
        row |= _mean(ratings, own - mean, weights=weights)[0].cells("bias")
        row |= _mean(ratings, _apart(own, others), weights=weights)[0].cells("distance")
        if both.sum() >= FEWEST and own[both].std() > 0 and mean[both].std() > 0:
            row["spread"] = float(own[both].std() / mean[both].std())
            row["correlation"] = float(np.corrcoef(own[both], mean[both])[0, 1])
        rows.append(row)
    return pd.DataFrame(rows).assign(score=ratings.score).reindex(columns=list(RATERS.columns))


def model_beside(ratings: Ratings, answers: Mapping[str, Floats], *, seed: int = 0) -> pd.DataFrame:
    """Return how far models are from the raters, and these from each other, by `BESIDE`.

    `answers` are `(cases, times)` by model: what it said of each case each time that the patient
    was tested, NaN where it did not. Differences are taken within a patient first, so that every
    patient counts once, whatever the number of raters.
    """
    weights = resampling_weights(ratings.n_patients, seed=seed)
    rows = []
    for model, said in answers.items():
        asked = np.isfinite(said).any(axis=1) & (ratings.counts > 1)
        values = np.where(asked[:, None], ratings.values, np.nan)
        raters = range(len(ratings.raters))
        among = np.stack([np.abs(values[:, a] - values[:, b]) for a, b in combinations(raters, 2)])
        human, drawn = _mean(ratings, _mean_of_known(among.T), weights=weights)
        times = [_apart(said[:, at], values) for at in range(said.shape[1])]
        own, own_drawn = _mean(ratings, _mean_of_known(np.stack(times, axis=1)), weights=weights)
        row: dict[str, object] = {"model": model, "patients": int(asked.sum())}
        row |= human.cells("raters_apart") | own.cells("model_apart")
        row |= interval(own.value - human.value, own_drawn - drawn).cells("difference")
        between = [(values[:, a], values[:, b]) for a, b in combinations(raters, 2)]
        beside = [(said[:, at], values[:, a]) for at in range(said.shape[1]) for a in raters]
        iccs = [_scored(_sums_of_pairs(ratings, each), weights) for each in (between, beside)]
        row |= interval(*iccs[0]).cells("raters_icc") | interval(*iccs[1]).cells("model_icc")
        (theirs, drawn), (mine, own_drawn) = iccs
        row |= interval(mine - theirs, own_drawn - drawn).cells("icc_difference")
        rows.append(row)
    return pd.DataFrame(rows).assign(score=ratings.score).reindex(columns=list(BESIDE.columns))


def answers_by_case(
    ratings: Ratings, predictions: pd.DataFrame, *, source: Path
) -> dict[str, Floats]:
    """Return what each model said of each case each time that it was asked, `(cases, times)`.

    Refused (`UserError`) when the ratings tell visits apart and the predictions not, or nobody who
    was rated has an answer.
    """
    key = list(ratings.cases.columns)
    if VISIT in key and VISIT not in predictions.columns:
        if ratings.cases["patient_id"].duplicated().any():
            raise UserError(
                f"The ratings tell visits apart and {source} does not: give the ratings of one "
                "visit, or predictions with a column visit."
            )
        key = ["patient_id"]
    found = {}
    for model, rows in predictions.groupby("model", sort=False):
        times = rows.assign(time=rows.groupby(key).cumcount())
        wide = times.pivot(index=key, columns="time", values="predicted")
        said = ratings.cases[key].merge(wide.reset_index(), on=key, how="left")
        found[str(model)] = said[list(wide.columns)].to_numpy(dtype=np.float64)
    if not any(np.isfinite(said).any() for said in found.values()):
        raise UserError(f"{source} answers nobody who was rated: patient_id must be alike in both.")
    return found


def _agreement(ratings: Ratings, sums: Floats, *, weights: Floats) -> dict[str, object]:
    """Return change, ICC and kappa of `(patients, pairs, 6)` sums."""
    total = sums.sum(axis=0)
    if not (total[:, 0] >= FEWEST).any():
        return {}
    drawn = resampled_counts(sums, weights=weights)
    found: dict[str, object] = {"smallest_detectable_change": float(change_of_raters(total))}
    found |= interval(float(icc_of_raters(total)), icc_of_raters(drawn)).cells("icc")
    if ratings.grades:
        kappa = interval(float(kappa_of_raters(total)), kappa_of_raters(drawn))
        found |= kappa.cells("weighted_kappa")
    return found


def _sums_of_pairs(ratings: Ratings, pairs: list[tuple[Floats, Floats]]) -> Floats:
    """Return sums of every pair of raters by patient, `(patients, pairs, 6)`.

    Taken from the middle of all ratings, so that squares of large numbers swallow no differences.
    """
    middle = np.nanmean(ratings.values)
    each = np.stack([pair_sums(a - middle, b - middle) for a, b in pairs], axis=1)
    return summed_by(each, ratings.owner, n=ratings.n_patients)


def _scored(sums: Floats, weights: Floats) -> tuple[float, Floats]:
    drawn = resampled_counts(sums, weights=weights)
    return float(icc_of_raters(sums.sum(axis=0))), icc_of_raters(drawn)


def _mean(ratings: Ratings, values: Floats, *, weights: Floats) -> tuple[Estimate, Floats]:
    """Return the mean over cases of what is known, and the resampled means."""
    known = np.isfinite(values)
    each = np.column_stack([np.where(known, values, 0.0), known])
    sums = summed_by(each, ratings.owner, n=ratings.n_patients)
    total, drawn = sums.sum(axis=0), weights @ sums
    means = ratio(drawn[:, 0] + 0.0, drawn[:, 1])
    return interval(float(total[0] / total[1]) if total[1] else np.nan, means), means


def _apart(own: Floats, others: Floats) -> Floats:
    """Return each case's mean absolute difference from the others, NaN where nothing is known."""
    return _mean_of_known(np.abs(own[:, None] - others))


def _mean_of_known(values: Floats) -> Floats:
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1).astype(np.float64))
