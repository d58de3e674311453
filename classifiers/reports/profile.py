"""A patient's features beside those of the healthy people of the same table, and the report of it.

With `ENOUGH_HEALTHY` people there is a range of what is usual among them; with fewer there is
none, and only the patient's place among them is told.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from matplotlib.figure import Figure
from numpy.typing import NDArray

from classifiers.reports.patient_page import Answer, patient_page
from classifiers.reports.patient_pictures import Material
from classifiers.reports.side_readings import FEWEST_HEALTHY
from common.figures import canvas, shaded_cells
from common.report import Report
from common.tables import number, text
from common.words import counted, spoken
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
    """A patient beside the reference: `table` by `PROFILE`, a row for each photograph and feature.

    `healthy` says how many healthy patients the reference holds, never the patient; `material` is
    what is shown beside the numbers, None without distances; `source` how many usable photographs
    have corrected points.
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
    """Place by `PROFILE` a patient's values among those of healthy people in the same movement.

    `rows` are usable photographs with `image_id`, `patient_id`, `task`; `patient` and `healthy`
    values of `patient_id`. `percentile` is the share of healthy people with a smaller value, an
    equal one counted half; NaN where fewer than three have the movement or the value is missing.
    `healthy_5` and `healthy_95` are NaN where fewer than `ENOUGH_HEALTHY` have it.
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


SHOWN = 15  # values
_MEANING = {entry.name: entry.meaning for entry in FEATURES}


def profile_report(found: Profile) -> Report:
    """Build the report of one patient."""
    known = found.table.dropna(subset=["percentile"])
    name = "a patient" if found.redact else found.patient
    report = Report(
        title=f"Profile of {name}", summary=found.source.added_to(_summary(found, known))
    )
    enough = found.healthy >= ENOUGH_HEALTHY
    alone = found.healthy < FEWEST_HEALTHY
    if alone:
        there = f"{'is' if found.healthy == 1 else 'are'} only "
        few = f"{there}{counted(found.healthy, 'healthy patient')}"
        report.warn(
            f"There {few if found.healthy else 'is no healthy patient'} to compare with (hb_grade "
            "1 or palsy_class healthy): the patient is shown alone. A comparison needs "
            f"{FEWEST_HEALTHY} at least."
        )
    elif not enough:
        report.warn(
            f"There are only {counted(found.healthy, 'healthy patient')} to compare with: too few "
            f"for a range of what is usual among healthy people, which needs {ENOUGH_HEALTHY}."
        )
    if not alone and len(known) < len(found.table):
        report.warn(
            f"{counted(len(found.table) - len(known), 'value')} of {len(found.table)} cannot be "
            f"compared: missing, or fewer than {FEWEST_HEALTHY} healthy patients have the movement."
        )
    if found.material is not None:
        patient_page(
            report.section("The patient"), found.material, found.patient, answer=Answer(),
            spread=found.material.healthy_spread(without=found.patient), redact=found.redact,
        )  # fmt: skip
    if known.empty:
        return report
    _add_furthest(report, known)
    section = report.section("All values")
    section.text(
        "Each number is the share of healthy people, in percent, with a smaller value in the same "
        "movement."
        if enough
        else f"Each number says how many of the {found.healthy} healthy patients have a smaller "
        "value in the same movement (an equal one counts half)."
    )
    section.figure(
        place_figure(known, percent=enough),
        alt="Place among healthy people by feature (rows) and movement (columns).",
    )
    return report


def _summary(found: Profile, known: pd.DataFrame) -> str:
    """Say how many values stand out, and how many would in a healthy person by chance."""
    photographs = counted(found.table["image_id"].nunique(), "photograph")
    if known.empty:
        return f"{photographs}; there is nothing to compare with."
    words = f"{photographs} beside {counted(found.healthy, 'healthy patient')} of the same table: "
    ranged = known.dropna(subset=["healthy_5", "healthy_95"])
    if len(ranged):
        inside = ranged["value"].between(ranged["healthy_5"], ranged["healthy_95"])
        return words + (
            f"{(~inside).sum()} of {len(ranged)} values lie outside the middle 90 % of healthy "
            f"people. Of one more healthy person about {OUTSIDE_BY_CHANCE * len(ranged):.0f} "
            f"({100 * OUTSIDE_BY_CHANCE:.0f} %) would, by chance alone."
        )
    # One more healthy person has the largest value of n + 1 with probability 1 / (n + 1).
    chance = float((1.0 / (known["n_healthy"] + 1)).sum())
    return words + (
        f"{(known['percentile'] == 100).sum()} of {len(known)} values are larger than in every one "
        f"of them. Of one more healthy person about {chance:.0f} would be, by chance alone."
    )


def _add_furthest(report: Report, known: pd.DataFrame) -> None:
    section = report.section("The furthest values")
    section.text(
        "The fifteen values farthest from the middle of healthy people in the same movement, in "
        "standard deviations of theirs. Nearly all features grow with asymmetry."
    )
    spread = known["healthy_sd"].where(known["healthy_sd"] > 0)
    away = (known["value"] - known["healthy_50"]).abs() / spread
    furthest = known.loc[away.sort_values(ascending=False, kind="stable").head(SHOWN).index]
    rows = pd.DataFrame(
        {
            "Movement": spoken(row["task"]),
            "What it tells": _MEANING[row["feature"]],
            "Among the healthy": _place(row),
            "Value": row["value"],
            "Healthy, middle": row["healthy_50"],
            "Healthy, 5 to 95 %": None
            if np.isnan(row["healthy_5"])
            else f"{row['healthy_5']:.2f} to {row['healthy_95']:.2f}",
            "Feature": row["feature"],
        }
        for row in furthest.to_dict("records")
    )
    section.table(rows.dropna(axis="columns", how="all"))


def _place(row: Mapping[Hashable, Any]) -> str:
    """Return a value's place among healthy people: a percentile where they are enough."""
    n, share = int(row["n_healthy"]), float(row["percentile"])
    if share in (0.0, 100.0):
        return f"{'above' if share else 'below'} all {n}"
    if n >= ENOUGH_HEALTHY:
        return f"percentile {share:.0f}"
    return f"{share * n / 100:g} of {n} are smaller"


def place_figure(known: pd.DataFrame, *, percent: bool) -> Figure:
    """Draw places among the healthy as a table of shaded numbers, features and movements.

    `known` are rows of `PROFILE` with a percentile, which is written; without `percent`, how many
    healthy people have a smaller value.
    """
    tasks = list(dict.fromkeys(known["task"]))
    told = known.assign(below=known["percentile"] * known["n_healthy"] / 100)
    shares, numbers = (
        told.pivot_table(index="feature", columns="task", values=column, aggfunc="mean")
        .reindex(index=list(_MEANING), columns=tasks)
        .to_numpy(dtype=np.float64)
        for column in ("percentile", "percentile" if percent else "below")
    )
    written = ".0f" if percent else ".3g"
    words = np.array([["" if np.isnan(n) else f"{n:{written}}" for n in row] for row in numbers])
    figure, axes = canvas(1.9 + 0.72 * len(tasks), 1.2 + 0.22 * len(_MEANING))
    shaded_cells(
        axes, shares / 130, words, fontsize=7.5,
        rows=[f"{entry.name}  {entry.region}" for entry in FEATURES],
        columns=[spoken(task).replace(" ", "\n") for task in tasks],
    )  # fmt: skip
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    return figure
