"""What missing movements cost: error in grades, coverage of the 90 % range, and side.

    python -m benchmarks.missing_movements measured/features.csv [--graders svm ordinal_logistic]

`measured` is a folder of `extract` with grades joined. Graders learn from patients with all
movements, on stratified folds of whole patients; each tested patient is then answered again with
only some movements, drawn at random, with and without the photograph at rest. Whoever lacks
movements gets the same answer as from `grade`. The side counts where the truth is left or right.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from classifiers.graders.cohort import Samples, read_cohort  # noqa: E402
from classifiers.graders.nested import NestedGrader, fit_nested  # noqa: E402
from classifiers.graders.patients import LEAST_SIDE, patient_samples, tested_in  # noqa: E402
from classifiers.graders.registry import choose_graders  # noqa: E402
from classifiers.graders.validation import SEARCHED_SCALERS  # noqa: E402
from common.arrays import Floats  # noqa: E402
from common.grading.folds import make_folds  # noqa: E402
from common.grading.target import target_named  # noqa: E402
from common.movements import MOVEMENTS, REST  # noqa: E402

TARGET = target_named("six_grades")


def choices(*, draws: int, seed: int) -> Iterator[tuple[bool, tuple[str, ...]]]:
    """Yield whether rest was kept, and the movements that were: every number, drawn at random."""
    rng = np.random.default_rng(seed)
    moves = [name for name in MOVEMENTS if name != REST]
    for number in range(len(moves), -1, -1):
        for kept in (True, False):
            drawn = {tuple(sorted(rng.permutation(moves)[:number])) for _ in range(draws)}
            yield from (
                (kept, ((REST,) if kept else ()) + some) for some in sorted(drawn) if kept or some
            )


def answers(
    grader: NestedGrader, photographs: Samples, movements: tuple[str, ...], *, points: Floats,
    inputs: list[str],
) -> pd.DataFrame:  # fmt: skip
    """Answer the patients of these photographs from the given movements only."""
    rows = np.flatnonzero(photographs.rows["task"].isin(movements))
    patients = patient_samples(photographs.at(rows), points=points[rows])
    patients = replace(patients, features=patients.features.reindex(columns=inputs))
    chances = grader.answers(patients)
    left, sure = grader.columns.severity_.weak_sides(patients.features)  # type: ignore[union-attr]
    sets = grader.bounds(patients, chances, target=TARGET)
    sets = np.full((len(chances), 2), np.nan) if sets is None else sets
    truth = patients.labels
    assert patients.sides is not None
    answer = TARGET.answers(chances)
    weak = patients.sides != 0
    named = weak & (sure >= LEAST_SIDE)
    right = np.where(left, 1.0, -1.0) == patients.sides
    return pd.DataFrame(
        {
            "error": np.abs(answer - truth),
            "within_one": np.abs(answer - truth) <= 1,
            "covered": (sets[:, 0] <= truth) & (truth <= sets[:, 1]),
            "width": sets[:, 1] - sets[:, 0] + 1,
            "side_right": np.where(weak, right, np.nan),
            "side_chance": np.where(weak, sure, np.nan),
            "side_named": np.where(weak, named, np.nan),
            "named_right": np.where(named, right, np.nan),
        }
    )


def main() -> None:
    """Fit on each training part, answer the tested part from fewer and fewer movements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", type=Path)
    parser.add_argument("--graders", nargs="+", default=["svm", "ordinal_logistic"])
    parser.add_argument("--draws", type=int, default=12, help="sets of movements of each size")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    cohort = read_cohort(asked.features, target=TARGET)
    points = cohort.study.points(list(cohort.usable.rows["image_id"]))
    whole = patient_samples(cohort.usable, points=points)
    parts = tested_in(make_folds(cohort.labelled, seed=asked.seed), whole, unit="patient")
    for entry in choose_graders(asked.graders):
        if entry.name not in asked.graders:
            continue
        found = []
        for part in parts:
            grader = fit_nested(
                entry, whole.at(part.train), target=TARGET, scalers=("standard", *SEARCHED_SCALERS),
                seed=asked.seed,
            )  # fmt: skip
            tested = np.flatnonzero(np.isin(cohort.usable.patients, whole.patients[part.test]))
            for kept, movements in choices(draws=asked.draws, seed=asked.seed):
                told = answers(
                    grader, cohort.usable.at(tested), movements, points=points[tested],
                    inputs=list(whole.features.columns),
                )  # fmt: skip
                others = len(movements) - kept
                found.append(told.assign(rest=kept, others=others))
        table = pd.concat(found).groupby(["rest", "others"], sort=False)
        print(f"\n{entry.title}, {whole.rows['patient_id'].nunique()} patients")
        print(table.mean().assign(answers=table.size()).round(2).to_string(), flush=True)


if __name__ == "__main__":
    main()
