"""How many millimetres of a known side difference each way of finding points loses.

    python run_pipeline.py simulate IMPOSED --from-photos PORTRAITS
    python run_pipeline.py evaluate-landmarks IMPOSED/manifest.csv --asymmetry --out DIR
    python -m benchmarks.imposed_millimetres IMPOSED/manifest.csv DIR

Of every clinical measure, the difference between the sides that an imposed palsy makes (palsied
minus plain picture), true and from the points of each setting in DIR. Lost is what is missing of it
on average, in its own direction; off is the mean absolute error. The scale is that of the warp: the
outer eye corners are 90 mm apart. Pictures whose true difference is below 1 mm are left out.
Intervals of 95 % resample people.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.tables import read_manifest
from common.truth import read_truth
from features.measures import MEASURES, measure_faces
from landmarks.check.asymmetry import plain_rows
from landmarks.check.scores import patient_intervals
from landmarks.tables import points_of, read_landmarks

EYES_MM, LEAST_MM = 90.0, 1.0


def differences(points: np.ndarray, true: np.ndarray, plain: np.ndarray) -> dict[str, np.ndarray]:
    """Change of right minus left of every length, mm, `(n,)` each; NaN where something lacks."""
    scale = EYES_MM / np.linalg.norm(true[:, 45] - true[:, 36], axis=1)
    there = np.flatnonzero(np.isfinite(points[:, 0, 0]) & (plain >= 0))
    measured = measure_faces(points)
    found = {}
    for measure in MEASURES:
        if measure.is_length:
            right, left = (measured.values[measure.name][side] for side in ("right", "left"))
            mm = (right - left) * scale
            found[measure.title] = np.full(len(points), np.nan)
            found[measure.title][there] = mm[there] - mm[plain[there]]
    return found


def main() -> None:
    """Print one row for each measure and setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("evaluated", type=Path)
    asked = parser.parse_args()
    manifest = read_manifest(asked.manifest)
    plain, people = plain_rows(manifest), manifest["patient_id"].to_numpy()
    true = points_of(read_truth(manifest))
    known = differences(true, true, plain)
    rows = []
    for folder in sorted((asked.evaluated / "settings").iterdir()):
        table = read_landmarks(folder / "landmarks.csv").set_index("image_id")
        table = table.reindex(manifest["image_id"]).reset_index()
        found = differences(points_of(table), true, plain)
        for title, truth in known.items():
            off = np.where(np.abs(truth) >= LEAST_MM, found[title] - truth, np.nan)
            values = np.column_stack([np.abs(truth) + 0 * off, -np.sign(truth) * off, np.abs(off)])
            said = patient_intervals(values, people)
            row = {"measure": title, "setting": folder.name, "n": said["photographs"].iat[0]}
            for name, one in zip(
                ("true, mm", "lost, mm", "off, mm"), said.to_dict("records"), strict=True
            ):
                row[name] = f"{one['value']:.2f} ({one['low']:.2f} to {one['high']:.2f})"
            rows.append(row)
    print(pd.DataFrame(rows).sort_values("measure", kind="stable").to_string(index=False))


if __name__ == "__main__":
    main()
