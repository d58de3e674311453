"""Other clinics: what graders lose at a site not learned from, and the report of `recalibrate`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from classifiers.graders.local_trial import AS_KEPT
from classifiers.graders.model_store import StoredModel
from classifiers.graders.recalibration import LocalClinic
from classifiers.graders.registry import is_baseline, title_of
from classifiers.graders.sites import ALL_SITES, AS_MEASURED, AcrossSites
from common.bootstrap import Estimate
from common.figures import INK, SOFT, calm, canvas
from common.grading.calibration import fewest_for_sets
from common.grading.evaluation import two_lines
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
        ({"Answered": row["way"], **_scored(row, target)} for row in ways.to_dict("records")),
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
    figure, axes = canvas(5.6, 3.2, x="Local patients", y="Weighted kappa")
    for number, (name, rows) in enumerate(curve.groupby("features", sort=False)):
        colour, aside = (INK if name == AS_KEPT else SOFT), 0.3 * number
        axes.errorbar(
            rows["local_patients"] + aside, rows["kappa"],
            yerr=np.abs(rows[["kappa_low", "kappa_high"]].to_numpy().T - rows["kappa"].to_numpy()),
            color=colour, marker="os"[number % 2], capsize=2, linewidth=1.2, label=name,
        )  # fmt: skip
    calm(axes)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    return figure


def drop_in_words(across: AcrossSites) -> str:
    """Say how much is lost at a site not learned from, by the grader that loses least and most."""
    learners = [name for name in dict.fromkeys(across.table["model"]) if not is_baseline(name)]
    drops = sorted(learners, key=lambda name: across.drop(name).value)
    if not drops:
        return ""
    shown = [
        f"{across.drop(name)} with {title_of(name)}"
        for name in dict.fromkeys((drops[0], drops[-1]))
    ]
    score = str(across.table["score"].iloc[0]).lower()
    return (
        f"At a {across.column} that was not learned from, {score} per patient drops by "
        f"{' to '.join(shown)} (95 % intervals, the same "
        f"{counted(int(across.table['patients'].max()), 'patient')} in both)."
    )


def add_sites(report: Report, across: AcrossSites) -> None:
    """Add the table of drops, and a figure of every grader at every site."""
    section = report.section(f"At a {across.column} that was not learned from")
    section.text(
        f"Every {across.column} was held out whole in turn and answered by graders that learned "
        "from all others. Beside it stand the usual folds, in which patients of the same "
        f"{across.column} were learned from: the same patients, so that the drop is what the "
        "change costs. Graders in the usual folds may also have learned from more patients."
    )
    table = across.table
    section.table(
        (
            {
                "Grader": title_of(row["model"]),
                "Tested at": "all of them" if row["site"] == ALL_SITES else row["site"],
                "Features": row["features"],
                "Patients": row["patients"],
                "Learned from": row["learned_from"],
                "Usual folds": two_lines(Estimate.of_row(row, "inside")),
                "Not learned from": two_lines(Estimate.of_row(row, "across")),
                "Drop": two_lines(Estimate.of_row(row, "drop")),
            }
            for row in table.to_dict("records")
        ),
        caption=f"{table['score'].iloc[0]} per patient, and below it the 95 % interval over "
        "resampled patients. Relative to local healthy people: their middle and spread at the "
        "tested place are laid onto those of the places learned from; nobody is their own zero.",
        quiet=[is_baseline(model) for model in table["model"]],
    )
    section.gallery(
        [figure_picture(_figure(across), alt="Scores in the usual folds and at sites held out.")]
    )


def _figure(across: AcrossSites) -> Figure:
    """Draw for each grader the score in the usual folds and across sites, with intervals."""
    rows = across.table[(across.table["site"] == ALL_SITES)]
    models = [name for name in dict.fromkeys(rows["model"]) if not is_baseline(name)]
    figure, axes = canvas(6.2, 0.9 + 0.42 * len(models), x=str(rows["score"].iloc[0]))
    kinds = list(dict.fromkeys(rows["features"]))
    for place, model in enumerate(reversed(models)):
        own = rows[rows["model"] == model]
        usual = own[own["features"] == AS_MEASURED].iloc[0]
        drawn = [("inside", usual, SOFT, "usual folds")] + [
            ("across", own[own["features"] == kind].iloc[0], INK, f"held out, {kind}")
            for kind in kinds
        ]
        for number, (name, row, colour, label) in enumerate(drawn):
            y = place + 0.22 - 0.22 * number
            axes.plot([row[f"{name}_low"], row[f"{name}_high"]], [y, y], color=colour, linewidth=1)
            axes.scatter(
                row[name], y, color=colour, s=26, marker="osD"[number],
                label=label if place == 0 else None,
            )  # fmt: skip
    axes.set_ylim(-0.5, len(models) - 0.5)
    axes.set_yticks(np.arange(len(models)), [title_of(name) for name in reversed(models)])
    calm(axes)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
