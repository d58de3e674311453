"""Measurements and what the network sees in one grader, against each alone and both fused.

    python -m benchmarks.one_grader measured/features.csv manifest.csv measured/landmarks.csv \
        [--repeats 3]

One ridge regression (that of the network, `htnet.palsy.reader`) on the columns `asymmetry` of the
measurements, on the network's pooled features (as the head of `htnet train` learns from whole
patients), on its zones (weakness of brow, eye and mouth, weak side first), and on several of them
side by side. The network is the one that ships; its trunk and its zones have learned from simulated
patients alone, so that they know nobody here and are the same in every fold. Fused: the mean of
both probabilities, and a second ridge on the two sums, of training patients those of readers that
had not seen them, without and with the zones. Whole patients are held out; everything is learned in
training patients.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from classifiers.graders.cohort import Samples, read_cohort
from classifiers.graders.patients import columns_for, rows_to_answer, tested_in
from common.arrays import Floats
from common.bootstrap import interval, resampling_weights
from common.grading.folds import Split, make_folds
from common.grading.target import target_named
from htnet.network.htnet import HTNet
from htnet.palsy.answers import read_trained
from htnet.palsy.asking import summaries
from htnet.palsy.cohort import read_image_cohort
from htnet.palsy.faces import sets_within
from htnet.palsy.reader import learn_grades, learn_reader
from htnet.palsy.training import SHIPPED

TARGET = target_named("six_grades")
ALONE, STACKED, MEAN = ("measurements", "network"), "ridge on both sums", "mean of both"
Parts = tuple[Floats, Floats]
"""Values of the training patients and of the tested ones."""


def of_the_network(samples: Samples, manifest: Path, landmarks: Path) -> tuple[Floats, ...]:
    """Return pooled features `(n, d)` of the samples' patients, zones `(n, 6)`, and direction."""
    network, _ = read_trained(SHIPPED)
    assert isinstance(network, HTNet) and network.patient is not None
    cohort = read_image_cohort(
        manifest, landmarks, target=TARGET, config=network.config, quiet=True
    )
    names, sets = sets_within(cohort.data.asked, np.arange(len(cohort.rows)))
    rest = torch.from_numpy(cohort.data.faces.rest)[sets.rows]
    with torch.inference_mode():
        faces = summaries(network, cohort.data.faces)[sets.rows]
        found = network.patient(faces, rest=rest, present=sets.present)
    at = np.searchsorted(names, samples.patients)
    assert (names[at] == samples.patients).all(), "somebody has no photograph that can be used"
    zones = found.zones.double().numpy()[at]
    weak = zones.sum(axis=2).argmax(axis=1)
    every = np.arange(len(zones))
    direction = network.patient.direction.double().numpy()
    sorted_zones = np.hstack([zones[every, weak], zones[every, 1 - weak]])
    return found.read.double().numpy()[at], sorted_zones, direction


def answers(
    split: Split, samples: Samples, pooled: Floats, zones: Floats, direction: Floats
) -> dict[str, Floats]:
    """Return the `(n, 6)` probabilities of every way for the tested patients of a fold."""
    labels, patients = samples.labels[split.train], samples.patients[split.train]
    columns = columns_for(samples, target=TARGET)
    made = (columns.learn(samples.at(split.train)), columns.make(samples.at(split.test)))
    measured = standard(*(np.nan_to_num(one["asymmetry"].to_numpy(float)) for one in made))
    seen = standard(zones[split.train], zones[split.test])
    network = (pooled[split.train], pooled[split.test])
    found, sums = dict[str, Floats](), dict[str, Parts]()

    def ask(name: str, *parts: Parts, along: Floats | None = None) -> None:
        train, test = (np.hstack([part[at] for part in parts]) for at in (0, 1))
        if along is not None:
            along = np.concatenate([along, np.zeros(train.shape[1] - len(along))])
        reader = learn_reader(train, labels, patients, direction=along)
        sums[name] = (reader.unseen[0], reader.sums(test))
        found[name] = learn_grades(reader.unseen, labels, classes=6).chances(sums[name][1])

    ask("measurements", measured)
    ask("network", network, along=direction)
    ask("zones", seen)
    ask("measurements, zones", measured, seen)
    ask("measurements, pooled features", network, measured, along=direction)
    both = [sums["measurements"], sums["network"]]
    two = standard(*(np.column_stack([one[at] for one in both]) for at in (0, 1)))
    ask(STACKED, two)
    ask(f"{STACKED}, zones", two, seen)
    found[MEAN] = (found["measurements"] + found["network"]) / 2
    return found


def standard(train: Floats, test: Floats) -> Parts:
    """Scale by mean and spread of the training patients."""
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-9
    return (train - mean) / spread, (test - mean) / spread


def main() -> None:
    """Print the error of every way, and how it differs from the better branch and both fused."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("features", "manifest", "landmarks"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--repeats", type=int, default=1)
    given = parser.parse_args()
    cohort = read_cohort(given.features, target=TARGET, manifest=given.manifest)
    samples = rows_to_answer(cohort, level="patient", target=TARGET)
    seen = of_the_network(samples, given.manifest, given.landmarks)
    folds = make_folds(cohort.labelled, repeats=given.repeats)
    errors: dict[str, Floats] = {}
    for split in tested_in(folds, samples, unit="patient"):
        for name, chances in answers(split, samples, *seen).items():
            wrong = np.abs(TARGET.answers(chances) - samples.labels[split.test])
            errors.setdefault(name, np.zeros(len(samples.labels)))[split.test] += wrong
    shares = resampling_weights(len(samples.labels), seed=0) / len(samples.labels)
    better = min(ALONE, key=lambda name: float(errors[name].mean()))
    for name, total in errors.items():
        found = {"": total, **{one: total - errors[one] for one in (better, STACKED, MEAN)}}
        for other, off in found.items():
            mean = interval(float(off.mean() / given.repeats), shares @ off / given.repeats)
            print(f"; minus {other} {mean}" if other else f"{name}: error {mean} grades", end="")
        print()


if __name__ == "__main__":
    main()
