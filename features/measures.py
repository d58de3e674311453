"""The registry of clinical measures, after Emotrics: columns, documentation and drawings.

Every measure is the line between two places of the face, taken on both sides: its length, its
vertical part, or its direction. The definitions follow Guarin et al. 2020 and Emotrics' public
source (github.com/dguari1/Emotrics); ours differ where said. Positive is upwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from features.frames import FacesInFrame, FloatArray, faces_in_frame
from landmarks.find.iris import Irises

Side = Literal["right", "left"]
SIDES: tuple[Side, Side] = ("right", "left")
Kind = Literal["rise", "distance", "angle"]

GUARIN_2020 = "Guarin et al. 2020, arXiv 1910.11497, and the source of Emotrics"
OURS = f"this project, after {GUARIN_2020}"

_BROW: dict[Side, Sequence[int]] = {"right": range(17, 22), "left": range(22, 27)}
_UPPER_LID: dict[Side, Sequence[int]] = {"right": (36, 37, 38, 39), "left": (42, 43, 44, 45)}
_LOWER_LID: dict[Side, Sequence[int]] = {"right": (36, 41, 40, 39), "left": (42, 47, 46, 45)}
_LID_MIDDLE = {"right": (37, 38, 40, 41), "left": (43, 44, 46, 47)}
_COMMISSURE = {"right": 48, "left": 54}
_UPPER_LIP, _LOWER_LIP = range(48, 55), (48, 59, 58, 57, 56, 55, 54)
_UPPER_LIP_INSIDE, _LOWER_LIP_INSIDE = range(60, 65), (60, 67, 66, 65, 64)

Ends = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One clinical measure."""

    name: str  # start of its columns
    title: str  # in words, for pictures and reports
    # `rise` (vertical part of the line, upwards positive), `distance` (its length) or `angle`
    kind: Kind
    # function of the faces and a side that gives both ends of the line, `(n, 2)` in the frame
    ends: Callable[[FacesInFrame, Side], Ends]
    formula: str  # what is computed
    points: tuple[int, ...]  # the 68-point indices used, of the patient's right
    meaning: str  # what it tells
    source: str = GUARIN_2020  # where the definition stands
    never_negative: bool = False  # whether crossing curves (closed lips) count as 0

    @property
    def is_length(self) -> bool:
        """Whether it takes the unit of the scale; an angle is in degrees."""
        return self.kind != "angle"

    def value(self, faces: FacesInFrame, side: Side) -> FloatArray:
        """Return the measure of one side, `(n,)` px or degrees."""
        start, end = self.ends(faces, side)
        dx, up = (end - start)[:, 0], (start - end)[:, 1]
        if self.kind == "rise":
            return np.maximum(up, 0.0) if self.never_negative else up
        if self.kind == "distance":
            return np.hypot(dx, up)
        outwards = dx if side == "left" else -dx
        return np.degrees(np.arctan2(outwards, -up))


@dataclass(frozen=True)
class MeasuredFaces:
    """The measures of n faces in px and degrees, by name and side, with the frames used."""

    values: dict[str, dict[Side, FloatArray]]
    faces: FacesInFrame


def measure_faces(
    points: FloatArray, irises: Sequence[Irises | None] | None = None
) -> MeasuredFaces:
    """Take all clinical measures.

    `points`: `(n, 68, 2)` px.
    `irises`: one per face, or None where they were not looked for; see `features.frames`.

    Returns NaN for a face without points, and for a measure whose curve does not reach the
    place.
    """
    faces = faces_in_frame(points, irises)
    values = {entry.name: {side: entry.value(faces, side) for side in SIDES} for entry in MEASURES}
    return MeasuredFaces(values=values, faces=faces)


def _from_centre(curve: Mapping[Side, Sequence[int]], *, up: bool) -> Callable[..., Ends]:
    """Return the line from the eye's centre straight up, or down, to a curve."""

    def ends(faces: FacesInFrame, side: Side) -> Ends:
        centre = faces.eye(side)
        there = faces.curve_at(curve[side], centre[:, 0])
        return (centre, there) if up else (there, centre)

    return ends


def _between_lids(faces: FacesInFrame, side: Side) -> Ends:
    middle = faces.points[:, list(_LID_MIDDLE[side]), 0].mean(axis=1)
    return faces.curve_at(_LOWER_LID[side], middle), faces.curve_at(_UPPER_LID[side], middle)


def _to_commissure(faces: FacesInFrame, side: Side) -> Ends:
    midline = np.zeros(len(faces.points))
    return faces.curve_at(_LOWER_LIP, midline), faces.points[:, _COMMISSURE[side]]


def _to_eye_line(place: FloatArray) -> Ends:
    return place, place * (1.0, 0.0)


def _commissure_below_eyes(faces: FacesInFrame, side: Side) -> Ends:
    return _to_eye_line(faces.points[:, _COMMISSURE[side]])


def _lip_below_eyes(curve: Sequence[int]) -> Callable[..., Ends]:
    return lambda faces, side: _to_eye_line(faces.curve_at(curve, _half_way(faces, side)))


def _half_way(faces: FacesInFrame, side: Side) -> FloatArray:
    return faces.points[:, _COMMISSURE[side], 0] / 2


def _between_lips(faces: FacesInFrame, side: Side) -> Ends:
    x = _half_way(faces, side)
    return faces.curve_at(_LOWER_LIP_INSIDE, x), faces.curve_at(_UPPER_LIP_INSIDE, x)


MEASURES: tuple[Measure, ...] = (
    Measure(
        name="brow_height", title="Brow height", kind="rise", ends=_from_centre(_BROW, up=True),
        formula="eye centre to the brow straight above it", points=tuple(_BROW["right"]),
        meaning="A drooping brow is lower",
    ),
    Measure(
        name="mrd1", title="MRD1", kind="rise", ends=_from_centre(_UPPER_LID, up=True),
        formula="eye centre to the upper lid straight above it", points=tuple(_UPPER_LID["right"]),
        meaning="Margin-reflex distance 1: a drooping upper lid makes it small, over the centre "
        "negative (Emotrics gives it without sign)",
        source=OURS,
    ),
    Measure(
        name="mrd2", title="MRD2", kind="rise", ends=_from_centre(_LOWER_LID, up=False),
        formula="lower lid straight below the eye centre to the centre",
        points=tuple(_LOWER_LID["right"]),
        meaning="Margin-reflex distance 2: a sagging lower lid makes it large", source=OURS,
    ),
    Measure(
        name="palpebral_fissure_height", title="Palpebral fissure", kind="rise", ends=_between_lids,
        formula="lower lid to upper lid, half-way between the lid points",
        points=(36, 37, 38, 39, 40, 41), meaning="Height of the opening of the eye",
    ),
    Measure(
        name="commissure_excursion", title="Commissure excursion", kind="distance",
        ends=_to_commissure,
        formula="lower edge of the lower lip on the face's midline to the mouth corner",
        points=_LOWER_LIP, meaning="How far the corner of the mouth is drawn outwards",
    ),
    Measure(
        name="smile_angle", title="Smile angle", kind="angle", ends=_to_commissure,
        formula="between the midline downwards and the line of the commissure excursion",
        points=_LOWER_LIP,
        meaning="90 when the corner is level with the lower lip, more when it is drawn up",
    ),
    Measure(
        name="commissure_height", title="Commissure height", kind="rise",
        ends=_commissure_below_eyes, formula="mouth corner up to the line of the eye centres",
        points=(48,),
        meaning="A hanging corner is further below the eyes; Emotrics gives the difference only",
        source=OURS,
    ),
    Measure(
        name="dental_show", title="Dental show", kind="rise", ends=_between_lips,
        formula="lower to upper lip, inner edges, half-way between midline and mouth corner; "
        "0 when the lips meet",
        points=(48, *_UPPER_LIP_INSIDE, *_LOWER_LIP_INSIDE[1:4]),
        meaning="How far the teeth are shown (Emotrics takes the place on the upper lip half as "
        "far from the corner as the midline is)",
        source=OURS, never_negative=True,
    ),
    Measure(
        name="upper_lip_height", title="Upper lip height", kind="rise",
        ends=_lip_below_eyes(_UPPER_LIP),
        formula="upper edge of the upper lip, half-way between midline and mouth corner, up to "
        "the line of the eye centres",
        points=tuple(_UPPER_LIP),
        meaning="An upper lip that is not raised is further below the eyes", source=OURS,
    ),
    Measure(
        name="lower_lip_height", title="Lower lip height", kind="rise",
        ends=_lip_below_eyes(_LOWER_LIP),
        formula="lower edge of the lower lip, half-way between midline and mouth corner, up to "
        "the line of the eye centres",
        points=_LOWER_LIP, meaning="A lower lip that is not drawn down is nearer to the eyes",
        source=OURS,
    ),
)  # fmt: skip
