"""Folds and furrows of a simulated face: where they run, how deep they are, how light shows them.

A muscle folds the skin across its pull: the brow's lifter furrows the forehead, the eye's ring
makes crow's feet and lines on the lids, the smile deepens the nasolabial fold, pursed lips pucker
lip and chin. A weak muscle folds less, a lax cheek has a shallow nasolabial fold, and a contracted
one a deep fold. Age deepens them all, which shows where the muscles have their tone.

Without `Look.folds` a face has the faint creases of its age alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from datasets.simulated.canvas import Canvas, FloatArray, Image, shifted, spline, taper
from datasets.simulated.look import Look
from datasets.simulated.movement import Expression

FOLDS = ("forehead", "frown", "crows_feet", "lids", "nasolabial", "nose", "chin", "lips")
"""The folds whose depths are the truth of a face that is drawn with them."""

FOLDS_TRUTH = "folds_truth.csv"

SIDES = ((0, -1.0), (1, 1.0))
"""Number and sign of x of the patient's right and left."""

_FLAT_MM = 0.03
_SWELLING = 0.45  # of the skin beside a fold, as a share of its depth
_FOLD_WIDTH = 1.25  # of a fold, in widths of a crease


class Crease(NamedTuple):
    """A curve ``(n, 2)``, its width and depth, all in mm; a negative depth is a filled one."""

    curve: FloatArray
    width: float
    depth: float


def side_points(p: FloatArray, side: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Brow (5), eye (6, inner corner first, upper lid), mouth corner and nose wing of one side."""
    if side == 0:
        return p[21:16:-1], p[[39, 38, 37, 36, 41, 40]], p[48], p[31]
    return p[22:27], p[42:48], p[54], p[35]


def fold_depths(look: Look, face: Expression) -> dict[str, FloatArray]:
    """Depth in mm of each of `FOLDS` at one moment, ``(2,)``: the patient's right and left.

    As strong as that side's movement and resting tone; lines of age (0 to 1) add to both.
    """
    lines, tone = look.lines, np.clip(face.tone, 0, 1.8)
    raised, levator = face.of("frontalis"), face.of("levator")
    smile = face.of("zygomatic") + 0.7 * levator
    squeeze = face.of("squeeze") + 0.5 * smile * np.minimum(1.0, 0.3 + smile)
    frown = face.of("corrugator") + 0.7 * face.of("squeeze")
    if not look.folds:
        strength = lines * (0.35 * tone + 0.9 * raised) + 0.35 * raised
        return {
            "forehead": 0.62 * strength,
            "frown": 0.45 * lines * tone + (0.5 + 0.5 * lines) * frown,
            "crows_feet": (0.15 + 0.85 * lines) * (0.25 * tone + squeeze) * 0.75,
            "nasolabial": (0.25 + 1.0 * lines) * tone + (0.9 + 0.7 * lines) * smile,
        } | dict.fromkeys(("lids", "nose", "chin", "lips"), np.zeros(2))
    closing = np.minimum(face.of("oculi"), 1.0)
    pursed, pulled = face.of("oris"), face.of("depressor")
    depths = {
        "forehead": 0.30 * lines * tone + (0.75 + 0.70 * lines) * raised,
        "frown": 0.45 * lines * tone + (0.7 + 0.6 * lines) * frown,
        "crows_feet": 0.25 * lines * tone + (0.55 + 0.75 * lines) * squeeze,
        "lids": 0.20 * lines * tone + (0.15 + 0.15 * lines) * closing + 0.55 * squeeze,
        "nasolabial": (0.60 + 1.50 * lines) * tone + (2.2 + 0.8 * lines) * smile,
        "nose": (0.6 + 0.5 * lines) * (levator + 0.5 * face.of("squeeze")),
        "chin": (0.8 + 0.6 * lines) * (0.8 * pursed + pulled),
        "lips": (0.35 + 0.55 * lines) * pursed + 0.15 * lines * tone,
    }
    return {name: look.folds * depth for name, depth in depths.items()}


def fold_row(image: str, depths: dict[str, FloatArray]) -> dict[str, str | float]:
    """A picture's row of `FOLDS_TRUTH`: `image`, `forehead_right`, `forehead_left`, ... in mm."""
    sides = ("right", "left")
    return {"image": image} | {
        f"{name}_{side}": round(float(depths[name][at]), 3)
        for name in FOLDS
        for at, side in enumerate(sides)
    }


def find_creases(
    look: Look, face: Expression, depths: dict[str, FloatArray] | None = None
) -> list[Crease]:
    """Every fold and wrinkle of a face at one moment; `depths` are otherwise those of the face."""
    creases: list[Crease] = []
    p, lines = face.points, look.lines
    deep = depths or fold_depths(look, face)
    own = np.random.default_rng([look.texture_seed, 2])
    wave, fan = own.uniform(0, 6.3), own.uniform(-6, 6)  # nobody's furrows are another's
    for side, sign in SIDES:
        brow, eye, corner, ala = side_points(p, side)
        raise_ = float(face.of("frontalis")[side])
        smile = float(face.of("zygomatic")[side] + 0.7 * face.of("levator")[side])
        depth = {name: float(values[side]) for name, values in deep.items()}

        fold = [
            shifted(ala, sign * 1.5, -7), shifted(ala, sign * 6.5, 0.5),
            (corner + ala) / 2 + (sign * 9.5, 0), shifted(corner, sign * 8.5, 0.5),
            shifted(corner, sign * 7.0, 8),
        ]  # fmt: skip
        creases.append(Crease(spline(fold[: 5 if lines > 0.4 else 4]), 4.2, depth["nasolabial"]))
        if depths is None:
            marionette = corner + np.array([(sign * 2.5, 3), (sign * 4, 11), (sign * 4, 19)])
            creases.append(Crease(spline(marionette), 3.0, 0.9 * max(0.0, lines - 0.35)))
            dimple = corner + np.array([(sign * 3.0, -2.5), (sign * 4.2, 0.5), (sign * 3.2, 3.5)])
            creases.append(Crease(spline(dimple), 2.2, 0.7 * smile))

        for k in range(4):
            height = brow[2, 1] - 12 - 8.5 * k - 1.5 * raise_
            middle = -1.5 if look.folds else 3.0
            xs = sign * np.array([middle, 14, 27, 40, 50 - 3 * k])
            bend = np.array([2.5, 0.2, -1.2, -0.4, 2.2])
            if look.folds:
                bend += 1.0 * np.sin(sign * xs / 11 + 1.7 * k + wave)
            else:
                bend += 0.5 * np.sin(xs / 7 + 2 * k)
            creases.append(Crease(spline(np.stack([xs, height + bend], 1)), 2.0, depth["forehead"]))
        root = p[27, 1]
        frown_line = [(sign * 5.0, root - 24), (sign * 4.2, root - 14), (sign * 5.6, root - 8)]
        creases.append(Crease(spline(frown_line), 2.4, depth["frown"]))

        outer = eye[3]
        for angle in (-28, 0, 26):
            turned = np.radians(angle + (fan if look.folds else 0))
            direction = np.array([sign * np.cos(turned), np.sin(turned)])
            foot = [
                outer + direction * 5,
                outer + direction * 10 + (0, 0.5),
                outer + direction * 16,
            ]
            creases.append(Crease(spline(foot), 1.7, depth["crows_feet"]))
        if depths is None:
            bag = [
                shifted(eye[0], sign * 1, 5.5), shifted(eye.mean(0), sign * -2, 11.5),
                shifted(eye[3], sign * -5, 8.5),
            ]  # fmt: skip
            squeeze = face.of("squeeze")[side] + 0.5 * smile * min(1.0, 0.3 + smile)
            creases.append(Crease(spline(bag), 3.2, 0.18 + 0.75 * lines + 0.3 * float(squeeze)))
        if look.folds:
            creases += _small_folds(p, side, sign, depth)
    return creases


def _small_folds(p: FloatArray, side: int, sign: float, depth: dict[str, float]) -> list[Crease]:
    """Folds of one side that faces without `Look.folds` do not have."""
    _, eye, corner, _ = side_points(p, side)
    above, below = (eye[1] + eye[2]) / 2, (eye[4] + eye[5]) / 2
    curves: list[tuple[str, float, list[FloatArray]]] = []
    for up in (2.6, 5.0):  # on the upper lid, from the outer corner inwards
        inwards = [shifted(above, sign * 3, -up - 0.8), shifted(above, -sign * 7, -up + 0.6)]
        curves.append(("lids", 1.5, [shifted(eye[3], -sign * 1, -up), *inwards]))
    for down in (3.6, 6.4):  # and below the lower one
        inwards = [shifted(below, sign * 2, down + 0.6), shifted(below, -sign * 7, down - 0.2)]
        curves.append(("lids", 1.6, [shifted(eye[3], sign * 2, down), *inwards]))
    for k in range(3):  # from the inner corner of the eye down the side of the nose
        top = np.array([p[27, 0] + sign * (4.0 + 1.2 * k), p[27, 1] + 3 + 5.5 * k])
        downwards = [top, shifted(top, sign * 3.4, 2.6), shifted(top, sign * 5, 6)]
        curves.append(("nose", 1.6, downwards))
    chin = np.array([p[8, 0], (p[57, 1] + 2 * p[8, 1]) / 3])
    for x, y in ((3.5, -7), (9, -5), (6, -0.5), (12, 1.5), (3, 4), (9, 6)):
        at = shifted(chin, sign * x, y)
        curves.append(
            ("chin", 3.0, [shifted(at, -sign * 1.3, 0.3), at, shifted(at, sign * 1.3, 0.2)])
        )
    for share in (0.15, 0.4, 0.65):  # across the lips, towards the middle of the mouth
        for middle, away in ((p[51], -1.0), (p[57], 1.0)):
            edge = middle + share * (corner - middle)
            tip = shifted(edge, sign * 1.5 * share, away * 7.5)
            curves.append(("lips", 1.5, [edge - (0, away * 1.5), (edge + tip) / 2, tip]))
    return [Crease(spline(curve), width, depth[name]) for name, width, curve in curves]


def add_creases(canvas: Canvas, relief: Image, creases: list[Crease], *, swollen: bool) -> Image:
    """Cut the creases into the relief, in place; returns their darkness, 0 to 1.

    Where `swollen`, they are wider and the skin beside them rises, as in a fold of living skin.
    """
    darkness = canvas.blank()
    for curve, width, depth in creases:
        if abs(depth) < _FLAT_MM:
            continue
        if swollen:
            width = _FOLD_WIDTH * width
            beside = canvas.ribbon(curve, 2.4 * width * taper(len(curve)), soft=0.8 * width)
            beside.add(relief, _SWELLING * depth)
        patch = canvas.ribbon(curve, width * taper(len(curve)), soft=0.42 * width)
        patch.add(relief, -depth)
        patch.add(darkness, min(0.5 * depth, 0.75))
    return darkness
