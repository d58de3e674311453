"""The report of `explore`: what stands out first, then features by grade, separability, maps."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from classifiers.exploration import FAR_OUT, FEWEST_FOR_MAP, Exploration, Patients
from common.grading.plots import roman
from common.grading.target import Target
from common.report import Report, figure_picture
from features.registry import FEATURES, REGIONS, Region

SHOWN_OUTLIERS = 25
FEW_PATIENTS = 20
_INK, _LINE = "#1d2733", "#dfe4e9"
_MARKERS = "osD^vP"  # the classes also by shape, for whoever sees no colours


def explore_report(found: Exploration, *, target: Target) -> Report:
    """Build the report of what was found."""
    report = Report(title=f"Exploration: {target.title}", summary=_summary(found))
    for sentence in _warnings(found, target=target):
        report.warn(sentence)
    _separability_section(report, found)
    _maps_section(report, found, target=target)
    _distributions_section(report, found, target=target)
    _outliers_section(report, found)
    return report


def _summary(found: Exploration) -> str:
    strongest = found.separability.iloc[0]
    meaning = next(entry.meaning for entry in FEATURES if entry.name == strongest["feature"])
    words = (
        f"{len(found.cohort.usable.rows)} photographs of {len(found.patients.names)} patients, "
        f"{len(FEATURES)} features."
    )
    if np.isnan(strongest["rank_correlation"]):
        return f"{words} There are too few classes or patients to compare."
    return (
        f"{words} The feature that goes along most with the class is {strongest['feature']} "
        f"({meaning[0].lower()}{meaning[1:]}): rank correlation "
        f"{strongest['rank_correlation']:.2f} ({strongest['rank_correlation_low']:.2f} to "
        f"{strongest['rank_correlation_high']:.2f})."
    )


def _warnings(found: Exploration, *, target: Target) -> list[str]:
    sentences = []
    left_out = found.cohort.excluded()
    if len(left_out):
        reasons = ", ".join(f"{row.photographs} × {row.reason}" for row in left_out.itertuples())
        sentences.append(
            f"{left_out['photographs'].sum()} of {len(found.cohort.photographs)} photographs were "
            f"left out ({reasons})."
        )
    if len(found.patients.names) < FEW_PATIENTS:
        sentences.append(
            f"There are only {len(found.patients.names)} patients: intervals are wide, and the "
            "strongest of 29 features looks strong by chance."
        )
    if found.maps is None:
        sentences.append(f"There are no maps, because they need {FEWEST_FOR_MAP} patients or more.")
    missing = [name for number, name in enumerate(roman(target), 1)
               if not (found.patients.classes == number).any()]  # fmt: skip
    if missing:
        sentences.append(f"No patient of class {', '.join(missing)} is in the table.")
    values = found.patients.values
    constant = [str(name) for name in values if values[name].nunique() < 2]
    if constant:
        sentences.append(f"Always the same or missing in every patient: {', '.join(constant)}.")
    return sentences


def _separability_section(report: Report, found: Exploration) -> None:
    section = report.section("Which features go along with the class")
    section.text(
        "Rank correlation (Spearman) with the class, and superiority: the chance that a patient "
        "with palsy has a larger value than a healthy person (0.5: no difference). One value per "
        "patient, the mean over the photographs; 95 % intervals over resampled patients. With 29 "
        "features, one in twenty intervals misses by chance: this describes, it does not prove."
    )
    meaning = {entry.name: entry.meaning for entry in FEATURES}
    table = found.separability
    section.table(
        pd.DataFrame(
            {
                "Feature": table["feature"],
                "Part": table["region"],
                "What it tells": [meaning[name] for name in table["feature"]],
                "Rank correlation": _with_limits(table, "rank_correlation"),
                "Superiority": _with_limits(table, "superiority"),
            }
        )
    )


def _with_limits(table: pd.DataFrame, name: str) -> list[str | None]:
    return [
        None if np.isnan(value) else f"{value:.2f}\n{low:.2f} to {high:.2f}"
        for value, low, high in zip(
            table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True
        )
    ]


def _maps_section(report: Report, found: Exploration, *, target: Target) -> None:
    if found.maps is None:
        return
    section = report.section("Maps of the patients")
    shares = found.maps.explained
    first = found.maps.between[0]
    section.text(
        "Every dot is a patient; patients with similar features lie together. Principal "
        f"components hold {shares[0]:.0%} and {shares[1]:.0%} of the variance; of the first, a "
        f"share of {first.value:.2f} ({first.low:.2f} to {first.high:.2f}) lies between classes, "
        "the rest within them. In t-SNE only who is near whom has a meaning, not distances or axes."
    )
    section.gallery(
        figure_picture(
            map_figure(points, found.patients, target=target, title=title),
            alt=f"{title}: one dot for each patient, by class.",
        )
        for title, points in (
            ("Principal components", found.maps.principal),
            ("t-SNE", found.maps.neighbours),
        )
    )


def map_figure(points: np.ndarray, patients: Patients, *, target: Target, title: str) -> Figure:
    """Draw the patients of one map; classes by colour and by shape."""
    figure = Figure(figsize=(4.9, 4.1), layout="constrained")
    axes = figure.subplots()
    names = roman(target)
    for number, name in enumerate(names, start=1):
        of_class = patients.classes == number
        axes.scatter(
            points[of_class, 0], points[of_class, 1], s=34, label=name,
            color=class_colour(number, len(names)), marker=_MARKERS[(number - 1) % 6],
            edgecolor="white", linewidth=0.6,
        )  # fmt: skip
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    _quiet(axes)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def class_colour(number: int, n_classes: int) -> tuple[float, float, float, float]:
    """Return the colour of a class: light for the first, dark for the last (cividis)."""
    return mpl.colormaps["cividis_r"](0.08 + 0.92 * (number - 1) / max(1, n_classes - 1))


def _distributions_section(report: Report, found: Exploration, *, target: Target) -> None:
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


def distribution_figure(patients: Patients, *, region: Region, target: Target) -> Figure:
    """Draw one panel for each feature of a region: patients by class."""
    entries = [entry for entry in FEATURES if entry.region == region]
    columns = min(4, max(2, len(entries)))
    rows = -(-len(entries) // columns)
    figure = Figure(figsize=(2.55 * columns, 2.15 * rows), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    names = roman(target)
    rng = np.random.default_rng(0)  # spreads dots sideways only, so that all can be seen
    for axes, entry in zip(panels, entries, strict=False):
        for number in range(1, len(names) + 1):
            values = patients.values[entry.name].to_numpy(np.float64)[patients.classes == number]
            values = values[~np.isnan(values)]
            if not len(values):
                continue
            aside = number + rng.uniform(-0.22, 0.22, len(values))
            colour = class_colour(number, len(names))
            axes.scatter(aside, values, s=11, color=colour, edgecolor="none")
            axes.plot([number - 0.32, number + 0.32], [np.median(values)] * 2, color=_INK, lw=1.4)
        if entry.symmetric is not None:
            axes.axhline(entry.symmetric, color="#8a97a5", lw=0.8, ls="--", zorder=0)
        axes.set_xticks(range(1, len(names) + 1), names)
        axes.set_title(f"{entry.name}  ({entry.unit})", fontsize=8.5, loc="left")
        _quiet(axes)
    for axes in panels[len(entries) :]:
        axes.set_axis_off()
    figure.suptitle(region.capitalize(), fontsize=10.5, x=0.01, ha="left")
    return figure


def _quiet(axes: Axes) -> None:
    axes.tick_params(length=0, labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_LINE)


def _outliers_section(report: Report, found: Exploration) -> None:
    section = report.section("Values that stand out")
    if found.outliers.empty:
        section.text(
            f"No value lies more than {FAR_OUT:.0f} robust standard deviations from the median of "
            "its movement."
        )
        return
    section.text(
        f"{len(found.outliers)} values lie more than {FAR_OUT:.0f} robust standard deviations from "
        "the median of their movement. Look at these photographs with their points (extract "
        "--overlays): misplaced points look like this, and so does severe palsy. Nothing was left "
        f"out. The furthest {SHOWN_OUTLIERS} are shown; outliers.csv has all."
    )
    shown = found.outliers.head(SHOWN_OUTLIERS)
    names = [str(image_id).rpartition("/")[2] for image_id in shown["image_id"]]
    section.table(
        shown.assign(image_id=names).rename(
            columns={
                "image_id": "Photograph", "patient_id": "Patient", "feature": "Feature",
                "value": "Value", "usual": "Median", "deviations": "Deviations",
            }
        )
    )  # fmt: skip
