"""Speed of test-time augmentation against the way it was done before, measured in the same run.

    python benchmarks/augmentation.py [--photo FILE] [--copies 30] [--processes 2]

The baseline is a pool of processes that loads the 100 MB predictor for every copy and works on the
whole photograph: rotate, add noise, detect (cascade of the full photograph), predict, rotate back.
The floor is detector and predictor alone on the crop. Times are the best of several repeats, since
others may use the machine; CPU seconds are given beside wall seconds. Ratios are by CPU time, as if
every process had a free core; the last line adds what the clock on the wall said.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import cv2  # noqa: E402
import dlib  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from common.photos import read_photo  # noqa: E402
from landmarks.find.detector import FaceDetector  # noqa: E402
from landmarks.find.method import DEFAULT_KIND, parse_augmentation  # noqa: E402
from landmarks.find.tta import DETECTION_SHRINK, CopyPredictor, centre_of, cut_face  # noqa: E402
from landmarks.predictor import find_predictor  # noqa: E402
from pipeline.commands.doctor import astronaut_portrait  # noqa: E402

CONTENT = "b" * 64
LIKE_BEFORE = "rotation_uniform+noise_normal"  # what the earlier work did to its copies


@dataclass(frozen=True)
class Seconds:
    wall: float
    cpu: float


def cpu_seconds() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def timed(work: Callable[[], object], *, repeats: int) -> Seconds:
    best = Seconds(math.inf, math.inf)
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), cpu_seconds()
        work()
        best = Seconds(
            min(best.wall, time.perf_counter() - wall), min(best.cpu, cpu_seconds() - cpu)
        )
    return best


def one_copy_as_before(task: tuple[NDArray[np.uint8], str, float, int]) -> object:
    """Baseline: load the model, alter the whole photograph, detect, predict."""
    grey, model, angle, seed = task
    predictor = dlib.shape_predictor(model)
    detector = dlib.get_frontal_face_detector()
    h, w = grey.shape
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), angle, 1.0)
    noise = np.random.default_rng(seed).normal(0, 10, grey.shape)
    turned = np.clip(cv2.warpAffine(grey, turn, (w, h)) + noise, 0, 255).astype(np.uint8)
    small = cv2.resize(turned, (200, round(h * 200 / w)), interpolation=cv2.INTER_AREA)
    faces = detector(small, 1)
    if not faces:
        return None
    box = faces[0]
    scale = w / 200
    corners = (box.left(), box.top(), box.right(), box.bottom())
    parts = predictor(turned, dlib.rectangle(*(round(v * scale) for v in corners))).parts()
    points = np.array([(part.x, part.y, 1.0) for part in parts])
    return points @ cv2.invertAffineTransform(turn).T


def as_before(grey: NDArray[np.uint8], *, model: str, copies: int, processes: int) -> None:
    angles = np.random.default_rng(0).uniform(-10, 10, copies)
    tasks = [(grey, model, float(angle), i) for i, angle in enumerate(angles)]
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = [points for points in pool.map(one_copy_as_before, tasks) if points is not None]
    np.median(np.array(found), axis=0)


def resized(grey: NDArray[np.uint8], *, width: int, height: int) -> NDArray[np.uint8]:
    """The photograph with its edges repeated to the wanted shape, then scaled."""
    h, w = grey.shape
    shape = max(w / width, h / height)
    pad_x, pad_y = round(shape * width) - w, round(shape * height) - h
    padded = cv2.copyMakeBorder(grey, 0, pad_y, 0, pad_x, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(padded, (width, height), interpolation=cv2.INTER_CUBIC))


def measure(
    grey: NDArray[np.uint8], *, title: str, copies: int, processes: int, repeats: int, target: int
) -> None:
    model = find_predictor()
    predictor = model.load()
    face = FaceDetector().find(grey)[0]
    crop = cut_face(grey, face).turned(0.0)
    small = cv2.resize(crop.pixels, None, fx=1 / DETECTION_SHRINK, fy=1 / DETECTION_SHRINK)
    hog = dlib.get_frontal_face_detector()
    box = hog(small, 0)[0]
    whole = dlib.rectangle(
        *(v * DETECTION_SHRINK for v in (box.left(), box.top(), box.right(), box.bottom()))
    )

    def floor() -> None:
        for _ in range(copies):
            hog.run(small, 0, 0.0)
            predictor(crop.pixels, whole)

    one, several = CopyPredictor(predictor), CopyPredictor(predictor, threads=processes)

    def ours(copier: CopyPredictor, kind: str) -> Callable[[], object]:
        augmentation = parse_augmentation(kind, copies=copies)
        return lambda: centre_of(
            copier.predict(grey, face, augmentation=augmentation, content=CONTENT)
        )

    rows = {
        f"before: model per copy, {processes} processes": timed(
            lambda: as_before(grey, model=str(model.path), copies=copies, processes=processes),
            repeats=1,
        ),
        "floor: detector + predictor on the crop": timed(floor, repeats=repeats),
        f"same kind ({LIKE_BEFORE}), 1 core": timed(ours(one, LIKE_BEFORE), repeats=repeats),
        f"same kind, {processes} threads": timed(ours(several, LIKE_BEFORE), repeats=repeats),
        f"rotation_uniform, {processes} threads": timed(
            ours(several, "rotation_uniform"), repeats=repeats
        ),
        "rotation_uniform, 1 core": timed(ours(one, "rotation_uniform"), repeats=repeats),
        f"default kind ({DEFAULT_KIND}), 1 core": timed(ours(one, DEFAULT_KIND), repeats=repeats),
    }
    names = list(rows)
    before, at_floor = rows[names[0]], rows[names[1]]
    print(f"\n{title}: {copies} copies; load average {os.getloadavg()[0]:.1f}")
    print(f"{'':58s} {'wall s':>8s} {'CPU s':>8s} {'x before':>9s} {'of floor':>9s}")
    for name, took in rows.items():
        cores = processes if name == names[0] else 1
        print(
            f"{name:58s} {took.wall:8.3f} {took.cpu:8.3f}"
            f" {before.cpu / processes / (took.cpu / cores):8.0f}x {took.cpu / at_floor.cpu:9.2f}"
        )
    ours_wall, ours_cpu = rows[names[3]].wall, rows[names[2]].cpu
    print(
        f"same kind: {before.cpu / processes / ours_cpu:.0f} x faster than before by CPU time with "
        f"one core against {processes}, {before.wall / ours_wall:.0f} x by the clock with "
        f"{processes} threads (target {target})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photo", type=Path, help="a photograph; the NASA portrait by default")
    parser.add_argument("--copies", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    grey = read_photo(options.photo or astronaut_portrait(), grey=True).pixels
    for width, height, target in ((600, 800, 60), (3000, 4000, 100)):
        measure(
            resized(grey, width=width, height=height),
            title=f"{width} x {height}",
            copies=options.copies,
            processes=options.processes,
            repeats=options.repeats,
            target=target,
        )


if __name__ == "__main__":
    main()
