"""Measure faces: 68 points in, 34 distances and 29 asymmetry features out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from features.definitions import STANDARD, DefinitionName, definition_named
from features.levelling import FloatArray, level
from features.registry import DISTANCE_NAMES, FEATURE_NAMES, PX


@dataclass(frozen=True)
class Measured:
    """What was measured on n photographs.

    Attributes
    ----------
    definition
        The definition used.
    distances
        n rows, the 34 distances in column order, px.
    features
        n rows, `f0` to `f28`; units in the registry.
    measurable
        `(n,)` False where points were missing, not finite, or (`standard`) all in one place; the
        rows are NaN there.
    """

    definition: DefinitionName
    distances: pd.DataFrame
    features: pd.DataFrame
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

    Parameters
    ----------
    points
        `(n, 68, 2)` px, x right, y down; missing is NaN.
    definition
        `standard`, `huo2022` or `parra2021`.

    Raises
    ------
    UserError
        When there is no such definition.
    ValueError
        When the array has another shape.
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
