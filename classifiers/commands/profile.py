"""The command `profile`: one patient beside the healthy people of the same table."""

from __future__ import annotations

from pathlib import Path

from classifiers.graders.cohort import read_cohort
from classifiers.reports.patient_pictures import read_material
from classifiers.reports.profile import NO_TASK, PROFILE, Profile, percentiles, profile_report
from common.errors import UserError, did_you_mean
from common.grading.target import target_named
from common.provenance import write_run_record
from common.tables import GRADES, severities, write_table
from common.words import counted
from features.tables import definition_of


def profile(
    features: Path, *, patient: str, out: Path, manifest: Path | None = None, redact: bool = False
) -> Profile:
    """Show where a patient lies among the healthy people of the same table.

    Writes `profile.csv`, `report.html` and `run.json` into `out`. The reference is everybody of
    grade I in the table but the patient; each of them counts once for each movement. With fewer
    than three of them the patient is shown alone. Research use only.

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

    Raises
    ------
    UserError
        When the patient is not in the table, or has no usable photograph.
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
    table = percentiles(rows, samples.features, patient=patient, healthy=healthy)
    found = Profile(
        patient=patient,
        table=table,
        healthy=len(healthy),
        material=read_material(cohort.study),
        redact=redact,
        source=cohort.source,
    )
    write_table(table, out / "profile.csv", schema=PROFILE)
    profile_report(found).write(out / "report.html")
    files = {"features": features} | ({} if manifest is None else {"manifest": manifest})
    write_run_record(
        out,
        command="profile",
        settings={"features": features.name, "patient": patient, "redact": redact},
        files=files,
        counts={
            "photographs": table["image_id"].nunique(),
            "healthy patients": len(healthy),
            **cohort.source.counts(),
        },
        notes={"definition": definition_of(features)},
    )
    beside = counted(len(healthy), "healthy patient")
    print(found.source.added_to(f"{patient} beside {beside}."), f"Report in {out / 'report.html'}")
    return found
