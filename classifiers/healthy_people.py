"""A patient's features beside those of the healthy people of the same table.

With `ENOUGH_HEALTHY` people there is a range of what is usual among them; with fewer there is
none, and only the patient's place among them is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from classifiers.reports.patient_pictures import Material
from classifiers.reports.side_readings import FEWEST_HEALTHY
from common.tables import number, text
from features.registry import FEATURES
from landmarks.tables import PointsSource

ENOUGH_HEALTHY = 20
"""Below this there is no range: the 5th percentile of n people is their (n + 1) / 20th smallest
value, and no value of fewer than 19 is that small."""
OUTSIDE_BY_CHANCE = 0.10
"""Share of healthy people's values that lie outside the 5th and 95th percentile of others.

Holds for every n with the estimator of `limits_of`, and only with it: the usual one (linear
between the smallest and the largest value) leaves out 19 % with 20 people.
"""
NO_TASK = "photograph"  # movement of a table that does not name movements

PROFILE = pa.DataFrameSchema(
    {
        "image_id": text(),
        "task": text(),
        "feature": text(),
        "region": text(),
        **{name: number() for name in ("value", "healthy_5", "healthy_50", "healthy_95",
                                       "healthy_sd", "percentile")},
        "n_healthy": pa.Column("int64"),
    },
    name="profile",
)  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """A patient beside the reference.

    Attributes
    ----------
    patient
        Name of the patient.
    table
        By `PROFILE`: a row for each photograph and feature.
    healthy
        How many healthy patients the reference holds; never the patient's own photographs.
    material
        What is shown of the patient beside the numbers; None without distances.
    redact
        Whether the report leaves out photographs and the name.
    source
        How many of the table's usable photographs have corrected points.
    """

    patient: str
    table: pd.DataFrame
    healthy: int
    material: Material | None = None
    redact: bool = False
    source: PointsSource = field(default_factory=lambda: PointsSource(0, 0, 0))


def percentiles(
    rows: pd.DataFrame, features: pd.DataFrame, *, patient: str, healthy: list[str]
) -> pd.DataFrame:
    """Place a patient's values among those of healthy people in the same movement.

    Parameters
    ----------
    rows, features
        Usable photographs with `image_id`, `patient_id`, `task`, and their features.
    patient, healthy
        Values of `patient_id`.

    Returns
    -------
    DataFrame
        By `PROFILE`. `percentile` is the share of healthy people with a smaller value, those with
        an equal one counted half, in percent; NaN where fewer than three healthy people have the
        movement or the value is missing. `healthy_5` and `healthy_95` are NaN where fewer than
        `ENOUGH_HEALTHY` have it.
    """
    found = []
    tasks, owners = rows["task"].to_numpy(), rows["patient_id"]
    image_ids = rows["image_id"].to_numpy()
    columns = {name: features[name].to_numpy(dtype=np.float64) for name in features.columns}
    for at in np.flatnonzero((owners == patient).to_numpy()):
        same = (tasks == tasks[at]) & owners.isin(healthy).to_numpy()
        reference = features[same].groupby(owners[same].to_numpy()).mean()
        for entry in FEATURES:
            values = reference[entry.name].dropna().to_numpy(dtype=np.float64)
            value = columns[entry.name][at]
            enough = len(values) >= FEWEST_HEALTHY
            low, high = limits_of(values)
            below = np.mean(values < value) + np.mean(values == value) / 2 if enough else np.nan
            found.append(
                {
                    "image_id": image_ids[at],
                    "task": tasks[at],
                    "feature": entry.name,
                    "region": entry.region,
                    "value": value,
                    "healthy_5": low,
                    "healthy_50": np.median(values) if enough else np.nan,
                    "healthy_95": high,
                    "healthy_sd": values.std(ddof=1) if enough else np.nan,
                    "percentile": np.nan if np.isnan(value) else 100.0 * below,
                    "n_healthy": len(values),
                }
            )
    return pd.DataFrame(found)


def limits_of(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 5th and the 95th percentile of healthy people; NaN where they are too few.

    By the ranks (n + 1) / 20 and 19 (n + 1) / 20, as clinical reference intervals are made (Solberg
    1987, J Clin Chem Clin Biochem 25:645): one more healthy person lies outside with probability
    `OUTSIDE_BY_CHANCE`.
    """
    if len(values) < ENOUGH_HEALTHY:
        return np.nan, np.nan
    low, high = np.percentile(values, [5, 95], method="weibull")
    return float(low), float(high)
