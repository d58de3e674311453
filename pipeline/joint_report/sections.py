"""Behind the first page: disagreements, probabilities, method, and the way to each patient."""

from __future__ import annotations

import pandas as pd

from classifiers.reports.sections import add_certainty
from common.grading.calibration import about_ranges, range_in_words, range_title
from common.report import Link, Report
from common.words import counted
from pipeline.joint_report.figures import against_each_other
from pipeline.joint_report.pages import anchor_of, name_of, patient_strip
from pipeline.joint_report.study import (
    MEASUREMENTS,
    NETWORK,
    TOGETHER,
    JointStudy,
    title_of_way,
)

SHOWN_DISAGREEMENTS = 6


def add_disagreements(report: Report, study: JointStudy, *, redact: bool) -> None:
    """Add where measurements and network disagree most, and who was right."""
    section = report.section("Where they disagree")
    first, second = study.way(MEASUREMENTS), study.way(NETWORK)
    if first is None or second is None:
        section.text("One of the two ways is missing.")
        return
    found = study.patients
    section.figure(
        against_each_other(found.shared, first, second),
        alt="Expected grade by measurements against that by the network, one dot per patient.",
        caption="One dot for each patient, coloured by the reference; on the dotted line both ways "
        "say the same.",
    )
    counts = found.who_was_right
    whole = counts[
        (counts["by"] == "all") & (counts["first"] == first) & (counts["second"] == second)
    ]
    if len(whole):
        row = whole.iloc[0]
        section.text(
            f"Exactly right: both in {counted(row['both'], 'patient')}, only the measurements in "
            f"{row['only_first']:.0f}, only the network in {row['only_second']:.0f}, neither in "
            f"{row['neither']:.0f}."
        )
    apart = [
        patient
        for patient, told in study.answers.items()
        if first in told.ways
        and second in told.ways
        and told.ways[first].answer != told.ways[second].answer
    ]
    if not apart:
        section.text("They give the same grade to every patient.")
        return
    apart.sort(
        key=lambda name: (
            -abs(study.answers[name].ways[first].answer - study.answers[name].ways[second].answer)
        )
    )
    shown = apart[:SHOWN_DISAGREEMENTS]
    section.subheading(
        f"The {len(shown)} farthest apart, of {len(apart)}" if len(apart) > 1 else "The one"
    )
    for patient in shown:
        section.text(_told(study, patient, redact=redact))
        section.gallery(patient_strip(study, patient, redact=redact))
        section.links([Link("to this patient's page", f"#{anchor_of(study, patient)}")])


def add_probabilities(report: Report, study: JointStudy) -> None:
    """Add what the probabilities are worth: calibration, ranges, and what abstaining would gain."""
    section = add_certainty(report, study.patients.evaluation, title=title_of_way, folded=True)
    section.text(_about_ranges(study))


def add_method(report: Report, study: JointStudy, *, settings: pd.DataFrame) -> None:
    """Add how it was done, in short."""
    section = report.section("How it was done")
    section.text(
        "Measurements: 68 points are found on each photograph, 34 distances and 29 asymmetry "
        "features are computed from them, and a grader learns the grade from these numbers. Image "
        "network: the face is cut out, turned upright and given to HTNet, a network that compares "
        "parts of the face at several sizes. Both together: the probabilities of the two are "
        f"joined; {_HOW_JOINED.get(study.branches[-1].model, 'see the model named below')}."
    )
    section.text(
        "The patients were dealt into folds once, and all ways were tested on the same folds: each "
        "patient was graded by models that never saw any photograph of theirs. Every score stands "
        "beside what always giving the commonest grade would reach. Intervals resample whole "
        "patients 2000 times."
    )
    if study.weights is not None and len(study.weights):
        weights = study.weights.groupby("branch", sort=False)["weight"].agg(["mean", "min", "max"])
        section.table(
            pd.DataFrame(
                {
                    "Way": [title_of_way(str(name)) for name in weights.index],
                    "Weight, mean over folds": weights["mean"].to_numpy(),
                    "Smallest": weights["min"].to_numpy(),
                    "Largest": weights["max"].to_numpy(),
                }
            ),
            caption="How much each way counts in the fused grade.",
        )
    section.table(settings, caption="What was joined.")


_HOW_JOINED = {
    "fused_mean": "both count alike",
    "fused_product": "they are multiplied",
    "fused_weighted": "how much each counts was learned inside the training patients",
    "fused_stacking": "how much each counts was learned inside the training patients",
    "fused_early_summary": "one grader learned from the measurements and the network's answers",
}


def add_overview(report: Report, study: JointStudy, *, redact: bool) -> None:
    """Add one row for each patient, with links to their pages."""
    section = report.section("Patients, one by one", anchor="patients")
    section.text(
        "Choose a patient for photographs, measures, maps and probabilities. "
        f"{_about_ranges(study)}"
    )
    rows = []
    for patient, told in study.answers.items():
        row: dict[str, object] = {
            "Patient": Link(
                name_of(study, patient, redact=redact), f"#{anchor_of(study, patient)}"
            ),
            "Reference": None if told.reference is None else study.grades[told.reference - 1],
        }
        for name in study.names:
            found = told.ways.get(name)
            row[title_of_way(name)] = None if found is None else study.grades[found.answer - 1]
        fused = next(
            (told.ways[n] for n in study.names if n.startswith(TOGETHER) and n in told.ways), None
        )
        row[range_title()] = (
            None
            if fused is None or fused.span is None
            else range_in_words(*fused.span, study.grades)
        )
        rows.append(row)
    section.table(pd.DataFrame(rows).dropna(axis="columns", how="all"))


def _about_ranges(study: JointStudy) -> str:
    """Say what the ranges of the fused grade promise, and what they kept here."""
    spans = [
        (told.reference, told.ways[name].span)
        for told in study.answers.values()
        for name in study.names
        if name.startswith(TOGETHER) and name in told.ways
    ]
    made = [(reference, span) for reference, span in spans if span and reference is not None]
    if not made:
        return "No likely ranges were made: they need answers inside the training patients."
    held = sum(low <= reference <= high for reference, (low, high) in made)
    width = sum(high - low + 1 for _, (low, high) in made) / len(made)
    return (
        f"{about_ranges()} Here that of the fused grade held it in {held} of "
        f"{counted(len(made), 'patient')}, with {width:.1f} classes on average."
    )


def _told(study: JointStudy, patient: str, *, redact: bool) -> str:
    name = name_of(study, patient, redact=redact)
    return f"{name}: reference {study.reference_of(patient)}; {study.said_of(patient)}."
