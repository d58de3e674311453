"""How the points of a photograph are found: every choice that changes them, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.errors import UserError
from landmarks.find.augmentation import Augmentation, parse_augmentation
from landmarks.find.tta import Average

DEFAULT_COPIES = 10
DEFAULT_KIND = "rotation_normal+box+mirror"
"""Chosen on 30 of the 60 simulated patients of `sim_meei` and confirmed on the other 30, with
`evaluate-landmarks --grid`: of the single kinds and combinations it lowers the error most, if
little, and more than 10 copies add hardly anything. Noise raises the error."""


@dataclass(frozen=True)
class Method:
    """The choices of one extraction; those left out are those of a plain prediction.

    Attributes
    ----------
    detection_width
        Width in px to which a photograph is reduced before the first search for faces.
    colour
        Detect and predict on RGB in place of grey.
    augmentation
        Copies whose points are averaged; None predicts once.
    average
        Of the copies: per-point `median`, or `trimmed_mean` without 20 % at either end.
    relevel
        Level the head by its measured tilt and predict again.
    """

    detection_width: int = 200
    colour: bool = False
    augmentation: Augmentation | None = None
    average: Average = "median"
    relevel: bool = False

    @property
    def reads_colour(self) -> bool:
        """Whether photographs must be decoded in colour."""
        return self.colour or (self.augmentation is not None and self.augmentation.per_channel)

    def settings(self) -> Mapping[str, Any]:
        """Return every choice by name, for `run.json` and for the journal."""
        copies = self.augmentation
        return {
            "detection_width": self.detection_width,
            "colour": self.colour,
            "tta": copies.copies if copies else 0,
            "tta_kind": "+".join(f"{k}:{s:g}" for k, s in copies.kinds) if copies else None,
            "tta_average": self.average if copies else None,
            "seed": copies.seed if copies else None,
            "relevel": self.relevel,
        }


def make_method(
    *,
    tta: int = 0,
    tta_kind: str = DEFAULT_KIND,
    tta_average: Average = "median",
    relevel: bool | None = None,
    seed: int = 0,
    detection_width: int = 200,
    colour: bool = False,
) -> Method:
    """Make a `Method` from the options of a command; `tta` 0 makes no copies.

    Unless it is said, the head is levelled with copies and not without: to level copies costs
    nothing, and halves the change of the features when a photograph is turned; a single second
    prediction gains nothing.

    Raises
    ------
    UserError
        When an option has a value that it cannot have.
    """
    if seed < 0:
        raise UserError(f"--seed is {seed}: give 0 or more.")
    if detection_width < 80:
        raise UserError(f"The detection width is {detection_width}: give 80 px or more.")
    augmentation = parse_augmentation(tta_kind, copies=tta, seed=seed) if tta else None
    return Method(
        detection_width=detection_width,
        colour=colour,
        augmentation=augmentation,
        average=tta_average,
        relevel=bool(tta) if relevel is None else relevel,
    )
