"""Optical flow: error against known motion and time for each method, and what removes the head.

`python -m benchmarks.flow` moves textures by known amounts, with camera noise, and prints for each
method the error of the flow and of its strain, and the processor time for one pair of faces, with
the library's plain call on the same pictures beside it, interleaved in the same run.
`--clips MANIFEST` adds the ways to take the motion of the head out, on simulated clips whose brows
keep still in a smile (emotion happiness) and whose mouth keeps still in surprise.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np

from htnet.alignment import alignment_map
from htnet.micro.clips.flow import (
    FlowEstimator,
    FlowMethod,
    fit_head_motion,
    optical_strain,
    skin_to_fit,
)
from htnet.micro.clips.frames import FACE_SIZE, FaceFrames, MotionReader, align_frames
from htnet.micro.clips.maps import region_boxes
from tests.htnet.micro.known_motion import (
    moved,
    photographed,
    shifted,
    stretching,
    stretching_strain,
    texture,
)

SHIFTS = (0.5, 1.0, 2.0, 4.0)
STRAINS = (1.0, 2.0)  # px at the largest
SEEDS = (0, 1, 2)
INSIDE = slice(16, -16)
SMOOTHING = 3.0  # px, as in htnet.micro.clips.maps
STABLE = (0, 1, 15, 16, 27, 28, 29, 30, 36, 39, 42, 45)  # jaw ends, nose, corners of the eyes


def error_table(*, repeats: int) -> None:
    print(
        f"Textures of {FACE_SIZE} px, camera noise of 2/255, {len(SEEDS)} textures. Error: mean "
        "end-point error in px."
    )
    names = [f"shift {shift:g}" for shift in SHIFTS]
    names += [f"stretch {most:g}: flow, strain" for most in STRAINS]
    print(f"{'method':<10} " + "  ".join(names) + "  CPU ms per pair (the library alone)")
    for method in get_args(FlowMethod):
        estimator = FlowEstimator(method)
        cells = [f"{np.mean([shift_error(estimator, shift, seed) for seed in SEEDS]):>9.3f}"
                 for shift in SHIFTS]  # fmt: skip
        for most in STRAINS:
            found = np.mean([stretch_errors(estimator, most, seed) for seed in SEEDS], axis=0)
            cells.append(f"{found[0]:>13.3f}, {100 * found[1]:>5.0f} %")
        ours, bare = pair_ms(estimator, repeats=repeats)
        print(f"{method:<10} " + "  ".join(cells) + f"  {ours:>8.1f} ({bare:.1f})")
    print("strain: root mean square of its error over that of the true strain.")


def shift_error(estimator: FlowEstimator, shift: float, seed: int) -> float:
    """Mean end-point error in px, half of the motion downwards."""
    picture = texture(FACE_SIZE, seed=seed)
    second = photographed(shifted(picture, shift, shift / 2), seed=seed + 100)
    flow = estimator.flow(photographed(picture, seed=seed), second)[INSIDE, INSIDE]
    return float(np.hypot(flow[..., 0] - shift, flow[..., 1] - shift / 2).mean())


def stretch_errors(estimator: FlowEstimator, most: float, seed: int) -> tuple[float, float]:
    """Mean end-point error in px, and relative error of the strain."""
    picture = texture(FACE_SIZE, seed=seed)
    field = stretching(FACE_SIZE, most=most)
    second = photographed(moved(picture, field), seed=seed + 100)
    flow = estimator.flow(photographed(picture, seed=seed), second)
    off = np.hypot(*np.moveaxis(flow - field, -1, 0))[INSIDE, INSIDE]
    strain = optical_strain(cv2.GaussianBlur(flow, (0, 0), SMOOTHING))
    true = stretching_strain(FACE_SIZE, most=most)
    wrong = (strain - true)[INSIDE, INSIDE]
    relative = np.sqrt((wrong**2).mean()) / np.sqrt((true[INSIDE, INSIDE] ** 2).mean())
    return float(off.mean()), float(relative)


def pair_ms(estimator: FlowEstimator, *, repeats: int) -> tuple[float, float]:
    """Median ms for the flow, head's motion removed, and for the library's call alone."""
    picture = texture(FACE_SIZE, seed=0)
    first, second = photographed(picture, seed=0), photographed(shifted(picture, 1.0, 0), seed=1)
    frames = FaceFrames(
        numbers=(0, 1),
        grey=np.stack([first, second]),
        onset_rgb=np.dstack([first] * 3),
        points=plain_points(),
        face_px=float(FACE_SIZE),
    )
    motions = MotionReader(estimator, FlowEstimator("dis"), frames)
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(repeats):
        ours.append(ms(lambda: motions.between(0, 1)))
        bare.append(ms(lambda: estimator.flow(first, second)))
    return statistics.median(ours), statistics.median(bare)


def plain_points() -> np.ndarray:
    """Points spread like those of a face, enough to know where its skin is."""
    turn = np.linspace(0, np.pi, 17)
    jaw = np.column_stack([112 - 100 * np.cos(turn), 90 + 120 * np.sin(turn)])
    points = np.tile([112.0, 120.0], (68, 1))
    points[:17] = jaw
    points[17:27] = np.column_stack([np.linspace(35, 190, 10), np.full(10, 65.0)])
    return points


def ms(work: Callable[[], object]) -> float:
    began = time.process_time()  # one thread, so it is the time of a quiet machine
    work()
    return 1000 * (time.process_time() - began)


def head_table(manifest: Path) -> None:
    from common.photos import read_photo
    from htnet.micro.clips.folder import clip_tasks, read_clip_manifest
    from landmarks.find.finder import LandmarkFinder
    from landmarks.predictor import find_predictor

    rows = read_clip_manifest(manifest)
    finder, dis = LandmarkFinder(find_predictor()), FlowEstimator("dis")
    left: dict[str, dict[str, list[float]]] = {}
    for row, task in zip(rows.itertuples(), clip_tasks(rows), strict=True):
        region = {"happiness": "eyebrows", "surprise": "mouth"}.get(str(row.emotion))
        if region is None or task.onset is None or task.apex is None:
            continue
        pair = {n: read_photo(task.frames[n]).pixels for n in (task.onset, task.apex)}
        points = finder.find(pair[task.onset]).points
        frames = align_frames(pair.items(), points)
        flow = dis.flow(*frames.grey)
        box = region_boxes(frames.points, regions=(region,), size=FACE_SIZE)[0]
        x0, y0, x1, y1 = np.clip(np.rint(box).astype(int), 0, FACE_SIZE - 1)
        later = finder.find(pair[task.apex]).points
        for name, head in ways(flow, frames, points, later).items():
            still = np.median((flow - head)[y0 : y1 + 1, x0 : x1 + 1].reshape(-1, 2), axis=0)
            by_region = left.setdefault(name, {"eyebrows": [], "mouth": []})
            by_region[region].append(float(np.hypot(*still)))
    print("\nMotion left where none should be, px of the face square, mean over simulated clips:")
    for name, by_region in left.items():
        brows, mouth = (np.mean(by_region[region]) for region in ("eyebrows", "mouth"))
        print(f"  {name:<44} brows in smiles {brows:.2f}   mouth in surprise {mouth:.2f}")


def ways(
    flow: np.ndarray, frames: FaceFrames, points: np.ndarray, later: np.ndarray
) -> dict[str, np.ndarray]:
    """Ways to estimate the head's motion: a field in px of the square for each."""
    skin = skin_to_fit(frames.points, size=FACE_SIZE)
    x, y = np.meshgrid(np.arange(FACE_SIZE), np.arange(FACE_SIZE))
    bridge = frames.points[27:31]
    near = (np.abs(x - bridge[:, 0].mean()) < 8) & (y > bridge[0, 1]) & (y < bridge[-1, 1])
    beside = (x < frames.points[36, 0]) | (x > frames.points[45, 0])
    return {
        "nothing removed": np.zeros_like(flow),
        "median over the nose's bridge": np.broadcast_to(np.median(flow[near], axis=0), flow.shape),
        "similarity of the nose's bridge": fit_head_motion(flow, near).field(FACE_SIZE),
        "similarity of the sides of the face": fit_head_motion(flow, skin & beside).field(
            FACE_SIZE
        ),
        "similarity of stable dlib points": landmark_motion(points, later),
        "robust similarity of the whole face (used)": fit_head_motion(flow, skin).field(FACE_SIZE),
    }


def landmark_motion(points: np.ndarray, later: np.ndarray) -> np.ndarray:
    """Motion by a similarity from the onset's stable points to those of the later frame."""
    stable = list(STABLE)
    onwards, _ = cv2.estimateAffinePartial2D(points[stable], later[stable], method=cv2.LMEDS)
    square = np.vstack([alignment_map(points, size=FACE_SIZE), [0, 0, 1]])
    within = (square @ np.vstack([onwards, [0, 0, 1]]) @ np.linalg.inv(square))[:2]
    x, y = np.meshgrid(np.arange(FACE_SIZE), np.arange(FACE_SIZE))
    places = np.stack([x, y], axis=-1)
    return places @ within[:, :2].T + within[:, 2] - places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9, help="timed pairs for each method")
    parser.add_argument("--clips", type=Path, help="manifest of simulated clips")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    error_table(repeats=options.repeats)
    if options.clips:
        head_table(options.clips)


if __name__ == "__main__":
    main()
