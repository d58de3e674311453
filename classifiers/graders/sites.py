"""Graders at a site that they have not learned from, beside the usual folds on the same patients.

A site is a value of any column of the manifest: clinic, dataset, camera, year.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pandera.pandas as pa

from classifiers.graders.patients import tested_in
from classifiers.graders.recalibration import Healthy, enough_healthy, laid_onto
from classifiers.graders.site_shifts import (
    mirrored_sites,
    other_sizes,
    other_units,
    shifted_grades,
)
from classifiers.graders.validation import Plan, Validation, cross_validate
from common.arrays import Floats
from common.bootstrap import Estimate, estimates, paired_difference, resampling_weights
from common.grading.evaluation import confusion_of
from common.grading.numeric_target import of_classes
from common.grading.predictions import to_patients
from common.grading.scores import SCORES
from common.grading.target import Target
from common.tables import choice, text
from common.words import counted

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
    runs = {AS_MEASURED: measured}
    notes = [*_at_two_sites(photographs, column), *measured.problems]
    relative = _relative(here, jobs=jobs)
    if relative is None:
        notes.append(
            f"No site of {column} was measured relative to its healthy people, for which each site "
            "needs three or more."
        )
    else:
        runs[RELATIVE] = relative
    learned = [len(set(plan.samples.patients[part.train])) for part in parts]
    rows = [
        row
        for features, run in runs.items()
        for row in _rows(inside, run.predictions, names, learned, target=target, unit=plan.unit,
                         features=features, seed=plan.seed)
    ]  # fmt: skip
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
        if not enough_healthy(
            samples.patients[part.test][healthy[part.test]]
        ) or not enough_healthy(samples.patients[part.train][healthy[part.train]]):
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
    across: pd.DataFrame,
    names: list[str],
    learned: list[int],
    *,
    target: Target,
    unit: str,
    features: str,
    seed: int,
) -> list[dict[str, object]]:
    """Return rows by `SITES`: every model, at all sites and at each."""
    score, rows = SCORES["weighted_kappa" if target.ordered else "balanced_accuracy"], []
    if unit == "photograph":
        inside, across = (to_patients(table, target=target) for table in (inside, across))
    for model in dict.fromkeys(across["model"]):
        own = across[across["model"] == model]
        for site in (ALL_SITES, *names):
            tested = own if site == ALL_SITES else own[own["fold"] == names.index(site) + 1]
            first = confusion_of(inside[inside["model"] == model], target=target)
            second = confusion_of(tested, target=target)
            both = np.intersect1d(first.patients, second.patients, return_indices=True)
            one, two = first.counts[both[1]], second.counts[both[2]]
            if not len(one):
                continue
            weights = resampling_weights(len(one), seed=seed)
            drop, _ = paired_difference(score.of, one, two, weights=weights)
            fewest = min(learned) if site == ALL_SITES else learned[names.index(site)]
            rows.append(
                {
                    "features": features,
                    "site": site,
                    "model": model,
                    "score": score.title,
                    "patients": len(one),
                    "learned_from": fewest,
                    **score.estimate(one, weights=weights).cells("inside"),
                    **score.estimate(two, weights=weights).cells("across"),
                    **drop.cells("drop"),
                }
            )  # fmt: skip
    return rows


def _at_two_sites(photographs: pd.DataFrame, column: str) -> list[str]:
    sites = photographs.groupby("patient_id")[column].nunique()
    several = [str(name) for name in sites.index[sites > 1]]
    if not several:
        return []
    shown = ", ".join(several[:5]) + (", …" if len(several) > 5 else "")
    return [
        f"{counted(len(several), 'patient')} ({shown}) occur at several sites of {column}: tested "
        "at each of them with all photographs, and learned from at none of them."
    ]
