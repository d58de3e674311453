"""Iris search: all circles at once against a plain loop over x, y and radius, in the same run.

`python benchmarks/iris.py` draws eyes (simulated), finds their irises both ways on the same upright
pictures, and prints times, the factor, and how far the two answers and the truth lie apart.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np

from landmarks.find import iris as module
from landmarks.find.eye_picture import CENTRE, eye_picture
from landmarks.points import REGIONS
from tests.landmarks.drawn_eyes import DrawnEye, draw_eyes

N_FACES = 10
_ARC = np.deg2rad(np.arange(-60.0, 60.1, 7.5))
_DIRECTIONS = np.concatenate([np.pi - _ARC, _ARC]).astype(np.float32)


def plain_strength(seen, x, y, r, half_step, visibility):
    """The operator for one circle, written as its definition reads."""
    sides = []
    rings = []
    for radius in (r - half_step, r + half_step):
        at_x = np.float32(x) + np.float32(radius) * np.cos(_DIRECTIONS)
        at_y = np.float32(y) + np.float32(radius) * np.sin(_DIRECTIONS)
        ring = cv2.remap(seen, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        rings.append(ring.reshape(2, len(_ARC), 2))
    for inside, outside in zip(*rings, strict=True):
        usable = inside[:, 1] * outside[:, 1]
        share = usable.mean()
        if share < 0.12:
            return 0.0
        rise = ((outside[:, 0] - inside[:, 0]) * usable).mean()
        sides.append(max(rise, 0.0) / share * share**visibility)
    return float(np.sqrt(sides[0] * sides[1]))


def plain_search(picture):
    """Try every whole-pixel circle one after the other, then the steps around the best."""
    bold = picture.seen.copy()
    bold[..., 0] **= 2
    best, where = 0.0, (CENTRE[0], CENTRE[1], 13.0)
    for x in np.arange(CENTRE[0] - 20, CENTRE[0] + 20.1):
        for y in np.arange(CENTRE[1] - 14, CENTRE[1] + 10.1):
            for r in np.arange(9.6, 17.9):
                strength = plain_strength(bold, x, y, r, 2.5, 0.25)
                if strength > best:
                    best, where = strength, (x, y, r)
    for step in (1.0, 0.5, 0.25, 0.1, 0.04):
        seen = bold if step == 1.0 else picture.seen
        around = step * np.arange(-2, 2.1)
        best, middle = -1.0, where
        for x in middle[0] + around:
            for y in middle[1] + around:
                for r in middle[2] + around:
                    strength = plain_strength(seen, x, y, r, 1.5, 0.5)
                    if strength > best:
                        best, where = strength, (x, y, r)
    return where


def main() -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    fast_s, plain_s, apart, errors = [], [], [], []
    for number in range(N_FACES):
        eyes = [
            DrawnEye(
                iris_radius=rng.uniform(0.18, 0.24),
                gaze=(rng.uniform(-0.08, 0.08), rng.uniform(-0.03, 0.03)),
                opening=rng.uniform(0.3, 0.45),
                iris=((90, 60, 40), (110, 140, 160), (100, 120, 70))[number % 3],
            )
            for _ in range(2)
        ]
        drawn = draw_eyes(*eyes, eye_width=60.0, noise=4.0, seed=number)
        began = time.perf_counter()
        found = module.find_irises(drawn.rgb, drawn.points)
        fast_s.append((time.perf_counter() - began) / 2)
        for region, iris, circle in zip(
            ("right_eye", "left_eye"), (found.right, found.left), drawn.circles, strict=True
        ):
            began = time.perf_counter()
            picture = eye_picture(drawn.rgb[..., 0], drawn.points[list(REGIONS[region])])
            x, y, r = plain_search(picture)
            plain_s.append(time.perf_counter() - began)
            if iris.status != "ok":
                continue
            centre = picture.to_photo @ (x, y, 1.0)
            gap = max(abs(centre - iris.centre).max(), abs(r * picture.scale - iris.radius))
            apart.append(gap)
            errors.append(abs(iris.radius / circle[2] - 1))
    fast, plain = np.median(fast_s), np.median(plain_s)
    print(f"simulated eyes: {len(plain_s)}, irises found: {len(apart)}, 60 px wide")
    print(f"plain loop over x, y, radius: {plain * 1e3:.0f} ms per eye (median)")
    print(f"all circles at once:          {fast * 1e3:.2f} ms per eye (median)")
    print(f"factor: {plain / fast:.0f}")
    print(f"answers apart: median {np.median(apart):.2f} px, largest {max(apart):.2f} px")
    print(f"radius against truth: median {np.median(errors):.1%}, largest {max(errors):.1%}")


if __name__ == "__main__":
    main()
