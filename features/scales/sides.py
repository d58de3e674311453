"""The weak side of every patient held against the other, in every side measure of the registry.

Where the manifest does not name one weak side, nothing is guessed: the patient is read both ways,
once as if the right were the weak side and once the left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError
from common.movements import REST
from common.tables import GRADES, severities, sort_naturally
from common.words import spoken
from features.frames import FloatArray, faces_in_frame
from features.scales.places import LIDS, POINTS_OF_PLACE, places_of
from features.scales.registry import MEASURE_NAMED, SIDE_MEASURES, ZONES, SideMeasure
from features.scales.thresholds import gate_of
from landmarks.tables import points_of

SIDES = ("right", "left")
OK, MISSING, TOO_LITTLE, NOT_MEASURED, NO_THRESHOLD = STATUSES = (
    "ok", "missing_movement", "too_little_movement", "not_measured", "no_threshold",
)  # fmt: skip
_ABOUT_PATIENT = ("visit", "date", "hb_grade")


@dataclass(frozen=True)
class Readings:
    """Every patient and visit read by the weak side, or both ways: n rows."""

    # `patient_id`, `visit`, `date` and `hb_grade` where known, `side` as the manifest has it,
    # `weak_side` of this reading, `healthy`, `photographs`, `used`, `eye_distance_mm`
    rows: pd.DataFrame
    # `(n, 68, 2)` points at rest in eye distances, in the frame of the eyes; NaN without rest
    rest: FloatArray
    # by side measure `(n, 2)`, the patient's right and left, in its unit
    amounts: Mapping[str, FloatArray]
    # by side measure `(n,)`, the comparison; NaN unless its status is `ok`
    values: Mapping[str, FloatArray]
    # by side measure `(n,)` text
    status: Mapping[str, NDArray[np.object_]]
    reasons: Mapping[str, NDArray[np.object_]]

    @property
    def owners(self) -> NDArray[np.intp]:
        """Number of the patient of each row, whatever the visit."""
        return np.asarray(pd.factorize(self.rows["patient_id"])[0], dtype=np.intp)


def read_sides(landmarks: pd.DataFrame, known: pd.DataFrame, *, source: str) -> Readings:
    """Compare the sides of every patient.

    `landmarks`: columns of `landmarks.tables.LANDMARKS`, one row per photograph.
    `known`: `image_id`, `patient_id`, `task`, and where known `side`, `visit`, `date`,
    `hb_grade`, `palsy_class`. Photographs without a patient or a movement are left out.
    `source`: what both come from, for the sentence of an error.

    UserError when no patient or movement is named.
    """
    for name in ("patient_id", "task"):
        if name not in known or known[name].isna().all():
            raise UserError(
                f"{source} does not name {'patients' if name == 'patient_id' else 'movements'} "
                f"(column {name}): give the manifest with --manifest."
            )
    photos = landmarks.merge(
        known.drop(columns=["status", "reason", "path"], errors="ignore"), on="image_id"
    )
    photos = photos[photos["patient_id"].notna() & photos["task"].notna()]
    visits = photos["visit"].fillna("") if "visit" in photos else pd.Series("", photos.index)
    photos = pd.concat([photos, visits.rename("_visit")], axis=1)
    photos = sort_naturally(photos, ["_visit"], key="_visit")
    photos = sort_naturally(photos, ["patient_id"], key="patient_id")
    person = photos.groupby(["patient_id", "_visit"], sort=False).ngroup().to_numpy()
    rows = pd.DataFrame([_about(own) for _, own in photos.groupby(person, sort=False)])
    ok = (photos["status"] == "ok").to_numpy(dtype=bool)
    points = np.where(ok[:, None, None], points_of(photos), np.nan)
    faces = faces_in_frame(points)
    mm = faces.apart * photos.get("mm_per_px", pd.Series(np.nan, photos.index)).to_numpy(float)
    rows["eye_distance_mm"] = pd.Series(mm).groupby(person).median().to_numpy()
    flat = (
        pd.DataFrame(places_of(points).reshape(len(points), -1))
        .groupby([photos["task"].to_numpy(dtype=np.str_), person])
        .mean()
    )  # several photographs of one movement count as their mean
    at_rest = faces.points / faces.apart[:, None, None]
    rest = pd.DataFrame(at_rest.reshape(len(points), -1))[(photos["task"] == REST).to_numpy()]
    rest = rest.groupby(person[rest.index]).mean().reindex(range(len(rows)))

    reading, weak = map(np.array, zip(*_both_ways(rows["side"]), strict=True))
    tasks = {REST, *(task for entry in SIDE_MEASURES for task in entry.needs)}
    there = set(flat.index.get_level_values(0))
    nothing = np.full((len(rows), len(POINTS_OF_PLACE), 2, 2), np.nan)
    seen = {
        task: flat.loc[task].reindex(range(len(rows))).to_numpy().reshape(nothing.shape)
        if task in there
        else nothing
        for task in tasks
    }
    taken = {task: set(person[(photos["task"] == task).to_numpy()]) for task in tasks}
    amounts = {entry.name: entry.amounts(seen)[reading] for entry in SIDE_MEASURES}
    told = {
        entry.name: _judged(entry, amounts, weak, reading, seen=seen, taken=taken)
        for entry in SIDE_MEASURES
    }
    return Readings(
        rows=rows.iloc[reading].assign(weak_side=np.array(SIDES)[weak]).reset_index(drop=True),
        rest=rest.to_numpy().reshape(-1, 68, 2)[reading],
        amounts=amounts,
        values={
            name: np.where(status == OK, MEASURE_NAMED[name].compare(amounts[name], weak), np.nan)
            for name, (status, _) in told.items()
        },
        status={name: status for name, (status, _) in told.items()},
        reasons={name: reasons for name, (_, reasons) in told.items()},
    )


def weakness(values: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return how weak each zone is, 0 (as the other side) to 1 (no movement), `(n,)` each.

    One minus the mean share of its movements that can be compared; NaN where none can.
    """
    found: dict[str, FloatArray] = {}
    for zone in ZONES:
        own = [values[e.name] for e in SIDE_MEASURES if e.kind == "movement" and e.zone == zone]
        found[zone] = 1.0 - np.clip(mean_of(own), 0.0, 1.0)
    return found


def mean_of(columns: list[FloatArray]) -> FloatArray:
    """Return the mean of what is known in each row, NaN where nothing is."""
    stack = np.stack(columns)
    known = np.isfinite(stack)
    total = np.where(known, stack, 0.0).sum(axis=0)
    return total / np.where(known.any(axis=0), known.sum(axis=0), np.nan)


def _about(own: pd.DataFrame) -> dict[str, object]:
    """What is known of one patient at one visit."""
    first = own.iloc[0]
    sides = set(own["side"].dropna()) if "side" in own else set()
    side = sides.pop() if len(sides) == 1 else "unknown"  # two sides in a manifest: nobody knows
    severity = severities(own).dropna()
    healthy = (severity == GRADES[0]).all() if len(severity) else side == "none"
    return {
        "patient_id": first["patient_id"],
        **{name: first[name] for name in _ABOUT_PATIENT if name in own},
        "side": side,
        "healthy": bool(healthy),
        "photographs": len(own),
        "used": int((own["status"] == "ok").sum()),
    }


def _both_ways(sides: pd.Series) -> Iterator[tuple[int, int]]:
    """Yield row and weak side (0 right, 1 left): one for a known side, else both."""
    for row, side in enumerate(sides):
        for weak in (0, 1) if side not in SIDES else (SIDES.index(side),):
            yield row, weak


def _judged(
    entry: SideMeasure,
    amounts: Mapping[str, FloatArray],
    weak: NDArray[np.intp],
    reading: NDArray[np.intp],
    *,
    seen: Mapping[str, FloatArray],
    taken: Mapping[str, set[int]],
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Return status and reason of one measure in every reading."""
    status = np.full(len(reading), OK, dtype=object)
    reasons = np.full(len(reading), None, dtype=object)

    def say(rows: NDArray[np.bool_], what: str, why: str) -> None:
        fresh = rows & (status == OK)
        status[fresh], reasons[fresh] = what, why

    for task in (REST, *entry.needs):
        photographed = np.isin(reading, list(taken[task]))
        gone = ~np.isfinite(seen[task][reading, LIDS]).all(axis=(1, 2))
        say(gone & ~photographed, MISSING, f"no photograph of {spoken(task)}")
        say(gone, MISSING, f"the photograph of {spoken(task)} could not be measured")
        judged = MEASURE_NAMED.get(task)
        if judged is not None:
            other = amounts[task][np.arange(len(weak)), 1 - weak]
            say(
                ~(other >= gate_of(judged)),
                TOO_LITTLE,
                f"{spoken(task)}: the other side hardly moves, so that there is nothing to "
                "compare with",
            )
    value = entry.compare(amounts[entry.name], weak)
    say(~np.isfinite(value), NOT_MEASURED, "an eye is closed at rest")
    return status, reasons


MOVED_COLUMNS = ("moved_right", "moved_left", "moved_unit", "moved_weak_to_other")


def moved_from_rest(points: FloatArray, known: pd.DataFrame) -> pd.DataFrame:
    """Return `MOVED_COLUMNS` of n photographs, empty where nothing is known of rest or movement.

    `points`: `(n, 68, 2)` px.
    `known`: a row for each photograph with what is known of `patient_id`, `visit`, `task` and
    `healthy_side`.
    """
    n = len(points)
    amounts, ratio = np.full((n, 2), np.nan), np.full(n, np.nan)
    unit = np.full(n, None, dtype=object)
    if {"patient_id", "task"} <= set(known.columns):
        task, person = known["task"].to_numpy(dtype=object), known["patient_id"].astype("str")
        if "visit" in known:
            person = person + "\n" + known["visit"].astype("str").fillna("")
        places = places_of(points)
        flat = pd.DataFrame(places.reshape(n, -1))
        rest = flat[task == REST].groupby(person.to_numpy()[task == REST]).mean()
        at_rest = rest.reindex(person.to_numpy()).to_numpy().reshape(places.shape)
        weak = known["healthy_side"].map({"left": 0, "right": 1})  # the other one is weak
        for entry in SIDE_MEASURES:
            own = np.flatnonzero(task == entry.name)
            if entry.kind != "movement" or not len(own):
                continue
            seen = {REST: at_rest[own], entry.name: places[own]}
            amounts[own], unit[own] = entry.amounts(seen), entry.unit
            sure = own[weak.iloc[own].notna().to_numpy()]
            side = np.asarray(weak.iloc[sure], dtype=np.intp)
            enough = amounts[sure, 1 - side] >= gate_of(entry)
            ratio[sure[enough]] = entry.compare(amounts[sure[enough]], side[enough])
    unit[~np.isfinite(amounts).all(axis=1)] = None
    values = (*amounts.T, pd.array(unit, dtype="str"), ratio)
    return pd.DataFrame(dict(zip(MOVED_COLUMNS, values, strict=True)))
