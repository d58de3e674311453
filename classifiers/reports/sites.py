"""What graders lose at a site that they have not learned from: a sentence, a table, a figure."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from classifiers.graders.registry import is_baseline, title_of
from classifiers.graders.sites import ALL_SITES, AS_MEASURED, AcrossSites
from common.bootstrap import Estimate
from common.figures import INK, SOFT, calm, canvas
from common.grading.evaluation import two_lines
from common.report import Report, figure_picture
from common.words import counted

_LIMITS = ("", "_low", "_high")


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
                "Usual folds": two_lines(_of(row, "inside")),
                "Not learned from": two_lines(_of(row, "across")),
                "Drop": two_lines(_of(row, "drop")),
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


def _of(row: dict, name: str) -> Estimate:
    return Estimate(*(float(row[f"{name}{limit}"]) for limit in _LIMITS))


def _figure(across: AcrossSites) -> Figure:
    """Draw for each grader the score in the usual folds and across sites, with intervals."""
    rows = across.table[(across.table["site"] == ALL_SITES)]
    models = [name for name in dict.fromkeys(rows["model"]) if not is_baseline(name)]
    figure, axes = canvas(6.2, 0.9 + 0.42 * len(models))
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
    axes.set_xlabel(str(rows["score"].iloc[0]))
    calm(axes)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
