"""How the weights of mirrored halves were learned: on imposed palsies of faces that are no one's.

    python run_pipeline.py simulate IMPOSED --from-photos PORTRAITS
    python -m benchmarks.halves_weights IMPOSED/manifest.csv [--kept 0.7]

For each region the weights of the halves and of the whole are those with the least squared error of
the asymmetry and of its change. Across the face they add up to 1, since there a turned head looks
asymmetric too, and the brows and eyes, which hardly move across, are those of the whole face. Down
the face they keep `--kept` of the change or come as near to it as weights of at most `LARGEST` do:
what is made larger, is mostly noise. Baseline in the same run: the whole face, and the halves
alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.optimize import lsq_linear

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.photos import read_photo
from common.tables import read_manifest
from common.truth import read_truth
from landmarks.check.asymmetry import RIGHT_POINTS, antisymmetric, plain_rows
from landmarks.find.finder import DETECTION_MIN_SIDE, LandmarkFinder
from landmarks.find.halves import answers_of, upright_map
from landmarks.find.method import DEFAULT_COPIES, make_method
from landmarks.points import map_points
from landmarks.predictor import find_predictor
from landmarks.tables import points_of

STILL = ("brow", "eye")  # what no movement moves much across the face
LARGEST = 1.2


def both(manifest) -> tuple[np.ndarray, np.ndarray]:
    """Points of whole faces and of halves alone, `(n, 68, 2)` px each; NaN without a face."""
    model = find_predictor()
    finder, predictor = LandmarkFinder(model, method=make_method(tta=DEFAULT_COPIES)), model.load()
    found = np.full((2, len(manifest), 68, 2), np.nan)
    for at, path in enumerate(manifest["path"]):
        result = finder.find_file(Path(path))
        if result.status != "ok":
            continue
        photo = read_photo(Path(path), grey=True, min_side=DETECTION_MIN_SIDE)
        box = result.box.shifted(*-np.array(photo.offset)).scaled(1 / photo.scale, 1 / photo.scale)
        whole = photo.from_original(result.points)
        augmentation = make_method(tta=DEFAULT_COPIES).augmentation
        copies = [augmentation.copy(i, content=result.sha256) for i in range(DEFAULT_COPIES)]
        upright = upright_map(whole)
        said = np.median(answers_of(predictor, photo.pixels, box, upright, copies=copies), axis=0)
        found[0, at] = result.points
        found[1, at] = photo.to_original(map_points(said, upright, inverse=True))
    return found[0], found[1]


def learned(parts: dict, pairs: np.ndarray, plain: np.ndarray, kept: float) -> dict:
    """Weights `(halves, whole)` across and down, by region."""
    weights = {}
    for region, own in RIGHT_POINTS.items():
        two = []
        for axis in (0, 1):
            still = [part[pairs][:, own, axis].ravel() for part in parts.values()]
            change = [(part[pairs] - part[plain])[:, own, axis].ravel() for part in parts.values()]
            true, halves, whole = (np.r_[a, b] for a, b in zip(still, change, strict=True))
            if axis == 0:
                apart = halves - whole
                share = 0.0 if region in STILL else float(apart @ (true - whole) / (apart @ apart))
                two.append((round(share, 2), round(1.0 - share, 2)))
                continue
            gain = np.array([c @ change[0] for c in change[1:]]) / (change[0] @ change[0])
            heavy = 1e3 * np.linalg.norm(true)
            known = np.vstack([np.column_stack([halves, whole]), heavy * gain])
            found = lsq_linear(known, np.r_[true, heavy * kept], (0.0, LARGEST)).x
            two.append(tuple(found.round(2).tolist()))
        weights[region] = tuple(two)
    return weights


def main() -> None:
    """Print the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--kept", type=float, default=0.7)
    asked = parser.parse_args()
    manifest = read_manifest(asked.manifest)
    true = points_of(read_truth(manifest))
    whole, halves = both(manifest)
    parts = {
        name: antisymmetric(points)
        for name, points in (("true", true), ("halves", halves), ("whole", whole))
    }
    plain = plain_rows(manifest)
    there = ~np.isnan(whole[:, 0, 0])
    pairs = np.flatnonzero(
        manifest["side"].isin(["left", "right"]).to_numpy() & (plain >= 0) & there & there[plain]
    )
    plain = plain[pairs]
    print(f"{len(pairs)} pictures of {manifest['patient_id'].iloc[pairs].nunique()} people")
    for name in ("whole", "halves"):
        for region, own in RIGHT_POINTS.items():
            change = (parts[name][pairs] - parts[name][plain])[:, own]
            of_true = (parts["true"][pairs] - parts["true"][plain])[:, own]
            share = (change * of_true).sum() / (of_true**2).sum()
            r = np.corrcoef(change.ravel(), of_true.ravel())[0, 1]
            print(f"{name}: {region} kept {share:.2f} (r {r:.2f})")
    for region, two in learned(parts, pairs, plain, asked.kept).items():
        print(f"{region}: across {two[0]}, down {two[1]} (halves, whole)")


if __name__ == "__main__":
    main()
