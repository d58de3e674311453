"""The report of the demo: the joint report, and behind it what was drawn, measured and graded."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from classifiers.commands.benchmark import BenchmarkResult
from classifiers.graders.registry import GRADERS
from classifiers.reports.sections import BELOW, add_scores, from_best_to_worst
from common.figures import BLUE, GREY, calm
from common.grading.evaluation import Evaluation
from common.photos import read_photo
from common.report import Link, Picture, Report, image_picture
from common.tables import GRADES, ROMAN, read_manifest
from common.truth import read_truth
from datasets.contact_sheet import contact_sheet
from features.commands.extract import ExtractResult
from features.registry import FEATURES
from landmarks.overlay import OVERLAY_FOLDER
from landmarks.points import INNER, LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from landmarks.tables import points_of
from pipeline.joint_report.report import build_joint_report
from pipeline.joint_report.study import Ingredients

SHOWN_TASK = "full_smile"
_OVERLAY_WIDTH, _SHEET_WIDTH = 300, 1100


def demo_report(
    given: Ingredients,
    *,
    beside: Mapping[str, str],
    portrait: ExtractResult,
    measured: ExtractResult,
    graded: BenchmarkResult,
    seed: int,
) -> Report:
    """Build the joint report, with the stages that led to it before the patients.

    `beside` are other reports, from words to file.
    """

    def stages(report: Report) -> None:
        manifest = read_manifest(given.manifest)
        _add_cohort(report, manifest)
        _add_points(report, manifest, portrait=portrait, measured=measured)
        _add_features(report, measured=measured)
        _add_graders(report, graded, chosen=given.models[0])
        _add_next(report, beside)

    return build_joint_report(given, seed=seed, before_patients=stages)


def _add_cohort(report: Report, manifest: pd.DataFrame) -> None:
    section = report.section("The simulated patients", folded=True)
    section.text(
        "One patient for each House-Brackmann grade, I (healthy) to VI (no movement), at rest and "
        "in seven movements. The side named is the patient's own: the patient's right is on your "
        "left."
    )
    photos, labels = [], []
    tasks = list(dict.fromkeys(manifest["task"]))
    for grade, own in manifest.groupby("hb_grade"):
        patient = own[own["patient_id"] == own["patient_id"].iloc[0]]
        paths = patient.set_index("task")["path"]
        photos.append([read_photo(Path(paths[task])).pixels for task in tasks])
        side = patient["side"].iloc[0]
        labels.append(ROMAN[int(str(grade)) - 1] + ("" if side == "none" else f" {side}"))
    sheet = image_picture(
        contact_sheet(photos, row_labels=labels, column_labels=tasks),
        alt="Contact sheet: six simulated patients, grades I to VI, in eight movements.",
        width=_SHEET_WIDTH,
    )
    section.gallery([sheet])


def _add_points(
    report: Report, manifest: pd.DataFrame, *, portrait: ExtractResult, measured: ExtractResult
) -> None:
    section = report.section("From photograph to 68 points", folded=True)
    section.text(
        "dlib finds the face and places 68 points; orange is the patient's right, blue the left. "
        "First a real portrait (NASA, public domain), then one simulated patient of each grade "
        "smiling."
    )
    pictures = [_overlay(portrait, portrait.extraction.table["image_id"].iloc[0], "a portrait")]
    smiling = manifest[manifest["task"] == SHOWN_TASK].drop_duplicates("hb_grade")
    for row in smiling.sort_values("hb_grade").to_dict("records"):
        weak = "" if row["side"] == "none" else f", weak on the {row['side']}"
        caption = f"grade {ROMAN[row['hb_grade'] - 1]}{weak}"
        pictures.append(_overlay(measured, row["image_id"], caption))
    section.gallery(picture for picture in pictures if picture is not None)
    section.table(
        _landmark_errors(manifest, measured),
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


def _landmark_errors(
    manifest: pd.DataFrame, measured: ExtractResult
) -> Iterator[dict[str, object]]:
    """Return landmark error against the drawing, a row for each grade."""
    table = measured.extraction.table
    truth = read_truth(manifest).set_index("image_id").loc[table["image_id"]].reset_index()
    found, true = points_of(table), points_of(truth)
    across = np.linalg.norm(true[:, LEFT_EYE_OUTER] - true[:, RIGHT_EYE_OUTER], axis=1)
    distance = np.linalg.norm((found - true)[:, list(INNER)], axis=2).mean(axis=1)
    grades = manifest.set_index("image_id").loc[table["image_id"], "hb_grade"].to_numpy()
    errors = pd.Series(100 * distance / across)
    for grade in GRADES:
        of_grade = errors[grades == grade]
        yield {
            "Grade": ROMAN[grade - 1],
            "Photographs": len(of_grade),
            "Face found": int(of_grade.notna().sum()),
            "Error, %": float(of_grade.mean()),
        }


def _add_features(report: Report, *, measured: ExtractResult) -> None:
    section = report.section("From points to numbers", folded=True)
    section.text(
        "34 distances and 29 asymmetry features are computed from the points of every photograph "
        "(measurements/dists.csv and features.csv). Here are the four features whose mean over a "
        "patient's photographs rises most steadily with the grade in this cohort; each dot is a "
        "patient. They were picked for this picture by looking at the grades, so they say nothing "
        "about how well a grade can be told: that is the next section."
    )
    features = pd.read_csv(measured.out / "features.csv")
    patients = features[features["status"] == "ok"].groupby("patient_id")
    means, grades = patients[[feature.name for feature in FEATURES]].mean(), patients["hb_grade"]
    section.figure(
        _features_figure(means, grades.first()),
        alt="Four asymmetry features against the House-Brackmann grade, one dot per patient.",
    )


def _features_figure(means: pd.DataFrame, grades: pd.Series) -> Figure:
    meanings = {feature.name: feature.meaning for feature in FEATURES}
    steadiest = means.corrwith(grades, method="spearman").nlargest(4).index
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    aside = np.random.default_rng(0).uniform(-0.12, 0.12, len(grades))  # so that dots part
    for axes, name in zip(figure.subplots(1, len(steadiest)), steadiest, strict=True):
        axes.plot(grades + aside, means[name], "o", color=BLUE, alpha=0.7, markersize=5)
        medians = means[name].groupby(grades).median()
        axes.plot(medians.index, medians, "-", color=GREY, zorder=0)
        axes.set_xticks(list(GRADES), list(ROMAN))
        axes.set_title(textwrap.fill(f"{name}: {meanings[str(name)]}", 30), fontsize=9)
        calm(axes, grid=False)
    figure.axes[0].set_xlabel("House-Brackmann grade")
    return figure


def _add_graders(report: Report, everyone: BenchmarkResult, *, chosen: str) -> None:
    *_, patients = (one for one in everyone.evaluations if isinstance(one, Evaluation))
    score = patients.headline
    section = report.section("From numbers to grades: the graders", folded=True)
    section.text(
        "Each grader learned from some patients and graded the others; no patient was ever in "
        "both. The rows in grey do not look at the photographs at all: a grader is worth "
        "something only as far as it beats them. Grading patients that they had never seen, the "
        f"graders' {score.title.lower()} was {from_best_to_worst(patients)}; always answering the "
        f"commonest grade has {patients.baseline(score):.2f}. One of them, "
        f"{GRADERS[chosen].title}, stands for the measurements in this report; it was named before "
        "any score was seen. Others are compared by demo --graders, or by benchmark."
    )
    add_scores(
        section,
        patients,
        caption="Each patient graded from all movements together, with every choice made inside "
        f"the training patients. {BELOW}",
    )


def _add_next(report: Report, beside: Mapping[str, str]) -> None:
    section = report.section("Look further, and your own photographs")
    section.links(
        [Link(words, target) for words, target in beside.items()],
        before="More reports lie beside this one:",
    )
    section.text(
        "Your own photographs: put them into a folder, and patient, task, side and grade into a "
        "table beside them; then: python run_pipeline.py prepare folder PHOTOS --table "
        "grades.xlsx --out manifest.csv; python run_pipeline.py extract manifest.csv --out "
        "measured --overlays; python run_pipeline.py benchmark measured/features.csv --out "
        "benchmark. Nothing leaves your computer."
    )
