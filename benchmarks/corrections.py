"""What 20, 50, 100 and 200 corrected photographs teach: error and asymmetry before and after.

    python -m benchmarks.corrections SOURCE --out FOLDER [--sizes 20 50 100 200] [--seen yes]

SOURCE is what evaluate-landmarks takes: photographs with true points, which stand for corrected
ones. A quarter of its patients is held out. Of the others' photographs, in an order drawn by
chance, the first 20, 50, ... are learned from as `train-landmarks --refine` does. Tested are up to
four photographs of every held-out patient, and palsies imposed on one frontal photograph of each.
Baseline in the same run: the points as the model finds them. A run that was stopped goes on.
`python -m benchmarks.imposed_millimetres FOLDER/held_out/manifest.csv FOLDER` says it in mm.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.tables import photos_of
from landmarks.check.asymmetry import asymmetry_kept
from landmarks.check.errors import evaluate, part_errors
from landmarks.check.scores import patient_intervals
from landmarks.commands.evaluate_landmarks import WithTruth, read_source
from landmarks.find.extraction import extract_landmarks
from landmarks.find.method import DEFAULT_COPIES, make_method
from landmarks.predictor import find_predictor
from landmarks.refinement import Refinement
from landmarks.training import held_out_patients
from pipeline.refining import impose_on, refine_predictor

SIZES, EACH = (20, 50, 100, 200), 4
WAYS = ("whole", "halves")


def tested(people: pd.DataFrame, truth: pd.DataFrame, *, out: Path, seed: int) -> WithTruth:
    """A few photographs of each held-out patient, and palsies imposed on one of them."""
    drawn = people.sample(frac=1, random_state=seed)
    some, one = (drawn.groupby("patient_id").head(n).sort_index() for n in (EACH, 1))
    imposed, moved = impose_on(one, truth, out=out, seed=seed, movements=EACH)
    everything = pd.concat([some, imposed], ignore_index=True)
    known = pd.concat([truth, moved]).loc[everything["image_id"]].reset_index()
    return WithTruth(everything, known)


def main() -> None:
    """Print a row for every size and way of finding points."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seen", default="unknown", help="whether ibug has learned from SOURCE")
    asked = parser.parse_args()
    known, base = read_source(asked.source), find_predictor()
    people = known.manifest[(known.truth["status"] == "ok").to_numpy()]
    truth = known.truth.set_index("image_id")
    apart = held_out_patients(list(people["patient_id"]), share=0.25, seed=asked.seed)
    out = people["patient_id"].isin(apart)
    learners = people[~out].sample(frac=1, random_state=asked.seed)
    test = tested(people[out], truth, out=asked.out / "held_out", seed=asked.seed)
    method = make_method(tta=DEFAULT_COPIES)
    found = extract_landmarks(
        photos_of(learners), out=asked.out / "learners", predictor=base, method=method, jobs=1
    ).table
    for size in (0, *asked.sizes):
        model = base
        if size:
            path = asked.out / f"{size}.safetensors"
            if not path.is_file():
                began = time.monotonic()
                refine_predictor(
                    learners.iloc[:size], truth.reset_index(), found, base=base, out=path
                )
                print(f"{size}: learned in {time.monotonic() - began:.0f} s")
            model = find_predictor(str(path))
            about = Refinement.load(path).about
            print(
                f"{size}: {len(about['learned_from'])} photographs of "
                f"{learners.iloc[:size]['patient_id'].nunique()} patients, "
                f"{about['of_them_imposed']} imposed; rounds {about['rounds']}"
            )
        for way in WAYS if size in (0, max(asked.sizes)) else WAYS[:1]:
            table = extract_landmarks(
                photos_of(test.manifest), out=asked.out / f"tested_{size}_{way}", predictor=model,
                method=make_method(tta=DEFAULT_COPIES, points=way), jobs=1,
            ).table  # fmt: skip
            tell(f"{size} {way}", evaluate(table, test.truth, test.manifest))
    print(f"learned from the photographs tested: {base.learned_from(seen=asked.seen)}")


def tell(name: str, evaluated) -> None:
    """Print errors of the photographs as they are, and of the palsies imposed what is kept."""
    whose = evaluated.photographs["patient_id"].to_numpy()
    plain = evaluated.photographs["plain_image_id"].isna().to_numpy()
    error = part_errors(evaluated)["inner"]["nrmse_eye"][:, None]
    for what, rows in (("as they are", plain), ("imposed", ~plain)):
        one = patient_intervals(error[rows], whose[rows]).iloc[0]
        print(f"{name}, {what}: NRMSE {one['value']:.2f} ({one['low']:.2f} to {one['high']:.2f})")
    for row in asymmetry_kept(evaluated).to_dict("records"):
        print(
            f"{name}: {row['region']} kept {row['kept']:.2f} ({row['kept_low']:.2f} to "
            f"{row['kept_high']:.2f}), r {row['r']:.2f} ({row['r_low']:.2f} to {row['r_high']:.2f})"
        )


if __name__ == "__main__":
    main()
