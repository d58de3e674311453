"""The command `explore`: a feature table looked at before anything is graded."""

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
from common.grading.target import TargetName, refuse_two_grades, target_named
from common.provenance import write_run_record
from common.tables import write_table
from common.words import counted
from features.tables import definition_of


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
    files = {"features": features} | ({} if manifest is None else {"manifest": manifest})
    write_run_record(
        out,
        command="explore",
        settings={
            "target": target, "truth": cohort.truth_source, "features": features.name, "by": by
        },
        seed=seed,
        files=files,
        counts={
            "photographs": len(cohort.usable.rows),
            "patients": len(patients.names),
            **cohort.source.counts(),
        },
        notes={"definition": definition_of(features)},
    )  # fmt: skip
    photographs = counted(len(cohort.usable.rows), "photograph")
    stand_out = counted(len(found.outliers), "value stands out", "values stand out")
    told = f"{photographs} of {counted(len(patients.names), 'patient')}; {stand_out}."
    print(cohort.source.added_to(told), f"Report in {out / 'report.html'}")
    return found
