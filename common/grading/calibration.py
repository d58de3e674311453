"""Answers that say how sure they are: temperature, sets of grades, intervals, when to abstain.

All are learned from answers to training patients that a grader had not seen (inner folds),
and applied to the tested patients, whom a grader refitted on all training patients answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from common.arrays import Floats, Ints, Names
from common.grading.numeric_target import NumericTarget
from common.grading.target import median_class
from common.words import counted

Chances = Floats
"""`(n, k)` probabilities, a row each, sum 1."""
LEAST_CHANCE = 1e-4
COVERAGE = 0.90  # stated coverage of the sets


def range_title(coverage: float = COVERAGE) -> str:
    """Return how reports head the conformal sets: `Likely range (90 %)`."""
    return f"Likely range ({100 * coverage:.0f} %)"


def range_in_words(low: int, high: int, names: Sequence[str]) -> str:
    """Return a set of adjacent classes (numbers from 1) as `III` or `II to IV`."""
    first, last = names[low - 1], names[high - 1]
    return first if first == last else f"{first} to {last}"


def about_ranges(*, learned: int | None = None, coverage: float = COVERAGE) -> str:
    """Say what a likely range promises, and why it is wide.

    `learned` is from how many patients the grader learned, where each patient got one answer.
    """
    return (
        "The likely range is a run of adjacent classes that is meant to hold the reference in "
        f"{100 * coverage:.0f} % of patients like those the grader learned from. "
        f"{_why_wide(learned, coverage=coverage)}"
    )


def _why_wide(learned: int | None, *, coverage: float) -> str:
    if learned is None:
        return (
            "A wide range has two causes: the photographs do not tell more, or few patients were "
            "learned from."
        )
    patients = counted(learned, "patient")
    fewest, steady = fewest_for_sets(coverage=coverage), fewest_for_sets(coverage=coverage, worst=1)
    if learned < fewest:
        return (
            f"Here it holds all classes because a grader learned from {patients}: a range "
            f"that leaves any out needs {fewest} or more."
        )
    if learned < steady:
        return (
            f"Here it is wide because a grader learned from {patients} only: with fewer "
            f"than {steady}, the one who was answered worst decides the width for everybody."
        )
    return "A wide range means that the photographs do not tell more."


def tempered(chances: Chances, *, temperature: float | Floats) -> Chances:
    """Return `(n, k)` chances raised to `1 / temperature` and brought back to sum 1.

    A temperature above 1 makes answers less sure; 0 stays 0 and the order does not change.
    """
    raised = np.power(chances, 1.0 / np.reshape(temperature, (-1, 1)))
    return raised / raised.sum(axis=1, keepdims=True)


def learn_temperature(chances: Chances, labels: Ints, *, weights: Floats | None = None) -> float:
    """Return the temperature with the smallest log loss, between 0.2 and 5 (Guo et al. 2017).

    Learned from answers to rows that the grader had not seen, of class numbers `labels` from 1;
    each row counts by its weight, or alike.
    """
    rows = np.arange(len(labels))
    counted = np.ones(len(labels)) if weights is None else weights
    # No true class may have chance 0: a little of the even distribution is mixed in.
    mixed = (1 - LEAST_CHANCE) * chances + LEAST_CHANCE / chances.shape[1]

    def loss(log_temperature: float) -> float:
        found = tempered(mixed, temperature=float(np.exp(log_temperature)))
        return float(-(counted * np.log(found[rows, labels - 1])).sum())

    found = minimize_scalar(loss, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return float(np.exp(found.x))


def mass_before(chances: Chances) -> Chances:
    """Return for each class how much chance the set holds before it takes that class in.

    A set begins with the median class and takes in the likelier of its two neighbours, so it
    always holds adjacent classes. `(n, k)` to `(n, k)`; 0 for the median class.
    """
    n, k = chances.shape
    before = np.zeros((n, k))
    start = median_class(chances)
    for row in range(n):
        low = high = int(start[row])
        held = chances[row, low]
        while low > 0 or high < k - 1:
            down = chances[row, low - 1] if low > 0 else -1.0
            up = chances[row, high + 1] if high < k - 1 else -1.0
            if down > up:
                low -= 1
                before[row, low] = held
                held += down
            else:
                high += 1
                before[row, high] = held
                held += up
    return before


@dataclass(frozen=True)
class GradeSets:
    """Conformal sets of adjacent grades, cross-fitted (after split conformal, Vovk et al. 2005).

    Split conformal promises its coverage for one grader and patients kept aside. Here the answers
    come from the graders of the inner folds, the sets go to a grader refitted on all of these
    patients, and photographs (or visits) are counted, where there are several of each patient.
    The coverage is therefore an aim; reports state what it was on the tested patients. A class
    belongs to the set when `mass_before` it is at most `limit`.
    """

    limit: float
    coverage: float = COVERAGE

    def of(self, chances: Chances) -> Ints:
        """Return `(n, 2)`: lowest and highest class number of each row's set."""
        inside = mass_before(chances) <= self.limit
        k = chances.shape[1]
        low = inside.argmax(axis=1) + 1
        high = k - inside[:, ::-1].argmax(axis=1)
        return np.column_stack([low, high]).astype(np.int64)


def learn_sets(chances: Chances, labels: Ints, *, coverage: float = COVERAGE) -> GradeSets:
    """Learn how wide sets must be, from answers of inner folds, each to rows it had not seen.

    With n rows the limit is the `ceil((n + 1) * coverage)`-th smallest mass that had to
    be passed to reach the truth. Fewer rows than `fewest_for_sets` give sets of all grades.
    """
    needed = np.sort(mass_before(chances)[np.arange(len(labels)), labels - 1])
    rank = int(np.ceil((len(labels) + 1) * coverage))
    limit = 1.0 if rank > len(labels) else float(needed[rank - 1])
    return GradeSets(limit=limit, coverage=coverage)


def fewest_for_sets(*, coverage: float = COVERAGE, worst: int = 0) -> int:
    """Return the fewest calibration patients with which sets can be narrower than all grades.

    `worst` of the worst answered patients may be disregarded: with 0 (9 patients at 90 %) the
    single worst one decides the width of everybody's set, with 1 (19) no longer.
    """
    n = 1
    while np.ceil((n + 1) * coverage - 1e-9) > n - worst:
        n += 1
    return n


def abstention_curve(errors: Floats, sureness: Floats) -> Floats:
    """Return the mean error among the surest patients, for every number of patients kept.

    From `(n,)` distances from the truth and sureness (equally sure patients are taken together) to
    `(m, 3)`: share answered, mean error of the answered, least sureness asked for.
    """
    levels = np.unique(sureness)[::-1]
    kept = [sureness >= level for level in levels]
    return np.array(
        [[k.mean(), errors[k].mean(), level] for k, level in zip(kept, levels, strict=True)]
    )


def expected_distance(chances: Chances) -> Floats:
    """Return `(n,)` the distance from the truth that each answer expects of itself, in classes."""
    classes = np.arange(chances.shape[1])
    distance = np.abs(classes[None, :] - median_class(chances)[:, None])
    return (chances * distance).sum(axis=1)


@dataclass(frozen=True)
class ScoreIntervals:
    """How far to either side of an answer the truth lies, with probability `coverage`.

    As with `GradeSets`, the coverage is an aim: the answers that it was
    learned from are those of inner folds, and it goes to a grader refitted on all of these
    patients. Reports state what it was on the tested patients.
    """

    reach: float
    coverage: float = COVERAGE

    def of(
        self, answers: Floats, *, target: NumericTarget, stretch: float | Floats = 1.0
    ) -> Floats:
        """Return `(n, 2)` ends, cut off at those of the scale; `stretch` widens them."""
        reach = self.reach * np.broadcast_to(stretch, answers.shape)
        return target.clipped(np.column_stack([answers - reach, answers + reach]))


def learn_intervals(
    answers: Floats,
    truth: Floats,
    patients: Names,
    *,
    target: NumericTarget,
    coverage: float = COVERAGE,
) -> ScoreIntervals:
    """Learn the reach from unseen answers `(n,)`; every patient weighs alike.

    Of n patients, each with all their rows, it is the smallest distance that reaches the truth in
    `coverage` of n + 1 patients, where each row of a patient with m rows counts one in m: the
    conformal quantile for a new patient (after Dunn, Wasserman and Ramdas 2023, and Lee, Barber and
    Willett 2023). With fewer patients than that needs (9 at 90 %), it is the whole scale.
    """
    distance = np.abs(answers - truth)
    order = np.argsort(distance, kind="stable")
    reached = np.cumsum(patient_weights(patients)[order])
    enough = np.flatnonzero(reached >= coverage * (len(np.unique(patients)) + 1) - 1e-9)
    whole = target.high - target.low
    return ScoreIntervals(float(distance[order][enough[0]]) if len(enough) else whole, coverage)


def patient_weights(patients: Names) -> Floats:
    """Return `(n,)` weights of the rows, those of each patient adding up to 1."""
    _, at, rows = np.unique(patients, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / rows[at])


def interval_in_words(low: float, high: float) -> str:
    """Return an interval as `48 to 75`."""
    return f"{low:.0f} to {high:.0f}" if high - low >= 5 else f"{low:.3g} to {high:.3g}"


def about_intervals(target: NumericTarget, *, coverage: float = COVERAGE) -> str:
    """Say what a prediction interval promises."""
    return (
        f"The interval is meant to hold the true score in {100 * coverage:.0f} % of patients like "
        "those the grader learned from: it reaches as far as the answers to training patients, "
        "unseen by the grader that gave them, were from the truth. It is cut off at "
        f"the ends of the scale ({target.range_in_words}). With fewer than 9 training patients it "
        "is the whole scale."
    )
