"""Follow-up on simulated patients: are true changes called, and is nothing called where none was?

    python -m benchmarks.follow_up raters
    python -m benchmarks.follow_up points MANIFEST TABLES

`raters` needs no photographs: three noisy raters score the visits of simulated patients. `points`
takes a cohort of `simulate --visits 3 --repeats 2` after `prepare` and `extract`: its first
photographs are scored by `scales`, its second ones give the error. Of every score: its smallest
detectable change (SDC); changes of patients whom nothing happened to, and how many of them were
called; true changes beyond the SDC, and how many of these were called.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from common.tables import MANIFEST, read_manifest, write_table
from datasets.simulated.cohort import draw_cohort
from datasets.simulated.face import visits_of
from datasets.simulated.layouts import SCALES_TRUTH
from datasets.simulated.movement import REGIONS
from datasets.simulated.scales import rated, true_scales
from features.commands.scales import scales
from features.follow_up import follow
from landmarks.tables import LANDMARKS, LANDMARKS_FILE, read_landmarks

SCORES = {
    "sunnybrook_style_composite": "sunnybrook",
    "weakness_brow": "weakness_brow", "weakness_eye": "weakness_eye",
    "weakness_midface": "weakness_midface", "weakness_mouth": "weakness_mouth",
}  # fmt: skip
"""Score of `scales.csv`, and the truth of `scales_truth.csv` that it stands for."""


def main() -> None:
    """Print one line for each score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("raters", "points"))
    parser.add_argument("manifest", nargs="?", type=Path)
    parser.add_argument("tables", nargs="?", type=Path)
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=10, help="cohorts of raters")
    asked = parser.parse_args()
    if asked.what == "raters":
        found = pd.concat([with_raters(asked.patients, seed) for seed in range(asked.seeds)])
    else:
        found = with_points(asked.manifest, asked.tables)
    print(pd.DataFrame(_summary(own) for _, own in found.groupby("score")).to_string(index=False))


def with_raters(patients: int, seed: int) -> pd.DataFrame:
    """Judged changes of the means of three raters."""
    rows = [
        {
            "patient_id": str(patient.seed), "visit": visit.number,
            "severity": np.mean([visit.patient.palsy.level(region) for region in REGIONS]),
            **true_scales(visit.patient.palsy),
        }
        for patient in draw_cohort(patients, seed=seed) for visit in visits_of(patient, 3)
    ]  # fmt: skip
    truth = pd.DataFrame(rows)
    table = rated(truth, raters=3, seed=seed)
    found = follow(table.assign(visit=table["visit"].astype(str)))
    truth["hb_grade"] = truth["severity"]
    return _judged(found.changes, truth, {name: name for name in found.scores})


def with_points(manifest: Path, tables: Path) -> pd.DataFrame:
    """Judged changes of scales out of predicted points."""
    listed, points = read_manifest(manifest), read_landmarks(tables / LANDMARKS_FILE)
    above = Path(str(listed["path"].iat[0])).parents
    truth = pd.read_csv(next(p / SCALES_TRUTH for p in above if (p / SCALES_TRUTH).is_file()))
    second = listed["again"].notna()
    halves = []
    with tempfile.TemporaryDirectory() as place:
        for number, rows in enumerate((listed[~second], listed[second])):
            folder = Path(place) / str(number)
            own = points[points["image_id"].isin(rows["image_id"])]
            write_table(own, folder / LANDMARKS_FILE, schema=LANDMARKS)
            write_table(rows, folder / "manifest.csv", schema=MANIFEST)
            scored = scales(
                folder / LANDMARKS_FILE, out=folder / "out", manifest=folder / "manifest.csv",
                bins="jinglei",
            )  # fmt: skip
            halves.append(scored.scored.scales)
    found = follow(halves[0], again=[halves[1]], scores=tuple(SCORES))
    return _judged(found.changes, truth, SCORES)


def _judged(changes: pd.DataFrame, truth: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """Return each judged change with what truly happened."""
    if "weak_side" in changes:  # healthy people are read both ways
        changes = changes.drop_duplicates(["patient_id", "score", "from_visit", "to_visit"])
    changes = changes[changes["smallest_detectable"].notna()]
    true = truth.assign(visit=truth["visit"].astype(str)).set_index(["patient_id", "visit"])
    before, after = (
        np.array([true[names[s]].loc[p, v] for p, v, s in
         zip(changes["patient_id"], changes[end], changes["score"], strict=True)], dtype=np.float64)
        for end in ("from_visit", "to_visit")
    )  # fmt: skip
    return changes.assign(true=after - before, called=changes["verdict"].ne("within error"))


def _summary(own: pd.DataFrame) -> dict[str, object]:
    still = own["true"].abs() < 1e-9
    beyond = own["true"].abs() > own["smallest_detectable"]
    right = own["called"] & (np.sign(own["change"]) == np.sign(own["true"]))
    return {
        "score": own["score"].iat[0],
        "SDC": round(float(own["smallest_detectable"].median()), 3),
        "nothing changed": int(still.sum()),
        "called %": round(100 * float(own.loc[still, "called"].mean()), 1),
        "true change beyond SDC": int(beyond.sum()),
        "called rightly %": round(100 * float(right[beyond].mean()), 1),
    }


if __name__ == "__main__":
    main()
