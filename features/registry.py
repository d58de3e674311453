"""The registry: every distance and every asymmetry feature is one entry.

Table columns, documentation, drawings and tests are made from it. The entries are those of the
`standard` definition, in column order; `features.definitions` states what older ones change.

The points are P0..P50, the 51-point selection of `landmarks.points.SELECTION_51`: P0-9 brows,
P10-21 eyes, P22-27 nose, P28-47 mouth, P48 and P49 the jaw's ends, P50 the chin. The letters
are those of Parra-Dominguez et al. 2021; their suffixes l and r mean image left and right, so
that Bl, Nl, Vl, Wl lie on the patient's right. `side` says it in the patient's own terms.

Partners are the distances that change places when the face is mirrored. The letters mislead for
the eyes: Nl and Nr both belong to the patient's right eye, Ol and Or to the left, and the outer
lid pair Nl mirrors onto the outer pair Or, the inner pair Nr onto the inner pair Ol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from features.formulas import (
    Formula,
    angle,
    brow_height,
    fraction,
    height,
    larger_ratio,
    lean,
    length,
    log_ratio,
    mean_of,
    polygon,
    slope,
    width,
)

Region = Literal["brow", "eye", "nose", "mouth", "jaw", "face"]
Side = Literal["right", "left"]
REGIONS: tuple[Region, ...] = ("brow", "eye", "nose", "mouth", "jaw", "face")

PX, DEGREES, UNITLESS = "px", "degrees", "no unit"
PARRA_2021 = "Parra-Dominguez et al. 2021, released code, doi 10.3390/app11052435"
HUO_2022 = "earlier research code of 2022, after Parra-Dominguez et al. 2021"
OURS = "this project, after Parra-Dominguez et al. 2021"

_FORMULA_IS_OURS = ("L", "M", "Ql", "Qu", "f11", "f12", "f13", "f23")
_FORMULA_OF_2022 = (
    "Bl", "Br", "D", "E", "W", "Nl", "Nr", "Ol", "Or", "Pl", "Pu", "N", "O",
    "f0", "f1", "f2", "f3", "f8", "f9", "f10", "f15", "f16", "f17", "f24",
)  # fmt: skip

EYE_WIDTHS_ADDED = 0.01
"""What f11 to f13 add to both lid distances, as a fraction of the face width A."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One distance or one asymmetry feature."""

    name: str  # column of `dists.csv` or `features.csv`
    region: Region  # part of the face it describes; `face` when it spans several
    formula: Formula  # what is computed, and the text, points and lines that explain it
    unit: str  # `px`, `degrees` or `no unit`
    meaning: str  # what it tells, in one short sentence
    # value on a perfectly symmetric face; None when symmetry does not fix it
    symmetric: float | None = None
    # side of the patient that a distance lies on; None for both or the middle
    side: Side | None = None
    # distance it changes places with when the face is mirrored; itself when alone; None for
    # features, which a mirror leaves alone
    partner: str | None = None
    # where this formula first stood as it is written here; the idea is Parra-Dominguez's
    source: str


def _entry(
    name: str, region: Region, formula: Formula, meaning: str, *, unit: str = UNITLESS, **more: Any
) -> Measurement:
    return Measurement(
        name=name, region=region, formula=formula, meaning=meaning, unit=unit,
        source=_source(name), **more,
    )  # fmt: skip


_size = _entry  # relative to the face or the mouth; symmetry does not fix it


def _distance(name: str, region: Region, formula: Formula, meaning: str) -> Measurement:
    return _entry(name, region, formula, meaning, unit=PX, partner=name)


def _right(name: str, partner: str, region: Region, formula: Formula, meaning: str) -> Measurement:
    return _entry(name, region, formula, meaning, unit=PX, side="right", partner=partner)


def _left(name: str, partner: str, region: Region, formula: Formula, meaning: str) -> Measurement:
    return _entry(name, region, formula, meaning, unit=PX, side="left", partner=partner)


def _line(name: str, region: Region, a: int, b: int, meaning: str) -> Measurement:
    return _entry(name, region, angle(a, b), meaning, symmetric=0.0, unit=DEGREES)


def _slope(name: str, a: int, b: int, meaning: str) -> Measurement:
    return _entry(name, "brow", slope(a, b), meaning, symmetric=0.0)


def _ratio(name: str, region: Region, first: str, second: str, meaning: str) -> Measurement:
    return _entry(name, region, larger_ratio(first, second), meaning, symmetric=1.0)


def _lids(name: str, first: str, second: str, meaning: str) -> Measurement:
    formula = log_ratio(first, second, added_widths=EYE_WIDTHS_ADDED)
    return _entry(name, "eye", formula, meaning, symmetric=0.0)


def _source(name: str) -> str:
    if name in _FORMULA_IS_OURS:
        return OURS
    return HUO_2022 if name in _FORMULA_OF_2022 else PARRA_2021


DISTANCES: tuple[Measurement, ...] = (
    _distance("A", "face", width(48, 49), "Width of the face between the ends of the jaw line"),
    _right("Bl", "Br", "eye", width(10, 13), "Width of the right eye between its corners"),
    _left("Br", "Bl", "eye", width(16, 19), "Width of the left eye between its corners"),
    _distance("C", "jaw", length(37, 50), "Lower lip to chin"),
    _right("D", "E", "eye", width(10, 48), "Right outer eye corner to the edge of the face"),
    _left("E", "D", "eye", width(19, 49), "Left outer eye corner to the edge of the face"),
    _right("F", "G", "mouth", length(10, 37), "Right outer eye corner to the lower lip"),
    _left("G", "F", "mouth", length(19, 37), "Left outer eye corner to the lower lip"),
    _right("H", "I", "eye", length(10, 23), "Right outer eye corner to the right nostril"),
    _left("I", "H", "eye", length(19, 27), "Left outer eye corner to the left nostril"),
    _right("J", "K", "nose", length(23, 37), "Right nostril to the lower lip"),
    _left("K", "J", "nose", length(27, 37), "Left nostril to the lower lip"),
    _right("L", "M", "brow", brow_height(range(5)), "Height of the right brow above the eyes"),
    _left("M", "L", "brow", brow_height(range(5, 10)), "Height of the left brow above the eyes"),
    _right("Nl", "Or", "eye", height(11, 15), "Opening of the right eye, outer lid points"),
    _right("Nr", "Ol", "eye", height(12, 14), "Opening of the right eye, inner lid points"),
    _left("Ol", "Nr", "eye", height(17, 21), "Opening of the left eye, inner lid points"),
    _left("Or", "Nl", "eye", height(18, 20), "Opening of the left eye, outer lid points"),
    _right("Pl", "Ql", "mouth", height(29, 39), "Height of the lips near the right mouth corner"),
    _right("Pu", "Qu", "mouth", height(30, 38), "Height of the lips just right of the middle"),
    _left("Ql", "Pl", "mouth", height(33, 35), "Height of the lips near the left mouth corner"),
    _left("Qu", "Pu", "mouth", height(32, 36), "Height of the lips just left of the middle"),
    _right("R", "S", "face", length(3, 37), "Inner part of the right brow to the lower lip"),
    _left("S", "R", "face", length(6, 37), "Inner part of the left brow to the lower lip"),
    _right("T", "U", "face", length(2, 37), "Middle of the right brow to the lower lip"),
    _left("U", "T", "face", length(7, 37), "Middle of the left brow to the lower lip"),
    _right("Vl", "Vr", "mouth", length(28, 37), "Right mouth corner to the lower lip's middle"),
    _left("Vr", "Vl", "mouth", length(34, 37), "Left mouth corner to the lower lip's middle"),
    _distance("W", "mouth", width(28, 34), "Width of the mouth between its corners"),
    _distance("X", "mouth", length(25, 31), "Base of the nose to the upper lip"),
    _right(
        "Wl", "Wr", "mouth", polygon(28, 29, 30, 31, 37, 38, 39),
        "Way round the right half of the mouth",
    ),
    _left(
        "Wr", "Wl", "mouth", polygon(31, 32, 33, 34, 35, 36, 37),
        "Way round the left half of the mouth",
    ),
    _right("N", "O", "eye", mean_of("Nl", "Nr"), "Mean opening of the right eye"),
    _left("O", "N", "eye", mean_of("Ol", "Or"), "Mean opening of the left eye"),
)  # fmt: skip

FEATURES: tuple[Measurement, ...] = (
    _line("f0", "brow", 0, 9, "Tilt of the line joining the outer ends of the brows"),
    _line("f1", "brow", 2, 7, "Tilt of the line joining the middles of the brows"),
    _line("f2", "brow", 4, 5, "Tilt of the line joining the inner ends of the brows"),
    _ratio("f3", "brow", "L", "M", "One brow higher above the eyes than the other"),
    _slope("f4", 0, 9, "Slope of the line joining the outer ends of the brows"),
    _slope("f5", 2, 7, "Slope of the line joining the middles of the brows"),
    _slope("f6", 4, 5, "Slope of the line joining the inner ends of the brows"),
    _line("f7", "eye", 10, 19, "Tilt of the line joining the outer eye corners"),
    _ratio("f8", "eye", "Bl", "Br", "One eye wider between its corners than the other"),
    _ratio("f9", "eye", "D", "E", "One eye further from the edge of the face"),
    _ratio("f10", "eye", "H", "I", "One eye further from its nostril"),
    _lids("f11", "N", "O", "One eye more open than the other, mean of both lid pairs"),
    _lids("f12", "Nl", "Or", "One eye more open than the other, outer lid points"),
    _lids("f13", "Nr", "Ol", "One eye more open than the other, inner lid points"),
    _line("f14", "mouth", 28, 34, "Tilt of the line joining the mouth corners"),
    _ratio("f15", "mouth", "F", "G", "Lower lip nearer to one eye than to the other"),
    _ratio("f16", "mouth", "Pl", "Ql", "Lips higher near one mouth corner than near the other"),
    _ratio("f17", "mouth", "Pu", "Qu", "Lips higher on one side of the middle than on the other"),
    _size(
        "f18", "mouth", fraction("Vl", "Vr", of="A"),
        "Longer way from a mouth corner to the lower lip, in face widths",
    ),
    _size(
        "f19", "mouth", fraction("Pl", "Ql", of="W"),
        "Greater height of the lips near a corner, in mouth widths",
    ),
    _size(
        "f20", "mouth", fraction("Pu", "Qu", of="W"),
        "Greater height of the lips beside the middle, in mouth widths",
    ),
    _size(
        "f21", "mouth", fraction("Wl", "Wr", of="W"),
        "Longer way round one half of the mouth, in mouth widths",
    ),
    _line("f22", "nose", 23, 27, "Tilt of the line joining the nostrils"),
    _entry(
        "f23", "nose", lean(22, 37), "Lean of the line from the tip of the nose to the lower lip",
        symmetric=0.0, unit=DEGREES,
    ),
    _ratio("f24", "nose", "J", "K", "One nostril further from the lower lip"),
    _size(
        "f25", "face", fraction("T", "U", of="A"),
        "Longer way from the middle of a brow to the lower lip, in face widths",
    ),
    _size(
        "f26", "face", fraction("R", "S", of="A"),
        "Longer way from the inner part of a brow to the lower lip, in face widths",
    ),
    _size("f27", "jaw", fraction("C", of="A"), "Lower lip to chin, in face widths"),
    _size("f28", "mouth", fraction("X", of="A"), "Base of the nose to upper lip, in face widths"),
)  # fmt: skip

DISTANCE_NAMES: tuple[str, ...] = tuple(entry.name for entry in DISTANCES)
FEATURE_NAMES: tuple[str, ...] = tuple(entry.name for entry in FEATURES)
