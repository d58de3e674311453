"""What graders lose on other photographs, and what helps: kappa, ranges, wrong answers.

    python run_pipeline.py simulate fresh --patients 48 --seed 5
    python -m benchmarks.another_clinic worse fresh.csv --seed 5 --out worse
    python -m benchmarks.another_clinic test KEPT TESTED/features.csv [...] [--curve 5 10 20]

`worse` writes the photographs of a manifest again, each way of `WORSE` into its own folder with a
manifest and the tables of `extract --tta 0`; a head turned by 15 degrees is drawn anew, so that the
manifest must be of `simulate --layout meei` with that seed. `test` asks a model that `fit` kept:
as `grade` answers, with local healthy people, and recalibrated (`recalibrate --curve`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from classifiers.commands.recalibrate import recalibrate  # noqa: E402
from classifiers.graders.familiarity import wrong_among_accepted  # noqa: E402
from classifiers.graders.model_store import load_model, model_folder  # noqa: E402
from classifiers.graders.new_patients import grade_tables  # noqa: E402
from common.grading.calibration import expected_distance  # noqa: E402
from common.grading.scores import weighted_kappa  # noqa: E402
from common.photos import read_photo  # noqa: E402
from common.tables import read_manifest, write_csv  # noqa: E402
from datasets.simulated.cohort import draw_cohort  # noqa: E402
from datasets.simulated.face import render_photo  # noqa: E402
from datasets.simulated.layouts import LAYOUTS  # noqa: E402
from features.commands.extract import extract  # noqa: E402

Picture = NDArray[np.uint8]
FACE_SHARE = 0.54  # width of a simulated face in its photograph


def _blurred(rgb: Picture, rng: np.random.Generator) -> Picture:
    return cv2.GaussianBlur(rgb, (0, 0), 3.0)


def _noisy(rgb: Picture, rng: np.random.Generator) -> Picture:
    return np.clip(rgb + rng.normal(0, 20, rgb.shape), 0, 255).astype(np.uint8)


def _small(rgb: Picture, rng: np.random.Generator) -> Picture:
    share = 200 / (FACE_SHARE * rgb.shape[1])
    return cv2.resize(rgb, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)


def _dark(rgb: Picture, rng: np.random.Generator) -> Picture:
    lit = 0.3 * rgb + rng.normal(0, 3, rgb.shape)
    return np.clip(lit, 0, 255).astype(np.uint8)


WORSE: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "as drawn": lambda rgb, rng: rgb,
    "blur 3 px": _blurred,
    "noise 20": _noisy,
    "face 200 px": _small,
    "dark": _dark,
    "JPEG 30": lambda rgb, rng: rgb,
    "turned 15": lambda rgb, rng: rgb,
}


def write_worse(manifest: Path, *, seed: int, out: Path) -> None:
    """Write every way's photographs, manifest and tables."""
    table = read_manifest(manifest)
    patients = table["patient_id"].nunique()
    turned = {
        shot.path: shot
        for shot in LAYOUTS["meei"].plan(
            [replace(one, view=replace(one.view, yaw=one.view.yaw + 15.0))
             for one in draw_cohort(patients, seed=seed)]
        )
    }  # fmt: skip
    for number, (way, change) in enumerate(WORSE.items()):
        folder = out / way.replace(" ", "_")
        for at, row in enumerate(table.itertuples()):
            target = folder / "photos" / row.image_id
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                continue
            if way == "turned 15":
                shot = turned[row.image_id]
                rgb, _ = render_photo(shot.patient, shot.task)
            else:
                rgb = change(
                    read_photo(manifest.parent / row.path).pixels,
                    np.random.default_rng([number, at]),
                )
            quality = 30 if way == "JPEG 30" else 92
            bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(target), bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        moved = table.assign(path=[f"photos/{name}" for name in table["image_id"]])
        write_csv(moved.drop(columns=["truth_file"], errors="ignore"), folder / "manifest.csv")
        extract(folder / "manifest.csv", out=folder / "measured", tta=0, jobs=1)


def tested(model: Path, features: Path, *, curve: tuple[int, ...], out: Path) -> dict[str, object]:
    """Return one row: what `grade` answers, and what local healthy people and grades add."""
    table = grade_tables(load_model(model_folder(model)), features=features).table
    truth = pd.read_csv(features).groupby("patient_id")["hb_grade"].first()
    ok = table[table["status"] == "ok"]
    label = truth[ok["patient_id"]].to_numpy(dtype=int)
    answer = ok["predicted"].to_numpy(dtype=int)
    counts = np.zeros((6, 6))
    np.add.at(counts, (label - 1, answer - 1), 1)
    low, high = (ok[name].to_numpy(dtype=float) for name in ("set_low", "set_high"))
    chances = ok[[f"p_{grade}" for grade in range(1, 7)]].to_numpy(dtype=float)
    accepted = wrong_among_accepted(
        np.abs(answer - label),
        orders={"surest": expected_distance(chances), "nearest": ok["distance"].to_numpy()},
    )
    wrong = {
        f"wrong, far in the {order} {share:.0%}": " ".join(
            f"{own[name].iloc[max(0, round(share * len(own)) - 1)]:.2f}"
            for name in ("wrong", "far")
        )
        for order, own in accepted.groupby("order", sort=False)
        for share in (0.25, 0.5, 0.75, 1.0)
    }
    row: dict[str, object] = {
        "model": model.name, "tested on": features.parent.parent.name + "/" + features.parent.name,
        "patients": len(table), "not graded": len(table) - len(ok),
        "unlike": int(table["caution"].notna().sum()),
        "kappa": float(weighted_kappa(counts)),
        "covered": ((low <= label) & (label <= high)).mean(),
        "width": (high - low + 1).mean(), **wrong,
    }  # fmt: skip
    if curve:
        found = recalibrate(model, features, out=out, curve=curve)
        assert found.curve is not None
        for point in found.curve.to_dict("records"):
            name = f"{point['features']}, {point['local_patients']} local"
            row[name] = (
                f"{point['kappa']:.2f} ({point['kappa_low']:.2f} to {point['kappa_high']:.2f}), "
                f"covered {point['covered']:.2f}, width {point['width']:.1f}"
            )
        for way in found.ways.to_dict("records"):
            row[f"all local, {way['way']}"] = (
                f"{way['kappa']:.2f} ({way['kappa_low']:.2f} to {way['kappa_high']:.2f})"
            )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    worse = commands.add_parser("worse")
    worse.add_argument("manifest", type=Path)
    worse.add_argument("--seed", type=int, required=True)
    worse.add_argument("--out", type=Path, required=True)
    test = commands.add_parser("test")
    test.add_argument("model", type=Path)
    test.add_argument("features", type=Path, nargs="+")
    test.add_argument("--curve", type=int, nargs="*", default=[])
    test.add_argument("--out", type=Path, default=Path("recalibrated"))
    given = parser.parse_args()
    if given.command == "worse":
        write_worse(given.manifest, seed=given.seed, out=given.out)
        return
    for features in given.features:
        row = tested(given.model, features, curve=tuple(given.curve), out=given.out)
        print(
            "\n".join(f"{name}: {value}" for name, value in row.items()), "", sep="\n", flush=True
        )


if __name__ == "__main__":
    main()
