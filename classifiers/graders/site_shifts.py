"""What differs between sites by mistake: photographs mirrored, grades given higher, other units.

Each function names the sites, one sentence each, and what to look at. With two sites nothing tells
which of them is the odd one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import iqr

from classifiers.graders.cohort import Samples
from classifiers.graders.registry import is_baseline
from classifiers.graders.severity import SignedSeverity
from common.arrays import Floats, Places
from common.bootstrap import interval, resampling_weights, wilson_limits
from common.grading.target import Target
from common.words import counted
from landmarks.points import LEFT_EYE_OUTER, RIGHT_EYE_OUTER

FEWEST_SIDES = 5  # patients with a known weak side, to say that a site is mirrored
HALF_A_GRADE = 0.5  # answers that lie further off than this on average are no chance
OTHER_UNIT = 10.0  # ratio of spreads between sites beyond which it is no matter of patients
OTHER_SIZE = 5.0  # the same for faces in their photographs


def mirrored_sites(samples: Samples, places: Mapping[str, Places]) -> list[str]:
    """Name sites where the weak side seen is the other one than noted, judged by other sites."""
    if samples.sides is None or samples.grades is None:
        return []
    notes = []
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
            notes.append(
                f"Site {site}: in {wrong} of {counted(len(known), 'patient')} the weak side in the "
                "photographs is the other one than the manifest's, judged by the other sites. The "
                "photographs of one of them are mirrored, or its sides are the viewer's: look at "
                "a photograph with writing in it."
            )
    return notes


def shifted_grades(
    predictions: pd.DataFrame, names: list[str], *, target: Target, seed: int
) -> list[str]:
    """Name sites where graders from elsewhere answer higher or lower by more than half a grade."""
    learners = predictions[[not is_baseline(str(model)) for model in predictions["model"]]]
    classes = np.arange(1, len(target.classes) + 1)
    expected = learners[list(target.probability_columns)].to_numpy() @ classes
    off = pd.Series(expected - target.numbers(learners), index=learners.index)
    notes = []
    for fold, site in enumerate(names, start=1):
        here = learners["fold"] == fold
        of_patient = off[here].groupby(learners.loc[here, "patient_id"]).mean().to_numpy()
        if not len(of_patient):
            continue
        drawn = resampling_weights(len(of_patient), seed=seed) @ of_patient / len(of_patient)
        found = interval(float(of_patient.mean()), drawn)
        if max(found.low, -found.high) > HALF_A_GRADE:
            higher = "higher" if found.value > 0 else "lower"
            notes.append(
                f"Site {site}: graders that learned elsewhere answer {abs(found.value):.1f} "
                f"{target.steps} {higher} than its reference ({found}). Its {target.steps} are "
                "given by another rule, or its photographs look different: compare a few patients "
                "by eye, then recalibrate."
            )
    return notes


def other_units(samples: Samples, places: Mapping[str, Places]) -> list[str]:
    """Name sites whose features are so many times as spread out that the unit must differ."""
    named = [name for name in samples.features if str(name).removeprefix("mean.").startswith("f")]
    notes = []
    for site, at in places.items():
        rest = np.setdiff1d(np.arange(len(samples.labels)), at)
        if not len(at) or not len(rest):
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = iqr(samples.features[named].to_numpy()[at], axis=0, nan_policy="omit") / iqr(
                samples.features[named].to_numpy()[rest], axis=0, nan_policy="omit"
            )
        odd = [
            (str(name).removeprefix("mean."), float(value))
            for name, value in zip(named, ratio, strict=True)
            if np.isfinite(value) and value > 0 and not 1 / OTHER_UNIT < value < OTHER_UNIT
        ]
        if odd:
            shown = ", ".join(f"{name} {value:.3g} times" for name, value in odd[:5])
            notes.append(
                f"Site {site}: features spread {shown} as far as at the other sites"
                f"{' and more' if len(odd) > 5 else ''}. That is another unit (degrees or "
                "radians, a ratio or percent) or another definition: measure all sites alike."
            )
    return notes


def other_sizes(sites: pd.Series, points: Floats) -> list[str]:
    """Name sites whose faces are so many times as large that the points must be in other units."""
    across = np.linalg.norm(points[:, LEFT_EYE_OUTER] - points[:, RIGHT_EYE_OUTER], axis=1)
    size = pd.Series(across, index=sites.index)
    notes = []
    for site in dict.fromkeys(sites):
        here, rest = (float(np.nanmedian(size[at])) for at in (sites == site, sites != site))
        if not 1 / OTHER_SIZE < here / rest < OTHER_SIZE:
            notes.append(
                f"Site {site}: the outer corners of the eyes are {here:.3g} apart, at the other "
                f"sites {rest:.3g}. Points of one of them are not in px, or its photographs are "
                "of quite another size."
            )
    return notes
