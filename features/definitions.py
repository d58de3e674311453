"""The three definitions of the measurements, and faces measured by them: 34 distances, 29 features.

`standard` is the registry as it stands. The others reproduce older results: lists of the entries
that they change. Their values agree with those of the code they stand for
(tests/features/test_parity.py); what that code does where the papers are silent was found there:

- f11, f12, f13 pair N with O, Nl with Or and Nr with Ol in all definitions.
- `huo2022` keeps mean image y for the brows (f3 therefore depends on where the face lies in the
  photograph), adds one pixel in f11 to f13 (so they depend on its size), keeps the sign of the
  lean f23 (it turns in a mirror), measures the inner lip pair as Ql and the outer as Qu (f16 and
  f17 compare unlike pairs), and closes Wl over edge P31-P32.
- `parra2021` measures the horizontal and vertical distances as Euclidean, except in N and O
  (A comes out the same: its line is the one made horizontal), and takes the brow angles f0 to f2
  from the left to the right, so that they are 180 on a level brow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from common.errors import UserError, did_you_mean, named
from features.formulas import (
    angle,
    height,
    length,
    log_ratio,
    mean_height,
    mean_image_y,
    perimeter,
    signed_lean,
    smaller_ratio,
)
from features.frames import FloatArray, level
from features.registry import (
    DISTANCE_NAMES,
    DISTANCES,
    FEATURE_NAMES,
    FEATURES,
    HUO_2022,
    PARRA_2021,
    PX,
    Measurement,
)

DefinitionName = Literal["standard", "huo2022", "parra2021"]
DEFINITIONS: tuple[DefinitionName, ...] = get_args(DefinitionName)
STANDARD: DefinitionName = "standard"
_REGISTRY = {entry.name: entry for entry in (*DISTANCES, *FEATURES)}


@dataclass(frozen=True)
class Definition:
    """One complete set of measurements."""

    # what it is called, where it comes from, and what it is for
    name: DefinitionName
    source: str
    purpose: str
    # name to entry: the 34 distances, then the 29 features, in column order
    measurements: Mapping[str, Measurement]
    # whether what coincident points leave undefined is NaN; otherwise infinities and zeros come out
    # as the older code had them
    refuse_no_length: bool


@dataclass(frozen=True)
class Measured:
    """What was measured on n photographs by a definition."""

    definition: DefinitionName
    distances: pd.DataFrame  # n rows, the 34 distances in column order, px
    features: pd.DataFrame  # n rows, `f0` to `f28`; units in the registry
    # `(n,)` False where points were missing, not finite, or (`standard`) all in one place; the rows
    # are NaN there
    measurable: NDArray[np.bool_]


def measure(points: ArrayLike, *, definition: str = STANDARD) -> Measured:
    """Measure every distance and asymmetry feature, all photographs at once.

    Only the 51 selected points are looked at. A photograph with a missing (NaN) or infinite one
    among them gives a row of NaN.

    In `standard` nothing is divided by a length of zero, and coincident points have no direction:
    such a value is NaN, never infinite. So a ratio is NaN unless both lengths are positive (a brow
    on or below the line of the eye corners, lips of no height), an angle or slope is NaN when its
    points coincide, a slope also when they lie upright above each other, fractions of W are NaN
    when the mouth has no width, and everything is NaN when P48 and P49 coincide, for then the face
    cannot be levelled. Closed eyes do have a value: f11 to f13 stay finite, and are 0 when both
    are closed. Zero means at most 1e-9 of the face width A. In the older definitions infinities
    and zeros come out as their code had them.

    `points`: `(n, 68, 2)` px, x right, y down; missing is NaN.
    `definition`: `standard`, `huo2022` or `parra2021`.

    UserError when there is no such definition. ValueError when the array has another shape.
    """
    chosen = definition_named(definition)
    measured: dict[str, FloatArray] = {}
    with np.errstate(all="ignore"):  # what divisions by zero give is decided above
        faces = level(np.asarray(points, float), refuse_no_length=chosen.refuse_no_length)
        for name, entry in chosen.measurements.items():
            value = entry.formula.value(faces)
            known = faces.measurable & (np.isfinite(value) | (not chosen.refuse_no_length))
            value = np.where(known, value, np.nan)
            measured[name] = value
            if entry.unit == PX:
                faces.distances[name] = value
    return Measured(
        definition=chosen.name,
        distances=pd.DataFrame(measured, columns=list(DISTANCE_NAMES)),
        features=pd.DataFrame(measured, columns=list(FEATURE_NAMES)),
        measurable=faces.measurable,
    )


def definition_named(name: str) -> Definition:
    """Return a definition; UserError when there is none of that name."""
    return named(name, _DEFINITIONS, what="definition")


def measurement(name: str, *, definition: str = STANDARD) -> Measurement:
    """Return the entry of one distance (`A`, `Bl`, ...) or feature (`f0`, ...).

    UserError when there is no such measurement or definition.
    """
    known = definition_named(definition).measurements
    if name not in known:
        raise UserError(
            f'There is no measurement "{name}": choose a distance ({", ".join(DISTANCE_NAMES)}) or '
            f"a feature ({FEATURE_NAMES[0]} to {FEATURE_NAMES[-1]})." + did_you_mean(name, known)
        )
    return known[name]


def points_used(name: str, *, definition: str = STANDARD) -> tuple[int, ...]:
    """Return the P-points of a measurement, those of its distances included, sorted.

    The jaw ends P48 and P49 level every face and are listed only where they are measured.
    """
    formula = measurement(name, definition=definition).formula
    inherited = (points_used(part, definition=definition) for part in formula.distances)
    return tuple(sorted({*formula.points, *(point for used in inherited for point in used)}))


def _changed(source: str, **changes: Mapping[str, Any]) -> dict[str, Measurement]:
    """Return the registry with some fields of some entries replaced, and the source of these."""
    return {
        name: replace(entry, **{"source": source, **changes[name]}) if name in changes else entry
        for name, entry in _REGISTRY.items()
    }


def _same(formula: Any, names: str) -> dict[str, Mapping[str, Any]]:
    """Return changes that rebuild two-point or two-distance formulas with another function."""
    changes: dict[str, Mapping[str, Any]] = {}
    for name in names.split():
        old = _REGISTRY[name].formula
        changes[name] = {"formula": formula(*(old.points or old.distances[:2]))}
    return changes


_BROWS_IN_IMAGE: dict[str, Mapping[str, Any]] = {
    "L": {
        "formula": mean_image_y(range(5)),
        "meaning": "How far down in the photograph the right brow lies",
    },
    "M": {
        "formula": mean_image_y(range(5, 10)),
        "meaning": "How far down in the photograph the left brow lies",
    },
}

_HUO_2022 = _changed(
    HUO_2022,
    **_BROWS_IN_IMAGE,
    Ql={"formula": height(32, 36), "partner": "Pu", "meaning": _REGISTRY["Qu"].meaning},
    Qu={"formula": height(33, 35), "partner": "Pl", "meaning": _REGISTRY["Ql"].meaning},
    Pl={"partner": "Qu", "source": _REGISTRY["Pl"].source},
    Pu={"partner": "Ql", "source": _REGISTRY["Pu"].source},
    Wl={
        "formula": perimeter((28, 29), (29, 30), (30, 31), (31, 32), (37, 38), (38, 39), (39, 28)),
        "partner": None,
    },
    Wr={"partner": None, "source": _REGISTRY["Wr"].source},
    **_same(lambda a, b: log_ratio(a, b, added_px=1.0), "f11 f12 f13"),
    f16={"symmetric": None},
    f17={"symmetric": None},
    f23={"formula": signed_lean(22, 37)},
)

_PARRA_2021 = _changed(
    PARRA_2021,
    **_BROWS_IN_IMAGE,
    **_same(length, "Bl Br D E W Nl Nr Ol Or Pl Pu Ql Qu"),
    N={"formula": mean_height((11, 15), (12, 14), zero_up_to=1e-4)},
    O={"formula": mean_height((17, 21), (18, 20), zero_up_to=1e-4)},
    f0={"formula": angle(9, 0), "symmetric": 180.0},
    f1={"formula": angle(7, 2), "symmetric": 180.0},
    f2={"formula": angle(5, 4), "symmetric": 180.0},
    **_same(smaller_ratio, "f3 f8 f9 f10 f15 f16 f17 f24"),
    **{
        name: {**change, "symmetric": 1.0}
        for name, change in _same(
            lambda a, b: smaller_ratio(a, b, undefined_is_zero=True), "f11 f12 f13"
        ).items()
    },
    f23={
        "formula": angle(22, 37),
        "symmetric": 90.0,
        "meaning": "Direction of the line from the tip of the nose to the lower lip",
    },
)

_DEFINITIONS: dict[str, Definition] = {
    "standard": Definition(
        name="standard",
        source="this project",
        purpose="New work: unchanged by moving, scaling, rotating and mirroring the photograph.",
        measurements=_REGISTRY,
        refuse_no_length=True,
    ),
    "huo2022": Definition(
        name="huo2022",
        source="the earlier research code behind the 2022 report",
        purpose="Reproducing results of that code, its defects included.",
        measurements=_HUO_2022,
        refuse_no_length=False,
    ),
    "parra2021": Definition(
        name="parra2021",
        source="the authors' released code for Parra-Dominguez et al. 2021, "
        "doi 10.3390/app11052435",
        purpose="Reproducing results of that code.",
        measurements=_PARRA_2021,
        refuse_no_length=False,
    ),
}
