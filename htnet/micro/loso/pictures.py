"""Pictures of `micro loso`: scores with their intervals, confusions, each subject's clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from common.figures import (
    BLUE,
    INK,
    ORANGE,
    PURPLE,
    SOFT,
    calm,
    canvas,
    draw_intervals,
    shaded_cells,
    shares_of_rows,
)
from htnet.micro.loso.driver import LosoRun, ModelAnswers, ScoredModel
from htnet.micro.loso.folds import Rule

RIGHT_COLOUR, WRONG_COLOUR = BLUE, ORANGE
RULE_COLOURS: dict[Rule, str] = {"honest": BLUE, "published": PURPLE}


def interval_figure(scored: Sequence[ScoredModel], *, floor: float) -> Figure:
    """Draw UF1 of each model with its interval; the optimistic ones hollow and below a line.

    `floor` is the UF1 of always answering the most frequent class.
    """
    ordered = sorted(scored, key=lambda one: one.answers.rule == "published")
    optimistic = [one.answers.rule == "published" for one in ordered]
    figure, axes = canvas(7.2, 0.9 + 0.3 * len(ordered))
    at = draw_intervals(
        axes, [one.scores.uf1 for one in ordered], hollow=optimistic,
        colours=[RULE_COLOURS[one.answers.rule] for one in ordered],
    )  # fmt: skip
    if any(optimistic):
        axes.axhline(sum(optimistic) - 0.5, color=INK, linewidth=0.8)
    axes.axvline(floor, color=SOFT, linewidth=1, linestyle=":")
    axes.set_yticks(
        at,
        [
            one.answers.model + " (optimistic)" * later
            for one, later in zip(ordered, optimistic, strict=True)
        ],
    )
    axes.set_xlim(0, 1)
    axes.set_xlabel("UF1 with 95 % interval over subjects; dotted: most frequent class", fontsize=8)
    calm(axes)
    return figure


def confusion_figure(scored: Sequence[ScoredModel], *, classes: Sequence[str]) -> Figure:
    """Draw a confusion matrix of each model: clips in each cell, shaded by share of the class."""
    columns = min(3, len(scored))
    rows = -(-len(scored) // columns)
    side = 1.3 + 0.42 * len(classes)
    figure = Figure(figsize=(columns * side, rows * (side + 0.25)), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes, one in zip(panels, scored, strict=False):
        counts = one.scores.counts
        words = np.array([[f"{n:.0f}" for n in row] for row in counts])
        shaded_cells(axes, shares_of_rows(counts), words, rows=classes, columns=classes)
        axes.set_aspect("equal")
        axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
        title = one.answers.model
        if one.answers.rule == "published":
            title += "\n(best epoch on the subject: optimistic)"
        axes.set_title(title, fontsize=9)
    for axes in figure.axes[len(scored) :]:
        axes.set_axis_off()
    figure.supxlabel("answered", fontsize=9)
    figure.supylabel("annotated", fontsize=9)
    return figure


def subjects_figure(run: LosoRun, model: ModelAnswers) -> Figure:
    """Draw a square for each clip, a row for each subject: its class, and whether it was found.

    Of several seeds, the class with the highest mean probability is the answer.
    """
    clips, fold = run.clips, run.clips.fold
    mean = np.mean([one.probabilities for one in model.by_seed], axis=0)
    right = np.argmax(mean, axis=1) == clips.label
    members: dict[str, list[int]] = {}
    for subject in range(len(clips.subjects)):
        members.setdefault(str(clips.dataset[fold == subject][0]), []).append(subject)
    sizes = [len(subjects) for subjects in members.values()]
    longest = int(np.bincount(fold).max())
    letters = _letters(clips.classes)
    figure = Figure(
        figsize=(max(1.0 + 0.2 * longest, 5.0), 0.9 + 0.3 * len(sizes) + 0.2 * sum(sizes)),
        layout="constrained",
    )
    panels = figure.subplots(len(sizes), 1, squeeze=False, gridspec_kw={"height_ratios": sizes})
    for axes, (name, subjects) in zip(panels[:, 0], members.items(), strict=True):
        for row, subject in enumerate(subjects):
            own = np.flatnonzero(fold == subject)
            for place, clip in enumerate(own[np.argsort(clips.label[own], kind="stable")]):
                colour = RIGHT_COLOUR if right[clip] else WRONG_COLOUR
                axes.add_patch(Rectangle((place, row - 0.42), 0.86, 0.84, color=colour, lw=0))
                axes.text(
                    place + 0.43, row, letters[clips.label[clip]], ha="center", va="center",
                    fontsize=6.5, color="white" if right[clip] else INK,
                )  # fmt: skip
        axes.set_xlim(-0.3, longest + 0.3)
        axes.set_ylim(len(subjects) - 0.4, -0.6)
        axes.set_yticks(
            range(len(subjects)), [clips.subjects[one].rpartition("/")[2] for one in subjects]
        )
        axes.set_xticks([])
        axes.set_title(name or "clips", fontsize=9, loc="left")
        axes.tick_params(length=0, labelsize=7)
        axes.spines[:].set_visible(False)
    meaning = ", ".join(f"{a} {b}" for a, b in zip(letters, clips.classes, strict=True))
    colours = {"answered rightly": RIGHT_COLOUR, "answered wrongly": WRONG_COLOUR}
    figure.legend(
        handles=[
            Line2D([], [], marker="s", ls="", color=colour, label=label)
            for label, colour in colours.items()
        ],
        loc="outside lower center", ncols=2, fontsize=8, frameon=False,
        title=f"annotated as: {meaning}", title_fontsize=8,
    )  # fmt: skip
    return figure


def _letters(classes: Sequence[str]) -> list[str]:
    """Return the shortest beginnings of the names that tell them apart."""
    for length in range(1, max(map(len, classes)) + 1):
        letters = [name[:length].capitalize() for name in classes]
        if len(set(letters)) == len(classes):
            return letters
    return list(classes)
