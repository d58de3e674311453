"""Graders at a site that they have not learned from, beside the usual folds on the same patients.

A site is a value of any column of the manifest: clinic, dataset, camera, year. What differs between
sites by mistake (photographs mirrored, grades given higher, other units) is named, one sentence
each; with two sites nothing tells which of them is the odd one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd
import pandera.pandas as pa
from scipy.stats import iqr

from classifiers.graders.cohort import Samples
from classifiers.graders.patients import tested_in
from classifiers.graders.recalibration import Healthy, enough_healthy, laid_onto
from classifiers.graders.registry import is_baseline
from classifiers.graders.severity import SignedSeverity
from classifiers.graders.validation import Plan, Validation, cross_validate
from common.arrays import Floats, Places
from common.bootstrap import (
    Estimate,
    estimates,
    interval,
    paired_difference,
    resampling_weights,
    wilson_limits,
)
from common.grading.evaluation import confusion_of
from common.grading.numeric_target import of_classes
from common.grading.predictions import to_patients
from common.grading.scores import SCORES
from common.grading.target import Target
from common.tables import choice, text
from common.words import counted
from landmarks.points import LEFT_EYE_OUTER, RIGHT_EYE_OUTER

AS_MEASURED, RELATIVE = "as measured", "relative to local healthy people"
ALL_SITES = "all"

SITES = pa.DataFrameSchema(
    {
        "features": choice((AS_MEASURED, RELATIVE)),
        "site": text(),
        "model": text(),
        "score": text(),
        "patients": pa.Column("int64"),
        "learned_from": pa.Column("int64"),
        **estimates("inside", "across", "drop"),
    },
    name="sites",
)
"""`sites.csv`: one row for each grader at each site, and at all sites together (`all`).

`inside` is the score in the usual folds, `across` that of graders which learned at the other sites
only (from `learned_from` patients; of all sites the fewest), `drop` inside minus across on the
same patients. Each has its 95 % interval over patients.
"""

FEWEST_SIDES = 5  # patients with a known weak side, to say that a site is mirrored
HALF_A_GRADE = 0.5  # answers that lie further off than this on average are no chance
OTHER_UNIT = 10.0  # ratio of spreads between sites beyond which it is no matter of patients
OTHER_SIZE = 5.0  # the same for faces in their photographs


@dataclass(frozen=True)
class AcrossSites:
    """What was found: the table `SITES`, the folds and answers behind it, and what to beware of.

    `parts` are the predictions as measured, by `predictions_schema`, fold by fold a site of
    `names`; `notes` name patients at two sites, failed fits and planted or real shifts.
    """

    column: str
    names: list[str]
    folds: pd.DataFrame
    predictions: pd.DataFrame
    table: pd.DataFrame
    notes: list[str]
    failed: int

    def drop(self, model: str, *, site: str = ALL_SITES, features: str = AS_MEASURED) -> Estimate:
        """Return how much of the score a grader loses."""
        rows = self.table.query("model == @model and site == @site and features == @features")
        return Estimate.of_row(rows.iloc[0], "drop")


def across_sites(
    plan: Plan,
    photographs: pd.DataFrame,
    *,
    column: str,
    folds: tuple[pd.DataFrame, list[str]],
    inside: pd.DataFrame,
    points: Floats | None = None,
    jobs: int = 1,
) -> AcrossSites:
    """Let every grader learn at all sites but one and answer that one, each site in turn.

    `plan` is as for the usual folds (its own are not used), `photographs` the labelled ones with
    `column`, `folds` what `folds_by` made of them, `inside` the predictions in the usual folds,
    `points` `(n, 68, 2)` of the photographs, to compare face sizes.
    """
    target = of_classes(plan.question, asker="--hold-out-by")
    table, names = folds
    parts = tested_in(table, plan.samples, unit=plan.unit)
    here = replace(plan, parts=parts, exchanges=0, inner={})
    measured = cross_validate(here, jobs=jobs, title=f"hold out by {column}")
    relative = _relative(here, jobs=jobs)
    runs = {AS_MEASURED: measured} | ({} if relative is None else {RELATIVE: relative})
    notes = [*_at_two_sites(photographs, column), *measured.problems]
    if relative is None:
        notes.append(
            f"No site of {column} was measured relative to its healthy people, for which each site "
            "needs three or more."
        )
    rows = list(_rows(inside, runs, names, target=target, plan=here))
    places = {name: part.test for name, part in zip(names, parts, strict=True)}
    notes += [*mirrored_sites(plan.samples, places), *other_units(plan.samples, places)]
    if points is not None:
        notes += other_sizes(photographs[column].astype(str), points)
    if target.ordered:
        notes += shifted_grades(measured.predictions, names, target=target, seed=plan.seed)
    return AcrossSites(
        column, names, table, measured.predictions, pd.DataFrame(rows), notes,
        failed=sum(run.failed for run in runs.values()),
    )  # fmt: skip


def _relative(plan: Plan, *, jobs: int) -> Validation | None:
    """Answer each site from features laid onto the others by the healthy people of both."""
    samples = plan.samples
    healthy = samples.healthy
    found = []
    for part in plan.parts:
        both = (part.test, part.train)
        if not all(enough_healthy(samples.patients[of][healthy[of]]) for of in both):
            return None
        reference = Healthy.of(samples.features.iloc[part.train][healthy[part.train]])
        features = samples.features.copy()
        features.iloc[part.test] = laid_onto(
            reference, samples.features.iloc[part.test], healthy=healthy[part.test],
            patients=samples.patients[part.test],
        )  # fmt: skip
        moved = replace(plan, samples=replace(samples, features=features), parts=[part], inner={})
        found.append(cross_validate(moved, jobs=jobs, title="relative to local healthy people"))
    return replace(
        found[0],
        predictions=pd.concat([run.predictions for run in found], ignore_index=True),
        problems=[],
        failed=sum(run.failed for run in found),
    )


def _rows(
    inside: pd.DataFrame,
    runs: Mapping[str, Validation],
    names: list[str],
    *,
    target: Target,
    plan: Plan,
) -> Iterator[dict[str, object]]:
    """Yield rows by `SITES`: every model, at all sites and at each."""
    score = SCORES["weighted_kappa" if target.ordered else "balanced_accuracy"]
    learned = [len(set(plan.samples.patients[part.train])) for part in plan.parts]
    sites = list(enumerate((ALL_SITES, *names)))  # a site's number is its fold's
    tables = {"": inside} | {features: run.predictions for features, run in runs.items()}
    if plan.unit == "photograph":
        tables = {features: to_patients(table, target=target) for features, table in tables.items()}
    inside = tables.pop("")
    for features, across in tables.items():
        for model, (fold, site) in product(dict.fromkeys(across["model"]), sites):
            own = across[across["model"] == model]
            tested = own[own["fold"] == fold] if fold else own
            first = confusion_of(inside[inside["model"] == model], target=target)
            second = confusion_of(tested, target=target)
            both = np.intersect1d(first.patients, second.patients, return_indices=True)
            one, two = first.counts[both[1]], second.counts[both[2]]
            if not len(one):
                continue
            weights = resampling_weights(len(one), seed=plan.seed)
            drop, _ = paired_difference(score.of, one, two, weights=weights)
            yield {
                "features": features, "site": site, "model": model, "score": score.title,
                "patients": len(one), "learned_from": learned[fold - 1] if fold else min(learned),
                **score.estimate(one, weights=weights).cells("inside"),
                **score.estimate(two, weights=weights).cells("across"),
                **drop.cells("drop"),
            }  # fmt: skip


def _at_two_sites(photographs: pd.DataFrame, column: str) -> list[str]:
    sites = photographs.groupby("patient_id")[column].nunique()
    several = [str(name) for name in sites.index[sites > 1]]
    shown = ", ".join(several[:5]) + (", …" if len(several) > 5 else "")
    sentence = (
        f"{counted(len(several), 'patient')} ({shown}) occur at several sites of {column}: tested "
        "at each of them with all photographs, and learned from at none of them."
    )
    return [sentence] if several else []


def mirrored_sites(samples: Samples, places: Mapping[str, Places]) -> Iterator[str]:
    """Name sites where the weak side seen is the other one than noted, judged by other sites."""
    if samples.sides is None or samples.grades is None:
        return
    for site, at in places.items():
        known = at[samples.sides[at] != 0]
        others = np.flatnonzero(~np.isin(samples.patients, samples.patients[at]))
        if len(known) < FEWEST_SIDES or (samples.sides[others] != 0).sum() < FEWEST_SIDES:
            continue
        learned = SignedSeverity().fit(
            samples.features.iloc[others], samples.grades[others], samples.patients[others],
            samples.sides[others],
        )  # fmt: skip
        left, _ = learned.weak_sides(samples.features.iloc[known])
        wrong = int((np.where(left, 1.0, -1.0) != samples.sides[known]).sum())
        low, _ = wilson_limits(wrong / len(known), n=len(known))
        if low > 0.5:
            yield (
                f"Site {site}: in {wrong} of {counted(len(known), 'patient')} the weak side in the "
                "photographs is the other one than the manifest's, judged by the other sites. The "
                "photographs of one of them are mirrored, or its sides are the viewer's: look at "
                "a photograph with writing in it."
            )


def shifted_grades(
    predictions: pd.DataFrame, names: list[str], *, target: Target, seed: int
) -> Iterator[str]:
    """Name sites where graders from elsewhere answer higher or lower by more than half a grade."""
    learners = predictions[[not is_baseline(str(model)) for model in predictions["model"]]]
    classes = np.arange(1, len(target.classes) + 1)
    expected = learners[list(target.probability_columns)].to_numpy() @ classes
    off = pd.Series(expected - target.numbers(learners), index=learners.index)
    for fold, site in enumerate(names, start=1):
        here = learners["fold"] == fold
        of_patient = off[here].groupby(learners.loc[here, "patient_id"]).mean().to_numpy()
        if not len(of_patient):
            continue
        drawn = resampling_weights(len(of_patient), seed=seed) @ of_patient / len(of_patient)
        found = interval(float(of_patient.mean()), drawn)
        if max(found.low, -found.high) > HALF_A_GRADE:
            higher = "higher" if found.value > 0 else "lower"
            yield (
                f"Site {site}: graders that learned elsewhere answer {abs(found.value):.1f} "
                f"{target.steps} {higher} than its reference ({found}). Its {target.steps} are "
                "given by another rule, or its photographs look different: compare a few patients "
                "by eye, then recalibrate."
            )


def other_units(samples: Samples, places: Mapping[str, Places]) -> Iterator[str]:
    """Name sites whose features are so many times as spread out that the unit must differ."""
    named = [name for name in samples.features if str(name).removeprefix("mean.").startswith("f")]
    values = samples.features[named].to_numpy()
    for site, at in places.items():
        rest = np.setdiff1d(np.arange(len(samples.labels)), at)
        if not len(at) or not len(rest):
            continue
        here, there = (iqr(values[of], axis=0, nan_policy="omit") for of in (at, rest))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = here / there
        odd = [
            (str(name).removeprefix("mean."), float(value))
            for name, value in zip(named, ratio, strict=True)
            if np.isfinite(value) and value > 0 and not 1 / OTHER_UNIT < value < OTHER_UNIT
        ]
        if odd:
            shown = ", ".join(f"{name} {value:.3g} times" for name, value in odd[:5])
            yield (
                f"Site {site}: features spread {shown} as far as at the other sites"
                f"{' and more' if len(odd) > 5 else ''}. That is another unit (degrees or "
                "radians, a ratio or percent) or another definition: measure all sites alike."
            )


def other_sizes(sites: pd.Series, points: Floats) -> Iterator[str]:
    """Name sites whose faces are so many times as large that the points must be in other units."""
    across = np.linalg.norm(points[:, LEFT_EYE_OUTER] - points[:, RIGHT_EYE_OUTER], axis=1)
    size = pd.Series(across, index=sites.index)
    for site in dict.fromkeys(sites):
        here, rest = (float(np.nanmedian(size[at])) for at in (sites == site, sites != site))
        if not 1 / OTHER_SIZE < here / rest < OTHER_SIZE:
            yield (
                f"Site {site}: the outer corners of the eyes are {here:.3g} apart, at the other "
                f"sites {rest:.3g}. Points of one of them are not in px, or its photographs are "
                "of quite another size."
            )
