"""The report of the demo: the joint report, and behind it what was drawn, measured and graded."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from classifiers.commands.benchmark import BenchmarkResult
from classifiers.graders.registry import GRADERS, is_baseline
from classifiers.reports.benchmark import from_best_to_worst
from classifiers.reports.sections import scores_table
from common.photos import read_photo
from common.report import Link, Picture, Report, Section, image_picture
from common.tables import GRADES, ROMAN, read_manifest
from common.truth import read_truth
from datasets.contact_sheet import contact_sheet
from features.commands.extract import ExtractResult
from features.registry import FEATURES
from landmarks.overlay import OVERLAY_FOLDER
from landmarks.points import INNER, LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from landmarks.tables import points_of
from pipeline.demo.layout import BENCHMARK, COMPARED, FUSED
from pipeline.demo.stages import GradedByMeasurements
from pipeline.joint_report.report import Ingredients, build_joint_report

SHOWN_TASK = "full_smile"
_BESIDE = (
    ("every grader", f"{BENCHMARK}/report.html"),
    ("measurements and network compared", f"{COMPARED}/report.html"),
    ("ways of fusing", f"{FUSED}/report.html"),
)
_OVERLAY_WIDTH, _SHEET_WIDTH = 300, 1100
_LEFT_COLOUR, _GREY = "#0072B2", "#999999"


def demo_report(
    out: Path,
    given: Ingredients,
    *,
    portrait: ExtractResult,
    measured: ExtractResult,
    graded: GradedByMeasurements,
    seed: int,
) -> Report:
    """Build the joint report, with the stages that led to it folded in before the patients."""

    def stages(report: Report) -> None:
        manifest = read_manifest(given.manifest)
        _cohort_section(report, manifest)
        _points_section(report, manifest, portrait=portrait, measured=measured)
        _features_section(report, manifest, measured=measured)
        _graders_section(report, graded, chosen=given.models[0])
        _next_section(report, out)

    return build_joint_report(given, seed=seed, before_patients=stages)


def _cohort_section(report: Report, manifest: pd.DataFrame) -> None:
    section = report.section("The simulated patients", folded=True)
    section.text(
        "One patient for each House-Brackmann grade, I (healthy) to VI (no movement), at rest and "
        "in seven movements. The side named is the patient's own: the patient's right is on your "
        "left."
    )
    rows, labels = [], []
    tasks = list(dict.fromkeys(manifest["task"]))
    for grade in GRADES:
        of_grade = manifest[manifest["hb_grade"] == grade]
        patient = of_grade[of_grade["patient_id"] == of_grade["patient_id"].iloc[0]]
        by_task = patient.set_index("task")["path"]
        rows.append([read_photo(Path(by_task[task])).pixels for task in tasks])
        side = patient["side"].iloc[0]
        labels.append(f"{ROMAN[grade - 1]} {'' if side == 'none' else side}".strip())
    sheet = contact_sheet(rows, row_labels=labels, column_labels=tasks)
    section.image(
        sheet,
        alt="Contact sheet: six simulated patients, grades I to VI, in eight movements.",
        width=_SHEET_WIDTH,
    )


def _points_section(
    report: Report, manifest: pd.DataFrame, *, portrait: ExtractResult, measured: ExtractResult
) -> None:
    section = report.section("From photograph to 68 points", folded=True)
    section.text(
        "dlib finds the face and places 68 points; orange is the patient's right, blue the left. "
        "First a real portrait (NASA, public domain), then one simulated patient of each grade "
        "smiling."
    )
    pictures = [_overlay(portrait, portrait.extraction.table["image_id"].iloc[0], "a portrait")]
    for grade in GRADES:
        chosen = manifest[(manifest["hb_grade"] == grade) & (manifest["task"] == SHOWN_TASK)]
        row = chosen.iloc[0]
        weak = "" if row["side"] == "none" else f", weak on the {row['side']}"
        pictures.append(_overlay(measured, row["image_id"], f"grade {ROMAN[grade - 1]}{weak}"))
    section.gallery([picture for picture in pictures if picture is not None])
    errors = _landmark_errors(manifest, measured)
    section.table(
        errors,
        caption="Mean distance between dlib's points and the true points of the drawing, brows to "
        "lips, in % of the distance between the outer eye corners.",
        digits=1,
    )


def _overlay(result: ExtractResult, image_id: str, caption: str) -> Picture | None:
    path = result.out / OVERLAY_FOLDER / f"{image_id}.jpg"
    if not path.is_file():
        return None  # no face was found, so nothing was drawn
    return image_picture(
        read_photo(path).pixels,
        alt=f"Photograph with 68 points: {caption}.",
        caption=caption,
        width=_OVERLAY_WIDTH,
    )


def _landmark_errors(manifest: pd.DataFrame, measured: ExtractResult) -> pd.DataFrame:
    """Landmark error against the drawing, by grade."""
    table = measured.extraction.table
    truth = read_truth(manifest).set_index("image_id").loc[table["image_id"]].reset_index()
    found, true = points_of(table), points_of(truth)
    across = true[:, LEFT_EYE_OUTER] - true[:, RIGHT_EYE_OUTER]
    distance = np.linalg.norm((found - true)[:, list(INNER)], axis=2).mean(axis=1)
    error = 100 * distance / np.linalg.norm(across, axis=1)
    grades = manifest.set_index("image_id").loc[table["image_id"], "hb_grade"].to_numpy()
    rows = []
    for grade in GRADES:
        of_grade = error[grades == grade]
        rows.append(
            {
                "Grade": ROMAN[grade - 1],
                "Photographs": len(of_grade),
                "Face found": int(np.isfinite(of_grade).sum()),
                "Error, %": float(np.nanmean(of_grade)) if np.isfinite(of_grade).any() else None,
            }
        )
    return pd.DataFrame(rows)


def _features_section(report: Report, manifest: pd.DataFrame, *, measured: ExtractResult) -> None:
    section = report.section("From points to numbers", folded=True)
    section.text(
        "34 distances and 29 asymmetry features are computed from the points of every photograph "
        "(measurements/dists.csv and features.csv). Here are the four features whose mean over a "
        "patient's photographs rises most steadily with the grade in this cohort; each dot is a "
        "patient. They were picked for this picture by looking at the grades, so they say nothing "
        "about how well a grade can be told: that is the next section."
    )
    features = pd.read_csv(measured.out / "features.csv")
    names = [feature.name for feature in FEATURES]
    patients = features[features["status"] == "ok"].groupby("patient_id")
    means = patients[names].mean()
    grades = patients["hb_grade"].first()
    rank = means.corrwith(grades, method="spearman").sort_values(ascending=False)
    section.figure(
        _features_figure(means, grades, list(rank.index[:4])),
        alt="Four asymmetry features against the House-Brackmann grade, one dot per patient.",
    )


def _features_figure(means: pd.DataFrame, grades: pd.Series, names: list[str]) -> Figure:
    meanings = {feature.name: feature.meaning for feature in FEATURES}
    figure, axes = plt.subplots(1, len(names), figsize=(11, 3.2), layout="constrained")
    shift = np.random.default_rng(0).uniform(-0.12, 0.12, len(grades))  # so that dots part
    for axis, name in zip(axes, names, strict=True):
        axis.plot(grades + shift, means[name], "o", color=_LEFT_COLOUR, alpha=0.7, markersize=5)
        medians = means[name].groupby(grades).median()
        axis.plot(medians.index, medians, "-", color=_GREY, zorder=0)
        axis.set_xticks(list(GRADES), list(ROMAN))
        axis.set_title(textwrap.fill(f"{name}: {meanings[name]}", 30), fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_xlabel("House-Brackmann grade")
    plt.close(figure)
    return figure


def _scores_in_words(graded: BenchmarkResult) -> str:
    """Name the worst and the best grader: the best alone would be a choice made on the test."""
    patients = graded.evaluations[-1]
    score = patients.headline
    return (
        f"Grading patients that they had never seen, the graders' {score.title.lower()} was "
        f"{from_best_to_worst(patients)}; always answering the commonest grade has "
        f"{patients.baseline(score):.2f}."
    )


def _graders_section(report: Report, graded: GradedByMeasurements, *, chosen: str) -> None:
    section = report.section("From numbers to grades: every grader", folded=True)
    section.text(
        "Each grader learned from some patients and graded the others; no patient was ever in "
        "both. The rows in grey do not look at the photographs at all: a grader is worth "
        f"something only as far as it beats them. {_scores_in_words(graded.everyone)} One of them, "
        f"{GRADERS[chosen].title}, stands for the measurements in this report; it was named before "
        "any score was seen."
    )
    _scores(
        section,
        graded.everyone,
        caption="Each patient graded from all movements together, with every choice made inside "
        "the training patients.",
    )


def _scores(section: Section, graded: BenchmarkResult, *, caption: str) -> None:
    patients = graded.evaluations[-1]
    section.table(
        scores_table(patients),
        caption=f"{caption} Below each score is its 95 % interval over resampled patients.",
        quiet=[is_baseline(model) for model in patients.estimates],
    )


def _next_section(report: Report, out: Path) -> None:
    section = report.section("Look further, and your own photographs")
    section.links(
        [Link(words, target) for words, target in _BESIDE if (out / target).is_file()],
        before="More reports lie beside this one:",
    )
    section.text(
        "Your own photographs: put them into a folder, and patient, task, side and grade into a "
        "table beside them; then: python run_pipeline.py prepare folder PHOTOS --table "
        "grades.xlsx --out manifest.csv; python run_pipeline.py extract manifest.csv --out "
        "measured --overlays; python run_pipeline.py benchmark measured/features.csv --out "
        "benchmark. Nothing leaves your computer."
    )
