"""The report of `recalibrate`: what moved, whether it helped, and with how many local patients."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from classifiers.graders.local_trial import AS_KEPT
from classifiers.graders.model_store import StoredModel
from classifiers.graders.recalibration import LocalClinic
from common.figures import INK, SOFT, calm, canvas
from common.grading.calibration import fewest_for_sets
from common.grading.target import Target
from common.report import Report, figure_picture
from common.words import counted

FEW = 10  # local patients below which a score on them says little


def recalibrate_report(
    stored: StoredModel,
    clinic: LocalClinic,
    *,
    ways: pd.DataFrame,
    curve: pd.DataFrame | None,
    target: Target,
    left_out: Sequence[str],
) -> Report:
    """Build the report; `left_out` are sentences on local patients that could not be used."""
    moved = clinic.thresholds
    before, after = ways.iloc[0], ways.iloc[-1]
    patients = counted(clinic.patients, "local patient")
    report = Report(
        title=f"Recalibrated: {stored.card.title}",
        summary=(
            f"{stored.card.title}, weighted kappa on {patients}: {before['kappa']:.2f} as kept, "
            f"{after['kappa']:.2f} {after['way']}, each answered by what the others taught."
        ),
    )
    for sentence in left_out:
        report.warn(sentence)
    if clinic.patients < FEW:
        report.warn(f"A score on {patients} says little; the prior keeps the thresholds near.")
    fewest = fewest_for_sets()
    if moved is not None and clinic.patients < fewest:
        report.warn(
            f"The likely ranges hold all {target.steps}: one that leaves any out needs {fewest} "
            "local patients or more."
        )
    if moved is not None and after["error"] > before["error"]:
        report.warn(
            "On these patients the new thresholds are no better than the old ones: keep the old "
            "model unless more patients say otherwise."
        )
    section = report.section("Did it help?")
    section.text(
        "The same local patients in every row. As kept: the grader as it came. Relative to local "
        "healthy people: features laid onto those learned from, nobody being their own zero. "
        "Recalibrated: each patient by thresholds, temperature and sets that the other patients "
        "taught; the kept model learned from all of them."
    )
    section.table(
        (
            {
                "Answered": row["way"],
                **_scored(row, target),
            }
            for row in ways.to_dict("records")
        ),
        caption="With 95 % intervals over resampled patients.",
    )
    if moved is not None:
        section = report.section("What moved")
        section.text(
            "A positive shift makes low answers likelier: the limit to the next "
            f"{target.step} moved up. Nothing else of the grader changed."
        )
        pairs = zip(target.spoken[:-1], target.spoken[1:], moved.shifts, strict=True)
        section.table(
            [
                *({"Number": f"limit {a} to {b}, shift in logits", "Value": shift}
                  for a, b, shift in pairs),
                {"Number": "temperature (more: less sure)", "Value": moved.temperature},
            ]
        )  # fmt: skip
    if curve is not None:
        section = report.section("With how many local patients?")
        section.text(
            "Local patients were drawn at random, recalibrated with, and all others tested. Bars "
            "hold 95 % of the draws."
        )
        section.gallery([figure_picture(_curve_figure(curve), alt="Kappa by local patients.")])
        section.table(
            {
                "Features": row["features"],
                "Local patients": row["local_patients"],
                **_scored(row, target),
            }
            for row in curve.to_dict("records")
        )
    return report


def _scored(row: Mapping[Hashable, Any], target: Target) -> dict[str, object]:
    """Return the cells of the scores of one way to answer."""
    kappa, low, high = (row[name] for name in ("kappa", "kappa_low", "kappa_high"))
    return {
        "Weighted kappa": f"{kappa:.2f}\n{low:.2f} to {high:.2f}",
        "Error": row["error"],
        "Sets hold the truth": row["covered"],
        f"{target.steps.capitalize()} in a set": row["width"],
    }


def _curve_figure(curve: pd.DataFrame) -> Figure:
    figure, axes = canvas(5.6, 3.2)
    for number, (name, rows) in enumerate(curve.groupby("features", sort=False)):
        colour, aside = (INK if name == AS_KEPT else SOFT), 0.3 * number
        axes.errorbar(
            rows["local_patients"] + aside, rows["kappa"],
            yerr=np.abs(rows[["kappa_low", "kappa_high"]].to_numpy().T - rows["kappa"].to_numpy()),
            color=colour, marker="os"[number % 2], capsize=2, linewidth=1.2, label=name,
        )  # fmt: skip
    axes.set_xlabel("Local patients")
    axes.set_ylabel("Weighted kappa")
    calm(axes)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    return figure
