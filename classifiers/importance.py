"""Which parts of the face the answers rest on: permutation importance, on held-out patients.

In every fold the grader learns on the training patients; then a part of the face of each tested
patient is exchanged for that of another tested patient, movement by movement, and the fall of the
score is what the part was worth. Nothing is chosen from it.

Source: Breiman 2001, doi 10.1023/A:1010933404324, with patients exchanged in place of rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from classifiers.confusion import confusion_of
from classifiers.explain import region_of
from classifiers.graders import GRADERS
from classifiers.nested import fit_nested
from classifiers.predictions import prediction_rows, to_patients
from classifiers.scores import SCORES, Score
from classifiers.tasks import Target, target_named
from classifiers.validation import SEARCHED_SCALERS, Plan, seed_of
from common.bootstrap import Estimate, interval, resampling_weights
from common.progress import JobProgress
from features.registry import REGIONS, Region

EXCHANGES = 5  # how often each fold's patients are exchanged


@dataclass(frozen=True)
class RegionImportance:
    """How much of a score each part of the face is worth.

    Attributes
    ----------
    score
        The score, per patient.
    whole
        Its value with every part as measured.
    falls
        By region: whole minus the score with the region exchanged, with the 95 % interval over
        resampled patients.
    columns
        By region: how many columns the grader has for it.
    """

    score: Score
    whole: float
    falls: dict[Region, Estimate]
    columns: dict[Region, int]

    def table(self) -> pd.DataFrame:
        """Return one row for each region, the most important first."""
        order = sorted(self.falls, key=lambda region: -self.falls[region].value)
        return pd.DataFrame(
            {
                "Part of the face": list(order),
                "Columns": [self.columns[region] for region in order],
                f"Fall of {self.score.title.lower()}": [
                    f"{found.value:.2f}\n{found.low:.2f} to {found.high:.2f}"
                    for found in (self.falls[region] for region in order)
                ],
            }
        )


def region_importance(
    plan: Plan, *, grader: str, exchanges: int = EXCHANGES, seed: int = 0
) -> RegionImportance:
    """Fit `grader` once in every fold of `plan` and exchange each region of the tested patients.

    Parameters
    ----------
    plan
        Samples and folds; its other graders are not looked at.
    grader
        Name in the registry.
    exchanges
        Permutations in each fold.
    seed
        Of the permutations and of the bootstrap.
    """
    target = target_named(plan.target)
    regions = {str(name): region_of(str(name)) for name in plan.samples.features.columns}
    present: list[Region] = [region for region in REGIONS if region in set(regions.values())]
    answers: dict[str, list[pd.DataFrame]] = {name: [] for name in ("whole", *present)}
    usable = [at for at, part in enumerate(plan.parts) if len(part.test) and len(part.train)]
    with JobProgress("importance", total=len(usable)) as progress:
        for at in usable:
            made = _fold(plan, at, grader=grader, regions=regions, exchanges=exchanges, seed=seed)
            for name, tables in made.items():
                answers[name] += tables
            progress.advance(ok=True)
    score = SCORES["weighted_kappa" if target.ordered else "balanced_accuracy"]
    counts = {
        name: confusion_of(_per_patient(plan, pd.concat(tables), target=target), target=target)
        for name, tables in answers.items()
    }
    whole = counts["whole"].counts
    weights = resampling_weights(len(whole), seed=seed)
    return RegionImportance(
        score=score,
        whole=float(score.of(whole.sum(axis=0))),
        falls={
            region: _fall(score, whole, counts[region].counts, weights=weights)
            for region in present
        },
        columns={region: list(regions.values()).count(region) for region in present},
    )


def _fold(
    plan: Plan, at: int, *, grader: str, regions: dict[str, Region], exchanges: int, seed: int
) -> dict[str, list[pd.DataFrame]]:
    """Return the answers of one fold: as measured (`whole`), and with each region exchanged."""
    part, target = plan.parts[at], target_named(plan.target)
    fitted = fit_nested(
        GRADERS[grader],
        plan.samples.at(part.train),
        target=target,
        scalers=tuple(dict.fromkeys([plan.scaler, *SEARCHED_SCALERS])),
        seed=seed_of(plan.seed, grader, part),
    )
    tested = plan.samples.at(part.test)
    chances = fitted.probabilities(tested)
    made = {"whole": [_answers(plan, tested.rows, chances, target=target, exchange=0, at=at)]}
    for exchange in range(exchanges):
        donors = exchanged_rows(tested.rows, rng=np.random.default_rng([seed, at, exchange]))
        for region in dict.fromkeys(regions.values()):
            names = [name for name, of in regions.items() if of == region]
            altered = tested.features.copy()
            altered[names] = tested.features[names].to_numpy()[donors]
            chances = fitted.probabilities(replace(tested, features=altered))
            table = _answers(plan, tested.rows, chances, target=target, exchange=exchange, at=at)
            made.setdefault(region, []).append(table)
    return made


def exchanged_rows(rows: pd.DataFrame, *, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return for each row the row whose values it is given.

    Each patient gets another patient's photographs, movement for movement where the other has it;
    a movement that the other lacks comes from any of the other's photographs. With one patient
    alone nothing can be exchanged.
    """
    patients = rows["patient_id"].to_numpy(dtype=np.str_)
    tasks = rows.get("task", pd.Series("", index=rows.index)).fillna("").to_numpy(dtype=np.str_)
    names = np.unique(patients)
    turned = rng.permutation(names)
    donor_of = dict(zip(turned, np.roll(turned, 1), strict=True))  # a cycle: nobody keeps his own
    donors = np.empty(len(rows), dtype=np.intp)
    for at in range(len(rows)):
        of_donor = np.flatnonzero(patients == donor_of[patients[at]])
        same = of_donor[tasks[of_donor] == tasks[at]]
        donors[at] = rng.choice(same if len(same) else of_donor)
    return donors


def _answers(
    plan: Plan,
    rows: pd.DataFrame,
    probabilities: NDArray[np.float64],
    *,
    target: Target,
    exchange: int,
    at: int,
) -> pd.DataFrame:
    """Prediction rows in which every exchange counts as a repeat."""
    part = plan.parts[at]
    return prediction_rows(
        rows, target=target, unit=plan.unit, probabilities=probabilities,
        repeat=part.repeat * 1000 + exchange, fold=part.fold, model="exchanged",
    )  # fmt: skip


def _per_patient(plan: Plan, predictions: pd.DataFrame, *, target: Target) -> pd.DataFrame:
    return predictions if plan.unit == "patient" else to_patients(predictions, target=target)


def _fall(
    score: Score,
    whole: NDArray[np.float64],
    without: NDArray[np.float64],
    *,
    weights: NDArray[np.float64],
) -> Estimate:
    """Whole minus without, on the same resampled patients."""
    fall = float(score.of(whole.sum(axis=0)) - score.of(without.sum(axis=0)))
    drawn = [np.tensordot(weights, counts, axes=1) for counts in (whole, without)]
    return interval(fall, score.of(drawn[0]) - score.of(drawn[1]))
