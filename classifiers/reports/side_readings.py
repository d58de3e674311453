"""Right beside left: what was measured on the two sides of a patient, movement by movement.

Comes from `dists.csv` (and `landmarks.csv`), goes to the pages of patients, to `profile` and to
`grade`. Lengths are told in the unit of the table and as a share of the face's width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from common.movements import REST
from common.provenance import recorded
from common.words import spoken
from features.registry import DISTANCES
from features.scales.registry import SIDE_MEASURES
from features.scales.sides import Readings
from features.scales.thresholds import gate_of
from landmarks.points import JAW_LEFT, JAW_RIGHT, LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from landmarks.tables import points_of

USUAL_DEVIATIONS = 2.0  # about 95 % of healthy faces
FEWEST_HEALTHY = 3  # for a standard deviation that means something
_EYE_CORNERS = (36, 39, 42, 45)
_MOUTH_CORNERS = (48, 54)  # the patient's right and left


@dataclass(frozen=True, kw_only=True)
class Sign:
    """What a clinician looks at in one movement, at a `part` of the face.

    `pair` are the distances on the patient's right and left, None for the displacement of the mouth
    corners, which comes from the points; `does` is what a growing and a shrinking one is called;
    `change` whether the change from rest counts, or the distance itself.
    """

    part: str
    pair: tuple[str, str] | None
    does: tuple[str, str]
    change: bool


_BROW = Sign(part="brow", pair=("L", "M"), does=("rises", "sinks"), change=True)
_LIDS = Sign(part="eye", pair=("N", "O"), does=("stays open",) * 2, change=False)
_CORNER = Sign(part="mouth corner", pair=None, does=("moves",) * 2, change=True)
_LIP = Sign(  # the lip is drawn towards the side that moves
    part="eye-to-lip distance", pair=("F", "G"), does=("grows by", "shrinks by"), change=True
)
SIGNS: dict[str, tuple[Sign, ...]] = {
    REST: (
        replace(_BROW, does=("stands above the eye by",) * 2, change=False),
        replace(_LIDS, does=("is open",) * 2),
        replace(_LIP, does=("is",) * 2, change=False),
    ),
    "brow_raise": (_BROW,),
    "gentle_eye_closure": (_LIDS,),
    "full_eye_closure": (_LIDS,),
    "gentle_smile": (_CORNER, _LIP),
    "full_smile": (_CORNER, _LIP),
    "lip_pucker": (_CORNER, _LIP),
    "lower_teeth": (_CORNER, _LIP),
}
"""What is compared in each of the eight standard movements; other movements have no readings."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One sign of one photograph, on both sides of the patient.

    Lengths in `unit`, changes taken at the size of the face at rest; shares are of its width.
    """

    movement: str
    sign: Sign
    right: float
    left: float
    right_share: float
    left_share: float
    unit: str = "px"

    @property
    def difference(self) -> float:
        """Right minus left as a share of the face's width."""
        return self.right_share - self.left_share

    def sentence(self) -> str:
        """Return it as a clinician would say it."""
        movement = spoken(self.movement).capitalize()
        right, left = (self.sign.does[value < 0] for value in (self.right, self.left))
        again = "" if left == right else f"{left} "
        digits = 1 if self.unit in ("px", "mm") else 3
        return (
            f"{movement}: the right {self.sign.part} {right} {abs(self.right):.{digits}f} "
            f"{self.unit} ({abs(self.right_share):.3f} of the face's width), the left {again}"
            f"{abs(self.left):.{digits}f} {self.unit} ({abs(self.left_share):.3f})."
        )


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of right minus left in healthy patients, in face widths."""

    mean: float
    sd: float

    def deviations(self, difference: float) -> float:
        """Return how many standard deviations away a difference lies; -1 when all are alike."""
        return abs(difference - self.mean) / self.sd if self.sd > 0 else -1.0


def side_readings(
    dists: pd.DataFrame, *, landmarks: pd.DataFrame | None = None, unit: str = "px"
) -> list[Reading]:
    """Return what was measured on the two sides of one patient, in the order of the rows.

    `dists` are the patient's rows with the manifest's `task`; rows that were not measured, of
    unknown movements or (for changes) without a photograph at rest give nothing. `landmarks` is
    everybody's table, for the displacement of the mouth corners; `unit` that of the lengths
    (`length_unit`).
    """
    if "task" not in dists.columns:
        return []
    rows = dists[dists["status"] == "ok"]
    at_rest = rows[rows["task"] == REST]
    rest = at_rest[[entry.name for entry in DISTANCES]].mean() if len(at_rest) else None
    corners = _corner_displacements(rows, landmarks)
    readings = []
    for _, row in rows.iterrows():
        movement = str(row["task"])
        for sign in SIGNS.get(movement, ()):
            sides = _sides(row, sign=sign, rest=rest, corners=corners)
            if sides is None or not all(np.isfinite(sides)):
                continue
            width = float(rest["A"] if rest is not None else row["A"])
            readings.append(
                Reading(
                    movement=movement, sign=sign,
                    right=sides[0], left=sides[1],
                    right_share=sides[0] / width, left_share=sides[1] / width, unit=unit,
                )
            )  # fmt: skip
    return readings


def zone_table(
    sides: Readings, patient: str, *, worth: Mapping[str, float] | None = None, rises: bool = False
) -> pd.DataFrame:
    """Return how far each side moved, zone by zone, in percent of the side that moved farther.

    A row for each movement that can be compared with rest, of each visit. `worth` is how much lower
    (higher where `rises`) the answer would be with a part of the face as in healthy people, by the
    graders' regions; smile and lips are one region, told at the smile.
    """
    rows: list[dict[str, object]] = []
    own = sides.rows[sides.rows["patient_id"].astype(str) == patient]
    once = own.drop_duplicates("visit" if "visit" in own else "patient_id")  # not both readings
    for at in once.index:
        for entry in SIDE_MEASURES:
            amounts = sides.amounts[entry.name][at]
            if entry.kind != "movement" or not np.isfinite(amounts).all():
                continue
            better = float(amounts.max())
            shares = (f"{max(0.0, 100 * amount / better):.0f} %" for amount in amounts)
            right, left = shares if better >= gate_of(entry) else ("hardly at all",) * 2
            row: dict[str, object] = {"Zone": entry.zone, "Movement": entry.title.lower()}
            if "visit" in own:
                row["Visit"] = once.loc[at, "visit"]
            row |= {"Right": right, "Left": left}
            if worth is not None:
                told = {"brow": "brow", "eye": "eye", "midface": "mouth"}.get(entry.zone)
                first = all(other["Zone"] != entry.zone for other in rows)
                row[f"{'Higher' if rises else 'Lower'} if healthy"] = (
                    worth.get(told) if first and told else None
                )
            rows.append(row)
    return pd.DataFrame(rows)


def _sides(
    row: pd.Series, *, sign: Sign, rest: pd.Series | None, corners: dict[str, tuple[float, float]]
) -> tuple[float, float] | None:
    """Return lengths on the right and left, or None when they cannot be known."""
    if sign.pair is None:
        shares = corners.get(str(row["image_id"]))
        if shares is None or rest is None:
            return None
        return shares[0] * float(rest["A"]), shares[1] * float(rest["A"])
    now = [float(row[name]) for name in sign.pair]
    if rest is None:
        return None if sign.change else (now[0], now[1])
    # A face nearer to the camera is larger: bring it to its size at rest.
    scale = float(rest["A"]) / float(row["A"])
    then = [float(rest[name]) if sign.change else 0.0 for name in sign.pair]
    return now[0] * scale - then[0], now[1] * scale - then[1]


def _corner_displacements(
    rows: pd.DataFrame, landmarks: pd.DataFrame | None
) -> dict[str, tuple[float, float]]:
    """Return by photograph how far the right and left mouth corner are from their place at rest.

    In widths of the face at rest (between the ends of the jaw line, as distance A). Measured in
    the frame of the eyes (origin in the middle of the four eye corners, axis through the outer
    two, scale by their distance), so that moving or tilting the head is no movement of the mouth.
    """
    if landmarks is None:
        return {}
    tasks = dict(zip(rows["image_id"], rows["task"], strict=True))
    found = landmarks[landmarks["image_id"].isin(tasks) & (landmarks["status"] == "ok")]
    ids = [str(name) for name in found["image_id"]]
    at_rest = np.array([tasks[name] == REST for name in ids], dtype=bool)
    if not at_rest.any():
        return {}
    faces = points_of(found) @ np.array([1, 1j])  # a point as one complex number
    across = faces[:, LEFT_EYE_OUTER] - faces[:, RIGHT_EYE_OUTER]
    origin = faces[:, list(_EYE_CORNERS)].mean(axis=1)
    corners = (faces[:, list(_MOUTH_CORNERS)] - origin[:, None]) / across[:, None]
    jaw = np.abs(faces[:, JAW_LEFT] - faces[:, JAW_RIGHT])
    eyes_per_width = (np.abs(across) / jaw)[at_rest].mean()
    moved = np.abs(corners - corners[at_rest].mean(axis=0)) * eyes_per_width
    return {
        name: (float(right), float(left))
        for name, (right, left), rest in zip(ids, moved, at_rest, strict=True)
        if not rest
    }


def length_unit(folder: Path) -> str:
    """Return the unit of the lengths in a folder's `dists.csv`, as its `run.json` says; else px."""
    return str(recorded(folder, "notes").get("unit", "px"))


def most_uneven(
    readings: Iterable[Reading],
    *,
    reference: Mapping[tuple[str, str], Spread] | None = None,
    count: int = 4,
) -> list[Reading]:
    """Return the readings in which the sides differ most.

    With `reference`, the `side_spread` of healthy patients, differences are counted in their
    standard deviations, and those within `USUAL_DEVIATIONS` of the healthy mean are left out.
    """

    def strength(reading: Reading) -> float:
        if reference is None:
            return abs(reading.difference)
        healthy = reference.get((reading.movement, reading.sign.part))
        return healthy.deviations(reading.difference) if healthy else -1.0

    least = 0.0 if reference is None else USUAL_DEVIATIONS
    uneven = [reading for reading in readings if strength(reading) >= least]
    return sorted(uneven, key=strength, reverse=True)[:count]


def side_spread(people: Iterable[Iterable[Reading]]) -> dict[tuple[str, str], Spread]:
    """Return the spread of right minus left by movement and part, where three people were read.

    Everybody counts once, by the mean of their own readings.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for readings in people:
        own: dict[tuple[str, str], list[float]] = {}
        for reading in readings:
            own.setdefault((reading.movement, reading.sign.part), []).append(reading.difference)
        for key, values in own.items():
            found.setdefault(key, []).append(float(np.mean(values)))
    return {
        key: Spread(mean=float(np.mean(values)), sd=float(np.std(values, ddof=1)))
        for key, values in found.items()
        if len(values) >= FEWEST_HEALTHY
    }
