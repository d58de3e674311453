"""The command `profile`: one patient beside the healthy people of the same table.

With `ENOUGH_HEALTHY` people there is a range of what is usual among them; with fewer there is
none, and only the patient's place among them is told.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pandera.pandas as pa
from matplotlib.figure import Figure
from numpy.typing import NDArray

from classifiers.graders.cohort import read_cohort
from classifiers.reports.patient_pages import Material, patient_pictures, read_material
from classifiers.reports.side_readings import FEWEST_HEALTHY, most_uneven, movement_table
from common.errors import UserError, did_you_mean
from common.grading.target import target_named
from common.provenance import write_run_record
from common.report import Report
from common.tables import GRADES, number, severities, text, write_table
from common.words import counted, spoken
from features.registry import FEATURES
from features.tables import definition_of

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
    """

    patient: str
    table: pd.DataFrame
    healthy: int
    material: Material | None = None
    redact: bool = False


def profile(
    features: Path,
    *,
    patient: str,
    out: Path,
    manifest: Path | None = None,
    redact: bool = False,
) -> Profile:
    """Show where a patient lies among the healthy people of the same table.

    Writes `profile.csv`, `report.html` and `run.json` into `out`. The reference is everybody of
    grade I in the table but the patient; each of them counts once for each movement. Research use
    only.

    Parameters
    ----------
    features
        `features.csv` from `extract`; with `dists.csv` and `landmarks.csv` beside it both sides
        are compared too.
    patient
        Value of `patient_id`.
    out
        Folder for the results; made if needed.
    manifest
        `manifest.csv` with `image_id`, `patient_id`, `hb_grade` or `palsy_class` and,
        best, `task`; the photographs are shown when it is given.
    redact
        Draw the points in place of the photographs in the report, and leave out the name.

    Returns
    -------
    Profile
        The table that was written.

    Raises
    ------
    UserError
        When the patient is not in the table, or fewer than three healthy people are.
    """
    cohort = read_cohort(features, target=target_named("healthy_palsy"), manifest=manifest)
    samples = cohort.usable
    rows = samples.rows.assign(
        task=samples.rows["task"].fillna(NO_TASK) if "task" in samples.rows else NO_TASK
    )
    known = cohort.photographs["patient_id"].dropna()
    if patient not in set(known):
        raise UserError(
            f'{features} has no patient "{patient}" (column patient_id).'
            + did_you_mean(patient, sorted(set(known)))
        )
    if patient not in set(rows["patient_id"]):
        raise UserError(f'Patient "{patient}" of {features} has no usable photograph.')
    healthy = sorted(set(rows.loc[severities(rows) == GRADES[0], "patient_id"]) - {patient})
    if len(healthy) < FEWEST_HEALTHY:
        raise UserError(
            f"{features} has {counted(len(healthy), 'healthy patient')} (hb_grade 1 or "
            f"palsy_class healthy) beside {patient}: a comparison needs {FEWEST_HEALTHY} at "
            f"least, and a range of what is usual {ENOUGH_HEALTHY}."
        )
    table = percentiles(rows, samples.features, patient=patient, healthy=healthy)
    found = Profile(
        patient=patient,
        table=table,
        healthy=len(healthy),
        material=read_material(cohort.study),
        redact=redact,
    )
    write_table(table, out / "profile.csv", schema=PROFILE)
    profile_report(found).write(out / "report.html")
    files = {"features": features} | ({} if manifest is None else {"manifest": manifest})
    write_run_record(
        out,
        command="profile",
        settings={"features": features.name, "patient": patient, "redact": redact},
        files=files,
        counts={"photographs": table["image_id"].nunique(), "healthy patients": len(healthy)},
        notes={"definition": definition_of(features)},
    )
    beside = counted(len(healthy), "healthy patient")
    print(f"{patient} beside {beside}. Report in {out / 'report.html'}")
    return found


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


def profile_report(found: Profile) -> Report:
    """Build the report of one patient: photographs, both sides, place among the healthy."""
    known = found.table.dropna(subset=["percentile"])
    name = "a patient" if found.redact else found.patient
    report = Report(title=f"Profile of {name}", summary=_summary(found, known))
    if found.healthy < ENOUGH_HEALTHY:
        report.warn(
            f"There are only {counted(found.healthy, 'healthy patient')} to compare with: too few "
            f"for a range of what is usual among healthy people, which needs {ENOUGH_HEALTHY}."
        )
    if len(known) < len(found.table):
        report.warn(
            f"{counted(len(found.table) - len(known), 'value')} of {len(found.table)} cannot be "
            f"compared: missing, or fewer than {FEWEST_HEALTHY} healthy patients have the movement."
        )
    if found.material is not None:
        _add_sides(report, found, found.material)
    _add_furthest(report, known)
    section = report.section("All values")
    section.text(
        "Each number is the share of healthy people, in percent, with a smaller value in the same "
        "movement."
        if found.healthy >= ENOUGH_HEALTHY
        else f"Each number says how many of the {found.healthy} healthy patients have a smaller "
        "value in the same movement (an equal one counts half)."
    )
    section.figure(
        place_figure(known, percent=found.healthy >= ENOUGH_HEALTHY),
        alt="Place among healthy people by feature (rows) and movement (columns).",
    )
    return report


def _summary(found: Profile, known: pd.DataFrame) -> str:
    """Say how many values stand out, and how many would in a healthy person by chance."""
    photographs = counted(found.table["image_id"].nunique(), "photograph")
    words = f"{photographs} beside {counted(found.healthy, 'healthy patient')} of the same table: "
    ranged = known.dropna(subset=["healthy_5", "healthy_95"])
    if len(ranged):
        outside = (ranged["value"] > ranged["healthy_95"]) | (ranged["value"] < ranged["healthy_5"])
        return words + (
            f"{outside.sum()} of {len(ranged)} values lie outside the middle 90 % of healthy "
            f"people. Of one more healthy person about {OUTSIDE_BY_CHANCE * len(ranged):.0f} "
            f"({100 * OUTSIDE_BY_CHANCE:.0f} %) would, by chance alone."
        )
    # One more healthy person has the largest value of n + 1 with probability 1 / (n + 1).
    chance = float((1.0 / (known["n_healthy"] + 1)).sum())
    return words + (
        f"{(known['percentile'] == 100).sum()} of {len(known)} values are larger than in every one "
        f"of them. Of one more healthy person about {chance:.0f} would be, by chance alone."
    )


def _add_sides(report: Report, found: Profile, material: Material) -> None:
    """Add the photographs, how far each side moved, and what is uneven beyond the healthy."""
    section = report.section("The patient")
    section.gallery(patient_pictures(material, found.patient, redact=found.redact))
    readings = material.readings(found.patient)
    table = movement_table(readings)
    if len(table):
        section.subheading("How far each side moves")
        section.table(
            table,
            caption="In percent of the side that moves farther. Right and left are the patient's "
            "own.",
        )
    else:
        section.text(
            "The sides are not compared: no movement is named, or there is no photograph at rest."
        )
    spread = material.healthy_spread(without=found.patient)
    uneven = most_uneven(readings, reference=spread) if spread else []
    if uneven:
        section.subheading("More uneven than in healthy people")
    for item in uneven:
        section.text(item.sentence())


def _add_furthest(report: Report, known: pd.DataFrame) -> None:
    section = report.section("The furthest values")
    section.text(
        "The fifteen values farthest from the middle of healthy people in the same movement, in "
        "standard deviations of theirs. Nearly all features grow with asymmetry."
    )
    meaning = {entry.name: entry.meaning for entry in FEATURES}
    spread = known["healthy_sd"].where(known["healthy_sd"] > 0)
    away = ((known["value"] - known["healthy_50"]).abs() / spread).rename("away")
    furthest = known.assign(away=away).sort_values("away", ascending=False, kind="stable").head(15)
    section.table(
        pd.DataFrame(
            {
                "Movement": [spoken(task) for task in furthest["task"]],
                "What it tells": [meaning[str(name)] for name in furthest["feature"]],
                "Among the healthy": [_place(row) for row in furthest.to_dict("records")],
                "Value": furthest["value"],
                "Healthy, middle": furthest["healthy_50"],
                "Healthy, 5 to 95 %": [
                    None if np.isnan(low) else f"{low:.2f} to {high:.2f}"
                    for low, high in zip(furthest["healthy_5"], furthest["healthy_95"], strict=True)
                ],
                "Feature": furthest["feature"],
            }
        ).dropna(axis="columns", how="all")
    )


def _place(row: dict[Hashable, Any]) -> str:
    """Return a value's place among healthy people: a percentile where they are enough."""
    n, share = int(row["n_healthy"]), float(row["percentile"])
    if share in (0.0, 100.0):
        return f"{'above' if share else 'below'} all {n}"
    if n >= ENOUGH_HEALTHY:
        return f"percentile {share:.0f}"
    return f"{share * n / 100:g} of {n} are smaller"


def place_figure(known: pd.DataFrame, *, percent: bool) -> Figure:
    """Draw places among the healthy as a table of shaded numbers, features and movements.

    Parameters
    ----------
    known
        Rows of `PROFILE` with a percentile.
    percent
        Write percentiles; else how many healthy people have a smaller value.
    """
    names = [entry.name for entry in FEATURES]
    tasks = list(dict.fromkeys(known["task"]))
    told = known.assign(below=known["percentile"] * known["n_healthy"] / 100)
    shades, numbers = (
        told.pivot_table(index="feature", columns="task", values=column, aggfunc="mean")
        .reindex(index=names, columns=tasks)
        .to_numpy(dtype=np.float64)
        for column in ("percentile", "percentile" if percent else "below")
    )
    figure = Figure(figsize=(1.9 + 0.72 * len(tasks), 1.2 + 0.22 * len(names)),
                    layout="constrained")  # fmt: skip
    axes = figure.subplots()
    axes.imshow(shades, cmap=mpl.colormaps["Blues"], vmin=0, vmax=130, aspect="auto")
    for row, column in np.argwhere(~np.isnan(shades)):
        value = numbers[row, column]
        axes.text(
            column, row, f"{value:.0f}" if percent else f"{value:.3g}", ha="center", va="center",
            fontsize=7.5, color="white" if shades[row, column] > 85 else "#1d2733",
        )  # fmt: skip
    axes.set_xticks(range(len(tasks)), [spoken(task).replace(" ", "\n") for task in tasks])
    axes.set_yticks(
        range(len(names)), [f"{entry.name}  {entry.region}" for entry in FEATURES], fontsize=7.5
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=7.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure
