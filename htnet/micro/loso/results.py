"""The tables and pictures of `micro loso`: each answer, each subject, confusions, and the scores.

The column `rule` is `honest`, or `published`: the epoch that was best on the held-out subject,
which is optimistic, and the column `optimistic` says so once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pandas as pd
import pandera.pandas as pa
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from common.bootstrap import estimates
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
from common.tables import choice, number, text
from htnet.micro.loso.driver import ALL, LosoRun, ScoredModel
from htnet.micro.loso.folds import LosoAnswers, Rule

RESULTS_FILE, SUBJECTS_FILE = "loso_results.csv", "loso_subjects.csv"
CONFUSION_FILE, SUMMARY_FILE = "loso_confusion.csv", "loso_summary.csv"
RULES: tuple[Rule, ...] = get_args(Rule)
BASELINE = "majority"
RIGHT_COLOUR, WRONG_COLOUR = BLUE, ORANGE
RULE_COLOURS: dict[Rule, str] = {"honest": BLUE, "published": PURPLE}
_MODEL = {"model": text(), "rule": choice(RULES), "optimistic": choice(("yes", "no"))}

SUBJECTS = pa.DataFrameSchema(
    {
        "subject": text(),
        "dataset": text(nullable=True),
        "n_clips": pa.Column(int),
        "n_classes": pa.Column(int),
        **_MODEL,
        "right": number(),
        "accuracy": number(),
    },
    name="subjects",
)
"""`loso_subjects.csv`. `n_classes` is how many classes the clips have; `right` counts what
was answered rightly, mean over seeds. A subject with one class has no UF1: none is given."""

CONFUSION = pa.DataFrameSchema(
    {
        "subject": text(),
        **_MODEL,
        "seed": pa.Column("int64"),
        "annotated": text(),
        "answered": text(),
        "n_clips": pa.Column("int64"),
    },
    name="confusion",
)
"""`loso_confusion.csv`: how many clips of a held-out subject have this class and got that answer;
pairs without clips have no row."""

SUMMARY = pa.DataFrameSchema(
    {
        **_MODEL,
        "dataset": text(),
        "n_clips": pa.Column(int),
        "n_subjects": pa.Column(int),
        "n_seeds": pa.Column(int),
        **estimates("uf1"),
        "uf1_sd": number(),
        **estimates("uar"),
        "uar_sd": number(),
        **estimates("weighted_f1"),
        "baseline_uf1": number(),
        "baseline_uar": number(),
    },
    name="loso summary",
)
"""`loso_summary.csv`. `dataset` is `all`, or one of several. Scores are means over seeds, `_low`
and `_high` their 95 % interval over resampled subjects, `_sd` the standard deviation over seeds
(empty for one). The baseline always answers the most frequent class."""


def results_schema(classes: Sequence[str]) -> pa.DataFrameSchema:
    """Return the schema of `loso_results.csv` for these classes."""
    share = pa.Check.in_range(0, 1, error="be a probability, 0 to 1")
    return pa.DataFrameSchema(
        {
            "image_id": text(),
            "dataset": text(nullable=True),
            "subject": text(),
            **_MODEL,
            "seed": pa.Column("int64"),
            "emotion": choice(tuple(classes)),
            "predicted": choice(tuple(classes)),
            **{f"p_{name}": pa.Column(float, share, coerce=True) for name in classes},
        },
        name="loso results",
    )


def results_table(run: LosoRun) -> pd.DataFrame:
    """Return every answer: models in the order asked, clips in the order given."""
    clips, names = run.clips, np.array(run.clips.classes)
    parts = []
    for model in run.models:
        # Rounding errors of float32 networks must not leave 0 to 1.
        probabilities = np.clip(model.probabilities, 0.0, 1.0)
        for place, seed in enumerate(model.seeds):
            content = {
                "image_id": clips.clip_id.tolist(),
                "dataset": clips.dataset.tolist(),
                "subject": clips.subject.tolist(),
                **_named(model),
                "seed": seed,
                "emotion": names[clips.label].tolist(),
                "predicted": names[model.predicted[place]].tolist(),
                **{
                    f"p_{name}": probabilities[place, :, i] for i, name in enumerate(names.tolist())
                },
            }
            parts.append(pd.DataFrame(content))
    return pd.concat(parts, ignore_index=True)


def subjects_table(run: LosoRun) -> pd.DataFrame:
    """Return how many clips of each subject each model answered rightly."""
    clips, fold, rows = run.clips, run.clips.fold, []
    for model in run.models:
        right = np.mean(model.predicted == clips.label, axis=0)
        for number_of, subject in enumerate(clips.subjects):
            own = fold == number_of
            rows.append(
                {
                    "subject": subject,
                    "dataset": str(clips.dataset[own][0]),
                    "n_clips": int(own.sum()),
                    "n_classes": len(np.unique(clips.label[own])),
                    **_named(model),
                    "right": float(right[own].sum()),
                    "accuracy": float(right[own].mean()),
                }
            )
    return pd.DataFrame(rows)


def confusion_table(run: LosoRun) -> pd.DataFrame:
    """Return the confusion counts of each fold, for every model, rule and seed."""
    results = results_table(run).rename(columns={"emotion": "annotated", "predicted": "answered"})
    by = [name for name in CONFUSION.columns if name != "n_clips"]
    return results.groupby(by, sort=False).size().rename("n_clips").reset_index()


def summary_table(run: LosoRun) -> pd.DataFrame:
    """Return the scores of each model and rule, on all clips and on each dataset."""
    floor = {one.dataset: one.scores for one in run.scored if one.answers.model == BASELINE}
    rows = []
    for one in run.scored:
        scores = one.scores
        below = floor.get(one.dataset)
        rows.append(
            {
                **_named(one.answers),
                "dataset": one.dataset,
                "n_clips": one.n_clips,
                "n_subjects": one.n_subjects,
                "n_seeds": len(one.answers.seeds),
                **scores.uf1.cells("uf1"),
                "uf1_sd": scores.spread_uf1,
                **scores.uar.cells("uar"),
                "uar_sd": scores.spread_uar,
                **scores.weighted_f1.cells("weighted_f1"),
                "baseline_uf1": below.uf1.value if below else np.nan,
                "baseline_uar": below.uar.value if below else np.nan,
            }
        )
    frame = pd.DataFrame(rows)
    order = [ALL, *run.datasets]
    return frame.sort_values("dataset", key=lambda names: names.map(order.index), kind="stable")


def _named(one: LosoAnswers) -> dict[str, str]:
    optimistic = "yes" if one.rule == "published" else "no"
    return {"model": one.model, "rule": one.rule, "optimistic": optimistic}


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
    doubts = (" (optimistic)" * later for later in optimistic)
    names = [one.answers.model + doubt for one, doubt in zip(ordered, doubts, strict=True)]
    axes.set_yticks(at, names)
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


def subjects_figure(run: LosoRun, model: LosoAnswers) -> Figure:
    """Draw a square for each clip, a row for each subject: its class, and whether it was found.

    Of several seeds, the class with the highest mean probability is the answer.
    """
    clips, fold = run.clips, run.clips.fold
    mean = model.probabilities.mean(axis=0)
    right = np.argmax(mean, axis=1) == clips.label
    members: dict[str, list[int]] = {}
    for subject in range(len(clips.subjects)):
        members.setdefault(str(clips.dataset[fold == subject][0]), []).append(subject)
    sizes = [len(subjects) for subjects in members.values()]
    longest = int(np.bincount(fold).max())
    letters = _letters(clips.classes)
    area = max(1.0 + 0.2 * longest, 5.0), 0.9 + 0.3 * len(sizes) + 0.2 * sum(sizes)
    figure = Figure(figsize=area, layout="constrained")
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
    for length in range(1, max(map(len, classes)) + 1):
        letters = [name[:length].capitalize() for name in classes]
        if len(set(letters)) == len(classes):
            return letters
    return list(classes)
