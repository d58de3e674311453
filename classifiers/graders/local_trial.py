"""What recalibration at a clinic is worth: each local patient answered by what the others taught.

No patient is answered by thresholds, temperature or sets that learned from the same patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pandera.pandas as pa

from classifiers.graders.recalibration import recalibrate_chances
from common.arrays import Floats, Ints
from common.bootstrap import interval, resampled_counts, resampling_weights
from common.errors import UserError
from common.grading.calibration import GradeSets, learn_sets
from common.grading.scores import mean_absolute_error, weighted_kappa
from common.grading.target import Target
from common.tables import choice, number

AS_KEPT, ON_HEALTHY = "as kept", "relative to local healthy people"
RECALIBRATED, BOTH = "recalibrated", "relative to local healthy people and recalibrated"

LEARNING_CURVE = pa.DataFrameSchema(
    {
        "features": choice((AS_KEPT, ON_HEALTHY)),
        "local_patients": pa.Column("int64"),
        "draws": pa.Column("int64"),
        **{name: number() for name in ("kappa", "kappa_low", "kappa_high", "error", "covered",
                                       "width")},
    },
    name="learning curve",
)  # fmt: skip
"""`learning_curve.csv`: means over draws of local patients to recalibrate with, all others tested;
`kappa_low` and `kappa_high` hold 95 % of the draws. 0 local patients: the grader as kept, tested on
all of them once."""


@dataclass(frozen=True)
class Answers:
    """`(n, k)` chances, and the sets that bound them: one for all, or `(n, 2)` of each patient."""

    chances: Floats
    sets: GradeSets | Ints | None

    def bounds(self) -> Ints | None:
        """Return `(n, 2)` lowest and highest class; None without sets."""
        return self.sets.of(self.chances) if isinstance(self.sets, GradeSets) else self.sets


def answers_unseen(unseen: Floats, labels: Ints, *, coverage: float) -> Answers:
    """Return each patient's answer (of `unseen_answers`) and set as all the others teach them."""
    bounds = np.empty((len(labels), 2), dtype=np.int64)
    for at in range(len(labels)):
        others = np.arange(len(labels)) != at
        sets = learn_sets(unseen[others], labels[others], coverage=coverage)
        bounds[at] = sets.of(unseen[[at]])[0]
    return Answers(unseen, bounds)


def ways_scored(
    answers: Mapping[str, Answers], labels: Ints, *, target: Target, seed: int = 0
) -> pd.DataFrame:
    """Return a row for each way: `way`, `kappa` with limits, `error`, `covered`, `width`."""
    weights = resampling_weights(len(labels), seed=seed)
    rows = []
    for way, found in answers.items():
        counts = _counts(found.chances, labels, target=target)
        drawn = weighted_kappa(resampled_counts(counts, weights=weights))
        scores = _scores(found, labels, target=target)
        kappa = interval(scores["kappa"], drawn)
        rows.append({"way": way, **scores, "kappa_low": kappa.low, "kappa_high": kappa.high})
    return pd.DataFrame(rows)


def learning_curve(
    chances: Mapping[str, Floats],
    labels: Ints,
    *,
    sizes: Sequence[int],
    draws: int,
    target: Target,
    sets: GradeSets | None,
    coverage: float,
    seed: int = 0,
) -> pd.DataFrame:
    """Draw local patients, recalibrate on them, and test all others, by `LEARNING_CURVE`.

    `chances` are those of the kept grader, `(n, k)`, by the name of their features. Refused
    (`UserError`) is a number that leaves fewer than five patients to test.
    """
    n = len(labels)
    if max(sizes) > n - 5 or min(sizes) < 2 or draws < 2:
        raise UserError(
            f"--curve {' '.join(str(size) for size in sizes)}: of {n} patients, draw 2 to {n - 5}, "
            "so that five or more are left to test; and --draws 2 or more."
        )
    rows = []
    for name, found in chances.items():
        whole = _scores(Answers(found, sets), labels, target=target)
        rows.append(_point(name, 0, [whole]))
        for size in sizes:
            scores = []
            for draw in range(draws):
                drawn = np.random.default_rng([seed, size, draw]).permutation(n)
                local, tested = drawn[:size], drawn[size:]
                moved = recalibrate_chances(found[local], labels[local], coverage=coverage)
                answers = Answers(moved.of(found[tested]), moved.sets)
                scores.append(_scores(answers, labels[tested], target=target))
            rows.append(_point(name, size, scores))
    return pd.DataFrame(rows)


def _point(name: str, size: int, scores: list[dict[str, float]]) -> dict[str, object]:
    table = pd.DataFrame(scores)
    low, high = np.nanquantile(table["kappa"], [0.025, 0.975])
    return {
        "features": name, "local_patients": size, "draws": len(table),
        "kappa": float(table["kappa"].mean()), "kappa_low": float(low), "kappa_high": float(high),
        **{column: float(table[column].mean()) for column in ("error", "covered", "width")},
    }  # fmt: skip


def _scores(found: Answers, labels: Ints, *, target: Target) -> dict[str, float]:
    total = _counts(found.chances, labels, target=target).sum(axis=0)
    bounds = found.bounds()
    nothing = float("nan")
    inside = None if bounds is None else (bounds[:, 0] <= labels) & (labels <= bounds[:, 1])
    return {
        "kappa": float(weighted_kappa(total)),
        "error": float(mean_absolute_error(total)),
        "covered": nothing if inside is None else float(inside.mean()),
        "width": nothing if bounds is None else float((bounds[:, 1] - bounds[:, 0] + 1).mean()),
    }


def _counts(chances: Floats, labels: Ints, *, target: Target) -> Floats:
    k = chances.shape[1]
    counts = np.zeros((len(labels), k, k))
    counts[np.arange(len(labels)), labels - 1, target.answers(chances) - 1] = 1.0
    return counts
