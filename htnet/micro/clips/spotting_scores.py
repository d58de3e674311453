"""How far spotted apexes lie from annotated ones, beside the middle frame, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.bootstrap import Estimate, exact_limits, interval, resampling_weights
from common.tables import choice, number, text
from htnet.micro.clips.store import STATUSES

SPOTS_FILE, CURVES_FILE = "spots.csv", "curves.csv"
SPOTTED, MIDDLE = "spotted", "middle frame"


def _frame() -> pa.Column:
    return pa.Column("Int64", nullable=True, coerce=True)


SPOTS = pa.DataFrameSchema(
    {
        "image_id": text(unique=True),
        "patient_id": text(),
        "dataset": text(nullable=True),
        "status": choice(STATUSES),
        "reason": text(nullable=True),
        "first_frame": _frame(),
        "last_frame": _frame(),
        "n_frames": _frame(),
        "onset": _frame(),
        "apex": _frame(),
        "offset": _frame(),
        "annotated_onset": _frame(),
        "annotated_apex": _frame(),
        "annotated_offset": _frame(),
        "error_frames": number(),
        "error_share": number(),
        "middle_error_frames": number(),
        "middle_error_share": number(),
    },
    name="spots",
)
"""`spots.csv`. `first_frame` to `last_frame` were looked at; errors are found minus annotated, in
frames, and as a share of the length looked at; `middle_error` is that of the middle frame."""

CURVES = pa.DataFrameSchema(
    {
        "image_id": text(),
        "frame": pa.Column(int, coerce=True),
        "motion": number(),
        "smooth": number(),
    },
    name="curves",
)
"""`curves.csv`, a row for each frame that was looked at: motion since the first of them as a
fraction of the face size, and the same smoothed."""


@dataclass(frozen=True)
class SpottingScores:
    """Scores of one way to find the apex; intervals from resampling whole subjects.

    Attributes
    ----------
    name
        `spotted` or `middle frame`.
    error_frames, error_share
        Mean absolute error in frames, and as a share of the length looked at.
    within_1, within_3
        Share of the clips with an error of at most one, three frames.
    """

    name: str
    error_frames: Estimate
    error_share: Estimate
    within_1: Estimate
    within_3: Estimate

    def as_json(self) -> dict[str, object]:
        """Return the scores for `metrics.json`."""
        names = ("error_frames", "error_share", "within_1", "within_3")
        return {name: getattr(self, name).as_json() for name in names}


def spotting_scores(spots: pd.DataFrame, *, seed: int = 0) -> list[SpottingScores]:
    """Score the spotted apexes and, beside them, the middle frames.

    Parameters
    ----------
    spots
        Rows of `SPOTS`; those without an annotated or a spotted apex take no part.
    seed
        Of the bootstrap.

    Returns
    -------
    list
        Of `spotted` and `middle frame`; empty when no apex is annotated.
    """
    rows = spots[spots["error_frames"].notna()]
    if rows.empty:
        return []
    people = rows["dataset"].fillna("").astype(str) + "/" + rows["patient_id"]
    place, names = pd.factorize(people)
    weights = resampling_weights(len(names), seed=seed)

    def score(values: NDArray[np.float64], *, proportion: bool = False) -> Estimate:
        sums, counts = np.bincount(place, weights=values), np.bincount(place)
        value = float(sums.sum() / counts.sum())
        if proportion and value in (0.0, 1.0):  # the bootstrap cannot vary
            return Estimate(value, *exact_limits(value, n=len(names)))
        return interval(value, (weights @ sums) / (weights @ counts))

    scores = []
    for name, prefix in ((SPOTTED, ""), (MIDDLE, "middle_")):
        frames = rows[f"{prefix}error_frames"].abs().to_numpy(dtype=np.float64)
        share = rows[f"{prefix}error_share"].abs().to_numpy(dtype=np.float64)
        near = [score((frames <= reach).astype(np.float64), proportion=True) for reach in (1, 3)]
        scores.append(SpottingScores(name, score(frames), score(share), near[0], near[1]))
    return scores


def errors_of(
    apex: int, annotated: int | None, numbers: Sequence[int], *, prefix: str = ""
) -> Mapping[str, float]:
    """Return the columns of the error of one apex; NaN where none is annotated."""
    length = numbers[-1] - numbers[0]
    off = float("nan") if annotated is None else float(apex - annotated)
    return {f"{prefix}error_frames": off, f"{prefix}error_share": off / length if length else off}
