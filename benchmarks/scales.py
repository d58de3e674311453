"""Scales without learning on simulated patients: do they follow the true weakness of each zone?

    python -m benchmarks.scales --out scales_bench [--patients 60] [--learn 36] [--seed 5]

Draws a cohort with known muscles and scores it five ways in the same run: with the true points
(the baseline: what is lost to noise of points is not the scale's), with those of the installed
`ibug` model, those of `--points own` and `joined`, and those of a dlib model that learned from
other simulated patients (seed + 72), as `train-landmarks` makes one. Prints Spearman's correlation
of every item and zone with the truth (everybody once), its interval over resampled patients, how
many could be scored, and the composites of healthy people. Simulated: nothing of it is evidence
about patients. What was drawn and found is kept in OUT, and a second run goes on from it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from common.bootstrap import interval
from common.movements import MOVEMENTS
from common.photos import read_photo
from common.truth import TRUTH_TABLE
from datasets.simulated.cohort import draw_cohort, simulate
from datasets.simulated.face import Patient, render_photo
from datasets.simulated.scales import true_scales
from features.scales.registry import ITEMS, SIDE_MEASURES, ZONES
from features.scales.scores import Scored, score
from features.scales.sides import read_sides
from features.scales.thresholds import BinsName, cohort_bins, difference_of, published_bins
from landmarks.find.finder import LandmarkFinder
from landmarks.find.method import Points, make_method
from landmarks.points import POINT_COLUMNS
from landmarks.predictor import find_predictor
from landmarks.training import TrainingFace, TrainingOptions, train_predictor

RESAMPLES = 500
TRUE_OF = {  # item of ours to the simulator's
    "sunnybrook_style_voluntary_eye_closure": "sunnybrook_voluntary_gentle_closure",
    "sunnybrook_style_voluntary_smile": "sunnybrook_voluntary_open_smile",
    "sunnybrook_style_synkinesis_eye_closure": "sunnybrook_synkinesis_gentle_closure",
    "sunnybrook_style_synkinesis_smile": "sunnybrook_synkinesis_open_smile",
    "eface_style_dynamic_brow": "eface_dynamic_brow_elevation",
    "eface_style_dynamic_smile": "eface_dynamic_commissure_smile",
    "eface_style_dynamic_lower_lip": "eface_dynamic_lower_lip_eee",
    "eface_style_dynamic_pucker": "sunnybrook_voluntary_pucker",
    "sunnybrook_style_percent_of_reach": "sunnybrook",
    "eface_style_total": "eface",
}


def found(
    people: list[Patient], *, model: str, kept: Path, points: Points = "whole"
) -> tuple[np.ndarray, np.ndarray]:
    """Photograph everybody; return true points and those of a model, `(n, 68, 2)` each.

    NaN where no face was found.
    """
    if not kept.exists():
        finder = LandmarkFinder(find_predictor(model), method=make_method(points=points))
        pairs = []
        for one in people:
            for task in MOVEMENTS:
                rgb, true = render_photo(one, task)
                face = finder.find(rgb)
                pairs.append((true, face.points if face.status == "ok" else true * np.nan))
        np.save(kept, pairs)
    true, predicted = np.load(kept).transpose(1, 0, 2, 3)
    return true, predicted


def learned(folder: Path, *, patients: int, seed: int) -> Path:
    """Train a dlib model on the true points of other simulated patients."""
    model = folder / "own.dat"
    if not model.exists():
        photos = simulate(folder / "learn", patients=patients, seed=seed)
        table = pd.read_csv(folder / "learn" / TRUTH_TABLE).set_index("image")
        names = [photo.relative_to(folder / "learn").as_posix() for photo in photos]
        columns = [f"{axis}{point}" for point in range(68) for axis in "xy"]
        points = table.loc[names, columns].to_numpy().reshape(-1, 68, 2)
        finder = LandmarkFinder(find_predictor())
        boxes = [finder.find(read_photo(photo).pixels).box for photo in photos]
        faces = [
            TrainingFace(photo, box, own)
            for photo, box, own in zip(photos, boxes, points, strict=True)
            if box is not None
        ]
        train_predictor(faces, out=model, options=TrainingOptions(oversampling=6))
    return model


def scored(points: np.ndarray, people: list[Patient], *, bins: BinsName) -> Scored:
    """Score the cohort; photographs go by patient, then by movement."""
    key = [(f"p{at:03d}", task, one) for at, one in enumerate(people) for task in MOVEMENTS]
    table = pd.DataFrame(points.reshape(-1, 136), columns=list(POINT_COLUMNS))
    head = pd.DataFrame(
        {
            "image_id": [f"{name}/{task}" for name, task, _ in key],
            "status": np.where(np.isfinite(points).all(axis=(1, 2)), "ok", "no_face"),
        }
    )
    known = head[["image_id"]].assign(
        patient_id=[name for name, *_ in key],
        task=[task for _, task, _ in key],
        side=[one.palsy.side for *_, one in key],
        hb_grade=pd.array([one.palsy.grade for *_, one in key], dtype="Int64"),
    )
    read = read_sides(pd.concat([head, table], axis=1), known, source="the simulated cohort")
    if bins != "cohort":
        return score(read, published_bins(bins))
    differences = {e.name: difference_of(e, read.amounts[e.name]) for e in SIDE_MEASURES}
    healthy = read.rows["healthy"].to_numpy(bool)
    return score(
        read, cohort_bins(differences, owners=read.owners, healthy=healthy, source="the cohort")
    )


def rank(value: pd.Series, truth: pd.Series) -> str:
    """Spearman's correlation with its interval over patients, and how many there are."""
    known = value.notna().to_numpy()
    x, y = value.to_numpy(float)[known], truth.to_numpy(float)[known]
    if len(x) < 5 or len(set(x)) < 2:
        return f"–, n {len(x)}"
    rng = np.random.default_rng(0)
    again = [rng.integers(0, len(x), len(x)) for _ in range(RESAMPLES)]
    with np.errstate(invalid="ignore"):
        values = np.array([spearmanr(x[at], y[at])[0] if len(set(x[at])) > 1 else np.nan
                           for at in again])  # fmt: skip
    return f"{interval(float(spearmanr(x, y)[0]), values)}, n {len(x)}"


def compared(one: Scored, truth: pd.DataFrame) -> dict[str, str]:
    """Return the correlation of every zone, item and composite with the truth.

    Everybody counts once: healthy people by the reading of their right side.
    """
    rows = one.scales.drop_duplicates("patient_id").set_index("patient_id")
    zones = {f"weakness of the {z}": (f"weakness_{z}", f"weakness_{z}") for z in ZONES}
    items = [item.column for item in ITEMS if item.is_standard]
    names = {c: (c, TRUE_OF.get(c, c.replace("_style", ""))) for c in (*items, *list(TRUE_OF)[-2:])}
    return {
        words: rank(rows[own], truth.loc[rows.index, true])
        for words, (own, true) in (zones | names).items()
        if true in truth
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--learn", type=int, default=36)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--bins", choices=("cohort", "jinglei", "mirror"), default="cohort")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    people = draw_cohort(asked.patients, seed=asked.seed)
    own = learned(asked.out, patients=asked.learn, seed=asked.seed + 72)
    true, ibug = found(people, model="ibug", kept=asked.out / "ibug.npy")
    points = {
        "true": true,
        "ibug": ibug,
        **{
            name: found(people, model="ibug", points=name, kept=asked.out / f"{name}_points.npy")[1]
            for name in ("own", "joined")
        },
        "learned": found(people, model=str(own), kept=asked.out / "own.npy")[1],
    }
    truth = pd.DataFrame([true_scales(one.palsy) for one in people])
    truth.index = pd.Index([f"p{at:03d}" for at in range(len(people))])
    made = {name: scored(each, people, bins=asked.bins) for name, each in points.items()}
    table = pd.DataFrame({name: compared(each, truth) for name, each in made.items()})
    print(table.to_string())
    for name, each in made.items():
        healthy = each.scales[each.scales["hb_grade"] == 1]
        for column in ("sunnybrook_style_composite", "sunnybrook_style_percent_of_reach",
                       "eface_style_total"):  # fmt: skip
            of = healthy[column].dropna()
            print(f"{name}: healthy {column}: {of.min():.0f} to {of.max():.0f}, {len(of)} readings")


if __name__ == "__main__":
    main()
