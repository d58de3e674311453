"""The command `profile`: one patient beside the healthy people of the same table, by percentile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pandera.pandas as pa
from matplotlib.figure import Figure

from classifiers.cohort import read_cohort
from classifiers.side_readings import (
    FEWEST_HEALTHY,
    length_unit,
    most_uneven,
    side_readings,
    side_spread,
)
from classifiers.tasks import target_named
from common.errors import UserError, did_you_mean
from common.provenance import write_run_json
from common.report import Report
from common.tables import join_manifest, number, read_manifest, text, write_table
from features.registry import FEATURES
from features.tables import DISTS_FILE, definition_of, read_dists
from landmarks.tables import read_landmarks

ENOUGH_HEALTHY = 20  # below this a percentile moves in steps of 5 points and more
HEALTHY_GRADE = 1
NO_TASK = "photograph"  # movement of a table that does not name movements

PROFILE = pa.DataFrameSchema(
    {
        "image_id": text(),
        "task": text(),
        "feature": text(),
        "region": text(),
        **{name: number() for name in ("value", "healthy_5", "healthy_50", "healthy_95",
                                       "percentile")},
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
    sentences
        What differs most between the sides, in words; empty without distances and movements.
    """

    patient: str
    table: pd.DataFrame
    healthy: int
    sentences: list[str]


def profile(
    features: Path,
    *,
    patient: str,
    out: Path,
    manifest: Path | None = None,
) -> Profile:
    """Show where a patient lies among the healthy people of the same table, by percentile.

    Writes `profile.csv`, `report.html` and `run.json` into `out`. The reference is everybody of
    grade I in the table but the patient; each of them counts once for each movement. Research use
    only.

    Parameters
    ----------
    features
        `features.csv` from `extract`; with `dists.csv` beside it the sides are told in words too.
    patient
        Value of `patient_id`.
    out
        Folder for the results; made if needed.
    manifest
        `manifest.csv` with `image_id`, `patient_id`, `hb_grade` and, best, `task`.

    Returns
    -------
    Profile
        The table that was written.

    Raises
    ------
    UserError
        When the patient is not in the table, or fewer than three healthy people are.
    """
    cohort = read_cohort(features, target=target_named("six_grades"), manifest=manifest)
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
    healthy = sorted(set(rows.loc[rows["hb_grade"] == HEALTHY_GRADE, "patient_id"]) - {patient})
    if len(healthy) < FEWEST_HEALTHY:
        raise UserError(
            f"{features} has {len(healthy)} healthy patients (hb_grade 1) beside {patient}: a "
            f"reference range needs {FEWEST_HEALTHY} at least, and {ENOUGH_HEALTHY} to mean much."
        )
    table = percentiles(rows, samples.features, patient=patient, healthy=healthy)
    found = Profile(
        patient=patient,
        table=table,
        healthy=len(healthy),
        sentences=_in_words(features, manifest, patient=patient, healthy=healthy),
    )
    write_table(table, out / "profile.csv", schema=PROFILE)
    profile_report(found).write(out / "report.html")
    files = {"features": features} | ({} if manifest is None else {"manifest": manifest})
    write_run_json(
        out / "run.json",
        command="profile",
        settings={"features": features.name, "patient": patient},
        files=files,
        counts={"photographs": table["image_id"].nunique(), "healthy patients": len(healthy)},
        notes={"definition": definition_of(features)},
    )
    print(f"{patient} beside {len(healthy)} healthy patients. Report in {out / 'report.html'}")
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
        movement or the value is missing. Limits are the 5th, 50th and 95th percentile.
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
            limits = np.percentile(values, [5, 50, 95]) if enough else np.full(3, np.nan)
            below = np.mean(values < value) + np.mean(values == value) / 2 if enough else np.nan
            found.append(
                {
                    "image_id": image_ids[at],
                    "task": tasks[at],
                    "feature": entry.name,
                    "region": entry.region,
                    "value": value,
                    "healthy_5": limits[0],
                    "healthy_50": limits[1],
                    "healthy_95": limits[2],
                    "percentile": np.nan if np.isnan(value) else 100.0 * below,
                    "n_healthy": len(values),
                }
            )
    return pd.DataFrame(found)


def profile_report(found: Profile) -> Report:
    """Build the report of one patient."""
    table = found.table
    known = table.dropna(subset=["percentile"])
    outside = known[(known["value"] > known["healthy_95"]) | (known["value"] < known["healthy_5"])]
    report = Report(
        title=f"Profile of {found.patient}",
        summary=(
            f"{table['image_id'].nunique()} photographs beside {found.healthy} healthy patients of "
            f"the same table: {len(outside)} of {len(known)} values lie outside the middle 90 % of "
            "healthy people; one in ten would by chance alone."
        ),
    )
    if found.healthy < ENOUGH_HEALTHY:
        report.warn(
            f"The reference is only {found.healthy} healthy patients: a percentile can then be no "
            f"finer than {100 / found.healthy:.0f} points, and the limits of the range are vague. "
            f"{ENOUGH_HEALTHY} or more would be better."
        )
    if len(known) < len(table):
        report.warn(
            f"{len(table) - len(known)} values have no percentile: they are missing, or fewer than "
            f"{FEWEST_HEALTHY} healthy patients have the movement."
        )
    if found.sentences:
        section = report.section("Right and left")
        section.text("Where the sides differ most, counted in the spread of healthy people:")
        for sentence in found.sentences:
            section.text(sentence)
    section = report.section("Percentiles among healthy people")
    section.text(
        "Each number is the share of healthy people, in percent, with a smaller value in the same "
        "movement. Nearly all features grow with asymmetry: 50 is usual, 100 is more uneven than "
        "every healthy person of the reference."
    )
    section.figure(
        percentile_figure(known), alt="Percentiles by feature (rows) and movement (columns)."
    )
    section = report.section("The furthest values")
    meaning = {entry.name: entry.meaning for entry in FEATURES}
    spread = (known["healthy_95"] - known["healthy_5"]).where(lambda width: width > 0)
    away = ((known["value"] - known["healthy_50"]).abs() / spread).rename("away")
    furthest = known.assign(away=away).sort_values("away", ascending=False, kind="stable").head(15)
    section.table(
        pd.DataFrame(
            {
                "Movement": [_words(task) for task in furthest["task"]],
                "Feature": furthest["feature"],
                "What it tells": [meaning[str(name)] for name in furthest["feature"]],
                "Value": furthest["value"],
                "Healthy, 5 to 95 %": [
                    f"{row.healthy_5:.2f} to {row.healthy_95:.2f}" for row in furthest.itertuples()
                ],
                "Percentile": [f"{value:.0f}" for value in furthest["percentile"]],
            }
        )
    )
    return report


def percentile_figure(known: pd.DataFrame) -> Figure:
    """Draw percentiles as a table of shaded numbers, features by region and movements."""
    names = [entry.name for entry in FEATURES]
    tasks = list(dict.fromkeys(known["task"]))
    grid = known.pivot_table(index="feature", columns="task", values="percentile", aggfunc="mean")
    values = grid.reindex(index=names, columns=tasks).to_numpy(dtype=np.float64)
    figure = Figure(figsize=(1.9 + 0.72 * len(tasks), 1.2 + 0.22 * len(names)),
                    layout="constrained")  # fmt: skip
    axes = figure.subplots()
    axes.imshow(values, cmap=mpl.colormaps["Blues"], vmin=0, vmax=130, aspect="auto")
    for row, column in np.argwhere(~np.isnan(values)):
        value = values[row, column]
        axes.text(
            column, row, f"{value:.0f}", ha="center", va="center", fontsize=7.5,
            color="white" if value > 85 else "#1d2733",
        )  # fmt: skip
    axes.set_xticks(range(len(tasks)), [_words(task).replace(" ", "\n") for task in tasks])
    axes.set_yticks(
        range(len(names)), [f"{entry.name}  {entry.region}" for entry in FEATURES], fontsize=7.5
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=7.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _in_words(
    features: Path, manifest: Path | None, *, patient: str, healthy: list[str]
) -> list[str]:
    """Say what differs between the sides, when distances lie beside the features."""
    path = features.with_name(DISTS_FILE)
    if not path.is_file():
        return []
    dists = read_dists(path)
    if manifest is not None:
        dists = join_manifest(dists[[c for c in dists if c not in ("patient_id", "task")]],
                              read_manifest(manifest))  # fmt: skip
    if not {"patient_id", "task"} <= set(dists.columns):
        return []
    points = features.with_name("landmarks.csv")
    landmarks = read_landmarks(points) if points.is_file() else None
    unit = length_unit(features.parent)
    of = dists.groupby("patient_id")
    reference = side_spread(
        reading
        for name in healthy
        if name in of.groups
        for reading in side_readings(of.get_group(name), landmarks=landmarks, unit=unit)
    )
    if patient not in of.groups:
        return []
    own = side_readings(of.get_group(patient), landmarks=landmarks, unit=unit)
    return [item.sentence() for item in most_uneven(own, reference=reference)]


def _words(task: object) -> str:
    return str(task).replace("_", " ")
