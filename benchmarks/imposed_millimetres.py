"""How many millimetres of a known side difference each way of finding points loses.

    python run_pipeline.py simulate IMPOSED --from-photos PORTRAITS
    python run_pipeline.py evaluate-landmarks IMPOSED/manifest.csv --asymmetry --out DIR
    python -m benchmarks.imposed_millimetres IMPOSED/manifest.csv DIR [--sheet SHEET]

Of every clinical measure, the difference between the sides that an imposed palsy makes (palsied
minus plain picture), true and from the points of each landmark table below DIR. Lost is what is
missing of it on average, in its own direction; off is the mean absolute error. The scale is that of
the warp: the outer eye corners are 90 mm apart. Pictures whose true difference is below 1 mm are
left out. Intervals of 95 % resample people. The sheet shows twelve people.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.photos import read_photo
from common.tables import read_manifest
from common.truth import read_truth
from datasets.contact_sheet import contact_sheet
from features.measures import MEASURES, measure_faces
from landmarks.check.asymmetry import plain_rows
from landmarks.check.scores import patient_intervals
from landmarks.overlay import draw_overlay, write_jpeg
from landmarks.tables import points_of, read_landmarks

EYES_MM, LEAST_MM = 90.0, 1.0
SHOWN, PHOTO_PX = 12, 260


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


def sheet(manifest: pd.DataFrame, drawn: dict[str, np.ndarray], *, worst: np.ndarray) -> np.ndarray:
    """Draw the points of each setting on twelve people, each in the picture that differs most."""
    size = pd.Series(np.nansum(np.abs(worst), axis=0), index=manifest.index)
    most = size.groupby(manifest["patient_id"]).idxmax()
    some = size[most].sort_values(ascending=False).index[:SHOWN]
    rows = []
    for points in drawn.values():
        row = []
        for k in some:
            rgb, (left, top) = (
                read_photo(Path(manifest["path"][k])).pixels,
                drawn["truth"][k].min(0),
            )
            right, bottom = drawn["truth"][k].max(0)
            edge = slice(max(0, int(top) - 25), int(bottom) + 15), slice(int(left), int(right))
            row.append(draw_overlay(rgb, points[k], legend=False)[edge])
        rows.append(row)
    labels = [name.replace("_", " ") for name in drawn]
    return contact_sheet(rows, row_labels=labels, photo_width=PHOTO_PX)


def main() -> None:
    """Print one row for each measure and setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("evaluated", type=Path)
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    manifest = read_manifest(asked.manifest)
    plain, people = plain_rows(manifest), manifest["patient_id"].to_numpy()
    true = points_of(read_truth(manifest))
    known = differences(true, true, plain)
    rows = []
    drawn = {"truth": true}
    for path in sorted(asked.evaluated.rglob("landmarks.csv")):
        table = read_landmarks(path).set_index("image_id")
        if not table.index.isin(manifest["image_id"]).any():
            continue  # of other photographs
        drawn[path.parent.name] = points_of(table.reindex(manifest["image_id"]))
        found = differences(drawn[path.parent.name], true, plain)
        for title, truth in known.items():
            off = np.where(np.abs(truth) >= LEAST_MM, found[title] - truth, np.nan)
            values = np.column_stack([np.abs(truth) + 0 * off, -np.sign(truth) * off, np.abs(off)])
            said = patient_intervals(values, people)
            row = {"measure": title, "setting": path.parent.name, "n": said["photographs"].iat[0]}
            for name, one in zip(
                ("true, mm", "lost, mm", "off, mm"), said.to_dict("records"), strict=True
            ):
                row[name] = f"{one['value']:.2f} ({one['low']:.2f} to {one['high']:.2f})"
            rows.append(row)
    if asked.sheet:
        write_jpeg(asked.sheet, sheet(manifest, drawn, worst=np.array([*known.values()])))
    print(pd.DataFrame(rows).sort_values("measure", kind="stable").to_string(index=False))


if __name__ == "__main__":
    main()
