"""How long a px is: in mm from the iris or from the user, or in diagonals of the face box.

Lengths are measured in px and multiplied at the end; features and angles have no unit and do not
change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError
from landmarks.find.iris import Irises
from landmarks.tables import BOX_COLUMNS

ScaleName = Literal["none", "iris", "box"]
Unit = Literal["px", "mm", "box diagonal"]

IrisRadii = tuple[float | None, float | None]
RADIUS_COLUMNS = ("iris_radius_right", "iris_radius_left")
"""Columns of a manifest in which known iris radii are given, px of the photograph."""

IRIS_DIAMETER_MM = 11.77
"""Mean horizontal diameter of the visible iris of men (0.37 mm standard deviation; women 11.64).

Rüfer et al. 2005, Cornea 24:259-261, doi 10.1097/01.ico.0000148312.01805.53; the value that
Emotrics uses for everybody. A person's own iris may be 6 % larger or smaller.
"""


@dataclass(frozen=True)
class Scale:
    """How lengths are scaled in one run."""

    name: ScaleName = "none"  # `none`, `iris` or `box`
    mm_per_px: float | None = None  # given by the user for every photograph; None otherwise
    # given radii of the right and left iris by `image_id`, px
    iris_radii: Mapping[str, IrisRadii] = field(default_factory=dict)

    @property
    def needs_irises(self) -> bool:
        """Whether irises are looked for."""
        return self.name == "iris"

    def mm_per_px_of(self, irises: Irises | None, *, ok: bool) -> float:
        """Return mm per px of one photograph; NaN where it is not `ok` or has no scale in mm."""
        if not ok:
            return float("nan")
        if self.mm_per_px is not None:
            return self.mm_per_px
        return float("nan") if irises is None else mm_per_px_of(irises)


def iris_radii_of(manifest: pd.DataFrame | None) -> dict[str, IrisRadii]:
    """Return the iris radii that a manifest gives, by `image_id`.

    UserError when a radius is not a positive number.
    """
    if manifest is None or not any(name in manifest for name in RADIUS_COLUMNS):
        return {}
    radii: dict[str, IrisRadii] = {}
    for row in manifest.reindex(columns=["image_id", *RADIUS_COLUMNS]).itertuples(index=False):
        image_id, *given = row
        values = [None if pd.isna(value) else _radius(value, str(image_id)) for value in given]
        if any(value is not None for value in values):
            radii[str(image_id)] = (values[0], values[1])
    return radii


def _radius(value: object, image_id: str) -> float:
    try:
        radius = float(str(value))
    except ValueError:
        radius = float("nan")
    if not (np.isfinite(radius) and radius > 0):
        raise UserError(
            f'The manifest gives "{value}" as iris radius of {image_id}: give px or leave it empty.'
        )
    return radius


def unit_of(scale: ScaleName, *, mm_per_px: float | None = None) -> Unit:
    """Return the unit that lengths have under these options.

    UserError when both a scale and mm per px are asked for, or mm per px is not positive.
    """
    if mm_per_px is None:
        units: dict[ScaleName, Unit] = {"none": "px", "iris": "mm", "box": "box diagonal"}
        return units[scale]
    if scale != "none":
        raise UserError(f"--scale {scale} and --mm-per-px exclude each other: give one of them.")
    if not (np.isfinite(mm_per_px) and mm_per_px > 0):
        raise UserError(
            f"--mm-per-px is {mm_per_px:g}: give the mm that one px is long, such as 0.2."
        )
    return "mm"


def mm_per_px_of(irises: Irises) -> float:
    """Return mm per px from the mean radius of the irises that were found; NaN without any.

    A given radius counts although its eye is closed.
    """
    radii = [iris.radius for iris in (irises.right, irises.left) if np.isfinite(iris.radius)]
    return IRIS_DIAMETER_MM / (2 * float(np.mean(radii))) if radii else float("nan")


def no_scale_reason(irises: Irises) -> str:
    """Return one sentence on why the irises give no scale; empty when they do."""
    if np.isfinite(mm_per_px_of(irises)):
        return ""
    right, left = (iris.reason.rstrip(".") for iris in (irises.right, irises.left))
    return f"No iris gives a scale (right: {right}; left: {left})."


def length_factors(landmark_table: pd.DataFrame, *, unit: Unit) -> NDArray[np.float64]:
    """Return what each photograph's lengths in px have to be multiplied by, `(n,)` float64.

    NaN where a photograph has no scale, so that its lengths are missing.

    `landmark_table`: columns of `landmarks.tables.LANDMARKS`.
    `unit`: `px`, `mm` (column `mm_per_px`) or `box diagonal` (of the detection box, whose first
    and last px belong to it).

    UserError when the table lacks the columns.
    """
    if unit == "px":
        return np.ones(len(landmark_table))
    needed = ("mm_per_px",) if unit == "mm" else BOX_COLUMNS
    absent = [name for name in needed if name not in landmark_table]
    if absent:
        raise UserError(
            f'The landmark table has no column "{absent[0]}", which lengths in {unit} need: '
            "measure in px, or run extract with --scale."
        )
    if unit == "mm":
        factors = landmark_table["mm_per_px"].to_numpy(dtype=np.float64)
    else:
        left, top, right, bottom = landmark_table[list(BOX_COLUMNS)].to_numpy(dtype=np.float64).T
        factors = 1 / np.hypot(right - left + 1, bottom - top + 1)
    return np.where(np.isfinite(factors) & (factors > 0), factors, np.nan)
