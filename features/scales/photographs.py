"""Of each photograph: how far both sides moved from the same patient's rest, for `measures.csv`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from common.movements import REST
from features.frames import FloatArray
from features.scales.places import places_of
from features.scales.registry import SIDE_MEASURES
from features.scales.thresholds import gate_of

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
