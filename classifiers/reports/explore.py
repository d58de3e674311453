"""The report of `explore`: what goes along with the class, maps, features by class, outliers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from classifiers.exploration import (
    FAR_OUT,
    FEWEST_FOR_MAP,
    LEAST_RANK,
    MOST_SHIFT,
    Exploration,
    Patients,
)
from classifiers.reports.benchmark import left_out_sentences
from common.bootstrap import Estimate
from common.figures import INK, MARKERS, SOFT, calm, canvas
from common.grading.evaluation import two_lines
from common.grading.target import Target
from common.report import Report, figure_picture
from common.words import counted
from features.registry import FEATURES, REGIONS, Region

SHOWN_OUTLIERS = 25
FEW_PATIENTS = 20
_MEANING = {entry.name: entry.meaning for entry in FEATURES}


def explore_report(found: Exploration, *, target: Target) -> Report:
    """Build the report of what was found."""
    report = Report(
        title=f"Exploration: {target.title}", summary=found.cohort.source.added_to(_summary(found))
    )
    for sentence in [*left_out_sentences(found.cohort), *_warnings(found, target=target)]:
        report.warn(sentence)
    section = report.section("Which features go along with the class")
    section.text(
        "Rank correlation (Spearman) with the class, and superiority: the chance that a patient "
        "with palsy has a larger value than a healthy person (0.5: no difference). One value per "
        "patient, the mean over the photographs; 95 % intervals over resampled patients. With 29 "
        "features, one in twenty intervals misses by chance: this describes, it does not prove."
    )
    section.table(
        {
            "Feature": row["feature"],
            "Part": row["region"],
            "What it tells": _MEANING[row["feature"]],
            "Rank correlation": _told(row, "rank_correlation"),
            "Superiority": _told(row, "superiority"),
        }
        for row in found.separability.to_dict("records")
    )
    _add_maps(report, found, target=target)
    section = report.section("Features by class")
    section.text(
        "Every dot is a patient (mean over the photographs), the bar the median of the class. The "
        "dashed line is the value of a perfectly symmetric face, where symmetry fixes it."
    )
    for region in REGIONS:
        names = [entry.name for entry in FEATURES if entry.region == region]
        if names:
            section.figure(
                distribution_figure(found.patients, region=region, target=target),
                alt=f"Features of the {region} by class: {', '.join(names)}.",
            )
    _add_stability(report, found)
    _add_outliers(report, found)
    return report


def _add_stability(report: Report, found: Exploration) -> None:
    if found.stability is None:
        return
    section = report.section("Which features travel")
    section.text(
        "Patients of one class are compared from place to place. Shift: the largest difference of "
        "medians, in standard deviations among such patients. Spread: largest over smallest. Rank "
        "correlation: with the class, the smallest of all places (0 where the sign changes). "
        f"Portable: a shift of at most {MOST_SHIFT} and a rank correlation of {LEAST_RANK} or more "
        "everywhere. A choice made from this table must not be tested on the same patients."
    )
    words = {
        "feature": "Feature", "region": "Part", "shift": "Shift", "spread_ratio": "Spread",
        "least_rank_correlation": "Least rank correlation", "portable": "Portable",
    }  # fmt: skip
    section.table(found.stability[list(words)].rename(columns=words))


def _summary(found: Exploration) -> str:
    strongest = found.separability.iloc[0]
    meaning = _MEANING[strongest["feature"]]
    photographs = counted(len(found.cohort.usable.rows), "photograph")
    words = (
        f"{photographs} of {counted(len(found.patients.names), 'patient')}, "
        f"{len(FEATURES)} features."
    )
    if np.isnan(strongest["rank_correlation"]):
        return f"{words} There are too few classes or patients to compare."
    return (
        f"{words} The feature that goes along most with the class is {strongest['feature']} "
        f"({meaning[0].lower()}{meaning[1:]}): rank correlation "
        f"{Estimate.of_row(strongest, 'rank_correlation')}."
    )


def _warnings(found: Exploration, *, target: Target) -> list[str]:
    sentences, patients = [], found.patients
    if len(patients.names) < FEW_PATIENTS:
        there = "is only" if len(patients.names) == 1 else "are only"
        sentences.append(
            f"There {there} {counted(len(patients.names), 'patient')}: intervals are wide, and the "
            "strongest of 29 features looks strong by chance."
        )
    if found.maps is None:
        sentences.append(f"There are no maps, because they need {FEWEST_FOR_MAP} patients or more.")
    present = set(patients.classes.tolist())
    missing = [name for at, name in enumerate(target.spoken, start=1) if at not in present]
    if missing:
        sentences.append(f"No patient of class {', '.join(missing)} is in the table.")
    constant = [str(name) for name, column in patients.values.items() if column.nunique() < 2]
    if constant:
        sentences.append(f"Always the same or missing in every patient: {', '.join(constant)}.")
    return sentences


def _told(row: Mapping[Hashable, Any], name: str) -> str | None:
    return None if np.isnan(row[name]) else two_lines(Estimate.of_row(row, name))


def _add_maps(report: Report, found: Exploration, *, target: Target) -> None:
    if found.maps is None:
        return
    section = report.section("Maps of the patients")
    first, second = found.maps.explained
    section.text(
        "Every dot is a patient; patients with similar features lie together. Principal "
        f"components hold {first:.0%} and {second:.0%} of the variance; of the first, a "
        f"share of {found.maps.between[0]} lies between classes, "
        "the rest within them. In t-SNE only who is near whom has a meaning, not distances or axes."
    )
    points = {"Principal components": found.maps.principal, "t-SNE": found.maps.neighbours}
    section.gallery(
        figure_picture(
            map_figure(places, found.patients, target=target, title=title),
            alt=f"{title}: one dot for each patient, by class.",
        )
        for title, places in points.items()
    )


def map_figure(points: np.ndarray, patients: Patients, *, target: Target, title: str) -> Figure:
    """Draw the patients of one map; classes by colour and by shape."""
    figure, axes = canvas(4.9, 4.1)
    names = target.spoken
    for at, name in enumerate(names):
        x, y = points[patients.classes == at + 1].T
        axes.scatter(
            x, y, s=34, label=name, color=class_colour(at, len(names)),
            marker=MARKERS[at % len(MARKERS)], edgecolor="white", linewidth=0.6,
        )  # fmt: skip
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    calm(axes, grid=False)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def class_colour(at: int, n_classes: int) -> tuple[float, float, float, float]:
    """Return the colour of a class from 0: light for the first, dark for the last (cividis)."""
    return mpl.colormaps["cividis_r"](0.08 + 0.92 * at / max(1, n_classes - 1))


def distribution_figure(patients: Patients, *, region: Region, target: Target) -> Figure:
    """Draw one panel for each feature of a region: patients by class."""
    entries = [entry for entry in FEATURES if entry.region == region]
    columns = min(4, max(2, len(entries)))
    rows = -(-len(entries) // columns)
    figure = Figure(figsize=(2.55 * columns, 2.15 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    names = target.spoken
    rng = np.random.default_rng(0)  # spreads dots sideways only, so that all can be seen
    for axes, entry in zip(panels, entries, strict=False):
        for at in range(len(names)):
            values = patients.values.loc[patients.classes == at + 1, entry.name].dropna()
            aside = at + 1 + rng.uniform(-0.22, 0.22, len(values))
            axes.scatter(aside, values, s=11, color=class_colour(at, len(names)), edgecolor="none")
            axes.hlines(values.median(), at + 0.68, at + 1.32, color=INK, linewidth=1.4)
        if entry.symmetric is not None:
            axes.axhline(entry.symmetric, color=SOFT, linewidth=0.8, linestyle="--", zorder=0)
        axes.set_xticks(range(1, len(names) + 1), names)
        axes.set_title(f"{entry.name}  ({entry.unit})", fontsize=8.5, loc="left")
        calm(axes, grid=False)
    for axes in panels[len(entries) :]:
        axes.set_axis_off()
    figure.suptitle(region.capitalize(), fontsize=10.5, x=0.01, ha="left")
    return figure


def _add_outliers(report: Report, found: Exploration) -> None:
    section = report.section("Values that stand out")
    if found.outliers.empty:
        section.text(
            f"No value lies more than {FAR_OUT:.0f} robust standard deviations from the median of "
            "its movement."
        )
        return
    n = len(found.outliers)
    section.text(
        f"{counted(n, 'value lies', 'values lie')} more than {FAR_OUT:.0f} robust standard "
        "deviations from the median of their movement. Look at these photographs with their points "
        "(extract --overlays): misplaced points look like this, and so does severe palsy. Nothing "
        f"was left out. The furthest {SHOWN_OUTLIERS} are shown; outliers.csv has all."
    )
    words = {
        "image_id": "Photograph", "patient_id": "Patient", "feature": "Feature", "value": "Value",
        "usual": "Median", "deviations": "Deviations",
    }  # fmt: skip
    shown = found.outliers.head(SHOWN_OUTLIERS)
    shown = shown.assign(image_id=shown["image_id"].str.rpartition("/")[2])
    section.table(shown[list(words)].rename(columns=words))
