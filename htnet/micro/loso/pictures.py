"""Pictures of `micro loso`: scores with their intervals, confusions, each subject's clips."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from htnet.micro.loso.driver import LosoRun, ModelAnswers, ScoredModel
from htnet.micro.loso.folds import Rule

# Okabe and Ito's colours, told apart by the colour-blind.
RIGHT_COLOUR, WRONG_COLOUR = "#0072B2", "#E69F00"
RULE_COLOURS: dict[Rule, str] = {"honest": RIGHT_COLOUR, "published": "#CC79A7"}
_INK, _FAINT = "#1d2733", "#dfe4e9"


def interval_figure(scored: Sequence[ScoredModel], *, floor: float) -> Figure:
    """Draw UF1 of each model with its interval; the optimistic ones hollow and below a line.

    Parameters
    ----------
    scored
        Scores on the same clips.
    floor
        UF1 of always answering the most frequent class.
    """
    ordered = [
        one for rule in ("honest", "published") for one in scored if one.answers.rule == rule
    ]
    figure = Figure(figsize=(7.2, 0.9 + 0.3 * len(ordered)), layout="constrained")
    axes = figure.subplots()
    for place, one in enumerate(ordered):
        colour = RULE_COLOURS[one.answers.rule]
        estimate = one.scores.uf1
        axes.plot([estimate.low, estimate.high], [place, place], color=colour, lw=2)
        fill = colour if one.answers.rule == "honest" else "white"
        axes.plot(estimate.value, place, "o", ms=7, color=colour, markerfacecolor=fill, mew=1.5)
    n_honest = sum(one.answers.rule == "honest" for one in ordered)
    if n_honest < len(ordered):
        axes.axhline(n_honest - 0.5, color=_INK, lw=0.8)
    axes.axvline(floor, color="#767676", lw=1, ls=":")
    names = [
        one.answers.model + (" (optimistic)" if one.answers.rule == "published" else "")
        for one in ordered
    ]
    axes.set_yticks(range(len(ordered)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("UF1 with 95 % interval over subjects; dotted: most frequent class")
    _clean(axes)
    return figure


def confusion_figure(scored: Sequence[ScoredModel], *, classes: Sequence[str]) -> Figure:
    """Draw a confusion matrix of each model: clips in each cell, shaded by share of the class."""
    k = len(classes)
    columns = min(3, len(scored))
    rows = -(-len(scored) // columns)
    side = 1.3 + 0.42 * k
    figure = Figure(figsize=(columns * side, rows * (side + 0.25)), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(scored) :]:
        axes.set_axis_off()
    for axes, one in zip(grid.flat, scored, strict=False):
        counts = one.scores.counts
        total = counts.sum(axis=1, keepdims=True)
        share = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
        axes.imshow(share, cmap=mpl.colormaps["Blues"], vmin=0, vmax=1)
        for truth in range(k):
            for answer in range(k):
                axes.text(
                    answer, truth, f"{counts[truth, answer]:.0f}", ha="center", va="center",
                    fontsize=8, color="white" if share[truth, answer] > 0.55 else _INK,
                )  # fmt: skip
        axes.set_xticks(range(k), classes, rotation=30, ha="right")
        axes.set_yticks(range(k), classes)
        axes.tick_params(length=0, labelsize=8)
        title = one.answers.model
        if one.answers.rule == "published":
            title += "\n(best epoch on the subject: optimistic)"
        axes.set_title(title, fontsize=9)
        for spine in axes.spines.values():
            spine.set_color(_FAINT)
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
    datasets = list(dict.fromkeys(clips.dataset.tolist()))
    members = {
        name: [s for s in range(len(clips.subjects)) if clips.dataset[fold == s][0] == name]
        for name in datasets
    }
    sizes = [len(members[name]) for name in datasets]
    longest = int(np.bincount(fold).max())
    letters = _letters(clips.classes)
    figure = Figure(
        figsize=(max(1.0 + 0.2 * longest, 5.0), 0.9 + 0.3 * len(sizes) + 0.2 * sum(sizes)),
        layout="constrained",
    )
    panels = figure.subplots(len(datasets), 1, squeeze=False, gridspec_kw={"height_ratios": sizes})[
        :, 0
    ]
    for axes, name in zip(panels, datasets, strict=True):
        for row, s in enumerate(members[name]):
            own = np.flatnonzero(fold == s)
            for place, clip in enumerate(own[np.argsort(clips.label[own], kind="stable")]):
                colour = RIGHT_COLOUR if right[clip] else WRONG_COLOUR
                axes.add_patch(Rectangle((place, row - 0.42), 0.86, 0.84, color=colour, lw=0))
                axes.text(
                    place + 0.43, row, letters[clips.label[clip]], ha="center", va="center",
                    fontsize=6.5, color="white" if right[clip] else _INK,
                )  # fmt: skip
        axes.set_xlim(-0.3, longest + 0.3)
        axes.set_ylim(len(members[name]) - 0.4, -0.6)
        names = [clips.subjects[s].rpartition("/")[2] for s in members[name]]
        axes.set_yticks(range(len(names)), names)
        axes.set_xticks([])
        axes.set_title(name or "clips", fontsize=9, loc="left")
        axes.tick_params(length=0, labelsize=7)
        for spine in axes.spines.values():
            spine.set_visible(False)
    meaning = ", ".join(f"{a} {b}" for a, b in zip(letters, clips.classes, strict=True))
    handles = [
        Line2D([], [], marker="s", ls="", color=colour, label=label)
        for colour, label in (
            (RIGHT_COLOUR, "answered rightly"),
            (WRONG_COLOUR, "answered wrongly"),
        )
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False,
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


def _clean(axes: mpl.axes.Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_fontsize(8)
    axes.grid(axis="x", color=_FAINT, lw=0.6)
    axes.set_axisbelow(True)
