"""The first section of the joint report: what was done, how well, does the network add to it.

It is meant to be read in a minute by someone who knows nothing of the project.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from classifiers.branches.branch import scores_of_classes
from classifiers.branches.comparison import BranchComparison
from classifiers.reports.branch_sections import differences_of, estimate_of, p_words, signed
from classifiers.reports.patient_pictures import face_thumbnail, read_small
from classifiers.reports.sections import add_answer_box
from common.bootstrap import Estimate
from common.figures import SOFT, calm, draw_intervals
from common.grading.scores import HUMAN_AGREEMENT, Score
from common.grading.target import MAJORITY
from common.report import Fact, Picture, Report, Section, image_picture
from common.words import counted
from pipeline.joint_report.study import (
    COLOURS,
    MAP_TASKS,
    MARKERS,
    MEASUREMENTS,
    NETWORK,
    TOGETHER,
    JointStudy,
)

_PICTURE = 210  # px
SIGNIFICANT = 0.05
_BESIDE_THE_LEAD = {
    "weighted_kappa": "agreement with the reference\n(weighted kappa)",
    "accuracy": "share exactly right",
}


def add_first_section(report: Report, study: JointStudy, *, redact: bool) -> None:
    """Add the pictures of what was done, the answer box, the figure, and the answer in words."""
    section = report.section("In one minute", anchor="answer")
    shown = _shown_photograph(study)
    if shown is not None:
        image_id, patient = shown
        section.gallery(_what_was_done(study, image_id, redact=redact))
        answers = ", ".join(
            f"{study.title_of(name).lower()} {study.class_name(found.number)}"
            for name, found in study.answers[patient].items()
        )
        section.text(
            f"This patient's reference is {study.class_name(study.references[patient])}. "
            f"Answers: {answers}."
        )
    evaluation = scores_of_classes(study.patients.evaluation)
    graded = study.target.steps == "grades"
    exact = next(found for found in HUMAN_AGREEMENT if found.score == "accuracy")
    clinicians = Fact(
        label="Clinicians among themselves",
        value=f"{100 * exact.value:.0f} %",
        notes=("give exactly the same grade", "(in studies of other patients)"),
        quiet=True,
    )
    add_answer_box(
        section,
        evaluation,
        question="How far is each way of grading from the reference?",
        models=_with_the_baseline(study),
        title=study.title_of,
        more=[clinicians] if graded else [],
    )
    section.figure(
        methods_figure(study),
        alt="Scores of each way of grading with intervals, beside the commonest answer.",
        caption="Each way of grading on the same patients; lines are 95 % intervals."
        + (" Dashed: how often clinicians agree exactly with each other." if graded else ""),
    )
    _does_it_add(section, study)


def _with_the_baseline(study: JointStudy) -> list[str]:
    known = study.patients.evaluation.estimates
    return [*study.names, *([MAJORITY] if MAJORITY in known else [])]


def _shown_photograph(study: JointStudy) -> tuple[str, str] | None:
    """Choose `image_id` and patient: smiling, with two sides that are plainly different."""
    manifest = study.manifest
    if "task" not in manifest.columns:
        return None
    smiling = manifest[manifest["task"] == MAP_TASKS[0]]
    measured = study.material.points_of(smiling["image_id"])
    plain = 0.8 * len(study.target.classes)
    candidates = [
        (str(image_id) in study.pictures, -abs(study.references[patient] - plain), at, patient)
        for at, (image_id, patient) in enumerate(
            zip(smiling["image_id"], smiling["patient_id"].astype(str), strict=True)
        )
        if str(image_id) in measured and patient in study.references
    ]
    if not candidates:
        return None
    *_, at, patient = max(candidates, key=lambda one: (one[0] + one[1], -one[2]))
    return str(smiling["image_id"].iat[at]), patient


def _what_was_done(study: JointStudy, image_id: str, *, redact: bool) -> list[Picture]:
    """Show one photograph, its points, and the map of the network."""
    points = study.material.points_of([image_id])[image_id]
    path = study.material.paths.get(image_id)
    photo = None if redact or path is None else read_small(path)
    shown = {"Measured: 68 points, patient's right orange, left blue": True}
    if photo is not None:
        shown = {"One of the photographs": False} | shown
    pictures = []
    for words, overlay in shown.items():
        made = face_thumbnail(photo, points, size=_PICTURE, overlay=overlay)
        if made is not None:
            pictures.append(image_picture(made, alt=words, caption=words))
    if image_id in study.pictures:
        words = (
            "Image network: bright is what moved its grade; where it names a weak side, there only"
        )
        small = image_picture(study.pictures[image_id], alt=words, caption=words)
        pictures.append(replace(small, width=_PICTURE))
    return pictures


def methods_figure(study: JointStudy) -> Figure:
    """Draw the scores of each way of grading with 95 % intervals, the baseline below."""
    evaluation, models = study.patients.evaluation, _with_the_baseline(study)
    lead = evaluation.headline
    shown = {lead.name: lead.title.lower()} | _BESIDE_THE_LEAD
    figure = Figure(figsize=(9.2, 0.95 + 0.33 * len(models)), layout="constrained")
    humans = {found.score: found.value for found in HUMAN_AGREEMENT}
    kinds = [model.partition(" ")[0] for model in models]
    for axes, (score, title) in zip(
        figure.subplots(1, len(shown), sharey=True), shown.items(), strict=True
    ):
        found = [evaluation.estimates[model][score] for model in models]
        at = draw_intervals(
            axes, found, colours=[COLOURS[kind] for kind in kinds],
            markers=[MARKERS[kind] for kind in kinds],
        )  # fmt: skip
        drawn = score in humans and study.target.steps == "grades"
        if drawn:
            axes.axvline(humans[score], color=SOFT, linestyle="--", linewidth=1.2)
            axes.text(humans[score], len(models) - 0.45, "clinicians", color=SOFT, fontsize=9,
                      ha="center", va="bottom")  # fmt: skip
        axes.set_xlim(
            min(0.0, np.nanmin([one.low for one in found])) - 0.03,
            max(1.0, np.nanmax([one.high for one in found])) + 0.04,
        )
        axes.set_ylim(-0.6, len(models) - 0.4)
        axes.set_title(title, fontsize=10, pad=14 if drawn else 6)
        axes.set_yticks(at, [study.title_of(model) for model in models], fontsize=10)
        calm(axes, labelsize=9)
    return figure


def _does_it_add(section: Section, study: JointStudy) -> None:
    alone, network, together = (study.method(kind) for kind in (MEASUREMENTS, NETWORK, TOGETHER))
    section.subheading("Does the network add anything?")
    if alone is None or together is None:
        section.text("Not asked here: the fused answer or the measurements are missing.")
        return
    found = study.patients
    score = scores_of_classes(found.evaluation).headline
    gain, _ = paired_difference(found, together, alone, score=score.name)
    section.text(answer_in_words(gain, score=score))
    if network is None:
        return
    if not found.evaluation.estimates[network]["weighted_kappa"].low > 0:
        patients = counted(found.evaluation.predictions["patient_id"].nunique(), "patient")
        section.text(
            f"Alone, the network is not clearly better than chance: {patients} are few "
            "faces to learn from."
        )
        return
    beside, p = paired_difference(found, network, alone, score=score.name)
    section.text(network_in_words(beside, p, score=score))


def paired_difference(
    found: BranchComparison, first: str, second: str, *, score: str
) -> tuple[Estimate, float]:
    """Return first minus second of one score over all patients, and the test's p (Holm)."""
    for row in differences_of(found):
        if row["score"] == score and {row["first"], row["second"]} == {first, second}:
            one, p = estimate_of(row), float(row["p_permutation_holm"])
            turned = row["first"] != first
            return (Estimate(-one.value, -one.high, -one.low) if turned else one), p
    raise KeyError((first, second))


def answer_in_words(gain: Estimate, *, score: Score) -> str:
    """Say whether both together are nearer to the reference than measurements alone.

    `gain` is together minus alone; errors are better the smaller they are.
    """
    difference = (
        f"both together minus measurements alone: {signed(gain.value)} in {score.title.lower()} "
        f"(95 % interval {signed(gain.low)} to {signed(gain.high)})"
    )
    better, worse = gain.low > 0, gain.high < 0
    if not score.higher_is_better:
        better, worse = worse, better
    if better:
        return f"Yes, on these patients: {difference}."
    if worse:
        return f"No, it does harm on these patients: {difference}."
    if gain.low == gain.high == 0:
        return f"No: fused, the grades agree with the reference just as before ({difference})."
    return (
        f"Not shown: {difference}. The interval holds 0, so that a gain cannot be told from "
        "chance with so few patients."
    )


def network_in_words(made: Estimate, p: float, *, score: Score) -> str:
    """Say whether the network alone is better or worse than the measurements, as the test says."""
    tested = (
        f"{score.title.lower()} {signed(made.value)}, 95 % interval "
        f"{signed(made.low)} to {signed(made.high)}, paired permutation test "
        f"p {p_words(p)}"
    )
    if not p < SIGNIFICANT:
        return (
            "Alone, the network cannot be told from the measurements: they are alike, or the "
            f"patients are too few ({tested})."
        )
    better = (made.value > 0) == score.higher_is_better
    told = "better" if better else "worse"
    return f"Alone, the network does clearly {told} than the measurements ({tested})."
