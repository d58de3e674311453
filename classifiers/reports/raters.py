"""The report of `raters`: how far they agree, who is off, a model beside them, and their target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from classifiers.graders.registry import is_baseline, title_of
from classifiers.raters.agreement import ALL, Agreement
from classifiers.raters.mistakes import RULE
from common.bootstrap import Estimate
from common.figures import BLUE, GREY, INK, SOFT, VERMILION, calm, canvas, colour_at, draw_intervals
from common.grading.evaluation import two_lines
from common.grading.target import VISIT
from common.report import Fact, Report, Section
from common.words import counted, spoken

FEW_PATIENTS = 20
SHOWN_PAIRS = 6


def raters_report(
    scores: Sequence[Agreement], *, warnings: Sequence[str], left_aside: Sequence[str] = ()
) -> Report:
    """Build the report of every score; `warnings` name mistakes, `left_aside` columns of words."""
    report = Report(title="Several raters of the same patients", summary=raters_summary(scores))
    for sentence in [*warnings, *_cautions(scores)]:
        report.warn(sentence)
    section = report.section("How far the raters agree")
    section.text(
        "ICC(A,1) is the agreement of single ratings, 1 where nobody differs; kappa with quadratic "
        "weights says the same of grades. Two ratings of a patient differ by less than the "
        "smallest detectable change in 95 of 100 cases, each rater's own bias taken out: a change "
        "of a patient below it may be none. 95 % intervals over resampled patients."
    )
    section.table(map(_overall, scores))
    for one in scores:
        if one.beside is not None:
            _add_model(report.section("The model beside the raters"), one)
    _add_raters(report.section("Who is off"), scores)
    section = report.section("Pair by pair")
    for one in scores:
        _add_pairs(section, one)
    _add_targets(report.section("One target of several raters"), scores)
    section = report.section("How it was done")
    section.text(
        "ICC(A,1) after McGraw and Wong 1996: its parts are means over the pairs of raters, each "
        "on the patients that both have rated, so that ratings may be missing; where none is, it "
        "is their formula. Kappa is averaged over pairs alike. Limits of agreement after Bland and "
        "Altman 1986. Intervals come from 2000 resamples of whole patients.",
        RULE,
        f"Columns of words are no scores: {', '.join(left_aside)}." if left_aside else "",
    )
    return report


def raters_summary(scores: Sequence[Agreement]) -> str:
    """Say in a sentence for each score how far its raters agree, and where the model stands."""
    return " ".join(
        f"{spoken(one.ratings.score)}: {counted(len(one.ratings.raters), 'rater')} of "
        f"{one.ratings.in_words(int((one.ratings.counts > 0).sum()))}, "
        f"ICC {Estimate.of_row(_all_of(one), 'icc')}, smallest detectable change "
        f"{_all_of(one)['smallest_detectable_change']:.1f}."
        + "".join(f" {verdict(row)}" for row in _learners(one))
        for one in scores
    )


def _learners(one: Agreement) -> list[dict]:
    rows = [] if one.beside is None else one.beside.to_dict("records")
    return [row for row in rows if not is_baseline(row["model"])]


def verdict(row: dict) -> str:
    """Say whether a model disagrees with the raters more than they with each other."""
    found, name = Estimate.of_row(row, "difference"), title_of(str(row["model"]))
    if np.isnan(found.low):
        return f"{name} has answered too few patients with two raters."
    if found.low > 0:
        said = "disagrees with the raters more than they with each other"
    elif found.high < 0:
        said = "disagrees with the raters less than they with each other"
    else:
        said = "cannot be told from one more rater"
    return f"{name} {said}: {found.value:+.2f} ({found.low:+.2f} to {found.high:+.2f})."


def _cautions(scores: Sequence[Agreement]) -> list[str]:
    notes = []
    for one in scores:
        both = int((one.ratings.counts > 1).sum())
        if both < FEW_PATIENTS:
            notes.append(
                f"{one.ratings.score}: only {one.ratings.in_words(both)} with two raters or more; "
                "intervals are wide and may still be too narrow."
            )
    return notes


def _all_of(one: Agreement) -> dict:
    return one.pairs[one.pairs["first"] == ALL].iloc[0].to_dict()


def _overall(one: Agreement) -> dict[str, object]:
    row, counts = _all_of(one), one.ratings.counts
    kappa = {"Weighted kappa": two_lines(Estimate.of_row(row, "weighted_kappa"))}
    return {
        "Score": one.ratings.score,
        "Raters": len(one.ratings.raters),
        "Patients": one.ratings.n_patients,
        "Visits" if VISIT in one.ratings.cases else "Rated": int((counts > 0).sum()),
        "Ratings": int(counts.sum()),
        "With two or more": int((counts > 1).sum()),
        "ICC(A,1)": two_lines(Estimate.of_row(row, "icc")),
        **(kappa if one.ratings.grades else {"Weighted kappa": None}),
        "Smallest detectable change": row["smallest_detectable_change"],
    }


def _add_model(section: Section, one: Agreement) -> None:
    """Answer the question in a box, then show patient by patient and rater by rater."""
    assert one.beside is not None
    rows, learners = one.beside.to_dict("records"), _learners(one)
    box = {"rater and rater": Estimate.of_row(rows[0], "raters_apart")} | {
        f"{title_of(row['model'])} and rater": Estimate.of_row(row, "model_apart")
        for row in learners
    }
    section.facts(
        "Does a model disagree with the raters more than they with each other?",
        [
            Fact(name, f"{of.value:.2f}", (f"{of.low:.2f} to {of.high:.2f}",))
            for name, of in box.items()
        ],
    )
    section.text(*map(verdict, learners))
    section.text(
        f"Mean absolute differences of {one.ratings.score}, within each patient first, on the "
        "patients with an answer and two raters or more; the difference is paired on the same "
        "resampled patients. An answer in the middle of the raters is nearer to each of them than "
        "they are to each other, so that a model which learned from their mean may lie below 0."
    )
    section.table(
        (
            {
                "Model": title_of(row["model"]),
                "Patients": row["patients"],
                "Rater and rater": two_lines(Estimate.of_row(row, "raters_apart")),
                "Model and rater": two_lines(Estimate.of_row(row, "model_apart")),
                "Difference": two_lines(Estimate.of_row(row, "difference")),
                "ICC among raters": two_lines(Estimate.of_row(row, "raters_icc")),
                "ICC of model and raters": two_lines(Estimate.of_row(row, "model_icc")),
                "Difference of ICC": two_lines(Estimate.of_row(row, "icc_difference")),
            }
            for row in rows
        ),
        quiet=[is_baseline(row["model"]) for row in rows],
    )
    section.figure(
        distance_figure(one),
        alt="Mean absolute difference of each rater from the others, and of each model from them.",
    )
    section.figure(
        patients_figure(one, model=(learners or rows)[0]["model"]),
        alt="Every patient's ratings and the model's answer, ordered by the mean of the raters.",
    )


def _add_raters(section: Section, scores: Sequence[Agreement]) -> None:
    section.text(
        "Each rater beside the mean of the others, on the patients that both have rated. Bias: the "
        "rater minus the others. Distance: mean absolute difference from each of them. Spread: of "
        "the rater's scores by that of the others' means; a hundredth or a tenth is another unit."
    )
    section.table(
        {
            "Score": row["score"],
            "Rater": row["rater"],
            "Rated": row["patients"],
            "Bias": two_lines(Estimate.of_row(row, "bias")),
            "Distance": two_lines(Estimate.of_row(row, "distance")),
            "Spread": row["spread"],
            "Correlation": row["correlation"],
        }
        for one in scores
        for row in one.raters.to_dict("records")
    )
    section.figure(
        bias_figure(scores), alt="Bias of each rater against the others, with 95 % intervals."
    )


def _add_pairs(section: Section, one: Agreement) -> None:
    section.subheading(one.ratings.score)
    pairs = one.pairs[one.pairs["first"] != ALL]
    section.table(
        {
            "First": row["first"],
            "Second": row["second"],
            "Rated": row["patients"],
            "Second minus first": row["bias"],
            "Limits of agreement": f"{row['limit_low']:+.1f} to {row['limit_high']:+.1f}",
            "Smallest detectable change": row["smallest_detectable_change"],
            "ICC(A,1)": two_lines(Estimate.of_row(row, "icc")),
        }
        for row in pairs.to_dict("records")
    )
    section.figure(
        pairs_figure(one),
        alt=f"Difference against mean of {one.ratings.score} for the pairs that agree least.",
    )


def _add_targets(section: Section, scores: Sequence[Agreement]) -> None:
    section.text(
        "rater_targets.csv holds one target for everybody who was rated: the mean of numbers, the "
        "median of grades (of two in the middle the lower one), and the distribution of the raters "
        "behind it. With --manifest they stand in the columns of a manifest for benchmark. The "
        "mean of several raters is surer than one; how many there were:"
    )
    counts = {
        one.ratings.score: pd.Series(one.ratings.counts[one.ratings.counts > 0]).value_counts()
        for one in scores
    }
    section.table(
        {"Score": score, "Raters behind it": raters, "Patients": patients}
        for score, found in counts.items()
        for raters, patients in found.sort_index().items()
    )


def distance_figure(one: Agreement) -> Figure:
    """Draw how far each rater is from the others, and each model from the raters: one axis."""
    assert one.beside is not None
    raters = one.raters.to_dict("records")
    models = one.beside.to_dict("records")
    names = [row["rater"] for row in raters] + [title_of(row["model"]) for row in models]
    found = [Estimate.of_row(row, "distance") for row in raters]
    found += [Estimate.of_row(row, "model_apart") for row in models]
    of_models = [GREY if is_baseline(row["model"]) else VERMILION for row in models]
    figure, axes = canvas(6.4, 0.9 + 0.3 * len(names))
    at = draw_intervals(
        axes,
        found,
        colours=[BLUE] * len(raters) + of_models,
        markers=["o"] * len(raters) + ["D"] * len(models),
    )
    axes.set_yticks(at, names)
    axes.set_xlim(left=0)
    axes.set_xlabel(
        f"mean absolute difference from (the other) raters, {spoken(one.ratings.score)}"
    )
    calm(axes)
    return figure


def patients_figure(one: Agreement, *, model: str) -> Figure:
    """Draw every patient: all ratings, from lowest to highest, and what the model said."""
    assert one.answers is not None
    ratings, said = one.ratings, one.answers[model]
    shown = np.flatnonzero((ratings.counts > 0) & np.isfinite(said).any(axis=1))
    order = shown[np.argsort(np.nanmean(ratings.values[shown], axis=1), kind="stable")]
    figure, axes = canvas(
        8.0, 3.6, x="patients, by the mean of their raters", y=spoken(ratings.score)
    )
    values, at = ratings.values[order], np.arange(len(order))
    axes.vlines(at, np.nanmin(values, axis=1), np.nanmax(values, axis=1), color=GREY, linewidth=1)
    for number in range(values.shape[1]):
        axes.plot(
            at, values[:, number], "o", color=BLUE, markersize=4, alpha=0.5, linestyle="",
            label="raters" if number == 0 else None,
        )  # fmt: skip
    axes.plot(
        at, np.nanmean(said[order], axis=1), "D", color=VERMILION, markersize=5, linestyle="",
        label=title_of(model),
    )  # fmt: skip
    axes.set_xticks([])
    calm(axes)
    axes.legend(fontsize=8, frameon=False)
    return figure


def bias_figure(scores: Sequence[Agreement]) -> Figure:
    """Draw each rater's bias with its interval, a panel for each score."""
    most = max(len(one.raters) for one in scores)
    figure = Figure(figsize=(1.4 + 2.6 * len(scores), 0.9 + 0.3 * most), layout="constrained")
    panels = figure.subplots(1, len(scores), squeeze=False)
    for axes, one in zip(panels.flat, scores, strict=True):
        rows = one.raters.to_dict("records")
        at = draw_intervals(axes, [Estimate.of_row(row, "bias") for row in rows])
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_yticks(at, [row["rater"] for row in rows])
        axes.set_xlabel(f"rater minus others, {spoken(one.ratings.score)}", fontsize=8)
        calm(axes)
    return figure


def pairs_figure(one: Agreement) -> Figure:
    """Draw the pairs of the lowest ICC: second minus first against the mean of both."""
    pairs = one.pairs[one.pairs["first"] != ALL].nsmallest(SHOWN_PAIRS, "icc")
    columns = min(3, max(1, len(pairs)))
    lines = max(1, -(-len(pairs) // columns))
    figure = Figure(figsize=(1.0 + 2.7 * columns, 2.7 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat[len(pairs) :]:
        axes.set_visible(False)
    for axes, row in zip(panels.flat, pairs.to_dict("records"), strict=False):
        first, second = (
            one.ratings.values[:, one.ratings.raters.index(row[name])]
            for name in ("first", "second")
        )
        axes.scatter((first + second) / 2, second - first, s=14, color=colour_at(0), alpha=0.5)
        axes.axhline(0, color=SOFT, linewidth=0.8)
        axes.axhline(row["bias"], color=VERMILION)
        for limit in (row["limit_low"], row["limit_high"]):
            axes.axhline(limit, color=VERMILION, linestyle="--")
        axes.set_title(f"{row['second']} − {row['first']}: ICC {row['icc']:.2f}", fontsize=9)
        axes.set_xlabel("mean of both")
        calm(axes)
    return figure
