"""The registry of side measures, and of the items of the Sunnybrook and the eFACE made of them.

A side measure compares the weak side with the other one: at rest, in a movement, or in what joins a
movement unasked. Columns, documentation and tests are made from it. No clinician scores these
items, so everything made of them is named `-style`. What 68 points cannot see has a reason in place
of measures and is never scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from common.movements import REST
from features.frames import FloatArray
from features.scales.places import (
    ALA,
    BROW,
    CORNER,
    DOWN,
    INWARDS,
    LIDS,
    LIP,
    POINTS_OF_PLACE,
    UP,
    closed,
    dragged,
    moved,
)

Zone = Literal["brow", "eye", "midface", "mouth"]
ZONES: tuple[Zone, ...] = ("brow", "eye", "midface", "mouth")
Kind = Literal["rest", "movement", "synkinesis"]
Scale = Literal["sunnybrook", "eface"]
Movements = Mapping[str, FloatArray]
"""Movement to `places_of` everybody, NaN where somebody has no photograph of it."""

SNARL = "snarl"  # of Sunnybrook; none of the eight standard movements
OURS = "this project"
ROSS_1996 = f"{OURS}, for an item of Ross et al. 1996, Otolaryngol Head Neck Surg 114:380"
BANKS_2015 = f"{OURS}, for an item of Banks et al. 2015, Plast Reconstr Surg 136:223e"
_EYE_DISTANCE = "% of the eye distance"
_LIDS_MOVED = "share of its opening at rest that the eye has closed"
_DRAGGED = "how far the corner of the mouth goes, as a share of the better side's full smile"
_FOLD = "68 points hold no nasolabial fold"


@dataclass(frozen=True, kw_only=True)
class SideMeasure:
    """One comparison of the weak side with the other."""

    # start of its columns, and in words
    name: str
    title: str
    kind: Kind  # at `rest`, in a `movement`, or `synkinesis`: what joins a movement unasked
    zone: Zone  # part of the face that it is about
    # movements whose photographs it takes, beside rest; the first is the one that is judged
    needs: tuple[str, ...] = ()
    amounts: Callable[[Movements], FloatArray]  # right and left of everybody, `(n, 2)`, in `unit`
    # whether weak is divided by other (1 is healthy); else other is subtracted (0 is healthy)
    ratio: bool = False
    unit: str
    # what `amounts` are, and of which places
    formula: str
    places: tuple[int, ...]
    source: str

    @property
    def column(self) -> str:
        """Column of the comparison."""
        return f"{self.name}_{'weak_to_other' if self.ratio else 'weak_minus_other'}"

    @property
    def healthy(self) -> float:
        """Value of a symmetric face."""
        return 1.0 if self.ratio else 0.0

    @property
    def points(self) -> tuple[int, ...]:
        """The 68-point indices used, of the patient's right."""
        return tuple(point for place in self.places for point in POINTS_OF_PLACE[place])

    def compare(self, amounts: FloatArray, weak: NDArray[np.intp]) -> FloatArray:
        """Hold the weak side (column 0 right or 1 left for each person) against the other."""
        rows = np.arange(len(amounts))
        bad, good = amounts[rows, weak], amounts[rows, 1 - weak]
        return bad / np.where(good > 0, good, np.nan) if self.ratio else bad - good


def _height(place: int) -> Callable[[Movements], FloatArray]:
    return lambda seen: 100 * seen[REST][:, place, :, 1]


def _tilt(seen: Movements) -> FloatArray:
    corners = seen[REST][:, CORNER]
    degrees = np.degrees(np.arctan2(corners[:, 0, 1] - corners[:, 1, 1], corners[..., 0].sum(1)))
    return np.stack([degrees, -degrees], axis=1) / 2


def _closing(task: str) -> Callable[[Movements], FloatArray]:
    return lambda seen: closed(seen[REST], seen[task])


def _movement(
    task: str,
    title: str,
    zone: Zone,
    place: int,
    what: str = "",
    towards: tuple[float, float] | None = None,
    *,
    source: str = ROSS_1996,
) -> SideMeasure:
    def travel(seen: Movements) -> FloatArray:
        return 100 * moved(seen[REST], seen[task], place=place, towards=towards)

    is_lids = place == LIDS
    return SideMeasure(
        name=task, title=title, kind="movement", zone=zone, needs=(task,), ratio=True,
        amounts=_closing(task) if is_lids else travel,
        unit="share" if is_lids else _EYE_DISTANCE, places=(place,),
        formula=_LIDS_MOVED if is_lids else f"how far {what} from rest", source=source,
    )  # fmt: skip


def _ocular(task: str, title: str) -> SideMeasure:
    return SideMeasure(
        name=f"ocular_in_{task}", title=title, kind="synkinesis", zone="eye", needs=(task,),
        amounts=_closing(task), unit="share", formula=_LIDS_MOVED, places=(LIDS,),
        source=BANKS_2015,
    )  # fmt: skip


def _midfacial(task: str, title: str) -> SideMeasure:
    return SideMeasure(
        name=f"midfacial_in_{task}", title=title, kind="synkinesis", zone="midface",
        needs=(task, "full_smile"), unit="share", formula=_DRAGGED, places=(CORNER,),
        amounts=lambda seen: dragged(seen[REST], seen[task], seen["full_smile"]), source=BANKS_2015,
    )  # fmt: skip


_CORNER_MOVES = "the corner of the mouth moves, the way of the side that moves farther,"

SIDE_MEASURES: tuple[SideMeasure, ...] = (
    SideMeasure(
        name="brow_at_rest", title="Brow at rest", kind="rest", zone="brow", places=(BROW,),
        amounts=_height(BROW), unit=_EYE_DISTANCE,
        formula="height of the brow above the line of the eyes", source=BANKS_2015,
    ),
    SideMeasure(
        name="fissure_at_rest", title="Palpebral fissure at rest", kind="rest", zone="eye",
        places=(LIDS,), amounts=_height(LIDS), ratio=True,
        unit=_EYE_DISTANCE, formula="height of the opening of the eye", source=ROSS_1996,
    ),
    SideMeasure(
        name="commissure_at_rest", title="Corner of the mouth at rest", kind="rest", zone="mouth",
        places=(CORNER,), amounts=_tilt, unit="degrees",
        formula="half the tilt of the line between the corners of the mouth", source=ROSS_1996,
    ),
    _movement("brow_raise", "Brow raise", "brow", BROW, "the brow rises", UP),
    _movement("gentle_eye_closure", "Gentle eye closure", "eye", LIDS),
    _movement("full_eye_closure", "Full eye closure", "eye", LIDS, source=BANKS_2015),
    _movement("gentle_smile", "Gentle smile", "midface", CORNER, _CORNER_MOVES, source=OURS),
    _movement("full_smile", "Full smile", "midface", CORNER, _CORNER_MOVES),
    _movement(SNARL, "Snarl", "midface", ALA, "the wing of the nose rises", UP),
    _movement("lip_pucker", "Lip pucker", "mouth", CORNER, "the mouth corner goes in", INWARDS),
    _movement(
        "lower_teeth", "Lower teeth shown", "mouth", LIP, "the lower lip sinks", DOWN,
        source=BANKS_2015,
    ),
    _ocular("full_smile", "Eye narrows in a smile"),
    _ocular(SNARL, "Eye narrows in a snarl"),
    _ocular("lip_pucker", "Eye narrows in a pucker"),
    _midfacial("brow_raise", "Mouth pulls in brow raise"),
    _midfacial("gentle_eye_closure", "Mouth pulls in eye closure"),
)  # fmt: skip
MEASURE_NAMED = {entry.name: entry for entry in SIDE_MEASURES}


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item of a scale."""

    # `sunnybrook` with `rest`, `voluntary`, `synkinesis`; `eface` with `static`, `dynamic`,
    # `synkinesis`
    scale: Scale
    part: str
    # end of its column, and in words
    name: str
    title: str
    # names of the side measures that it is the mean of; none for what points cannot see
    measures: tuple[str, ...] = ()
    why_not: str = ""  # why points cannot see it
    most: int = 100  # what it adds to its part at most
    counts: bool = True  # whether the scale itself has it

    @property
    def column(self) -> str:
        """Column of its score."""
        return f"{self.scale}_style_{self.part}_{self.name}"

    @property
    def is_standard(self) -> bool:
        """Whether the eight standard movements can carry it."""
        return bool(self.measures) and not any(SNARL in name for name in self.measures)


def _item(scale: Scale, part: str, name: str, title: str, *measures: str, **more: Any) -> Item:
    return Item(scale=scale, part=part, name=name, title=title, measures=measures, **more)


_sunnybrook, _eface = partial(_item, "sunnybrook"), partial(_item, "eface")
_CHIN = "68 points hold no skin of the chin"
ITEMS: tuple[Item, ...] = (
    _sunnybrook("rest", "eye", "Eye", "fissure_at_rest", most=1),
    _sunnybrook("rest", "cheek", "Cheek (nasolabial fold)", most=2, why_not=_FOLD),
    _sunnybrook("rest", "mouth", "Mouth", "commissure_at_rest", most=1),
    _sunnybrook("voluntary", "brow_raise", "Brow raise", "brow_raise", most=5),
    _sunnybrook("voluntary", "eye_closure", "Gentle eye closure", "gentle_eye_closure", most=5),
    _sunnybrook("voluntary", "smile", "Open-mouth smile", "full_smile", most=5),
    _sunnybrook("voluntary", "snarl", "Snarl", SNARL, most=5),
    _sunnybrook("voluntary", "pucker", "Lip pucker", "lip_pucker", most=5),
    _sunnybrook("synkinesis", "brow_raise", "In brow raise", "midfacial_in_brow_raise", most=3),
    _sunnybrook(
        "synkinesis", "eye_closure", "In eye closure", "midfacial_in_gentle_eye_closure", most=3
    ),
    _sunnybrook("synkinesis", "smile", "In a smile", "ocular_in_full_smile", most=3),
    _sunnybrook("synkinesis", "snarl", "In a snarl", "ocular_in_snarl", most=3),
    _sunnybrook("synkinesis", "pucker", "In a pucker", "ocular_in_lip_pucker", most=3),
    _eface("static", "brow", "Brow at rest", "brow_at_rest"),
    _eface("static", "fissure", "Palpebral fissure at rest", "fissure_at_rest"),
    _eface("static", "fold", "Nasolabial fold at rest", why_not=_FOLD),
    _eface("static", "commissure", "Corner of the mouth at rest", "commissure_at_rest"),
    _eface("dynamic", "brow", "Brow elevation", "brow_raise"),
    _eface("dynamic", "gentle_closure", "Gentle eye closure", "gentle_eye_closure"),
    _eface("dynamic", "full_closure", "Full eye closure", "full_eye_closure"),
    _eface("dynamic", "fold_depth", "Depth of the fold in smile", why_not=_FOLD),
    _eface("dynamic", "fold_orientation", "Orientation of the fold in smile", why_not=_FOLD),
    _eface("dynamic", "smile", "Corner of the mouth in smile", "full_smile"),
    _eface("dynamic", "lower_lip", "Lower lip in long e", "lower_teeth"),
    _eface("dynamic", "pucker", "Lip pucker (no item of the eFACE)", "lip_pucker", counts=False),
    _eface(
        "synkinesis", "ocular", "Ocular", "ocular_in_full_smile", "ocular_in_lip_pucker"
    ),
    _eface(
        "synkinesis", "midfacial", "Midfacial", "midfacial_in_gentle_eye_closure",
        "midfacial_in_brow_raise",
    ),
    _eface("synkinesis", "mentalis", "Mentalis", why_not=_CHIN),
    _eface("synkinesis", "platysma", "Platysma", why_not="68 points hold nothing of the neck"),
)  # fmt: skip
