"""What work a retrained model leaves: photographs that still need correction, and minutes.

Comes from a reviewed landmark table with its journal and from the held-out photographs of
`train-landmarks`. The share that needs correction is taken from photographs that a person has
looked at; the others are placed among them by their uncertainty.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.bootstrap import Estimate, interval, resampling_weights
from common.errors import UserError
from common.files import PARQUET, found_table
from common.tables import read_table
from common.words import counted
from landmarks.check.errors import normalisers
from landmarks.points import INNER, N_POINTS
from landmarks.review.corrections import CORRECTIONS_FILE, corrected, find_corrections
from landmarks.review.face import spreads_beside, uncertainty_of
from landmarks.tables import LANDMARKS, LANDMARKS_FILE, POINT_AGREEMENT, with_slips_failed

PAUSE_S = 120.0
"""A longer gap between two changes of one rater is a pause and no work."""
POINT_LIMIT = 5.0
"""Percent of the outer-eye distance beyond which a point is off, where no raters were compared."""
NEIGHBOURS = 10
"""Of so many tested photographs, nearest in uncertainty, an unseen one takes its share of need."""
FEW_PATIENTS = 10
POINT_SHARE = 0.1
"""A photograph needs correction when more than this share of its 51 inner points is off."""


@dataclass(frozen=True)
class Reviewed:
    """A landmark table that somebody has gone through, or part of it."""

    table: pd.DataFrame  # by `LANDMARKS`, with the corrections in it
    # `image_id` of photographs with a moved point, or called right (`checked`)
    looked_at: frozenset[str]
    given_up: frozenset[str]  # `image_id` of those that were called unmeasurable
    uncertainty: pd.Series  # of the model that was corrected, by `image_id`
    seconds: pd.Series  # working time of each corrected photograph, by `image_id`

    def truth(self) -> pd.DataFrame:
        """Return the rows that a person stands for: corrected, or called right."""
        kept = self.table[self.table["image_id"].isin(self.looked_at)]
        if kept.empty:
            raise UserError(
                "Nobody has corrected a photograph of this table or called one right: review some "
                "first, or give --all-points to learn from the table as it is."
            )
        return kept


def read_reviewed(points: Path) -> Reviewed | None:
    """Read corrected points with what the review says of them; None where nobody reviewed any.

    `points`: folder of `extract` or `review`, its `landmarks.csv`, or the `corrections.csv` of
    one rater beside it.
    """
    given = None
    if points.is_dir() and found_table(points / LANDMARKS_FILE).is_file():
        points = points / LANDMARKS_FILE
    elif points.is_file() and points.name.startswith(CORRECTIONS_FILE.removesuffix(".csv")):
        given, points = points, points.with_name(LANDMARKS_FILE)
    if points.suffix not in (".csv", PARQUET) or not found_table(points).is_file():
        return None
    machine = read_table(points, schema=LANDMARKS)
    moves = find_corrections(machine, given, landmarks=points)
    if moves is None and "points_from" not in machine:
        return None
    table = machine if moves is None else corrected(machine, moves.rows)
    looked_at = set(table.loc[table["points_from"] == "corrected", "image_id"])
    given_up: set[str] = set()
    seconds = pd.Series(dtype=np.float64)
    if moves is not None:
        last = moves.rows[moves.rows["point"].isna()].drop_duplicates("image_id", keep="last")
        verdicts = dict(zip(last["image_id"], last["action"], strict=True))
        seconds = working_seconds(moves.rows).reindex(sorted(looked_at)).dropna()
        looked_at |= {name for name, verdict in verdicts.items() if verdict == "checked"}
        given_up = {name for name, verdict in verdicts.items() if verdict == "unmeasurable"}
    return Reviewed(
        table=with_slips_failed(table),
        looked_at=frozenset(looked_at - given_up),
        given_up=frozenset(given_up),
        uncertainty=uncertainty_of(machine, spreads_beside(points)),
        seconds=seconds,
    )


def working_seconds(corrections: pd.DataFrame) -> pd.Series:
    """Return how long somebody worked on each photograph, by `image_id`, from the journal's times.

    The time between two changes of one rater counts for the photograph of the second, unless it is
    longer than `PAUSE_S`. A photograph before whose every change there was a pause has no time.
    """
    rater = corrections["rater"].fillna("")
    changes = corrections.assign(rater=rater).drop_duplicates(["rater", "at"])
    at = pd.to_datetime(changes["at"], utc=True, format="ISO8601")
    seconds = (at - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    gaps = seconds.groupby(changes["rater"]).diff()
    worked = gaps.where(gaps.between(0, PAUSE_S))
    return worked.groupby(changes["image_id"]).sum(min_count=1).dropna()


def read_raters(path: Path) -> NDArray[np.float64]:
    """Return `(68,)`: below which distance 95 % of two raters' points lie, in percent.

    `path`: `agreement_points.csv` that `agreement` wrote.
    """
    table = read_table(path, schema=POINT_AGREEMENT).set_index("point")
    limits = table["p95"].reindex(range(N_POINTS)).to_numpy(dtype=np.float64)
    if np.isnan(limits).any():
        raise UserError(f"{path} does not hold all 68 points: run agreement again.")
    return limits


def needs_correction(
    drawn: NDArray[np.float64], true: NDArray[np.float64], *, limits: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return `(n,)`: whether a photograph needs correction; one without points does.

    `drawn`, `true`: `(n, 68, 2)` px of the model and of the person.
    `limits`: `(68,)` percent of the outer-eye distance beyond which a point is off.
    """
    off = np.hypot(*np.moveaxis(drawn - true, -1, 0)) * 100 / normalisers(true)["eye"][:, None]
    beyond = ~(off <= limits)[:, list(INNER)]
    return np.asarray(beyond.mean(axis=1) > POINT_SHARE)


@dataclass(frozen=True)
class Remaining:
    """What is left to correct."""

    # Held-out photographs that somebody looked at, their patients, and those of them that needed
    # correction before the training and need it after
    tested: int
    patients: int
    needed: int
    needing: int
    unseen: int  # photographs that nobody looked at; `without_points` of them have no points at all
    without_points: int
    # of the unseen, those of which the model was surer than of every tested one: nothing was seen
    # of their kind
    surer: int
    photographs: Estimate  # unseen photographs that need correction, projected
    timed: int  # corrected photographs with a known working time
    seconds: Estimate  # median of those times
    minutes: Estimate  # photographs times seconds

    def sentences(self) -> list[str]:
        """Say it, and what cannot be known from it."""
        if not self.unseen:
            return ["Somebody has looked at every photograph: nothing remains."]
        known = np.isfinite(self.photographs.low)
        found = self.photographs
        told = [
            f"Of {counted(self.tested, 'held-out photograph')} of "
            f"{counted(self.patients, 'patient')} that somebody looked at, {self.needing} would "
            f"need correction after this training and {self.needed} did before.",
            f"Of the {self.unseen} that nobody looked at, about {found.value:.0f}"
            + (f" ({found.low:.0f} to {found.high:.0f})" if known else "")
            + " would"
            + (f", {self.without_points} of them without points." if self.without_points else "."),
        ]
        if self.timed:
            time, left = self.seconds, self.minutes
            told.append(
                f"A corrected photograph took {time.value:.0f} s ({time.low:.0f} to "
                f"{time.high:.0f}; median of {self.timed}, gaps above {PAUSE_S:.0f} s left out as "
                f"pauses): about {left.value:.0f} minutes of correcting remain"
                + (f" ({left.low:.0f} to {left.high:.0f})." if known else ".")
            )
        else:
            told.append("The pace is not known: no journal with times lies beside the points.")
        told.append(
            "This cannot be known from it: who was looked at was not drawn at random but the most "
            "uncertain first; looking through photographs that need nothing takes time too; and a "
            "person who starts from the model's points leaves some where another would not."
        )
        if self.patients < FEW_PATIENTS:
            told.append(
                f"Only {counted(self.patients, 'patient')} tested it: the intervals tell little."
            )
        if self.surer:
            told.append(
                f"Of {self.surer} of them the model was surer than of every photograph tested "
                "here; they are counted like the surest tested ones, which may be too many."
            )
        return told


def remaining_work(
    reviewed: Reviewed,
    tested: Collection[str],
    needing: NDArray[np.bool_],
    *,
    needed: NDArray[np.bool_],
    patients: dict[str, str],
    seed: int = 0,
) -> Remaining:
    """Project the work that is left, with 95 % intervals over resampled patients.

    A photograph that nobody looked at counts with the share that needs correction among the tested
    ones nearest in uncertainty (`NEIGHBOURS`); one without points counts whole.

    `reviewed`: what was looked at, and the pace.
    `tested`: `image_id` of held-out photographs, of which `needing`, `(n,)`, says who needs
    correction after the training and `needed` who did before.
    `patients`: by `image_id`; a photograph that is not named counts as a patient.
    """
    score = reviewed.uncertainty
    done = reviewed.looked_at | reviewed.given_up
    unseen = score[~score.index.isin(done)]
    places = unseen[np.isfinite(unseen)].to_numpy()
    without = len(unseen) - len(places)
    at = score.reindex(list(tested)).fillna(0.0).to_numpy()
    at = np.minimum(at, score[np.isfinite(score)].max())  # a face found by hand: the worst known
    names = np.array([patients.get(name, name) for name in (*tested, *reviewed.seconds.index)])
    _, codes = np.unique(names, return_inverse=True)
    of_tested, of_timed = codes[: len(at)], codes[len(at) :]
    weights = resampling_weights(int(codes.max(initial=-1)) + 1, seed=seed)
    several = len(np.unique(of_tested)) > 1

    def projected(weight: NDArray[np.float64]) -> float:
        drawn = np.repeat(np.arange(len(at)), weight.astype(np.intp))
        if not len(drawn):
            return np.nan
        return without + float(_share_nearby(at[drawn], needing[drawn], places).sum())

    times = reviewed.seconds.to_numpy()
    photographs = projected(np.ones(len(at)))
    seconds = _median(times, np.ones(len(times)))
    counts = np.array([projected(row[of_tested]) if several else np.nan for row in weights])
    paces = np.array([_median(times, row[of_timed]) for row in weights])
    return Remaining(
        tested=len(at),
        patients=len(np.unique(of_tested)),
        needed=int(needed.sum()),
        needing=int(needing.sum()),
        unseen=len(unseen),
        without_points=without,
        surer=int((places < at.min(initial=np.inf)).sum()) if len(at) else len(places),
        photographs=interval(photographs, counts),
        timed=len(times),
        seconds=interval(seconds, paces),
        minutes=interval(photographs * seconds / 60, counts * paces / 60),
    )


def _share_nearby(
    at: NDArray[np.float64], needing: NDArray[np.bool_], places: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return of each place the share that needs correction among the `NEIGHBOURS` beside it."""
    order = np.argsort(at, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(needing[order])])
    width = min(NEIGHBOURS, len(at))
    first = np.clip(np.searchsorted(at[order], places) - width // 2, 0, len(at) - width)
    return np.asarray((sums[first + width] - sums[first]) / width)


def _median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Median of values that count `weights` times; NaN of none."""
    counts = weights.astype(np.intp)
    return float(np.median(np.repeat(values, counts))) if counts.sum() else np.nan
