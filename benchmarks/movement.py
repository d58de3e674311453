"""What `movement` finds in simulated films whose truth is known, and what a turning head invents.

`python -m benchmarks.movement` measures films of simulated patients at their true points, without
and with jitter. Healthy heads that turn, tilt and come closer stand beside the same films measured
in a frame of the eyes alone (as photographs are), the baseline.

`python -m benchmarks.movement FILMS LANDMARKS.csv` measures points that were predicted instead:
FILMS is a folder of `simulate --layout film`, LANDMARKS.csv what `extract` found in it.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.simulated.cohort import draw_cohort
from datasets.simulated.face import draw_patient
from datasets.simulated.film import HeadMotion, plan_film
from datasets.simulated.film_folder import events_truth
from features.measures import SIDES, measure_faces
from features.movement.film import measure_film
from features.movement.head import OUTER_EYE_MM
from features.movement.tables import BLINK
from landmarks.tables import points_of, read_landmarks
from tests.features.point_films import landmarks_of

PATIENTS, HEALTHY, FPS = 18, 4, 30.0
JITTER_PX = 0.5
SIGNALS = (
    "brow_height",
    "palpebral_fissure_height",
    "commissure_height",
    "half_mouth_width",
    "lower_lip_height",
)
SYNKINESIS = ("eye_synkinesis_percent", "mouth_synkinesis")


def main() -> None:
    if len(sys.argv) == 3:
        films, landmarks = Path(sys.argv[1]), Path(sys.argv[2])
        truth = pd.read_csv(films / "events_truth.csv")
        found = [
            measure_film(str(name), rows.reset_index(drop=True), patient=None).events
            for name, rows in read_landmarks(landmarks).groupby("film", sort=False)
        ]
        score("predicted points", truth, pd.concat(found, ignore_index=True))
        return
    films = {f"P{at:02d}": plan_film(p) for at, p in enumerate(draw_cohort(PATIENTS, seed=0))}
    truth = pd.concat([events_truth(name, name, film) for name, film in films.items()])
    for noise in (0.0, JITTER_PX):
        found = [
            measure_film(
                name, landmarks_of(film, name=name, noise_px=noise, in_mm=True), patient=None
            ).events
            for name, film in films.items()
        ]
        title = f"true points, jitter of {noise:g} px" if noise else "true points"
        score(title, truth, pd.concat(found, ignore_index=True))
    for name, motion in (
        ("yaw ±15°", {"yaw": 15.0}),
        ("nod ±15°", {"pitch": 15.0}),
        ("tilt ±15°", {"roll": 15.0}),
        ("closer by 30 %", {"nearness": 0.3}),
    ):
        head_motion(name, motion)


def score(title: str, truth: pd.DataFrame, found: pd.DataFrame) -> None:
    """Print how the found events compare with the true ones."""
    print(f"\n{title}: {truth['film'].nunique()} films")
    pairs, counts = [], Counter()
    for real in truth.to_dict("records"):
        near = found[(found["film"] == real["film"]) & (found["kind"] == real["kind"])]
        reach = 0.15 if real["kind"] == BLINK else 1.0
        near = near[(near["peak_s"] - real["peak_s"]).abs() < reach]
        counts[real["kind"], "hit" if len(near) else "missed"] += 1
        if len(near):
            pairs.append((real, near.iloc[0].to_dict()))
    for kind in (BLINK, "movement"):
        hit, all_found = counts[kind, "hit"], int((found["kind"] == kind).sum())
        recall = hit / (hit + counts[kind, "missed"])
        print(f"  {kind}s: recall {recall:.3f}, precision {hit / max(all_found, 1):.3f}")
    moves = [(real, got) for real, got in pairs if real["kind"] != BLINK]
    named = np.mean([real["movement"] == got["movement"] for real, got in moves])
    print(f"  named as asked: {named:.3f} of {len(moves)}")
    for name in ("onset_s", "peak_s"):
        for kind in (BLINK, "movement"):
            off = [abs(g[name] - r[name]) * FPS for r, g in pairs if r["kind"] == kind]
            print(f"  {name} of {kind}s, frames: {_spread(off)}; within 2: {_within(off, 2):.3f}")
    by_signal: dict[str, list[float]] = {}
    for real, got in moves:
        strong = max(SIDES, key=lambda side: real[f"amplitude_{side}"])
        column = "closing_percent" if "fissure" in real["signal"] else "amplitude"
        mm = 1.0 if got["unit"] == "mm" or column == "closing_percent" else OUTER_EYE_MM / 100
        ratio = mm * got[f"{column}_{strong}"] / real[f"{column}_{strong}"]
        by_signal.setdefault(real["signal"], []).append(100 * (ratio - 1))
    for signal, off in by_signal.items():
        print(
            f"  amplitude by {signal}, % off: median {np.nanmedian(off):+.1f}, "
            f"of the size {_spread(np.abs(off))}; within 10: {_within(np.abs(off), 10):.3f}"
        )
    lags = [(g["lag_s"] - r["lag_s"]) * FPS for r, g in moves if np.isfinite(g["lag_s"])]
    print(f"  lag, frames off: {_spread(np.abs(lags))}; within 1: {_within(np.abs(lags), 1):.3f}")
    for name in SYNKINESIS:
        values = np.array(
            [
                (r[f"{name}_{side}"], g[f"{name}_{side}"])
                for r, g in moves
                if r["movement"] == g["movement"]
                for side in SIDES
            ]
        )
        values = values[np.isfinite(values).all(axis=1)]
        print(f"  {name}: r {np.corrcoef(values.T)[0, 1]:.3f} of {len(values)}")
    healthy = truth.loc[truth["amplitude_ratio"] > 0.8, "film"].unique()
    well = {
        film for film in healthy if truth.loc[truth["film"] == film, "weaker_side"].isna().all()
    }
    links = [g["correlation"] for r, g in moves if r["film"] in well]
    if links:
        print(f"  left-right correlation, healthy: {_spread(links)}; least {np.nanmin(links):.3f}")


def head_motion(name: str, motion: dict[str, float]) -> None:
    """Print what a moving head invents in healthy faces, beside the frame of the eyes alone."""
    ours: dict[str, list[float]] = {signal: [] for signal in SIGNALS}
    eyes: dict[str, list[float]] = {signal: [] for signal in SIGNALS}
    events, links = 0, []
    for seed in range(HEALTHY):
        patient = draw_patient(seed=100 + seed, grade=1, side="none", kind="none")
        for moving in (False, True):
            film = plan_film(patient, seconds=22 if moving else 8)
            swing = np.sin(2 * np.pi * film.times / 5)
            tracks = {
                key: 1 + size * film.times / film.times[-1] if key == "nearness" else size * swing
                for key, size in motion.items()
            }
            film = replace(
                film,
                head=HeadMotion.still(len(film.times), **tracks),
                acts=film.acts if moving else (),
            )
            table = landmarks_of(film, in_mm=True)
            got = measure_film("film", table, patient=None)
            if moving:
                asked = got.events[got.events["kind"] != BLINK]
                links += asked["correlation"].tolist()
                continue
            events += len(got.events)
            of_eyes = measure_faces(points_of(table))
            corners = np.abs(of_eyes.faces.points[:, [48, 54], 0]).T
            plain = of_eyes.values | {"half_mouth_width": dict(zip(SIDES, corners, strict=True))}
            for signal in SIGNALS:
                apart = got.signals[f"{signal}_right_minus_left"]
                ours[signal].append(float(np.ptp(apart)))
                apart = (plain[signal]["right"] - plain[signal]["left"]) * table["mm_per_px"]
                eyes[signal].append(float(np.ptp(apart)))
    print(f"\nhealthy, {name}: {events} events without movement; correlation {_spread(links)}")
    for signal in SIGNALS:
        print(
            f"  {signal}: invented difference right minus left {np.max(ours[signal]):.2f} mm, "
            f"in the frame of the eyes {np.max(eyes[signal]):.2f} mm"
        )


def _spread(values: list[float] | np.ndarray) -> str:
    low, middle, high = np.nanquantile(values, [0.05, 0.5, 0.95])
    return f"median {middle:.3f} (5 % {low:.3f}, 95 % {high:.3f})"


def _within(values: list[float] | np.ndarray, limit: float) -> float:
    return float(np.mean(np.asarray(values) <= limit))


if __name__ == "__main__":
    main()
