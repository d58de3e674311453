"""The kinds of formula that the distances and features are made of.

Each function returns a `Formula` that carries its readable text, the points and distances it
uses, the lines that show it on a face, and its value. The registry only names formulas, so what
the documentation says is what is computed.

In the texts `dx` and `dy` are absolute differences along the levelled horizontal and vertical,
`d` is the Euclidean distance, `angle(Pa, Pb)` = atan2(-(y_b - y_a), x_b - x_a) in degrees.

Divisions by zero give NaN or infinity as IEEE 754 has it; `features.definitions` silences numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Literal

import numpy as np

from features.frames import FloatArray, LevelledFaces

OUTER_EYE_CORNERS = (10, 19)


@dataclass(frozen=True)
class Stroke:
    """One line of a drawing, from Pa to Pb.

    `length` joins the points; `width` and `height` are its horizontal and vertical part;
    `angle` is its direction against the horizontal, `lean` against the vertical.
    """

    kind: Literal["length", "width", "height", "angle", "lean"]
    a: int
    b: int


@dataclass(frozen=True)
class Formula:
    """One formula."""

    text: str  # as a reader would write it
    # from levelled faces to `(n,)` float64
    value: Callable[[LevelledFaces], FloatArray] = field(repr=False)
    points: tuple[int, ...] = ()  # P-indices used directly, not by way of a distance
    distances: tuple[str, ...] = ()  # names of the distances it is built from
    strokes: tuple[Stroke, ...] = ()  # lines that show it
    brow: tuple[int, ...] = ()  # brow points whose mean is measured; drawn as their mean


def width(a: int, b: int) -> Formula:
    """Horizontal distance of two points, px."""
    return _between("width", a, b, f"dx(P{a}, P{b})", lambda face: np.abs(face.dx(a, b)))


def height(a: int, b: int) -> Formula:
    """Vertical distance of two points, px."""
    return _between("height", a, b, f"dy(P{a}, P{b})", lambda face: np.abs(face.dy(a, b)))


def length(a: int, b: int) -> Formula:
    """Euclidean distance of two points, px."""
    return _between("length", a, b, f"d(P{a}, P{b})", lambda face: face.d(a, b))


def angle(a: int, b: int) -> Formula:
    """Angle of a line against the horizontal without its sign, 0..180 degrees."""
    text = f"abs(angle(P{a}, P{b}))"
    return _between("angle", a, b, text, lambda face: np.abs(face.angle(a, b)))


def slope(a: int, b: int) -> Formula:
    """Rise over run of a line without its sign; undefined when the line is upright."""
    text = f"dy(P{a}, P{b}) / dx(P{a}, P{b})"
    return _between(
        "angle", a, b, text,
        lambda face: np.abs(face.dy(a, b)) / face.usable(np.abs(face.dx(a, b))),
    )  # fmt: skip


def lean(a: int, b: int) -> Formula:
    """Angle of a line against the vertical without its sign, 0..90 degrees."""
    text = f"abs(90 - abs(angle(P{a}, P{b})))"
    return _between("lean", a, b, text, lambda face: np.abs(90.0 - np.abs(face.angle(a, b))))


def signed_lean(a: int, b: int) -> Formula:
    """Angle of a line against the vertical; its sign turns when the photograph is mirrored."""
    text = f"90 - abs(angle(P{a}, P{b}))"
    return _between("lean", a, b, text, lambda face: 90.0 - np.abs(face.angle(a, b)))


def brow_height(brow: range) -> Formula:
    """Distance of a brow's mean above the line through the outer eye corners, px.

    Taken at right angles to the line and negative below it, so that it does not depend on where
    the face lies in the photograph.
    """
    a, b = OUTER_EYE_CORNERS

    def value(face: LevelledFaces) -> FloatArray:
        right = face.x[brow.start : brow.stop].mean(axis=0) - face.x[a]
        down = face.y[brow.start : brow.stop].mean(axis=0) - face.y[a]
        across = face.dy(a, b) * right - face.dx(a, b) * down
        return np.divide(across, face.usable(face.d(a, b)))

    return Formula(
        text=f"height of mean(P{brow[0]}..P{brow[-1]}) above the line P{a}-P{b}",
        value=value,
        points=(*brow, a, b),
        strokes=(Stroke("length", a, b),),
        brow=tuple(brow),
    )


def mean_image_y(brow: range) -> Formula:
    """Mean y of a brow in the levelled image, px: depends on where the face lies in it."""

    return Formula(
        text=f"mean image y of P{brow[0]}..P{brow[-1]}",
        value=lambda face: np.mean(face.y[brow.start : brow.stop], axis=0),
        points=tuple(brow),
        brow=tuple(brow),
    )


def perimeter(*edges: tuple[int, int]) -> Formula:
    """Sum of the lengths of edges, px."""
    return Formula(
        text="sum of d over " + ", ".join(f"P{a}-P{b}" for a, b in edges),
        value=lambda face: np.add.reduce([face.d(a, b) for a, b in edges]),
        points=_once(edges),
        strokes=tuple(Stroke("length", a, b) for a, b in edges),
    )


def polygon(*corners: int) -> Formula:
    """Perimeter of the closed polygon through `corners`, px."""
    return perimeter(*pairwise(corners), (corners[-1], corners[0]))


def mean_of(first: str, second: str) -> Formula:
    """Mean of two distances, px."""
    return Formula(
        text=f"mean({first}, {second})",
        value=lambda face: (face.distances[first] + face.distances[second]) / 2.0,
        distances=(first, second),
    )


def mean_height(*pairs: tuple[int, int], zero_up_to: float) -> Formula:
    """Mean vertical distance of pairs of points, px; up to `zero_up_to` px it becomes 0."""

    def value(face: LevelledFaces) -> FloatArray:
        mean = np.add.reduce([np.abs(face.dy(a, b)) for a, b in pairs]) / len(pairs)
        return np.where(mean <= zero_up_to, 0.0, mean)

    heights = ", ".join(f"dy(P{a}, P{b})" for a, b in pairs)
    return Formula(
        text=f"mean({heights}); 0 when <= {zero_up_to:g} px",
        value=value,
        points=_once(pairs),
        strokes=tuple(Stroke("height", a, b) for a, b in pairs),
    )


def larger_ratio(first: str, second: str) -> Formula:
    """Larger over smaller of two lengths: 1 when equal, above 1 otherwise.

    Undefined unless both lengths are positive: there is no ratio to nothing.
    """

    def value(face: LevelledFaces) -> FloatArray:
        a, b = (face.usable(face.distances[name]) for name in (first, second))
        return np.maximum(a / b, b / a)

    text = f"max({first}/{second}, {second}/{first})"
    return Formula(text=text, value=value, distances=(first, second))


def smaller_ratio(first: str, second: str, *, undefined_is_zero: bool = False) -> Formula:
    """Smaller over larger of two lengths: 1 when equal, below 1 otherwise.

    `undefined_is_zero` turns what is not finite (0/0) into 0.
    """

    def value(face: LevelledFaces) -> FloatArray:
        a, b = (face.usable(face.distances[name]) for name in (first, second))
        ratio = np.minimum(a / b, b / a)
        return np.where(np.isfinite(ratio), ratio, 0.0) if undefined_is_zero else ratio

    text = f"min({first}/{second}, {second}/{first})"
    text += "; 0 when undefined" if undefined_is_zero else ""
    return Formula(text=text, value=value, distances=(first, second))


def log_ratio(first: str, second: str, *, added_widths: float = 0, added_px: float = 0) -> Formula:
    """Size of the logarithm of a ratio, with a little added so that a closed eye has a value.

    Either a fraction of the face width A is added to both lengths, or a number of px, which makes
    the value depend on the size of the photograph.
    """

    def value(face: LevelledFaces) -> FloatArray:
        added = added_widths * face.distances["A"] + added_px
        return np.abs(np.log((face.distances[first] + added) / (face.distances[second] + added)))

    added = f"{added_widths:g} A" if added_widths else f"{added_px:g} px"
    scale = ("A",) if added_widths else ()
    return Formula(
        text=f"abs(ln(({first} + {added}) / ({second} + {added})))",
        value=value,
        distances=(first, second, *scale),
    )


def fraction(*distances: str, of: str) -> Formula:
    """Return the largest of some distances as a fraction of another distance."""

    def value(face: LevelledFaces) -> FloatArray:
        largest = np.maximum.reduce([face.distances[name] for name in distances])
        return np.divide(largest, face.usable(face.distances[of]))

    names = ", ".join(distances)
    text = f"max({names}) / {of}" if len(distances) > 1 else f"{names} / {of}"
    return Formula(text=text, value=value, distances=(*distances, of))


def _between(
    kind: Literal["length", "width", "height", "angle", "lean"],
    a: int,
    b: int,
    text: str,
    value: Callable[[LevelledFaces], FloatArray],
) -> Formula:
    return Formula(text=text, value=value, points=(a, b), strokes=(Stroke(kind, a, b),))


def _once(pairs: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(pairs)))
