"""Is this patient like those that a grader learned from? Measured, and said in one sentence.

Photographs: face size, light, sharpness, turn and tilt of the head, spread of the points. The
patient: distance in the grader's own columns, beside that of the patients learned from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.covariance import ledoit_wolf

from common.arrays import Floats, Ints, Names
from landmarks.points import LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from landmarks.tables import points_of

UNLIKE = "Unlike those learned from"
NOSE_TIP = 30
NOSE_DEPTH = 0.39  # of the nose tip before the outer corners of the eyes, in their distance
ALARMED = 0.05  # of patients like those learned from, who are called unlike all the same
PARTS = 50  # in which the patients learned from are judged by the others
MARGIN = 0.25  # of graders kept before their own was learned
FAR_OUT = 2.0  # times the farthest patient learned from; beyond it no answer is given
QUALITIES = {
    "face_px": ("the face is {value:.0f} px wide between the eyes", "{low:.0f} to {high:.0f} px"),
    "brightness": ("its mean grey level is {value:.0f}", "{low:.0f} to {high:.0f}"),
    "sharpness": ("its sharpness is {value:.2f}", "{low:.2f} to {high:.2f}"),
    "turn_deg": ("the head is turned by about {value:.0f}°", "up to {high:.0f}°"),
    "tilt_deg": ("the head is tilted by {value:.0f}°", "up to {high:.0f}°"),
    "spread": ("the points repeat within {value:.3f} of the eye distance", "up to {high:.3f}"),
}
"""Measured of each patient, the median over the photographs; what is said of one outside."""
NEVER_TOO_LITTLE = ("turn_deg", "tilt_deg", "spread")


@dataclass(frozen=True)
class Familiar:
    """What the patients learned from were like; plain values, as in the card.

    `ranges` are lowest and highest of each quality; `middle` and `inverse` (covariance, shrunk) are
    of the grader's own columns, missing values taken as the middle; `farthest` is the largest
    distance of a patient. By the share `margin` one may lie outside, and still be called alike.
    """

    ranges: dict[str, list[float]]
    middle: list[float]
    inverse: list[list[float]]
    farthest: float
    margin: float = MARGIN

    @classmethod
    def of(cls, qualities: pd.DataFrame, columns: pd.DataFrame) -> Familiar:
        """Learn from one row per patient: `qualities_of`, and the grader's own columns.

        The margin is such that of the patients learned from, each judged by the others, no more
        than `ALARMED` lie outside in anything at all (a conformal quantile of the largest excess).
        """
        qualities = qualities.reindex(columns.index)
        part = np.arange(len(columns)) % min(len(columns), PARTS)
        beyond = np.zeros(len(columns))
        for number in np.unique(part) if len(columns) > 2 else ():  # others are several
            own = part == number
            others = cls._without_margin(qualities[~own], columns[~own])
            found = others.beyond(qualities[own], others.distances(columns[own]))
            beyond[own] = found.max(axis=1)
        place = min(len(beyond), int(np.ceil((1 - ALARMED) * (len(beyond) + 1))))
        return replace(
            cls._without_margin(qualities, columns), margin=float(np.sort(beyond)[place - 1])
        )

    @classmethod
    def _without_margin(cls, qualities: pd.DataFrame, columns: pd.DataFrame) -> Familiar:
        known = qualities.dropna(axis="columns", how="all")
        values = columns.to_numpy(dtype=np.float64)
        middle = columns.median().fillna(0.0).to_numpy(dtype=np.float64)
        filled = _filled(values, middle)
        scale = np.where(filled.std(axis=0) > 1e-12, filled.std(axis=0), 1.0)
        inverse = np.linalg.pinv(ledoit_wolf(filled / scale)[0]) / np.outer(scale, scale)
        farthest = float(_distances(values, middle, inverse).max())
        ranges = {str(name): [float(of.min()), float(of.max())] for name, of in known.items()}
        return cls(ranges, middle.tolist(), inverse.tolist(), farthest)

    def distances(self, columns: pd.DataFrame) -> Floats:
        """Return `(n,)` distances in the grader's columns, 1 for the farthest learned from."""
        values = columns.to_numpy(dtype=np.float64)
        found = _distances(values, np.array(self.middle), np.array(self.inverse))
        return found / max(self.farthest, 1e-12)

    def beyond(self, qualities: pd.DataFrame, distances: Floats) -> pd.DataFrame:
        """Return how far `(n,)` patients lie outside, as a share of what was learned from.

        A column for each quality (of its range) and `distance` (of the farthest); 0 inside, and
        where nothing was measured.
        """
        table = {"distance": np.asarray(distances) - 1}
        for name, (low, high) in self.ranges.items():
            value = qualities[name].to_numpy(dtype=np.float64)
            below = -np.inf if name in NEVER_TOO_LITTLE else low - value
            table[name] = np.maximum(below, value - high) / max(high - low, 1e-12)
        return pd.DataFrame(table).fillna(0.0).clip(lower=0.0)

    def differs(self, qualities: Mapping[str, float], distance: float) -> str | None:
        """Say in one sentence what is unlike the patients learned from; None when nothing is."""
        asked = pd.DataFrame([qualities]).reindex(columns=list(self.ranges))
        beyond = self.beyond(asked, np.array([distance])).iloc[0]
        said = []
        for name in beyond.index[beyond > self.margin]:
            if name == "distance":
                continue
            words, usual = QUALITIES[name]
            low, high = self.ranges[name]
            shown = usual.format(low=low, high=high)
            said.append(f"{words.format(value=qualities[name])} (learned from {shown})")
        if beyond["distance"] > self.margin:
            said.append(
                f"the measurements lie {distance:.1f} times as far out as those of the patient "
                "farthest out whom it learned from"
            )
        if not said:
            return None
        return f"{UNLIKE}: {'; '.join(said)}."


@dataclass(frozen=True)
class Likeness:
    """How like those learned from a patient is: distance (1 for the farthest), and what differs."""

    distance: float = float("nan")
    differs: str | None = None


def qualities_of(landmarks: pd.DataFrame, *, patients: Names) -> pd.DataFrame:
    """Return the qualities of each patient's photographs, sorted by patient.

    `landmarks` are rows of a landmark table, `(n,)` `patients` whose they are; a quality that the
    table does not tell is NaN.
    """
    points = points_of(landmarks)
    right, left = points[:, RIGHT_EYE_OUTER], points[:, LEFT_EYE_OUTER]
    across = left - right
    size = np.hypot(*across.T)
    with np.errstate(invalid="ignore", divide="ignore"):
        aside = ((points[:, NOSE_TIP] - (left + right) / 2) * across).sum(axis=1) / size**2
        turn = np.degrees(np.arcsin(np.clip(aside / NOSE_DEPTH, -1, 1)))
        nothing = pd.Series(np.nan, index=landmarks.index)
        table = pd.DataFrame(
            {
                "face_px": size,
                "brightness": landmarks.get("brightness", nothing).to_numpy(),
                "sharpness": landmarks.get("sharpness", nothing).to_numpy(),
                "turn_deg": turn,
                "tilt_deg": landmarks.get("tilt_deg", nothing).to_numpy(),
                "spread": landmarks.get("spread_px", nothing).to_numpy() / size,
            }
        )
    found = table.astype(np.float64).groupby(np.asarray(patients)).median()
    return found.assign(turn_deg=found["turn_deg"].abs(), tilt_deg=found["tilt_deg"].abs())


def widened(bounds: tuple[int, int], *, n_classes: int) -> tuple[int, int]:
    """Return a set of adjacent classes with one more at either end."""
    return max(1, bounds[0] - 1), min(n_classes, bounds[1] + 1)


def wrong_among_accepted(off: Ints, *, orders: Mapping[str, Floats]) -> pd.DataFrame:
    """Return how many answers are wrong among the patients accepted first.

    `(n,)` `off` are classes between answer and truth, each of `orders` `(n,)` numbers of which the
    smallest is accepted first. A row for each order and number accepted: `order`, `accepted`
    (share), `wrong` (share of these), `far` (share off by more than one).
    """
    count = np.arange(1, len(off) + 1)
    tables = []
    for name, values in orders.items():
        found = off[np.argsort(values, kind="stable")]
        wrong, far = (np.cumsum(found > most) / count for most in (0, 1))
        tables.append(
            pd.DataFrame({"order": name, "accepted": count / len(off), "wrong": wrong, "far": far})
        )
    return pd.concat(tables, ignore_index=True)


def _filled(values: Floats, middle: Floats) -> Floats:
    return np.where(np.isnan(values), middle, values)


def _distances(values: Floats, middle: Floats, inverse: Floats) -> Floats:
    off = _filled(values, middle) - middle
    return np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", off, inverse, off), 0.0))
