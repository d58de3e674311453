"""On which side of the face the network's heat lies, by grade: photographs and whole patients.

    python -m benchmarks.network_maps manifest.csv measured/landmarks.csv

The network as it ships, asked about people whom it has not learned from. Share of what moved the
grade that lies on the half of the weak side, after each half was weighted by the probability that
its side is the weak one: as one photograph alone tells it, and as all photographs of the patient
do (the maps of `joint-report`). Of healthy people the brighter half: 0.5 is even. 95 % intervals
over patients.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from common.arrays import Floats
from common.bootstrap import Estimate, interval, resampling_weights
from common.tables import ROMAN
from htnet.network.configuration import SIDE_CLASSES
from htnet.palsy.answers import read_trained, target_of
from htnet.palsy.cohort import read_image_cohort
from htnet.palsy.maps import explain_faces
from htnet.palsy.training import SHIPPED
from pipeline.joint_report.maps import sides_and_zones


def share(values: Floats) -> Estimate:
    """Return the mean with its interval over patients."""
    drawn = resampling_weights(len(values), seed=0) @ values / len(values)
    return interval(float(values.mean()), drawn)


def main() -> None:
    """Print a row for each grade, and one for III to VI."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("landmarks", type=Path)
    parser.add_argument("--task", default="full_smile")
    given = parser.parse_args()
    network, notes = read_trained(SHIPPED)
    cohort = read_image_cohort(
        given.manifest, given.landmarks, target=target_of(notes), config=network.config, quiet=True
    )
    told = sides_and_zones(network, cohort, np.arange(len(cohort.rows)))
    rows = np.flatnonzero((cohort.rows["task"] == given.task).to_numpy())
    found = []
    for row, map_of_face in zip(
        rows, explain_faces(network, cohort.data.faces.subset(rows.tolist())), strict=True
    ):
        of_patient = replace(map_of_face, side=told[str(cohort.data.asked[row])][0])
        shares = []
        for one in (map_of_face, of_patient):
            heat = one.on_weak_side(one.gradients)
            right = float(heat[:, : heat.shape[1] // 2].sum() / heat.sum())
            weak = {"right": right, "left": 1 - right}
            shares.append(weak.get(cohort.data.sides[row], max(right, 1 - right)))
        named = SIDE_CLASSES[int(of_patient.side[:2].argmax())]  # type: ignore[index]
        grade = int(cohort.data.labels[row])
        found.append((grade, *shares, named == cohort.data.sides[row]))
    table = pd.DataFrame(found, columns=["grade", "photograph", "patient", "right_side"])
    groups = {ROMAN[grade - 1]: table["grade"] == grade for grade in range(1, 7)}
    for name, within in {**groups, "III to VI": table["grade"] >= 3}.items():
        some = table[within]
        print(
            f"{name}: {len(some)} people; on the weak half by the photograph "
            f"{share(some['photograph'].to_numpy())}, by the patient "
            f"{share(some['patient'].to_numpy())}; named rightly {some['right_side'].sum()}"
        )


if __name__ == "__main__":
    main()
