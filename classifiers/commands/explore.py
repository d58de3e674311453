"""The commands `explore` and `profile`: features before anything is graded, and one patient's."""

from __future__ import annotations

from pathlib import Path

from classifiers.exploration import (
    MAPS,
    OUTLIERS,
    SEPARABILITY,
    STABILITY,
    Exploration,
    map_table,
    maps,
    outliers,
    patients_of,
    separability,
    stability,
)
from classifiers.graders.cohort import read_cohort
from classifiers.reports.explore import explore_report
from classifiers.reports.patient_pictures import read_material
from classifiers.reports.profile import NO_TASK, PROFILE, Profile, percentiles, profile_report
from common.errors import UserError, did_you_mean
from common.grading.target import TargetName, refuse_two_grades, target_named
from common.provenance import write_run_record
from common.tables import GRADES, severities, write_table
from common.words import counted


def explore(
    features: Path,
    *,
    out: Path,
    manifest: Path | None = None,
    target: TargetName = "six_grades",
    by: str | None = None,
    seed: int = 0,
) -> Exploration:
    """Look at features before grading: by grade, on maps, what separates, what stands out.

    Writes `separability.csv`, `outliers.csv`, `maps.csv`, with `by` `stability.csv`, `report.html`
    and `run.json` into `out`.
    Patients are counted, not photographs. Research use only.

    Parameters
    ----------
    features
        `features.csv` from `extract`, with or without the manifest's columns.
    out
        Folder for the results; made if needed.
    manifest
        `manifest.csv` with `image_id`, `patient_id`, and `hb_grade` or `palsy_class`.
    target
        The classes that are compared.
    by
        A column of the manifest (site, camera, dataset): also say which features keep their
        meaning from one of its values to the other (`stability.csv`).
    seed
        Of the resampling and of t-SNE.

    Raises
    ------
    UserError
        When tables do not fit together, or no photograph can be used.
    """
    question = target_named(target)
    cohort = read_cohort(features, target=question, manifest=manifest)
    refuse_two_grades(cohort.usable.rows, column=question.column)
    patients = patients_of(cohort)
    found = Exploration(
        cohort=cohort,
        patients=patients,
        stability=None if by is None else stability(cohort, by=by),  # refuses a wrong column first
        separability=separability(patients, seed=seed),
        outliers=outliers(cohort),
        maps=maps(patients, seed=seed),
    )
    if found.stability is not None:
        write_table(found.stability, out / "stability.csv", schema=STABILITY)
    write_table(found.separability, out / "separability.csv", schema=SEPARABILITY)
    write_table(found.outliers, out / "outliers.csv", schema=OUTLIERS)
    if found.maps is not None:
        write_table(map_table(patients, found.maps), out / "maps.csv", schema=MAPS)
    explore_report(found, target=question).write(out / "report.html")
    write_run_record(
        out,
        command="explore",
        settings={
            "target": target, "truth": cohort.truth_source, "features": features.name, "by": by
        },
        seed=seed,
        files=cohort.study.files,
        counts={
            "photographs": len(cohort.usable.rows),
            "patients": len(patients.names),
            **cohort.source.counts(),
        },
        notes={"definition": cohort.study.definition},
    )  # fmt: skip
    photographs = counted(len(cohort.usable.rows), "photograph")
    stand_out = counted(len(found.outliers), "value stands out", "values stand out")
    told = f"{photographs} of {counted(len(patients.names), 'patient')}; {stand_out}."
    print(cohort.source.added_to(told), f"Report in {out / 'report.html'}")
    return found


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
    write_run_record(
        out,
        command="profile",
        settings={"features": features.name, "patient": patient, "redact": redact},
        files=cohort.study.files,
        counts={
            "photographs": table["image_id"].nunique(),
            "healthy patients": len(healthy),
            **cohort.source.counts(),
        },
        notes={"definition": cohort.study.definition},
    )
    beside = counted(len(healthy), "healthy patient")
    print(found.source.added_to(f"{patient} beside {beside}."), f"Report in {out / 'report.html'}")
    return found
