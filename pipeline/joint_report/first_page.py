"""The first page of the joint report: what was done, how well, and whether the network adds to it.

It is meant to be read in a minute by someone who knows nothing of the project.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from classifiers.branches.comparison import BranchComparison
from classifiers.reports.compare import p_words
from classifiers.reports.patient_pages import face_thumbnail, read_small
from classifiers.reports.sections import score_facts
from common.bootstrap import Estimate
from common.grading.scores import HUMAN_AGREEMENT, Score
from common.grading.target import MAJORITY
from common.report import Fact, Picture, Report, Section, image_picture
from common.words import counted
from pipeline.joint_report.figures import ways_figure
from pipeline.joint_report.study import (
    MEASUREMENTS,
    NETWORK,
    TOGETHER,
    JointStudy,
    signed,
    title_of_way,
)

SHOWN_TASK = "full_smile"
_PICTURE = 210  # px
SIGNIFICANT = 0.05


def add_first_page(report: Report, study: JointStudy, *, redact: bool) -> None:
    """Add the pictures of what was done, the answer box, the figure, and the answer in words."""
    section = report.section("In one minute", anchor="answer")
    shown = _shown_photograph(study)
    if shown is not None:
        section.gallery(_what_was_done(study, shown[0], redact=redact))
        section.text(_told(study, shown[1]))
    evaluation = study.patients.evaluation
    section.facts("How far is each way of grading from the reference?", _facts(study))
    section.text(
        f"The large number is the {evaluation.headline.meaning}, per patient, with its 95 % "
        "interval; the last line says how many patients of each class were graded exactly."
    )
    section.figure(
        ways_figure(evaluation),
        alt="Scores of each way of grading with intervals, beside the commonest grade.",
        caption="Each way of grading on the same patients; lines are 95 % intervals."
        + (
            " Dashed: how often clinicians agree exactly with each other."
            if study.target.name == "six_grades"
            else ""
        ),
    )
    _does_it_add(section, study)


def summary_of(study: JointStudy, *, simulated: bool) -> str:
    """Say in one sentence what was done."""
    photographs = counted(len(study.manifest), "photograph")
    kind = "simulated patient" if simulated else "patient"
    patients = counted(study.manifest["patient_id"].nunique(), kind)
    ends = ("from {} to {}" if study.target.ordered else "as {} or {}").format(
        study.grades[0], study.grades[-1]
    )
    return (
        f"{photographs} of {patients} were graded {ends} in three ways: from distances measured "
        "between "
        "points on the face, by an image network, and by both together. Nobody was graded by a "
        "model that had learned from their own photographs."
    )


def _shown_photograph(study: JointStudy) -> tuple[str, str] | None:
    """Choose `image_id` and patient: smiling, with two sides that are plainly different."""
    manifest = study.manifest
    if "task" not in manifest.columns:
        return None
    smiling = manifest[manifest["task"] == SHOWN_TASK]
    measured = study.material.points_of(smiling["image_id"])
    best: tuple[float, str, str] | None = None
    for image_id, patient in zip(smiling["image_id"], smiling["patient_id"], strict=True):
        reference = study.answers[str(patient)].reference
        if str(image_id) in measured and reference is not None:
            fitness = (image_id in study.pictures) - abs(reference - 0.8 * len(study.grades))
            if best is None or fitness > best[0]:
                best = (fitness, str(image_id), str(patient))
    return None if best is None else best[1:]


def _what_was_done(study: JointStudy, image_id: str, *, redact: bool) -> list[Picture]:
    """Show one photograph, its points, and the map of the network."""
    points = study.material.points_of([image_id])[image_id]
    path = study.material.paths.get(image_id)
    photo = None if redact or path is None else read_small(path)
    pictures = []
    for overlay, words in (
        (False, "One of the photographs"),
        (True, "Measured: 68 points, patient's right orange, left blue"),
    ):
        if photo is None and not overlay:
            continue
        made = face_thumbnail(photo, points, size=_PICTURE, overlay=overlay)
        if made is not None:
            pictures.append(image_picture(made, alt=words, caption=words))
    if image_id in study.pictures:
        words = "Image network: bright is what moved its grade"
        made_small = image_picture(study.pictures[image_id], alt=words, caption=words)
        pictures.append(replace(made_small, width=_PICTURE))
    return pictures


def _told(study: JointStudy, patient: str) -> str:
    """Say what each way answered to the patient who is shown."""
    return (
        f"This patient's reference grade is {study.reference_of(patient)}. "
        f"Answers: {study.said_of(patient)}."
    )


def _facts(study: JointStudy) -> list[Fact]:
    evaluation = study.patients.evaluation
    names = [*study.names, *([MAJORITY] if MAJORITY in evaluation.estimates else [])]
    facts = score_facts(evaluation, models=names, title=title_of_way)
    if study.target.name == "six_grades":
        exact = next(found for found in HUMAN_AGREEMENT if found.score == "accuracy")
        facts.append(
            Fact(
                label="Clinicians among themselves",
                value=f"{100 * exact.value:.0f} %",
                notes=("give exactly the same grade", "(in studies of other patients)"),
                quiet=True,
            )
        )
    return facts


def _does_it_add(section: Section, study: JointStudy) -> None:
    alone, network, together = (study.way(kind) for kind in (MEASUREMENTS, NETWORK, TOGETHER))
    section.subheading("Does the network add anything?")
    if alone is None or together is None:
        section.text("Not asked here: the fused answer or the measurements are missing.")
        return
    score = study.patients.evaluation.headline
    gain = paired_difference(study.patients, together, alone, score=score.name)
    section.text(answer_in_words(gain.estimate, score=score))
    if network is not None:
        section.text(_about_network(study.patients, network, alone))


@dataclass(frozen=True)
class PairedDifference:
    """First minus second on the same patients, and the p of the permutation test (Holm)."""

    estimate: Estimate
    p: float


def paired_difference(
    found: BranchComparison, first: str, second: str, *, score: str
) -> PairedDifference:
    """Return the difference of one score over all patients, whichever way round it is stored."""
    table = found.table
    whole = table[(table["by"] == "all") & (table["score"] == score)]
    for one, other, sign in ((first, second, 1.0), (second, first, -1.0)):
        row = whole[(whole["first"] == one) & (whole["second"] == other)]
        if len(row):
            value, low, high = sign * row[["difference", "low", "high"]].to_numpy(float)[0]
            return PairedDifference(
                Estimate(float(value), float(min(low, high)), float(max(low, high))),
                p=float(row["p_permutation_holm"].iloc[0]),
            )
    raise KeyError((first, second))


def answer_in_words(gain: Estimate, *, score: Score) -> str:
    """Say whether both together are nearer to the reference than measurements alone.

    Parameters
    ----------
    gain
        Together minus alone.
    score
        Which score it is a difference of; errors are better the smaller they are.
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


def _about_network(found: BranchComparison, network: str, alone: str) -> str:
    """Say how the network does alone: against chance, then by the paired test of the two."""
    evaluation = found.evaluation
    patients = counted(evaluation.predictions["patient_id"].nunique(), "patient")
    if not evaluation.estimates[network]["weighted_kappa"].low > 0:
        return (
            f"Alone, the network is not clearly better than chance: {patients} are few "
            "faces to learn from."
        )
    score = evaluation.headline
    return network_in_words(paired_difference(found, network, alone, score=score.name), score=score)


def network_in_words(made: PairedDifference, *, score: Score) -> str:
    """Say whether the network alone is better or worse than the measurements, as the test says."""
    tested = (
        f"{score.title.lower()} {signed(made.estimate.value)}, 95 % interval "
        f"{signed(made.estimate.low)} to {signed(made.estimate.high)}, paired permutation test "
        f"p {p_words(made.p)}"
    )
    if not made.p < SIGNIFICANT:
        return (
            "Alone, the network cannot be told from the measurements: they are alike, or the "
            f"patients are too few ({tested})."
        )
    better = (made.estimate.value > 0) == score.higher_is_better
    told = "better" if better else "worse"
    return f"Alone, the network does clearly {told} than the measurements ({tested})."
