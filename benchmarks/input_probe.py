"""What each input of the image branch carries: place of the points, grade, and what geometry lacks.

    python -m benchmarks.input_probe manifest.csv measured/landmarks.csv geometric/predictions.csv

`geometric` is a folder of `benchmark --level patient --graders ordinal_logistic`: its folds are
used throughout, whole patients held out. Points: how much of the asymmetry of the 51 inner true
points a ridge regression reads off the difference between a face and its mirror image (share of
variance explained). Grade: the classical twin on the input, alone and as the mean of both
probabilities with the geometric grader, beside that grader.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV

from common.arrays import Floats
from common.bootstrap import Estimate, interval, resampling_weights
from common.grading.comparison import compare_models
from common.grading.evaluation import evaluate
from common.grading.folds import read_folds
from common.grading.predictions import TWIN, answer_rows, read_either_unit
from common.grading.scores import SCORES
from common.grading.target import target_named
from common.truth import read_truth
from htnet.alignment import EYE_DISTANCE, alignment_map
from htnet.network.configuration import HTNetConfig
from htnet.palsy.cohort import ImageCohort, read_image_cohort
from htnet.palsy.folds import FoldPart, fold_parts
from htnet.palsy.histograms import describe, patient_histograms, twin_rows
from landmarks.points import INNER, mirror_points
from landmarks.tables import points_of

INPUTS = ("face", "regions", "appearance")
TARGET = target_named("six_grades")
SIZE, PIXELS = 112, 28
STRENGTHS = np.logspace(-3, 5, 17)


def point_asymmetry(cohort: ImageCohort) -> Floats:
    """Return `(n, 102)`: how far each inner true point lies from its mirror partner, % of eyes."""
    found = []
    for points in points_of(read_truth(cohort.rows)):
        warp = alignment_map(points, size=SIZE)
        aligned = points @ warp[:, :2].T + warp[:, 2]
        found.append((aligned - mirror_points(aligned, width=SIZE))[list(INNER)].ravel())
    return 100 * np.array(found) / (EYE_DISTANCE * SIZE)


def differences(cohort: ImageCohort) -> dict[str, Floats]:
    """Return `(n, d)` differences between each face and its mirror image, as pixels and as HOG."""
    pixels = cohort.data.faces.pixels.numpy()
    pictures = pixels.reshape(len(pixels), -1, 3, SIZE, SIZE)  # of regions: mosaic and face
    found: dict[str, list[Floats]] = {"pixels": [], "hog": []}
    for one in pictures:
        grey = [cv2.cvtColor(np.moveaxis(p, 0, -1).copy(), cv2.COLOR_RGB2GRAY) for p in one]
        small = [
            cv2.resize(g, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA).astype(float)
            for g in grey
        ]
        found["pixels"].append(np.concatenate([(s - s[:, ::-1]).ravel() for s in small]))
        apart = [describe(g) - describe(g[:, ::-1].copy()) for g in grey]
        found["hog"].append(np.concatenate(apart))
    return {name: np.array(values) for name, values in found.items()}


def explained(seen: Floats, wanted: Floats, cohort: ImageCohort, parts: list[FoldPart]) -> Estimate:
    """Return the share of the variance of held-out patients' points that a ridge explains."""
    answered = np.zeros_like(wanted)
    for part in parts:
        ridge = RidgeCV(STRENGTHS).fit(seen[part.learned], wanted[part.learned])
        answered[part.test] = ridge.predict(seen[part.test])
    patients, at = np.unique(cohort.data.patients, return_inverse=True)
    missed = np.bincount(at, ((wanted - answered) ** 2).sum(axis=1))
    there = np.bincount(at, ((wanted - wanted.mean(axis=0)) ** 2).sum(axis=1))
    weights = resampling_weights(len(patients))
    return interval(1 - missed.sum() / there.sum(), 1 - (weights @ missed) / (weights @ there))


def mean_of(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the mean of two models' probabilities."""
    key = ["patient_id", "repeat", "fold"]
    columns = list(TARGET.probability_columns)
    both = first.merge(second[[*key, *columns]], on=key, suffixes=("", "_second"), validate="1:1")
    chances = (both[columns].to_numpy() + both[[f"{c}_second" for c in columns]].to_numpy()) / 2
    tables = []
    for _, rows in both.groupby(["repeat", "fold"]):
        table = answer_rows(
            rows.reset_index(drop=True), target=TARGET, unit="patient",
            answers=chances[rows.index], repeat=int(rows["repeat"].min()),
            fold=int(rows["fold"].min()), model="mean", branch="fused",
        )  # fmt: skip
        tables.append(table)
    return pd.concat(tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("landmarks", type=Path)
    parser.add_argument("geometric", type=Path)
    parser.add_argument("--grader", default="ordinal_logistic")
    parser.add_argument("--inputs", nargs="+", choices=INPUTS, default=INPUTS)
    options = parser.parse_args()
    table, _ = read_either_unit(options.geometric, target=TARGET)
    geometric = table[table["model"] == options.grader]
    folds = read_folds(options.geometric.with_name("folds.csv"))
    kappa, error = SCORES["weighted_kappa"], SCORES["mae"]
    print("| input | points from pixels | points from HOG | twin, kappa | with geometry, kappa |"
          " error, grades | gain of kappa over geometry | gain of error |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for kind in options.inputs:
        config = HTNetConfig(
            image_size=SIZE, patch_size=14, num_classes=6, dim=48, heads=3,
            block_repeats=(1, 1, 1), input=kind,
        )  # fmt: skip
        cohort = read_image_cohort(
            options.manifest, options.landmarks, target=TARGET, config=config, quiet=True
        )
        parts = list(fold_parts(folds, cohort, validation_folds=5, seed=0))
        wanted = point_asymmetry(cohort)
        told = [explained(s, wanted, cohort, parts) for s in differences(cohort).values()]
        twin = twin_rows(patient_histograms(cohort), parts, cohort)
        rows = pd.concat([geometric, twin, mean_of(geometric, twin)])
        found = evaluate(rows, target=TARGET, unit="patient").estimates
        gains = []
        for score in (kappa, error):
            pair = compare_models(
                rows, target=TARGET, score=score, models=["mean", options.grader]
            ).iloc[0]
            gains.append(Estimate(pair["difference"], pair["low"], pair["high"]))
        cells = [*told, found[TWIN][kappa.name], found["mean"][kappa.name],
                 found["mean"][error.name], *gains]  # fmt: skip
        print(f"| `{kind}` | " + " | ".join(map(str, cells)) + " |", flush=True)
    alone = found[options.grader]
    print(f"\ngeometry alone: kappa {alone[kappa.name]}, error {alone[error.name]} grades")


if __name__ == "__main__":
    main()
