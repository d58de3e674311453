"""The joint report: measurements, image network and both together, on one page and by patient.

Its first section is meant to be read in a minute by someone who knows nothing of the project;
`fuse` and `demo` end with this report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd

from classifiers.branches.branch import scores_of_classes
from classifiers.commands.compare import warn_of_nameless
from classifiers.reports.branch_sections import (
    add_branch_agreement,
    add_differences,
    add_disagreements,
    add_groups,
    weights_table,
)
from classifiers.reports.branches import ABOUT, fused_title
from classifiers.reports.patient_answers import answers_overview, answers_table
from classifiers.reports.patient_page import Answer, add_patient_pages, anchor_of
from classifiers.reports.patient_pictures import patient_pictures
from classifiers.reports.sections import (
    BELOW,
    add_certainty,
    add_meanings,
    add_mistakes,
    add_scores,
    ranges_kept,
)
from common.grading.calibration import about_ranges
from common.grading.plots import against_each_other
from common.grading.predictions import TWIN
from common.grading.target import TargetName, target_named
from common.report import Link, Picture, Report, image_picture
from common.truth import all_simulated
from common.words import counted, spoken
from landmarks.tables import points_source
from pipeline.joint_report.first_section import add_first_section
from pipeline.joint_report.study import (
    MAP_TASKS,
    MEASUREMENTS,
    NETWORK,
    TOGETHER,
    Ingredients,
    JointStudy,
    read_study,
)

SHOWN_DISAGREEMENTS = 6
_TWIN = (
    "Its classical twin: histograms of edges of the same faces and a ridge regression, the bar "
    "that a network has to pass; it is not in the joined grade. "
)
_STRIP_TASKS = ("rest", "full_eye_closure", "full_smile")


def build_joint_report(
    given: Ingredients,
    *,
    target: TargetName = "six_grades",
    redact: bool = False,
    seed: int = 0,
    before_patients: Callable[[Report], None] | None = None,
) -> Report:
    """Build the report of what lies at `given`; `before_patients` adds sections before the pages.

    Redacted, points are drawn in place of photographs, and patients are numbered. UserError when
    the tables test other patients, folds or grades, or something is missing.
    """
    study = read_study(given, target=target_named(target), redact=redact, seed=seed)
    simulated = all_simulated(study.manifest)
    report = Report(
        title="Grading facial palsy: by measurements, by an image network, and by both",
        summary=points_source(study.material.dists).added_to(_summary(study, simulated=simulated)),
    )
    if simulated:
        report.warn(
            "The patients are simulated: drawn by this project. What is shown here says that the "
            "tools work, and nothing about real patients."
        )
    warn_of_nameless(report, study.manifest)
    for sentence in study.problems:
        report.warn(sentence)
    add_first_section(report, study, redact=redact)
    _add_side_by_side(report, study)
    _add_disagreements(report, study, redact=redact)
    section = report.section("By grade, movement and side", folded=True)
    add_groups(section, study.comparisons[::-1], title=study.title_of)
    section.text(*_groups_not_known(study))
    section = add_certainty(
        report, scores_of_classes(study.patients.evaluation), title=study.title_of, folded=True
    )
    section.text(_about_ranges(study))
    _add_method(report, study)
    if before_patients is not None:
        before_patients(report)
    _add_patients(report, study, redact=redact)
    return report


def _summary(study: JointStudy, *, simulated: bool) -> str:
    """Say in one sentence what was done."""
    photographs = counted(len(study.manifest), "photograph")
    patients = counted(len(study.numbers), "simulated patient" if simulated else "patient")
    names = study.target.spoken
    ends = "from {} to {}" if study.target.ordered else "as {} or {}"
    twin = (
        " A classical twin reads edges (HOG) in the network's place: it shows what is had for less."
        if study.method(TWIN)
        else ""
    )
    return (
        f"{photographs} of {patients} were graded {ends.format(names[0], names[-1])} in three "
        "ways: from distances measured between points on the face, by an image network, and by "
        f"both together.{twin} Nobody was graded by a model that had learned from their own "
        "photographs."
    )


def _add_side_by_side(report: Report, study: JointStudy) -> None:
    section = report.section("Side by side")
    evaluations = [scores_of_classes(found.evaluation) for found in study.comparisons[::-1]]
    for evaluation in evaluations:
        add_scores(
            section, evaluation, heading="Method", title=study.title_of,
            caption=f"Per {evaluation.unit}. {BELOW}",
        )  # fmt: skip
    add_meanings(section, evaluations[0])
    section.subheading("Differences, patient by patient")
    add_differences(section, study.patients, title=study.title_of)
    section.subheading("Do the methods agree with each other?")
    add_branch_agreement(section, [study.patients], title=study.title_of)
    section.subheading("Which mistakes are made")
    add_mistakes(section, evaluations[:1], title=study.title_of)


def _add_disagreements(report: Report, study: JointStudy, *, redact: bool) -> None:
    """Add where measurements and network disagree most, and who was right."""
    section = report.section("Where they disagree")
    first, second = study.method(MEASUREMENTS), study.method(NETWORK)
    if first is None or second is None:
        section.text("One of the two methods is missing.")
        return
    found = study.patients
    section.figure(
        against_each_other(
            found.shared.expected(first),
            found.shared.expected(second),
            found.shared.truth,
            target=study.target,
            labels=(
                f"{study.target.step} by {study.title_of(first).lower()}",
                f"{study.target.step} by {study.title_of(second).lower()}",
            ),
        ),
        alt="Expected answer by measurements against that by the network, one dot per patient.",
        caption="One dot for each patient, coloured by the reference; on the dotted line both "
        "methods say the same.",
    )
    counts = found.who_was_right.query("by == 'all' and first == @first and second == @second")
    for row in counts.to_dict("records"):
        section.text(
            f"Exactly right: both in {counted(row['both'], 'patient')}, only the measurements in "
            f"{row['only_first']:.0f}, only the network in {row['only_second']:.0f}, neither in "
            f"{row['neither']:.0f}."
        )
    add_disagreements(
        section, found, title=study.title_of,
        name_of=lambda patient: _link(study, patient, redact=redact),
    )  # fmt: skip
    for row in found.disagreements.head(SHOWN_DISAGREEMENTS).to_dict("records"):
        patient = str(row["patient_id"])
        said = study.class_name(study.references.get(patient))
        section.text(
            f"{_name(study, patient, redact=redact)}: reference {said}; {_said(study, patient)}."
        )
        strip = patient_pictures(study.material, patient, redact=redact, tasks=_STRIP_TASKS)
        section.gallery([*strip, *_maps(study, patient)[:1]])


def _groups_not_known(study: JointStudy) -> Iterator[str]:
    known = {group for found in study.comparisons for group in found.table["by"]}
    why = {
        "movement": "at least one method grades whole patients from all movements together.",
        "side": "the manifest does not name the weak side.",
    }
    for by, reason in why.items():
        if by not in known:
            yield f"By {by} nothing is known: {reason}"


def _about_ranges(study: JointStudy) -> str:
    """Say what the ranges of the fused grade promise, and what they kept here."""
    rows = study.rows
    made = rows[rows["model"].str.startswith(TOGETHER)]
    made = made.dropna(subset=["set_low"]) if "set_low" in made else made.iloc[:0]
    if made.empty:
        return "No likely ranges were made: they need answers inside the training patients."
    held, width = ranges_kept(made, target=study.target)
    return (
        f"{about_ranges()} Here that of the fused grade held it in {held * len(made):.0f} of "
        f"{counted(len(made), 'patient')}, with {width:.1f} classes on average."
    )


def _add_method(report: Report, study: JointStudy) -> None:
    """Add how it was done, in short."""
    fused = study.branches[-1].model
    joined = ABOUT[fused][1] if fused in ABOUT else "See the model named below."
    section = report.section("How it was done")
    section.text(
        "Measurements: 68 points are found on each photograph, 34 distances and 29 asymmetry "
        "features are computed from them, and a grader learns the grade from these numbers. Image "
        "network: the face is cut out, turned upright and given to HTNet, a network that compares "
        f"parts of the face at several sizes. {_TWIN if study.method(TWIN) else ''}Both together: "
        f"the probabilities of measurements and network are joined. {joined}"
    )
    section.text(
        "The patients were dealt into folds once, and all methods were tested on the same folds: "
        "each patient was graded by models that never saw any photograph of theirs. Every score "
        "stands beside what always giving the commonest grade would reach. Intervals resample "
        "whole patients 2000 times."
    )
    if study.weights is not None and len(study.weights):
        section.table(
            weights_table(study.weights, title=lambda name: study.title_of(fused_title(name))),
            caption="How much each method counts in the fused grade: mean over folds, with the "
            "least and the most below it.",
        )
    section.table(
        (
            {
                "What": f"{branch.name}: model {branch.model}",
                "From": f"{branch.source.parent.name}/{branch.source.name}",
            }
            for branch in study.branches
        ),
        caption="What was joined.",
    )


def _add_patients(report: Report, study: JointStudy, *, redact: bool) -> None:
    below = "Below an answer stands its likely range. " if "set_low" in study.rows else ""
    shown = {patient: said for patient, said in study.answers.items() if study.has_page(patient)}
    add_patient_pages(
        report,
        study.material,
        answers={patient: _answer(study, patient) for patient in shown},
        numbers=study.numbers,
        redact=redact,
        overview=answers_overview(
            shown, study.references, models=study.names, target=study.target,
            title=study.title_of,
        ),
        about="Choose a patient for photographs, measures, maps and probabilities. "
        f"{below}{_about_ranges(study)} {study.with_page[1]}",
    )  # fmt: skip


def _answer(study: JointStudy, patient: str) -> Answer:
    found, reference = study.answers[patient], study.references.get(patient)
    fused = found.get(study.names[-1])
    together = "no fused grade" if fused is None else f"together {study.class_name(fused.number)}"
    return Answer(
        summary=list(_what_is_known(study, patient)),
        table=answers_table(found, reference=reference, target=study.target, title=study.title_of),
        caption=f"The answers, and the probability of each of the {study.target.steps} in %.",
        heading=f"reference {study.class_name(reference)}, {together}",
        maps=_maps(study, patient),
    )


def _name(study: JointStudy, patient: str, *, redact: bool) -> str:
    return f"Patient {study.numbers[patient]}" if redact else patient


def _link(study: JointStudy, patient: str, *, redact: bool) -> Link:
    page = anchor_of(study.numbers[patient]) if study.has_page(patient) else "patients"
    return Link(_name(study, patient, redact=redact), f"#{page}")


def _said(study: JointStudy, patient: str) -> str:
    """Return what each method answered to a patient, in one line."""
    return ", ".join(
        f"{study.title_of(name).lower()} {study.class_name(found.number)}"
        for name, found in study.answers[patient].items()
    )


def _what_is_known(study: JointStudy, patient: str) -> Iterator[str]:
    """Say which movements, photographs and answers are not there, and what the network sees."""
    own = _photographs_of(study, patient)
    if "task" in own.columns:
        usual, taken = study.manifest["task"].dropna().unique(), set(own["task"])
        absent = [spoken(task) for task in usual if task not in taken]
        if absent:
            yield f"Not photographed: {', '.join(absent)}."
    statuses = study.material.dists.set_index("image_id")["status"]
    for row in own.to_dict("records"):
        status = str(statuses.get(row["image_id"], "not in the measurements"))
        if status != "ok":
            task = row.get("task")
            what = "A photograph" if pd.isna(task) else f"The photograph of {spoken(task)}"
            yield f"{what} could not be used ({spoken(status)})."
    found = study.answers[patient]
    for name in study.names:
        if name not in found:
            title = study.title_of(name)
            yield f"{title}: no answer for this patient, who is not in its table."
    if patient in study.said:
        yield study.said[patient]
    answered = study.method(NETWORK) in found and bool(study.pictures)
    if answered and not set(study.pictures) & set(own["image_id"]):
        yield "There is no map of the network for this patient."


def _photographs_of(study: JointStudy, patient: str) -> pd.DataFrame:
    return study.manifest[study.manifest["patient_id"].astype(str) == patient]


def _maps(study: JointStudy, patient: str) -> list[Picture]:
    """Return what the network looked at, a smile first."""
    pictures: list[Picture] = []
    for row in _photographs_of(study, patient).to_dict("records"):
        found = study.pictures.get(str(row["image_id"]))
        if found is not None:
            task = row.get("task")
            words = "map" if task is None or pd.isna(task) else spoken(task)
            made = image_picture(
                found,
                alt=f"What the network looked at: {words}.",
                caption=f"{words}: bright moved the grade most; where a side is weak, there only",
            )
            pictures.insert(0 if task == MAP_TASKS[0] else len(pictures), made)
    return pictures
