"""How much error goes when the worst tenth of the photographs is corrected: by which order?

    python run_pipeline.py simulate sim --patients 40 --seed 5
    python run_pipeline.py prepare meei sim --out sim.csv
    python run_pipeline.py extract sim.csv --out sim-tables
    python -m benchmarks.review_order sim.csv sim-tables --report OTHER.csv OTHER-TABLES

The manifests name true points. An order is chosen on the first cohort and reported on the others. A
corrected photograph has no error left; what is removed is its share of the summed error (mean
distance of the 51 inner points, percent of the outer-eye distance). Beside the orders stand what is
removed at random and by the best order there is, which knows the errors. Intervals of 95 %
resample whole patients, and for the random order the draw of photographs too.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from common.bootstrap import interval, resampling_weights  # noqa: E402
from common.tables import read_manifest, read_table, write_table  # noqa: E402
from common.truth import read_truth  # noqa: E402
from landmarks.check.errors import evaluate, part_errors  # noqa: E402
from landmarks.find.extraction import SPREADS_FILE  # noqa: E402
from landmarks.points import INNER, LEFT_EYE_OUTER, RIGHT_EYE_OUTER  # noqa: E402
from landmarks.review.corrections import COLUMNS, CORRECTIONS, CORRECTIONS_FILE, photographs_of  # noqa: E402
from landmarks.review.face import uncertainty_of  # noqa: E402
from landmarks.tables import LANDMARKS_FILE, SPREAD_COLUMNS, SPREADS, points_of, read_landmarks  # noqa: E402

SHARE = 0.1
REVIEW = "spread of the 51 points (review)"
COMPONENTS = 10


def read_cohort(
    manifest: Path, tables: Path
) -> tuple[NDArray[np.float64], NDArray[np.str_], dict[str, NDArray[np.float64]]]:
    """Return error and patient of each measured photograph, and every order: larger is worse."""
    known = read_manifest(manifest)
    table = read_landmarks(tables / LANDMARKS_FILE)
    spreads = read_table(tables / SPREADS_FILE, schema=SPREADS)
    evaluated = evaluate(table, read_truth(known), known)
    errors = part_errors(evaluated)["inner"]["mean_eye"]
    ok = np.isfinite(errors)
    ids = known.loc[ok, "image_id"]
    table, spreads = (one.set_index("image_id", drop=False).loc[ids] for one in (table, spreads))
    points = points_of(table)
    across = np.hypot(*(points[:, LEFT_EYE_OUTER] - points[:, RIGHT_EYE_OUTER]).T)
    moved = spreads[list(SPREAD_COLUMNS)].to_numpy().reshape(len(ids), -1, 2)
    lengths = np.hypot(moved[..., 0], moved[..., 1]) / across[:, None]
    strange = unusual_shape(points)
    review = uncertainty_of(table.reset_index(drop=True), spreads.reset_index(drop=True)).to_numpy()
    orders = {
        REVIEW: review,
        "spread of the 10 least certain points": np.sort(lengths, axis=1)[:, -10:].mean(axis=1),
        "spread of all 68 points": lengths.mean(axis=1),
        "spread of the eyes": lengths[:, 36:48].mean(axis=1),
        "score of the face detector": -table["detector_score"].to_numpy(),
        "tilt of the head": table["tilt_deg"].abs().to_numpy(),
        "unusual shape": strange,
        "spread and shape (mean of ranks)": _ranks(review) + _ranks(strange),
    }
    return errors[ok], known.loc[ok, "patient_id"].to_numpy(dtype=np.str_), orders


def unusual_shape(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each face lies from the cohort's mean, in deviations of its main shapes."""
    inner = points[:, list(INNER)]
    centred = inner - inner.mean(axis=1, keepdims=True)
    across = points[:, LEFT_EYE_OUTER] - points[:, RIGHT_EYE_OUTER]
    angle = np.arctan2(across[:, 1], across[:, 0])
    cos, sin = np.cos(angle), np.sin(angle)
    level = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], 1)
    shapes = np.einsum("nij,nkj->nki", level, centred) / np.hypot(*across.T)[:, None, None]
    flat = shapes.reshape(len(points), -1)
    left, _, _ = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    return np.asarray(np.sqrt(len(flat)) * np.linalg.norm(left[:, :COMPONENTS], axis=1))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return pd.Series(values).rank().to_numpy() / len(values)


def removed(
    errors: NDArray[np.float64], order: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return `(draws,)`: the share of the error in the first tenth, photographs drawn `counts`.

    `order` is `(n,)` or `(draws, n)`; the photograph on the border counts in part.
    """
    places = np.argsort(-np.broadcast_to(order, counts.shape), axis=1, kind="stable")
    drawn = np.take_along_axis(counts, places, axis=1)
    before = np.cumsum(drawn, axis=1) - drawn
    taken = np.clip(SHARE * counts.sum(axis=1, keepdims=True) - before, 0.0, drawn)
    return (taken * errors[places]).sum(axis=1) / (counts @ errors)


def shares(
    errors: NDArray[np.float64],
    patients: NDArray[np.str_],
    orders: dict[str, NDArray[np.float64]],
    *,
    seed: int,
) -> pd.DataFrame:
    """Return per order the share removed, and by how much it is more than at random."""
    _, codes = np.unique(patients, return_inverse=True)
    weights = resampling_weights(int(codes.max()) + 1, seed=seed)[:, codes]
    once = np.ones((1, len(errors)))
    rng = np.random.default_rng(seed)
    by_chance = removed(errors, rng.random(weights.shape), weights)
    everything = {**orders, "best possible": errors}
    rows = []
    for name, order in everything.items():
        drawn = removed(errors, order, weights)
        value = float(removed(errors, order, once)[0])
        rows.append(
            {
                "order": name,
                "removed": _percent(interval(value, drawn)),
                "more than at random": _percent(interval(value - SHARE, drawn - by_chance)),
                "value": value,
            }
        )
    random = interval(SHARE, by_chance)
    rows.append({"order": "at random", "removed": _percent(random), "value": SHARE})
    return pd.DataFrame(rows).fillna("")


def _percent(found: object) -> str:
    value, low, high = (100 * getattr(found, name) for name in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"


def correct(manifest: Path, tables: Path, *, number: int, seed: int) -> None:
    """Write TABLES/corrections.csv as somebody would who knows the true points.

    Of the `number` most uncertain photographs each of the 51 points that lies further than 3 % of
    the outer-eye distance from its true place is put there, one every few made-up seconds, with a
    break of a quarter of an hour after every 20 photographs.
    """
    known = read_manifest(manifest)
    truth = read_truth(known).set_index("image_id")
    table = read_landmarks(tables / LANDMARKS_FILE)
    order = uncertainty_of(table, read_table(tables / SPREADS_FILE, schema=SPREADS))
    drawn = dict(zip(table["image_id"], points_of(table), strict=True))
    hashes, rng = photographs_of(table), np.random.default_rng(seed)
    at, rows = pd.Timestamp("2026-11-01T09:00:00Z"), []
    for place, name in enumerate(order.sort_values(ascending=False).index[:number], start=1):
        true, points = points_of(truth.loc[[name]])[0], drawn[name]
        across = np.hypot(*(true[LEFT_EYE_OUTER] - true[RIGHT_EYE_OUTER]))
        off = np.hypot(*(points - true).T) > 0.03 * across
        at += pd.Timedelta(minutes=0 if place % 20 else 15)
        for k in (k for k in INNER if off[k]):
            at += pd.Timedelta(seconds=float(rng.lognormal(np.log(4.0), 0.5)))
            move = (name, "move", k, *points[k], *true[k])
            rows.append((*move, None, None, at.isoformat(), hashes.get(name)))
        at += pd.Timedelta(seconds=3)
        rows.append((name, "checked", *[None] * 7, at.isoformat(), hashes.get(name)))
    made = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"point": "Int64"})
    write_table(made, tables / CORRECTIONS_FILE, schema=CORRECTIONS)


def main() -> None:
    """Choose on one cohort, report on the others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("tables", type=Path)
    parser.add_argument(
        "--report", nargs=2, type=Path, action="append", default=[], metavar=("MANIFEST", "TABLES")
    )
    parser.add_argument(
        "--correct", type=int, help="write corrections of so many photographs, and no figures"
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.correct:
        correct(given.manifest, given.tables, number=given.correct, seed=given.seed)
        return
    for number, (manifest, tables) in enumerate([(given.manifest, given.tables), *given.report]):
        errors, patients, orders = read_cohort(manifest, tables)
        found = shares(errors, patients, orders, seed=given.seed)
        print(
            f"{'Chosen on' if number == 0 else 'Reported on'} {manifest}: {len(errors)} "
            f"photographs of {len(set(patients))} patients, mean error {errors.mean():.2f} %"
        )
        print(found.drop(columns="value").to_string(index=False))
        if number == 0:
            best = found[found["order"].isin(orders)].nlargest(1, "value")["order"].item()
            print(f"chosen: {best}")
        print()


if __name__ == "__main__":
    main()
