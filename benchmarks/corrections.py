"""What 20, 50, 100 and 200 corrected photographs teach: error and asymmetry before and after.

    python run_pipeline.py extract MANIFEST --out FOUND
    python run_pipeline.py evaluate-landmarks IMPOSED/manifest.csv --asymmetry --out DIR
    python -m benchmarks.corrections MANIFEST FOUND/landmarks.csv IMPOSED/manifest.csv \
        DIR/settings/SETTING/landmarks.csv [--sizes 20 50 100 200] [--tested MANIFEST LANDMARKS]

Pairs of a manifest with true points, which stand for corrected ones, and of the points that the
model found; patients have the same names in both. Where a manifest is of `simulate --from-photos`,
its palsied pictures are what is imposed. A quarter of the patients is held out. Of the others'
photographs, in an order drawn by chance, the first 20, 50, ... are learned from, as
`train-landmarks --refine` does, with what is imposed on the same patients. Tested are four
photographs of each held-out patient, and all that is imposed on them. The refinement moves the
points found, which with copies is done to those of every copy. Baseline in the same run: the points
as they were found. With `--tested` nobody is held out, and all of another cohort is tested.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.photos import read_photo
from common.tables import PLAIN_IMAGE, read_manifest
from common.truth import read_truth
from landmarks.check.asymmetry import asymmetry_kept
from landmarks.check.errors import evaluate, part_errors
from landmarks.check.scores import patient_intervals
from landmarks.find.finder import DETECTION_MIN_SIDE
from landmarks.find.refinement import refined
from landmarks.points import POINT_COLUMNS
from landmarks.refinement import Refinement
from landmarks.refinement_training import box_in, learn_rounds
from landmarks.tables import points_of, read_landmarks
from landmarks.training import box_of, held_out_patients
from pipeline.refining import corrected_faces

SIZES, EACH = (20, 50, 100, 200), 4


def joined(pairs: list[Path]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read manifests, true points and points found, one row for each photograph."""
    parts = []
    for manifest, landmarks in zip(pairs[::2], pairs[1::2], strict=True):
        people = read_manifest(manifest)
        found = people[["image_id"]].merge(read_landmarks(landmarks), on="image_id", how="left")
        parts.append((people, read_truth(people), found))
    people, truth, found = (pd.concat(one, ignore_index=True) for one in zip(*parts, strict=True))
    known = ((truth["status"] == "ok") & (found["status"] == "ok")).to_numpy()
    return people[known], truth[known], found[known]


def moved(people: pd.DataFrame, found: pd.DataFrame, refinement: Refinement) -> pd.DataFrame:
    """Return the landmark table of photographs after a refinement."""
    points = points_of(found).copy()
    for k, path in enumerate(people["path"]):
        photo = read_photo(Path(path), grey=True, min_side=DETECTION_MIN_SIDE)
        box = box_in(photo, box_of(found.iloc[k]))
        now = refined(refinement, photo.pixels, box, photo.from_original(points[k])[None])
        points[k] = photo.to_original(now[0])
    return found.assign(**dict(zip(POINT_COLUMNS, points.reshape(len(points), -1).T, strict=True)))


def main() -> None:
    """Print what is off and what is kept, for every size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path, nargs="+")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tested", type=Path, nargs=2)
    asked = parser.parse_args()
    people, truth, found = joined(asked.pairs)
    apart = held_out_patients(list(people["patient_id"]), share=0.25, seed=asked.seed)
    out, imposed = people["patient_id"].isin(apart), people[PLAIN_IMAGE].notna()
    plain = people.index[people["image_id"].isin(people[PLAIN_IMAGE])]
    drawn = people[~imposed].sample(frac=1, random_state=asked.seed)
    own = drawn.groupby("patient_id").head(EACH).index
    rows = people.index[out & (imposed | people.index.isin(own.union(plain)))]
    learners = drawn.index[~out.loc[drawn.index]]
    tested = [table.loc[rows] for table in (people, truth, found)]
    if asked.tested:
        learners, tested = drawn.index, joined(asked.tested)
    tell("0", *tested)
    for size in asked.sizes:
        began, some = time.monotonic(), learners[:size]
        whose = people.loc[some, "patient_id"]
        rows = some.append(people.index[imposed & people["patient_id"].isin(whose)])
        faces = corrected_faces(
            people.loc[rows], truth.set_index("image_id"), found.set_index("image_id"),
            seed=asked.seed,
        )  # fmt: skip
        refinement = Refinement(learn_rounds(faces, seed=asked.seed), {})
        print(
            f"{size}: {len(some)} photographs of {whose.nunique()} patients and "
            f"{len(rows) - len(some)} imposed, {time.monotonic() - began:.0f} s; rounds "
            f"{[sorted(one) for one in refinement.rounds]}"
        )
        tell(str(size), *tested[:2], moved(tested[0], tested[2], refinement))


def tell(name: str, people: pd.DataFrame, truth: pd.DataFrame, found: pd.DataFrame) -> None:
    """Print errors of the photographs as they are, and of the palsies imposed what is kept."""
    evaluated = evaluate(found, truth, people)
    plain = evaluated.photographs[PLAIN_IMAGE].isna().to_numpy()
    error = part_errors(evaluated)["inner"]["nrmse_eye"][:, None]
    whose = evaluated.photographs["patient_id"].to_numpy()
    for what, rows in (("as they are", plain), ("imposed", ~plain)):
        one = patient_intervals(error[rows], whose[rows]).iloc[0]
        print(f"{name}, {what}: NRMSE {one['value']:.2f} ({one['low']:.2f} to {one['high']:.2f})")
    for row in asymmetry_kept(evaluated).to_dict("records"):
        print(
            f"{name}: {row['region']} kept {row['kept']:.2f} ({row['kept_low']:.2f} to "
            f"{row['kept_high']:.2f}), r {row['r']:.2f} ({row['r_low']:.2f} to "
            f"{row['r_high']:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
