"""How the points of a network's training were found, so that new photographs get theirs alike.

A network that learned from points averaged over ten copies of each face answers one in twenty
photographs differently when it is shown points of one plain prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from common.errors import UserError
from features.tables import landmark_run_of
from landmarks.find.method import (
    DEFAULT_COPIES,
    DEFAULT_KIND,
    OPTIONS,
    POINTS,
    Method,
    Points,
    make_method,
)
from landmarks.predictor import PREDICTORS, PredictorFile, find_predictor

NOTE = "points"  # key of the notes that are kept in the weights


@dataclass(frozen=True)
class PointsMethod:
    """Options of `extract` that decide where points lie, and the landmark model's checksum."""

    predictor: str = "ibug"
    sha256: str | None = None
    tta: int = DEFAULT_COPIES
    tta_kind: str | None = DEFAULT_KIND
    tta_average: str | None = "median"
    relevel: bool = True
    seed: int | None = 0
    points: Points = "whole"

    @classmethod
    def of_table(cls, landmarks: Path) -> PointsMethod | None:
        """Read it from the record of the run that made a landmark table; None when unknown."""
        record = landmark_run_of(landmarks) or {}
        settings = record.get("settings", {})
        known = {name: settings[name] for name in OPTIONS if name in settings}
        if {"predictor", *OPTIONS} - {"points"} - set(settings):  # points: earlier do not say it
            return None
        name = str(settings["predictor"])
        return cls(
            # A path may hold a user's name; the checksum says whether it is the same file.
            predictor=name if name in PREDICTORS else Path(name).name,
            sha256=record.get("files", {}).get("predictor", {}).get("sha256"),
            **known,
        )

    def as_note(self) -> dict[str, Any]:
        """Return plain values, to be kept with the weights."""
        return asdict(self)

    def method(self) -> Method:
        """Return the same as an extraction takes it."""
        copies = {"tta_kind": self.tta_kind, "tta_average": self.tta_average, "seed": self.seed}
        given = {name: value for name, value in copies.items() if value is not None}
        return make_method(
            tta=self.tta,
            relevel=self.relevel,
            points=self.points,
            **given,  # type: ignore[arg-type]
        )

    def words(self) -> str:
        """Say it in words."""
        how = f"{self.tta} altered copies of each face" if self.tta else "one plain prediction"
        how += f", {POINTS[self.points]}" if self.points != "whole" else ""
        return f"{how}, {'levelled' if self.relevel else 'not levelled'}, model {self.predictor}"


@dataclass(frozen=True)
class ChosenPoints:
    """How points of new photographs are found, with which model, and what must be said of it."""

    way: PointsMethod
    predictor: PredictorFile
    sentences: tuple[str, ...]


def points_like_training(
    notes: Sequence[Mapping[str, Any]], *, predictor: str | None, tta: int | None
) -> ChosenPoints:
    """Choose how points are found: as in the networks' training, unless options say otherwise.

    `notes` are those of each network's weights. UserError when the networks' trainings differ, or
    their landmark model is not here.
    """
    kept = [note.get(NOTE) for note in notes]
    if any(one != kept[0] for one in kept):
        raise UserError(
            "The weights were trained on points that were found in different ways: give those of "
            "one training."
        )
    known = PointsMethod(**kept[0]) if kept[0] else None
    way = known or PointsMethod()
    if tta is not None and tta != way.tta:
        kind, average = way.tta_kind or DEFAULT_KIND, way.tta_average or "median"
        way = replace(way, tta=tta, tta_kind=kind, tta_average=average, relevel=tta > 0)
    try:
        found = find_predictor(predictor or way.predictor)
    except UserError as error:
        if predictor or known is None:
            raise
        raise UserError(
            f'The networks were trained on points of the landmark model "{way.predictor}", which '
            "is not here: give its file by --predictor."
        ) from error
    same = known is not None and known.sha256 in (None, found.sha256)
    if known and not same and not predictor:
        raise UserError(
            f'The landmark model "{way.predictor}" here is another file than the one that the '
            "networks' points came from: give that file, or any other, by --predictor."
        )
    way = replace(way, predictor=found.name, sha256=found.sha256)
    return ChosenPoints(way, found, tuple(_sentences(known, way, same=same)))


def _sentences(known: PointsMethod | None, way: PointsMethod, *, same: bool) -> list[str]:
    told = [f"Points of new photographs: {way.words()}."]
    if known is None:
        told.append(
            "Warning: the weights do not say how the points of their training were found; if it "
            "was otherwise, answers may be off (--tta, --predictor)."
        )
    elif not same or way.method() != known.method():
        told.append(
            f"Warning: the networks were trained on other points ({known.words()}): their answers "
            "may be off."
        )
    else:
        told = [f"Points as in training: {way.words()}."]
    return told
